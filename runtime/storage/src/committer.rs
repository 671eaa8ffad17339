//! The one thread that changes the state.
//!
//! It takes every decision that waits, runs each on the state that the ones before it lead to, appends all their events, syncs
//! once, applies the changes to the index in one transaction, and only then answers. Counters of use are added by it as well,
//! and it freezes the state for whoever wants to look at one moment of it. It is
//! started by the first change, since most short commands only read, and ends when the last queue handle is dropped, after carrying
//! out what was queued.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use domain::ComponentId;
use domain::event::Actor;
use domain::ports::{Clock, Committed, Decision, Durability, StorageError};
use domain::usage::Usage;
use futures::channel::oneshot;

use crate::group::decide;
use crate::index::{Frozen, Index, Mark, Overlay};
use crate::journal::Journal;

/// Most decisions that wait; whoever comes then waits for room.
const QUEUE_MAX: usize = 1_024;
/// Most decisions of one group.
const GROUP_MAX: usize = 1_024;
/// How many changed rows make a group large enough.
const GROUP_ROWS: usize = 50_000;

/// How long records are gathered in memory where nothing has to last.
const GATHERING_MAX: Duration = Duration::from_millis(100);

type Answer = Result<Committed, StorageError>;

/// Boxed in the queue, whose places are all made at once.
enum Job {
    Decide(Asked),
    AddUsage(Counted),
    Write(SyncSender<Vec<u8>>),
    CatchUp(SyncSender<Result<(), StorageError>>),
    Secure(Durability, oneshot::Sender<Result<(), StorageError>>),
    Relax(oneshot::Sender<Result<(), StorageError>>),
    Freeze(Segment, SyncSender<Result<Frozen, StorageError>>),
}

/// What comes after the moment at which rows are frozen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// More of the segment that is being written.
    AsItIs,
    /// A segment of its own.
    Fresh,
}

/// A decision that waits.
struct Asked {
    actor: Actor,
    decision: Decision,
    durability: Durability,
    answer: oneshot::Sender<Answer>,
}

/// Counters that wait to be added.
struct Counted {
    usage: Vec<(ComponentId, Usage)>,
    answer: oneshot::Sender<Result<(), StorageError>>,
}

/// The committer: at work from the first change on.
pub(crate) struct Committer {
    jobs: SyncSender<Box<Job>>,
    gathering: Arc<AtomicBool>,
    thread: Mutex<Thread>,
}

enum Thread {
    /// Not needed yet.
    Waiting(Box<Work>, Receiver<Box<Job>>),
    Running(JoinHandle<Result<(), StorageError>>),
    /// The system gave no thread.
    Failed,
}

/// Where decisions are put to wait.
pub(crate) struct Queue(SyncSender<Box<Job>>);

impl Queue {
    /// Queues a decision and returns where its answer will come; `None` if the committer is gone.
    pub(crate) fn put(
        &self,
        actor: Actor,
        decision: Decision,
        durability: Durability,
    ) -> Option<oneshot::Receiver<Answer>> {
        let (answer, receiver) = oneshot::channel();
        self.0.send(Box::new(Job::Decide(Asked { actor, decision, durability, answer }))).ok().map(|()| receiver)
    }

    /// Queues that what was queued before has to survive, and returns where the answer will come; `None` if the committer is gone.
    pub(crate) fn secure(&self, durability: Durability) -> Option<oneshot::Receiver<Result<(), StorageError>>> {
        let (answer, receiver) = oneshot::channel();
        self.0.send(Box::new(Job::Secure(durability, answer))).ok().map(|()| receiver)
    }

    /// Queues that records which may get lost will follow, and returns where the answer will come; `None` if the committer is gone.
    pub(crate) fn relax(&self) -> Option<oneshot::Receiver<Result<(), StorageError>>> {
        let (answer, receiver) = oneshot::channel();
        self.0.send(Box::new(Job::Relax(answer))).ok().map(|()| receiver)
    }

