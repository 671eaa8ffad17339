//! `wasi:io`: errors, pollables and streams, the types that other WASI interfaces speak in.

use engine::{Capability, InstanceSpec, StoreState};
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi_io::bindings::wasi::io::{error, poll, streams};

/// Streams and waiting; everything of it lives in the store's resource table.
pub struct IoCapability;

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

impl Capability for IoCapability {
    fn name(&self) -> &'static str {
        "io"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wasi:io/error@0.2.12", "wasi:io/poll@0.2.12", "wasi:io/streams@0.2.12"]
    }

    fn link(&self, interface: &str, linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
        match interface {
            "wasi:io/error@0.2.12" => error::add_to_linker::<_, HasTable>(linker, StoreState::table),
            "wasi:io/poll@0.2.12" => poll::add_to_linker::<_, HasTable>(linker, StoreState::table),
            _ => streams::add_to_linker::<_, HasTable>(linker, StoreState::table),
        }
    }

    fn prepare(&self, _: &InstanceSpec, _: &mut StoreState) -> Result<(), String> {
        Ok(())
    }
}
