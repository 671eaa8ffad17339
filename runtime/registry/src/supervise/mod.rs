//! Watching over components while the registry is live: restarts, quarantine, dependents that follow, and health.
//!
//! What to do is decided in [`domain::supervision`]; here it is carried out. Events say what happened (`hear`), and leave behind what
//! has to follow: changes that concern other components, and plans with a time. One task of the registry, the supervisor, does what
//! is due; there is no timer for each component. Commands that end at once have no supervisor: for them, what concerns dependents is done before
//! they end, and everything with a time waits for the next call or for a process that stays.

mod breaker;
mod follow;
mod health;
mod restart;
mod view;

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use domain::ports::Unit;
use domain::supervision::{Budget, Pulse};
use domain::{Actor, ComponentId, Event, Timestamp};
use tokio::sync::Notify;

use crate::Registry;
use crate::beside::besides;
use crate::builder::{Inner, OnWarning};
use crate::error::RegistryError;
use crate::parallel::for_each;
pub(crate) use breaker::judge;
pub use view::{BreakerState, SupervisionView};

/// How long the supervisor waits at most until it sees whether the registry is still there.
const NOTICE_EVERY: Duration = Duration::from_secs(2);
/// Shortest time between two rounds of the supervisor, however much happens.
const ROUND_EVERY_MIN: Duration = Duration::from_millis(10);

/// What the registry keeps in mind between events and what has to follow them.
#[derive(Default)]
pub(crate) struct Supervisor {
    plans: Mutex<HashMap<ComponentId, Plan>>,
    /// What has to follow the events so far, in their order.
    changes: Mutex<Vec<Change>>,
    /// Held by whoever carries changes out, so that they are carried out in order.
    following: tokio::sync::Mutex<()>,
    pulse: Mutex<Pulse>,
    /// When health is looked at next.
    look_at: Mutex<Option<Timestamp>>,
    /// Whether what an earlier process left was looked for.
    has_recalled: AtomicBool,
    /// Whether the registry is being closed: nothing becomes due any more.
    has_ended: AtomicBool,
    draws: AtomicU64,
    wake: Notify,
    on_warning: Option<Arc<OnWarning>>,
}

/// What is planned for one component, and what was done of late.
#[derive(Default)]
struct Plan {
    due: Option<(Timestamp, Job)>,
    budget: Budget,
}

/// What the supervisor does with a component when its time has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Job {
    /// Makes the instance anew that was discarded.
    Restart,
    /// Activates it again.
    Activate,
    /// Tries it, which is in quarantine.
    Probe,
}

/// What an event leaves to be done that concerns other components, or that nobody should wait for.
enum Change {
    /// The component is gone for those that need it.
    Lost(ComponentId),
    /// The component is back for those that need it.
    Back(ComponentId),
    /// Nobody is led to the unit any more.
    Stop(Arc<dyn Unit>),
}

impl Supervisor {
    /// Makes a supervisor that warns through `on_warning`.
    pub(crate) fn new(on_warning: Option<Arc<OnWarning>>) -> Self {
        Self { on_warning, ..Self::default() }
    }

    fn plans(&self) -> MutexGuard<'_, HashMap<ComponentId, Plan>> {
        self.plans.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changes(&self) -> MutexGuard<'_, Vec<Change>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns any number.
    pub(crate) fn draw(&self) -> u64 {
        // The one source of randomness that every platform's standard library has.
        RandomState::new().hash_one(self.draws.fetch_add(1, Ordering::Relaxed))
    }

    /// Lets the supervisor look for what is to be done.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }

    fn warn(&self, text: &str) {
        self.on_warning.iter().for_each(|hear| hear(text));
    }

    /// Plans `job`, unless something more important is planned.
    fn plan(&self, id: &ComponentId, at: Timestamp, job: Job) {
        let mut plans = self.plans();
        let plan = plans.entry(id.clone()).or_default();
        match plan.due {
            // It has its own time, and whatever was planned before is settled by it.
            Some((_, Job::Probe)) if job != Job::Probe => return,
            Some((earlier, planned)) if planned == job && job != Job::Probe && earlier <= at => return,
            Some(_) | None => plan.due = Some((at, job)),
        }
        drop(plans);
        self.wake();
    }

    /// Forgets what was planned; what was spent of the budget stays spent.
    fn unplan(&self, id: &ComponentId) {
        if let Some(plan) = self.plans().get_mut(id) {
            plan.due = None;
        }
    }

    /// Forgets a component that is not registered any more.
    pub(crate) fn forget(&self, id: &ComponentId) {
        self.plans().remove(id);
    }

    /// Takes what is due by now.
    fn take_due(&self, now: Timestamp) -> Vec<(ComponentId, Job)> {
        let mut due = Vec::new();
        for (id, plan) in self.plans().iter_mut() {
            if let Some((_, job)) = plan.due.take_if(|(at, _)| *at <= now) {
                due.push((id.clone(), job));
            }
        }
        due.sort_by(|(one, _), (other, _)| one.cmp(other));
        due
    }

