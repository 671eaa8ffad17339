//! How events add up to state, and under which terms an entry can be found.
//!
//! Both are pure, so that a live registry, a replay after a crash and a fake in a test cannot disagree.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::activation::Activation;
use crate::entry::{DeclaredBy, Edge, EdgeKind, Entry, Need, Revision, Unresolved};
use crate::event::{Event, Record};
use crate::fusion::Fusion;
use crate::grant::{self, Granted};
use crate::id::ComponentId;
use crate::inspection::{ExternItem, ExternKind};
use crate::status::Status;
use crate::supervision::Watch;

/// Applies one record to the entry that it is about.
///
/// `entry` is the entry as it was, `None` if there was none; the result is the entry as it is afterwards, `None` if it
/// is gone. Records about no entry, or about one that does not exist, change nothing.
pub fn apply(record: &Record, entry: Option<Entry>) -> Option<Entry> {
    let mut entry = match (&record.event, entry) {
        (Event::Unregistered { .. } | Event::LeftBeside { .. }, _) => return None,
        (Event::SetBeside { component, revision, dependencies, unresolved, grants, kept }, None) => {
            let mut entry = new_entry(record, component, revision, dependencies, unresolved);
            entry.grants.clone_from(grants);
            // What others are fused with is in service.
            entry.fusion = Some(Fusion::default());
            if let Some(kept) = kept {
                entry.status = Status::Active;
                entry.activation.clone_from(&kept.activation);
                entry.state.clone_from(&kept.state);
            }
            return Some(entry);
        }
        (Event::Registered { component, revision, dependencies, unresolved, .. }, None) => {
            return Some(new_entry(record, component, revision, dependencies, unresolved));
        }
        (_, None) => return None,
        (_, Some(entry)) => entry,
    };
    if !apply_to(record, &mut entry) {
        return Some(entry);
    }
    entry.changed_at = record.at;
    entry.changed_seq = record.seq;
    Some(entry)
}

/// Returns the entry that begins with `record`.
fn new_entry(
    record: &Record,
    id: &ComponentId,
    revision: &Arc<Revision>,
    dependencies: &[Edge],
    unresolved: &[Unresolved],
) -> Entry {
    Entry {
        changed_seq: record.seq,
        dependencies: Arc::new(dependencies.to_vec()),
        unresolved: unresolved.to_vec(),
        ..Entry::new(id.clone(), revision.clone(), record.at)
    }
}

