//! Hears from the engine what happens to guests and writes it down: failures as events, use as counters.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::{Duration, Instant};

use domain::ports::{CallRecord, Clock, EngineObserver, Exhausted, GateUsage};
use domain::text::truncate;
use domain::usage::Usage;
use domain::{ComponentId, Event, Failure, Limits, Phase, Timestamp};
use tokio::sync::Semaphore;

use crate::Registry;
use crate::builder::Inner;
use crate::cache::{self, Room};
use crate::error::RegistryError;
use crate::quotas::Meters;
use crate::supervise::judge;

/// How often counters and counted repeats are written.
const WRITE_EVERY: Duration = Duration::from_secs(2);
/// When a call is worth trying again for which there was no room.
const ROOM_RETRY: Duration = Duration::from_secs(1);
/// Most different failures that wait to be written; beyond it they are counted as lost.
const PENDING_MAX: usize = 1_024;

/// Gathers failures and counters until they are written. The engine's observer.
pub struct Tracker {
    clock: Arc<dyn Clock>,
    failures: Mutex<Vec<(Failure, u64)>>,
    /// Held by the one task that writes failures: whoever finds none to write waits until those taken before are written.
    writing: Semaphore,
    /// In shares by the component's id: threads that call different components seldom meet.
    usage: [Share; SHARES],
    lost: AtomicU64,
    pub(crate) meters: Meters,
    pub(crate) room: Room,
    /// The registry that this hears for, once it is open.
    registry: OnceLock<Weak<Inner>>,
}

/// How many shares the counters are in.
const SHARES: usize = 32;

/// Counters of some components; on cache lines of its own.
#[derive(Default)]
#[repr(align(128))]
struct Share(Mutex<HashMap<ComponentId, Gathered>>);

impl Share {
    fn lock(&self) -> MutexGuard<'_, HashMap<ComponentId, Gathered>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Counters of one component that are not written yet.
#[derive(Default)]
struct Gathered {
    usage: Usage,
    /// The last call, by the clock that costs least to read.
    last_call: Option<Instant>,
}

impl Gathered {
    /// Returns the counters, with the last access in wall-clock time.
    fn usage(&self, clock: &dyn Clock) -> Usage {
        let mut usage = self.usage.clone();
        if let Some(last_call) = self.last_call {
            let ago = i64::try_from(last_call.elapsed().as_micros()).unwrap_or(i64::MAX);
            let at = Timestamp::from_micros(clock.now().as_micros().saturating_sub(ago));
            usage.last_accessed = usage.last_accessed.max(Some(at));
        }
        usage
    }
}

impl Tracker {
    /// Makes a tracker that has heard nothing yet.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self {
            clock,
            failures: Mutex::default(),
            writing: Semaphore::new(1),
            usage: std::array::from_fn(|_| Share::default()),
            lost: AtomicU64::new(0),
            meters: Meters::default(),
            room: Room::default(),
            registry: OnceLock::new(),
        }
    }

    /// Returns how many failures and refusals could not be written down.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    pub(crate) fn note_lost(&self, _because: &RegistryError) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts quick calls between components.
    fn passed(&self, passed: &GateUsage<'_>) {
        let now = Instant::now();
        self.gather(passed.component, |Gathered { usage, last_call }| {
            *last_call = Some(now);
            usage.access_count += passed.calls;
            usage.calls += passed.calls;
            usage.fuel = usage.fuel.saturating_add(passed.fuel);
            usage.durations.add_quick(passed.duration, passed.buckets);
            usage.instance_hits += passed.calls;
        });
    }

    /// Returns the counters of `id` that are not saved yet.
    pub(crate) fn pending(&self, id: &ComponentId) -> Usage {
        let gathered = self.share(id).lock();
        gathered.get(id).map(|gathered| gathered.usage(&*self.clock)).unwrap_or_default()
    }

    pub(crate) fn count(&self, id: &ComponentId, change: impl FnOnce(&mut Usage)) {
        self.gather(id, |gathered| change(&mut gathered.usage));
    }

    fn gather(&self, id: &ComponentId, change: impl FnOnce(&mut Gathered)) {
        let mut usage = self.share(id).lock();
        match usage.get_mut(id) {
            Some(gathered) => change(gathered),
            None => change(usage.entry(id.clone()).or_default()),
        }
    }

    fn share(&self, id: &ComponentId) -> &Share {
        let mixed =
            id.as_str().bytes().fold(0_usize, |mixed, byte| mixed.wrapping_mul(31).wrapping_add(usize::from(byte)));
        let [first, ..] = &self.usage;
        self.usage.get(mixed % SHARES).unwrap_or(first)
    }

    /// Counts an access of the component that is not a call.
    pub(crate) fn accessed(&self, id: &ComponentId) {
        let now = self.clock.now();
        self.count(id, |usage| {
            usage.access_count += 1;
            usage.last_accessed = Some(now);
        });
    }

    pub(crate) fn forget(&self, id: &ComponentId) {
        self.share(id).lock().remove(id);
        self.failures.lock().unwrap_or_else(PoisonError::into_inner).retain(|(f, _)| f.component != *id);
    }

    fn take_failures(&self) -> Vec<(Failure, u64)> {
        std::mem::take(&mut *self.failures.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Says for which registry this hears.
    pub(crate) fn hear_for(&self, registry: &Registry) {
        // A registry is opened once.
        let _ = self.registry.set(Arc::downgrade(&registry.inner));
    }

    /// Starts the task that writes counters and repeats. It ends when the registry is dropped.
    pub(crate) fn spawn_writer(&self, registry: &Registry) {
        let inner: Weak<Inner> = Arc::downgrade(&registry.inner);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(WRITE_EVERY).await;
                let Some(inner) = inner.upgrade() else { return };
                let registry = Registry::of_system(inner);
                if let Err(error) = registry.flush().await {
                    registry.inner.tracker.note_lost(&error);
                }
            }
        });
    }
}

