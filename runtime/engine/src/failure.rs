//! Turns what wasmtime reports into failures that people can act on.

use std::borrow::Cow;
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
        Failure { backtrace: backtrace(error), fuel, ..self.failure(phase, kind, &message) }
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

/// Returns the guest's stack, innermost frame first: `module!function at file:line`.
fn backtrace(error: &wasmtime::Error) -> Vec<String> {
    let Some(trace) = error.downcast_ref::<WasmBacktrace>() else { return Vec::new() };
    if trace.frames().iter().any(has_line_feed) {
        return trace.frames().iter().take(BACKTRACE_FRAMES_MAX).map(raw_name).collect();
    }
    let mut frames: Vec<String> = Vec::new();
    for line in trace.to_string().lines().skip(1) {
        let line = line.trim();
        match (line.strip_prefix("at "), frames.last_mut()) {
            (Some(place), Some(frame)) => {
                frame.push_str(" at ");
                frame.push_str(&bounded(place));
            }
            _ => frames.push(bounded(&without_hash(without_address(line)))),
        }
    }
    frames.truncate(BACKTRACE_FRAMES_MAX);
    frames
}

/// Tells whether a name of the guest's would make lines of its own in the printed backtrace.
fn has_line_feed(frame: &FrameInfo) -> bool {
    let own = [frame.module().name(), frame.func_name()];
    let symbols = frame.symbols().iter().flat_map(|symbol| [symbol.name(), symbol.file()]);
    own.into_iter().chain(symbols).flatten().any(|name| name.contains(['\n', '\r']))
}

/// Returns the names of a frame as they stand in the binary.
fn raw_name(frame: &FrameInfo) -> String {
    let index = || format!("<wasm function {}>", frame.func_index());
    let function = frame.func_name().map_or_else(index, str::to_owned);
    bounded(&format!("{}!{function}", frame.module().name().unwrap_or("<unknown>")))
}

/// Takes the hashes out of a Rust function's name, `::h0123456789abcdef` at its end and `[0123abcd]` behind the names of
/// crates: they differ with each build and tell people nothing.
fn without_hash(name: &str) -> Cow<'_, str> {
    let is_hash = |hash: &str| hash.len() == 16 && hash.bytes().all(|b| b.is_ascii_hexdigit());
    let name = name.rsplit_once("::h").filter(|(_, hash)| is_hash(hash)).map_or(name, |(name, _)| name);
    if !name.contains("]::") {
        return Cow::Borrowed(name);
    }
    let mut kept = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('[') {
        kept.push_str(before);
        let behind_a_name = before.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        match after.split_once(']') {
            Some((hash, path)) if behind_a_name && path.starts_with("::") && is_crate_hash(hash) => rest = path,
            _ => {
                kept.push('[');
                rest = after;
            }
        }
    }
    kept.push_str(rest);
    Cow::Owned(kept)
}

/// Tells whether a text can be the number by which the compiler tells crates of the same name apart.
fn is_crate_hash(text: &str) -> bool {
    (1..=16).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'a'..=b'f'))
}

/// Takes `3:   0x1f - ` off the beginning of a frame's line.
fn without_address(line: &str) -> &str {
    let line = line.split_once(": ").filter(|(n, _)| n.parse::<u32>().is_ok()).map_or(line, |(_, rest)| rest).trim();
    match line.split_once(" - ") {
        Some((address, rest)) if address.starts_with("0x") => rest,
        _ => line.strip_prefix("- ").unwrap_or(line),
    }
}

fn bounded(text: &str) -> String {
    escape_line(&truncate(text, FRAME_TEXT_MAX)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_backtrace_have_neither_address_nor_hash() {
        let name = |line| without_hash(without_address(line));
        assert_eq!(name("3:   0x1f - a.wasm!a::step::hdd88fc334ac95d0f"), "a.wasm!a::step");
        assert_eq!(name("12:   0x1f - a.wasm!demo:a/b@1.0.0#c"), "a.wasm!demo:a/b@1.0.0#c");
        assert_eq!(name("0: a.wasm!hello::here"), "a.wasm!hello::here");
    }

    #[test]
    fn names_of_crates_in_a_backtrace_have_no_hash() {
        let cases = [
            ("a.wasm!flaky[8a1c02d3e4f5a6b7]::deepest", "a.wasm!flaky::deepest"),
            (
                "a.wasm!<alloc[1f]::vec::Vec<core[0123abcd]::num::Wrapping<u8>> as std[9]::io::Write>::write",
                "a.wasm!<alloc::vec::Vec<core::num::Wrapping<u8>> as std::io::Write>::write",
            ),
            (
                "a.wasm!core[ab12]::ops::function::FnOnce::call_once::{closure#0}",
                "a.wasm!core::ops::function::FnOnce::call_once::{closure#0}",
            ),
            // Slices, arrays and methods of resources are not hashes.
            ("a.wasm!<[f32]>::len", "a.wasm!<[f32]>::len"),
            ("a.wasm!<[u8; 4]>::fill", "a.wasm!<[u8; 4]>::fill"),
            ("a.wasm!demo:a/b@1.0.0#[method]thing.add", "a.wasm!demo:a/b@1.0.0#[method]thing.add"),
            ("a.wasm!name[not-hex]::x", "a.wasm!name[not-hex]::x"),
            ("a.wasm!name[0123456789abcdef0]::x", "a.wasm!name[0123456789abcdef0]::x"),
            ("a.wasm!open[", "a.wasm!open["),
            ("a.wasm![]::[a]::b[", "a.wasm![]::[a]::b["),
        ];
        for (name, expected) in cases {
            assert_eq!(without_hash(name), expected);
        }
    }
}
