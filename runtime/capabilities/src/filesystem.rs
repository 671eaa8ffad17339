//! `wasi:filesystem`: linked for every component, because every standard library imports it, but with no folders other than those
//! that are granted.

use std::path::Path;

use domain::manifest::FolderMode;
use domain::{Grant, GrantSet};
use engine::{Capability, InstanceSpec, StoreState};
use wasmtime::component::Linker;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi::filesystem::{FsPerms, WasiFilesystem, WasiFilesystemCtx, WasiFilesystemCtxView};
use wasmtime_wasi::p2::bindings::filesystem::{preopens, types};

/// Shows guests the folders that are granted, and no other: without a preopened one there is no path to anything.
///
/// Each is opened once per instance, so that a guest that has it keeps it, and every path is looked up beneath it: neither `..` nor a
/// symbolic link leads out. What a guest does in it runs on threads that may block, and ends for the guest at the call's deadline.
pub struct FilesystemCapability;

fn view(state: &mut StoreState) -> WasiFilesystemCtxView<'_> {
    let (ctx, table) = state.part::<WasiFilesystemCtx>();
    WasiFilesystemCtxView { ctx, table }
}

/// Returns the folders that are granted: the host's path, the guest's, what it may do there.
fn folders(grants: &GrantSet) -> impl Iterator<Item = (&str, &str, FolderMode)> {
    grants.iter().filter_map(|grant| match grant {
        Grant::Folder { path, at, mode } => Some((path.as_str(), at.as_str(), *mode)),
        Grant::Env { .. } | Grant::Clocks => None,
    })
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

    fn check(&self, grants: &GrantSet) -> Result<(), String> {
        for (path, at, _) in folders(grants) {
            // A relative one would mean another folder in each process.
            if !Path::new(path).is_absolute() {
                return Err(format!("the folder `{path}` has no absolute path"));
            }
            domain::grant::place(at).map_err(|reason| format!("the place `{at}` {reason}"))?;
        }
        Ok(())
    }

    fn may_block(&self, grants: &GrantSet) -> bool {
        folders(grants).next().is_some()
    }

    fn prepare(&self, instance: &InstanceSpec, state: &mut StoreState) -> Result<(), String> {
        let mut builder = WasiCtxBuilder::new();
        for (path, at, mode) in folders(&instance.grants) {
            let gone = |reason: &dyn std::fmt::Display| {
                format!("the folder `{path}`, which is granted at `{at}`, cannot be opened: {reason}")
            };
            // What is there now may be a link to elsewhere, which nobody granted.
            let found = std::fs::canonicalize(path).map_err(|error| gone(&error))?;
            if found != Path::new(path) {
                return Err(gone(&format_args!("it leads to `{}` now", found.display())));
            }
            let perms = match mode {
                FolderMode::Ro => FsPerms::ReadOnly,
                FolderMode::Rw => FsPerms::ReadWrite,
            };
            builder.preopened_dir(path, at, perms).map_err(|error| gone(&error))?;
        }
        state.insert(builder.build().filesystem().clone());
        Ok(())
    }
}
