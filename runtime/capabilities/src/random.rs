//! `wasi:random`: numbers that nobody can foresee, and some that are only quick.

use engine::{Capability, InstanceSpec, StoreState};
use wasmtime::component::Linker;
use wasmtime_wasi::p2::bindings::random::{insecure, insecure_seed, random};
use wasmtime_wasi::random::{WasiRandom, WasiRandomCtx};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

/// Gives guests random numbers, seeded anew for each instance.
pub struct RandomCapability;

/// The random part of a WASI context; only the builder can set its bound.
struct RandomCtx(WasiCtx);

fn view(state: &mut StoreState) -> &mut WasiRandomCtx {
    state.part::<RandomCtx>().0.0.random()
}

impl Capability for RandomCapability {
    fn name(&self) -> &'static str {
        "random"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wasi:random/random@0.2.12", "wasi:random/insecure@0.2.12", "wasi:random/insecure-seed@0.2.12"]
    }

    fn link(&self, interface: &str, linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
        match interface {
            "wasi:random/random@0.2.12" => random::add_to_linker::<_, WasiRandom>(linker, view),
            "wasi:random/insecure@0.2.12" => insecure::add_to_linker::<_, WasiRandom>(linker, view),
            _ => insecure_seed::add_to_linker::<_, WasiRandom>(linker, view),
        }
    }

    fn may_wait(&self, _: &str) -> bool {
        false
    }

    fn prepare(&self, instance: &InstanceSpec, state: &mut StoreState) -> Result<(), String> {
        state.insert(RandomCtx(WasiCtxBuilder::new().max_random_size(instance.limits.random_bytes).build()));
        Ok(())
    }
}
