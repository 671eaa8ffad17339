//! `wasi:cli`: standard streams, the environment variables that are granted, and the rest of a program's surroundings, which is
//! empty here.

use std::sync::Arc;

use domain::manifest::CONFIG_VALUE_BYTES_MAX;
use domain::{Grant, GrantSet};
use engine::{Capability, InstanceSpec, Stdio, StoreState};
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliCtxView};
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::stdio::CapturedStream;

/// Takes what guests print as lines; stdin is at its end, nothing is a terminal, there are no arguments and no variables but those
/// that are granted.
///
/// A guest that calls `exit` ends its instance, not the process.
pub struct CliCapability;

/// The command-line part of a WASI context; only the builder can set its streams.
struct CliCtx(WasiCtx);

fn view(state: &mut StoreState) -> WasiCliCtxView<'_> {
    let (ctx, table) = state.part::<CliCtx>();
    WasiCliCtxView { ctx: ctx.0.cli(), table }
}

impl Capability for CliCapability {
    fn name(&self) -> &'static str {
        "cli"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &[
            "wasi:cli/stdin@0.2.12",
            "wasi:cli/stdout@0.2.12",
            "wasi:cli/stderr@0.2.12",
            "wasi:cli/environment@0.2.12",
            "wasi:cli/exit@0.2.12",
            "wasi:cli/terminal-input@0.2.12",
            "wasi:cli/terminal-output@0.2.12",
            "wasi:cli/terminal-stdin@0.2.12",
            "wasi:cli/terminal-stdout@0.2.12",
            "wasi:cli/terminal-stderr@0.2.12",
        ]
    }

    fn link(&self, interface: &str, linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
        match interface {
            "wasi:cli/stdin@0.2.12" => stdin::add_to_linker::<_, WasiCli>(linker, view),
            "wasi:cli/stdout@0.2.12" => stdout::add_to_linker::<_, WasiCli>(linker, view),
            "wasi:cli/stderr@0.2.12" => stderr::add_to_linker::<_, WasiCli>(linker, view),
            "wasi:cli/environment@0.2.12" => environment::add_to_linker::<_, WasiCli>(linker, view),
            "wasi:cli/exit@0.2.12" => exit::add_to_linker::<_, WasiCli>(linker, view),
            "wasi:cli/terminal-input@0.2.12" => terminal_input::add_to_linker::<_, WasiCli>(linker, view),
            "wasi:cli/terminal-output@0.2.12" => terminal_output::add_to_linker::<_, WasiCli>(linker, view),
            "wasi:cli/terminal-stdin@0.2.12" => terminal_stdin::add_to_linker::<_, WasiCli>(linker, view),
            "wasi:cli/terminal-stdout@0.2.12" => terminal_stdout::add_to_linker::<_, WasiCli>(linker, view),
            _ => terminal_stderr::add_to_linker::<_, WasiCli>(linker, view),
        }
    }

    fn prepare(&self, instance: &InstanceSpec, state: &mut StoreState) -> Result<(), String> {
        let stream = |stdio| CapturedStream::new(Arc::clone(&instance.output), stdio);
        let mut builder = WasiCtxBuilder::new();
        builder.stdout(stream(Stdio::Out)).stderr(stream(Stdio::Err)).envs(&variables(&instance.grants));
        state.insert(CliCtx(builder.build()));
        Ok(())
    }
}

/// Returns the variables that are granted, with the values that they have now; one that the host has not, the guest has not either.
fn variables(grants: &GrantSet) -> Vec<(String, String)> {
    let value = |grant: &Grant| match grant {
        Grant::Env { name, value: Some(value) } => Some((name.clone(), value.clone())),
        // One that is longer than a grant could say, or no text, is as good as none.
        Grant::Env { name, value: None } => {
            let value = std::env::var(name).ok().filter(|value| value.len() <= CONFIG_VALUE_BYTES_MAX)?;
            Some((name.clone(), value))
        }
        Grant::Folder { .. } | Grant::Clocks => None,
    };
    grants.iter().filter_map(value).collect()
}
