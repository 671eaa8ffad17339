//! Changes rows as the events say.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use domain::entry::{Entry, Revision};
use domain::failure::{FAILURES_MAX, Failure, LoggedFailure};
use domain::ports::{StateView, StorageError};
use domain::reduce::{self, ChangedTerm, Term, index};
use domain::usage::Usage;
use domain::{ComponentId, Event, Record};

use super::keys;
use super::overlay::Overlay;
use super::rows::{Rows, Tree, scan_prefix};
use super::snapshot::EntryLine;
use super::view::{self, RowsView, read_number, write};

/// How many entries a new custom index looks at at once.
const BACKFILL_PAGE: usize = 1_000;

/// Applies one record.
///
/// # Errors
/// [`StorageError`] if rows cannot be read; the overlay is then worthless.
pub(crate) fn apply(rows: &mut Overlay<'_>, record: &Record) -> Result<(), StorageError> {
    match &record.event {
        Event::IndexCreated { key } => return create_index(rows, key),
        Event::IndexDropped { key } => return drop_index(rows, key),
        Event::Refused { .. }
        | Event::ConfigSet { .. }
        | Event::HealthDropped { .. }
        | Event::HealthRestored { .. } => return Ok(()),
        Event::Registered { .. }
        | Event::Unregistered { .. }
        | Event::RevisionSelected { .. }
        | Event::SetBeside { .. }
        | Event::LeftBeside { .. }
        | Event::EdgesResolved { .. }
        | Event::EdgeAdded { .. }
        | Event::EdgeRemoved { .. }
        | Event::Activated { .. }
        | Event::Deactivated { .. }
        | Event::Errored { .. }
        | Event::Quarantined { .. }
        | Event::Recovered { .. }
        | Event::Restarted { .. }
        | Event::ErrorsCleared { .. }
        | Event::Failed { .. }
        | Event::StateSaved { .. }
        | Event::Probed { .. }
        | Event::Granted { .. }
        | Event::Revoked { .. }
        | Event::Fused { .. }
        | Event::Unfused { .. } => {}
    }
    let Some(id) = record.event.component() else { return Ok(()) };
    let before = view::entry(rows, id)?;
    let after = reduce::apply(record, before.as_deref().cloned());
    if before.is_none() && after.is_some() && !id.is_beside() {
        count(rows, index::NAMESPACE, id.namespace(), |number| number + 1)?;
    }
    change_terms(rows, before.as_deref(), after.as_ref())?;
    change_edges(rows, id, before.as_deref(), after.as_ref());
    match after {
        Some(after) => {
            rows.changes.put_entry(Arc::new(after));
            apply_beside(rows, record)
        }
        None if before.is_some() => forget(rows, id),
        // About an entry that does not exist: nothing changes.
        None => Ok(()),
    }
}

/// Changes what is kept beside an entry that exists: its revisions and failures.
fn apply_beside(rows: &mut Overlay<'_>, record: &Record) -> Result<(), StorageError> {
    match &record.event {
        Event::Registered { component, revision, .. }
        | Event::RevisionSelected { component, revision, .. }
        | Event::SetBeside { component, revision, .. } => put_revision(rows, component, revision),
        Event::Failed { component, failure, count, keep } => {
            let keep = keep.and_then(|keep| usize::try_from(keep).ok()).unwrap_or(FAILURES_MAX);
            let logged = LoggedFailure { seq: record.seq, failure: Failure::clone(failure), count: *count };
            log_failure(rows, component, &logged, keep)
        }
        Event::ErrorsCleared { component, history: true, .. } => clear_failures(rows, component),
        _ => Ok(()),
    }
}

fn put_revision(rows: &mut Overlay<'_>, id: &ComponentId, revision: &Revision) -> Result<(), StorageError> {
    let old = view::revision(rows, id, revision.number)?.map_or(0, |old| old.size);
    // One beside that in service is its entry's as well, and counted there.
    if old != revision.size && !id.is_beside() {
        let change = |bytes: u64| bytes.saturating_sub(old).saturating_add(revision.size);
        count(rows, index::NAMESPACE_BYTES, id.namespace(), change)?;
    }
    rows.changes.put(Tree::Revisions, keys::revision(id, revision.number), write(revision)?);
    Ok(())
}

