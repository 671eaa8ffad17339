//! How a unit takes the place of another: an instance is made beside those in service, and what they remember is moved to it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::call::Caller;
use domain::failure::FailureKind;
use domain::manifest::InstanceMode;
use domain::ports::{Beside, Handover, Settled, Started, TakeOver, Unit};
use domain::units::format_duration;
use domain::{Failure, Phase};

use super::lifecycle::{Steps, is_answer};
use super::shelf::{Asks, NoTurn, Turn};
use super::{ComponentUnit, Live};
use crate::clock::Stopwatch;
use crate::epoch::Deadline;

/// A new instance that is ready, and what stands still of the old unit until it is in service.
struct Ready<'a> {
    new: &'a ComponentUnit,
    old: Option<&'a ComponentUnit>,
    started: Started,
    state: Option<Arc<[u8]>>,
    still: Option<Still<'a>>,
}

/// A unit in which nobody begins anything: all its turns, and its instance. It goes on when this is dropped.
struct Still<'a> {
    unit: &'a ComponentUnit,
    turns: Vec<Turn<'a>>,
    live: Option<Box<Live>>,
    since: Stopwatch,
}

impl Drop for Still<'_> {
    fn drop(&mut self) {
        if let (Some(live), Some(turn)) = (self.live.take(), self.turns.pop()) {
            turn.put(live, self.unit.shared.ticker.now());
        }
    }
}

impl Handover for Ready<'_> {
    fn started(&self) -> Started {
        self.started
    }

    fn state(&self) -> Option<Arc<[u8]>> {
        self.state.clone()
    }

    fn settle(mut self: Box<Self>) -> Settled {
        self.new.owns_state.store(true, Ordering::Release);
        let Some(old) = self.old else { return Settled::default() };
        let still = self.still.take();
        if still.is_some() {
            // What calls on handles change there from now on stays there.
            old.owns_state.store(false, Ordering::Release);
        }
        let taken = old.shelf.retire();
        let (own, paused) =
            still.as_ref().map_or((0, Duration::ZERO), |still| (still.turns.len(), still.since.elapsed()));
        drop(still);
        Settled { running: taken.saturating_sub(own), paused }
    }

    fn leave_beside(mut self: Box<Self>, place: Beside) -> Settled {
        self.new.owns_state.store(true, Ordering::Release);
        let Some(old) = self.old else { return Settled::default() };
        let still = self.still.take();
        // A unit leaves its place once.
        let _ = old.beside.set(place);
        let running = old.shelf.send_away();
        let (own, paused) =
            still.as_ref().map_or((0, Duration::ZERO), |still| (still.turns.len(), still.since.elapsed()));
        drop(still);
        Settled { running: running.saturating_sub(own), paused }
    }
}

