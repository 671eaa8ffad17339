//! How a call passes a gate.

use std::future::ready;
use std::sync::Arc;
use std::time::Duration;

use domain::call::Caller;
use domain::callers::refusal;
use domain::failure::FailureKind;
use domain::ports::{Link, Slot, Unit};
use domain::{ComponentId, Failure};
use wasmtime::StoreContextMut;
use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{LinkerInstance, ResourceType, Val};

use super::abi::{Arguments, Carried, Passed, Ready, Returned};
use super::edge::{Edge, EdgeUse};
use super::shape::Signature;
use super::{Maker, Route, component_unit};
use crate::clock::Stopwatch;
use crate::engine::Shared;
use crate::epoch::Deadline;
use crate::failure::Interrupt;
use crate::limiter::number;
use crate::link::{Unmet, shown};
use crate::resource::{Handing, Handover, Held, ResourceNames, Tether, give_result, has_handles, take_args};
use crate::state::{ServedCall, StoreState};
use crate::unit::{self, ComponentUnit, Entrance, Stopped, Values, Visit};

/// One imported function and whoever provides it at the moment.
pub(super) struct Gate {
    /// Its number among the gates of its component.
    number: usize,
    shared: Arc<Shared>,
    caller: ComponentId,
    route: Arc<Route>,
    /// What the caller calls the interface, or the function.
    import: String,
    interface: Option<String>,
    name: String,
    ty: ComponentFunc,
    /// How values cross without being made; `None` where they have to be.
    signature: Option<Arc<Signature>>,
    /// Whether values have handles in them.
    has_handles: bool,
    /// What the caller calls resource types.
    resources: Arc<ResourceNames>,
}

/// A call that has to wait in a gate.
struct Crossing {
    unit: Arc<ComponentUnit>,
    export: usize,
    used: Arc<EdgeUse>,
    watch: Stopwatch,
    deadline: Deadline,
    time: Duration,
    caller: Arc<Caller>,
}

/// What came of a call that would not wait.
enum Attempt {
    Done(Carried),
    /// It has to wait; nothing was done yet.
    Later(Crossing),
}

impl Gate {
    pub(super) fn new(
        maker: &mut Maker<'_>,
        link: &Link,
        interface: Option<&str>,
        name: &str,
        ty: ComponentFunc,
    ) -> Arc<Self> {
        let signature = if maker.shared.settings.gates_by_value { None } else { Signature::of(&ty) };
        Arc::new(Self {
            number: maker.next(),
            shared: Arc::clone(maker.shared),
            caller: maker.caller.clone(),
            route: maker.route(link),
            import: link.import.clone(),
            interface: interface.map(str::to_owned),
            name: name.to_owned(),
            signature: signature.map(Arc::new),
            has_handles: ty.params().any(|(_, ty)| has_handles(&ty)) || ty.results().any(|ty| has_handles(&ty)),
            resources: Arc::clone(maker.resources),
            ty,
        })
    }

    /// Defines the gate as the function `name` of an import.
    pub(super) fn define(
        self: Arc<Self>,
        instance: &mut LinkerInstance<'_, StoreState>,
        name: &str,
    ) -> Result<(), Unmet> {
        let defined = match self.signature.clone() {
            None => instance.func_new_async(name, move |store, _, params, results| {
                let gate = Arc::clone(&self);
                Box::new(async move {
                    match gate.has_handles {
                        true => gate.pass_handles(store, params, results).await,
                        false => gate.pass_values(store, params, results).await,
                    }
                })
            }),
            Some(signature) => self.define_typed(signature, instance, name),
        };
        defined.map_err(|error| (FailureKind::Host, format!("{error:#}")))
    }

    /// Defines the gate with as many core values as the function takes and returns.
    fn define_typed(
        self: Arc<Self>,
        signature: Arc<Signature>,
        instance: &mut LinkerInstance<'_, StoreState>,
        name: &str,
    ) -> wasmtime::Result<()> {
        macro_rules! by_count {
            ($($count:literal)*) => {
                match (signature.param_slots(), signature.result.is_some()) {
                    $(
                        ($count, false) => self.wrap::<$count, 0>(signature, instance, name),
                        ($count, true) => self.wrap::<$count, 1>(signature, instance, name),
                    )*
                    _ => Err(wasmtime::Error::msg("more core values than the canonical ABI passes")),
                }
            };
        }
        by_count!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    }

