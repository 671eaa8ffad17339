//! `wasi:logging`: log messages, under both names that components use.

use engine::{Capability, InstanceSpec, StoreState};
use wasmtime::component::{HasData, Linker};

use crate::bindings::{logging, logging_draft};

/// Takes log messages as lines of the component's output.
pub struct LoggingCapability;

struct HasLogging;

impl HasData for HasLogging {
    type Data<'a> = LoggingView<'a>;
}

/// What a log call needs to see of the store.
struct LoggingView<'a>(&'a StoreState);

fn view(state: &mut StoreState) -> LoggingView<'_> {
    LoggingView(state)
}

/// The two names are two packages to the bindings, with the same function and types of their own.
macro_rules! host {
    ($bindings:ident) => {
        impl $bindings::wasi::logging::logging::Host for LoggingView<'_> {
            fn log(&mut self, level: $bindings::wasi::logging::logging::Level, context: String, message: String) {
                use $bindings::wasi::logging::logging::Level;
                let level = match level {
                    Level::Trace => "trace",
                    Level::Debug => "debug",
                    Level::Info => "info",
                    Level::Warn => "warn",
                    Level::Error => "error",
                    Level::Critical => "critical",
                };
                self.0.output().log(level, &context, &message);
            }
        }
    };
}

host!(logging);
host!(logging_draft);

impl Capability for LoggingCapability {
    fn name(&self) -> &'static str {
        "logging"
    }

    fn interfaces(&self) -> &'static [&'static str] {
        &["wasi:logging/logging", "wasi:logging/logging@0.1.0-draft"]
    }

    fn link(&self, interface: &str, linker: &mut Linker<StoreState>) -> wasmtime::Result<()> {
        match interface {
            "wasi:logging/logging" => logging::wasi::logging::logging::add_to_linker::<_, HasLogging>(linker, view),
            _ => logging_draft::wasi::logging::logging::add_to_linker::<_, HasLogging>(linker, view),
        }
    }

    fn may_wait(&self, _: &str) -> bool {
        false
    }

    fn prepare(&self, _: &InstanceSpec, _: &mut StoreState) -> Result<(), String> {
        Ok(())
    }
}
