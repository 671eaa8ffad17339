//! The rows on disk.

use std::any::Any;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::ports::StorageError;
use serde::{Deserialize, Serialize};

use super::overlay::Changes;
use super::rows::{Rows, Tree, Visit};
use super::view::{bad_row, read, write};
use crate::fail;

/// Form of the rows. An index of an earlier one is made anew from the journal, one of a later one is refused.
pub(crate) const SCHEMA: u32 = 1;

/// Memory that sled may use for pages, in bytes. Small, because most processes look at a few entries and end.
const CACHE_BYTES: u64 = 16 << 20;

/// How sled cuts its file, in bytes: rows of up to a quarter of it stay in the file.
const SEGMENT_BYTES: usize = 64 << 10;

/// How many rows are counted at every opening; more only after a process that did not end in order.
const ROWS_COUNTED: u64 = 2_000;

/// What sled says of a file that is still locked.
const LOCKED: &str = "could not acquire lock";
/// How long threads of sled's that have the file are waited for.
const THREADS_END: Duration = Duration::from_secs(5);

/// In place of the schema while the rows of a snapshot are being loaded: what is there is the state of no moment.
const UNFINISHED: u32 = 0;

const SCHEMA_KEY: &[u8] = b"schema";
const MARK_KEY: &[u8] = b"mark";
const NUMBERS_KEY: &[u8] = b"numbers";
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
    trees: [sled::Tree; Tree::ALL.len()],
    /// Number of rows in each tree but `meta`.
    numbers: Mutex<[u64; Tree::ALL.len()]>,
    /// Which file has the counters of use that are not in the rows.
    generation: AtomicU64,
}

/// What opening an index led to.
pub(crate) enum OpenedSled {
    /// It is whole, as far as it can be told without the journal.
    Whole(SledRows, Mark),
    /// There was none, or an empty one.
    New(SledRows),
    /// It cannot be used, because of this.
    Unfit(String),
}

impl OpenedSled {
    /// Returns the journal's last record that the rows have, where that is known.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match self {
            Self::Whole(_, mark) => Some(mark.clone()),
            Self::New(_) | Self::Unfit(_) => None,
        }
    }
}

