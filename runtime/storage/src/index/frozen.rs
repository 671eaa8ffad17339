//! The rows as they were at one moment, while they go on being changed.
//!
//! Whoever changes sled's rows meanwhile puts aside what they were, and readers see that in their place. So neither waits for
//! the other longer than for one page, and no copy of all rows is ever made.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use domain::ports::StorageError;

use super::layered::Below;
use super::overlay::{Changes, Over};
use super::rows::{Rows, Tree};
use super::sled::{Mark, SledRows};

/// Most bytes of old rows that are put aside; a change that would need more waits for the reader to end.
const OLD_BYTES_MAX: usize = 64 << 20;

/// Where old rows are put aside, if somebody looks at an earlier moment.
#[derive(Default)]
pub(super) struct OldRows {
    kept: Mutex<Option<Kept>>,
    ended: Condvar,
}

#[derive(Default)]
struct Kept {
    rows: Changes,
    bytes: usize,
}

impl OldRows {
    /// Makes `change` to sled's rows, of which those in `changed` will be others then; puts aside what they were if anybody
    /// needs it.
    pub(super) fn keep<T>(
        &self,
        sled: &SledRows,
        changed: &Changes,
        change: impl FnOnce() -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let mut kept = self.lock();
        while kept.as_ref().is_some_and(|kept| kept.bytes >= OLD_BYTES_MAX) {
            kept = self.ended.wait(kept).unwrap_or_else(PoisonError::into_inner);
        }
        if let Some(kept) = &mut *kept {
            for (tree, key, _) in changed.rows() {
                if !kept.rows.has(tree, key) {
                    let old = sled.get(tree, key)?;
                    kept.bytes += key.len() + old.as_ref().map_or(0, Vec::len);
                    match old {
                        Some(old) => kept.rows.put(tree, key.to_vec(), old),
                        None => kept.rows.remove(tree, key.to_vec()),
                    }
                }
            }
        }
        // Under the lock, so that nobody reads a row whose old value is not put aside yet.
        change()
    }

    /// Tells whether somebody looks at an earlier moment.
    pub(super) fn is_looked_at(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sled's rows as they were when this was made; at most one for an index at a time.
pub(crate) struct Frozen {
    below: Arc<dyn Rows>,
    old: Arc<OldRows>,
    /// The last record that is in the rows.
    pub(crate) mark: Mark,
    /// How many entries there are.
    pub(crate) entries: u64,
}

impl Frozen {
    /// Freezes rows that have everything up to `mark`; nobody changes them during the call.
    pub(super) fn new(below: Arc<Below>, old: Arc<OldRows>, mark: Mark) -> Result<Self, StorageError> {
        let entries = match &*below {
            Below::Sled(sled) => sled.number(Tree::Entries),
            Below::Image(_) | Below::Gone(_) => 0,
        };
        let mut kept = old.lock();
        if kept.is_some() {
            return Err(StorageError::Index { reason: "somebody else looks at an earlier state already".to_owned() });
        }
        *kept = Some(Kept::default());
        drop(kept);
        Ok(Self { below, old, mark, entries })
    }

    /// Takes rows that nobody changes.
    #[cfg(test)]
    pub(crate) fn of(rows: Arc<dyn Rows>, mark: Mark, entries: u64) -> Self {
        Self { below: rows, old: Arc::default(), mark, entries }
    }

    /// Asks a question; changes wait until it is answered, so it looks at few rows.
    pub(crate) fn ask<T>(
        &self,
        question: impl FnOnce(&dyn Rows) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        let kept = self.old.lock();
        match &*kept {
            Some(kept) => question(&Over { below: &*self.below, changes: &kept.rows }),
            None => question(&*self.below),
        }
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        *self.old.lock() = None;
        self.old.ended.notify_all();
    }
}
