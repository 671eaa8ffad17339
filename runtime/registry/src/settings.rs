//! Settings of the registry: read at open, changed one by one, each change an event.

use domain::Event;
use domain::ports::SettingsStore;
use domain::settings::{SettingEntry, Settings, SettingsError};

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;

/// Reads and checks the settings file; an absent one means the defaults.
pub(crate) fn load(store: &dyn SettingsStore) -> Result<Settings, RegistryError> {
    let (text, path) = store.load()?;
    let wrong = |source: SettingsError| RegistryError::Settings { path: Some(path), source };
    match text {
        Some(text) => Settings::parse(&text).map_err(wrong),
        None => Ok(Settings::default()),
    }
}

impl Registry {
    /// Returns every setting with its value and whether that is the default.
    pub fn settings_entries(&self) -> Vec<SettingEntry> {
        self.settings().entries()
    }

    /// Sets a setting, or takes it back to its default if `value` is `None`. Comments in the file stay. Components that are active keep
    /// the limits and the configuration with which they were linked until they are activated again.
    ///
    /// # Errors
    /// [`RegistryError::Settings`] if there is no such setting or the value does not fit.
    pub async fn set_setting(&self, key: &str, value: Option<&str>) -> Result<(), RegistryError> {
        let _writing = self.inner.settings_lock.lock().await;
        let changed = self.change(key.to_owned(), value.map(str::to_owned)).await;
        match changed {
            Ok(None) => Ok(()),
            Ok(Some(event)) => {
                self.commit(move |_| Ok((vec![event], ()))).await?;
                Ok(())
            }
            Err(error) => Err(self.refused("settings", None, error).await),
        }
    }

    async fn change(&self, key: String, value: Option<String>) -> Result<Option<Event>, RegistryError> {
        let registry = self.clone();
        blocking(move || {
            let store = &registry.inner.settings_store;
            let text = store.load()?.0.unwrap_or_default();
            let wrong = |source| RegistryError::Settings { path: None, source };
            let old = Settings::parse(&text).map_err(wrong)?;
            let after = match &value {
                Some(value) => Settings::set(&text, &key, value).map_err(wrong)?,
                None => Settings::unset(&text, &key).map_err(wrong)?,
            };
            let new = Settings::parse(&after).map_err(wrong)?;
            if new == old {
                return Ok(None);
            }
            store.save(&after)?;
            let event = Event::ConfigSet { old: old.get(&key), new: new.get(&key), key };
            registry.inner.settings.store(std::sync::Arc::new(new));
            Ok(Some(event))
        })
        .await
    }
}
