//! How a capability plugs into the engine, without the engine knowing any.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{ComponentId, GrantSet, Limits};
use wasmtime::component::Linker;

use crate::output::Output;
use crate::state::StoreState;

/// Something that guests may ask of the host: one or more interfaces and what stands behind them.
///
/// It has three moments: [`link`](Self::link) when a component is made ready, [`check`](Self::check) of what is granted
/// without running anything, and [`prepare`](Self::prepare) for each instance.
pub trait Capability: Send + Sync {
    /// Returns the capability's name for messages, for instance `clocks`.
    fn name(&self) -> &'static str;

    /// Returns the interfaces it serves, each under the newest version it knows: `wasi:clocks/wall-clock@0.2.12`. Any
    /// import on the same semver track is served by it.
    fn interfaces(&self) -> &'static [&'static str];

    /// Defines the functions of `interface`, one of [`Self::interfaces`], in `linker`.
    ///
    /// # Errors
    /// Those of wasmtime's linker: the interface is defined already.
    fn link(&self, interface: &str, linker: &mut Linker<StoreState>) -> wasmtime::Result<()>;

    /// Checks what is granted to a component, without running it. Accepts everything unless overridden.
    ///
    /// # Errors
    /// One sentence that says what cannot be granted and why.
    fn check(&self, grants: &GrantSet) -> Result<(), String> {
        let _ = grants;
        Ok(())
    }

    /// Tells whether [`prepare`](Self::prepare) may wait for a disk, given these grants: it then runs on a thread that may block,
    /// under the deadline of whoever waits. Never unless overridden.
    fn may_block(&self, grants: &GrantSet) -> bool {
        let _ = grants;
        false
    }

    /// Tells whether a function of `interface`, one of [`Self::interfaces`], may have to wait, and so is defined as an asynchronous one.
    /// Components whose imports never wait are called faster by others. True unless overridden.
    fn may_wait(&self, interface: &str) -> bool {
        let _ = interface;
        true
    }

    /// Puts what the capability keeps per instance into `state`, by [`StoreState::insert`]. Only called for instances of components
    /// that import one of its interfaces.
    ///
    /// # Errors
    /// One sentence that says why the instance cannot have it, for instance that a granted folder is gone.
    fn prepare(&self, instance: &InstanceSpec, state: &mut StoreState) -> Result<(), String>;
}

/// What a capability may know of the instance it is prepared for.
#[derive(Clone)]
pub struct InstanceSpec {
    /// The component.
    pub component: ComponentId,
    /// What is granted beyond the default set.
    pub grants: Arc<GrantSet>,
    /// What `wasi:config/store` answers.
    pub config: Arc<BTreeMap<String, String>>,
    /// The limits in force.
    pub limits: Limits,
    /// Takes what the instance prints and logs.
    pub output: Arc<Output>,
}
