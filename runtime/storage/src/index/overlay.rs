//! Changes that are not made yet, laid over the rows that they will change.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use domain::ports::StorageError;

use super::recent::Recent;
use super::rows::{Rows, Tree, Visit};

/// Changes of rows: `None` removes a row.
#[derive(Clone, Debug, Default)]
pub(crate) struct Changes {
    rows: BTreeMap<(Tree, Vec<u8>), Option<Vec<u8>>>,
}

impl Changes {
    /// Puts a row.
    pub(crate) fn put(&mut self, tree: Tree, key: Vec<u8>, value: Vec<u8>) {
        self.rows.insert((tree, key), Some(value));
    }

    /// Removes a row.
    pub(crate) fn remove(&mut self, tree: Tree, key: Vec<u8>) {
        self.rows.insert((tree, key), None);
    }

    /// Tells whether a row is put or removed.
    pub(crate) fn has(&self, tree: Tree, key: &[u8]) -> bool {
        self.rows.contains_key(&(tree, key.to_vec()))
    }

    /// Adds later changes.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.rows.extend(later.rows);
    }

    /// Returns every changed row, ordered by tree and key.
    pub(crate) fn into_rows(self) -> BTreeMap<(Tree, Vec<u8>), Option<Vec<u8>>> {
        self.rows
    }

    /// Returns every changed row, ordered by tree and key.
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Tree, &[u8], Option<&[u8]>)> {
        self.rows.iter().map(|((tree, key), value)| (*tree, key.as_slice(), value.as_deref()))
    }

    /// Tells whether nothing changes.
    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// Returns the number of changed rows.
    pub(crate) fn len(&self) -> usize {
        self.rows.len()
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

    fn recent(&self) -> Option<&Recent> {
        self.below.recent()
    }
}

/// Returns a row's value as it is with `changes` made to the rows `below`.
pub(super) fn merged_get(
    below: &dyn Rows,
    changes: &Changes,
    tree: Tree,
    key: &[u8],
) -> Result<Option<Vec<u8>>, StorageError> {
    if changes.is_empty() {
        return below.get(tree, key);
    }
    match changes.rows.get(&(tree, key.to_vec())) {
        Some(changed) => Ok(changed.clone()),
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
    let mut changed = changes.rows.range((tree, from.to_vec())..).take_while(|((of, _), _)| *of == tree).peekable();
    let mut ended = false;
    below.scan(tree, from, &mut |key, value| {
        while let Some(((_, changed_key), changed_value)) = changed.next_if(|((_, k), _)| k.as_slice() < key) {
            if let Some(changed_value) = changed_value
                && visit(changed_key, changed_value)? == ControlFlow::Break(())
            {
                ended = true;
                return Ok(ControlFlow::Break(()));
            }
        }
        let replaced = changed.next_if(|((_, k), _)| k.as_slice() == key);
        let value = match replaced {
            Some((_, None)) => return Ok(ControlFlow::Continue(())),
            Some((_, Some(value))) => value,
            None => value,
        };
        let flow = visit(key, value)?;
        ended |= flow == ControlFlow::Break(());
        Ok(flow)
    })?;
    if ended {
        return Ok(());
    }
    for ((_, key), value) in changed {
        if let Some(value) = value
            && visit(key, value)? == ControlFlow::Break(())
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
            below.change(changes(&first));
            let made = MapRows::default();
            made.change(changes(&first));
            made.change(changes(&second));
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