/// Changes `entry` as the record's event says; `false` if the event is not about an entry's state.
fn apply_to(record: &Record, entry: &mut Entry) -> bool {
    match &record.event {
        Event::Registered { revision, current, dependencies, unresolved, .. } => {
            entry.newest = entry.newest.max(revision.number);
            if *current {
                entry.point_to(revision.clone());
            } else {
                entry.waiting = Some(revision.number);
                entry.note_elsewhere(revision);
            }
            entry.dependencies = Arc::new(dependencies.clone());
            entry.unresolved.clone_from(unresolved);
        }
        Event::RevisionSelected { revision, dependencies, unresolved, .. } => {
            entry.point_to(revision.clone());
            entry.dependencies = Arc::new(dependencies.clone());
            entry.unresolved.clone_from(unresolved);
        }
        Event::EdgesResolved { dependencies, unresolved, .. } => {
            entry.dependencies = Arc::new(dependencies.clone());
            entry.unresolved.clone_from(unresolved);
        }
        Event::EdgeAdded { edge, .. } => {
            let dependencies = Arc::make_mut(&mut entry.dependencies);
            dependencies.retain(|old| !(old.on.is_same_entry(&edge.on) && is_operators(old)));
            dependencies.push(edge.clone());
            dependencies.sort_by(|a, b| a.on.cmp(&b.on));
        }
        Event::EdgeRemoved { on, .. } => {
            Arc::make_mut(&mut entry.dependencies).retain(|edge| !(edge.on.is_same_entry(on) && is_operators(edge)));
        }
        Event::Activated { revision, asked, lock, .. } => {
            entry.status = Status::Active;
            entry.activation = Some(Arc::new(Activation {
                at: record.at,
                by: record.actor.clone(),
                seq: record.seq,
                revision: *revision,
                asked: *asked,
                lock: lock.clone(),
            }));
            // What failed before stays in the history and in the count; it is not how the entry stands now.
            entry.last_error = None;
            entry.probe = None;
            // It begins anew.
            forget_failures(record, entry);
        }
        Event::Recovered { relapse, .. } => {
            entry.status = Status::Active;
            entry.last_error = None;
            entry.probe = None;
            let watch = Watch { relapse: Some(*relapse), counts_after: record.seq, ..Watch::default() };
            entry.watch = Some(Arc::new(watch));
        }
        Event::Deactivated { lost, .. } => {
            entry.status = Status::Inactive;
            entry.probe = None;
            keep_watch(entry, |watch| {
                watch.lost.clone_from(lost);
                watch.quarantine = None;
            });
        }
        Event::Errored { error, .. } => {
            entry.status = Status::Error;
            entry.last_error = Some(error.clone());
            keep_watch(entry, |watch| {
                watch.lost = None;
                watch.quarantine = None;
            });
        }
        Event::Quarantined { error, quarantine, .. } => {
            entry.status = Status::Error;
            entry.last_error = Some(error.clone());
            keep_watch(entry, |watch| {
                watch.lost = None;
                watch.quarantine = Some(quarantine.clone());
            });
        }
        Event::ErrorsCleared { history, .. } => {
            if entry.status == Status::Error {
                entry.status = Status::Registered;
            }
            if *history {
                entry.last_error = None;
                entry.error_count = 0;
            }
            entry.probe = None;
            forget_failures(record, entry);
        }
        Event::Failed { failure, count, .. } => {
            entry.last_error = Some(failure.message.clone());
            entry.error_count = entry.error_count.saturating_add(*count);
        }
        Event::StateSaved { state, .. } => entry.state.clone_from(state),
        Event::Probed { healthy, .. } => entry.probe = Some(*healthy),
        Event::Granted { grants, rule, .. } => {
            for grant in grants {
                let granted =
                    Granted { grant: grant.clone(), since: record.at, by: record.actor.clone(), rule: rule.clone() };
                grant::put(&mut entry.grants, granted);
            }
        }
        Event::Revoked { grants, .. } => {
            entry.grants.retain(|granted| !grants.iter().any(|gone| gone.is_same_place(&granted.grant)));
        }
        Event::Fused { with, shares_grants, .. } => {
            entry.fusion = Some(Fusion { with: with.clone(), shares_grants: *shares_grants });
        }
        Event::Unfused { apart, .. } => entry.fusion = apart.then(Fusion::default),
        // Nothing but the history of it.
        Event::Restarted { .. } => {}
        Event::Refused { .. }
        | Event::HealthDropped { .. }
        | Event::HealthRestored { .. }
        | Event::IndexCreated { .. }
        | Event::IndexDropped { .. }
        | Event::ConfigSet { .. }
        // It is there already.
        | Event::SetBeside { .. }
        | Event::LeftBeside { .. }
        | Event::Unregistered { .. } => return false,
    }
    true
}

/// Changes what is remembered of an entry; nothing to remember is no memory.
fn keep_watch(entry: &mut Entry, change: impl FnOnce(&mut Watch)) {
    let mut watch = entry.watch.take().map(Arc::unwrap_or_clone).unwrap_or_default();
    change(&mut watch);
    entry.watch = (!watch.is_empty()).then(|| Arc::new(watch));
}

/// Lets the failures that were recorded so far count no more; those of an entry without any need no memory.
fn forget_failures(record: &Record, entry: &mut Entry) {
    let counts_after = if entry.error_count > 0 { record.seq } else { 0 };
    entry.watch = (counts_after > 0).then(|| Arc::new(Watch { counts_after, ..Watch::default() }));
}

fn is_operators(edge: &Edge) -> bool {
    matches!(&edge.kind, EdgeKind::Declared { origin: DeclaredBy::Operator, .. })
}

/// Names of the indexes that every registry keeps; custom ones are called `meta:<key>`.
pub mod index {
    /// By status.
    pub const STATUS: &str = "status";
    /// By kind.
    pub const KIND: &str = "kind";
    /// By the version of the revision that the entry points to.
    pub const VERSION: &str = "version";
    /// By digest of that revision.
    pub const DIGEST: &str = "digest";
    /// By the file that was registered.
    pub const PATH: &str = "path";
    /// By health: `healthy` or `unhealthy`.
    pub const HEALTH: &str = "health";
    /// By the id's name without its namespace.
    pub const NAME: &str = "name";
    /// By the [track](crate::InterfaceName::track) of each exported interface, and by the name of each exported function.
    pub const PROVIDES: &str = "provides";
    /// By what other revisions of the entry export, as in [`PROVIDES`].
    pub const PROVIDES_ELSEWHERE: &str = "provides-elsewhere";
    /// Revisions beside the one in service, by the id of their entry; they are found under nothing else.
    pub const BESIDE: &str = "beside";
    /// By the track of each import that is not resolved, or the id of each missing declared dependency.
    pub const WANTS: &str = "wants";

