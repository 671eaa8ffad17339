//! Changes that are not made yet, laid over the rows that they will change.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use domain::ComponentId;
use domain::entry::Entry;
use domain::ports::StorageError;

use super::rows::{Known, Rows, Tree, Visit};
use super::view::entry_row;

/// Changes of rows: `None` removes a row. A copy shares keys and values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    trees: [BTreeMap<Arc<[u8]>, Option<Value>>; Tree::ALL.len()],
}

/// What a row is to be.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// These bytes.
    Bytes(Arc<[u8]>),
    /// An entry, which is written when its row is read: many are changed again before.
    Entry(Arc<Entry>),
}

impl Value {
    /// Returns the row.
    pub(crate) fn bytes(&self) -> Result<Cow<'_, [u8]>, StorageError> {
        match self {
            Self::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
            Self::Entry(entry) => entry_row(entry).map(Cow::Owned),
        }
    }
}

impl Changes {
    /// Puts a row.
    pub(crate) fn put(&mut self, tree: Tree, key: Vec<u8>, value: Vec<u8>) {
        self.set(tree, key, Some(Value::Bytes(value.into())));
    }

    /// Puts the row of an entry.
    pub(crate) fn put_entry(&mut self, entry: Arc<Entry>) {
        let key = entry.id.as_str().as_bytes().to_vec();
        self.set(Tree::Entries, key, Some(Value::Entry(entry)));
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, tree: Tree, key: Vec<u8>) {
        self.set(tree, key, None);
    }

    fn set(&mut self, tree: Tree, key: Vec<u8>, value: Option<Value>) {
        if let Some(rows) = self.trees.get_mut(tree as usize) {
            rows.insert(key.into(), value);
        }
    }

    #[expect(clippy::indexing_slicing, reason = "each tree has its place")]
    fn of(&self, tree: Tree) -> &BTreeMap<Arc<[u8]>, Option<Value>> {
        &self.trees[tree as usize]
    }

    /// Tells whether a row is put or removed.
    pub(crate) fn has(&self, tree: Tree, key: &[u8]) -> bool {
        self.of(tree).contains_key(key)
    }

    /// Adds later changes.
    pub(crate) fn absorb(&mut self, later: Self) {
        for (rows, later) in self.trees.iter_mut().zip(later.trees) {
            match rows.is_empty() {
                true => *rows = later,
                false => rows.extend(later),
            }
        }
    }

    /// Returns every changed row, ordered by tree and key.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Tree, &[u8], Option<&Value>)> {
        let of = |tree: Tree| self.of(tree).iter().map(move |(key, value)| (tree, key.as_ref(), value.as_ref()));
        Tree::ALL.into_iter().flat_map(of)
    }

    /// Returns the entries that are put as such.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<Entry>> {
        self.of(Tree::Entries).values().filter_map(|value| match value {
            Some(Value::Entry(entry)) => Some(entry),
            Some(Value::Bytes(_)) | None => None,
        })
    }

    /// Says what is known here of an entry.
    pub(crate) fn known_entry(&self, id: &ComponentId) -> Known {
        match self.of(Tree::Entries).get(id.as_str().as_bytes()) {
            Some(Some(Value::Entry(entry))) => Known::Here(entry.clone()),
            Some(Some(Value::Bytes(_))) => Known::AsRow,
            Some(None) => Known::Gone,
            None => Known::Below,
        }
    }

    /// Tells whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.trees.iter().all(BTreeMap::is_empty)
    }

    /// Returns the number of changed rows.
    pub(crate) fn len(&self) -> usize {
        self.trees.iter().map(BTreeMap::len).sum()
    }
}

/// Rows with changes laid over them.
pub(crate) struct Overlay<'a> {
    below: &'a dyn Rows,
    /// What is laid over the rows below.
    pub(crate) changes: Changes,
}

impl<'a> Overlay<'a> {
    /// Lays nothing over `below` yet.
    pub(crate) fn over(below: &'a dyn Rows) -> Self {
        Self { below, changes: Changes::default() }
    }

    /// Returns the changes.
    pub(crate) fn into_changes(self) -> Changes {
        self.changes
    }
}

