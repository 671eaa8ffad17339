//! The cache of live instances: idle ones are dropped and come back on demand.
//!
//! Three things end an instance that serves nobody: its component's `idle_ttl` or the registry's `ttl`, the registry's `max_size`, and a
//! process that comes near to the number of mappings that the system allows. Calls do not look; they say when they made an instance, and
//! a task of the registry looks when enough were made, or when time is up.

mod room;
mod sweep;

use std::sync::{Arc, PoisonError, Weak};
use std::time::{Duration, Instant};

use domain::ComponentId;
use domain::ports::{InstanceCount, Mappings};

use crate::Registry;
use crate::builder::Inner;
use crate::commit::blocking;
use crate::error::RegistryError;
pub(crate) use room::Room;

/// How long the housekeeper waits at most until it sees whether the registry is still there.
const NOTICE_EVERY: Duration = Duration::from_secs(2);
/// Time between two counts of the mappings that nothing gave a reason for but that something was made.
const COUNT_EVERY: Duration = Duration::from_secs(10);
/// Shortest time between two sweeps, however many instances are made.
const SWEEP_EVERY_MIN: Duration = Duration::from_millis(20);

impl Registry {
    /// Returns how many ranges of memory this process has mapped and how many it may have; `None` where the system does not say.
    ///
    /// # Errors
    /// [`RegistryError::Internal`] if the task that counts them died.
    pub async fn mappings(&self) -> Result<Option<Mappings>, RegistryError> {
        let (inner, now) = (self.inner.clone(), self.inner.clock.now());
        blocking(move || Ok(inner.tracker.room.count(now))).await
    }

    /// Returns how many instances of all components this process has.
    pub fn live_instances(&self) -> u64 {
        self.kept().iter().map(|kept| kept.count.live as u64).sum()
    }

    /// Counts the instances of one component.
    pub(crate) fn instance_count(&self, id: &ComponentId) -> InstanceCount {
        self.unit_in_service(id).map(|unit| unit.instances()).unwrap_or_default()
    }

    /// Makes sure that one more instance or unit can be made of `id`, by dropping idle instances if need be. Costs two loads of numbers
    /// in all but one of many times.
    ///
    /// # Errors
    /// [`RegistryError::NoRoom`].
    pub(crate) async fn room_for(&self, id: &ComponentId) -> Result<(), RegistryError> {
        if !self.inner.tracker.room.is_count_due() {
            return Ok(());
        }
        // Boxed: hardly any call needs it.
        Box::pin(self.make_room(id)).await
    }

    async fn make_room(&self, id: &ComponentId) -> Result<(), RegistryError> {
        let (inner, now) = (self.inner.clone(), self.inner.clock.now());
        let Some(mappings) = blocking(move || Ok(inner.tracker.room.recent(now))).await? else { return Ok(()) };
        if !mappings.is_tight() {
            return Ok(());
        }
        {
            let _sweeping = self.inner.sweeping.lock().await;
            self.ease_mappings().await?;
        }
        match self.inner.tracker.room.known() {
            Some(mappings) if self.inner.tracker.room.is_full() => Err(no_room(id, mappings)),
            Some(_) | None => Ok(()),
        }
    }

    /// Tells whether a call of `id` would make an instance. Answers for [`Room::is_full`], so it may look a component up.
    pub(crate) fn makes_instance(&self, id: &ComponentId) -> bool {
        makes_instance(&self.inner, id)
    }
}

/// Tells whether a call of `id` would make an instance.
fn makes_instance(inner: &Inner, id: &ComponentId) -> bool {
    let places = inner.places.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(place) = places.get(id) else { return true };
    let (unit, max) = (place.slot.unit(), place.max);
    drop(places);
    let Some(unit) = unit else { return true };
    let count = unit.instances();
    count.live == 0 || (count.busy >= count.live && count.live < max as usize)
}

fn no_room(id: &ComponentId, mappings: Mappings) -> RegistryError {
    RegistryError::NoRoom { component: id.clone(), count: mappings.count, limit: mappings.limit }
}

/// Returns why a call of `id` that came from another component may not begin: it would make an instance, and there is no room.
pub(crate) fn refusal(inner: &Inner, id: &ComponentId) -> Option<String> {
    let mappings = inner.tracker.room.known()?;
    makes_instance(inner, id).then(|| no_room(id, mappings).to_string())
}

/// Starts the task that looks after instances. It ends when the registry is dropped.
pub(crate) fn spawn_housekeeper(registry: &Registry) {
    let inner: Weak<Inner> = Arc::downgrade(&registry.inner);
    let tracker = registry.inner.tracker.clone();
    tokio::spawn(async move {
        let mut looked = Instant::now();
        let mut counted = None::<Instant>;
        loop {
            let room = &tracker.room;
            let left = room.look_every().map(|every| every.saturating_sub(looked.elapsed()));
            let pause = left.unwrap_or(NOTICE_EVERY).min(NOTICE_EVERY);
            let told = tokio::time::timeout(pause, room.wake.notified()).await.is_ok();
            let Some(inner) = inner.upgrade() else { return };
            let is_count_due = !told && counted.is_none_or(|at| at.elapsed() >= COUNT_EVERY);
            if is_count_due {
                room.count_again();
                counted = Some(Instant::now());
            }
            if told || is_count_due || left.is_some_and(|left| left <= pause) {
                let registry = Registry::over(inner, domain::Actor::System);
                if let Err(error) = registry.shed_instances().await {
                    tracker.note_lost(&error);
                }
                looked = Instant::now();
                drop(registry);
                tokio::time::sleep(SWEEP_EVERY_MIN).await;
            }
        }
    });
}
