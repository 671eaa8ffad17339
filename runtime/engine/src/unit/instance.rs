//! One live instance of a component in a store of its own.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use domain::call::Caller;
use tokio::runtime::{Handle, RuntimeFlavor};
use wasmtime::component::{
    ComponentExportIndex, ComponentNamedList, Func, Instance, InstancePre, Lift, Lower, TypedFunc,
};
use wasmtime::{Engine, Store, UpdateDeadline};

use super::retire::Herd;
use crate::capability::{Capability, InstanceSpec};
use crate::engine::Shared;
use crate::epoch::Deadline;
use crate::failure::Interrupt;
use crate::limiter::{Refusal, number};
use crate::mapped::Counted;
use crate::state::{ServedCall, StoreState};

/// How long another thread has to take over the tasks of one that is busy with a guest.
const HANDING_OVER: Duration = Duration::from_micros(50);

/// An instance, its store, and the functions already looked up in it.
///
/// Whoever takes it out of its unit owns it: dropped in the middle of a call, it is gone, as it must be.
pub(crate) struct Live {
    pub(crate) store: Store<StoreState>,
    instance: Option<Instance>,
    functions: Vec<Option<Func>>,
    /// When it was put back last, by the engine's coarse clock in milliseconds.
    pub(super) idle_since: u64,
    /// The instances of the unit.
    herd: Arc<Herd>,
    _mapped: Counted,
}

impl Live {
    /// Makes a store with fuel, deadline and limiter, and prepares every capability in it. The one place that does.
    pub(crate) fn new(
        shared: &Shared,
        engine: &Engine,
        spec: &InstanceSpec,
        capabilities: &[Arc<dyn Capability>],
        functions: usize,
        (herd, mappings): (&Arc<Herd>, u64),
    ) -> wasmtime::Result<Self> {
        shared.ticker.start(&shared.engine)?;
        let nobody =
            ServedCall { caller: Arc::default(), deadline: Deadline::after(Duration::ZERO), time: Duration::ZERO };
        let mut state = StoreState::new(spec.component.clone(), &spec.limits, Arc::clone(&spec.output), nobody);
        for capability in capabilities {
            capability.prepare(spec, &mut state).map_err(|reason| Interrupt::Unprepared { reason })?;
        }
        let mut store = Store::try_new(engine, state)?;
        store.limiter(|state| &mut state.limiter);
        store.set_hostcall_fuel(number(spec.limits.hostcall_bytes));
        store.set_max_component_handles(number(spec.limits.handles));
        store.set_fuel(0)?;
        store.set_epoch_deadline(1);
        let theirs = Arc::clone(herd);
        store.epoch_deadline_callback(move |mut store| {
            let state = store.data_mut();
            if state.call.deadline.passed() {
                return Err(Interrupt::Deadline.into());
            }
            if theirs.is_cut() {
                return Err(Interrupt::Replaced.into());
            }
            if state.on_callers_stack {
                hand_over_tasks();
                return Ok(UpdateDeadline::Continue(1));
            }
            // Give way to other tasks of this thread once per tick.
            Ok(UpdateDeadline::Yield(1))
        });
        herd.add();
        Ok(Self {
            store,
            instance: None,
            functions: vec![None; functions],
            idle_since: 0,
            herd: Arc::clone(herd),
            _mapped: shared.mapped.add(mappings),
        })
    }

    /// Sets what the coming calls may use, and for whom they are.
    #[inline]
    pub(crate) fn begin(
        &mut self,
        fuel: u64,
        caller: &Arc<Caller>,
        (deadline, time): (Deadline, Duration),
        on_callers_stack: bool,
    ) -> wasmtime::Result<()> {
        self.store.set_fuel(fuel)?;
        self.store.set_epoch_deadline(1);
        self.store.data_mut().begin(caller, deadline, time, on_callers_stack);
        Ok(())
    }

    /// Instantiates the component; core start functions run here.
    pub(crate) async fn instantiate(&mut self, pre: &InstancePre<StoreState>) -> wasmtime::Result<()> {
        self.instance = Some(pre.instantiate_async(&mut self.store).await?);
        Ok(())
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

    /// Returns the function at `position` of the component's exports, whose index is `index`.
    #[inline]
    pub(crate) fn function(&mut self, position: usize, index: &ComponentExportIndex) -> wasmtime::Result<Func> {
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
    #[inline]
    pub(crate) fn fuel_left(&self) -> u64 {
        self.store.get_fuel().unwrap_or(0)
    }

    /// Returns what the limiter refused since [`Self::begin`].
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.store.data().limiter.refused()
    }

    /// Hands on what was printed without a line feed, and begins counting output anew.
    #[inline]
    pub(crate) fn end_output(&self) {
        self.store.data().output().end_call();
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.herd.remove();
        self.store.data().tether().cut();
        self.end_output();
    }
}

/// Has another thread take over the tasks that wait for this one, which stays with a guest for longer than a tick.
fn hand_over_tasks() {
    // Elsewhere there is nobody to take over.
    if Handle::try_current().is_ok_and(|runtime| runtime.runtime_flavor() == RuntimeFlavor::MultiThread) {
        // A set of tasks that is bound to this thread cannot be handed over; tokio panics where it finds itself in one.
        let _ = catch_unwind(AssertUnwindSafe(|| {
            tokio::task::block_in_place(|| std::thread::sleep(HANDING_OVER));
        }));
    }
}
