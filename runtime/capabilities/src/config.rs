//! `wasi:config/store`: the component's own `[config]`, and nothing else.

use std::collections::BTreeMap;
use std::sync::Arc;

use engine::{Capability, InstanceSpec, StoreState};
use wasmtime::component::Linker;

/// Answers what the manifest's `[config]` says.
///
/// The interface has the same functions in every version in use, so all names are served by the same two functions.
pub struct ConfigCapability;

/// The configuration of one component.
struct ConfigCtx(Arc<BTreeMap<String, String>>);

/// The error case of the interface; reading a map in memory never leads to it.
type StoreError = crate::bindings::config::wasi::config::store::Error;

impl Capability for ConfigCapability {
    fn name(&self) -> &'static str {
        "config"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wasi:config/store", "wasi:config/store@0.2.0-draft", "wasi:config/store@0.2.0-rc.1"]
    }

    fn link(&self, interface: &str, linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
        let mut instance = linker.instance(interface)?;
        instance.func_wrap("get", |mut store, (key,): (String,)| {
            let (ctx, _) = wasmtime::StoreContextMut::data_mut(&mut store).part::<ConfigCtx>();
            let answer: Result<Option<String>, StoreError> = Ok(ctx.0.get(&key).cloned());
            Ok((answer,))
        })?;
        instance.func_wrap("get-all", |mut store, (): ()| {
            let (ctx, _) = wasmtime::StoreContextMut::data_mut(&mut store).part::<ConfigCtx>();
            let pairs = ctx.0.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
            let answer: Result<Vec<(String, String)>, StoreError> = Ok(pairs);
            Ok((answer,))
        })
    }

    fn may_wait(&self, _: &str) -> bool {
        false
    }

    fn prepare(&self, instance: &InstanceSpec, state: &mut StoreState) -> Result<(), String> {
        state.insert(ConfigCtx(Arc::clone(&instance.config)));
        Ok(())
    }
}
