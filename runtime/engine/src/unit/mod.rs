//! A component that is linked and ready, and its instance.

mod exports;
mod instance;
mod lifecycle;

use std::any::Any;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError};
use std::task::Poll;
use std::time::{Duration, Instant};

use domain::call::{CallExpression, CallOutcome, CallRequest, Caller};
use domain::failure::FailureKind;
use domain::inspection::FunctionSignature;
use domain::ports::{BoxFuture, CallRecord, EngineError, InstanceCount, InstanceState, Started, Unit, UnitSpec};
use domain::{ComponentId, Failure, IdPattern, Phase};
use tokio::sync::{Mutex, MutexGuard};
use tokio::time::error::Elapsed;
use wasmtime::component::{InstancePre, Val};

pub(crate) use exports::{Export, Exports, Param};
use instance::Live;

use crate::call;
use crate::capability::{Capability, InstanceSpec};
use crate::engine::Shared;
use crate::epoch::Deadline;
use crate::failure::{Allowed, Interrupt, Scene, millis};
use crate::output::Output;
use crate::state::{ServedCall, StoreState};

/// One revision of a component with everything needed to make instances of it.
pub(crate) struct ComponentUnit {
    shared: Arc<Shared>,
    spec: UnitSpec,
    instance_spec: InstanceSpec,
    /// Those that serve an import; the others have nothing to do in its stores.
    capabilities: Vec<Arc<dyn Capability>>,
    pre: InstancePre<StoreState>,
    exports: Exports,
    /// Taken out for the time of a call, so that a call that is dropped takes its instance with it.
    live: Mutex<Option<Live>>,
    /// Whether an instance exists, also while it is taken out.
    is_live: Arc<AtomicBool>,
    /// When the instance last began or ended a call.
    last_used: std::sync::Mutex<Option<Instant>>,
    /// Calls that run or wait.
    under_way: AtomicU64,
}

/// A call that is under way, for as long as this lives.
struct UnderWay<'a>(&'a AtomicU64);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// On whose behalf and under which bounds a component is entered.
pub(crate) struct Entrance {
    /// Fuel, never above the component's own limit.
    pub(crate) fuel: Option<u64>,
    /// When the call began.
    pub(crate) began: Instant,
    /// The end of the call, never after the component's own limit.
    pub(crate) deadline: Deadline,
    /// How long that was when the call began, for messages.
    pub(crate) time: Duration,
    /// Who calls.
    pub(crate) caller: Arc<Caller>,
}

/// What a call gave back.
pub(crate) struct Returned {
    /// A function has one result or none.
    pub(crate) value: Option<Val>,
    pub(crate) fuel: u64,
    pub(crate) duration: Duration,
}

impl ComponentUnit {
    pub(crate) fn new(
        shared: Arc<Shared>,
        spec: UnitSpec,
        pre: InstancePre<StoreState>,
        exports: Exports,
        capabilities: Vec<Arc<dyn Capability>>,
    ) -> Self {
        let instance_spec = InstanceSpec {
            component: spec.id.clone(),
            grants: Arc::new(spec.grants.clone()),
            config: Arc::new(spec.config.clone()),
            limits: spec.limits,
            output: Arc::new(Output::new(&spec, Arc::clone(&shared.output), Arc::clone(&shared.clock))),
        };
        Self {
            shared,
            spec,
            instance_spec,
            capabilities,
            pre,
            exports,
            live: Mutex::new(None),
            is_live: Arc::default(),
            last_used: std::sync::Mutex::default(),
            under_way: AtomicU64::new(0),
        }
    }

    /// Returns who may call `export` if `caller` may not.
    pub(crate) fn refusing(&self, export: &str, caller: &ComponentId) -> Option<&[IdPattern]> {
        self.spec.callers.refusing(export, caller)
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.exports
    }

    fn scene<'a>(&'a self, caller: &'a Caller) -> Scene<'a> {
        Scene { shared: &self.shared, component: &self.spec.id, revision: self.spec.revision, caller }
    }

