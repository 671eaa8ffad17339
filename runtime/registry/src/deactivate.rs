//! Deactivating: dependents first, each instance dropped in order.

use domain::plan::{PlanError, StopPlan, plan_deactivation, plan_unregistration};
use domain::ports::{StateView, StorageError};
use domain::{ComponentId, Event, Status};

use crate::Registry;
use crate::activate::decide_revision;
use crate::error::RegistryError;
use crate::names::unknown;
use crate::report::Outcomes;

/// How components are stopped.
#[derive(Clone, Copy)]
pub(crate) enum Stopping {
    /// They stay in the registry.
    Deactivate,
    /// They leave it.
    Unregister,
}

impl Stopping {
    fn operation(self) -> &'static str {
        match self {
            Self::Deactivate => "deactivate",
            Self::Unregister => "unregister",
        }
    }

    /// Says what stopping `targets` takes.
    pub(crate) fn plan(
        self,
        view: &dyn StateView,
        targets: &[ComponentId],
        cascade: bool,
    ) -> Result<StopPlan, StorageError> {
        match self {
            Self::Deactivate => plan_deactivation(view, targets, cascade),
            Self::Unregister => plan_unregistration(view, targets, cascade),
        }
    }
}

impl Registry {
    /// Takes components out of service. One that active components need is refused, unless `cascade` takes those along, dependents
    /// first; one that is not active is left as it is.
    ///
    /// Running calls are waited for, then the component's state is kept if it has any, then `lifecycle.deactivate` is called. A
    /// newer revision that waited becomes the one that the entry points to.
    pub async fn deactivate(&self, ids: &[ComponentId], cascade: bool) -> Outcomes {
        let outcomes = self.stop_each(ids, cascade, Stopping::Deactivate).await;
        if let Err(error) = self.flush_failures().await {
            self.inner.tracker.note_lost(&error);
        }
        outcomes
    }

    /// Stops components and, with `cascade`, what needs them, one after the other, dependents first.
    pub(crate) async fn stop_each(&self, ids: &[ComponentId], cascade: bool, stopping: Stopping) -> Outcomes {
        let targets = ids.to_vec();
        let plan = match self.read(move |view| Ok(stopping.plan(view, &targets, cascade)?)).await {
            Ok(plan) => plan,
            Err(error) => {
                let failed = ids.first().map(|id| (id.clone(), error));
                return Outcomes { failed: failed.into_iter().collect(), ..Outcomes::default() };
            }
        };
        let mut outcomes = Outcomes::default();
        for (id, error) in plan.blocked {
            let error = self.refused(stopping.operation(), Some(&id), error.into()).await;
            outcomes.failed.push((id, error));
        }
        for id in plan.waves.concat() {
            if id.is_beside() && !matches!(self.entry_now(&id), Ok(Some(_))) {
                // It went with the last that needed it.
                continue;
            }
            let stopped = match stopping {
                Stopping::Deactivate => self.deactivate_one(&id).await,
                // It goes with the last that needs it.
                Stopping::Unregister if id.is_beside() => continue,
                Stopping::Unregister => self.unregister_one(&id, false).await.map(drop),
            };
            match stopped {
                Ok(()) => outcomes.done.push(id),
                Err(error) => {
                    let error = self.refused(stopping.operation(), Some(&id), error).await;
                    outcomes.failed.push((id, error));
                }
            }
        }
        for id in plan.unchanged {
            match self.stay(&id, stopping).await {
                Ok(()) => outcomes.unchanged.push(id),
                Err(error) => outcomes.failed.push((id, error)),
            }
        }
        outcomes
    }

    /// Lets a component stay out of service that would come back with a dependency which it lost.
    async fn stay(&self, id: &ComponentId, stopping: Stopping) -> Result<(), RegistryError> {
        let is_waiting = self.entry_now(id)?.is_some_and(|entry| entry.lost().is_some());
        if !is_waiting || matches!(stopping, Stopping::Unregister) {
            return Ok(());
        }
        let id = id.clone();
        self.commit(move |view| {
            let waits = view.entry(&id)?.filter(|entry| entry.status == Status::Inactive && entry.lost().is_some());
            let stays = |entry: std::sync::Arc<domain::Entry>| Event::Deactivated {
                component: id,
                old_status: entry.status,
                reason: None,
                lost: None,
            };
            Ok((waits.map(stays).into_iter().collect(), ()))
        })
        .await
    }

    async fn deactivate_one(&self, id: &ComponentId) -> Result<(), RegistryError> {
        let _life = self.inner.life.lock(id).await;
        let key = id.clone();
        self.commit(move |view| Ok((decide(view, &key)?, ()))).await?;
        self.out_of_service(id).await;
        Ok(())
    }

    /// Drops what this process has of `id`, in order.
    pub(crate) async fn out_of_service(&self, id: &ComponentId) {
        let slot = self.slot(id);
        // Noted before it is out of its place: until it has ended it may call others.
        let leaving = slot.unit().map(|unit| self.inner.retiring.leave(&unit));
        if let Some(unit) = slot.turn(None) {
            unit.stop().await;
            self.inner.tracker.room.dropped();
        }
        drop(leaving);
        self.end_retiring(id).await;
    }
}

fn decide(view: &dyn StateView, id: &ComponentId) -> Result<Vec<Event>, RegistryError> {
    let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
    if entry.status != Status::Active {
        return Ok(Vec::new());
    }
    let mut dependents = Vec::new();
    for dependent in view.dependents(id)? {
        if view.entry(&dependent)?.is_some_and(|entry| entry.status == Status::Active) {
            dependents.push(dependent);
        }
    }
    if !dependents.is_empty() {
        return Err(PlanError::Dependents { component: id.clone(), dependents, active_only: true }.into());
    }
    let mut events =
        vec![Event::Deactivated { component: id.clone(), old_status: entry.status, reason: None, lost: None }];
    if let Some(waiting) = entry.waiting {
        match decide_revision(view, &entry, waiting) {
            Ok(selected) => events.extend(selected),
            // What is active can always be stopped: the revision goes on waiting until the cycle is cut.
            Err(RegistryError::Cycle { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(events)
}