fn change_terms(rows: &mut Overlay<'_>, before: Option<&Entry>, after: Option<&Entry>) -> Result<(), StorageError> {
    if let (Some(before), Some(after)) = (before, after)
        && let Some(changed) = reduce::changed_terms(before, after)
    {
        for ChangedTerm { index, old, new } in changed {
            lose_term(rows, index, old, &after.id)?;
            gain_term(rows, index, new, &after.id)?;
        }
        return Ok(());
    }
    let custom = view::custom_indexes(rows)?;
    let terms = |entry: Option<&Entry>| entry.map(|entry| reduce::terms(entry, &custom)).unwrap_or_default();
    let (old, new): (BTreeSet<Term>, BTreeSet<Term>) = (terms(before), terms(after));
    let Some(id) = after.or(before).map(|entry| &entry.id) else { return Ok(()) };
    for (index, word) in old.difference(&new) {
        lose_term(rows, index, word, id)?;
    }
    for (index, word) in new.difference(&old) {
        gain_term(rows, index, word, id)?;
    }
    Ok(())
}

fn lose_term(rows: &mut Overlay<'_>, index: &str, word: &str, id: &ComponentId) -> Result<(), StorageError> {
    rows.changes.remove(Tree::Terms, keys::term_entry(index, word, id));
    count(rows, index, word, |number| number.saturating_sub(1))
}

fn gain_term(rows: &mut Overlay<'_>, index: &str, word: &str, id: &ComponentId) -> Result<(), StorageError> {
    rows.changes.put(Tree::Terms, keys::term_entry(index, word, id), Vec::new());
    count(rows, index, word, |number| number + 1)
}

fn count(rows: &mut Overlay<'_>, index: &str, word: &str, change: impl FnOnce(u64) -> u64) -> Result<(), StorageError> {
    let key = keys::count(index, word);
    let number = match rows.get(Tree::Terms, &key)? {
        Some(value) => read_number(Tree::Terms, &value)?,
        None => 0,
    };
    match change(number) {
        0 => rows.changes.remove(Tree::Terms, key),
        number => rows.changes.put(Tree::Terms, key, number.to_be_bytes().to_vec()),
    }
    Ok(())
}

fn change_edges(rows: &mut Overlay<'_>, id: &ComponentId, before: Option<&Entry>, after: Option<&Entry>) {
    if let (Some(before), Some(after)) = (before, after)
        && before.dependencies == after.dependencies
    {
        return;
    }
    let dependencies = |entry: Option<&Entry>| entry.map(Entry::dependency_ids).unwrap_or_default();
    let (old, new) = (dependencies(before), dependencies(after));
    for gone in old.iter().filter(|on| !new.contains(on)) {
        rows.changes.remove(Tree::Edges, keys::edge(gone, id));
    }
    for come in new.iter().filter(|on| !old.contains(on)) {
        rows.changes.put(Tree::Edges, keys::edge(come, id), Vec::new());
    }
}

/// Removes what is kept beside an entry that is gone.
fn forget(rows: &mut Overlay<'_>, id: &ComponentId) -> Result<(), StorageError> {
    if !id.is_beside() {
        let revisions = RowsView { rows, last_seq: 0 }.revisions(id)?;
        let bytes = revisions.iter().fold(0, |sum: u64, revision| sum.saturating_add(revision.size));
        count(rows, index::NAMESPACE_BYTES, id.namespace(), |sum| sum.saturating_sub(bytes))?;
        count(rows, index::NAMESPACE, id.namespace(), |number| number.saturating_sub(1))?;
    }
    let beginning = keys::revisions(id);
    for key in keys_under(rows, Tree::Revisions, &beginning)? {
        rows.changes.remove(Tree::Revisions, key);
    }
    clear_failures(rows, id)?;
    rows.changes.remove(Tree::Usage, keys::id(id));
    rows.changes.remove(Tree::Entries, keys::id(id));
    Ok(())
}