    fn wrap<const N: usize, const M: usize>(
        self: Arc<Self>,
        signature: Arc<Signature>,
        instance: &mut LinkerInstance<'_, StoreState>,
        name: &str,
    ) -> wasmtime::Result<()> {
        instance.func_wrap_async(name, move |mut store: StoreContextMut<'_, StoreState>, mut passed: Passed<N>| {
            let mut arguments = Arguments::new(&signature, &mut passed);
            let mut crossing = match self.attempt(&mut store, &mut arguments) {
                Ok(Attempt::Later(crossing)) => crossing,
                Ok(Attempt::Done(carried)) => return Box::new(Ready::<M>::new(&signature, carried)),
                Err(error) => return Box::new(ready(Err(error))),
            };
            let (gate, signature) = (Arc::clone(&self), Arc::clone(&signature));
            Box::new(async move {
                // The caller waits here, and nobody else gets at its store.
                let mut held = store;
                loop {
                    let arguments = Arguments::new(&signature, &mut passed);
                    match gate.pass(&crossing, None, &arguments).await? {
                        Some(carried) => return Ok(Returned::new(&signature, carried)),
                        None => crossing = gate.crossing(held.data_mut(), None)?,
                    }
                }
            })
        })
    }

    /// Checks arguments and carries the call over if that can be done without waiting for anything.
    fn attempt(
        &self,
        store: &mut StoreContextMut<'_, StoreState>,
        arguments: &mut Arguments<'_>,
    ) -> wasmtime::Result<Attempt> {
        let began = self.shared.ticker.now();
        let state = store.data_mut();
        let watch = state.edges.get(self.number).is_none_or(Edge::is_timed_next).then(Stopwatch::start);
        arguments.check(number(state.limits().hostcall_bytes))?;
        self.resolve(state)?;
        let ServedCall { deadline, time, .. } = *state.call();
        let (caller, edge) = self.kept(state)?;
        let export = edge.export;
        let entrance = Entrance { fuel: None, watch, deadline, time, caller, pin: None };
        let is_metered = self.shared.observer.is_metered();
        match edge.unit.enter_now(export, &entrance, arguments, is_metered) {
            Some(Ok((value, fuel))) => {
                let nanos = watch.map(Stopwatch::nanos).or_else(|| {
                    // Not timed, but long: the coarse clock is right enough.
                    let millis = self.shared.ticker.now().saturating_sub(began);
                    (millis > 0).then(|| millis.saturating_mul(1_000_000))
                });
                if is_metered || !edge.used.count(fuel, nanos) {
                    unit::tell(&self.shared, edge.unit.id(), caller, nanos, fuel);
                }
                Ok(Attempt::Done(value))
            }
            Some(Err(failure)) => Err(passed_on(&failure).into()),
            None => {
                let (unit, used, caller) = (Arc::clone(&edge.unit), Arc::clone(&edge.used), Arc::clone(caller));
                let watch = watch.unwrap_or_else(Stopwatch::start);
                Ok(Attempt::Later(Crossing { unit, export, used, watch, deadline, time, caller }))
            }
        }
    }

    /// Carries a call over that may have to wait; `None`, with nothing done, if another unit came into service before it began.
    async fn pass<V: Visit>(
        &self,
        crossing: &Crossing,
        pin: Option<&Arc<Tether>>,
        visit: &V,
    ) -> Result<Option<V::Value>, Interrupt> {
        let Crossing { watch, deadline, time, ref caller, .. } = *crossing;
        let entrance = Entrance { fuel: None, watch: Some(watch), deadline, time, caller, pin };
        let returned = match crossing.unit.enter(crossing.export, &entrance, visit).await {
            Ok(returned) => returned,
            Err(Stopped::Failed(failure)) => return Err(passed_on(&failure)),
            Err(Stopped::Replaced) => return Ok(None),
        };
        self.count(&crossing.used, &returned, &entrance);
        Ok(Some(returned.value))
    }

    /// Makes what a call needs that may have to wait.
    fn crossing(&self, state: &mut StoreState, unit: Option<&Arc<ComponentUnit>>) -> Result<Crossing, Interrupt> {
        let watch = Stopwatch::start();
        match unit {
            None => self.resolve(state)?,
            // Looked up again by the next call that is not bound to it.
            Some(unit) => self.resolve_to(state, self.route.slot(), Arc::clone(unit), u64::MAX)?,
        }
        let ServedCall { deadline, time, .. } = *state.call();
        let (caller, edge) = self.kept(state)?;
        let (caller, used, unit) = (Arc::clone(caller), Arc::clone(&edge.used), Arc::clone(&edge.unit));
        Ok(Crossing { unit, export: edge.export, used, watch, deadline, time, caller })
    }

    /// Carries a call over whose values have to be made, and its result back.
    async fn pass_values(
        &self,
        mut store: StoreContextMut<'_, StoreState>,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let values = Values { args: params, has_result: !results.is_empty() };
        let returned = loop {
            let crossing = self.crossing(store.data_mut(), None)?;
            if let Some(returned) = self.pass(&crossing, None, &values).await? {
                break returned;
            }
        };
        for (slot, value) in results.iter_mut().zip(returned) {
            *slot = value;
        }
        Ok(())
    }

    /// Carries a call over with handles of resources in its arguments or in its result.
    async fn pass_handles(
        &self,
        mut store: StoreContextMut<'_, StoreState>,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let (args, handed) = take_args(&mut store, &self.ty, params)?;
        let pin = self.instance_of(&handed)?;
        let (value, handed) = loop {
            // Still the unit that made them when another revision is in service.
            let crossing = self.crossing(store.data_mut(), pin.map(|held| &held.unit))?;
            let function = &crossing.unit.exports().get(crossing.export).ok_or_else(|| self.absent())?.ty;
            let handing = Handing { unit: &crossing.unit, function, args: &args, handed: &handed };
            if let Some(passed) = self.pass(&crossing, pin.map(|held| &held.tether), &handing).await? {
                break passed;
            }
        };
        if let (Some(mut value), Some(slot)) = (value, results.first_mut()) {
            give_result(&mut store, &self.ty, &mut value, handed)?;
            *slot = value;
        }
        Ok(())
    }

    /// Returns a handle of the instance that a call with handles of the provider has to go to; `None` if there are none of it.
    fn instance_of<'a>(&self, handed: &'a [Handover]) -> Result<Option<&'a Arc<Held>>, Interrupt> {
        let provider = self.route.id();
        // Also of another revision of it: that was in service here before.
        let mut of_provider = handed.iter().map(Handover::held).filter(|held| held.unit.id().is_same_entry(&provider));
        let Some(first) = of_provider.next() else { return Ok(None) };
        if of_provider.any(|held| !Arc::ptr_eq(&held.tether, &first.tether)) {
            return Err(Interrupt::Apart { id: provider });
        }
        if first.tether.is_gone() {
            return Err(Interrupt::Gone { id: provider });
        }
        Ok(Some(first))
    }

    /// Says why there is nobody to call.
    #[cold]
    fn absent(&self) -> Interrupt {
        let slot = self.route.slot();
        let id = slot.id().clone();
        match slot.barrier() {
            Some(barrier) => {
                barrier.refuse();
                Interrupt::Barred { id, reason: barrier.reason().to_owned() }
            }
            None => Interrupt::Absent { id },
        }
    }

    fn dependency(&self, message: String) -> Interrupt {
        Interrupt::Dependency { id: self.route.id(), message }
    }

    /// Returns what the instance keeps for this call and for this gate.
    fn kept<'a>(&self, state: &'a StoreState) -> Result<(&'a Arc<Caller>, &'a Edge), Interrupt> {
        state.made_onward().zip(state.edges.get(self.number)).ok_or_else(|| self.absent())
    }

    /// Says why the provider must not be entered on behalf of the call that is served, if it must not.
    fn admit(&self, state: &mut StoreState, provider: &ComponentId) -> Result<(), Interrupt> {
        let most = state.limits().call_depth;
        let (onward, _) = state.onward();
        if onward.chain.contains(provider) {
            let mut path = onward.chain.clone();
            path.push(provider.clone());
            return Err(Interrupt::Reentrance { path });
        }
        if u64::try_from(onward.chain.len()).unwrap_or(u64::MAX) >= most {
            return Err(Interrupt::Depth { most });
        }
        Ok(())
    }

    /// Counts a call that went well. The observer hears of one that was not quick from the unit itself, unless that left it to the gate.
    fn count<T>(&self, used: &EdgeUse, returned: &unit::Returned<T>, entrance: &Entrance<'_>) {
        if !returned.is_told && (self.shared.observer.is_metered() || !used.count(returned.fuel, returned.duration)) {
            unit::tell(&self.shared, &used.component, entrance.caller, returned.duration, returned.fuel);
        }
    }

    /// Sees to it that the instance knows where the gate leads, and that it may be passed: both are looked at again only when another
    /// unit has come into service, or another call is served.
    #[inline]
    fn resolve(&self, state: &mut StoreState) -> Result<(), Interrupt> {
        let (_, vetted) = state.onward();
        if state.edges.get(self.number).is_some_and(|edge| edge.is_current(vetted)) {
            return Ok(());
        }
        self.resolve_anew(state)
    }

    #[cold]
    fn resolve_anew(&self, state: &mut StoreState) -> Result<(), Interrupt> {
        let (slot, turns) = self.route.look();
        let unit = slot.unit().ok_or_else(|| self.absent())?;
        let unit = component_unit(unit).map_err(|message| self.dependency(message))?;
        self.resolve_to(state, slot, unit, turns)
    }

    /// Makes the gate lead to `unit`, which serves since `slot` was turned `turns` times.
    fn resolve_to(
        &self,
        state: &mut StoreState,
        slot: Arc<Slot>,
        unit: Arc<ComponentUnit>,
        turns: u64,
    ) -> Result<(), Interrupt> {
        self.admit(state, slot.id())?;
        let (_, vetted) = state.onward();
        let known = state.edges.get(self.number);
        let export = match known.filter(|edge| Arc::ptr_eq(&edge.unit, &unit)) {
            Some(edge) => edge.export,
            None => self.look_up(&unit)?,
        };
        let used = match known.filter(|edge| edge.used.component == *slot.id()) {
            Some(edge) => Arc::clone(&edge.used),
            None => {
                let used = EdgeUse::new(&self.caller, slot.id());
                self.shared.ledger.add(&used);
                used
            }
        };
        state.edges.set(self.number, Edge { slot, turns, vetted, unit, export, used });
        Ok(())
    }

    /// Finds the function in a unit that this instance has not called yet: it need not be the one that was linked.
    fn look_up(&self, callee: &ComponentUnit) -> Result<usize, Interrupt> {
        let changed = |what: &str| {
            self.dependency(format!("`{}` {what} in its revision {}", shown(&self.name), callee.revision()))
        };
        let position = callee.exports().serving(self.interface.as_deref(), &self.import, &self.name);
        let found = position.and_then(|position| Some((position, callee.exports().get(position)?)));
        // Another revision may let others call than the one that was linked, and may have the interface under another version.
        let asked = found.and_then(|(_, export)| export.interface.as_deref()).or(self.interface.as_deref());
        let asked = asked.unwrap_or(&self.name);
        if let Some(allowed) = callee.refusing(asked, &self.caller) {
            return Err(Interrupt::Refused { message: refusal(callee.id(), &self.caller, &shown(asked), allowed) });
        }
        let (position, export) = found.ok_or_else(|| changed("is missing"))?;
        if !self.resources.same_types(&self.ty, callee.resources(), &export.ty) {
            return Err(changed("has another type"));
        }
        Ok(position)
    }
}

