//! Custom indexes: on metadata keys, kept with the registry; and by a function, in this process.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use domain::ports::StateView;
use domain::reduce::index;
use domain::{ComponentId, Entry, Event, Record, text};

use crate::Registry;
use crate::error::RegistryError;
use crate::query::each_page;
use crate::view::EntryView;

/// Longest metadata key that can be indexed, in bytes.
const KEY_MAX: usize = 128;

/// Checks that metadata can have `key` and that people can tell it from others.
fn check_name(key: &str) -> Result<(), RegistryError> {
    let reason = if key.trim().is_empty() {
        "it is empty".to_owned()
    } else if key.len() > KEY_MAX {
        format!("it has {} bytes, at most {KEY_MAX} are allowed", key.len())
    } else if key.chars().any(text::is_deceptive) {
        "it has characters that cannot be seen".to_owned()
    } else {
        return Ok(());
    };
    let name = text::escape_line(&text::truncate(key, KEY_MAX)).into_owned();
    Err(RegistryError::InvalidIndexName { name, reason })
}

type KeyFunction = Arc<dyn Fn(&Entry) -> Option<String> + Send + Sync>;

struct FunctionIndex {
    key_of: KeyFunction,
    ids: BTreeMap<String, BTreeSet<ComponentId>>,
    keys: HashMap<ComponentId, String>,
}

impl FunctionIndex {
    fn set(&mut self, id: &ComponentId, key: Option<String>) {
        if let Some(old) = self.keys.remove(id)
            && let Some(ids) = self.ids.get_mut(&old)
        {
            ids.remove(id);
            if ids.is_empty() {
                self.ids.remove(&old);
            }
        }
        if let Some(key) = key {
            self.ids.entry(key.clone()).or_default().insert(id.clone());
            self.keys.insert(id.clone(), key);
        }
    }
}

/// Indexes by function: they live as long as the process.
#[derive(Default)]
pub(crate) struct FunctionIndexes {
    indexes: RwLock<HashMap<String, FunctionIndex>>,
}

impl FunctionIndexes {
    /// Brings the indexes up to date with a record.
    pub(crate) fn hear(&self, record: &Record, view: &dyn StateView) {
        let Some(id) = record.event.component().filter(|id| !id.is_beside()) else { return };
        let mut indexes = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        if indexes.is_empty() {
            return;
        }
        // An entry that cannot be read now is found again with its next event.
        let Ok(entry) = view.entry(id) else { return };
        for index in indexes.values_mut() {
            let key = entry.as_ref().and_then(|entry| (index.key_of)(entry));
            index.set(id, key);
        }
    }

    fn find(&self, name: &str, key: &str) -> Option<Vec<ComponentId>> {
        let indexes = self.indexes.read().unwrap_or_else(PoisonError::into_inner);
        let index = indexes.get(name)?;
        Some(index.ids.get(key).into_iter().flatten().cloned().collect())
    }

    fn keys(&self, name: &str) -> Option<Vec<(String, u64)>> {
        let indexes = self.indexes.read().unwrap_or_else(PoisonError::into_inner);
        let index = indexes.get(name)?;
        Some(index.ids.iter().map(|(key, ids)| (key.clone(), ids.len() as u64)).collect())
    }

    fn names(&self) -> Vec<String> {
        let indexes = self.indexes.read().unwrap_or_else(PoisonError::into_inner);
        indexes.keys().cloned().collect()
    }

    fn remove(&self, name: &str) -> bool {
        self.indexes.write().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }
}

impl Registry {
    /// Makes an index on a metadata key; it is kept with the registry. Returns `false` if there is one.
    ///
    /// # Errors
    /// [`RegistryError::InvalidIndexName`] if the key is empty, longer than 128 bytes, or has characters that cannot be seen.
    pub async fn create_metadata_index(&self, key: &str) -> Result<bool, RegistryError> {
        if let Err(error) = check_name(key) {
            return Err(self.refused("index", None, error).await);
        }
        let key = key.to_owned();
        self.commit(move |view| {
            let known = view.custom_indexes()?.contains(&key);
            Ok((if known { vec![] } else { vec![Event::IndexCreated { key }] }, !known))
        })
        .await
    }

