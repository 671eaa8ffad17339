//! `registry:host/environment`: facts about the call that is being served.

use engine::{Capability, InstanceSpec, StoreState};
use wasmtime::component::{HasData, Linker};

use crate::bindings::host::registry::host::environment;

/// Tells a guest who calls it, on whose behalf, and how much time is left.
pub struct EnvironmentCapability;

struct HasCall;

impl HasData for HasCall {
    type Data<'a> = CallView<'a>;
}

/// The call as the guest may see it.
struct CallView<'a>(&'a StoreState);

fn view(state: &mut StoreState) -> CallView<'_> {
    CallView(state)
}

impl environment::Host for CallView<'_> {
    fn call_id(&mut self) -> String {
        self.0.call().caller.call_id.to_string()
    }

    fn caller(&mut self) -> Option<String> {
        self.0.call().caller.chain.last().map(ToString::to_string)
    }

    fn principal(&mut self) -> Option<String> {
        self.0.call().caller.principal.as_deref().map(str::to_owned)
    }

    fn deadline_left_ns(&mut self) -> Option<u64> {
        Some(u64::try_from(self.0.call().deadline.left().as_nanos()).unwrap_or(u64::MAX))
    }

    fn context(&mut self, key: String) -> Option<String> {
        self.0.call().caller.context.get(&key).cloned()
    }

    fn context_entries(&mut self) -> Vec<(String, String)> {
        self.0.call().caller.context.iter().map(|(key, value)| (key.clone(), value.clone())).collect()
    }
}

impl Capability for EnvironmentCapability {
    fn name(&self) -> &'static str {
        "environment"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["registry:host/environment@0.1.0"]
    }

    fn link(&self, _: &str, linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
        environment::add_to_linker::<_, HasCall>(linker, view)
    }

    fn may_wait(&self, _: &str) -> bool {
        false
    }

    fn prepare(&self, _: &InstanceSpec, _: &mut StoreState) -> Result<(), String> {
        Ok(())
    }
}
