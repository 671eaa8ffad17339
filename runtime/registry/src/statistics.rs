//! Health of the whole registry, and statistics of use.

use domain::reduce::index;
use domain::stats::{HealthReport, Lookups, StatsReport};
use domain::{ComponentId, Status};

use crate::Registry;
use crate::error::RegistryError;
use crate::names::unknown;
use crate::query::each_page;

impl Registry {
    /// Returns how many components there are in each status and how many are healthy. Costs the same for any size of registry.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn health(&self) -> Result<HealthReport, RegistryError> {
        self.read(|view| {
            let mut counts = Vec::with_capacity(Status::ALL.len());
            for status in Status::ALL {
                counts.push((status, view.count(index::STATUS, status.as_str())?));
            }
            Ok(HealthReport::from_counts(counts, view.count(index::HEALTH, "healthy")?))
        })
        .await
    }

    /// Returns statistics of use, of one component or of all; walks the registry page by page for all.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn stats(&self, id: Option<&ComponentId>) -> Result<StatsReport, RegistryError> {
        let only = id.cloned();
        let registry = self.clone();
        self.take_gate_usage();
        let live = match id {
            Some(id) => self.instance_count(id).live as u64,
            None => self.live_instances(),
        };
        self.read(move |view| {
            let mut used = Vec::new();
            let mut lookups = Lookups::default();
            let mut take = |ids: Vec<ComponentId>| -> Result<(), RegistryError> {
                for id in ids {
                    let begun = registry.inner.clock.now();
                    let Some(entry) = view.entry(&id)? else { continue };
                    let took = registry.inner.clock.now().since(begun);
                    lookups.count += 1;
                    lookups.total_ns += u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
                    let mut usage = view.usage(&id)?;
                    usage.merge(&registry.inner.tracker.pending(&id));
                    used.push((id, entry.status, usage));
                }
                Ok(())
            };
            match only {
                Some(id) => {
                    view.entry(&id)?.ok_or_else(|| unknown(&id))?;
                    let beside = view.find(index::BESIDE, id.as_str())?;
                    take(std::iter::once(id).chain(beside).collect())?;
                }
                None => {
                    each_page(view, &mut take)?;
                    for (entry, _) in view.index_keys(index::BESIDE)? {
                        take(view.find(index::BESIDE, &entry)?)?;
                    }
                }
            }
            Ok(StatsReport::of(used, lookups, live))
        })
        .await
    }
}
