//! What readers see of it.

use domain::supervision::{Quarantine, Relapse, RestartPolicy};
use domain::{ComponentId, Entry, Status, Timestamp};

use super::Job;
use crate::Registry;

/// How the registry watches over a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SupervisionView {
    /// Whether it is made anew by itself after a failure.
    pub policy: RestartPolicy,
    /// How often it was, by this process, within the window.
    pub restarts: u32,
    /// How often it may be.
    pub max_restarts: u32,
    /// When it is made anew next, if that is planned.
    pub next_restart: Option<Timestamp>,
    /// Whether it can be called.
    pub breaker: BreakerState,
    /// The quarantine in force.
    pub quarantine: Option<Quarantine>,
    /// How many calls this process refused since the quarantine began.
    pub refused: u64,
    /// The dependency for whose return it waits.
    pub lost: Option<ComponentId>,
}

/// How far a component can be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// As any other.
    Closed,
    /// It was in quarantine a short while ago and was only started since: its first failure leads back there.
    Probation,
    /// Not at all: it is in quarantine.
    Open,
    /// The time has come to try it: the next call does, or one that is under way.
    HalfOpen,
}

impl BreakerState {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Probation => "probation",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        }
    }
}

impl Registry {
    /// Returns how `entry` is watched over.
    pub(crate) fn supervision_of(&self, entry: &Entry) -> SupervisionView {
        let now = self.inner.clock.now();
        let restart = self.effective_restart(entry);
        let (restarts, next_restart) = {
            let plans = self.inner.supervisor.plans();
            let plan = plans.get(&entry.id);
            let due = plan.and_then(|plan| plan.due).filter(|(_, job)| *job != Job::Probe);
            (plan.map_or(0, |plan| plan.budget.used(restart.window, now)), due.map(|(at, _)| at))
        };
        let quarantine = entry.quarantine().filter(|_| entry.status == Status::Error);
        let relapse = entry.watch.as_ref().and_then(|watch| watch.relapse);
        let breaker = match (quarantine, relapse) {
            (Some(quarantine), _) if now >= quarantine.probe_at => BreakerState::HalfOpen,
            (Some(_), _) => BreakerState::Open,
            (None, Some(Relapse { proven: false, until, .. })) if now < until && entry.status == Status::Active => {
                BreakerState::Probation
            }
            (None, _) => BreakerState::Closed,
        };
        SupervisionView {
            policy: restart.policy,
            restarts,
            max_restarts: restart.max_restarts,
            next_restart,
            breaker,
            quarantine: quarantine.cloned(),
            refused: quarantine.and_then(|_| self.barrier(&entry.id)).map_or(0, |barrier| barrier.refused()),
            lost: entry.lost().filter(|_| entry.status == Status::Inactive).cloned(),
        }
    }
}
