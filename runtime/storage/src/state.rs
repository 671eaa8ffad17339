//! The state in a data folder: reads from the index, changes through the committer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use domain::ComponentId;
use domain::event::{Actor, Record};
use domain::ports::{
    AuditWindow, BoxFuture, Clock, Committed, Compacted, Decision, Durability, StateStore, StateView, Stop,
    StorageError, Verified,
};
use domain::usage::Usage;

use crate::committer::{Committer, Queue, Segment, gone};
use crate::compact::compact;
use crate::folder::{OpenOptions, Warning};
use crate::index::{Index, RowsView, Slack, pack_closed, recover, remember};
use crate::journal::{self, JournalFolder};
use crate::lock::FolderLock;
use crate::verify::verify_open;

/// How many times the bytes of its rows the index's file may have, beyond what [`OpenOptions::index_slack_bytes`] allows.
const WASTE_MAX: u64 = 8;
/// The same where the folder was compacted: whoever asks for that wants the space.
const WASTE_AFTER_COMPACTING: Slack = Slack { bytes: 1 << 20, times: 1 };

/// The registry's state in a data folder: a journal that is the truth, and a sled index that answers questions.
///
/// Readers look at the index and never wait for a sync. Changes queue for one committer thread, which syncs all that wait
/// together; at most a thousand decisions wait, then `commit` blocks until there is room. Use it through
/// [`crate::Storage`].
pub struct JournaledState {
    journal: JournalFolder,
    clock: Arc<dyn Clock>,
    last_seq: Arc<AtomicU64>,
    closing: AtomicBool,
    /// Set by a compaction.
    packs_index: AtomicBool,
    index_folder: PathBuf,
    /// Held by whoever goes through the whole journal.
    going_through: Mutex<()>,
    process_ends: bool,
    durability: Durability,
    parts: RwLock<Option<Parts>>,
}

/// What ends when the folder is closed, in this order.
struct Parts {
    committer: Committer,
    index: Arc<Index>,
    lock: FolderLock,
}

impl JournaledState {
    /// Opens journal and index in `folder`, which `lock` has, and says what had to be mended.
    pub(crate) fn open(
        folder: &Path,
        clock: Arc<dyn Clock>,
        lock: FolderLock,
        options: &OpenOptions,
    ) -> Result<(Self, Vec<Warning>), StorageError> {
        let journal = JournalFolder::of(folder, options.segment_bytes);
        let on_warning = options.on_warning.clone();
        let slack = Slack { bytes: options.index_slack_bytes, times: WASTE_MAX };
        let recovered = recover(&journal, &folder.join("index"), clock.now(), slack, on_warning)?;
        let last_seq = Arc::new(AtomicU64::new(recovered.journal.head().seq));
        let index = Arc::new(recovered.index);
        let committer = Committer::new(recovered.journal, index.clone(), clock.clone(), last_seq.clone());
        let parts = RwLock::new(Some(Parts { committer, index, lock }));
        let OpenOptions { process_ends, durability, .. } = *options;
        let state = Self {
            journal,
            clock,
            last_seq,
            closing: AtomicBool::new(false),
            packs_index: AtomicBool::new(false),
            index_folder: folder.join("index"),
            going_through: Mutex::default(),
            process_ends,
            durability,
            parts,
        };
        Ok((state, recovered.warnings))
    }

