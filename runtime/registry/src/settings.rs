//! Settings of the registry: read at open, changed one by one, each change an event.

use std::sync::Arc;

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
    /// the limits and the configuration with which they were linked until they are activated again. A change of `durability` is
    /// acknowledged at the stronger of its two levels.
    ///
    /// # Errors
    /// [`RegistryError::Settings`] if there is no such setting or the value does not fit; [`RegistryError::Storage`], and the setting
    /// is then as before.
    pub async fn set_setting(&self, key: &str, value: Option<&str>) -> Result<(), RegistryError> {
        let _writing = self.inner.settings_lock.lock().await;
        let (name, value) = (key.to_owned(), value.map(str::to_owned));
        let change = match self.write_setting(name, value).await {
            Ok(Some(change)) => change,
            Ok(None) => return Ok(()),
            Err(error) => return Err(self.refused("settings", None, error).await),
        };
        let Change { event, before, after, text_before } = change;
        let stronger = before.durability.max(after.durability);
        match self.commit_at(stronger, move |_| Ok((vec![event], ()))).await {
            Ok(()) => {
                self.inner.settings.store(Arc::new(after));
                Ok(())
            }
            Err(error) => {
                let store = self.inner.settings_store.clone();
                if blocking(move || Ok(store.save(&text_before)?)).await.is_err() {
                    // What the next opening will read is what holds.
                    self.inner.settings.store(Arc::new(after));
                }
                Err(error)
            }
        }
    }

    /// Writes the file; `None` if nothing changes.
    async fn write_setting(&self, key: String, value: Option<String>) -> Result<Option<Change>, RegistryError> {
        let store = self.inner.settings_store.clone();
        blocking(move || {
            let text_before = store.load()?.0.unwrap_or_default();
            let wrong = |source| RegistryError::Settings { path: None, source };
            let before = Settings::parse(&text_before).map_err(wrong)?;
            let text = match &value {
                Some(value) => Settings::set(&text_before, &key, value).map_err(wrong)?,
                None => Settings::unset(&text_before, &key).map_err(wrong)?,
            };
            let after = Settings::parse(&text).map_err(wrong)?;
            if after == before {
                return Ok(None);
            }
            store.save(&text)?;
            let event = Event::ConfigSet { old: before.get(&key), new: after.get(&key), key };
            Ok(Some(Change { event, before, after, text_before }))
        })
        .await
    }
}

/// A change of the settings that is in the file and not in the journal yet.
struct Change {
    event: Event,
    before: Settings,
    after: Settings,
    text_before: String,
}
