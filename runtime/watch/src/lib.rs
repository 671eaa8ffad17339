//! Rebuilds components whose sources change, and has them put in service.
//!
//! [`watch`] looks after folders: it runs a component's own `[build]` command when one of its sources has other content than before,
//! and hands what came of it to a [`Service`], which registers and activates it. What happens is told as [`Event`]s. The crate knows
//! files, file events and build commands; what a registration is, and where the registry lives, is the service's:
//! [`RegistryService`] is the one for a registry in this process.
//!
//! Start reading at [`watch`](watch()), then `snapshot.rs`: what counts is content, never a time.

mod build;
mod changes;
mod component;
mod debounce;
mod error;
mod event;
mod output;
mod polling;
mod service;
mod snapshot;
mod sources;
mod watcher;

#[cfg(target_os = "linux")]
mod kernel;

pub use build::BuildFailure;
pub use error::WatchError;
pub use event::{Event, Watching};
pub use service::{Outcome, Problem, RegistryService, RevisionName, Service};
pub use watcher::{Options, Summary, watch};
