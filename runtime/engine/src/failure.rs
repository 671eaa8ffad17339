//! Turns what wasmtime reports into failures that people can act on.

use std::fmt::Write as _;
use std::time::Duration;

use domain::call::Caller;
use domain::failure::FailureKind;
use domain::text::{escape_line, truncate};
use domain::units::format_size;
use domain::{ComponentId, Failure, Limits, Phase};
use wasmtime::component::ResourceTableError;
use wasmtime::{FrameInfo, PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use crate::config::PLACES;
use crate::engine::Shared;
use crate::limiter::Refusal;
use crate::lines::{SourceLines, Spot, Table};
use crate::names::readable;
use crate::settings::BACKTRACE_FRAMES_MAX;

/// Longest line of a backtrace, in bytes.
const FRAME_TEXT_MAX: usize = 300;

/// Longest message of a trap, in bytes.
const MESSAGE_MAX: usize = 4_000;

/// The reasons for which the host itself interrupts a guest.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Interrupt {
    /// The wall-clock deadline passed.
    #[error("the deadline passed")]
    Deadline,
    /// Another revision is in service, and the time is up that the calls of this one had.
    #[error(
        "another revision came into service, and the time that running calls had until then is up (`instances.drain`)"
    )]
    Replaced,
    /// A component that was called failed.
    #[error("dependency {id} failed: {message}")]
    Dependency {
        /// The component that was called.
        id: ComponentId,
        /// Why it failed.
        message: String,
    },
    /// The component that was to be called is in quarantine.
    #[error("dependency {id} is {reason}")]
    Barred {
        /// The component.
        id: ComponentId,
        /// Why, and until when.
        reason: String,
    },
    /// A component that was called failed because of one that it called.
    #[error("{message}")]
    Further {
        /// Which one failed, and why.
        message: String,
    },
    /// There is nobody to call.
    #[error("dependency {id} is not active")]
    Absent {
        /// The component that was to be called.
        id: ComponentId,
    },
    /// The call would enter a component that is already waiting for it.
    #[error("a call may not come back to a component that waits for it: {}", chain(.path))]
    Reentrance {
        /// The components from the outermost to the one that was to be entered again.
        path: Vec<ComponentId>,
    },
    /// A handle belongs to an instance that is no more.
    #[error("the instance of {id} that this handle belongs to is gone")]
    Gone {
        /// The component that made it.
        id: ComponentId,
    },
    /// Two handles of one component belong to two of its instances.
    #[error("the handles belong to different instances of {id}, and no call reaches both")]
    Apart {
        /// The component that made them.
        id: ComponentId,
    },
    /// The guest holds as many handles of other components as it may.
    #[error("the guest holds {most} handles of other components, the most allowed (`limits.handles`)")]
    Handles {
        /// How many that are.
        most: usize,
    },
    /// A handle that the host does not know.
    #[error("a handle was passed on that nobody knows")]
    UnknownHandle,
    /// The component that was to be called does not let this one call.
    #[error("{message}")]
    Refused {
        /// Who, whom and which rule.
        message: String,
    },
    /// A capability cannot be given to an instance, although it is granted.
    #[error("{reason}")]
    Unprepared {
        /// Why.
        reason: String,
    },
    /// A function of `registry:component` has another type than it should.
    #[error("the function has another type than in `registry:component`: {reason}")]
    WrongType {
        /// What wasmtime says of the difference.
        reason: String,
    },
    /// The call has gone through too many components.
    #[error("the call came through {most} components, more are not allowed (`limits.call_depth`)")]
    Depth {
        /// How many are.
        most: u64,
    },
}

fn chain(path: &[ComponentId]) -> String {
    path.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(" → ")
}

/// What a component was allowed, as far as messages speak of it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Allowed {
    /// For this call, never above the component's.
    pub(crate) fuel: u64,
    /// For this call, never above the component's.
    pub(crate) time: Duration,
    pub(crate) limits: Limits,
    pub(crate) refused: Option<Refusal>,
}