impl SledRows {
    /// Opens the index in `folder`, or makes an empty one.
    ///
    /// # Errors
    /// [`StorageError::NewerFormat`], and errors of the disk that a new index would meet as well.
    pub(crate) fn open(folder: &Path) -> Result<OpenedSled, StorageError> {
        // sled panics on some damaged files; what it leaves behind then is not used again.
        match catch_unwind(AssertUnwindSafe(|| Self::open_inner(folder))) {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(
                error @ (StorageError::NewerFormat { .. } | StorageError::Full { .. } | StorageError::Denied { .. }),
            )) => Err(error),
            Ok(Err(StorageError::Index { reason })) if reason.contains(LOCKED) => Err(StorageError::Index { reason }),
            Ok(Err(error)) => Ok(OpenedSled::Unfit(match error {
                StorageError::Index { reason } => reason,
                other => other.to_string(),
            })),
            Err(panic) => Ok(OpenedSled::Unfit(format!("sled panicked: {}", panic_text(&*panic)))),
        }
    }

    fn open_inner(folder: &Path) -> Result<OpenedSled, StorageError> {
        // Looked at before sled touches the file.
        let ended_in_order = take_seal(folder);
        let index = Self::open_trees(folder)?;
        let Some(schema) = index.get(Tree::Meta, SCHEMA_KEY)? else {
            return match index.count_rows()?.iter().sum::<u64>() {
                0 => Ok(OpenedSled::New(index)),
                _ => Ok(OpenedSled::Unfit("its schema version is missing".to_owned())),
            };
        };
        let schema: u32 = read(Tree::Meta, &schema)?;
        if schema > SCHEMA {
            return Err(StorageError::NewerFormat { what: "index", found: schema, known: SCHEMA });
        }
        if schema == UNFINISHED {
            return Ok(OpenedSled::Unfit("it was not finished when it was made anew".to_owned()));
        }
        if schema < SCHEMA {
            return Ok(OpenedSled::Unfit(format!("its schema is {schema}, this version writes {SCHEMA}")));
        }
        let (Some(mark), Some(numbers)) = (index.get(Tree::Meta, MARK_KEY)?, index.get(Tree::Meta, NUMBERS_KEY)?)
        else {
            return Ok(OpenedSled::Unfit("its mark in the journal is missing".to_owned()));
        };
        let mark: Mark = read(Tree::Meta, &mark)?;
        let numbers: [u64; Tree::ALL.len()] = read(Tree::Meta, &numbers)?;
        if !ended_in_order || numbers.iter().sum::<u64>() <= ROWS_COUNTED {
            let counted = index.count_rows()?;
            if counted != numbers {
                return Ok(OpenedSled::Unfit(format!("it has {counted:?} rows instead of {numbers:?}")));
            }
        }
        *index.numbers.lock().unwrap_or_else(PoisonError::into_inner) = numbers;
        if let Some(generation) = index.get(Tree::Meta, GENERATION_KEY)? {
            index.generation.store(read(Tree::Meta, &generation)?, Ordering::Release);
        }
        Ok(OpenedSled::Whole(index, mark))
    }

    fn open_trees(folder: &Path) -> Result<Self, StorageError> {
        let db = open_db(folder)?;
        let open = |tree: Tree| db.open_tree(tree.name()).map_err(|error| failed(folder, error));
        let trees = [
            open(Tree::Entries)?,
            open(Tree::Revisions)?,
            open(Tree::Edges)?,
            open(Tree::Terms)?,
            open(Tree::Failures)?,
            open(Tree::Usage)?,
            open(Tree::Meta)?,
        ];
        Ok(Self { folder: folder.to_owned(), db, trees, numbers: Mutex::default(), generation: AtomicU64::new(0) })
    }

    fn tree(&self, tree: Tree) -> &sled::Tree {
        let [entries, revisions, edges, terms, failures, usage, meta] = &self.trees;
        match tree {
            Tree::Entries => entries,
            Tree::Revisions => revisions,
            Tree::Edges => edges,
            Tree::Terms => terms,
            Tree::Failures => failures,
            Tree::Usage => usage,
            Tree::Meta => meta,
        }
    }

    fn count_rows(&self) -> Result<[u64; Tree::ALL.len()], StorageError> {
        let mut numbers = [0; Tree::ALL.len()];
        for (number, tree) in numbers.iter_mut().zip(Tree::ALL) {
            if tree == Tree::Meta {
                continue;
            }
            for row in self.tree(tree).iter() {
                row.map_err(|error| failed(&self.folder, error))?;
                *number += 1;
            }
        }
        Ok(numbers)
    }

    /// Puts rows of a snapshot: without the rest of them they are worth nothing, and the next opening knows.
    pub(crate) fn load(&self, changes: &Changes) -> Result<(), StorageError> {
        self.write(changes, UNFINISHED, &Mark::default(), self.generation())
    }

    /// Makes the changes, moves the mark and names the generation of counters that goes with them, all in one transaction.
    pub(crate) fn change(&self, changes: &Changes, mark: &Mark, generation: u64) -> Result<(), StorageError> {
        self.write(changes, SCHEMA, mark, generation)
    }

    fn write(&self, changes: &Changes, schema: u32, mark: &Mark, generation: u64) -> Result<(), StorageError> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        let mut batches: BTreeMap<Tree, sled::Batch> = BTreeMap::new();
        let mut counted = *numbers;
        for (tree, key, value) in changes.rows() {
            let there = self.tree(tree).contains_key(key).map_err(|error| failed(&self.folder, error))?;
            let batch = batches.entry(tree).or_default();
            let number = counted.get_mut(tree as usize).filter(|_| tree != Tree::Meta);
            match value {
                Some(value) => {
                    batch.insert(key, value);
                    if let Some(number) = number.filter(|_| !there) {
                        *number += 1;
                    }
                }
                None if there => {
                    batch.remove(key);
                    if let Some(number) = number {
                        *number = number.saturating_sub(1);
                    }
                }
                None => {}
            }
        }
        let meta = batches.entry(Tree::Meta).or_default();
        meta.insert(SCHEMA_KEY, write(&schema)?);
        meta.insert(NUMBERS_KEY, write(&counted)?);
        meta.insert(MARK_KEY, write(mark)?);
        meta.insert(GENERATION_KEY, write(&generation)?);
        fail::point("before change", &self.folder);
        self.transact(&batches)?;
        fail::point("after change", &self.folder);
        *numbers = counted;
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
            Err(panic) => Err(StorageError::Index { reason: format!("sled panicked: {}", panic_text(&*panic)) }),
        }
    }

    /// Returns the number of rows of a tree.
    pub(crate) fn number(&self, tree: Tree) -> u64 {
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.get(tree as usize).copied().unwrap_or(0)
    }

    /// Returns the number of rows.
    pub(crate) fn len(&self) -> u64 {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner).iter().sum()
    }

    /// Returns the number of the file that has the counters of use which are not in the rows.
    pub(crate) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Writes what is still in memory, and waits until it is safe.
    pub(crate) fn flush(&self) -> Result<(), StorageError> {
        self.db.flush().map(drop).map_err(|error| failed(&self.folder, error))
    }

    /// Leaves the sign of an end in order: it only spares the next opening a count, so its loss costs nothing else.
    pub(crate) fn seal(&self) {
        let _ = std::fs::write(seal_path(&self.folder), file_size(&self.folder).to_string());
    }
}