/// Makes what interrupts the caller of the failure of a component that it called.
fn passed_on(failure: &Failure) -> Interrupt {
    match failure.kind {
        // Its message names the one that failed: told through many components, it must not become longer with each.
        FailureKind::Dependency => Interrupt::Further { message: failure.message.clone() },
        _ => Interrupt::Dependency { id: failure.component.clone(), message: failure.message.clone() },
    }
}

/// Defines a resource that another component makes: dropped here, it is dropped there.
pub(super) fn define_resource(
    instance: &mut LinkerInstance<'_, StoreState>,
    name: &str,
    number: u32,
) -> Result<(), Unmet> {
    let ty = ResourceType::host_dynamic(number);
    let defined =
        instance.resource_async(name, ty, |store, number| Box::new(async move { drop_held(store, number).await }));
    defined.map_err(|error| (FailureKind::Host, format!("{error:#}")))
}

/// Drops a handle that a guest held of another component's resource.
async fn drop_held(mut store: StoreContextMut<'_, StoreState>, number: u32) -> wasmtime::Result<()> {
    let state = store.data_mut();
    let Some(held) = state.handles.remove(number) else { return Err(Interrupt::UnknownHandle.into()) };
    // With its instance, the resource is gone already.
    if held.tether.is_gone() {
        return Ok(());
    }
    let ServedCall { deadline, time, .. } = *state.call();
    let caller = Arc::clone(state.onward().0);
    let pin = Some(&held.tether);
    let entrance = Entrance { fuel: None, watch: None, deadline, time, caller: &caller, pin };
    held.unit.drop_handle(&held, &entrance).await.map_err(|failure| passed_on(&failure).into())
}
