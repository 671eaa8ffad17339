//! The state in a data folder: reads from the index, changes through the committer.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use domain::ComponentId;
use domain::event::{Actor, Record};
use domain::ports::{BoxFuture, Clock, Committed, Decision, StateStore, StateView, StorageError};
use domain::usage::Usage;

use crate::committer::{Committer, Queue};
use crate::folder::{OpenOptions, Warning};
use crate::index::{Index, RowsView, recover};
use crate::journal;
use crate::lock::FolderLock;

/// The registry's state in a data folder: a journal that is the truth, and a sled index that answers questions.
///
/// Readers look at the index and never wait for a sync. Changes queue for one committer thread, which syncs all that wait
/// together; at most a thousand decisions wait, then `commit` blocks until there is room. Use it through
/// [`crate::Storage`].
pub struct JournaledState {
    journal: PathBuf,
    last_seq: Arc<AtomicU64>,
    process_ends: bool,
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
        let journal_folder = folder.join("journal");
        let on_warning = options.on_warning.clone();
        let recovered = recover(&journal_folder, &folder.join("index"), clock.now(), on_warning)?;
        let last_seq = Arc::new(AtomicU64::new(recovered.journal.head().seq));
        let index = Arc::new(recovered.index);
        let committer = Committer::new(recovered.journal, index.clone(), clock, last_seq.clone());
        let parts = RwLock::new(Some(Parts { committer, index, lock }));
        let process_ends = options.process_ends;
        Ok((Self { journal: journal_folder, last_seq, process_ends, parts }, recovered.warnings))
    }

    /// Carries out what waits, ends the committer, and lets go of the folder; what the end of the process undoes as well is left
    /// to it if that is what was asked for at opening.
    pub(crate) fn close(&self) -> Result<(), StorageError> {
        let parts = self.parts.write().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Parts { committer, mut index, lock }) = parts else { return Ok(()) };
        committer.end();
        index.seal();
        if self.process_ends {
            // sled ends its threads one by one when it is dropped.
            std::mem::forget((index, lock));
            return Ok(());
        }
        // Readers that came before are still asking; sled's files must be free before the lock is.
        while let Err(shared) = Arc::try_unwrap(index).map(drop) {
            index = shared;
            std::thread::yield_now();
        }
        drop(lock);
        Ok(())
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
        self.index()?.ask(|rows| question(&RowsView { rows, last_seq: self.last_seq() }))
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
        let queued = self.queue().map(|queue| queue.put(actor, decide));
        Box::pin(async move { queued?.ok_or(StorageError::Closed)?.await.unwrap_or(Err(StorageError::Closed)) })
    }

    fn add_usage(&self, usage: Vec<(ComponentId, Usage)>) -> BoxFuture<'static, Result<(), StorageError>> {
        let queued = self.queue().map(|queue| queue.add(usage));
        Box::pin(async move { queued?.ok_or(StorageError::Closed)?.await.unwrap_or(Err(StorageError::Closed)) })
    }

    fn is_in_memory(&self) -> bool {
        self.index().is_ok_and(|index| index.is_in_memory())
    }

    fn records(&self, from: u64, limit: usize) -> Result<Vec<Record>, StorageError> {
        self.index()?;
        let last_seq = self.last_seq();
        if limit == 0 || from > last_seq {
            return Ok(Vec::new());
        }
        journal::records(&self.journal, from, last_seq, limit)
    }
}