    /// Returns the time of what is due next.
    fn next_due(&self) -> Option<Timestamp> {
        let planned = self.plans().values().filter_map(|plan| plan.due.map(|(at, _)| at)).min();
        let look_at = *self.look_at.lock().unwrap_or_else(PoisonError::into_inner);
        planned.into_iter().chain(look_at).min()
    }
}

impl Registry {
    /// Does what is due now: makes anew what failed, tries what is in quarantine, lets dependents follow, and looks at health when its
    /// interval is over. A live registry has a task that calls this in time; a program with a clock of its own can call it as well.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn supervise(&self) -> Result<(), RegistryError> {
        let registry = self.with_actor(Actor::System);
        registry.recall().await?;
        registry.follow().await?;
        let due = self.inner.supervisor.take_due(self.inner.clock.now());
        if !due.is_empty() {
            let each = registry.clone();
            let work = move |(id, job)| {
                let registry = each.clone();
                async move {
                    match job {
                        Job::Restart => registry.restart(&id).await,
                        Job::Activate => registry.activate_again(&id).await,
                        Job::Probe => registry.probe_when_due(&id).await,
                    }
                }
            };
            for done in for_each(due, self.parallel(), work).await {
                // One that could not be written concerns no other.
                if let Err(error) | Ok(Err(error)) = done {
                    self.inner.tracker.note_lost(&error);
                }
            }
            registry.follow().await?;
        }
        registry.look_at_health().await
    }

    /// Takes notice of an event: what it means for calls holds when this returns, what follows from it is left to be done.
    pub(crate) fn hear(&self, event: &Event) {
        let supervisor = &self.inner.supervisor;
        let follows = self.settings().activation.follow;
        let leave = |change: Change| {
            if follows {
                supervisor.changes().push(change);
            }
        };
        match event {
            Event::Quarantined { component, error, quarantine, .. } => {
                self.raise_barrier(component, quarantine, error);
                leave(Change::Lost(component.clone()));
            }
            Event::Errored { component, .. } | Event::Unregistered { component } => {
                self.lift_barrier(component);
                supervisor.unplan(component);
                leave(Change::Lost(component.clone()));
            }
            Event::Activated { component, .. } => {
                self.lift_barrier(component);
                supervisor.unplan(component);
                leave(Change::Back(component.clone()));
            }
            Event::Recovered { component, .. } => {
                // Whoever tried it leads calls there, and takes the barrier away then.
                supervisor.unplan(component);
                leave(Change::Back(component.clone()));
            }
            Event::ErrorsCleared { component, .. } | Event::Deactivated { component, .. } => {
                self.lift_barrier(component);
                supervisor.unplan(component);
            }
            _ => {}
        }
    }

    /// Looks once for what an earlier process left: quarantines, and components whose dependencies came back.
    async fn recall(&self) -> Result<(), RegistryError> {
        if self.inner.supervisor.has_recalled.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        let left = self.read(|view| {
            let mut left = (Vec::new(), Vec::new());
            for id in view.find(domain::reduce::index::STATUS, domain::Status::Error.as_str())? {
                left.0.extend(view.entry(&id)?.filter(|entry| entry.quarantine().is_some()));
            }
            for (id, _) in view.index_keys(domain::reduce::index::BESIDE)? {
                let id = ComponentId::read(&id).map_err(|error| RegistryError::Internal(error.to_string()))?;
                let besides = besides(view, &id)?.into_iter();
                left.0.extend(besides.filter(|entry| entry.quarantine().is_some()));
            }
            for id in view.find(domain::reduce::index::STATUS, domain::Status::Inactive.as_str())? {
                left.1.extend(view.entry(&id)?.and_then(|entry| entry.lost().cloned()));
            }
            Ok(left)
        });
        let (quarantined, lost) = left.await?;
        for entry in quarantined {
            self.recall_barrier(&entry);
        }
        if self.settings().activation.follow {
            self.inner.supervisor.changes().extend(lost.into_iter().map(Change::Back));
        }
        Ok(())
    }

    /// Returns how long nothing is due.
    fn until_due(&self) -> Duration {
        let due = self.inner.supervisor.next_due();
        due.map_or(NOTICE_EVERY, |at| at.since(self.inner.clock.now())).min(NOTICE_EVERY)
    }
}

/// Starts the task that does what is due. It ends when the registry is dropped or closed.
pub(crate) fn spawn_supervisor(registry: &Registry) {
    let weak: Weak<Inner> = Arc::downgrade(&registry.inner);
    tokio::spawn(async move {
        loop {
            let Some(registry) = weak.upgrade().map(Registry::of_system) else { return };
            let (pause, supervisor) = (registry.until_due(), registry.inner.supervisor.clone());
            drop(registry);
            // Whichever comes first.
            let _ = tokio::time::timeout(pause, supervisor.wake.notified()).await;
            if supervisor.has_ended() {
                return;
            }
            let Some(registry) = weak.upgrade().map(Registry::of_system) else { return };
            if let Err(error) = registry.supervise().await {
                registry.inner.tracker.note_lost(&error);
            }
            drop(registry);
            tokio::time::sleep(ROUND_EVERY_MIN).await;
        }
    });
}

impl Supervisor {
    /// Lets nothing more become due: the registry is being closed.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
        self.plans().values_mut().for_each(|plan| plan.due = None);
        self.wake();
    }

    fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }
}
