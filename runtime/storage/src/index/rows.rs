//! Rows of trees, wherever they are kept.

use std::ops::ControlFlow;
use std::sync::Arc;

use domain::ComponentId;
use domain::entry::Entry;
use domain::ports::StorageError;

/// One of the fixed trees of the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Tree {
    /// `id` → the entry without its revision.
    Entries,
    /// `id \0 number` → revision.
    Revisions,
    /// `dependency \0 dependent`; the other direction is in the dependent's entry.
    Edges,
    /// Terms and the number of entries under each.
    Terms,
    /// Failures by component, and all of them by age.
    Failures,
    /// `id` → counters of use.
    Usage,
    /// Schema, mark in the journal, numbers of rows, custom indexes.
    Meta,
}

impl Tree {
    /// All trees.
    pub(crate) const ALL: [Self; 7] =
        [Self::Entries, Self::Revisions, Self::Edges, Self::Terms, Self::Failures, Self::Usage, Self::Meta];

    /// Returns the tree's name on disk.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Entries => "entries",
            Self::Revisions => "revisions",
            Self::Edges => "edges",
            Self::Terms => "terms",
            Self::Failures => "failures",
            Self::Usage => "usage",
            Self::Meta => "meta",
        }
    }
}

/// Looks at one row, by key and value, and says whether to go on.
pub(crate) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StorageError> + 'a;

/// What is known of an entry without reading its row.
pub(crate) enum Known {
    /// It is this one.
    Here(Arc<Entry>),
    /// There is none.
    Gone,
    /// Nothing but that it has a row here.
    AsRow,
    /// Nothing: whatever is below has to be asked.
    Below,
}

/// Rows that can be read.
pub(crate) trait Rows: Send + Sync {
    /// Returns a row's value.
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError>;

    /// Visits the rows of a tree with keys of at least `from`, in order, until `visit` breaks off.
    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError>;

    /// Says what is known of an entry without reading its row.
    fn known_entry(&self, _id: &ComponentId) -> Known {
        Known::Below
    }
}

/// Visits the rows whose key begins with `prefix`, and hands over what follows it.
pub(crate) fn scan_prefix(
    rows: &dyn Rows,
    tree: Tree,
    prefix: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), StorageError> {
    rows.scan(tree, prefix, &mut |key, value| match key.strip_prefix(prefix) {
        Some(rest) => visit(rest, value),
        None => Ok(ControlFlow::Break(())),
    })
}

/// Returns the rows of a tree with keys of at least `from`.
#[cfg(test)]
pub(crate) fn all(rows: &dyn Rows, tree: Tree, from: &[u8]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    rows.scan(tree, from, &mut |key, value| {
        found.push((key.to_vec(), value.to_vec()));
        Ok(ControlFlow::Continue(()))
    })
    .unwrap();
    found
}
