//! `wasi:filesystem`: linked for every component, because every standard library imports it, but without any folder.

use engine::{Capability, InstanceSpec, StoreState};
use wasmtime::component::Linker;
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};

/// Shows guests no folder: without a preopened one there is no path to anything.
pub struct FilesystemCapability;

fn view(state: &mut StoreState) -> WasiFilesystemCtxView<'_> {
    let (ctx, table) = state.part::<WasiFilesystemCtx>();
    WasiFilesystemCtxView { ctx, table }
}

impl Capability for FilesystemCapability {
    fn name(&self) -> &'static str {
        "filesystem"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wasi:filesystem/types@0.2.12", "wasi:filesystem/preopens@0.2.12"]
    }

    fn link(&self, interface: &str, linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
        match interface {
            "wasi:filesystem/types@0.2.12" => types::add_to_linker::<_, WasiFilesystem>(linker, view),
            _ => preopens::add_to_linker::<_, WasiFilesystem>(linker, view),
        }
    }

    fn prepare(&self, _: &InstanceSpec, state: &mut StoreState) -> Result<(), String> {
        state.insert(WasiFilesystemCtx::default());
        Ok(())
    }
}
