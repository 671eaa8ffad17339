//! A plain model of the state, and random histories that must lead storage to the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::entry::{Entry, Revision};
use domain::event::{Event, Record};
use domain::failure::{FAILURES_MAX, LoggedFailure};
use domain::ports::{StateStore, StateView};
use domain::{Bound, ComponentId, Status, Version, reduce};
use proptest::prelude::*;
use storage::MemoryStore;

use crate::fixtures::{Ticks, commit, edge, failed, id, open, registered, revision, setting, unresolved};

/// The state as a fold of `reduce::apply` over the records.
#[derive(Default)]
pub(crate) struct Model {
    entries: BTreeMap<ComponentId, Entry>,
    revisions: BTreeMap<ComponentId, BTreeMap<u32, Revision>>,
    failures: BTreeMap<ComponentId, Vec<LoggedFailure>>,
    custom: BTreeSet<String>,
    last_seq: u64,
}

impl Model {
    pub(crate) fn apply(&mut self, record: &Record) {
        self.last_seq = record.seq;
        let _ = match &record.event {
            Event::IndexCreated { key } => self.custom.insert(key.clone()),
            Event::IndexDropped { key } => self.custom.remove(key),
            _ => false,
        };
        let Some(id) = record.event.component() else { return };
        match reduce::apply(record, self.entries.remove(id)) {
            Some(entry) => drop(self.entries.insert(id.clone(), entry)),
            None => {
                self.revisions.remove(id);
                self.failures.remove(id);
                return;
            }
        }
        match &record.event {
            Event::Registered { revision, .. }
            | Event::RevisionSelected { revision, .. }
            | Event::SetBeside { revision, .. } => {
                self.revisions.entry(id.clone()).or_default().insert(revision.number, (**revision).clone());
            }
            Event::Failed { failure, count, keep, .. } => {
                let failures = self.failures.entry(id.clone()).or_default();
                failures.insert(0, LoggedFailure { seq: record.seq, failure: (**failure).clone(), count: *count });
                failures.truncate(keep.map_or(FAILURES_MAX, |keep| keep as usize));
            }
            Event::ErrorsCleared { history: true, .. } => drop(self.failures.remove(id)),
            _ => {}
        }
    }

    /// Compares every answer of `state` with the model's.
    pub(crate) fn check(&self, state: &dyn StateView) {
        assert_eq!(state.last_seq(), self.last_seq);
        let ids = self.entries.keys().filter(|id| !id.is_beside());
        assert_eq!(state.ids(None, usize::MAX).unwrap(), ids.cloned().collect::<Vec<_>>());
        assert_eq!(state.custom_indexes().unwrap(), self.custom.iter().cloned().collect::<Vec<_>>());
        let custom: Vec<String> = self.custom.iter().cloned().collect();
        let mut terms: BTreeMap<String, BTreeMap<String, Vec<ComponentId>>> = BTreeMap::new();
        let mut dependents: BTreeMap<ComponentId, BTreeSet<ComponentId>> = BTreeMap::new();
        for (id, entry) in &self.entries {
            assert_eq!(state.entry(id).unwrap().as_deref(), Some(entry));
            let revisions: Vec<Revision> = self.revisions[id].values().cloned().collect();
            let found: Vec<Revision> = state.revisions(id).unwrap().iter().map(|r| (**r).clone()).collect();
            assert_eq!(found, revisions);
            for (index, key) in reduce::terms(entry, &custom) {
                terms.entry(index).or_default().entry(key).or_default().push(id.clone());
            }
            for on in entry.dependency_ids() {
                dependents.entry(on).or_default().insert(id.clone());
            }
            let failures = self.failures.get(id).cloned().unwrap_or_default();
            assert_eq!(state.failures(Some(id), usize::MAX).unwrap(), failures);
        }
        let indexes = [
            "status",
            "kind",
            "version",
            "digest",
            "path",
            "health",
            "name",
            "provides",
            "wants",
            "beside",
            "provides-elsewhere",
        ];
        let indexes = indexes.map(str::to_owned).into_iter().chain(KEYS.map(reduce::index::custom));
        for index in indexes {
            let expected = terms.remove(&index).unwrap_or_default();
            let counts: Vec<(String, u64)> =
                expected.iter().map(|(key, ids)| (key.clone(), ids.len() as u64)).collect();
            assert_eq!(state.index_keys(&index).unwrap(), counts, "{index}");
            for (key, ids) in expected {
                assert_eq!(state.count(&index, &key).unwrap(), ids.len() as u64);
                assert_eq!(state.find(&index, &key).unwrap(), ids);
            }
        }
        for name in NAMES {
            let expected: Vec<ComponentId> = dependents.remove(&id(name)).unwrap_or_default().into_iter().collect();
            assert_eq!(state.dependents(&id(name)).unwrap(), expected, "{name}");
        }
        let mut all: Vec<LoggedFailure> = self.failures.values().flatten().cloned().collect();
        all.sort_by_key(|failure| std::cmp::Reverse(failure.seq));
        assert_eq!(state.failures(None, usize::MAX).unwrap(), all);
    }
}

