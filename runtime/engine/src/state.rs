//! What each wasmtime store holds: the limiter, the call that is being served, and what capabilities keep.

use std::any::{Any, TypeId};
use std::sync::Arc;
use std::time::Duration;

use domain::call::Caller;
use domain::{ComponentId, Limits};
use wasmtime::component::ResourceTable;

use crate::epoch::Deadline;
use crate::gate::Edges;
use crate::limiter::{StoreLimiter, number};
use crate::output::Output;
use crate::resource::{Handles, Tether};

/// The state of one store; a store is made for one instance of one component and never shared.
pub struct StoreState {
    component: ComponentId,
    limits: Limits,
    table: ResourceTable,
    parts: Vec<(TypeId, Box<dyn Any + Send>)>,
    output: Arc<Output>,
    /// What those are told who are called on behalf of the call that is served; made when the first is.
    onward: Option<Arc<Caller>>,
    /// How many callers were served.
    callers: u64,
    /// What gates keep for this instance, by their numbers.
    pub(crate) edges: Edges,
    /// What it holds of other components' resources.
    pub(crate) handles: Handles,
    /// What ties handles of its own resources to it.
    tether: Arc<Tether>,
    /// Whether the guest runs on the stack of whoever called it: then it cannot give way to others.
    pub(crate) on_callers_stack: bool,
    pub(crate) limiter: StoreLimiter,
    pub(crate) call: ServedCall,
}

/// The call that an instance is serving.
#[derive(Clone, Debug)]
pub struct ServedCall {
    /// Who calls; its chain does not hold the component itself.
    pub caller: Arc<Caller>,
    /// When the call is interrupted.
    pub deadline: Deadline,
    /// How long that was when the call began.
    pub time: Duration,
}

impl StoreState {
    pub(crate) fn new(component: ComponentId, limits: &Limits, output: Arc<Output>, call: ServedCall) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(number(limits.resources));
        let limiter = StoreLimiter::new(limits);
        let (parts, edges) = (Vec::new(), Edges::default());
        Self {
            component,
            limits: *limits,
            table,
            parts,
            output,
            limiter,
            call,
            onward: None,
            callers: 0,
            edges,
            handles: Handles::default(),
            tether: Tether::new(),
            on_callers_stack: false,
        }
    }

    /// Sets what the coming call may use, and for whom it is.
    #[inline]
    pub(crate) fn begin(&mut self, caller: &Arc<Caller>, deadline: Deadline, time: Duration, on_callers_stack: bool) {
        self.limiter.begin_call();
        // One who calls again and again is the same each time, and so are those called on its behalf.
        if !Arc::ptr_eq(&self.call.caller, caller) {
            self.call.caller = Arc::clone(caller);
            self.onward = None;
            self.callers += 1;
        }
        self.call.deadline = deadline;
        self.call.time = time;
        self.on_callers_stack = on_callers_stack;
    }

    /// Returns what those are told who are called on behalf of the call that is served.
    /// Its number is another for each caller of the instance.
    #[inline]
    pub(crate) fn onward(&mut self) -> (&Arc<Caller>, u64) {
        let onward = self.onward.get_or_insert_with(|| {
            let mut caller = Caller::clone(&self.call.caller);
            caller.chain.push(self.component.clone());
            Arc::new(caller)
        });
        (onward, self.callers)
    }

    /// Returns what [`Self::onward`] has made for the call that is served.
    #[inline]
    pub(crate) fn made_onward(&self) -> Option<&Arc<Caller>> {
        self.onward.as_ref()
    }

    /// Returns what ties handles of the instance's own resources to it.
    pub(crate) fn tether(&self) -> &Arc<Tether> {
        &self.tether
    }

    /// Returns the component whose instance this is.
    pub fn component(&self) -> &ComponentId {
        &self.component
    }

    /// Returns the limits in force for the instance.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Returns the call that is being served.
    pub fn call(&self) -> &ServedCall {
        &self.call
    }

    /// Returns what takes the instance's output.
    pub fn output(&self) -> &Arc<Output> {
        &self.output
    }

    /// Returns the table of the host's resources, shared by all capabilities.
    pub fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
    }

    /// Keeps `part`, in place of an earlier one of the same type.
    pub fn insert<T: Any + Send>(&mut self, part: T) {
        let id = TypeId::of::<T>();
        self.parts.retain(|(known, _)| *known != id);
        self.parts.push((id, Box::new(part)));
    }

    /// Returns what a capability keeps, together with the resource table.
    ///
    /// # Panics
    /// If the capability did not put a `T` there in [`Capability::prepare`](crate::Capability::prepare).
    pub fn part<T: Any + Send>(&mut self) -> (&mut T, &mut ResourceTable) {
        let id = TypeId::of::<T>();
        let part = self
            .parts
            .iter_mut()
            .find(|(known, _)| *known == id)
            .and_then(|(_, part)| part.downcast_mut())
            .expect("a linked capability was prepared for this store");
        (part, &mut self.table)
    }
}
