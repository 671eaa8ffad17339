//! What a worker is asked, and what it answers, as JSON inside frames.

use serde::{Deserialize, Serialize};

/// Both sides must have the same; raised whenever a frame or a field changes its meaning.
pub(super) const PROTOCOL: u32 = 2;

/// A compilation to be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Job {
    /// [`PROTOCOL`].
    pub(super) protocol: u32,
    /// The host's key of compiled code: a worker that would make other code must not.
    pub(super) engine: String,
    /// Whether memories may have 64-bit addresses.
    pub(super) memory64: bool,
    /// How many bytes of wasm follow.
    pub(super) size: u64,
    /// How many threads compile.
    pub(super) threads: usize,
    /// Memory beyond what the worker has when it begins, in bytes.
    pub(super) memory_bytes: u64,
    /// Processor time, in seconds.
    pub(super) cpu_s: u64,
}

/// The worker is confined and begins.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ready {
    /// What protection this machine does not offer, each a fragment for people.
    pub(super) missing: Vec<String>,
}

/// All code was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Done {
    /// How many bytes it is.
    pub(super) bytes: u64,
    /// Whether source lines may follow. Then they end with the worker; without them the code is worth no less.
    #[serde(default)]
    pub(super) lines: bool,
}

/// There is no code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Failed {
    /// Whose fault it is.
    pub(super) fault: Fault,
    /// What is wrong, a fragment for people.
    pub(super) reason: String,
}

/// Whose fault it is that there is no code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Fault {
    /// The component's: the compiler refuses it.
    Component,
    /// The memory was too little.
    Memory,
    /// The compiler's: it panicked.
    Compiler,
    /// The worker's: it is another version, or cannot begin.
    Worker,
}
