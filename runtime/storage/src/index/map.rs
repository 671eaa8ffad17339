//! Rows in memory.

use std::collections::BTreeMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{PoisonError, RwLock};

use domain::ports::StorageError;

use super::overlay::{Changes, Value};
use super::rows::{Rows, Tree, Visit};

type Map = BTreeMap<(Tree, Vec<u8>), Vec<u8>>;

/// Rows in a map.
#[derive(Debug, Default)]
pub(crate) struct MapRows {
    rows: RwLock<Map>,
}

impl MapRows {
    /// Makes the changes, all at one moment.
    pub(crate) fn change(&self, changes: &Changes) -> Result<(), StorageError> {
        let mut rows = self.rows.write().unwrap_or_else(PoisonError::into_inner);
        for (tree, key, value) in changes.rows() {
            match value.map(Value::bytes).transpose()? {
                Some(value) => rows.insert((tree, key.to_vec()), value.into_owned()),
                None => rows.remove(&(tree, key.to_vec())),
            };
        }
        Ok(())
    }
}

impl Rows for MapRows {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
        Ok(rows.get(&(tree, key.to_vec())).cloned())
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        let mut next = Bound::Included((tree, from.to_vec()));
        loop {
            // Row by row, because `visit` may read other rows and must not find the map locked.
            let row = {
                let rows = self.rows.read().unwrap_or_else(PoisonError::into_inner);
                let mut range = rows.range((next, Bound::Unbounded));
                range.next().filter(|((of, _), _)| *of == tree).map(|(key, value)| (key.clone(), value.clone()))
            };
            let Some((key, value)) = row else { return Ok(()) };
            if visit(&key.1, &value)? == ControlFlow::Break(()) {
                return Ok(());
            }
            next = Bound::Excluded(key);
        }
    }
}
