//! A component that is linked and ready, and its instances.

mod enter;
mod exports;
mod hot;
mod instance;
mod lifecycle;
mod pin;
mod retire;
mod shelf;
mod succeed;

use std::any::Any;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use domain::call::{CallExpression, CallOutcome, CallRequest, Caller};
use domain::inspection::FunctionSignature;
use domain::manifest::InstanceMode;
use domain::ports::{
    Beside, BoxFuture, Drain, Drained, EngineError, Handover, InstanceCount, InstanceState, Slot, Started, StateKeeper,
    TakeOver, Unit, UnitSpec,
};
use domain::{ComponentId, Failure, IdPattern};
use wasmtime::component::InstancePre;

use enter::bounded;
pub(crate) use enter::{Entrance, Returned, Stopped, Values, Visit, tell};
pub(crate) use exports::{Export, Exports, Param};
pub(crate) use instance::Live;
pub(crate) use shelf::Pinned;
use shelf::Shelf;

use crate::call;
use crate::capability::{Capability, InstanceSpec};
use crate::clock::Stopwatch;
use crate::engine::Shared;
use crate::epoch::Deadline;
use crate::failure::{Allowed, Scene};
use crate::gate::Route;
use crate::limiter::number;
use crate::lines::SourceLines;
use crate::link::Linked;
use crate::mapped::{self, Counted};
use crate::output::Output;
use crate::resource::ResourceNames;
use crate::state::StoreState;

/// One revision of a component with everything needed to make instances of it.
pub(crate) struct ComponentUnit {
    shared: Arc<Shared>,
    spec: UnitSpec,
    instance_spec: InstanceSpec,
    /// Those that serve an import; the others have nothing to do in its stores.
    capabilities: Vec<Arc<dyn Capability>>,
    pre: InstancePre<StoreState>,
    /// Where its code comes from.
    lines: SourceLines,
    /// Mappings of its code.
    _mapped: Counted,
    /// Most mappings that an instance takes.
    instance_mappings: u64,
    exports: Exports,
    /// What it calls the resource types that others know.
    resources: Arc<ResourceNames>,
    /// Whether a call may have to wait for something but its own guest.
    may_wait: bool,
    shelf: Arc<Shelf>,
    /// Whether what its instance remembers is what the component remembers; not so before it has taken another's place, and after another
    /// took its own.
    owns_state: AtomicBool,
    /// Where its imports lead that other components provide.
    routes: Vec<Arc<Route>>,
    /// What it is since it was left beside the unit that took its place.
    beside: OnceLock<Beside>,
}

impl ComponentUnit {
    pub(crate) fn new(
        shared: Arc<Shared>,
        spec: UnitSpec,
        (pre, lines): (InstancePre<StoreState>, SourceLines),
        exports: Exports,
        Linked { capabilities, resources, may_wait, routes, .. }: Linked,
    ) -> Self {
        let instance_spec = InstanceSpec {
            component: spec.id.clone(),
            grants: Arc::new(spec.grants.clone()),
            config: Arc::new(spec.config.clone()),
            limits: spec.limits,
            output: Arc::new(Output::new(&spec, Arc::clone(&shared.output), Arc::clone(&shared.clock))),
        };
        let instances = match spec.instances.mode {
            InstanceMode::Shared => 1,
            InstanceMode::Pool | InstanceMode::PerCall => u64::from(spec.instances.max),
        };
        let is_fresh = spec.instances.mode == InstanceMode::PerCall;
        let shelf = Shelf::new(number(instances.min(spec.limits.calls)), number(spec.limits.queue), is_fresh);
        let owns_state = AtomicBool::new(true);
        let code = shared.mapped.add(mapped::OF_CODE);
        let instance_mappings = mapped::of_instance(pre.component());
        Self {
            shared,
            spec,
            instance_spec,
            capabilities,
            pre,
            lines,
            _mapped: code,
            instance_mappings,
            exports,
            resources,
            may_wait,
            shelf,
            owns_state,
            routes,
            beside: OnceLock::new(),
        }
    }

    /// Returns who may call `export` if `caller` may not.
    pub(crate) fn refusing(&self, export: &str, caller: &ComponentId) -> Option<&[IdPattern]> {
        self.spec.callers.refusing(export, caller)
    }

    /// Returns what it calls the resource types that others know.
    pub(crate) fn resources(&self) -> &ResourceNames {
        &self.resources
    }

    pub(crate) fn exports(&self) -> &Exports {
        &self.exports
    }

    /// Returns who keeps what its instances leave.
    fn keeper(&self) -> Option<&Arc<dyn StateKeeper>> {
        match self.beside.get() {
            Some(place) => place.state.as_ref(),
            None => self.spec.state.as_ref(),
        }
    }

