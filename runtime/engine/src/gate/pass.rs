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
use wasmtime::component::{LinkerInstance, Val};

use super::abi::{Arguments, Carried, Passed, Ready, ReadyAs, Returned};
use super::edge::{Edge, EdgeUse};
use super::shape::Signature;
use super::{Maker, component_unit};
use crate::clock::Stopwatch;
use crate::engine::Shared;
use crate::epoch::Deadline;
use crate::failure::Interrupt;
use crate::limiter::number;
use crate::link::{Unmet, shown};
use crate::state::{ServedCall, StoreState};
use crate::unit::{self, ComponentUnit, Entrance, Values, Visit};
use crate::wit::same_types;

/// One imported function and whoever provides it at the moment.
pub(super) struct Gate {
    /// Its number among the gates of its component.
    number: usize,
    shared: Arc<Shared>,
    caller: ComponentId,
    slot: Arc<Slot>,
    interface: Option<String>,
    name: String,
    ty: ComponentFunc,
    /// How values cross without being made; `None` where they have to be.
    signature: Option<Arc<Signature>>,
}

/// A call that has to wait in a gate.
struct Crossing {
    unit: Arc<dyn Unit>,
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
            slot: Arc::clone(&link.provider),
            interface: interface.map(str::to_owned),
            name: name.to_owned(),
            signature: signature.map(Arc::new),
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
                Box::new(async move { gate.pass_values(store, params, results).await })
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
        instance.func_wrap_async(name, move |mut store: StoreContextMut<'_, StoreState>, passed: Passed<N>| {
            let mut arguments = Arguments::new(&signature, &passed);
            let crossing = match self.attempt(&mut store, &mut arguments) {
                Ok(Attempt::Later(crossing)) => crossing,
                Ok(Attempt::Done(carried)) => match Ready::of(&signature, carried) {
                    Ok(ready) => return Box::new(ReadyAs::<M>(ready)),
                    Err(carried) => return Box::new(ready(Ok(Returned::<M>::new(&signature, carried)))),
                },
                Err(error) => return Box::new(ready(Err(error))),
            };
            let (gate, signature, arguments) = (Arc::clone(&self), Arc::clone(&signature), arguments.detach());
            Box::new(async move {
                // The caller waits here, and nobody else gets at its store.
                let _held = store;
                let carried = gate.pass(&crossing, &arguments.attach(&signature)).await?;
                Ok(Returned::new(&signature, carried))
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
        let serving = self.slot.serving();
        let unit = serving.unit().ok_or_else(|| self.absent())?;
        let export = self.resolve(state, unit)?;
        let ServedCall { deadline, time, .. } = *state.call();
        self.admit(state)?;
        let (caller, edge) = self.kept(state)?;
        let entrance = Entrance { fuel: None, watch, deadline, time, caller };
        let entered = unit
            .as_any()
            .downcast_ref::<ComponentUnit>()
            .ok_or_else(|| self.absent())?
            .enter_now(export, &entrance, arguments);
        match entered {
            Some(Ok(mut returned)) => {
                if returned.duration.is_none() {
                    // Not timed, but long: the coarse clock is right enough.
                    let millis = self.shared.ticker.now().saturating_sub(began);
                    returned.duration = (millis > 0).then(|| millis.saturating_mul(1_000_000));
                }
                self.count(&edge.used, &returned, &entrance);
                Ok(Attempt::Done(returned.value))
            }
            Some(Err(failure)) => Err(passed_on(&failure).into()),
            None => {
                let (unit, used, caller) = (Arc::clone(unit), Arc::clone(&edge.used), Arc::clone(caller));
                let watch = watch.unwrap_or_else(Stopwatch::start);
                Ok(Attempt::Later(Crossing { unit, export, used, watch, deadline, time, caller }))
            }
        }
    }

    /// Carries a call over that may have to wait.
    async fn pass<V: Visit>(&self, crossing: &Crossing, visit: &V) -> Result<V::Value, Interrupt> {
        let Crossing { watch, deadline, time, ref caller, .. } = *crossing;
        let entrance = Entrance { fuel: None, watch: Some(watch), deadline, time, caller };
        let callee = crossing.unit.as_any().downcast_ref::<ComponentUnit>().ok_or_else(|| self.absent())?;
        let returned = callee.enter(crossing.export, &entrance, visit).await.map_err(|failure| passed_on(&failure))?;
        self.count(&crossing.used, &returned, &entrance);
        Ok(returned.value)
    }

    /// Carries a call over whose values have to be made, and its result back.
    async fn pass_values(
        &self,
        mut store: StoreContextMut<'_, StoreState>,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let watch = Stopwatch::start();
        let state = store.data_mut();
        let unit = self.slot.unit().ok_or_else(|| self.absent())?;
        let export = self.resolve(state, &unit)?;
        let ServedCall { deadline, time, .. } = *state.call();
        self.admit(state)?;
        let (caller, edge) = self.kept(state)?;
        let (caller, used) = (Arc::clone(caller), Arc::clone(&edge.used));
        let crossing = Crossing { unit, export, used, watch, deadline, time, caller };
        let returned = self.pass(&crossing, &Values { args: params, has_result: !results.is_empty() }).await?;
        for (slot, value) in results.iter_mut().zip(returned) {
            *slot = value;
        }
        Ok(())
    }

    fn absent(&self) -> Interrupt {
        Interrupt::Absent { id: self.slot.id().clone() }
    }

    /// Returns what the instance keeps for this call and for this gate.
    fn kept<'a>(&self, state: &'a StoreState) -> Result<(&'a Arc<Caller>, &'a Edge), Interrupt> {
        state.made_onward().zip(state.edges.get(self.number)).ok_or_else(|| self.absent())
    }

    /// Makes what the provider is told of its callers, or says why it must not be entered.
    fn admit(&self, state: &mut StoreState) -> Result<(), Interrupt> {
        let most = state.limits().call_depth;
        let onward = state.onward();
        if onward.chain.contains(self.slot.id()) {
            let mut path = onward.chain.clone();
            path.push(self.slot.id().clone());
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
            unit::tell(&self.shared, self.slot.id(), entrance, returned);
        }
    }

    /// Returns the place of the function in `unit`, looking it up again only when another unit came into service.
    fn resolve(&self, state: &mut StoreState, unit: &Arc<dyn Unit>) -> Result<usize, Interrupt> {
        if let Some(edge) = state.edges.get(self.number).filter(|edge| edge.leads_to(unit)) {
            return Ok(edge.export);
        }
        let export = self.look_up(unit)?;
        let used = match state.edges.get(self.number) {
            Some(edge) => Arc::clone(&edge.used),
            None => {
                let used = EdgeUse::new(&self.caller, self.slot.id());
                self.shared.ledger.add(&used);
                used
            }
        };
        state.edges.set(self.number, Edge { unit: Arc::downgrade(unit), export, used });
        Ok(export)
    }

    /// Finds the function in a unit that this instance has not called yet: it need not be the one that was linked.
    fn look_up(&self, unit: &Arc<dyn Unit>) -> Result<usize, Interrupt> {
        let changed = |what: &str| Interrupt::Dependency {
            id: self.slot.id().clone(),
            message: format!("`{}` {what} in its revision {}", shown(&self.name), unit.revision()),
        };
        let callee = component_unit(&**unit)
            .map_err(|(_, message)| Interrupt::Dependency { id: self.slot.id().clone(), message })?;
        // Another revision may let others call than the one that was linked.
        let asked = self.interface.as_deref().unwrap_or(&self.name);
        if let Some(allowed) = callee.refusing(asked, &self.caller) {
            return Err(Interrupt::Refused { message: refusal(callee.id(), &self.caller, &shown(asked), allowed) });
        }
        let position = callee.exports().position(self.interface.as_deref(), &self.name);
        let position = position.ok_or_else(|| changed("is missing"))?;
        let export = callee.exports().get(position).ok_or_else(|| changed("is missing"))?;
        if export.transferable().is_err() || !same_types(&self.ty, &export.ty) {
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
