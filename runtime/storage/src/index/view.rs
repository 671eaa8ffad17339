//! Answers questions about the state from rows.

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::sync::Arc;

use domain::entry::{Edge, Entry, Revision, StateRef, Unresolved};
use domain::failure::LoggedFailure;
use domain::ports::{StateView, StorageError};
use domain::supervision::Watch;
use domain::usage::Usage;
use domain::{Activation, ComponentId, Fusion, Granted, Status, Timestamp};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::keys;
use super::rows::{Known, Rows, Tree, scan_prefix};

/// An entry as it is kept: without its revision, which has a row of its own and never changes.
#[derive(Serialize, Deserialize)]
pub(super) struct EntryRow {
    status: Status,
    pub(super) revision: u32,
    newest: u32,
    #[serde(default, skip_serializing_if = "is_empty")]
    dependencies: Arc<Vec<Edge>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    unresolved: Vec<Unresolved>,
    registered_at: Timestamp,
    changed_at: Timestamp,
    changed_seq: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
    #[serde(default)]
    error_count: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    state: Option<StateRef>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    probe: Option<bool>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    grants: Vec<Granted>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fusion: Option<Fusion>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    waiting: Option<u32>,
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    elsewhere: BTreeSet<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trail: Vec<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    activation: Option<Arc<Activation>>,
    watch: Option<Arc<Watch>>,
}

fn is_empty(edges: &[Edge]) -> bool {
    edges.is_empty()
}

/// Writes an entry without its revision.
pub(crate) fn entry_row(entry: &Entry) -> Result<Vec<u8>, StorageError> {
    write(&EntryRow {
        status: entry.status,
        revision: entry.revision.number,
        newest: entry.newest,
        dependencies: entry.dependencies.clone(),
        unresolved: entry.unresolved.clone(),
        registered_at: entry.registered_at,
        changed_at: entry.changed_at,
        changed_seq: entry.changed_seq,
        last_error: entry.last_error.clone(),
        error_count: entry.error_count,
        state: entry.state.clone(),
        probe: entry.probe,
        grants: entry.grants.clone(),
        fusion: entry.fusion.clone(),
        waiting: entry.waiting,
        elsewhere: entry.elsewhere.clone(),
        trail: entry.trail.clone(),
        activation: entry.activation.clone(),
        watch: entry.watch.clone(),
    })
}

/// Writes a row's value.
pub(crate) fn write<T: Serialize>(value: &T) -> Result<Vec<u8>, StorageError> {
    serde_json::to_vec(value)
        .map_err(|error| StorageError::Index { reason: format!("a row cannot be written: {error}") })
}

/// Reads a row's value.
pub(crate) fn read<T: DeserializeOwned>(tree: Tree, value: &[u8]) -> Result<T, StorageError> {
    serde_json::from_slice(value).map_err(|error| bad_row(tree, &error.to_string()))
}

/// Reads an id that is part of a key.
pub(crate) fn read_id(tree: Tree, bytes: &[u8]) -> Result<ComponentId, StorageError> {
    let id = std::str::from_utf8(bytes).ok().and_then(|text| ComponentId::read(text).ok());
    id.ok_or_else(|| bad_row(tree, "its key is not an id"))
}

/// Reads a number that is a row's value.
pub(crate) fn read_number(tree: Tree, value: &[u8]) -> Result<u64, StorageError> {
    let bytes = value.try_into().map_err(|_: std::array::TryFromSliceError| bad_row(tree, "it is not a number"))?;
    Ok(u64::from_be_bytes(bytes))
}

/// Makes the error for a row that cannot be understood.
pub(crate) fn bad_row(tree: Tree, what: &str) -> StorageError {
    StorageError::Index { reason: format!("a row of `{}` is damaged: {what}", tree.name()) }
}

