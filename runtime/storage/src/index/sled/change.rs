//! Changing sled's rows.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use domain::ports::StorageError;

use super::error::{failed, panicked};
use super::{
    GENERATION_KEY, MARK_KEY, Mark, Rows, SCHEMA, SCHEMA_KEY, SledRows, TOTALS_KEY, Totals, Tree, UNFINISHED, home,
    write,
};
use crate::fail;
use crate::index::blocks::{Puts, has_blocks};
use crate::index::overlay::{Changes, Value};
use crate::index::packed::{is_shortened, pack};

impl SledRows {
    /// Puts rows without a transaction, which is less work: until [`Self::change`] they are worth nothing, and an
    /// opening before that knows.
    ///
    /// # Errors
    /// [`StorageError`] of the disk; the rows are to be made from the beginning then.
    pub(crate) fn load(&self, changes: &Changes) -> Result<(), StorageError> {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        fail::point("before load", &self.folder);
        let loaded = catch_unwind(AssertUnwindSafe(|| {
            self.tree(Tree::Meta)
                .insert(SCHEMA_KEY, write(&UNFINISHED)?)
                .map_err(|error| failed(&self.folder, error))?;
            for (tree, puts) in self.puts(changes.rows(), &mut totals)? {
                for (key, value) in puts {
                    let done = match value {
                        Some(value) => self.tree(tree).insert(key, value),
                        None => self.tree(tree).remove(key),
                    };
                    done.map_err(|error| failed(&self.folder, error))?;
                }
            }
            Ok(())
        }));
        fail::point("after load", &self.folder);
        loaded.unwrap_or_else(|panic| Err(panicked(&*panic)))
    }

    /// Makes the changes, moves the mark and names the generation of counters that goes with them, all in one transaction.
    pub(crate) fn change(&self, changes: &Changes, mark: &Mark, generation: u64) -> Result<(), StorageError> {
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        let mut after = *totals;
        let (mark, number) = (write(mark)?, write(&generation)?);
        let (mark, number) = (Value::Bytes(mark.into()), Value::Bytes(number.into()));
        let beside = [(Tree::Meta, MARK_KEY, Some(&mark)), (Tree::Meta, GENERATION_KEY, Some(&number))];
        let mut batches: BTreeMap<Tree, sled::Batch> = BTreeMap::new();
        for (tree, puts) in self.puts(changes.rows().chain(beside), &mut after)? {
            let batch = batches.entry(home(tree)).or_default();
            for (key, value) in puts {
                match value {
                    Some(value) => batch.insert(key, value),
                    None => batch.remove(key),
                }
            }
        }
        let meta = batches.entry(Tree::Meta).or_default();
        meta.insert(SCHEMA_KEY, write(&SCHEMA)?);
        meta.insert(TOTALS_KEY, after.write()?);
        fail::point("before change", &self.folder);
        self.transact(&batches)?;
        fail::point("after change", &self.folder);
        *totals = after;
        self.generation.store(generation, Ordering::Release);
        Ok(())
    }

    fn transact(&self, batches: &BTreeMap<Tree, sled::Batch>) -> Result<(), StorageError> {
        use sled::Transactional;
        use sled::transaction::{ConflictableTransactionError, TransactionError};
        let trees: Vec<sled::Tree> = batches.keys().map(|tree| self.tree(*tree).clone()).collect();
        let done = catch_unwind(AssertUnwindSafe(|| {
            trees.as_slice().transaction(|views| {
                for (view, batch) in views.iter().zip(batches.values()) {
                    view.apply_batch(batch)?;
                }
                Ok::<(), ConflictableTransactionError<()>>(())
            })
        }));
        match done {
            Ok(Ok(())) => Ok(()),
            Ok(Err(TransactionError::Storage(error))) => Err(failed(&self.folder, error)),
            Ok(Err(TransactionError::Abort(()))) => {
                Err(StorageError::Index { reason: "a change was aborted".to_owned() })
            }
            Err(panic) => Err(panicked(&*panic)),
        }
    }

    /// Returns what has to be put into sled's trees so that the rows change, which are in the order of their trees and keys, and takes
    /// the changes into the totals.
    fn puts<'a>(
        &self,
        changed: impl Iterator<Item = (Tree, &'a [u8], Option<&'a Value>)>,
        totals: &mut Totals,
    ) -> Result<BTreeMap<Tree, Puts>, StorageError> {
        let (mut puts, mut small) = (BTreeMap::<Tree, Puts>::new(), BTreeMap::<Tree, Vec<_>>::new());
        for (tree, key, value) in changed {
            let value = value.map(Value::bytes).transpose()?;
            if has_blocks(tree) {
                small.entry(tree).or_default().push((key, value));
                continue;
            }
            let (old, value) = (self.get(tree, key)?, value.as_deref());
            if old.as_deref() != value {
                exchange(totals, tree, key, old.as_deref(), value);
                let stored = value.map(|value| if is_shortened(tree) { pack(value) } else { value.to_vec() });
                puts.entry(tree).or_default().push((key.to_vec(), stored));
            }
        }
        for (tree, changes) in small {
            let changes: Vec<_> = changes.iter().map(|(key, value)| (*key, value.as_deref())).collect();
            let rewritten =
                self.blocks(tree).rewrite(&changes, &mut |key, old, new| exchange(totals, tree, key, old, new));
            puts.insert(tree, rewritten.map_err(|error| self.failed_in_block(error))?);
        }
        Ok(puts)
    }
}

/// Takes the change of one row into the totals.
fn exchange(totals: &mut Totals, tree: Tree, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
    if let Some(old) = old {
        totals.remove(tree, key, old);
    }
    if let Some(new) = new {
        totals.add(tree, key, new);
    }
}
