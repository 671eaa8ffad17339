//! A registry in memory, resolved by the real resolver.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::entry::DeclaredBy;
use domain::failure::LoggedFailure;
use domain::inspection::{ExternItem, ExternKind};
use domain::ports::{StateView, StorageError};
use domain::reduce::terms;
use domain::resolve::{NOTHING_EXPECTED, Overlay, resolve};
use domain::usage::Usage;
use domain::{
    ComponentId, ComponentManifest, Digest, Edge, EdgeKind, Entry, Revision, Status, Timestamp, Version, VersionReq,
};

pub(crate) fn id(text: &str) -> ComponentId {
    if text.contains(':') { text.parse().unwrap() } else { ComponentId::new("t", text).unwrap() }
}

pub(crate) fn ids(text: &str) -> Vec<ComponentId> {
    text.split_whitespace().map(id).collect()
}

/// Writes ids the short way: `a b`, without the namespace of the tests.
pub(crate) fn show<'a>(ids: impl IntoIterator<Item = &'a ComponentId>) -> String {
    ids.into_iter().map(|id| id.as_str().trim_start_matches("t:")).collect::<Vec<_>>().join(" ")
}

pub(crate) fn show_waves(waves: &[Vec<ComponentId>]) -> String {
    waves.iter().map(show).collect::<Vec<_>>().join(" | ")
}

/// An entry without edges.
pub(crate) fn entry(name: &str, version: &str, status: Status) -> Entry {
    let revision = Revision {
        number: 1,
        version: version.parse().unwrap(),
        digest: Digest::of(name.as_bytes()),
        size: 8,
        description: None,
        manifest: ComponentManifest::default(),
        imports: Vec::new(),
        exports: Vec::new(),
        path: None,
        last_modified: None,
        folder: None,
        registered_at: Timestamp::default(),
    };
    let entry = Entry::new(id(name), Arc::new(revision), Timestamp::default());
    Entry { status, changed_seq: 1, ..entry }
}

pub(crate) fn declared(on: &str, range: &str) -> Edge {
    let range: VersionReq = range.parse().unwrap();
    Edge { on: id(on), kind: EdgeKind::Declared { range, origin: DeclaredBy::Operator } }
}

#[derive(Default)]
pub(crate) struct Fake {
    pub(crate) entries: BTreeMap<ComponentId, Arc<Entry>>,
    dependents: BTreeMap<ComponentId, BTreeSet<ComponentId>>,
    /// Revisions that are not in service, oldest first.
    older: BTreeMap<ComponentId, Vec<Arc<Revision>>>,
    pub(crate) reads: AtomicUsize,
}

impl Fake {
    pub(crate) fn put(&mut self, entry: Entry) {
        if let Some(old) = self.entries.remove(&entry.id) {
            for edge in old.dependencies.iter() {
                self.dependents.get_mut(&edge.on).unwrap().remove(&entry.id);
            }
        }
        for edge in entry.dependencies.iter() {
            self.dependents.entry(edge.on.clone()).or_default().insert(entry.id.clone());
        }
        self.entries.insert(entry.id.clone(), Arc::new(entry));
    }

    /// Puts components that need each other by declared edges: `a:b,c` is `a`, which needs `b` and `c`; a `+` before the
    /// name makes it active, a `!` puts it in error.
    pub(crate) fn of(shape: &str) -> Self {
        let mut fake = Self::default();
        for part in shape.split_whitespace() {
            let (name, needs) = part.split_once(':').unwrap_or((part, ""));
            let status = match name.chars().next() {
                Some('+') => Status::Active,
                Some('!') => Status::Error,
                _ => Status::Registered,
            };
            let mut entry = entry(name.trim_start_matches(['+', '!']), "1.0.0", status);
            entry.dependencies =
                Arc::new(needs.split(',').filter(|on| !on.is_empty()).map(|on| declared(on, "*")).collect());
            fake.put(entry);
        }
        fake
    }

    pub(crate) fn change(&mut self, name: &str, change: impl FnOnce(&mut Entry)) {
        let mut entry = (*self.entries[&id(name)]).clone();
        change(&mut entry);
        self.put(entry);
    }

    /// Puts a component with imports and exports and resolves what it needs, as registering does.
    pub(crate) fn register(&mut self, name: &str, version: &str, imports: &str, exports: &str, manifest: &str) {
        let items = |names: &str| -> Vec<ExternItem> {
            let item = |name: &str| ExternItem { name: name.to_owned(), kind: ExternKind::Interface };
            names.split_whitespace().map(item).collect()
        };
        let mut entry = entry(name, version, Status::Registered);
        let revision = Arc::make_mut(&mut entry.revision);
        revision.manifest = ComponentManifest::parse(manifest).unwrap();
        revision.imports = items(imports);
        revision.exports = items(exports);
        self.put(entry);
        self.resolve_all();
    }

