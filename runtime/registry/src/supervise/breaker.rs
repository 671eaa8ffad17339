//! Quarantine: who is put in it, how calls are refused, and how it ends.

use std::sync::{Arc, PoisonError};

use domain::call::{CallOutcome, CallRequest};
use domain::ports::{Barrier, EngineError, StateView, Unit};
use domain::settings::Settings;
use domain::supervision::{BreakerInForce, Quarantine};
use domain::{ComponentId, Entry, Event, Failure, Status, Timestamp};

use super::{Change, Job};
use crate::Registry;
use crate::activate::decide_recovered;
use crate::error::RegistryError;
use crate::grants::Renewal;
use crate::instances::Prepared;
use crate::names::unknown;

/// How a component in quarantine is tried.
enum Trial {
    /// It is started and asked how it is.
    Start,
    /// It is called.
    Call(CallRequest),
}

/// What came of a trial.
enum Tried {
    /// It did not fail. Whether it proved that it works, and the answer of the call.
    Well { proven: bool, outcome: Option<CallOutcome> },
    /// It failed, and is in the history.
    Failed { failure: Box<Failure> },
    /// The call could not be made; that says nothing of the component.
    Refused(RegistryError),
}

/// Says whether the failures that are about to be recorded put an active component in quarantine.
pub(crate) fn judge(
    view: &dyn StateView,
    settings: &Settings,
    id: &ComponentId,
    new: &[(Failure, u64)],
    (now, draw): (Timestamp, u64),
) -> Result<Option<Event>, RegistryError> {
    let Some(entry) = view.entry(id)?.filter(|entry| entry.status == Status::Active) else { return Ok(None) };
    let counts = |failure: &Failure| failure.counts() && failure.revision == entry.revision.number;
    let new: Vec<_> = new.iter().filter(|(failure, _)| failure.component == *id && counts(failure)).collect();
    let Some((last, _)) = new.last() else { return Ok(None) };
    let breaker = breaker_of(&entry, settings);
    let Some(most) = breaker.failures else { return Ok(None) };
    let after = entry.watch.as_ref().map_or(0, |watch| watch.counts_after);
    let earlier = view.failures(Some(id), most as usize)?;
    let earlier = earlier.iter().filter(|logged| logged.seq > after && counts(&logged.failure));
    let times = earlier.map(|logged| (logged.failure.at, logged.count));
    let times = times.chain(new.iter().map(|(failure, count)| (failure.at, *count)));
    Ok(breaker.judge(entry.watch.as_deref(), times, now).map(|verdict| Event::Quarantined {
        component: id.clone(),
        old_status: entry.status,
        error: last.message.clone(),
        quarantine: breaker.open(verdict, now, draw),
        refused: 0,
    }))
}

/// Returns when `entry` is put in quarantine, and for how long.
pub(super) fn breaker_of(entry: &Entry, settings: &Settings) -> BreakerInForce {
    entry.revision.manifest.breaker.or(&settings.breaker).in_force()
}

impl Registry {
    /// Returns the barrier that stands before a component, if there is one.
    pub(crate) fn barrier(&self, id: &ComponentId) -> Option<Arc<Barrier>> {
        self.inner.places.lock().unwrap_or_else(PoisonError::into_inner).get(id)?.slot.barrier()
    }

    /// Lets calls of a component be refused from now on, and leaves its unit to be stopped.
    pub(super) fn raise_barrier(&self, id: &ComponentId, quarantine: &Quarantine, error: &str) {
        let slot = self.slot(id);
        // First the barrier: whoever finds nobody is told why.
        slot.bar(Some(Arc::new(Barrier::new(quarantine, error))));
        let supervisor = &self.inner.supervisor;
        supervisor.changes().extend(slot.turn(None).map(Change::Stop));
        supervisor.plan(id, quarantine.probe_at, Job::Probe);
    }