impl ComponentUnit {
    /// See [`Unit::take_over`].
    pub(super) async fn succeed<'a>(
        &'a self,
        old: Option<&'a dyn Unit>,
        how: TakeOver,
    ) -> Result<Box<dyn Handover + 'a>, Failure> {
        let nobody = Arc::<Caller>::default();
        let old = old.and_then(|old| old.as_any().downcast_ref::<Self>());
        // Until it is in service, what it remembers is nothing that anybody relies on.
        self.owns_state.store(false, Ordering::Release);
        let watch = Stopwatch::start();
        let is_cold = || old.is_none_or(|old| old.shelf.herd().count() == 0);
        // Made before anything stands still: that may take long.
        let mut new = None;
        if !(how.is_lazy && is_cold()) {
            new = Some(self.instantiated(&nobody, None).await?);
        }
        let moves = old.filter(|old| old.remembers() && self.remembers());
        let mut still = match moves {
            Some(old) => Some(self.hold_still(old, how.wait).await?),
            None => None,
        };
        let mut state = None;
        if let Some(held) = &mut still {
            state = self.ask_snapshot(held).await?;
        }
        if new.is_none() && state.is_some() {
            new = Some(self.instantiated(&nobody, None).await?);
        }
        let mut fuel = 0;
        if let Some(mut steps) = new {
            let state = match &state {
                Some(state) => Some(Arc::clone(state)),
                None => self.load_state(&nobody).await?,
            };
            // How long the old one was waited for is not its time.
            steps.go_on().map_err(|failure| *failure)?;
            steps.enter_service(state).await?;
            fuel = steps.used();
            let live = self.found_well(steps).await?;
            self.keep(live).await;
            if self.spec.instances.mode == InstanceMode::Pool {
                self.warm_up(old.map_or(0, |old| old.shelf.herd().count())).await;
            }
        }
        let started = Started { fuel, duration: watch.elapsed() };
        Ok(Box::new(Ready { new: self, old, started, state, still }))
    }

    /// Tells whether its instance leaves something to the next.
    fn remembers(&self) -> bool {
        self.spec.state.is_some() && self.exports.lifecycle("state", "snapshot").is_some()
    }

    /// Takes all turns of `old`, after the calls that wait for one already.
    async fn hold_still<'a>(&self, old: &'a Self, wait: Duration) -> Result<Still<'a>, Failure> {
        let deadline = Deadline::after(wait);
        let refused = |kind, message: &str| {
            let nobody = Caller::default();
            self.scene(&nobody).failure(Phase::Snapshot, kind, message)
        };
        let gathering = tokio::time::timeout_at(deadline.host_limit(), old.shelf.gathering.lock()).await;
        let (mut turns, mut live) = (Vec::new(), None);
        for _ in 0..old.shelf.most() {
            let turn = match &gathering {
                Ok(_) => old.shelf.turn_to(Asks::Move, Some(deadline)).await,
                Err(_) => Err(NoTurn::Late),
            };
            match turn {
                Ok((turn, idle)) => {
                    turns.push(turn);
                    live = live.or(idle);
                }
                Err(NoTurn::Late | NoTurn::Full) => {
                    let message = format!(
                        "the calls of revision {}, which is in service, kept it busy for {}: what it remembers cannot be moved",
                        old.spec.revision,
                        format_duration(wait)
                    );
                    return Err(refused(FailureKind::Deadline, &message));
                }
                Err(NoTurn::Gone | NoTurn::Retired) => {
                    let message = "another revision came into service meanwhile";
                    return Err(refused(FailureKind::Dependency, message));
                }
            }
        }
        Ok(Still { unit: old, turns, live, since: Stopwatch::start() })
    }

    /// Asks the instance that stands still what it remembers; `None` if there is no instance. One that traps is gone.
    async fn ask_snapshot(&self, still: &mut Still<'_>) -> Result<Option<Arc<[u8]>>, Failure> {
        let Some(live) = still.live.take() else { return Ok(None) };
        let old = still.unit;
        let nobody = Arc::<Caller>::default();
        let told = |failure: &Failure| {
            let message =
                format!("revision {}, which is in service, does not hand over: {}", failure.revision, failure.message);
            self.scene(&nobody).failure(Phase::Snapshot, failure.kind, &message)
        };
        let live = match live.store.data().tether().has_orphans() {
            true => old.drop_orphans(live).await,
            false => Some(live),
        };
        let Some(live) = live else { return Ok(None) };
        let mut steps = Steps::new(old, live, &nobody, old.spec.limits.activation_fuel);
        match steps.snapshot().await {
            Ok(state) => {
                still.live = Some(steps.into_live());
                Ok(state.map(Arc::from))
            }
            Err(failure) if is_answer(&failure) => {
                still.live = Some(steps.into_live());
                Err(told(&failure))
            }
            Err(failure) => {
                let told = told(&failure);
                self.shared.observer.failed(failure);
                Err(told)
            }
        }
    }

    /// Asks a new instance whether it is well, if it can say.
    async fn found_well(&self, steps: Steps<'_>) -> Result<Box<Live>, Failure> {
        let nobody = Arc::<Caller>::default();
        let mut steps = Steps::new(self, steps.into_live(), &nobody, self.spec.limits.fuel);
        match steps.check_health().await {
            Ok(()) => Ok(steps.into_live()),
            Err(failure) => {
                // It was activated: what it opened it closes, unless it trapped.
                if is_answer(&failure) {
                    self.end_instance(steps.into_live()).await;
                }
                Err(failure)
            }
        }
    }

    /// Puts a new instance where calls will find it; one that was only to be tried ends.
    async fn keep(&self, live: Box<Live>) {
        match self.is_per_call() {
            true => self.end_instance(live).await,
            // Nobody waits for it yet.
            false => self.shelf.lay_down(live, self.shared.ticker.now()),
        }
    }

    /// Makes as many instances as the other unit has, so that its callers need not wait for them. What cannot be made now is made, or
    /// fails, when it is called.
    async fn warm_up(&self, count: usize) {
        for _ in 1..count.min(self.shelf.most()) {
            match self.attempt(&Arc::default(), None, None).await {
                Ok((live, _)) => self.keep(live).await,
                Err(_) => return,
            }
        }
    }
}
