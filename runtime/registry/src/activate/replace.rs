//! Putting another revision of an active component in service.

use std::sync::Arc;

use domain::ComponentId;

use super::decide::{Started, replaced_entry};
use crate::Registry;
use crate::error::RegistryError;
use crate::names::Target;
use crate::report::{ActivateReport, Activated};

impl Registry {
    /// Replaces the active revision of `id` by another one. On any failure the active one stays.
    pub(super) async fn replace_active(&self, id: &ComponentId, number: u32, report: &mut ActivateReport) {
        match self.try_replace(id, number, report).await {
            Ok(activated) => {
                report.order.push(id.clone());
                report.waves.push(vec![id.clone()]);
                report.activated.push(activated);
            }
            Err(error) => report.failed.push((id.clone(), error)),
        }
    }

    /// As [`Self::replace_active`]. What the new revision needs is activated first, and is in the report whatever comes then.
    async fn try_replace(
        &self,
        id: &ComponentId,
        number: u32,
        report: &mut ActivateReport,
    ) -> Result<Activated, RegistryError> {
        let key = id.clone();
        let next = self.read(move |view| replaced_entry(view, &key, number)).await?;
        let needs: Vec<_> = next.dependency_ids().into_iter().map(Target::from).collect();
        // Boxed: an activation may replace, a replacement activates.
        let dependencies = Box::pin(self.activate(&needs)).await;
        report.order.extend(dependencies.order);
        report.waves.extend(dependencies.waves);
        report.activated.extend(dependencies.activated);
        if let Some((_, error)) = dependencies.failed.into_iter().next() {
            return Err(error);
        }
        let _life = self.inner.life.lock(id).await;
        let begun = self.inner.clock.now();
        let entry = Arc::new(next);
        self.check_instances(&entry)?;
        self.room_for(id).await?;
        self.prepare_imports(&entry).await?;
        let old = self.slot(id).unit();
        if let Some(old) = &old {
            // Its state is what the new instance begins with; until the turn it would be made anew if it were called.
            old.stop().await;
        }
        let (prepared, fuel) = match self.prepare_and_start(&entry).await {
            Ok(started) => started,
            Err(failure) => {
                self.record_failure(failure.clone()).await?;
                return Err(RegistryError::Activation(Box::new(failure)));
            }
        };
        let started = Started { duration: self.inner.clock.now().since(begun), fuel, attempts: 1 };
        let activated = self.put_active(&entry, prepared, started).await?;
        if let Some(old) = old {
            old.stop().await;
            self.inner.tracker.room.dropped();
        }
        Ok(activated)
    }
}