fn keys_under(rows: &Overlay<'_>, tree: Tree, beginning: &[u8]) -> Result<Vec<Vec<u8>>, StorageError> {
    let mut found = Vec::new();
    scan_prefix(rows, tree, beginning, &mut |rest, _| {
        found.push([beginning, rest].concat());
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

fn log_failure(
    rows: &mut Overlay<'_>,
    id: &ComponentId,
    logged: &LoggedFailure,
    keep: usize,
) -> Result<(), StorageError> {
    rows.changes.put(Tree::Failures, keys::failure(id, logged.seq), write(logged)?);
    rows.changes.put(Tree::Failures, keys::failure_by_age(id, logged.seq), Vec::new());
    // Newest first, so whatever comes after the bound is the oldest.
    for seq in failure_seqs(rows, id)?.into_iter().skip(keep) {
        remove_failure(rows, id, seq);
    }
    Ok(())
}

fn clear_failures(rows: &mut Overlay<'_>, id: &ComponentId) -> Result<(), StorageError> {
    for seq in failure_seqs(rows, id)? {
        remove_failure(rows, id, seq);
    }
    Ok(())
}

fn remove_failure(rows: &mut Overlay<'_>, id: &ComponentId, seq: u64) {
    rows.changes.remove(Tree::Failures, keys::failure(id, seq));
    rows.changes.remove(Tree::Failures, keys::failure_by_age(id, seq));
}

fn failure_seqs(rows: &Overlay<'_>, id: &ComponentId) -> Result<Vec<u64>, StorageError> {
    let mut found = Vec::new();
    scan_prefix(rows, Tree::Failures, &keys::failures_of(id), &mut |rest, _| {
        let (seq, _) = keys::read_seq(rest).ok_or_else(|| view::bad_row(Tree::Failures, "its key is too short"))?;
        found.push(seq);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Puts an entry of a snapshot over rows that do not have it.
pub(super) fn restore_entry(rows: &mut Overlay<'_>, line: EntryLine) -> Result<(), StorageError> {
    let EntryLine { component: id, entry, revisions, failures, usage } = line;
    rows.changes.put(Tree::Entries, keys::id(&id), write(&entry)?);
    if !id.is_beside() {
        count(rows, index::NAMESPACE, id.namespace(), |number| number + 1)?;
    }
    for revision in &revisions {
        put_revision(rows, &id, revision)?;
    }
    for logged in &failures {
        rows.changes.put(Tree::Failures, keys::failure(&id, logged.seq), write(logged)?);
        rows.changes.put(Tree::Failures, keys::failure_by_age(&id, logged.seq), Vec::new());
    }
    if let Some(usage) = usage {
        rows.changes.put(Tree::Usage, keys::id(&id), write(&usage)?);
    }
    let after = view::entry(rows, &id)?;
    change_terms(rows, None, after.as_deref())?;
    change_edges(rows, &id, None, after.as_deref());
    Ok(())
}

/// Makes a custom index and puts the entries that are there into it.
fn create_index(rows: &mut Overlay<'_>, key: &str) -> Result<(), StorageError> {
    let name = keys::custom_index(key);
    if rows.get(Tree::Meta, &name)?.is_some() {
        return Ok(());
    }
    rows.changes.put(Tree::Meta, name, Vec::new());
    let index = reduce::index::custom(key);
    let custom = [key.to_owned()];
    let mut after: Option<ComponentId> = None;
    loop {
        let page = RowsView { rows, last_seq: 0 }.ids(after.as_ref(), BACKFILL_PAGE)?;
        let Some(last) = page.last().cloned() else { return Ok(()) };
        for id in page {
            let Some(entry) = view::entry(rows, &id)? else { continue };
            for (_, word) in reduce::terms(&entry, &custom).into_iter().filter(|(of, _)| *of == index) {
                gain_term(rows, &index, &word, &id)?;
            }
        }
        after = Some(last);
    }
}

fn drop_index(rows: &mut Overlay<'_>, key: &str) -> Result<(), StorageError> {
    let index = reduce::index::custom(key);
    rows.changes.remove(Tree::Meta, keys::custom_index(key));
    for beginning in [keys::terms_of(&index), keys::counts_of(&index)] {
        for key in keys_under(rows, Tree::Terms, &beginning)? {
            rows.changes.remove(Tree::Terms, key);
        }
    }
    Ok(())
}

/// Adds to the counters of use of the entries that there are.
pub(crate) fn add_usage(rows: &mut Overlay<'_>, usage: &[(ComponentId, Usage)]) -> Result<(), StorageError> {
    for (id, more) in usage {
        if rows.get(Tree::Entries, &keys::id(id))?.is_none() {
            continue;
        }
        let mut sum = RowsView { rows, last_seq: 0 }.usage(id)?;
        sum.merge(more);
        rows.changes.put(Tree::Usage, keys::id(id), write(&sum)?);
    }
    Ok(())
}