    /// Queues counters and returns where the answer will come; `None` if the committer is gone.
    pub(crate) fn add(&self, usage: Vec<(ComponentId, Usage)>) -> Option<oneshot::Receiver<Result<(), StorageError>>> {
        let (answer, receiver) = oneshot::channel();
        self.0.send(Box::new(Job::AddUsage(Counted { usage, answer }))).ok().map(|()| receiver)
    }
}

impl Queue {
    /// Returns the rows as they are after what was committed so far.
    ///
    /// # Errors
    /// [`StorageError`] of the disk.
    pub(crate) fn freeze(self, segment: Segment) -> Result<Frozen, StorageError> {
        let (answer, receiver) = sync_channel(1);
        self.0.send(Box::new(Job::Freeze(segment, answer))).map_err(|_| gone())?;
        // Waiting with a handle of the queue would keep the committer from ending.
        drop(self.0);
        receiver.recv().unwrap_or_else(|_| Err(gone()))
    }

    /// Gives the index on disk what it could not be given before.
    ///
    /// # Errors
    /// [`StorageError`] of the disk.
    pub(crate) fn catch_up(self) -> Result<(), StorageError> {
        let (answer, receiver) = sync_channel(1);
        self.0.send(Box::new(Job::CatchUp(answer))).map_err(|_| gone())?;
        drop(self.0);
        receiver.recv().unwrap_or_else(|_| Err(gone()))
    }
}

impl Committer {
    /// Makes a committer that waits for the first change.
    pub(crate) fn new(journal: Journal, index: Arc<Index>, clock: Arc<dyn Clock>, last_seq: Arc<AtomicU64>) -> Self {
        let gathering = Arc::<AtomicBool>::default();
        let (jobs, queue) = sync_channel(QUEUE_MAX);
        let work = Work { journal, index, clock, last_seq, gathering: gathering.clone(), gathered_since: None };
        Self { jobs, gathering, thread: Mutex::new(Thread::Waiting(Box::new(work), queue)) }
    }

    /// Returns a handle that puts decisions into the queue.
    ///
    /// # Errors
    /// [`StorageError::Index`] if the system gives no thread.
    pub(crate) fn queue(&self) -> Result<Queue, StorageError> {
        let mut thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner);
        if !matches!(*thread, Thread::Running(_)) {
            *thread = std::mem::replace(&mut *thread, Thread::Failed).start()?;
        }
        Ok(Queue(self.jobs.clone()))
    }

    /// Lets the committer carry out what waits, and waits for its end.
    ///
    /// # Errors
    /// [`StorageError`] if records that were only gathered in memory could not be written, or it is not known whether they were.
    pub(crate) fn end(self) -> Result<(), StorageError> {
        drop(self.jobs);
        match self.thread.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Thread::Running(thread) => thread.join().unwrap_or_else(|_| Err(gone())),
            Thread::Waiting(..) | Thread::Failed => Ok(()),
        }
    }

    /// Sees to it that everything acknowledged is in the journal's files, and returns the lines that cannot be written there.
    ///
    /// # Errors
    /// [`StorageError::Defect`] if the committer is gone.
    pub(crate) fn write_gathered(&self) -> Result<Vec<u8>, StorageError> {
        if !self.gathering.load(Ordering::Acquire) {
            return Ok(Vec::new());
        }
        let (answer, receiver) = sync_channel(1);
        self.queue()?.0.send(Box::new(Job::Write(answer))).map_err(|_| gone())?;
        receiver.recv().map_err(|_| gone())
    }
}

/// Returns what those hear who do not get an answer. The committer carries out what waits before it ends, so it has panicked.
pub(crate) fn gone() -> StorageError {
    StorageError::Defect { reason: "the thread that makes them panicked".to_owned() }
}

