//! How a call enters a component: it waits its turn, gets an instance, runs under its bounds, and is counted.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use domain::call::Caller;
use domain::failure::FailureKind;
use domain::ports::{CallRecord, Unit as _};
use domain::{ComponentId, Failure, Phase};
use wasmtime::Store;
use wasmtime::component::{Func, Val};

use super::instance::Live;
use super::shelf::{NoTurn, Turn};
use super::{ComponentUnit, Export};
use crate::clock::Stopwatch;
use crate::engine::Shared;
use crate::epoch::Deadline;
use crate::failure::{Interrupt, millis};
use crate::resource::Tether;
use crate::state::StoreState;

/// On whose behalf and under which bounds a component is entered.
pub(crate) struct Entrance<'a> {
    /// Fuel, never above the component's own limit.
    pub(crate) fuel: Option<u64>,
    /// Runs since the call began; `None` if the call is not timed where it ends at once.
    pub(crate) watch: Option<Stopwatch>,
    /// The end of the call, unless the component's own limit is nearer.
    pub(crate) deadline: Deadline,
    /// How long that was when whoever set it began.
    pub(crate) time: Duration,
    /// Who calls.
    pub(crate) caller: &'a Arc<Caller>,
    /// Ties the instance that has to serve the call; any may if it is `None`.
    pub(crate) pin: Option<&'a Arc<Tether>>,
}

/// What a call gave back.
pub(crate) struct Returned<T> {
    pub(crate) value: T,
    /// Fuel that the component itself used.
    pub(crate) fuel: u64,
    /// In nanoseconds; `None` if it was not timed.
    pub(crate) duration: Option<u64>,
    /// Whether the observer was told of it.
    pub(crate) is_told: bool,
}

/// What is done with a function of an instance once its turn has come.
pub(crate) trait Visit: Sync {
    /// What the function returns.
    type Value: Send;

    /// Calls it on a stack of its own.
    fn call<'a>(
        &'a self,
        store: &'a mut Store<StoreState>,
        function: Func,
    ) -> impl Future<Output = wasmtime::Result<Self::Value>> + Send + 'a;

    /// Calls it on the stack of whoever calls.
    fn call_now(&self, store: &mut Store<StoreState>, function: Func) -> wasmtime::Result<Self::Value>;
}

/// Calls with values made for the function's type.
pub(crate) struct Values<'a> {
    pub(crate) args: &'a [Val],
    pub(crate) has_result: bool,
}

impl Visit for Values<'_> {
    /// A function has one result or none.
    type Value = Option<Val>;

    async fn call(&self, store: &mut Store<StoreState>, function: Func) -> wasmtime::Result<Option<Val>> {
        // Overwritten by the call; wasmtime only wants the right number of places.
        let mut value = self.has_result.then_some(Val::Bool(false));
        function.call_async(store, self.args, value.as_mut_slice()).await?;
        Ok(value)
    }

    fn call_now(&self, store: &mut Store<StoreState>, function: Func) -> wasmtime::Result<Option<Val>> {
        let mut value = self.has_result.then_some(Val::Bool(false));
        function.call(store, self.args, value.as_mut_slice())?;
        Ok(value)
    }
}

/// What a call gave back and the fuel it used, or why it failed.
pub(crate) type Ended<T> = Result<(T, u64), Box<Failure>>;

/// Why a call gave nothing back.
pub(crate) enum Stopped {
    /// It failed, and the observer was told.
    Failed(Box<Failure>),
    /// It did not begin: another unit is in service.
    Replaced,
}

impl From<Box<Failure>> for Stopped {
    fn from(failure: Box<Failure>) -> Self {
        Self::Failed(failure)
    }
}

/// A call that runs: what it may use.
struct Bounds {
    fuel: u64,
    time: Duration,
}

