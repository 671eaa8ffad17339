//! What guests may ask of the host, one file per capability.
//!
//! Each capability is an [`engine::Capability`]: it links its interfaces, checks what is granted, and prepares what it keeps
//! for each instance. Generated bindings are in `bindings`, one module per WIT package and version. Which interfaces are
//! served under which condition is the table in [`domain::capability`]; a test compares the two. To add a capability, write
//! its file and add it to [`default_set`].

mod bindings;
mod cli;
mod clocks;
mod config;
mod environment;
mod filesystem;
mod io;
mod logging;
mod random;
mod stdio;

use std::sync::Arc;

use engine::Capability;

pub use cli::CliCapability;
pub use clocks::{COARSE_TICK, ClocksCapability};
pub use config::ConfigCapability;
pub use environment::EnvironmentCapability;
pub use filesystem::FilesystemCapability;
pub use io::IoCapability;
pub use logging::LoggingCapability;
pub use random::RandomCapability;

/// Returns every capability that the host has: those that all components may use, and those that are empty without a
/// grant.
pub fn default_set() -> Vec<Arc<dyn Capability>> {
    vec![
        Arc::new(IoCapability),
        Arc::new(ClocksCapability),
        Arc::new(RandomCapability),
        Arc::new(CliCapability),
        Arc::new(FilesystemCapability),
        Arc::new(LoggingCapability),
        Arc::new(ConfigCapability),
        Arc::new(EnvironmentCapability),
    ]
}
