//! `wasi:clocks`: the time of day and a clock that only goes forward.

use engine::{Capability, InstanceSpec, StoreState};
use wasmtime::component::Linker;
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksCtx, WasiClocksCtxView};
use wasmtime_wasi::p2::bindings::clocks::{monotonic_clock, wall_clock};

/// Tells guests the time; the monotonic clock begins at zero with each instance.
pub struct ClocksCapability;

fn view(state: &mut StoreState) -> WasiClocksCtxView<'_> {
    let (ctx, table) = state.part::<WasiClocksCtx>();
    WasiClocksCtxView { ctx, table }
}

impl Capability for ClocksCapability {
    fn name(&self) -> &'static str {
        "clocks"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wasi:clocks/monotonic-clock@0.2.12", "wasi:clocks/wall-clock@0.2.12"]
    }

    fn link(&self, interface: &str, linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
        match interface {
            "wasi:clocks/monotonic-clock@0.2.12" => monotonic_clock::add_to_linker::<_, WasiClocks>(linker, view),
            _ => wall_clock::add_to_linker::<_, WasiClocks>(linker, view),
        }
    }

    fn prepare(&self, _: &InstanceSpec, state: &mut StoreState) -> Result<(), String> {
        state.insert(WasiClocksCtx::default());
        Ok(())
    }
}
