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

use super::blocks::{Blocks, Failed as InBlock, Puts, has_blocks};
use super::overlay::{Changes, Value};
use super::packed::{is_shortened, pack, unpack};
use super::rows::{Rows, Tree, Visit};
use super::totals::Totals;
use super::untouched::is_untouched;
use super::view::{bad_row, read, write};
use crate::fail;

/// Form of the rows. An index of an earlier one is made anew from the journal, one of a later one is refused.
pub(crate) const SCHEMA: u32 = 3;
/// Earlier forms in which counters of use are kept as they are now.
const SAME_USAGE: std::ops::Range<u32> = 1..SCHEMA;

/// Memory that sled may use for pages, in bytes. It takes what is read: a process that looks at a few entries uses little of it.
const CACHE_BYTES: u64 = 128 << 20;

/// How sled cuts its file, in bytes: rows of up to a quarter of it stay in the file.
const SEGMENT_BYTES: usize = 64 << 10;

/// What sled says of a file that is still locked.
const LOCKED: &str = "could not acquire lock";
/// How long threads of sled's that have the file are waited for.
const THREADS_END: Duration = Duration::from_secs(5);

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
    trees: [sled::Tree; Tree::ALL.len()],
    /// What all rows add up to but those that say so: the schema and the totals.
    totals: Mutex<Totals>,
    /// Which file has the counters of use that are not in the rows.
    generation: AtomicU64,
    /// Whether the files were as they had been left when this was opened.
    was_untouched: bool,
}

/// What opening an index led to.
pub(crate) enum OpenedSled {
    /// It is whole, as far as it can be told without the journal and without [`SledRows::misfit`].
    Whole(SledRows, Mark),
    /// There was none, or an empty one.
    New(SledRows),
    /// It has rows of an earlier form, of which only counters of use can be read, because of this.
    Earlier(SledRows, String),
    /// It cannot be used, because of this.
    Unfit(String),
}

impl OpenedSled {
    /// Returns the journal's last record that the rows have, where that is known.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match self {
            Self::Whole(_, mark) => Some(mark.clone()),
            Self::New(_) | Self::Earlier(..) | Self::Unfit(_) => None,
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
        let index = Self::open_trees(folder)?;
        let Some(schema) = index.get(Tree::Meta, SCHEMA_KEY)? else {
            return match index.trees.iter().all(sled::Tree::is_empty) {
                true => Ok(OpenedSled::New(index)),
                false => Ok(OpenedSled::Unfit("its schema version is missing".to_owned())),
            };
        };
        let schema: u32 = read(Tree::Meta, &schema)?;
        if schema > SCHEMA {
            return Err(StorageError::NewerFormat { what: "index", found: schema, known: SCHEMA });
        }
        if schema == UNFINISHED {
            return Ok(OpenedSled::Unfit("it was not finished when it was made anew".to_owned()));
        }
        if SAME_USAGE.contains(&schema) {
            if let Some(generation) = index.get(Tree::Meta, GENERATION_KEY)? {
                index.generation.store(read(Tree::Meta, &generation)?, Ordering::Release);
            }
            let reason = format!("its schema is {schema}, this version writes {SCHEMA}");
            return Ok(OpenedSled::Earlier(index, reason));
        }
        let (Some(mark), Some(totals)) = (index.get(Tree::Meta, MARK_KEY)?, index.get(Tree::Meta, TOTALS_KEY)?) else {
            return Ok(OpenedSled::Unfit("its mark in the journal is missing".to_owned()));
        };
        let mark: Mark = read(Tree::Meta, &mark)?;
        let totals = Totals::read(&totals)?;
        *index.totals.lock().unwrap_or_else(PoisonError::into_inner) = totals;
        if let Some(generation) = index.get(Tree::Meta, GENERATION_KEY)? {
            index.generation.store(read(Tree::Meta, &generation)?, Ordering::Release);
        }
        Ok(OpenedSled::Whole(index, mark))
    }

    fn open_trees(folder: &Path) -> Result<Self, StorageError> {
        // Asked before sled writes to them.
        let was_untouched = is_untouched(folder);
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
        Ok(Self {
            folder: folder.to_owned(),
            db,
            trees,
            totals: Mutex::default(),
            generation: AtomicU64::new(0),
            was_untouched,
        })
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

    /// Goes through all rows once, in memory that does not grow with their number.
    fn add_up(&self) -> Result<Totals, StorageError> {
        let mut totals = Totals::default();
        for tree in Tree::ALL {
            self.scan(tree, &[], &mut |key, value| {
                if tree != Tree::Meta || !matches!(key, SCHEMA_KEY | TOTALS_KEY) {
                    totals.add(tree, key, value);
                }
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok(totals)
    }

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
            let batch = batches.entry(tree).or_default();
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

impl SledRows {
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

/// Takes the change of one row into the totals.
fn exchange(totals: &mut Totals, tree: Tree, key: &[u8], old: Option<&[u8]>, new: Option<&[u8]>) {
    if let Some(old) = old {
        totals.remove(tree, key, old);
    }
    if let Some(new) = new {
        totals.add(tree, key, new);
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
        if has_blocks(tree) {
            return self.blocks(tree).scan(from, visit).map_err(|error| self.failed_in_block(error));
        }
        for row in self.tree(tree).range(from..) {
            let (key, value) = row.map_err(|error| failed(&self.folder, error))?;
            let flow = match is_shortened(tree) {
                true => visit(&key, &unpack(tree, &value)?)?,
                false => visit(&key, &value)?,
            };
            if flow == ControlFlow::Break(()) {
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

fn panicked(panic: &(dyn Any + Send)) -> StorageError {
    StorageError::Index { reason: format!("sled panicked: {}", panic_text(panic)) }
}

fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    domain::text::escape_line(&domain::text::truncate(text.unwrap_or("no message"), 200)).into_owned()
}
