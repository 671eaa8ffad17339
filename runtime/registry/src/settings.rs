//! Settings of the registry: read at open, changed one by one, each change an event.

use std::sync::Arc;

use domain::ports::SettingsStore;
use domain::settings::{SettingEntry, Settings, SettingsError};
use domain::{Event, Policy};

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

/// Reads and checks the policy file; an absent one grants nothing.
pub(crate) fn load_policy(store: &dyn SettingsStore) -> Result<Policy, RegistryError> {
    let (text, path) = store.load_policy()?;
    match text {
        Some(text) => Policy::parse(&text).map_err(|source| RegistryError::Policy { path, source }),
        None => Ok(Policy::default()),
    }
}

/// A setting that changes, with its values as TOML.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingChange {
    /// Its key.
    pub key: String,
    /// The value before, `None` of a setting of a kind that was not set.
    pub old: Option<String>,
    /// The value after, `None` of a setting of a kind that is not set any more.
    pub new: Option<String>,
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
        let (name, value) = (key.to_owned(), value.map(str::to_owned));
        let edit = move |text: &str| match &value {
            Some(value) => Settings::set(text, &name, value),
            None => Settings::unset(text, &name),
        };
        self.change_settings(edit).await
    }

    /// Returns how the settings in `text`, a settings file, differ from those that are in force.
    ///
    /// # Errors
    /// [`RegistryError::Settings`] if it is none.
    pub(crate) fn compare_settings(&self, text: &str) -> Result<Vec<SettingChange>, RegistryError> {
        let wanted = Settings::parse(text).map_err(|source| RegistryError::Settings { path: None, source })?;
        Ok(changes(&self.settings(), &wanted))
    }

    /// Puts `text`, a settings file, in the place of the one that is there. Each setting that changes is an event of its own.
    ///
    /// # Errors
    /// As [`Registry::set_setting`].
    pub(crate) async fn replace_settings(&self, text: String) -> Result<(), RegistryError> {
        self.change_settings(move |_| Ok(text)).await
    }

    /// Changes the settings file by `edit`, which makes its new text from the old one.
    async fn change_settings(
        &self,
        edit: impl FnOnce(&str) -> Result<String, SettingsError> + Send + 'static,
    ) -> Result<(), RegistryError> {
        let _writing = self.inner.settings_lock.lock().await;
        let written = match self.write_settings(edit).await {
            Ok(Some(written)) => written,
            Ok(None) => return Ok(()),
            Err(error) => return Err(self.refused("settings", None, error).await),
        };
        let Written { before, after, text_before } = written;
        let stronger = before.durability.max(after.durability);
        let changes = changes(&before, &after).into_iter();
        let events =
            changes.map(|change| Event::ConfigSet { key: change.key, old: change.old, new: change.new }).collect();
        match self.commit_at(stronger, move |_| Ok((events, ()))).await {
            Ok(()) => {
                self.put_in_force(after);
                Ok(())
            }
            Err(error) => {
                let store = self.inner.settings_store.clone();
                if blocking(move || Ok(store.save(&text_before)?)).await.is_err() {
                    // What the next opening will read is what holds.
                    self.put_in_force(after);
                }
                Err(error)
            }
        }
    }

    fn put_in_force(&self, settings: Settings) {
        self.inner.tracker.meters.set(&settings.quotas);
        self.inner.settings.store(Arc::new(settings));
        // The bounds of the cache hold at once.
        self.inner.tracker.room.wake.notify_one();
        self.inner.supervisor.wake();
    }

    /// Writes the file; `None` if nothing changes.
    async fn write_settings(
        &self,
        edit: impl FnOnce(&str) -> Result<String, SettingsError> + Send + 'static,
    ) -> Result<Option<Written>, RegistryError> {
        let store = self.inner.settings_store.clone();
        blocking(move || {
            let text_before = store.load()?.0.unwrap_or_default();
            let wrong = |source| RegistryError::Settings { path: None, source };
            let before = Settings::parse(&text_before).map_err(wrong)?;
            let text = edit(&text_before).map_err(wrong)?;
            let after = Settings::parse(&text).map_err(wrong)?;
            if after == before {
                return Ok(None);
            }
            store.save(&text)?;
            Ok(Some(Written { before, after, text_before }))
        })
        .await
    }
}

/// Settings that are in the file and not in the journal yet.
struct Written {
    before: Settings,
    after: Settings,
    text_before: String,
}

/// Returns the settings that differ, those that are gone or new for a kind included.
fn changes(before: &Settings, after: &Settings) -> Vec<SettingChange> {
    let mut keys: Vec<_> = before.entries().into_iter().map(|entry| entry.key).collect();
    for entry in after.entries() {
        if !keys.contains(&entry.key) {
            keys.push(entry.key);
        }
    }
    let change = |key: String| SettingChange { old: before.get(&key), new: after.get(&key), key };
    keys.into_iter().map(change).filter(|change| change.old != change.new).collect()
}
