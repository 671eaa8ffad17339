//! Health on an interval: of components that can say, and of the registry as a whole.

use std::sync::PoisonError;

use domain::event::{FAILING_MAX, Failing, HealthCount};
use domain::ports::StateView;
use domain::reduce::index;
use domain::supervision::Beat;
use domain::text::truncate;
use domain::{ComponentId, Event, Status, Timestamp};

use crate::Registry;
use crate::error::RegistryError;
use crate::parallel::for_each;

/// Longest error of a component that a warning repeats, in bytes.
const ERROR_TEXT_MAX: usize = 300;

impl Registry {
    /// Looks at health if its interval is over.
    pub(super) async fn look_at_health(&self) -> Result<(), RegistryError> {
        let now = self.inner.clock.now();
        if !self.is_time_to_look(now) {
            return Ok(());
        }
        self.ask_components().await?;
        let (health, settings) = (self.health().await?, self.settings());
        let threshold = settings.health.threshold_percentage();
        let beat = {
            let mut pulse = self.inner.supervisor.pulse.lock().unwrap_or_else(PoisonError::into_inner);
            pulse.see(health.health_percentage, threshold)
        };
        let count = HealthCount { healthy: health.healthy_count, total: health.total };
        let words = format!("{:.1}% of {} components are healthy", health.health_percentage, health.total);
        match beat {
            None => return Ok(()),
            Some(Beat::Rose) => {
                let event = Event::HealthRestored { health: count, threshold };
                self.commit(move |_| Ok((vec![event], ()))).await?;
                self.inner.supervisor.warn(&format!("{words} again, at least {threshold}%"));
            }
            Some(Beat::Fell) => {
                let failing = self.read(failing).await?;
                let named: Vec<_> =
                    failing.iter().map(|failing| format!("{}: {}", failing.component, failing.error)).collect();
                let event = Event::HealthDropped { health: count, threshold, failing };
                self.commit(move |_| Ok((vec![event], ()))).await?;
                self.inner.supervisor.warn(&format!("{words}, below {threshold}%: {}", named.join("; ")));
            }
        }
        Ok(())
    }

    /// Tells whether the interval is over, and begins the next one then; it is over at once where it was shortened.
    fn is_time_to_look(&self, now: Timestamp) -> bool {
        let interval = self.settings().health.interval();
        let mut look_at = self.inner.supervisor.look_at.lock().unwrap_or_else(PoisonError::into_inner);
        match *look_at {
            Some(at) if at <= now => {
                *look_at = Some(now.after(interval));
                true
            }
            Some(at) => {
                *look_at = Some(at.min(now.after(interval)));
                false
            }
            None => {
                *look_at = Some(now.after(interval));
                false
            }
        }
    }

    /// Asks those components how they are that have an instance which serves nobody: one that is not there need not be made for this, and
    /// one that is busy shows how it is.
    async fn ask_components(&self) -> Result<(), RegistryError> {
        let units: Vec<_> = {
            let places = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner);
            places.values().filter_map(|place| place.slot.unit()).collect()
        };
        let is_idle = |count: domain::ports::InstanceCount| count.live > 0 && count.busy < count.live;
        let mut ids: Vec<ComponentId> = Vec::new();
        for unit in units.iter().filter(|unit| is_idle(unit.instances())) {
            let entry = self.entry_now(unit.id())?.filter(|entry| entry.status == Status::Active);
            ids.extend(entry.filter(|entry| entry.revision.has_lifecycle("health")).map(|entry| entry.id.clone()));
        }
        drop(units);
        let (registry, deadline) = (self.clone(), self.settings().health.deadline());
        let ask = move |id: ComponentId| {
            let registry = registry.clone();
            async move { registry.check_health_within(&id, Some(deadline)).await }
        };
        for asked in for_each(ids, self.parallel(), ask).await {
            match asked {
                // One that went out of service meanwhile.
                Ok(
                    Ok(_)
                    | Err(
                        RegistryError::NotActive { .. }
                        | RegistryError::Waiting { .. }
                        | RegistryError::Quarantined { .. },
                    ),
                ) => {}
                Ok(Err(error)) | Err(error) => self.inner.tracker.note_lost(&error),
            }
        }
        Ok(())
    }
}

/// Returns the first components that are not well, with the last error of each.
fn failing(view: &dyn StateView) -> Result<Vec<Failing>, RegistryError> {
    let mut failing = Vec::new();
    for component in view.find(index::HEALTH, "unhealthy")?.into_iter().take(FAILING_MAX) {
        let Some(entry) = view.entry(&component)? else { continue };
        let error = entry.last_error.as_deref().unwrap_or("it is not well");
        failing.push(Failing { component, error: truncate(error, ERROR_TEXT_MAX).into_owned() });
    }
    Ok(failing)
}