/// Where in a component's life something went wrong.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) component: &'a ComponentId,
    pub(crate) revision: u32,
    pub(crate) caller: &'a Caller,
    /// Where its code comes from, once there is code.
    pub(crate) lines: Option<&'a SourceLines>,
}

impl Scene<'_> {
    /// Makes a failure with a message of the host's own; text of the guest in it must be bounded by the caller.
    pub(crate) fn failure(&self, phase: Phase, kind: FailureKind, message: &str) -> Failure {
        Failure {
            component: self.component.clone(),
            revision: self.revision,
            at: self.shared.clock.now(),
            phase,
            kind,
            message: escape_line(&truncate(message, domain::text::GUEST_TEXT_MAX)).into_owned(),
            function: None,
            backtrace: Vec::new(),
            fuel: None,
            callers: self.caller.chain.clone(),
            retry_after_ms: None,
            by_caller: false,
        }
    }

    /// Makes a failure of what wasmtime returned.
    pub(crate) fn trap(&self, phase: Phase, error: &wasmtime::Error, allowed: &Allowed, fuel: Option<u64>) -> Failure {
        let (kind, message) = classify(error, allowed);
        let backtrace = backtrace(error, || self.lines?.table(&*self.shared.code, &self.shared.lines_room));
        Failure { backtrace, fuel, ..self.failure(phase, kind, &message) }
    }
}

/// Finds out what sort of failure an error is, and says it in one sentence.
fn classify(error: &wasmtime::Error, allowed: &Allowed) -> (FailureKind, String) {
    if let Some(interrupt) = error.downcast_ref::<Interrupt>() {
        return interrupted(interrupt, allowed);
    }
    if let Some(exit) = error.downcast_ref::<I32Exit>() {
        return (FailureKind::Exit, format!("the guest ended its own program with status {}", exit.0));
    }
    if let Some(ResourceTableError::Full) = error.downcast_ref() {
        return (
            FailureKind::Limit,
            format!(
                "the guest holds {} resources of the host, the most allowed (`limits.resources`)",
                allowed.limits.resources
            ),
        );
    }
    let text = truncate(&error.root_cause().to_string(), MESSAGE_MAX).into_owned();
    match error.downcast_ref::<Trap>() {
        Some(Trap::OutOfFuel) => (FailureKind::Fuel, format!("the guest used up its fuel of {}", allowed.fuel)),
        Some(Trap::StackOverflow) => (FailureKind::Stack, "the guest's stack overflowed".to_owned()),
        Some(Trap::Interrupt) => (FailureKind::Deadline, too_slow(allowed)),
        Some(_) => {
            let text = text.strip_prefix("wasm trap: ").unwrap_or(&text);
            after_refusal(allowed, &format!("the guest trapped: {text}"))
        }
        None if text.contains("store handle limit exceeded") => (
            FailureKind::Limit,
            format!("the guest holds {} handles, the most allowed (`limits.handles`)", allowed.limits.handles),
        ),
        None if text.contains("allocated for hostcalls has been exhausted") => {
            let most = format_size(allowed.limits.hostcall_bytes);
            (FailureKind::Limit, format!("the guest handed over more than {most} in one call (`limits.hostcall`)"))
        }
        None if error.is::<PoolConcurrencyLimitError>() => (
            FailureKind::Exhausted,
            format!("{PLACES} instances that serve one call each exist already in this process"),
        ),
        None if text.contains("resource limit exceeded") => {
            (FailureKind::Limit, format!("{text} (`limits.core_instances`, `limits.tables`, `limits.memories`)"))
        }
        None if text.starts_with("requested len ") && text.contains(" exceeds limit ") => {
            (FailureKind::Limit, format!("the guest wanted too many random bytes at once: {text} (`limits.random`)"))
        }
        None => after_refusal(allowed, &format!("the guest was stopped: {text}")),
    }
}

