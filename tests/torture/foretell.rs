//! What commands do that follow edges.

use std::collections::BTreeSet;

use crate::model::{Changes, Model};
use crate::operation::{Kind, Operation};

/// Unregisters what is not active and what nothing needs that stays.
pub(crate) fn prune(model: &Model) -> Operation {
    let mut operation = Operation::new(&["prune", "--unused-for", "0s"], Kind::Prune, 120);
    for id in model.entries.keys() {
        if model.with_dependents(id).iter().all(|id| !model.entries[id].is_active()) {
            operation.changes.insert(id.clone(), vec![None]);
        }
    }
    operation
}

/// Returns what the activation of a component changes; `None` if something that it needs is not there.
pub(crate) fn activation(model: &Model, target: &str, version: Option<&str>) -> Option<Changes> {
    let mut changes = Changes::new();
    let mut waiting = vec![(target.to_owned(), version)];
    let mut seen = BTreeSet::new();
    while let Some((id, version)) = waiting.pop() {
        let entry = model.entries.get(&id)?;
        let number = match version {
            Some(version) => entry.with_version(version)?,
            None => entry.current,
        };
        if !seen.insert(id.clone()) {
            continue;
        }
        let revision = &entry.revisions[&number];
        waiting.extend(revision.needs.iter().chain(&entry.declared).map(|need| (need.clone(), None)));
        if !entry.is_active() || entry.current != number {
            changes.insert(id, vec![Some(entry.activated(number))]);
        }
    }
    Some(changes)
}

/// Returns what an activation changes that is refused because something is not there: what takes the place of an active revision
/// has all else that it needs activated first.
pub(crate) fn blocked(model: &Model, id: &str, version: Option<&str>) -> Changes {
    let Some((entry, version)) = model.entries.get(id).zip(version).filter(|(entry, _)| entry.is_active()) else {
        return Changes::new();
    };
    let number = entry.with_version(version).unwrap();
    let needs = entry.revisions[&number].needs.iter().chain(&entry.declared);
    needs.filter_map(|need| activation(model, need, None)).flatten().collect()
}