impl ComponentUnit {
    /// Calls the export at `position`; the observer hears of the call and of its failure, once.
    ///
    /// # Cancel safety
    /// Dropping the future discards the instance.
    pub(crate) async fn enter<V: Visit>(
        &self,
        position: usize,
        entrance: &Entrance<'_>,
        visit: &V,
    ) -> Result<Returned<V::Value>, Stopped> {
        let mut instance_hit = None;
        let outcome = match self.run(position, entrance, visit, &mut instance_hit).await {
            Ok(ended) => Ok(ended),
            Err(Stopped::Failed(failure)) => Err(failure),
            Err(Stopped::Replaced) => return Err(Stopped::Replaced),
        };
        Ok(self.concluded(position, entrance, outcome, instance_hit)?)
    }

    /// As [`Self::enter`], on the caller's stack and without telling the observer of a call that went well; `None`, with nothing
    /// done, if the call could have to wait for anything, even for an instance to be made. Returns what the call gave back and the
    /// fuel it used.
    #[inline]
    pub(crate) fn enter_now<V: Visit>(
        &self,
        position: usize,
        entrance: &Entrance<'_>,
        visit: &V,
        is_metered: bool,
    ) -> Option<Ended<V::Value>> {
        if self.may_wait {
            return None;
        }
        let (turn, live) = self.shelf.try_idle()?;
        if live.store.data().tether().has_orphans() {
            // The handles are dropped first, which may take long.
            turn.put(live, self.shared.ticker.now());
            return None;
        }
        let admitted = if is_metered { self.admit(entrance) } else { Ok(()) };
        let outcome = match admitted {
            Ok(()) => self.run_now(position, entrance, visit, turn, live),
            Err(failure) => {
                turn.put(live, self.shared.ticker.now());
                Err(failure)
            }
        };
        Some(match outcome {
            Ok(ended) => Ok(ended),
            failed => self.concluded(position, entrance, failed, Some(true)).map(|told| (told.value, told.fuel)),
        })
    }

    /// Tells the observer how a call ended.
    fn concluded<T>(
        &self,
        position: usize,
        entrance: &Entrance<'_>,
        outcome: Ended<T>,
        instance_hit: Option<bool>,
    ) -> Result<Returned<T>, Box<Failure>> {
        let duration = entrance.watch.map(Stopwatch::nanos);
        let record = |fuel, ok| CallRecord {
            component: self.id(),
            caller: entrance.caller.chain.last(),
            ended: Instant::now(),
            duration: Duration::from_nanos(duration.unwrap_or(0)),
            fuel,
            ok,
            instance_hit,
        };
        match outcome {
            Ok((value, fuel)) => {
                // A gate counts what is ordinary.
                let is_told = instance_hit != Some(true) || entrance.caller.chain.is_empty();
                if is_told {
                    self.shared.observer.called(record(fuel, true));
                }
                Ok(Returned { value, fuel, duration, is_told })
            }
            Err(mut failure) => {
                if failure.function.is_none() {
                    failure.function = self.exports.get(position).map(|export| export.qualified.to_string());
                }
                self.shared.observer.failed((*failure).clone());
                self.shared.observer.called(record(failure.fuel.unwrap_or(0), false));
                Err(failure)
            }
        }
    }

    /// Asks whether the quotas leave room for a call.
    fn admit(&self, entrance: &Entrance<'_>) -> Result<(), Box<Failure>> {
        self.shared.observer.admit(self.id()).map_err(|exhausted| {
            let failure = self.scene(entrance.caller).failure(Phase::Call, FailureKind::Exhausted, &exhausted.reason);
            // What is left of a millisecond is waited for as well.
            let millis = exhausted.retry_after.as_micros().div_ceil(1_000);
            let retry_after_ms = Some(u64::try_from(millis).unwrap_or(u64::MAX));
            Box::new(Failure { retry_after_ms, ..failure })
        })
    }

