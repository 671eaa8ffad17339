//! Dropping idle instances.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use domain::ComponentId;
use domain::ports::{InstanceCount, Unit};

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::instances::dependents_first;
use crate::parallel::for_each;

/// Fewest components whose idle instances are dropped before the mappings are counted again.
const EASE_AT_ONCE: usize = 16;
/// Most rounds of dropping and counting: each takes a quarter of what is left.
const EASE_ROUNDS_MAX: usize = 24;

/// A component in service that has instances.
pub(super) struct Kept {
    id: ComponentId,
    unit: Arc<dyn Unit>,
    pub(super) count: InstanceCount,
    idle_ttl: Option<Duration>,
    since: Instant,
    needs: Vec<ComponentId>,
}

impl Kept {
    fn idle(&self) -> usize {
        self.count.live.saturating_sub(self.count.busy)
    }
}

impl Registry {
    /// Drops the instances that served nobody for as long as their component or the registry says, and those beyond the registry's
    /// bounds, the ones first that were not used for longest. They end in order, and come back when they are called.
    ///
    /// The registry does that by itself; a program need not. Returns how many were dropped.
    ///
    /// # Errors
    /// [`RegistryError::Storage`] if what went wrong in their ends could not be written; they are dropped all the same.
    pub async fn shed_instances(&self) -> Result<usize, RegistryError> {
        let dropped = {
            let _sweeping = self.inner.sweeping.lock().await;
            let mut dropped = self.shed_expired().await;
            dropped += self.shed_beyond().await;
            if self.inner.tracker.room.is_count_due() || self.inner.tracker.room.is_tight() {
                dropped += self.ease_mappings().await?;
            }
            dropped
        };
        if dropped > 0 {
            self.flush_failures().await?;
        }
        Ok(dropped)
    }

    /// Returns the components that have instances. Looks at each that is in service.
    pub(super) fn kept(&self) -> Vec<Kept> {
        let places = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner);
        let in_service = places.iter().filter_map(|(id, place)| {
            Some(Kept {
                id: id.clone(),
                unit: place.slot.unit()?,
                count: InstanceCount::default(),
                idle_ttl: place.idle_ttl,
                since: place.since,
                needs: place.needs.clone(),
            })
        });
        let mut kept: Vec<_> = in_service.collect();
        drop(places);
        kept.iter_mut().for_each(|kept| kept.count = kept.unit.instances());
        kept.retain(|kept| kept.count.live > 0);
        kept
    }

    /// Drops what was idle for too long, dependents first.
    async fn shed_expired(&self) -> usize {
        let ttl = self.settings().instances.ttl();
        self.inner.tracker.room.expect_ttl(ttl);
        if self.inner.tracker.room.look_every().is_none() {
            return 0;
        }
        let mut expired = HashMap::new();
        let mut needs = HashMap::new();
        for kept in self.kept() {
            let Some(ttl) = kept.idle_ttl.or(ttl) else { continue };
            // One that was only just put in service has not been idle for that long, whatever it was called for.
            if kept.idle() > 0 && kept.since.elapsed() >= ttl {
                needs.insert(kept.id.clone(), kept.needs);
                expired.insert(kept.id, (kept.unit, ttl));
            }
        }
        let ordered = dependents_first(&needs).into_iter().filter_map(|id| expired.remove(&id)).collect();
        self.shed_each(ordered).await
    }

    /// Drops idle instances beyond the most that are to be kept, those first that were not used for longest.
    async fn shed_beyond(&self) -> usize {
        let Some(most) = self.settings().instances.max_size else {
            self.inner.tracker.room.expect_size(0, 0, None);
            return 0;
        };
        // Before they are counted: what is made meanwhile is counted twice rather than not at all.
        let made = self.inner.tracker.room.made_so_far();
        let kept = self.kept();
        let live: usize = kept.iter().map(|kept| kept.count.live).sum();
        let excess = live.saturating_sub(usize::try_from(most).unwrap_or(usize::MAX));
        let (mut units, mut found) = (Vec::new(), 0);
        for kept in least_recent(kept) {
            if found >= excess {
                break;
            }
            found += kept.idle();
            units.push((kept.unit, Duration::ZERO));
        }
        let dropped = self.shed_each(units).await;
        self.inner.tracker.room.expect_size(made, live.saturating_sub(dropped) as u64, Some(most));
        dropped
    }

    /// Drops idle instances, those first that were not used for longest, until the process has mappings to spare. Whoever calls it
    /// holds the lock of sweeps.
    pub(super) async fn ease_mappings(&self) -> Result<usize, RegistryError> {
        let mut dropped = 0;
        for round in 0..EASE_ROUNDS_MAX {
            let (inner, now) = (self.inner.clone(), self.inner.clock.now());
            let Some(mappings) = blocking(move || Ok(inner.tracker.room.count(now))).await? else { break };
            // Begun only above one bound, and ended below another.
            if if round == 0 { !mappings.is_tight() } else { mappings.is_eased() } {
                break;
            }
            let mut idle = least_recent(self.kept());
            idle.truncate((idle.len() / 4).max(EASE_AT_ONCE));
            let shed = self.shed_each(idle.into_iter().map(|kept| (kept.unit, Duration::ZERO)).collect()).await;
            if shed == 0 {
                break;
            }
            dropped += shed;
        }
        Ok(dropped)
    }

    /// Drops the instances of each unit that were idle for as long as stands beside it, several units at once: the end of an
    /// instance may take as long as its component's deadline.
    async fn shed_each(&self, units: Vec<(Arc<dyn Unit>, Duration)>) -> usize {
        if units.is_empty() {
            return 0;
        }
        let shed = |(unit, idle): (Arc<dyn Unit>, Duration)| async move { unit.shed(idle).await };
        let mut dropped = 0;
        for ended in for_each(units, self.parallel(), shed).await {
            match ended {
                Ok(count) => dropped += count,
                Err(died) => self.inner.tracker.note_lost(&died),
            }
        }
        if dropped > 0 {
            self.inner.tracker.room.dropped();
        }
        dropped
    }
}

/// Returns those with idle instances, those first that were not used for longest.
fn least_recent(mut kept: Vec<Kept>) -> Vec<Kept> {
    kept.retain(|kept| kept.idle() > 0);
    kept.sort_by(|a, b| a.count.last_used.cmp(&b.count.last_used).then_with(|| a.id.cmp(&b.id)));
    kept
}
