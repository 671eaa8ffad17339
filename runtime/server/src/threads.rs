//! On which thread a command runs, and how one that computes for long stands back behind the others.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use futures::future::BoxFuture;
use rustix::time::{ClockId, clock_gettime};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// How long work may keep a thread busy that it shares with others: guests give way once in ten milliseconds.
const BUSY: Duration = Duration::from_millis(5);

/// How far a thread that was busy for longer stands back behind everybody else, in steps of nineteen.
const BUSY_NICE: i32 = 10;

/// Most commands that have a thread of their own at once; others wait.
const THREADS_MAX: usize = 512;

/// The threads of commands that do not share one.
///
/// They are made for one command each: how far a thread stands back cannot be taken back without privileges.
pub(crate) struct Threads(Arc<Semaphore>);

impl Threads {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(THREADS_MAX)))
    }

    /// Runs work on this thread until it keeps it busy for too long; then on one of its own, so that the system divides the
    /// processors between it and others.
    pub(crate) fn share(&self, mut work: BoxFuture<'static, ()>) {
        let threads = Self(Arc::clone(&self.0));
        tokio::spawn(async move {
            let is_busy = poll_fn(|context| {
                let began = Instant::now();
                match work.as_mut().poll(context) {
                    Poll::Ready(()) => Poll::Ready(false),
                    Poll::Pending if began.elapsed() > BUSY => Poll::Ready(true),
                    Poll::Pending => Poll::Pending,
                }
            });
            if is_busy.await {
                threads.alone(|| {
                    stand_back();
                    work
                });
            }
        });
    }

    /// Runs work on a thread of its own, as soon as there may be one more.
    pub(crate) fn alone<W: Future<Output = ()>>(&self, work: impl FnOnce() -> W + Send + 'static) {
        let free = Arc::clone(&self.0).acquire_owned();
        tokio::spawn(async move {
            // Never closed.
            let permit = free.await;
            let runtime = Handle::current();
            let run = move || {
                runtime.block_on(standing_back(work()));
                drop(permit);
            };
            // Left here by the thread that could not be made.
            let run = Arc::new(Mutex::new(Some(run)));
            let taken = Arc::clone(&run);
            let take = move || taken.lock().unwrap_or_else(PoisonError::into_inner).take();
            let begin = {
                let take = take.clone();
                move || take().map(|run| run()).unwrap_or_default()
            };
            if std::thread::Builder::new().name("command".to_owned()).spawn(begin).is_err() {
                tokio::task::spawn_blocking(move || take().map(|run| run()).unwrap_or_default());
            }
        });
    }
}

/// Runs work to its end; from the first time on that it computes for long, its thread stands back.
async fn standing_back(work: impl Future<Output = ()>) {
    let mut work = pin!(work);
    let mut stands_back = false;
    poll_fn(|context| {
        let began = processor_time();
        let polled = work.as_mut().poll(context);
        if !stands_back && polled.is_pending() && processor_time().saturating_sub(began) > BUSY {
            stands_back = true;
            stand_back();
        }
        polled
    })
    .await;
}

/// Returns the processor time that this thread has used: unlike wall-clock time it does not grow while a disk is waited for.
fn processor_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// Lets every other thread go before this one, which computes for long; where the system refuses, they share.
fn stand_back() {
    // On Linux a thread's own, whatever POSIX says.
    let _ = rustix::process::nice(BUSY_NICE);
}