    fn export(&self, position: usize, entrance: &Entrance<'_>) -> Result<&Export, Box<Failure>> {
        self.exports.get(position).ok_or_else(|| {
            let scene = self.scene(entrance.caller);
            Box::new(scene.failure(Phase::Call, FailureKind::Host, "the component has no such function"))
        })
    }

    /// Returns the end of a call that begins now, and how long that is for messages.
    pub(super) fn deadline(&self, entrance: &Entrance<'_>) -> (Deadline, Duration) {
        let limit = self.spec.limits.deadline();
        // Whoever set the deadline began before now: it is nearer than a limit that is no shorter.
        if limit >= entrance.time {
            return (entrance.deadline, entrance.time);
        }
        let own = Deadline::after(limit);
        if own < entrance.deadline { (own, limit) } else { (entrance.deadline, entrance.time) }
    }

    /// Tells whether a call ended at a bound that its caller set below the component's own. Who calls on behalf of another call leaves
    /// what it has not used of its own time: the component is to blame if that was half of what it may take.
    #[cold]
    fn is_lowered(&self, kind: FailureKind, bounds: &Bounds, entrance: &Entrance<'_>) -> bool {
        let limit = self.spec.limits.deadline();
        match kind {
            FailureKind::Fuel => bounds.fuel < self.spec.limits.fuel,
            FailureKind::Deadline if bounds.time < limit => true,
            FailureKind::Deadline if !entrance.caller.chain.is_empty() && entrance.time <= limit => {
                entrance.watch.is_some_and(|watch| watch.elapsed() < limit / 2)
            }
            _ => false,
        }
    }

    fn fuel(&self, entrance: &Entrance<'_>) -> u64 {
        entrance.fuel.map_or(self.spec.limits.fuel, |fuel| fuel.min(self.spec.limits.fuel))
    }

    /// Returns what the export gave back and the fuel it used.
    async fn run<V: Visit>(
        &self,
        position: usize,
        entrance: &Entrance<'_>,
        visit: &V,
        instance_hit: &mut Option<bool>,
    ) -> Result<(V::Value, u64), Stopped> {
        let export = self.export(position, entrance)?;
        self.admit(entrance)?;
        let (deadline, time) = self.deadline(entrance);
        let (turn, live) = match entrance.pin.map_or_else(|| self.shelf.try_turn(), |_| None) {
            Some(turn) => turn,
            // Boxed, as everything that calls seldom need, so that the others do not carry it about.
            None => Box::pin(self.wait(entrance, deadline, time)).await?,
        };
        *instance_hit = Some(live.is_some());
        let live = match live {
            Some(live) if live.store.data().tether().has_orphans() => Box::pin(self.drop_orphans(live)).await,
            live => live,
        };
        let mut live = match live {
            Some(live) => live,
            None => {
                self.admit_another(entrance)?;
                Box::pin(self.make(entrance.caller, Some(deadline))).await.map_err(Box::new)?.0
            }
        };
        let bounds = Bounds { fuel: self.fuel(entrance), time };
        let begun = live.begin(bounds.fuel, entrance.caller, (deadline, time), false);
        let called = match begun.and_then(|()| live.function(position, &export.index)) {
            Ok(function) => self.shelf.herd().bounded(deadline, pin!(visit.call(&mut live.store, function))).await,
            Err(error) => Err(error),
        };
        let ended = self.ended(called, entrance, &bounds, &live);
        if ended.is_ok() {
            live.end_output();
            self.put(live, turn).await;
        }
        // The instance goes with its store: after a trap or a timeout it is never called again.
        Ok(ended?)
    }