    pub(super) fn lift_barrier(&self, id: &ComponentId) {
        if let Some(place) = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner).get(id) {
            place.slot.bar(None);
        }
    }

    /// Returns the barrier of an entry in quarantine, which another process may have put there.
    pub(crate) fn recall_barrier(&self, entry: &Entry) -> Option<Arc<Barrier>> {
        let quarantine = entry.quarantine()?;
        let slot = self.slot(&entry.id);
        if slot.barrier().is_some() || slot.unit().is_some() {
            return slot.barrier();
        }
        slot.bar(Some(Arc::new(Barrier::new(quarantine, entry.last_error.as_deref().unwrap_or_default()))));
        // It may have ended since it was read: who ended it did not find the barrier, which then is taken away here.
        match self.entry_now(&entry.id) {
            Ok(Some(now)) if now.quarantine().is_none() => drop(slot.bar(None)),
            _ => self.inner.supervisor.plan(&entry.id, quarantine.probe_at, Job::Probe),
        }
        slot.barrier()
    }

    /// Answers a call of a component in quarantine: it is refused, unless the time has come to try the component, and nobody does yet.
    ///
    /// # Cancel safety
    /// Dropping the future ends the call; the quarantine stays as it is, and the next call tries.
    pub(crate) async fn call_at_barrier(
        &self,
        id: &ComponentId,
        barrier: Arc<Barrier>,
        request: CallRequest,
    ) -> Result<CallOutcome, RegistryError> {
        let Some(_turn) = barrier.try_probe(self.inner.clock.now()) else {
            barrier.refuse();
            return Err(RegistryError::Quarantined { component: id.clone(), barrier });
        };
        match Box::pin(self.try_out(id, &barrier, Trial::Call(request))).await? {
            Some(outcome) => Ok(outcome),
            None => Err(RegistryError::Changed { component: id.clone() }),
        }
    }

    /// Tries a component whose time has come: it is started, and asked how it is if it can say.
    pub(super) async fn probe_when_due(&self, id: &ComponentId) -> Result<(), RegistryError> {
        let Some(barrier) = self.barrier(id) else { return Ok(()) };
        let Some(_turn) = barrier.try_probe(self.inner.clock.now()) else {
            // Somebody else tries it; or its time has not come by this clock.
            if barrier.probe_at() > self.inner.clock.now() {
                self.inner.supervisor.plan(id, barrier.probe_at(), Job::Probe);
            }
            return Ok(());
        };
        match self.try_out(id, &barrier, Trial::Start).await {
            // It is in its history, and in quarantine again.
            Ok(_) | Err(RegistryError::Activation(_) | RegistryError::Call { .. }) => Ok(()),
            Err(error) => {
                let later = self.inner.clock.now().after(super::NOTICE_EVERY);
                self.inner.supervisor.plan(id, later, Job::Probe);
                match error {
                    RegistryError::Storage(_) => Err(error),
                    _ => Ok(()),
                }
            }
        }
    }

    /// Tries a component in quarantine, and ends the quarantine or begins the next. Returns what the call gave back, if it was one.
    async fn try_out(
        &self,
        id: &ComponentId,
        barrier: &Barrier,
        trial: Trial,
    ) -> Result<Option<CallOutcome>, RegistryError> {
        let _life = self.inner.life.lock(id).await;
        let entry = self.entry_now(id)?.ok_or_else(|| unknown(id))?;
        if entry.status != Status::Error || entry.quarantine().is_none() {
            return Err(RegistryError::NotActive { component: id.clone(), status: entry.status });
        }
        for on in entry.dependency_ids() {
            let status = self.entry_now(&on)?.map_or(Status::Discovered, |dependency| dependency.status);
            if status != Status::Active {
                return Err(RegistryError::NotActive { component: on, status });
            }
        }
        self.check_instances(&entry)?;
        self.room_for(id).await?;
        self.prepare_imports(&entry).await?;
        let prepared = match self.prepare(&entry).await {
            Ok(prepared) => prepared,
            Err(failure) => {
                self.record_failure(failure.clone()).await?;
                return Err(self.quarantine_again(&entry, barrier, Box::new(failure)).await);
            }
        };
        let (proven, outcome) = match self.put_to_trial(&*prepared.unit, trial).await? {
            Tried::Well { proven, outcome } => (proven, outcome),
            Tried::Refused(error) => {
                prepared.unit.stop().await;
                return Err(error);
            }
            Tried::Failed { failure } => {
                prepared.unit.stop().await;
                return Err(self.quarantine_again(&entry, barrier, failure).await);
            }
        };
        self.recover(&entry, barrier, prepared, proven).await?;
        Ok(outcome)
    }

    async fn put_to_trial(&self, unit: &dyn Unit, trial: Trial) -> Result<Tried, RegistryError> {
        let tried = match trial {
            Trial::Call(request) => match unit.call(request).await {
                Ok(outcome) => Tried::Well { proven: true, outcome: Some(outcome) },
                Err(EngineError::Failed(failure)) => Tried::Failed { failure },
                Err(source) => Tried::Refused(self.call_error(unit.id(), source)),
            },
            Trial::Start => match unit.start().await {
                Ok(_) => match unit.check_health(Some(self.settings().health.deadline())).await {
                    Ok(answer) => Tried::Well { proven: answer.is_some(), outcome: None },
                    Err(failure) => Tried::Failed { failure: Box::new(failure) },
                },
                Err(failure) => {
                    // The observer does not hear of it.
                    self.record_failure(failure.clone()).await?;
                    Tried::Failed { failure: Box::new(failure) }
                }
            },
        };
        self.flush_failures().await?;
        Ok(tried)
    }

    /// Ends the quarantine of `entry` and puts its unit in service.
    async fn recover(
        &self,
        entry: &Arc<Entry>,
        barrier: &Barrier,
        prepared: Prepared,
        proven: bool,
    ) -> Result<(), RegistryError> {
        let Prepared { unit, recipe } = prepared;
        let (breaker, now, refused) = (breaker_of(entry, &self.settings()), self.inner.clock.now(), barrier.refused());
        let committed = self.commit({
            let (entry, recipe) = (entry.clone(), recipe.clone());
            move |view| {
                let quarantine = decide_recovered(view, &entry, recipe.as_ref())?;
                let relapse = breaker.close(&quarantine, proven, now);
                let (component, old_status) = (entry.id.clone(), entry.status);
                Ok((vec![Event::Recovered { component, old_status, relapse, refused }], ()))
            }
        });
        if let Err(error) = committed.await {
            unit.stop().await;
            return Err(error);
        }
        self.turn(entry, unit);
        self.lift_barrier(&entry.id);
        // Whoever changed it, or what it is made of, since that was decided did not find this unit.
        if !self.is_as_made(entry, recipe.as_ref())? {
            self.renew(&entry.id, Renewal::Code).await;
        }
        self.inner.supervisor.wake();
        Ok(())
    }

    /// Begins the next quarantine of `entry`, which was tried and failed.
    async fn quarantine_again(&self, entry: &Entry, barrier: &Barrier, failure: Box<Failure>) -> RegistryError {
        let breaker = breaker_of(entry, &self.settings());
        let (now, draw, refused) = (self.inner.clock.now(), self.inner.supervisor.draw(), barrier.refused());
        let (id, error, is_own) = (entry.id.clone(), failure.message.clone(), failure.counts());
        let written = self.commit(move |view| {
            let Some(entry) = view.entry(&id)? else { return Ok((Vec::new(), ())) };
            let Some(before) = entry.quarantine() else { return Ok((Vec::new(), ())) };
            let quarantine = breaker.reopen(before, is_own, now, draw);
            let old_status = entry.status;
            Ok((vec![Event::Quarantined { component: id, old_status, error, quarantine, refused }], ()))
        });
        match written.await {
            Ok(()) => self.call_error(&entry.id, EngineError::Failed(failure)),
            Err(error) => error,
        }
    }
}