impl EngineObserver for Tracker {
    fn failed(&self, failure: Failure) {
        let mut failures = self.failures.lock().unwrap_or_else(PoisonError::into_inner);
        let same = |(earlier, _): &&mut (Failure, u64)| {
            earlier.component == failure.component
                && earlier.revision == failure.revision
                && earlier.phase == failure.phase
                && earlier.kind == failure.kind
                && earlier.function == failure.function
                && earlier.message == failure.message
        };
        if let Some((_, count)) = failures.iter_mut().rev().take(16).find(same) {
            *count += 1;
        } else if failures.len() < PENDING_MAX {
            failures.push((failure, 1));
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn admit(&self, component: &ComponentId) -> Result<(), Exhausted> {
        // Before a call is counted that will not be made.
        if self.room.is_full()
            && let Some(inner) = self.registry.get().and_then(Weak::upgrade)
            && let Some(reason) = cache::refusal(&inner, component)
        {
            self.room.wake.notify_one();
            return Err(Exhausted { reason, retry_after: ROOM_RETRY });
        }
        self.meters.begin(component, &*self.clock)
    }

    fn is_metered(&self) -> bool {
        self.meters.is_needed()
    }

    fn called(&self, call: CallRecord<'_>) {
        if call.instance_hit == Some(false) {
            self.room.made();
        }
        self.meters.used(call.component, call.fuel, &*self.clock);
        self.gather(call.component, |Gathered { usage, last_call }| {
            *last_call = Some(call.ended);
            usage.access_count += 1;
            usage.calls += 1;
            usage.errors += u64::from(!call.ok);
            usage.fuel = usage.fuel.saturating_add(call.fuel);
            usage.durations.add(call.duration);
            match call.instance_hit {
                Some(true) => usage.instance_hits += 1,
                Some(false) => usage.instance_misses += 1,
                None => {}
            }
        });
    }
}

impl Registry {
    /// Makes the event of a failure, within the bounds that its component's limits set to the history.
    pub(crate) fn failed(&self, mut failure: Failure, count: u64) -> Event {
        // An entry that cannot be read now has the bounds of one that asks for nothing.
        let entry = self.entry_now(&failure.component).ok().flatten();
        let limits = entry.map_or(Limits::DEFAULT, |entry| self.effective_limits(&entry).limits);
        let text_max = usize::try_from(limits.failure_text).unwrap_or(usize::MAX);
        failure.message = truncate(&failure.message, text_max).into_owned();
        let keep =
            (limits.failures != Limits::DEFAULT.failures).then(|| u32::try_from(limits.failures).unwrap_or(u32::MAX));
        Event::Failed { component: failure.component.clone(), failure: Box::new(failure), count, keep }
    }

    /// Writes the failures that the engine reported so far; those that another task writes are written when this returns.
    pub(crate) async fn flush_failures(&self) -> Result<(), RegistryError> {
        // Never closed.
        let _writing = self.inner.tracker.writing.acquire().await;
        let failures = self.inner.tracker.take_failures();
        if failures.is_empty() {
            return Ok(());
        }
        self.write_failures(failures).await
    }

    /// Writes failures, and puts those components in quarantine for which they are too many.
    pub(crate) async fn write_failures(&self, failures: Vec<(Failure, u64)>) -> Result<(), RegistryError> {
        let mut events = Vec::with_capacity(failures.len());
        let mut failed = BTreeSet::new();
        for (failure, count) in &failures {
            let component = failure.component.clone();
            if failure.phase == Phase::Snapshot {
                // What was saved before is older than what is lost: the next instance starts fresh.
                events.push(Event::StateSaved { component: component.clone(), state: None });
            }
            events.push(self.failed(failure.clone(), *count));
            if failure.counts() {
                failed.insert(component);
            }
        }
        let (settings, now) = (self.settings(), self.inner.clock.now());
        let failed: Vec<_> = failed.into_iter().map(|id| (id, self.inner.supervisor.draw())).collect();
        let failures = Arc::new(failures);
        let written = self.commit({
            let failures = failures.clone();
            move |view| {
                for (id, draw) in &failed {
                    events.extend(judge(view, &settings, id, &failures, (now, *draw))?);
                }
                Ok((events, ()))
            }
        });
        written.await?;
        failures.iter().for_each(|(failure, _)| self.plan_restart(failure));
        self.inner.supervisor.wake();
        Ok(())
    }

    /// Writes the counters of use gathered so far.
    pub(crate) async fn flush_usage(&self) -> Result<(), RegistryError> {
        self.take_gate_usage();
        let shares = self.inner.tracker.usage.iter();
        let pending: Vec<_> = shares.flat_map(|share| std::mem::take(&mut *share.lock())).collect();
        if pending.is_empty() {
            return Ok(());
        }
        let state = self.inner.state.clone();
        let clock = self.inner.clock.clone();
        let pending = pending.into_iter().map(|(id, gathered)| (id, gathered.usage(&*clock))).collect::<Vec<_>>();
        Ok(state.add_usage(pending).await?)
    }

    /// Gathers what gates have counted.
    pub(crate) fn take_gate_usage(&self) {
        self.inner.engine.take_usage(&mut |passed| self.inner.tracker.passed(passed));
    }

    /// Writes everything that was only gathered so far.
    pub(crate) async fn flush(&self) -> Result<(), RegistryError> {
        self.flush_failures().await?;
        self.flush_refusals().await?;
        self.flush_meters().await?;
        self.flush_usage().await
    }
}
