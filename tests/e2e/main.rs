//! Runs the binary `runtime` as people and scripts do, each test in a folder of its own.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has to fail"
)]

mod activation;
mod bad_arguments;
mod bad_components;
mod bad_folders;
mod bad_graphs;
mod beside;
#[cfg(unix)]
mod breaking_off;
mod callers;
mod calls;
mod changing;
#[cfg(target_os = "linux")]
mod compiling;
mod dependencies;
mod files;
mod fusing;
mod generated;
mod grants;
mod harness;
mod help;
mod hostile_texts;
mod instances;
mod journal;
mod list;
mod operations;
mod output;
mod processes;
mod quotas;
mod registering;
#[cfg(unix)]
mod restoring;
mod serving;
mod settings;
mod supervising;
mod swapping;
mod transfer;
mod upkeep;
#[cfg(unix)]
mod watching;
