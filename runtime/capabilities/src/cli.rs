//! `wasi:cli`: standard streams, and the rest of a program's surroundings, which is empty here.

use std::sync::Arc;

use engine::{Capability, InstanceSpec, Stdio, StoreState};
use wasmtime::component::Linker;
use wasmtime_wasi::cli::{WasiCli, WasiCliCtxView};
use wasmtime_wasi::p2::bindings::cli::{
    environment, exit, stderr, stdin, stdout, terminal_input, terminal_output, terminal_stderr, terminal_stdin,
    terminal_stdout,
};
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::stdio::CapturedStream;

/// Takes what guests print as lines; stdin is at its end, nothing is a terminal, there are no variables and no arguments.
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
        let ctx = WasiCtxBuilder::new().stdout(stream(Stdio::Out)).stderr(stream(Stdio::Err)).build();
        state.insert(CliCtx(ctx));
        Ok(())
    }
}