    /// Tells whether each call gets an instance of its own.
    fn is_per_call(&self) -> bool {
        self.spec.instances.mode == InstanceMode::PerCall
    }

    fn scene<'a>(&'a self, caller: &'a Caller) -> Scene<'a> {
        let (component, revision) = (self.id(), self.spec.revision);
        Scene { shared: &self.shared, component, revision, caller, lines: Some(&self.lines) }
    }

    fn allowed(&self, fuel: u64, time: Duration, live: &Live) -> Allowed {
        Allowed { fuel, time, limits: self.spec.limits, refused: live.refused() }
    }
}

impl Unit for ComponentUnit {
    fn id(&self) -> &ComponentId {
        self.beside.get().map_or(&self.spec.id, |place| &place.id)
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
        let prepared = match call::prepare(self.id(), &self.exports, &request.expression) {
            Ok(prepared) => prepared,
            Err(error) => return Box::pin(std::future::ready(Err(error))),
        };
        let with_wave = request.wave || matches!(request.expression, CallExpression::Wave(_));
        let limit = self.spec.limits.deadline();
        let time = request.timeout.map_or(limit, |timeout| timeout.min(limit));
        let (fuel, caller) = (request.fuel, Arc::new(request.caller));
        let (expression, wave) = (request.expression, request.wave);
        Box::pin(async move {
            // Made here and not taken along: a call that fits a kilobyte is allocated faster.
            let (watch, deadline) = (Some(Stopwatch::start()), Deadline::after(time));
            let entrance = Entrance { fuel, watch, deadline, time, caller: &caller, pin: None };
            let has_result = self.exports.get(prepared.position).is_some_and(|export| export.has_result);
            let values = Values { args: &prepared.args, has_result };
            let called = self.enter(prepared.position, &entrance, &values).await;
            let returned = match called {
                Ok(returned) => returned,
                Err(Stopped::Failed(failure)) => return Err(EngineError::Failed(failure)),
                Err(Stopped::Replaced) => {
                    let (fuel, timeout) = (entrance.fuel, Some(entrance.deadline.left()));
                    let caller = Arc::unwrap_or_clone(caller);
                    return Err(EngineError::Replaced(Box::new(CallRequest {
                        expression,
                        fuel,
                        timeout,
                        caller,
                        wave,
                    })));
                }
            };
            call::outcome(&self.exports, prepared.position, &returned, with_wave)
        })
    }

    fn check_health(&self, within: Option<Duration>) -> BoxFuture<'_, Result<Option<()>, Failure>> {
        Box::pin(self.ask_health(within))
    }

    fn take_over<'a>(
        &'a self,
        old: Option<&'a dyn Unit>,
        how: TakeOver,
    ) -> BoxFuture<'a, Result<Box<dyn Handover + 'a>, Failure>> {
        Box::pin(self.succeed(old, how))
    }

    fn reroute(&self, import: &str, to: &Arc<Slot>) {
        self.routes.iter().filter(|route| route.import == import).for_each(|route| route.lead_to(Arc::clone(to)));
    }

    fn lead(&self, from: &Arc<Slot>, to: &Arc<Slot>) {
        let routes = self.routes.iter().filter(|route| Arc::ptr_eq(&route.slot(), from));
        routes.for_each(|route| route.lead_to(Arc::clone(to)));
    }

    fn leads_to(&self, place: &Arc<Slot>) -> bool {
        self.routes.iter().any(|route| Arc::ptr_eq(&route.slot(), place))
    }

    fn retire(&self) {
        self.shelf.retire();
    }

    fn drain(&self, time: Drain) -> BoxFuture<'_, Drained> {
        Box::pin(self.drain_instances(time))
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(self.stop_instances())
    }

    fn shed(&self, idle: Duration) -> BoxFuture<'_, usize> {
        Box::pin(self.shed_instances(idle))
    }

    fn instances(&self) -> InstanceCount {
        let live = self.shelf.herd().count();
        if live == 0 {
            return InstanceCount::default();
        }
        let (taken, idle_since) = self.shelf.busy();
        let now = Instant::now();
        let last_used = match idle_since {
            // One that is busy is in use now.
            None => Some(now),
            Some(since) => {
                let ago = self.shared.ticker.now().saturating_sub(since);
                Some(now.checked_sub(Duration::from_millis(ago)).unwrap_or(now))
            }
        };
        InstanceCount { live, busy: taken.min(live), last_used }
    }

    fn instance_state(&self) -> InstanceState {
        if self.shelf.herd().count() > 0 { InstanceState::Live } else { InstanceState::Cold }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}