impl Thread {
    fn start(self) -> Result<Self, StorageError> {
        let Self::Waiting(mut work, queue) = self else { return Err(StorageError::Closed) };
        let started = std::thread::Builder::new().name("committer".to_owned()).spawn(move || work.run(&queue));
        let refused = |error| StorageError::Index { reason: format!("no thread for the committer: {error}") };
        started.map(Self::Running).map_err(refused)
    }
}

struct Work {
    journal: Journal,
    index: Arc<Index>,
    clock: Arc<dyn Clock>,
    last_seq: Arc<AtomicU64>,
    /// Set while records are only in memory.
    gathering: Arc<AtomicBool>,
    /// When the first of them was acknowledged.
    gathered_since: Option<Instant>,
}

impl Work {
    fn run(&mut self, queue: &Receiver<Box<Job>>) -> Result<(), StorageError> {
        loop {
            let left = self.gathered_since.map(|since| GATHERING_MAX.saturating_sub(since.elapsed()));
            let next = match left {
                None => queue.recv().map_err(|_| RecvTimeoutError::Disconnected),
                Some(Duration::ZERO) => Err(RecvTimeoutError::Timeout),
                Some(left) => queue.recv_timeout(left),
            };
            let first = match next {
                Ok(first) => first,
                Err(RecvTimeoutError::Timeout) => {
                    // A disk that is full now may have room next time; what cannot be written at the end is reported.
                    if self.write_gathered().is_err() {
                        self.gathered_since = Some(Instant::now());
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => return self.write_gathered(),
            };
            let mut others = Vec::new();
            match *first {
                Job::Decide(first) => self.commit_group(first, queue, &mut others),
                other => others.push(other),
            }
            for job in others {
                match job {
                    Job::AddUsage(Counted { usage, answer }) => drop(answer.send(self.index.add_usage(&usage))),
                    Job::Write(answer) => {
                        let _ = self.write_gathered();
                        drop(answer.send(self.journal.gathered().to_vec()));
                    }
                    Job::CatchUp(answer) => drop(answer.send(self.catch_up())),
                    Job::Secure(durability, answer) => drop(answer.send(self.secure(durability))),
                    Job::Relax(answer) => drop(answer.send(self.journal.relax())),
                    Job::Freeze(segment, answer) => drop(answer.send(self.freeze(segment))),
                    // Decisions are taken as they come.
                    Job::Decide(_) => {}
                }
            }
        }
    }

    /// Writes the records that are only in memory.
    fn write_gathered(&mut self) -> Result<(), StorageError> {
        if self.gathered_since.is_none() {
            return Ok(());
        }
        self.journal.write()?;
        self.all_is_written();
        Ok(())
    }

    /// Gives the index on disk what it could not be given before.
    fn catch_up(&mut self) -> Result<(), StorageError> {
        if self.index.is_behind() {
            // It reads the journal's files.
            self.write_gathered()?;
            self.index.catch_up()?;
        }
        Ok(())
    }

    fn secure(&mut self, durability: Durability) -> Result<(), StorageError> {
        self.journal.secure(durability)?;
        if !self.journal.is_gathering() {
            self.all_is_written();
        }
        Ok(())
    }

    fn all_is_written(&mut self) {
        if self.gathered_since.take().is_some() {
            self.gathering.store(false, Ordering::Release);
            self.index.tell_head(None);
        }
    }

    fn freeze(&mut self, segment: Segment) -> Result<Frozen, StorageError> {
        self.write_gathered()?;
        if segment == Segment::Fresh {
            self.journal.turn(self.clock.now())?;
        }
        self.index.freeze()
    }

    /// Decides, writes, applies and answers one group. Jobs of other sorts that were queued among it are left in `others`.
    fn commit_group(&mut self, first: Asked, queue: &Receiver<Box<Job>>, others: &mut Vec<Job>) {
        let mut answers = Vec::new();
        let done = self.write_group(first, queue, others, &mut answers);
        for (answer, committed) in answers {
            let committed = match &done {
                Ok(()) => committed,
                Err(error) => Err(error.again()),
            };
            // Nobody waiting any more takes nothing back.
            let _ = answer.send(committed);
        }
    }

    fn write_group(
        &mut self,
        first: Asked,
        queue: &Receiver<Box<Job>>,
        others: &mut Vec<Job>,
        answers: &mut Vec<(oneshot::Sender<Answer>, Answer)>,
    ) -> Result<(), StorageError> {
        let index = self.index.clone();
        let mut group = match self.catch_up().and_then(|()| self.journal.begin_group(self.clock.now())) {
            Ok(group) => group,
            Err(error) => return self.refuse_group(&error, first, queue, others, answers),
        };
        let rows = index.rows();
        let mut overlay = Overlay::over(&*rows);
        let (end, head) = (self.journal.end(), self.journal.head().clone());
        let mut waiting = || next_asked(queue, others);
        let mut strongest = Durability::None;
        let mut next = Some(first);
        while let Some(Asked { actor, decision, durability, answer }) = next.take() {
            if answer.is_canceled() {
                // Whoever asked has gone away before it was decided: nothing is done behind their back.
                next = waiting();
                continue;
            }
            let decided = decide(&overlay, group.head().seq, self.clock.now(), &actor, decision);
            let committed = decided.and_then(|(records, changes)| {
                let unwritable = |error: serde_json::Error| StorageError::Index { reason: error.to_string() };
                group.add(&records).map_err(unwritable)?;
                overlay.changes.absorb(changes);
                if !records.is_empty() {
                    strongest = strongest.max(durability);
                }
                Ok(records)
            });
            if let Err(error) = &committed {
                index.has_met(error);
            }
            answers.push((answer, committed));
            if answers.len() < GROUP_MAX && overlay.changes.len() < GROUP_ROWS {
                next = waiting();
            }
        }
        if group.is_empty() {
            return Ok(());
        }
        let after = group.head().clone();
        self.journal.append(group, strongest)?;
        let records = after.seq - head.seq;
        if self.journal.is_gathering() && !index.stays_in_memory(&overlay.changes, records) {
            // What is on the disk must never be ahead of the journal.
            if let Err(error) = self.journal.write() {
                self.journal.take_back(end, head);
                return Err(error);
            }
        }
        let mark = Mark { seq: after.seq, hash: after.hash };
        index.change(overlay.into_changes(), mark.clone());
        self.last_seq.store(mark.seq, Ordering::Release);
        match self.journal.is_gathering() {
            false => index.tell_head(None),
            true => {
                self.gathered_since.get_or_insert_with(Instant::now);
                self.gathering.store(true, Ordering::Release);
            }
        }
        Ok(())
    }
}

impl Work {
    /// Refuses the changes that wait, where journal or index cannot be written; whoever changes nothing is answered as always.
    fn refuse_group(
        &self,
        error: &StorageError,
        first: Asked,
        queue: &Receiver<Box<Job>>,
        others: &mut Vec<Job>,
        answers: &mut Vec<(oneshot::Sender<Answer>, Answer)>,
    ) -> Result<(), StorageError> {
        let rows = self.index.rows();
        let mut next = Some(first);
        while let Some(Asked { actor, decision, answer, .. }) = next.take() {
            let decided = decide(&*rows, self.journal.head().seq, self.clock.now(), &actor, decision);
            let refused = decided.and_then(|(records, _)| match records.is_empty() {
                true => Ok(records),
                false => Err(error.again()),
            });
            answers.push((answer, refused));
            if answers.len() < GROUP_MAX {
                next = next_asked(queue, others);
            }
        }
        Ok(())
    }
}

/// Returns the next decision that waits; jobs of other sorts go to `others`.
fn next_asked(queue: &Receiver<Box<Job>>, others: &mut Vec<Job>) -> Option<Asked> {
    loop {
        match queue.try_recv().map(|job| *job) {
            Ok(Job::Decide(asked)) => return Some(asked),
            Ok(other) => others.push(other),
            Err(_) => return None,
        }
    }
}
