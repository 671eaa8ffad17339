//! Runs WebAssembly components: inspects, compiles, links, instantiates, calls and meters them with wasmtime.
//!
//! Implements [`domain::ports::Engine`] and [`domain::ports::Unit`]. It does not know the registry, the disk (native code
//! goes through [`domain::ports::CodeCache`]) or any capability: those plug in through [`Capability`]. Each instance has a
//! wasmtime store of its own; a call from one component to another passes a gate. Start reading at [`WasmtimeEngine`],
//! then `link`, `unit` and `gate`.

mod call;
mod capability;
mod clock;
mod code;
mod compile;
mod compose;
mod config;
mod engine;
mod epoch;
mod failure;
mod gate;
mod inspect;
mod layout;
mod ledger;
mod limiter;
mod lines;
mod link;
mod mapped;
mod names;
mod output;
mod resource;
mod settings;
mod state;
mod unit;
mod wit;

pub use capability::{Capability, InstanceSpec};
pub use compile::{CompileParts, CompileWith, OnWarning, SELF_TEST_WORD, WORKER_WORD, run_worker};
pub use config::config as wasmtime_config;
pub use engine::{EngineParts, StartError, WasmtimeEngine};
pub use epoch::{Deadline, TICK};
pub use output::{LINE_BYTES_MAX, Output, Stdio};
pub use settings::*;
pub use state::{ServedCall, StoreState};