/// Reads an entry.
pub(crate) fn entry(rows: &dyn Rows, id: &ComponentId) -> Result<Option<Arc<Entry>>, StorageError> {
    match rows.known_entry(id) {
        Known::Here(entry) => return Ok(Some(entry)),
        Known::Gone => return Ok(None),
        Known::AsRow | Known::Below => {}
    }
    let Some(value) = rows.get(Tree::Entries, id.as_str().as_bytes())? else { return Ok(None) };
    let row: EntryRow = read(Tree::Entries, &value)?;
    let Some(revision) = revision(rows, id, row.revision)? else {
        return Err(bad_row(Tree::Entries, &format!("revision {} of {id} is missing", row.revision)));
    };
    Ok(Some(Arc::new(Entry {
        id: id.clone(),
        status: row.status,
        revision: Arc::new(revision),
        newest: row.newest,
        dependencies: row.dependencies,
        unresolved: row.unresolved,
        registered_at: row.registered_at,
        changed_at: row.changed_at,
        changed_seq: row.changed_seq,
        last_error: row.last_error,
        error_count: row.error_count,
        state: row.state,
        probe: row.probe,
        grants: row.grants,
        fusion: row.fusion,
        waiting: row.waiting,
        elsewhere: row.elsewhere,
        trail: row.trail,
        activation: row.activation,
        watch: row.watch,
    })))
}

/// Reads a revision.
pub(crate) fn revision(rows: &dyn Rows, id: &ComponentId, number: u32) -> Result<Option<Revision>, StorageError> {
    match rows.get(Tree::Revisions, &keys::revision(id, number))? {
        Some(value) => Ok(Some(read(Tree::Revisions, &value)?)),
        None => Ok(None),
    }
}