impl Rows for Overlay<'_> {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        merged_get(self.below, &self.changes, tree, key)
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        merged_scan(self.below, &self.changes, tree, from, visit)
    }

    fn known_entry(&self, id: &ComponentId) -> Known {
        match self.changes.known_entry(id) {
            Known::Below => self.below.known_entry(id),
            known => known,
        }
    }
}

/// Rows with changes of somebody else's laid over them.
pub(super) struct Over<'a> {
    pub(super) below: &'a dyn Rows,
    pub(super) changes: &'a Changes,
}

impl Rows for Over<'_> {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        merged_get(self.below, self.changes, tree, key)
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        merged_scan(self.below, self.changes, tree, from, visit)
    }
}

/// Returns a row's value as it is with `changes` made to the rows `below`.
pub(super) fn merged_get(
    below: &dyn Rows,
    changes: &Changes,
    tree: Tree,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StorageError> {
    match changes.of(tree).get(key) {
        Some(Some(value)) => value.bytes().map(|bytes| Some(bytes.into_owned())),
        Some(None) => Ok(None),
        None => below.get(tree, key),
    }
}

/// Visits the rows of a tree as they are with `changes` made to the rows `below`.
pub(super) fn merged_scan(
    below: &dyn Rows,
    changes: &Changes,
    tree: Tree,
    from: &[u8],
    visit: &mut Visit<'_>,
) -> Result<(), StorageError> {
    let from_here = (Bound::Included(from), Bound::Unbounded);
    let mut changed = changes.of(tree).range::<[u8], _>(from_here).map(|(key, value)| (key.as_ref(), value)).peekable();
    let mut ended = false;
    below.scan(tree, from, &mut |key, value| {
        while let Some((changed_key, changed_value)) = changed.next_if(|(changed, _)| *changed < key) {
            if let Some(changed_value) = changed_value
                && visit(changed_key, &changed_value.bytes()?)? == ControlFlow::Break(())
            {
                ended = true;
                return Ok(ControlFlow::Break(()));
            }
        }
        let flow = match changed.next_if(|(changed, _)| *changed == key) {
            Some((_, None)) => return Ok(ControlFlow::Continue(())),
            Some((_, Some(value))) => visit(key, &value.bytes()?)?,
            None => visit(key, value)?,
        };
        ended |= flow == ControlFlow::Break(());
        Ok(flow)
    })?;
    if ended {
        return Ok(());
    }
    for (key, value) in changed {
        if let Some(value) = value
            && visit(key, &value.bytes()?)? == ControlFlow::Break(())
        {
            return Ok(());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::MapRows;
    use crate::index::rows::all;

    proptest! {
        #[test]
        fn reads_as_if_the_changes_were_made(
            first in proptest::collection::vec((0u8..20, proptest::option::of(0u8..9)), 0..30),
            second in proptest::collection::vec((0u8..20, proptest::option::of(0u8..9)), 0..30),
            from in 0u8..20,
            stop in 0usize..20,
        ) {
            let changes = |list: &[(u8, Option<u8>)]| {
                let mut changes = Changes::default();
                for (key, value) in list {
                    match value {
                        Some(value) => changes.put(Tree::Terms, vec![*key], vec![*value]),
                        None => changes.remove(Tree::Terms, vec![*key]),
                    }
                }
                changes
            };
            let below = MapRows::default();
            below.change(&changes(&first)).unwrap();
            let made = MapRows::default();
            made.change(&changes(&first)).unwrap();
            made.change(&changes(&second)).unwrap();
            let mut overlay = Overlay::over(&below);
            overlay.changes.absorb(changes(&second));
            prop_assert_eq!(all(&overlay, Tree::Terms, &[from]), all(&made, Tree::Terms, &[from]));
            for key in 0..20 {
                prop_assert_eq!(overlay.get(Tree::Terms, &[key]).unwrap(), made.get(Tree::Terms, &[key]).unwrap());
            }
            let mut seen = 0;
            overlay.scan(Tree::Terms, &[], &mut |_, _| {
                seen += 1;
                Ok(if seen > stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
            }).unwrap();
            prop_assert!(seen <= stop + 1, "went on after a break");
        }
    }
}