    /// Numbers of entries by namespace; nothing is found under it.
    pub const NAMESPACE: &str = "namespace";
    /// Bytes of all revisions by namespace, in the place of numbers of entries; nothing is found under it.
    pub const NAMESPACE_BYTES: &str = "namespace-bytes";

    /// Returns the name of the custom index on a metadata key.
    pub fn custom(key: &str) -> String {
        format!("meta:{key}")
    }
}

/// One term under which an entry is found: the index's name and the key in it.
pub type Term = (String, String);

/// Returns every term under which `entry` is found; `custom` are the metadata keys that are indexed.
///
/// Storage keeps the indexes equal to these terms by comparing those of an entry before and after an event.
pub fn terms(entry: &Entry, custom: &[String]) -> BTreeSet<Term> {
    let revision = &entry.revision;
    let mut terms = BTreeSet::new();
    if entry.id.is_beside() {
        terms.insert((index::BESIDE.to_owned(), entry.id.entry().to_string()));
        for unresolved in &entry.unresolved {
            terms.insert((index::WANTS.to_owned(), wanted_key(&unresolved.need)));
        }
        return terms;
    }
    let mut add = |index: &str, key: String| {
        terms.insert((index.to_owned(), key));
    };
    for (index, word) in state_terms(entry) {
        add(index, word.to_owned());
    }
    add(index::KIND, revision.kind().to_string());
    add(index::VERSION, revision.version.to_string());
    add(index::DIGEST, revision.digest.to_string());
    add(index::NAME, entry.id.name().to_owned());
    if let Some(path) = &revision.path {
        add(index::PATH, path.clone());
    }
    for export in &revision.exports {
        if let Some(key) = provided_key(export) {
            add(index::PROVIDES, key);
        }
    }
    for key in &entry.elsewhere {
        add(index::PROVIDES_ELSEWHERE, key.clone());
    }
    for unresolved in &entry.unresolved {
        add(index::WANTS, wanted_key(&unresolved.need));
    }
    for key in custom {
        for value in metadata_values(revision.manifest.metadata.get(key)) {
            add(&index::custom(key), value);
        }
    }
    terms
}

/// Returns the terms that an entry's state gives it, whatever its revision is.
fn state_terms(entry: &Entry) -> [(&'static str, &'static str); 2] {
    let health = if entry.is_healthy() { "healthy" } else { "unhealthy" };
    [(index::STATUS, entry.status.as_str()), (index::HEALTH, health)]
}

/// What changed of the terms of one index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChangedTerm {
    /// The index's name.
    pub index: &'static str,
    /// The key under which the entry was found.
    pub old: &'static str,
    /// The key under which it is found now.
    pub new: &'static str,
}

/// Returns how the [`terms`] of an entry change where it stays at its revision and waits for the same as before; `None` where it does
/// not, so that all of them have to be compared.
pub fn changed_terms(before: &Entry, after: &Entry) -> Option<Vec<ChangedTerm>> {
    if !Arc::ptr_eq(&before.revision, &after.revision) || before.unresolved != after.unresolved {
        return None;
    }
    if before.elsewhere != after.elsewhere {
        return None;
    }
    if before.id.is_beside() {
        return Some(Vec::new());
    }
    let both = state_terms(before).into_iter().zip(state_terms(after));
    let changed = both.filter(|((_, old), (_, new))| old != new);
    Some(changed.map(|((index, old), (_, new))| ChangedTerm { index, old, new }).collect())
}

/// Returns the key under which a provider of `export` is found, `None` if it gives no edges.
pub fn provided_key(export: &ExternItem) -> Option<String> {
    match export.kind {
        ExternKind::Interface => {
            let name = export.interface()?;
            (!name.is_lifecycle()).then(|| name.track())
        }
        ExternKind::Function => Some(export.name.clone()),
        ExternKind::TypesOnly | ExternKind::Other => None,
    }
}

/// Returns the key under which an entry waits for `need`.
pub fn wanted_key(need: &Need) -> String {
    match need {
        Need::Import(name) => match name.parse::<crate::InterfaceName>() {
            Ok(interface) => interface.track(),
            Err(_) => name.clone(),
        },
        Need::Component(id) => id.to_string(),
    }
}

/// Returns the texts by which a metadata value is found: scalars as they are, lists by each element.
pub fn metadata_values(value: Option<&serde_json::Value>) -> Vec<String> {
    match value {
        None | Some(serde_json::Value::Null | serde_json::Value::Object(_)) => Vec::new(),
        Some(serde_json::Value::String(text)) => vec![text.clone()],
        Some(serde_json::Value::Array(items)) => items.iter().flat_map(|item| metadata_values(Some(item))).collect(),
        Some(other @ (serde_json::Value::Bool(_) | serde_json::Value::Number(_))) => {
            vec![other.to_string()]
        }
    }
}