    /// Lets a component have a revision more, which comes into service, and resolves everybody anew.
    pub(crate) fn next(&mut self, name: &str, version: &str, exports: &str) {
        let mut next = (*self.entries[&id(name)]).clone();
        let older = self.older.entry(id(name)).or_default();
        older.push(next.revision.clone());
        let mut revision = (*next.revision).clone();
        (revision.number, revision.version) = (older.len() as u32 + 1, version.parse().unwrap());
        let item = |name: &str| ExternItem { name: name.to_owned(), kind: ExternKind::Interface };
        revision.exports = exports.split_whitespace().map(item).collect();
        next.point_to(Arc::new(revision));
        self.put(next);
        self.resolve_all();
    }

    /// Sets a revision of a component beside the one in service, as it would be set there.
    pub(crate) fn set_beside(&mut self, name: &str, version: &str, status: Status) {
        let beside = id(name).beside(&version.parse().unwrap());
        let (mut entry, _) = Overlay::new(self, &NOTHING_EXPECTED).set_beside(&beside).unwrap().unwrap();
        entry.status = status;
        self.put(entry);
    }

    fn resolve_all(&mut self) {
        for id in self.entries.keys().cloned().collect::<Vec<_>>() {
            let mut entry = (*self.entries[&id]).clone();
            let state = Overlay::new(self, &NOTHING_EXPECTED);
            let resolution = resolve(&state, &id, &entry.revision, &entry.dependencies).unwrap();
            (entry.dependencies, entry.unresolved) = (Arc::new(resolution.dependencies), resolution.unresolved);
            self.put(entry);
        }
    }

    pub(crate) fn version(&self, id: &ComponentId) -> &Version {
        &self.entries[id].revision.version
    }
}

impl StateView for Fake {
    fn entry(&self, id: &ComponentId) -> Result<Option<Arc<Entry>>, StorageError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        Ok(self.entries.get(id).cloned())
    }

    fn revision(&self, id: &ComponentId, number: u32) -> Result<Option<Arc<Revision>>, StorageError> {
        Ok(self.revisions(id)?.into_iter().find(|revision| revision.number == number))
    }

    fn revisions(&self, id: &ComponentId) -> Result<Vec<Arc<Revision>>, StorageError> {
        let older = self.older.get(id).into_iter().flatten().cloned();
        Ok(older.chain(self.entries.get(id).map(|entry| entry.revision.clone())).collect())
    }

    fn dependents(&self, id: &ComponentId) -> Result<Vec<ComponentId>, StorageError> {
        Ok(self.dependents.get(id).into_iter().flatten().cloned().collect())
    }

    fn find(&self, index: &str, key: &str) -> Result<Vec<ComponentId>, StorageError> {
        let term = (index.to_owned(), key.to_owned());
        let found = self.entries.values().filter(|entry| terms(entry, &[]).contains(&term));
        Ok(found.map(|entry| entry.id.clone()).collect())
    }

    fn count(&self, index: &str, key: &str) -> Result<u64, StorageError> {
        Ok(self.find(index, key)?.len() as u64)
    }

    fn index_keys(&self, index: &str) -> Result<Vec<(String, u64)>, StorageError> {
        let mut keys = BTreeMap::new();
        for (name, key) in self.entries.values().flat_map(|entry| terms(entry, &[])) {
            if name == index {
                *keys.entry(key).or_insert(0) += 1;
            }
        }
        Ok(keys.into_iter().collect())
    }

    fn ids(&self, after: Option<&ComponentId>, limit: usize) -> Result<Vec<ComponentId>, StorageError> {
        let later = self.entries.keys().filter(|id| !id.is_beside()).filter(|id| after.is_none_or(|after| *id > after));
        Ok(later.take(limit).cloned().collect())
    }

    fn failures(&self, _: Option<&ComponentId>, _: usize) -> Result<Vec<LoggedFailure>, StorageError> {
        Ok(Vec::new())
    }

    fn usage(&self, _: &ComponentId) -> Result<Usage, StorageError> {
        Ok(Usage::default())
    }

    fn custom_indexes(&self) -> Result<Vec<String>, StorageError> {
        Ok(Vec::new())
    }

    fn last_seq(&self) -> u64 {
        0
    }
}
