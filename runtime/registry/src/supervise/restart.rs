//! Making components anew that failed, after a while and not too often.

use std::time::Duration;

use domain::manifest::InstanceMode;
use domain::supervision::{RestartInForce, RestartPolicy, Verdict};
use domain::{Actor, ComponentId, Entry, Event, Failure, Status};

use super::Job;
use super::breaker::breaker_of;
use super::follow::comes_along;
use crate::Registry;
use crate::error::RegistryError;
use crate::names::Target;

/// What is left of a component's budget.
enum Spent {
    /// It may be made anew, for this time within the window.
    Taken(u32),
    /// Not again before the window has moved on.
    UsedUp,
}

impl Registry {
    /// Returns when `entry` is made anew: as its manifest says, then the settings.
    pub(crate) fn effective_restart(&self, entry: &Entry) -> RestartInForce {
        entry.revision.manifest.restart.or(&self.settings().restart).in_force()
    }

    /// Plans that the instance is made anew which `failure` discarded.
    pub(crate) fn plan_restart(&self, failure: &Failure) {
        if failure.discards_instance() && !failure.by_caller {
            self.plan_anew(&failure.component, Job::Restart);
        }
    }

    /// Plans that a component is activated again whose activation failed. Whoever asked for that was told; without them, only the
    /// registry's own attempts are followed by others, and those of a component whose manifest says so.
    pub(crate) fn plan_activation_again(&self, failure: &Failure) {
        if failure.kind.may_pass() {
            self.plan_anew(&failure.component, Job::Activate);
        }
    }

    fn plan_anew(&self, id: &ComponentId, job: Job) {
        let supervisor = &self.inner.supervisor;
        if supervisor.has_ended() {
            return;
        }
        // One that cannot be read now is made anew when it is called.
        let Ok(Some(entry)) = self.entry_now(id) else { return };
        let restart = self.effective_restart(&entry);
        let is_wanted = match job {
            Job::Restart => {
                let instances = self.own_instances(&entry);
                !instances.is_lazy() && instances.mode != InstanceMode::PerCall
            }
            Job::Activate => self.actor == Actor::System || entry.revision.manifest.restart.policy.is_some(),
            Job::Probe => true,
        };
        if restart.policy == RestartPolicy::Never || !is_wanted {
            return;
        }
        let now = self.inner.clock.now();
        let used = supervisor.plans().get(id).map_or(0, |plan| plan.budget.used(restart.window, now));
        supervisor.plan(id, now.after(restart.backoff.delay(used, supervisor.draw())), job);
    }

    fn spend(&self, id: &ComponentId, restart: &RestartInForce) -> Spent {
        let now = self.inner.clock.now();
        let mut plans = self.inner.supervisor.plans();
        let budget = &mut plans.entry(id.clone()).or_default().budget;
        match budget.take(restart.max_restarts, restart.window, now) {
            true => Spent::Taken(budget.used(restart.window, now)),
            false => Spent::UsedUp,
        }
    }

    /// Makes the instance of an active component anew that has none.
    pub(super) async fn restart(&self, id: &ComponentId) -> Result<(), RegistryError> {
        let _life = self.inner.life.lock(id).await;
        let Some(entry) = self.entry_now(id)?.filter(|entry| entry.status == Status::Active) else { return Ok(()) };
        let Some(unit) = self.unit_in_service(id).filter(|unit| unit.instances().live == 0) else { return Ok(()) };
        let restart = self.effective_restart(&entry);
        let Spent::Taken(restarts) = self.spend(id, &restart) else { return self.give_up(&entry, &restart).await };
        self.room_for(id).await?;
        match unit.start().await {
            Ok(started) => {
                self.inner.tracker.room.made();
                let event = Event::Restarted {
                    component: id.clone(),
                    restarts,
                    max_restarts: restart.max_restarts,
                    duration_us: micros(started.duration),
                    fuel: started.fuel,
                };
                self.commit(move |_| Ok((vec![event], ()))).await
            }
            Err(failure) => {
                self.record_failure(failure).await?;
                self.plan_anew(id, Job::Restart);
                Ok(())
            }
        }
    }

    /// Activates a component again whose activation failed.
    pub(super) async fn activate_again(&self, id: &ComponentId) -> Result<(), RegistryError> {
        let is_waiting = |entry: &Entry| entry.status == Status::Error && entry.quarantine().is_none();
        let Some(entry) = self.entry_now(id)?.filter(|entry| is_waiting(entry)) else { return Ok(()) };
        for on in entry.dependency_ids() {
            // Nobody asked for those.
            let is_active = self.entry_now(&on)?.is_some_and(|dependency| dependency.status == Status::Active);
            if !is_active && !comes_along(&*self.inner.state, &on)? {
                return Ok(());
            }
        }
        let restart = self.effective_restart(&entry);
        let Spent::Taken(_) = self.spend(id, &restart) else { return self.give_up(&entry, &restart).await };
        // One that fails again plans the next attempt.
        let report = self.activate_now(&[Target::from(id)]).await;
        self.settle_activated(&report).await;
        Ok(())
    }

    /// Puts a component in quarantine that was made anew too often.
    async fn give_up(&self, entry: &Entry, restart: &RestartInForce) -> Result<(), RegistryError> {
        let breaker = breaker_of(entry, &self.settings());
        if breaker.failures.is_none() {
            // It has none; its next call, or whoever activates it, makes it anew.
            return Ok(());
        }
        let (now, draw) = (self.inner.clock.now(), self.inner.supervisor.draw());
        let window = domain::units::format_duration(restart.window);
        let noun = if restart.max_restarts == 1 { "restart" } else { "restarts" };
        let cause = format!("{} {noun} within {window}", restart.max_restarts);
        let id = entry.id.clone();
        self.commit(move |view| {
            let Some(entry) = view.entry(&id)?.filter(|entry| entry.quarantine().is_none()) else {
                return Ok((Vec::new(), ()));
            };
            if !matches!(entry.status, Status::Active | Status::Error) {
                return Ok((Vec::new(), ()));
            }
            let relapse = entry.watch.as_ref().and_then(|watch| watch.relapse).filter(|relapse| now < relapse.until);
            let round = relapse.map_or(1, |relapse| relapse.round.saturating_add(1));
            let quarantine = breaker.open(Verdict { round, cause }, now, draw);
            let error = entry.last_error.clone().unwrap_or_default();
            let event = Event::Quarantined { component: id, old_status: entry.status, error, quarantine, refused: 0 };
            Ok((vec![event], ()))
        })
        .await
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