fn interrupted(interrupt: &Interrupt, allowed: &Allowed) -> (FailureKind, String) {
    match interrupt {
        Interrupt::Deadline => (FailureKind::Deadline, too_slow(allowed)),
        Interrupt::Replaced => (FailureKind::Deadline, interrupt.to_string()),
        Interrupt::Dependency { .. }
        | Interrupt::Further { .. }
        | Interrupt::Absent { .. }
        | Interrupt::Barred { .. }
        | Interrupt::Gone { .. }
        | Interrupt::Apart { .. }
        | Interrupt::Reentrance { .. } => (FailureKind::Dependency, interrupt.to_string()),
        Interrupt::Refused { .. } | Interrupt::Unprepared { .. } => (FailureKind::Denied, interrupt.to_string()),
        Interrupt::WrongType { .. } => (FailureKind::TypeMismatch, interrupt.to_string()),
        Interrupt::UnknownHandle => (FailureKind::Host, interrupt.to_string()),
        Interrupt::Depth { .. } | Interrupt::Handles { .. } => (FailureKind::Limit, interrupt.to_string()),
    }
}

fn too_slow(allowed: &Allowed) -> String {
    format!("the guest was not done after {} ms, its deadline", millis(allowed.time))
}

/// Returns a duration in whole milliseconds, rounded up.
pub(crate) fn millis(time: Duration) -> u128 {
    time.as_micros().div_ceil(1_000)
}

/// A guest that is refused memory usually aborts at once: then the refusal is what to tell.
fn after_refusal(allowed: &Allowed, otherwise: &str) -> (FailureKind, String) {
    match allowed.refused {
        Some(Refusal::Memory(wanted)) => (
            FailureKind::Memory,
            format!(
                "the guest asked for {wanted} bytes of memory, {} are allowed ({otherwise})",
                allowed.limits.memory_bytes
            ),
        ),
        Some(Refusal::Elements(wanted)) => (
            FailureKind::Memory,
            format!(
                "the guest asked for {wanted} table elements, {} are allowed ({otherwise})",
                allowed.limits.table_elements
            ),
        ),
        None => (FailureKind::Trap, otherwise.to_owned()),
    }
}

/// Returns the guest's stack, innermost frame first: `module!function at file:line:column`. A function that was inlined has a frame of its
/// own, where the binary's debug information says so.
fn backtrace<'a>(error: &wasmtime::Error, lines: impl FnOnce() -> Option<&'a Table>) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    // Read for those failures alone that have frames.
    let lines = lines();
    let mut frames = Vec::with_capacity(trace.frames().len());
    for frame in trace.frames() {
        let module = frame.module().name().unwrap_or("<unknown>");
        let own = frame.func_name().map_or_else(|| format!("<wasm function {}>", frame.func_index()).into(), readable);
        let spots = lines.zip(place(frame)).map_or_else(Vec::new, |(lines, (start, offset))| lines.find(start, offset));
        if spots.is_empty() {
            frames.push(bounded(&format!("{module}!{own}")));
        }
        for spot in spots {
            let mut said = bounded(&format!("{module}!{}", spot.inlined.unwrap_or(&own)));
            if let Some(at) = at(&spot) {
                said.push_str(" at ");
                said.push_str(&at);
            }
            frames.push(said);
        }
    }
    frames.truncate(BACKTRACE_FRAMES_MAX);
    frames
}

/// Returns where a frame's function begins and where it was, in the component's bytes.
fn place(frame: &FrameInfo) -> Option<(u32, u32)> {
    let offset = frame.module_offset()?;
    let start = offset.checked_sub(frame.func_offset()?)?;
    Some((u32::try_from(start).ok()?, u32::try_from(offset).ok()?))
}

/// Returns `file:line:column`, as far as they are known.
fn at(spot: &Spot<'_>) -> Option<String> {
    let mut at = bounded(spot.file?);
    for number in [spot.line, spot.column].into_iter().take_while(|number| *number > 0) {
        // Writing to a text cannot fail.
        let _ = write!(at, ":{number}");
    }
    Some(at)
}

fn bounded(text: &str) -> String {
    escape_line(&truncate(text, FRAME_TEXT_MAX)).into_owned()
}