    /// Calls the export at `position`; the observer hears of the call and of its failure, once.
    ///
    /// # Cancel safety
    /// Dropping the future discards the instance.
    pub(crate) async fn enter(
        &self,
        position: usize,
        args: &[Val],
        entrance: &Entrance,
    ) -> Result<Returned, Box<Failure>> {
        let mut instance_hit = None;
        let outcome = self.run(position, args, entrance, &mut instance_hit).await;
        let ended = Instant::now();
        *self.last_used() = Some(ended);
        let duration = ended.saturating_duration_since(entrance.began);
        let record = |fuel, ok| CallRecord {
            component: &self.spec.id,
            caller: entrance.caller.chain.last(),
            ended,
            duration,
            fuel,
            ok,
            instance_hit,
        };
        match outcome {
            Ok((value, fuel)) => {
                self.shared.observer.called(record(fuel, true));
                Ok(Returned { value, fuel, duration })
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

    /// Returns what the export gave back and the fuel it used.
    async fn run(
        &self,
        position: usize,
        args: &[Val],
        entrance: &Entrance,
        instance_hit: &mut Option<bool>,
    ) -> Result<(Option<Val>, u64), Box<Failure>> {
        let scene = self.scene(&entrance.caller);
        let Some(_under_way) = self.admit() else {
            let message = format!("{} calls wait already, no more may (`limits.queue`)", self.spec.limits.queue);
            return Err(Box::new(scene.failure(Phase::Call, FailureKind::Exhausted, &message)));
        };
        if let Err(exhausted) = self.shared.observer.admit(&self.spec.id) {
            let failure = scene.failure(Phase::Call, FailureKind::Exhausted, &exhausted.reason);
            // What is left of a millisecond is waited for as well.
            let millis = exhausted.retry_after.as_micros().div_ceil(1_000);
            let retry_after_ms = Some(u64::try_from(millis).unwrap_or(u64::MAX));
            return Err(Box::new(Failure { retry_after_ms, ..failure }));
        }
        let limit = self.spec.limits.deadline();
        let own = Deadline::at(entrance.began, limit);
        let (deadline, time) = if own < entrance.deadline { (own, limit) } else { (entrance.deadline, entrance.time) };
        let Some(export) = self.exports.get(position) else {
            return Err(Box::new(scene.failure(Phase::Call, FailureKind::Host, "the component has no such function")));
        };
        let Ok(mut slot) = self.turn(deadline).await else {
            let message = format!("other calls kept the component busy for {} ms, this call's deadline", millis(time));
            return Err(Box::new(scene.failure(Phase::Call, FailureKind::Deadline, &message)));
        };
        *instance_hit = Some(slot.is_some());
        let mut live = match slot.take() {
            Some(live) => live,
            None => Box::pin(self.make(&entrance.caller, Some(deadline))).await.map_err(Box::new)?.0,
        };
        let fuel = entrance.fuel.map_or(self.spec.limits.fuel, |fuel| fuel.min(self.spec.limits.fuel));
        let served = ServedCall { caller: Arc::clone(&entrance.caller), deadline };
        let called = match live.begin(fuel, served) {
            Ok(()) => bounded(deadline, pin!(live.call(position, &export.index, args, export.has_result))).await,
            Err(error) => Err(error),
        };
        let used = fuel.saturating_sub(live.fuel_left());
        match called {
            Ok(value) => {
                live.end_output();
                *slot = Some(live);
                Ok((value, used))
            }
            // The instance goes with its store: after a trap or a timeout it is never called again.
            Err(error) => Err(Box::new(scene.trap(Phase::Call, &error, &self.allowed(fuel, time, &live), Some(used)))),
        }
    }

    /// Lets a call in, unless as many wait as may.
    fn admit(&self) -> Option<UnderWay<'_>> {
        let before = self.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(&self.under_way);
        // The one instance serves one call at a time.
        let running = self.spec.limits.calls.min(1);
        (before < running.saturating_add(self.spec.limits.queue)).then_some(under_way)
    }

    /// Waits for the instance to be free.
    async fn turn(&self, deadline: Deadline) -> Result<MutexGuard<'_, Option<Live>>, Elapsed> {
        match self.live.try_lock() {
            Ok(slot) => Ok(slot),
            // Boxed, as everything that calls seldom need, so that the others do not carry it about.
            Err(_) => Box::pin(tokio::time::timeout_at(deadline.host_limit(), self.live.lock())).await,
        }
    }

    fn last_used(&self) -> std::sync::MutexGuard<'_, Option<Instant>> {
        self.last_used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn allowed(&self, fuel: u64, time: Duration, live: &Live) -> Allowed {
        Allowed { fuel, time, limits: self.spec.limits, refused: live.refused() }
    }
}

/// Runs `work` until `deadline` and a little longer: a guest that waits in a host function is stopped by nothing else.
///
/// The work is pinned by the caller: moved in here it would be twice in this future, and a call that fits a kilobyte is allocated
/// several times faster.
async fn bounded<T, W>(deadline: Deadline, mut work: Pin<&mut W>) -> wasmtime::Result<T>
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

impl Unit for ComponentUnit {
    fn id(&self) -> &ComponentId {
        &self.spec.id
    }

    fn revision(&self) -> u32 {
        self.spec.revision
    }

    fn functions(&self) -> &[FunctionSignature] {
        self.exports.signatures()
    }

    fn start(&self) -> BoxFuture<'_, Result<Started, Failure>> {
        Box::pin(self.start_instance())
    }

    fn call(&self, request: CallRequest) -> BoxFuture<'_, Result<CallOutcome, EngineError>> {
        let prepared = match call::prepare(&self.spec.id, &self.exports, &request.expression) {
            Ok(prepared) => prepared,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let with_wave = request.wave || matches!(request.expression, CallExpression::Wave(_));
        let began = Instant::now();
        let limit = self.spec.limits.deadline();
        let time = request.timeout.map_or(limit, |timeout| timeout.min(limit));
        let deadline = Deadline::at(began, time);
        let entrance = Entrance { fuel: request.fuel, began, deadline, time, caller: Arc::new(request.caller) };
        Box::pin(async move {
            let called = self.enter(prepared.position, &prepared.args, &entrance).await;
            let returned = called.map_err(EngineError::Failed)?;
            call::outcome(&self.exports, prepared.position, &returned, with_wave)
        })
    }

    fn check_health(&self) -> BoxFuture<'_, Result<Option<()>, Failure>> {
        Box::pin(self.ask_health())
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.stop_instance())
    }

    fn shed(&self, idle: Duration) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            let InstanceCount { live, busy: 0, last_used } = self.instances() else { return 0 };
            if live == 0 || last_used.is_some_and(|last| last.elapsed() < idle) {
                return 0;
            }
            self.stop_instance().await;
            live
        })
    }

    fn instances(&self) -> InstanceCount {
        if !self.is_live.load(Ordering::Relaxed) {
            return InstanceCount::default();
        }
        let busy = usize::from(self.under_way.load(Ordering::Relaxed) > 0);
        InstanceCount { live: 1, busy, last_used: *self.last_used() }
    }

    fn instance_state(&self) -> InstanceState {
        if self.is_live.load(Ordering::Relaxed) { InstanceState::Live } else { InstanceState::Cold }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