/// Reads the names of the custom indexes.
pub(crate) fn custom_indexes(rows: &dyn Rows) -> Result<Vec<String>, StorageError> {
    let mut names = Vec::new();
    scan_prefix(rows, Tree::Meta, keys::CUSTOM_INDEXES, &mut |rest, _| {
        let name = String::from_utf8(rest.to_vec());
        names.push(name.map_err(|_| bad_row(Tree::Meta, "an index's name is not text"))?);
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(names)
}

/// Returns every counter of use that can be read, to be carried over into a new index.
pub(crate) fn usage_rows(rows: &dyn Rows) -> Vec<(ComponentId, Usage)> {
    let mut found = Vec::new();
    // What comes after a row that cannot be read is lost with it.
    let _ = rows.scan(Tree::Usage, &[], &mut |key, value| {
        if let (Ok(id), Ok(usage)) = (read_id(Tree::Usage, key), read(Tree::Usage, value)) {
            found.push((id, usage));
        }
        Ok(ControlFlow::Continue(()))
    });
    found
}

/// The state as it stands in some rows.
pub(crate) struct RowsView<'a> {
    /// The rows.
    pub(crate) rows: &'a dyn Rows,
    /// Sequence number of the last record that is in them.
    pub(crate) last_seq: u64,
}

impl RowsView<'_> {
    /// Returns up to `limit` ids of rows after `after`, ordered: of entries, and of revisions beside those in service.
    pub(crate) fn all_ids(&self, after: Option<&ComponentId>, limit: usize) -> Result<Vec<ComponentId>, StorageError> {
        self.page(after, limit, |_| true)
    }

    fn page(
        &self,
        after: Option<&ComponentId>,
        limit: usize,
        is_wanted: impl Fn(&ComponentId) -> bool,
    ) -> Result<Vec<ComponentId>, StorageError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        let mut from = after.map(keys::id).unwrap_or_default();
        if after.is_some() {
            from.push(0);
        }
        self.rows.scan(Tree::Entries, &from, &mut |key, _| {
            let id = read_id(Tree::Entries, key)?;
            if is_wanted(&id) {
                found.push(id);
            }
            Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
        Ok(found)
    }
}

impl StateView for RowsView<'_> {
    fn entry(&self, id: &ComponentId) -> Result<Option<Arc<Entry>>, StorageError> {
        entry(self.rows, id)
    }

    fn revision(&self, id: &ComponentId, number: u32) -> Result<Option<Arc<Revision>>, StorageError> {
        Ok(revision(self.rows, id, number)?.map(Arc::new))
    }

    fn revisions(&self, id: &ComponentId) -> Result<Vec<Arc<Revision>>, StorageError> {
        let mut found = Vec::new();
        scan_prefix(self.rows, Tree::Revisions, &keys::revisions(id), &mut |_, value| {
            found.push(Arc::new(read(Tree::Revisions, value)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    fn dependents(&self, id: &ComponentId) -> Result<Vec<ComponentId>, StorageError> {
        let mut found = Vec::new();
        scan_prefix(self.rows, Tree::Edges, &keys::edges_to(id), &mut |rest, _| {
            found.push(read_id(Tree::Edges, rest)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    fn find(&self, index: &str, key: &str) -> Result<Vec<ComponentId>, StorageError> {
        let mut found = Vec::new();
        scan_prefix(self.rows, Tree::Terms, &keys::term(index, key), &mut |rest, _| {
            if keys::is_longer_text(rest) {
                return Ok(ControlFlow::Break(()));
            }
            found.push(read_id(Tree::Terms, rest)?);
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    fn count(&self, index: &str, key: &str) -> Result<u64, StorageError> {
        match self.rows.get(Tree::Terms, &keys::count(index, key))? {
            Some(value) => read_number(Tree::Terms, &value),
            None => Ok(0),
        }
    }

    fn index_keys(&self, index: &str) -> Result<Vec<(String, u64)>, StorageError> {
        let mut found = Vec::new();
        scan_prefix(self.rows, Tree::Terms, &keys::counts_of(index), &mut |rest, value| {
            let key = keys::read_text(rest).ok_or_else(|| bad_row(Tree::Terms, "its key is not a text"))?;
            found.push((key, read_number(Tree::Terms, value)?));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(found)
    }

    fn ids(&self, after: Option<&ComponentId>, limit: usize) -> Result<Vec<ComponentId>, StorageError> {
        self.page(after, limit, |id| !id.is_beside())
    }

    fn failures(&self, id: Option<&ComponentId>, limit: usize) -> Result<Vec<LoggedFailure>, StorageError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        match id {
            Some(id) => scan_prefix(self.rows, Tree::Failures, &keys::failures_of(id), &mut |_, value| {
                found.push(read(Tree::Failures, value)?);
                Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?,
            None => scan_prefix(self.rows, Tree::Failures, keys::FAILURES_BY_AGE, &mut |rest, _| {
                let (seq, id) = keys::read_seq(rest).ok_or_else(|| bad_row(Tree::Failures, "its key is too short"))?;
                let id = read_id(Tree::Failures, id)?;
                if let Some(value) = self.rows.get(Tree::Failures, &keys::failure(&id, seq))? {
                    found.push(read(Tree::Failures, &value)?);
                }
                Ok(if found.len() < limit { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
            })?,
        }
        Ok(found)
    }

    fn usage(&self, id: &ComponentId) -> Result<Usage, StorageError> {
        match self.rows.get(Tree::Usage, &keys::id(id))? {
            Some(value) => read(Tree::Usage, &value),
            None => Ok(Usage::default()),
        }
    }

    fn custom_indexes(&self) -> Result<Vec<String>, StorageError> {
        custom_indexes(self.rows)
    }

    fn last_seq(&self) -> u64 {
        self.last_seq
    }
}

#[cfg(test)]
mod tests {
    use domain::entry::DeclaredBy;

    use super::*;

    #[test]
    fn an_edge_of_each_kind_survives_a_row() {
        let edges = [
            Edge {
                on: "demo:b".parse().unwrap(),
                kind: domain::EdgeKind::Declared { range: "^1".parse().unwrap(), origin: DeclaredBy::Operator },
            },
            Edge {
                on: "demo:c".parse().unwrap(),
                kind: domain::EdgeKind::Import { import: "a:b/c@1.0.0".to_owned(), export: "a:b/c@1.2.0".to_owned() },
            },
        ];
        let row = write(&edges.to_vec()).unwrap();
        assert_eq!(read::<Vec<Edge>>(Tree::Entries, &row).unwrap(), edges);
    }
}