    /// Makes an index by a function, in this process; one of the same name is replaced. Walks the registry once.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn create_index(
        &self,
        name: &str,
        key_of: impl Fn(&Entry) -> Option<String> + Send + Sync + 'static,
    ) -> Result<(), RegistryError> {
        let name = name.to_owned();
        let registry = self.clone();
        self.read(move |view| {
            // The lock is held while the entries are read, so that no record is missed in between.
            let mut indexes = registry.inner.indexes.indexes.write().unwrap_or_else(PoisonError::into_inner);
            let mut index = FunctionIndex { key_of: Arc::new(key_of), ids: BTreeMap::new(), keys: HashMap::new() };
            each_page(view, |ids| {
                for id in ids {
                    if let Some(entry) = view.entry(&id)? {
                        index.set(&id, (index.key_of)(&entry));
                    }
                }
                Ok(())
            })?;
            indexes.insert(name, index);
            Ok(())
        })
        .await
    }

    /// Drops a custom index. Returns `false` if there is none of that name.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn drop_index(&self, name: &str) -> Result<bool, RegistryError> {
        let removed = self.inner.indexes.remove(name);
        let key = name.to_owned();
        let dropped = self.commit(move |view| {
            let known = view.custom_indexes()?.contains(&key);
            Ok((if known { vec![Event::IndexDropped { key }] } else { vec![] }, known))
        });
        Ok(dropped.await? || removed)
    }

    /// Returns the names of all custom indexes, ordered.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn indexes(&self) -> Result<Vec<String>, RegistryError> {
        let mut names = self.read(|view| Ok(view.custom_indexes()?)).await?;
        names.extend(self.inner.indexes.names());
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Returns the entries found under `key` of an index: a custom one, or `version`, `kind`, `status`, `digest`, `path`.
    ///
    /// # Errors
    /// [`RegistryError::NoIndex`].
    pub async fn by_index(&self, name: &str, key: &str) -> Result<Vec<EntryView>, RegistryError> {
        let ids = match self.inner.indexes.find(name, key) {
            Some(ids) => ids,
            None => {
                let index = self.stored_index(name).await?;
                let key = key.to_owned();
                self.read(move |view| Ok(view.find(&index, &key)?)).await?
            }
        };
        self.take_gate_usage();
        let registry = self.clone();
        self.read(move |view| {
            let mut found = Vec::new();
            for id in ids {
                if let Some(entry) = view.entry(&id)? {
                    found.push(registry.view_of(view, entry)?);
                }
            }
            Ok(found)
        })
        .await
    }

    /// Returns every key of an index with the number of entries under it, ordered.
    ///
    /// # Errors
    /// [`RegistryError::NoIndex`].
    pub async fn index_keys(&self, name: &str) -> Result<Vec<(String, u64)>, RegistryError> {
        if let Some(keys) = self.inner.indexes.keys(name) {
            return Ok(keys);
        }
        let index = self.stored_index(name).await?;
        self.read(move |view| Ok(view.index_keys(&index)?)).await
    }

    /// Returns what storage calls the index `name`.
    async fn stored_index(&self, name: &str) -> Result<String, RegistryError> {
        if self.read(|view| Ok(view.custom_indexes()?)).await?.iter().any(|known| known == name) {
            return Ok(index::custom(name));
        }
        if [index::VERSION, index::KIND, index::STATUS, index::DIGEST, index::PATH].contains(&name) {
            return Ok(name.to_owned());
        }
        let name = text::escape_line(&text::truncate(name, KEY_MAX)).into_owned();
        Err(RegistryError::NoIndex { name, known: self.indexes().await? })
    }
}