    #[inline]
    fn run_now<V: Visit>(
        &self,
        position: usize,
        entrance: &Entrance<'_>,
        visit: &V,
        turn: Turn<'_>,
        mut live: Box<Live>,
    ) -> Ended<V::Value> {
        let export = self.export(position, entrance)?;
        let (deadline, time) = self.deadline(entrance);
        let bounds = Bounds { fuel: self.fuel(entrance), time };
        let begun = live.begin(bounds.fuel, entrance.caller, (deadline, time), true);
        let called = match begun.and_then(|()| live.function(position, &export.index)) {
            Ok(function) => visit.call_now(&mut live.store, function),
            Err(error) => Err(error),
        };
        let ended = self.ended(called, entrance, &bounds, &live)?;
        live.end_output();
        turn.put(live, self.shared.ticker.now());
        Ok(ended)
    }

    /// Waits for a turn.
    pub(super) async fn wait(
        &self,
        entrance: &Entrance<'_>,
        deadline: Deadline,
        time: Duration,
    ) -> Result<(Turn<'_>, Option<Box<Live>>), Stopped> {
        let failed = |kind, message: String| {
            let failure = self.scene(entrance.caller).failure(Phase::Call, kind, &message);
            Err(Stopped::Failed(Box::new(failure)))
        };
        let turn = match entrance.pin {
            None => self.shelf.turn(Some(deadline)).await,
            Some(tether) => self.shelf.pinned(tether, deadline).await.map(|(turn, live)| (turn, Some(live))),
        };
        match turn {
            Ok(turn) => Ok(turn),
            Err(NoTurn::Retired) => Err(Stopped::Replaced),
            Err(NoTurn::Gone) => failed(FailureKind::Dependency, Interrupt::Gone { id: self.id().clone() }.to_string()),
            Err(NoTurn::Full) => {
                let message = format!("{} calls wait already, no more may (`limits.queue`)", self.spec.limits.queue);
                failed(FailureKind::Exhausted, message)
            }
            Err(NoTurn::Late) => {
                let message =
                    format!("other calls kept the component busy for {} ms, this call's deadline", millis(time));
                let failure = self.scene(entrance.caller).failure(Phase::Call, FailureKind::Deadline, &message);
                Err(Stopped::Failed(Box::new(Failure { by_caller: true, ..failure })))
            }
        }
    }

    /// Makes a failure of what went wrong in the guest, and counts the fuel.
    #[inline]
    fn ended<T>(&self, called: wasmtime::Result<T>, entrance: &Entrance<'_>, bounds: &Bounds, live: &Live) -> Ended<T> {
        let used = bounds.fuel.saturating_sub(live.fuel_left());
        called.map(|value| (value, used)).map_err(|error| {
            let allowed = self.allowed(bounds.fuel, bounds.time, live);
            let failure = self.scene(entrance.caller).trap(Phase::Call, &error, &allowed, Some(used));
            let by_caller = self.is_lowered(failure.kind, bounds, entrance);
            Box::new(Failure { by_caller, ..failure })
        })
    }
}

/// Tells the observer of a call of `component` that went well in an instance that was there, and was left to a gate to count.
pub(crate) fn tell(shared: &Shared, component: &ComponentId, caller: &Caller, nanos: Option<u64>, fuel: u64) {
    shared.observer.called(CallRecord {
        component,
        caller: caller.chain.last(),
        ended: Instant::now(),
        duration: Duration::from_nanos(nanos.unwrap_or(0)),
        fuel,
        ok: true,
        instance_hit: Some(true),
    });
}

/// Runs `work` until `deadline` and a little longer: a guest that waits in a host function is stopped by nothing else.
///
/// The work is pinned by the caller: moved in here it would be twice in this future, and a call that fits a kilobyte is allocated
/// several times faster.
pub(super) async fn bounded<T, W>(deadline: Deadline, mut work: Pin<&mut W>) -> wasmtime::Result<T>
where
    W: Future<Output = wasmtime::Result<T>> + Send,
{
    // Most calls never wait, and a timer costs as much as they do.
    if let Poll::Ready(outcome) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
        return outcome;
    }
    match Box::pin(tokio::time::timeout_at(deadline.host_limit(), work)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Interrupt::Deadline.into()),
    }
}