fn open_db(folder: &Path) -> Result<sled::Db, StorageError> {
    let give_up = Instant::now() + THREADS_END;
    loop {
        let opened = sled::Config::new()
            .path(folder)
            .cache_capacity(CACHE_BYTES)
            .mode(sled::Mode::LowSpace)
            // At each opening sled overwrites the rest of the last segment.
            .segment_size(SEGMENT_BYTES)
            // The journal is the truth: nothing has to be flushed in the background.
            .flush_every_ms(None)
            .open();
        match opened {
            // The folder is ours, so it is a thread of sled's that still ends after it was closed in this process.
            Err(sled::Error::Io(error)) if error.to_string().contains(LOCKED) && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.map_err(|error| failed(folder, error)),
        }
    }
}

/// Removes the sign of an end in order, and tells whether there was one that fits the file.
fn take_seal(folder: &Path) -> bool {
    let path = seal_path(folder);
    let sealed = std::fs::read_to_string(&path).is_ok_and(|size| size == file_size(folder).to_string());
    sealed && std::fs::remove_file(&path).is_ok()
}

fn seal_path(folder: &Path) -> PathBuf {
    folder.join("closed")
}

fn file_size(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("db")).map_or(0, |file| file.len())
}

impl Rows for SledRows {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let found = self.tree(tree).get(key).map_err(|error| failed(&self.folder, error))?;
        Ok(found.map(|value| value.to_vec()))
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        for row in self.tree(tree).range(from..) {
            let (key, value) = row.map_err(|error| failed(&self.folder, error))?;
            if visit(&key, &value)? == ControlFlow::Break(()) {
                return Ok(());
            }
        }
        Ok(())
    }
}

fn failed(folder: &Path, error: sled::Error) -> StorageError {
    match error {
        sled::Error::Io(error) => match StorageError::io(folder, error) {
            StorageError::Io { source, .. } => StorageError::Index { reason: source.to_string() },
            known => known,
        },
        sled::Error::Corruption { .. } => bad_row(Tree::Meta, "sled found its file corrupt"),
        sled::Error::ReportableBug(_) | sled::Error::Unsupported(_) | sled::Error::CollectionNotFound(_) => {
            StorageError::Index { reason: error.to_string() }
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    domain::text::escape_line(&domain::text::truncate(text.unwrap_or("no message"), 200)).into_owned()
}