    /// Carries out what waits, ends the committer, and lets go of the folder; what the end of the process undoes as well is left
    /// to it if that is what was asked for at opening. A compaction that is at work is broken off, a verification is waited for.
    ///
    /// # Errors
    /// [`StorageError`] if records that were only gathered in memory could not be written, or it is not known whether they were.
    pub fn close(&self) -> Result<(), StorageError> {
        self.closing.store(true, Ordering::Release);
        // Whoever goes through the journal breaks off, and must have let go of its files before the lock is.
        let _alone = self.going_through.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = self.parts.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Parts { committer, mut index, lock }) = parts else { return Ok(()) };
        let written = committer.end();
        // An image that answered to the end says nothing of sled's files.
        let is_sled_whole = index.seal();
        let packs_index = self.packs_index.load(Ordering::Acquire);
        if self.process_ends && !packs_index {
            if is_sled_whole {
                remember(&self.index_folder);
            }
            // sled ends its threads one by one when it is dropped.
            std::mem::forget((index, lock));
            return written;
        }
        // Readers that came before are still asking; sled's files must be free before the lock is.
        while let Err(shared) = Arc::try_unwrap(index).map(drop) {
            index = shared;
            std::thread::yield_now();
        }
        if packs_index {
            // What fails leaves the index as it was, or none: neither costs anything that is not made anew.
            let _ = pack_closed(&self.index_folder, WASTE_AFTER_COMPACTING);
        }
        if is_sled_whole {
            remember(&self.index_folder);
        }
        drop(lock);
        written
    }

    /// Does what [`crate::Storage::compact`] says.
    pub(crate) fn compact(
        &self,
        keep: AuditWindow,
        progress: &dyn Fn(u64, u64),
        stop: &Stop,
    ) -> Result<Compacted, StorageError> {
        let _alone = self.going_through.lock().unwrap_or_else(PoisonError::into_inner);
        // Only through the committer, and by nobody else, are rows and journal at one moment.
        let frozen = self.queue()?.freeze(Segment::Fresh)?;
        let entries = frozen.entries;
        let goes_on = |written| {
            progress(written, entries);
            !self.closing.load(Ordering::Acquire)
        };
        let compacted = compact(&self.journal, frozen, self.clock.now(), keep, &goes_on, stop)?;
        self.packs_index.store(true, Ordering::Release);
        Ok(compacted)
    }

    /// Does what [`crate::Storage::verify`] says.
    pub(crate) fn verify(&self, index: &Path, stop: &Stop) -> Result<Verified, StorageError> {
        let _alone = self.going_through.lock().unwrap_or_else(PoisonError::into_inner);
        let frozen = self.queue()?.freeze(Segment::AsItIs)?;
        verify_open(&self.journal, index, &frozen, stop)
    }

    /// Tells whether the folder was let go of, or is about to be.
    pub(crate) fn is_closed(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    fn queue(&self) -> Result<Queue, StorageError> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.as_ref().ok_or(StorageError::Closed)?.committer.queue()
    }

    fn index(&self) -> Result<Arc<Index>, StorageError> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.as_ref().map(|parts| parts.index.clone()).ok_or(StorageError::Closed)
    }

    /// Asks a question that looks at several rows.
    fn ask<T>(&self, question: impl Fn(&RowsView<'_>) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let index = self.index()?;
        let ask = || index.ask(|rows| question(&RowsView { rows, last_seq: self.last_seq() }));
        match ask() {
            Err(error) if index.has_met(&error) && self.catch_up().is_ok() => ask(),
            answer => answer,
        }
    }

    /// Has the index brought up to date that could not be, as on a full disk.
    fn catch_up(&self) -> Result<(), StorageError> {
        self.queue()?.catch_up()
    }
}

impl Drop for JournaledState {
    fn drop(&mut self) {
        // Everything acknowledged is safe already.
        let _ = self.close();
    }
}

impl StateView for JournaledState {
    answers_by_asking!();

    fn last_seq(&self) -> u64 {
        self.last_seq.load(Ordering::Acquire)
    }
}

impl StateStore for JournaledState {
    fn commit(&self, actor: Actor, decide: Decision) -> BoxFuture<'static, Result<Committed, StorageError>> {
        self.commit_with(actor, decide, self.durability)
    }

    fn commit_with(
        &self,
        actor: Actor,
        decide: Decision,
        durability: Durability,
    ) -> BoxFuture<'static, Result<Committed, StorageError>> {
        let queued = self.queue().map(|queue| queue.put(actor, decide, durability));
        Box::pin(async move { queued?.ok_or_else(gone)?.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn relax(&self) -> BoxFuture<'static, Result<(), StorageError>> {
        let queued = self.queue().map(|queue| queue.relax());
        Box::pin(async move { queued?.ok_or_else(gone)?.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn secure(&self, durability: Durability) -> BoxFuture<'static, Result<(), StorageError>> {
        let queued = self.queue().map(|queue| queue.secure(durability));
        Box::pin(async move { queued?.ok_or_else(gone)?.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn add_usage(&self, usage: Vec<(ComponentId, Usage)>) -> BoxFuture<'static, Result<(), StorageError>> {
        let queued = self.queue().map(|queue| queue.add(usage));
        Box::pin(async move { queued?.ok_or_else(gone)?.await.unwrap_or_else(|_| Err(gone())) })
    }

    fn is_in_memory(&self) -> bool {
        self.index().is_ok_and(|index| index.is_in_memory())
    }

    fn first_seq(&self) -> Result<u64, StorageError> {
        self.index()?;
        Ok(self.journal.segments()?.first().copied().unwrap_or(1))
    }

    fn records(&self, from: u64, limit: usize) -> Result<Vec<Record>, StorageError> {
        self.index()?;
        let last_seq = self.last_seq();
        if limit == 0 || from > last_seq {
            return Ok(Vec::new());
        }
        let unwritten = {
            let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
            parts.as_ref().ok_or(StorageError::Closed)?.committer.write_gathered()?
        };
        // What no disk has room for is read where it is.
        let unwritten = journal::records_in(&self.journal, &unwritten)?;
        let written = unwritten.first().map_or(last_seq, |first| last_seq.min(first.seq - 1));
        let mut records = self.written_records(from, written, limit)?;
        let left = limit - records.len();
        records.extend(unwritten.into_iter().filter(|record| (from..=last_seq).contains(&record.seq)).take(left));
        Ok(records)
    }
}

impl JournaledState {
    /// Returns up to `limit` records from `from` up to `to`, which are in the journal's files.
    fn written_records(&self, mut from: u64, to: u64, limit: usize) -> Result<Vec<Record>, StorageError> {
        loop {
            if from > to {
                return Ok(Vec::new());
            }
            match journal::records(&self.journal, from, to, limit) {
                // A segment was removed between looking for it and opening it: there are later ones.
                Err(StorageError::Io { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound && self.first_seq()? > from =>
                {
                    from = self.first_seq()?;
                }
                read => return read,
            }
        }
    }
}
