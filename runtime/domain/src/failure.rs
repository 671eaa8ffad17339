//! Failures of components: what went wrong, where, and how far it had come.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::ErrorKind;
use crate::id::ComponentId;
use crate::time::Timestamp;

/// Most failures kept per component; older ones remain in the journal alone.
pub const FAILURES_MAX: usize = 100;

/// One recorded failure of one component.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The component that failed.
    pub component: ComponentId,
    /// Its revision.
    pub revision: u32,
    /// When.
    pub at: Timestamp,
    /// What was being done.
    pub phase: Phase,
    /// What sort of failure it is.
    pub kind: FailureKind,
    /// One sentence, escaped and bounded.
    pub message: String,
    /// The function that was called, if one was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub function: Option<String>,
    /// The guest's stack, innermost frame first, escaped and bounded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub backtrace: Vec<String>,
    /// Fuel that had been used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// The components through which the call came, outermost first, without this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers: Vec<ComponentId>,
    /// When it may go well, in milliseconds from then, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Whether the bound that was reached was not the component's own: a caller's, below it, or the time that other calls took.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub by_caller: bool,
}

impl Failure {
    /// Tells whether the failure counts against the component, so that too many of them put it in quarantine: one that it alone is to
    /// blame for, while it was being made, called, or asked how it is.
    pub fn counts(&self) -> bool {
        matches!(self.phase, Phase::Instantiate | Phase::Activate | Phase::Call | Phase::Health)
            && self.kind.is_own()
            && !self.by_caller
    }

    /// Tells whether an instance that served was discarded because of it.
    pub fn discards_instance(&self) -> bool {
        match self.phase {
            // An answer is not a trap: the instance lives on.
            Phase::Call | Phase::Health => self.kind.is_own() && self.kind != FailureKind::Err,
            Phase::Register
            | Phase::Plan
            | Phase::Compile
            | Phase::Link
            | Phase::Instantiate
            | Phase::Restore
            | Phase::Activate
            | Phase::Snapshot
            | Phase::Deactivate
            | Phase::Mark => false,
        }
    }
}

/// What was being done when a component failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Reading the binary and its manifest.
    Register,
    /// Planning: providers, ranges, cycles.
    Plan,
    /// Making native code.
    Compile,
    /// Matching imports with what is granted and provided.
    Link,
    /// Making an instance, core start functions included.
    Instantiate,
    /// `state.restore`.
    Restore,
    /// `lifecycle.activate`, or a hook around it.
    Activate,
    /// A call.
    Call,
    /// `state.snapshot`.
    Snapshot,
    /// `lifecycle.deactivate`.
    Deactivate,
    /// `health.check`.
    Health,
    /// Somebody marked the component.
    Mark,
}

impl Phase {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Plan => "plan",
            Self::Compile => "compile",
            Self::Link => "link",
            Self::Instantiate => "instantiate",
            Self::Restore => "restore",
            Self::Activate => "activate",
            Self::Call => "call",
            Self::Snapshot => "snapshot",
            Self::Deactivate => "deactivate",
            Self::Health => "health",
            Self::Mark => "mark",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What sort of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FailureKind {
    /// The guest trapped: unreachable, out-of-bounds access, division by zero, a panic.
    Trap,
    /// The guest used up its fuel.
    Fuel,
    /// The wall-clock deadline passed.
    Deadline,
    /// The guest trapped after it was refused memory or table elements.
    Memory,
    /// The guest's stack overflowed.
    Stack,
    /// The guest's program ended itself through `wasi:cli/exit`.
    Exit,
    /// A lifecycle export answered `err`.
    Err,
    /// A component that was called on its behalf failed or is not there.
    Dependency,
    /// An import is provided by nobody.
    MissingImport,
    /// Several entries could provide an import.
    AmbiguousImport,
    /// An import is served with another type.
    TypeMismatch,
    /// A capability is not granted.
    Denied,
    /// The bytes are not a component that the engine takes.
    InvalidBinary,
    /// A limit of the host was reached: instances, handles, size of a message.
    Limit,
    /// More was asked of the component at once than it may take on; later it may go well.
    Exhausted,
    /// A hook refused or failed.
    Hook,
    /// Somebody marked the component as failed.
    Marked,
    /// The host's own fault.
    Host,
}

impl FailureKind {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Fuel => "fuel",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::Stack => "stack",
            Self::Exit => "exit",
            Self::Err => "err",
            Self::Dependency => "dependency",
            Self::MissingImport => "missing-import",
            Self::AmbiguousImport => "ambiguous-import",
            Self::TypeMismatch => "type-mismatch",
            Self::Denied => "denied",
            Self::InvalidBinary => "invalid-binary",
            Self::Limit => "limit",
            Self::Exhausted => "exhausted",
            Self::Hook => "hook",
            Self::Marked => "marked",
            Self::Host => "host",
        }
    }

    /// Tells whether nobody but the component itself is to blame for such a failure.
    pub fn is_own(self) -> bool {
        match self {
            Self::Trap
            | Self::Fuel
            | Self::Deadline
            | Self::Memory
            | Self::Stack
            | Self::Exit
            | Self::Err
            | Self::Limit => true,
            Self::Dependency
            | Self::MissingImport
            | Self::AmbiguousImport
            | Self::TypeMismatch
            | Self::Denied
            | Self::InvalidBinary
            | Self::Exhausted
            | Self::Hook
            | Self::Marked
            | Self::Host => false,
        }
    }

    /// Tells whether it may go well the next time although nothing was changed in the registry.
    pub fn may_pass(self) -> bool {
        match self {
            Self::MissingImport
            | Self::AmbiguousImport
            | Self::TypeMismatch
            | Self::Denied
            | Self::InvalidBinary
            | Self::Marked => false,
            Self::Trap
            | Self::Fuel
            | Self::Deadline
            | Self::Memory
            | Self::Stack
            | Self::Exit
            | Self::Err
            | Self::Dependency
            | Self::Limit
            | Self::Exhausted
            | Self::Hook
            | Self::Host => true,
        }
    }

    /// Says whose turn it is when an operation ends in such a failure.
    pub fn error_kind(self) -> ErrorKind {
        match self {
            Self::Trap
            | Self::Fuel
            | Self::Deadline
            | Self::Memory
            | Self::Stack
            | Self::Exit
            | Self::Err
            | Self::Dependency
            | Self::Limit
            | Self::Hook
            | Self::Marked => ErrorKind::Guest,
            Self::MissingImport => ErrorKind::NotFound,
            Self::AmbiguousImport | Self::TypeMismatch => ErrorKind::Conflict,
            Self::Denied => ErrorKind::Denied,
            Self::Exhausted => ErrorKind::Exhausted,
            Self::InvalidBinary => ErrorKind::Invalid,
            Self::Host => ErrorKind::Internal,
        }
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A failure as the failure log keeps it: with the sequence number of its event and how often it was repeated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LoggedFailure {
    /// Sequence number of the journal record.
    pub seq: u64,
    /// The failure.
    #[serde(flatten)]
    pub failure: Failure,
    /// How many failures of the same sort this record stands for, at least 1.
    pub count: u64,
}
