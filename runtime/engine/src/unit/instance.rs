//! One live instance of a component in a store of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Func, Instance, InstancePre, Lift, Lower, TypedFunc, Val,
};
use wasmtime::{Store, UpdateDeadline};

use crate::capability::{Capability, InstanceSpec};
use crate::engine::Shared;
use crate::epoch::Deadline;
use crate::failure::Interrupt;
use crate::limiter::{Refusal, number};
use crate::state::{ServedCall, StoreState};

/// An instance, its store, and the functions already looked up in it.
///
/// Whoever takes it out of its unit owns it: dropped in the middle of a call, it is gone, as it must be.
pub(crate) struct Live {
    store: Store<StoreState>,
    instance: Option<Instance>,
    functions: Vec<Option<Func>>,
    /// Tells the unit that the instance is there; false once it is dropped.
    is_live: Arc<AtomicBool>,
}

impl Live {
    /// Makes a store with fuel, deadline and limiter, and prepares every capability in it. The one place that does.
    pub(crate) fn new(
        shared: &Shared,
        spec: &InstanceSpec,
        capabilities: &[Arc<dyn Capability>],
        functions: usize,
        is_live: &Arc<AtomicBool>,
    ) -> wasmtime::Result<Self> {
        shared.ticker.start(&shared.engine)?;
        let call = ServedCall { caller: Arc::default(), deadline: Deadline::after(std::time::Duration::ZERO) };
        let mut state = StoreState::new(spec.component.clone(), &spec.limits, Arc::clone(&spec.output), call);
        for capability in capabilities {
            capability.prepare(spec, &mut state).map_err(|reason| Interrupt::Unprepared { reason })?;
        }
        let mut store = Store::try_new(&shared.engine, state)?;
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(number(spec.limits.hostcall_bytes));
        store.set_max_component_handles(number(spec.limits.handles));
        store.set_fuel(0)?;
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(|store| {
            if store.data().call.deadline.passed() {
                return Err(Interrupt::Deadline.into());
            }
            // Give way to other tasks of this thread once per tick.
            Ok(UpdateDeadline::Yield(1))
        });
        is_live.store(true, Ordering::Relaxed);
        Ok(Self { store, instance: None, functions: vec![None; functions], is_live: Arc::clone(is_live) })
    }

    /// Sets what the coming calls may use, and for whom they are.
    pub(crate) fn begin(&mut self, fuel: u64, call: ServedCall) -> wasmtime::Result<()> {
        self.store.set_fuel(fuel)?;
        self.store.set_epoch_deadline(1);
        let state = self.store.data_mut();
        state.limiter.begin_call();
        state.call = call;
        Ok(())
    }

    /// Instantiates the component; core start functions run here.
    pub(crate) async fn instantiate(&mut self, pre: &InstancePre<StoreState>) -> wasmtime::Result<()> {
        self.instance = Some(pre.instantiate_async(&mut self.store).await?);
        Ok(())
    }

    /// Calls an export with values made for its type.
    pub(crate) async fn call(
        &mut self,
        position: usize,
        index: &ComponentExportIndex,
        args: &[Val],
        has_result: bool,
    ) -> wasmtime::Result<Option<Val>> {
        let function = self.function(position, index)?;
        // Overwritten by the call; wasmtime only wants the right number of places.
        let mut value = has_result.then_some(Val::Bool(false));
        function.call_async(&mut self.store, args, value.as_mut_slice()).await?;
        Ok(value)
    }

    /// Calls an export whose type is known in Rust.
    pub(crate) async fn call_typed<P, R>(
        &mut self,
        position: usize,
        index: &ComponentExportIndex,
        args: P,
    ) -> wasmtime::Result<R>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        R: ComponentNamedList + Lift + Send + Sync + 'static,
    {
        let function = self.function(position, index)?;
        let function: TypedFunc<P, R> =
            function.typed(&self.store).map_err(|error| Interrupt::WrongType { reason: format!("{error:#}") })?;
        function.call_async(&mut self.store, args).await
    }

    fn function(&mut self, position: usize, index: &ComponentExportIndex) -> wasmtime::Result<Func> {
        if let Some(Some(function)) = self.functions.get(position) {
            return Ok(*function);
        }
        let missing = || wasmtime::Error::msg("the instance lacks a function that its component exports");
        let instance = self.instance.ok_or_else(missing)?;
        let function = instance.get_func(&mut self.store, index).ok_or_else(missing)?;
        if let Some(slot) = self.functions.get_mut(position) {
            *slot = Some(function);
        }
        Ok(function)
    }

    /// Returns the fuel that is left of what [`Self::begin`] gave.
    pub(crate) fn fuel_left(&self) -> u64 {
        self.store.get_fuel().unwrap_or(0)
    }

    /// Returns what the limiter refused since [`Self::begin`].
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.store.data().limiter.refused()
    }

    /// Hands on what was printed without a line feed, and begins counting output anew.
    pub(crate) fn end_output(&self) {
        self.store.data().output().end_call();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.is_live.store(false, Ordering::Relaxed);
        self.end_output();
    }
}
