//! The rows on disk.

mod cache;
mod change;
mod error;
mod open;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use domain::ports::StorageError;
use serde::{Deserialize, Serialize};

use super::blocks::{Blocks, Failed as InBlock, has_blocks};
use super::keys;
use super::packed::{is_shortened, unpack};
use super::rows::{Rows, Tree, Visit};
use super::totals::Totals;
use super::view::{read, write};
use error::{failed, panicked};
pub(crate) use open::OpenedSled;

/// Form of the rows. An index of an earlier one is made anew from the journal, one of a later one is refused.
pub(crate) const SCHEMA: u32 = 6;
/// In place of the schema while the rows of a snapshot are being loaded: what is there is the state of no moment.
const UNFINISHED: u32 = 0;

const SCHEMA_KEY: &[u8] = b"schema";
const MARK_KEY: &[u8] = b"mark";
const TOTALS_KEY: &[u8] = b"totals";
const GENERATION_KEY: &[u8] = b"generation";

/// How far the index has followed the journal: the last record that is in it, and where its line is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Mark {
    /// Sequence number, 0 before the first record.
    pub(crate) seq: u64,
    /// The line's digest, 64 hexadecimal digits; empty before the first record.
    pub(crate) hash: String,
}

/// The index in a folder of sled's.
pub(crate) struct SledRows {
    folder: PathBuf,
    db: sled::Db,
    trees: Trees,
    /// What all rows add up to but those that say so: the schema and the totals.
    totals: Mutex<Totals>,
    /// Which file has the counters of use that are not in the rows.
    generation: AtomicU64,
    /// Whether the files were as they had been left when this was opened.
    was_untouched: bool,
}

/// Sled's trees. An entry's revisions follow it in the same one, so that both are mostly found on one page.
struct Trees {
    entries: sled::Tree,
    edges: sled::Tree,
    terms: sled::Tree,
    failures: sled::Tree,
    usage: sled::Tree,
    meta: sled::Tree,
}

/// Returns the tree whose rows are in the same one of sled's.
fn home(tree: Tree) -> Tree {
    if tree == Tree::Revisions { Tree::Entries } else { tree }
}

/// Returns the tree of a row that one of sled's has.
fn tree_of(home: Tree, key: &[u8]) -> Tree {
    if home == Tree::Entries && keys::is_of_revision(key) { Tree::Revisions } else { home }
}

/// Looks at one row of a tree, as [`Visit`] does.
type VisitOf<'a> = dyn FnMut(Tree, &[u8], &[u8]) -> Result<ControlFlow<()>, StorageError> + 'a;

impl SledRows {
    fn tree(&self, tree: Tree) -> &sled::Tree {
        match tree {
            Tree::Entries | Tree::Revisions => &self.trees.entries,
            Tree::Edges => &self.trees.edges,
            Tree::Terms => &self.trees.terms,
            Tree::Failures => &self.trees.failures,
            Tree::Usage => &self.trees.usage,
            Tree::Meta => &self.trees.meta,
        }
    }

    /// Goes through all rows once, and says how they differ from what was written; `None` if they do not.
    ///
    /// What is not covered are the schema and the totals themselves, and what was never put into the rows.
    ///
    /// # Errors
    /// Why the rows cannot even be read.
    pub(crate) fn misfit(&self) -> Result<Option<String>, String> {
        if self.was_untouched {
            return Ok(None);
        }
        let expected = *self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        match catch_unwind(AssertUnwindSafe(|| self.add_up())) {
            Ok(Ok(found)) => Ok(found.misfit(&expected)),
            Ok(Err(error)) => Err(error.to_string()),
            Err(panic) => Err(panicked(&*panic).to_string()),
        }
    }

    /// Goes through all rows once, in memory that does not grow with their number. Most rows are terms: they are gone through beside
    /// the others.
    fn add_up(&self) -> Result<Totals, StorageError> {
        let others = Tree::ALL.into_iter().filter(|tree| *tree != Tree::Terms && home(*tree) == *tree);
        let (terms, others) = std::thread::scope(|scope| {
            let terms = scope.spawn(|| self.add_up_trees([Tree::Terms].into_iter()));
            let others = self.add_up_trees(others);
            (terms.join(), others)
        });
        let mut totals = others?;
        totals.merge(&terms.unwrap_or_else(|panic| resume_unwind(panic))?);
        Ok(totals)
    }

    fn add_up_trees(&self, trees: impl Iterator<Item = Tree>) -> Result<Totals, StorageError> {
        let mut totals = Totals::default();
        for home in trees {
            self.scan_home(home, &[], &|_| true, &mut |tree, key, value| {
                if tree != Tree::Meta || !matches!(key, SCHEMA_KEY | TOTALS_KEY) {
                    totals.add(tree, key, value);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(totals)
    }

    /// Returns the number of rows of a tree.
    pub(crate) fn number(&self, tree: Tree) -> u64 {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).number(tree)
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> u64 {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Returns the number of the file that has the counters of use which are not in the rows.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Writes what is still in memory, and waits until it is safe.
    pub(crate) fn flush(&self) -> Result<(), StorageError> {
        self.db.flush().map(drop).map_err(|error| failed(&self.folder, error))
    }

    /// Tells whether a row of `meta` is about the rows on this disk.
    pub(crate) fn keeps_for_itself(key: &[u8]) -> bool {
        matches!(key, SCHEMA_KEY | TOTALS_KEY | MARK_KEY | GENERATION_KEY)
    }

    /// Says how many bytes sled's file has and how many of them the rows are.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let file = std::fs::metadata(self.folder.join("db")).map_or(0, |file| file.len());
        (file, self.totals.lock().unwrap_or_else(PoisonError::into_inner).bytes())
    }

    /// Visits the rows of one of sled's trees that are of a `wanted` tree.
    fn scan_home(
        &self,
        home: Tree,
        from: &[u8],
        wanted: &dyn Fn(Tree) -> bool,
        visit: &mut VisitOf<'_>,
    ) -> Result<(), StorageError> {
        if has_blocks(home) {
            let mut visit = |key: &[u8], value: &[u8]| visit(home, key, value);
            return self.blocks(home).scan(from, &mut visit).map_err(|error| self.failed_in_block(error));
        }
        for row in self.tree(home).range(from..) {
            let (key, value) = row.map_err(|error| failed(&self.folder, error))?;
            let tree = tree_of(home, &key);
            if !wanted(tree) {
                continue;
            }
            let flow = match is_shortened(tree) {
                true => visit(tree, &key, &unpack(tree, &value)?)?,
                false => visit(tree, &key, &value)?,
            };
            if flow == ControlFlow::Break(()) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn blocks(&self, tree: Tree) -> Blocks<'_> {
        Blocks { tree, blocks: self.tree(tree) }
    }

    fn failed_in_block(&self, error: InBlock) -> StorageError {
        match error {
            InBlock::Sled(error) => failed(&self.folder, error),
            InBlock::Row(error) => error,
        }
    }
}

impl Rows for SledRows {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        if has_blocks(tree) {
            return self.blocks(tree).get(key).map_err(|error| self.failed_in_block(error));
        }
        let found = self.tree(tree).get(key).map_err(|error| failed(&self.folder, error))?;
        found.map(|value| if is_shortened(tree) { unpack(tree, &value) } else { Ok(value.to_vec()) }).transpose()
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        self.scan_home(home(tree), from, &|of| of == tree, &mut |_, key, value| visit(key, value))
    }
}
