//! The index as everybody sees it: the rows on disk, and over them the newest changes, which are only in memory.
//!
//! Bringing sled's file up to date costs several syncs, in this process and in the next one that opens it, and the journal makes
//! them unnecessary: whoever opens the folder replays its last records. So the rows on disk may stay a few records behind.
//! Counters of use are in no record; they go to a file of their own until sled has them.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use domain::ComponentId;
use domain::ports::StorageError;
use domain::usage::Usage;

use super::apply::add_usage;
use super::head::HeadFile;
use super::overlay::{Changes, Overlay, merged_get, merged_scan};
use super::rows::{Rows, Tree, Visit};
use super::sled::{Mark, OpenedSled, SledRows};
use super::usage_file::{UsageFile, UsageLine};

/// Most changed rows that sled does not have: each change copies them.
const AHEAD_ROWS_MAX: usize = 256;
/// Most records that sled does not have: each opening replays them.
const AHEAD_RECORDS_MAX: u64 = 32;

/// Rows of a data folder.
pub(crate) struct Index {
    sled: SledRows,
    ahead: RwLock<Arc<Ahead>>,
    /// Even while the rows are at rest, odd while they are being changed.
    changing: AtomicU64,
    /// Held while rows are changed, so that changes come one after the other.
    files: Mutex<Files>,
}

/// What is written beside sled's file.
struct Files {
    usage: UsageFile,
    head: HeadFile,
}

/// Where a change went.
#[derive(PartialEq, Eq)]
enum Wrote {
    Memory,
    Sled,
}

/// What sled does not have yet.
#[derive(Clone, Default)]
struct Ahead {
    changes: Changes,
    mark: Mark,
    /// The last record that sled has.
    below: u64,
}

impl Ahead {
    /// Nothing above sled, which has everything up to `mark`.
    fn nothing(mark: Mark) -> Self {
        Self { changes: Changes::default(), below: mark.seq, mark }
    }
}

/// What opening an index led to.
pub(crate) enum OpenedIndex {
    /// It is whole, as far as it can be told without the journal.
    Whole(Index, Behind),
    /// There was none, or an empty one.
    New(Index),
    /// It cannot be used, because of this.
    Unfit(String),
}

/// How far the rows on disk go, and what has to be added to them.
#[derive(Default)]
pub(crate) struct Behind {
    /// The last record that sled has.
    pub(crate) mark: Mark,
    /// The last record that this index was told of, where that is known.
    pub(crate) head: Option<Mark>,
    /// Counters that sled does not have, oldest first.
    pub(crate) usage: Vec<UsageLine>,
}

impl Behind {
    /// Returns the last record that the index is known to have heard of.
    pub(crate) fn told(&self) -> &Mark {
        // Sled is never ahead of the small file, unless that got lost.
        self.head.as_ref().filter(|head| head.seq > self.mark.seq).unwrap_or(&self.mark)
    }
}

impl Index {
    /// Opens the index in `folder`, or makes an empty one.
    ///
    /// # Errors
    /// [`StorageError::NewerFormat`], and errors of the disk that a new index would meet as well.
    pub(crate) fn open(folder: &Path) -> Result<OpenedIndex, StorageError> {
        let (sled, mark) = match SledRows::open(folder)? {
            OpenedSled::Whole(sled, mark) => (sled, Some(mark)),
            OpenedSled::New(sled) => (sled, None),
            OpenedSled::Unfit(reason) => return Ok(OpenedIndex::Unfit(reason)),
        };
        let (usage, lines) = UsageFile::open(folder, sled.generation())?;
        let (head, last) = HeadFile::open(folder)?;
        let ahead = Ahead::nothing(mark.clone().unwrap_or_default());
        let index = Self {
            sled,
            ahead: RwLock::new(Arc::new(ahead)),
            changing: AtomicU64::new(0),
            files: Mutex::new(Files { usage, head }),
        };
        Ok(match mark {
            Some(mark) => OpenedIndex::Whole(index, Behind { mark, head: last, usage: lines }),
            None => OpenedIndex::New(index),
        })
    }

    /// Makes the changes and moves the mark, all at one moment.
    pub(crate) fn change(&self, changes: Changes, mark: Mark) -> Result<(), StorageError> {
        let mut files = self.files();
        if self.put(changes, mark.clone())? == Wrote::Sled {
            // The journal has everything but counters of use, and of those the old file goes on telling.
            let _ = self.harden(&mut files);
        }
        files.head.write(&mark);
        Ok(())
    }

