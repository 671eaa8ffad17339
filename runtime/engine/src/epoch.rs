//! Wall-clock time for guests: the ticker that moves the engine's epoch, and deadlines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use wasmtime::EngineWeak;

use crate::clock;

/// Time between two ticks of the epoch, and so the longest that a guest runs without giving way to others.
pub const TICK: Duration = Duration::from_millis(10);

/// How much longer than its deadline a call may stay inside the host before the host gives up on it.
///
/// A guest that computes is stopped by the next tick; this bound is for one that waits in a host function.
const HOST_GRACE: Duration = Duration::from_millis(30);

/// Moves the epoch of one engine every [`TICK`], from the first store on; ends by itself with the engine.
#[derive(Default)]
pub(crate) struct Ticker {
    started: Mutex<bool>,
    /// Other engines that it moves as well.
    others: Arc<Mutex<Vec<EngineWeak>>>,
    /// Milliseconds since the first tick, brought up to date by each.
    now: Arc<AtomicU64>,
}

impl Ticker {
    /// Starts the ticking thread, once.
    ///
    /// # Errors
    /// The system's, if it has no thread left; the next store tries again.
    pub(crate) fn start(&self, engine: &wasmtime::Engine) -> std::io::Result<()> {
        let mut started = self.started.lock().unwrap_or_else(PoisonError::into_inner);
        if !*started {
            let (engine, others, now) = (engine.weak(), Arc::clone(&self.others), Arc::clone(&self.now));
            std::thread::Builder::new().name("epoch-ticker".to_owned()).spawn(move || tick(&engine, &others, &now))?;
            *started = true;
        }
        Ok(())
    }

    /// Moves the epoch of `engine` too, for as long as the first one is there.
    pub(crate) fn add(&self, engine: &wasmtime::Engine) {
        self.others.lock().unwrap_or_else(PoisonError::into_inner).push(engine.weak());
    }

    /// Returns the time in milliseconds by a clock that costs nothing to read and is right to within a tick.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(Ordering::Relaxed)
    }
}

fn tick(engine: &EngineWeak, others: &Mutex<Vec<EngineWeak>>, now: &AtomicU64) {
    let began = Instant::now();
    loop {
        std::thread::sleep(TICK);
        let Some(engine) = engine.upgrade() else { return };
        engine.increment_epoch();
        for other in others.lock().unwrap_or_else(PoisonError::into_inner).iter().filter_map(EngineWeak::upgrade) {
            other.increment_epoch();
        }
        now.store(u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        clock::calibrate();
    }
}

/// The moment at which a call ends, whether it is done or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Deadline(Instant);

impl Deadline {
    /// Returns the deadline `after` from now.
    pub fn after(after: Duration) -> Self {
        Self::at(Instant::now(), after)
    }

    /// Returns the deadline `after` from `now`.
    pub(crate) fn at(now: Instant, after: Duration) -> Self {
        // A century is as good as never, and never overflows.
        Self(now.checked_add(after).unwrap_or(now + Duration::from_secs(3_000_000_000)))
    }

    /// Returns the time that is left, zero once it has passed.
    pub fn left(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Tells whether it has passed.
    pub fn passed(self) -> bool {
        Instant::now() >= self.0
    }

    /// Returns the moment at which the host stops waiting for its own functions.
    pub(crate) fn host_limit(self) -> tokio::time::Instant {
        (self.0 + HOST_GRACE).into()
    }
}
