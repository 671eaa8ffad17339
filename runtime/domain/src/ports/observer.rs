use std::time::{Duration, Instant};

use crate::failure::Failure;
use crate::id::ComponentId;

/// Hears from the engine what happens to guests. Implementations return quickly and never call back into the engine.
pub trait EngineObserver: Send + Sync {
    /// A component failed, also in a call that another component made.
    fn failed(&self, failure: Failure);

    /// Asks whether a call of a component's export may begin. Asked before every call, so it must cost next to nothing.
    ///
    /// # Errors
    /// [`UsedUp`](crate::quota::UsedUp) and whose quota that is, if the component or its namespace has used up a rate.
    fn admit(&self, component: &ComponentId) -> Result<(), Exhausted> {
        let _ = component;
        Ok(())
    }

    /// A call of a component's export ended. Said of every call that is not counted in [`GateUsage`], so it must cost next to nothing.
    fn called(&self, call: CallRecord<'_>);

    /// Tells whether [`Self::admit`] has to be asked before and [`Self::called`] said after every call, because something depends on
    /// it. Always so unless overridden. Asked once a call, so it must cost next to nothing.
    fn is_metered(&self) -> bool {
        true
    }
}

/// Quick calls of one component by another that went well, in instances that were there.
#[derive(Clone, Copy, Debug)]
pub struct GateUsage<'a> {
    /// The component that was called.
    pub component: &'a ComponentId,
    /// The component that called it.
    pub caller: &'a ComponentId,
    /// How often.
    pub calls: u64,
    /// Fuel that the called component itself used.
    pub fuel: u64,
    /// Wall-clock time of all of them together.
    pub duration: Duration,
    /// How many took how long, by [`quick_bucket`](crate::usage::quick_bucket).
    pub buckets: &'a [u64],
}

/// A call that may not begin now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exhausted {
    /// One sentence, the same for every call that is refused for this reason.
    pub reason: String,
    /// When it may.
    pub retry_after: Duration,
}

/// One finished call of one component's export.
#[derive(Clone, Copy, Debug)]
pub struct CallRecord<'a> {
    /// The component that was called.
    pub component: &'a ComponentId,
    /// The component that called it, `None` if a person or program did.
    pub caller: Option<&'a ComponentId>,
    /// When it ended.
    pub ended: Instant,
    /// Wall-clock time, dependencies included.
    pub duration: Duration,
    /// Fuel that the component itself used.
    pub fuel: u64,
    /// Whether it returned; a WIT `err` counts as returned.
    pub ok: bool,
    /// Whether a live instance was there (`true`) or had to be made; `None` if the call never got that far.
    pub instance_hit: Option<bool>,
}

/// Takes what guests print and log.
pub trait OutputSink: Send + Sync {
    /// Takes lines of one component, in order. Must not block on anything but a local file.
    fn write(&self, component: &ComponentId, lines: &[OutputLine]);
}

/// One line that a guest printed or logged, already escaped and bounded.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OutputLine {
    /// When the host received it.
    pub at: crate::time::Timestamp,
    /// Where it came from.
    #[serde(flatten)]
    pub stream: OutputStream,
    /// The text without line feed.
    pub text: String,
}

/// Where a guest's line came from.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "stream", rename_all = "kebab-case")]
pub enum OutputStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// `wasi:logging`.
    Log {
        /// `trace`, `debug`, `info`, `warn`, `error` or `critical`.
        level: String,
        /// The guest's context word, escaped and bounded; may be empty.
        context: String,
    },
}

/// The last output of each component, kept in the data folder. Calls block on the disk.
pub trait GuestOutput: OutputSink {
    /// Returns the lines still kept of `component`, oldest first.
    ///
    /// # Errors
    /// [`super::StorageError`] if the file cannot be read.
    fn read(&self, component: &ComponentId) -> Result<Vec<OutputLine>, super::StorageError>;

    /// Forgets what `component` printed.
    ///
    /// # Errors
    /// [`super::StorageError`] if the file cannot be removed.
    fn remove(&self, component: &ComponentId) -> Result<(), super::StorageError>;
}
