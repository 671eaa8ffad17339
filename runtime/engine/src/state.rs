//! What each wasmtime store holds: the limiter, the call that is being served, and what capabilities keep.

use std::any::{Any, TypeId};
use std::sync::Arc;

use domain::call::Caller;
use domain::{ComponentId, Limits};
use wasmtime::component::ResourceTable;

use crate::epoch::Deadline;
use crate::limiter::{StoreLimiter, number};
use crate::output::Output;

/// The state of one store; a store is made for one instance of one component and never shared.
pub struct StoreState {
    component: ComponentId,
    limits: Limits,
    table: ResourceTable,
    parts: Vec<(TypeId, Box<dyn Any + Send>)>,
    output: Arc<Output>,
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
}

impl StoreState {
    pub(crate) fn new(component: ComponentId, limits: &Limits, output: Arc<Output>, call: ServedCall) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(number(limits.resources));
        let limiter = StoreLimiter::new(limits);
        Self { component, limits: *limits, table, parts: Vec::new(), output, limiter, call }
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