    /// Sees to it that sled has everything up to `mark`, as in a new index.
    pub(crate) fn settle(&self, mark: Mark) -> Result<(), StorageError> {
        let mut files = self.files();
        self.write_through(Ahead { mark, ..Ahead::clone(&self.ahead()) })?;
        self.harden(&mut files)
    }

    /// Returns the last record whose changes are here.
    pub(crate) fn mark(&self) -> Mark {
        self.ahead().mark.clone()
    }

    /// Adds to the counters of use and sees to it that they survive the end of this process.
    pub(crate) fn add_usage(&self, usage: &[(ComponentId, Usage)]) -> Result<(), StorageError> {
        let mut files = self.files();
        let mut overlay = Overlay::over(self);
        add_usage(&mut overlay, usage)?;
        let changes = overlay.into_changes();
        if changes.is_empty() {
            return Ok(());
        }
        // Sled gets them at once if it gets anything; otherwise the file has them before anybody sees them.
        let mark = self.ahead().mark.clone();
        if self.fits(&changes, &mark) && files.usage.has_room() {
            files.usage.append(&UsageLine { seq: mark.seq, usage: usage.to_vec() })?;
            return self.put(changes, mark).map(drop);
        }
        let mut ahead = Ahead::clone(&self.ahead());
        ahead.changes.absorb(changes);
        self.write_through(ahead)?;
        self.harden(&mut files)
    }

    /// Puts changes over the rows on disk, or into them if there would be too many.
    fn put(&self, changes: Changes, mark: Mark) -> Result<Wrote, StorageError> {
        let fits = self.fits(&changes, &mark);
        let mut ahead = Ahead::clone(&self.ahead());
        ahead.changes.absorb(changes);
        ahead.mark = mark;
        if !fits {
            self.write_through(ahead)?;
            return Ok(Wrote::Sled);
        }
        self.while_changing(|| self.show(ahead));
        Ok(Wrote::Memory)
    }

    fn fits(&self, changes: &Changes, mark: &Mark) -> bool {
        let ahead = self.ahead();
        ahead.changes.len() + changes.len() <= AHEAD_ROWS_MAX
            && mark.seq.saturating_sub(ahead.below) <= AHEAD_RECORDS_MAX
    }

    /// Gives sled all that it lacks, and begins anew with nothing over it. What fails changes nothing.
    fn write_through(&self, ahead: Ahead) -> Result<(), StorageError> {
        let generation = self.sled.generation() + 1;
        self.while_changing(|| {
            self.sled.change(&ahead.changes, &ahead.mark, generation)?;
            self.show(Ahead::nothing(ahead.mark));
            Ok(())
        })
    }

    /// Waits until what sled was given is safe, and lets go of the counters that it now has.
    fn harden(&self, files: &mut Files) -> Result<(), StorageError> {
        let flushed = self.sled.flush();
        files.usage.turn(self.sled.generation());
        flushed?;
        files.usage.remove_old()
    }

    fn show(&self, ahead: Ahead) {
        *self.ahead.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ahead);
    }

    fn while_changing<T>(&self, change: impl FnOnce() -> T) -> T {
        self.changing.fetch_add(1, Ordering::AcqRel);
        let changed = change();
        self.changing.fetch_add(1, Ordering::AcqRel);
        changed
    }

    /// Asks a question that looks at several rows, again if they were changed meanwhile.
    ///
    /// Readers do not wait for the committer; only one that was overtaken sixteen times in a row does.
    pub(crate) fn ask<T>(&self, question: impl Fn(&Self) -> Result<T, StorageError>) -> Result<T, StorageError> {
        for _ in 0..16 {
            let before = self.changing.load(Ordering::Acquire);
            if before % 2 == 1 {
                std::thread::yield_now();
                continue;
            }
            let answer = question(self);
            if self.changing.load(Ordering::Acquire) == before {
                return answer;
            }
        }
        let _resting = self.files();
        question(self)
    }

    /// Returns every row of use that can be read, to be carried over into a new index.
    pub(crate) fn usage_rows(&self) -> Vec<(ComponentId, Usage)> {
        self.sled.usage_rows()
    }

    /// Leaves the sign of an end in order.
    pub(crate) fn seal(&self) {
        self.sled.seal();
    }

    fn ahead(&self) -> Arc<Ahead> {
        self.ahead.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rows for Index {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        merged_get(&self.sled, &self.ahead().changes, tree, key)
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        merged_scan(&self.sled, &self.ahead().changes, tree, from, visit)
    }
}