const NAMES: [&str; 4] = ["a", "a-b", "b", "c"];
const KEYS: [&str; 2] = ["author", "weight"];

/// An event about one of few components; it may not fit the state, as in a damaged history.
fn event() -> impl Strategy<Value = Event> {
    (0usize..20, proptest::sample::select(&NAMES), proptest::sample::select(&NAMES), 1u32..4, any::<bool>()).prop_map(
        |(sort, name, on, number, flag)| {
            let beside = id(name).beside(&Version::new(1, 2, 3));
            // What happens to an entry happens to a revision beside the one in service, too.
            let component = if number == 3 && sort > 5 { beside.clone() } else { id(name) };
            let old_status = Status::Registered;
            match sort {
                0..=3 => registered(name, number, if flag { &[] } else { &["b", "c"] }),
                4 => Event::Unregistered { component },
                5 => Event::RevisionSelected {
                    component,
                    revision: Arc::new(revision(name, number)),
                    dependencies: vec![edge(on)],
                    unresolved: vec![],
                },
                6 => Event::EdgesResolved { component, dependencies: vec![edge(on)], unresolved: vec![unresolved()] },
                7 => Event::EdgeAdded { component, edge: edge(on) },
                8 => Event::EdgeRemoved { component, on: id(on) },
                9 => Event::Activated {
                    component,
                    old_status,
                    revision: number,
                    duration_us: 1,
                    fuel: 2,
                    asked: Some(number > 1),
                    lock: vec![Bound { edge: edge(on), revision: number, version: Version::new(1, 2, 3) }],
                },
                10 => Event::Errored { component, old_status, error: "bad".to_owned() },
                11 => Event::ErrorsCleared { component, old_status, history: flag },
                12 => failed(name, "boom"),
                13 => Event::Probed { component, healthy: flag, message: None },
                14 if flag => Event::IndexCreated { key: KEYS[number as usize % 2].to_owned() },
                14 => Event::IndexDropped { key: KEYS[number as usize % 2].to_owned() },
                15 => Event::Fused { component, with: vec![id(on)], shares_grants: flag },
                16 => Event::Unfused { component, apart: flag },
                17 => Event::SetBeside {
                    component: beside,
                    revision: Arc::new(revision(name, number)),
                    dependencies: vec![edge(on)],
                    unresolved: if flag { vec![unresolved()] } else { vec![] },
                    grants: vec![],
                    kept: flag.then(Box::default),
                },
                18 => Event::LeftBeside { component: beside },
                _ => setting(name),
            }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn any_history_leads_to_the_same_state_as_the_plain_reducer(
        decisions in proptest::collection::vec((proptest::collection::vec(event(), 0..6), 0u8..8), 1..20),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut storage = open(folder.path());
        let memory = MemoryStore::new(Ticks::new());
        let mut model = Model::default();
        let mut in_memory = Model::default();
        for (events, then) in decisions {
            for record in commit(&*storage.state, events.clone()) {
                model.apply(&record);
            }
            for record in commit(&memory, events) {
                in_memory.apply(&record);
            }
            if then == 0 {
                storage.close().unwrap();
                storage = open(folder.path());
                prop_assert_eq!(storage.warnings(), []);
            } else if then == 1 {
                storage.close().unwrap();
                std::fs::remove_dir_all(folder.path().join("index")).unwrap();
                storage = open(folder.path());
            }
            model.check(&*storage.state);
            in_memory.check(&memory);
        }
        let records = storage.state.records(1, usize::MAX).unwrap();
        prop_assert_eq!(records.len() as u64, storage.state.last_seq());
        let mut replayed = Model::default();
        records.iter().for_each(|record| replayed.apply(record));
        replayed.check(&*storage.state);
    }
}
