//! Why a compilation gave no code, in one sentence that says what to do about it.

use std::time::Duration;

use domain::FailureKind;
use domain::ports::StorageError;
use domain::text::{escape_line, truncate};
use domain::units::{format_duration, format_size};

use super::allowance::Allowance;

/// Longest text of a worker that is told, in bytes.
const TEXT_MAX: usize = 1_000;

/// For how long a failure is remembered that the machine's load may have been part of.
const LOAD_FORGOTTEN_AFTER: Duration = Duration::from_secs(5 * 60);

/// Why a compilation gave no code.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The compiler refuses the component.
    Invalid { reason: String },
    /// The worker needed more memory than it had.
    Memory,
    /// The worker used up its processor time.
    Cpu,
    /// The worker took too long by the clock.
    Wall,
    /// The compiler panicked.
    Panicked { reason: String },
    /// The worker was ended by a signal that is none of the above.
    Signal { number: i32, said: String },
    /// The worker said something that makes no sense, or ended without a word.
    Garbled { reason: String, said: String },
    /// No worker can be had.
    NoWorker { reason: String },
    /// Whoever wanted the code does not want it any more.
    Cancelled,
    /// The code could not be put where it should go.
    Sink(StorageError),
}

/// For how long a failure is worth remembering.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Memorable {
    /// It says nothing of the component, or is found again at once.
    No,
    /// It may have been the machine's load.
    For(Duration),
    /// As long as the limits stay as they are.
    Always,
}

impl Broken {
    /// Says for how long trying again is no use.
    pub(crate) fn memorable(&self) -> Memorable {
        match self {
            Self::Memory | Self::Cpu | Self::Panicked { .. } => Memorable::Always,
            // Somebody may have killed it for no fault of its own, or the system was short of memory.
            Self::Wall | Self::Signal { number: SIGKILL, .. } => Memorable::For(LOAD_FORGOTTEN_AFTER),
            Self::Signal { .. } => Memorable::Always,
            Self::Invalid { .. } | Self::Garbled { .. } | Self::NoWorker { .. } | Self::Cancelled | Self::Sink(_) => {
                Memorable::No
            }
        }
    }

    /// Returns the failure's kind and its sentence, for a component of `size` bytes that was given `allowance`.
    pub(crate) fn said(&self, allowance: &Allowance, size: u64) -> (FailureKind, String) {
        let limit = |needed: &str, given: String, key: &str| {
            let size = rough_size(size);
            let sentence = format!(
                "compiling took more than {given} of {needed}, the most for a component of {size} (`{key}` in the settings)"
            );
            (FailureKind::Limit, sentence)
        };
        let time = |time: Duration| format_duration(time);
        match self {
            Self::Invalid { reason } => {
                (FailureKind::InvalidBinary, format!("the component cannot be compiled: {}", clean(reason)))
            }
            Self::Memory => limit("memory", format_size(allowance.memory_bytes), "compile.memory"),
            Self::Cpu => limit("processor time", time(allowance.cpu), "compile.cpu"),
            Self::Wall => limit("time", time(allowance.wall), "compile.wall"),
            Self::Panicked { reason } => {
                (FailureKind::Host, format!("the compiler broke off on this component: {}", clean(reason)))
            }
            Self::Signal { number, said } => {
                let name = signal_name(*number);
                (FailureKind::Host, format!("the compile worker was ended by {name}{}", quoted(said)))
            }
            Self::Garbled { reason, said } => {
                (FailureKind::Host, format!("the compile worker {}{}", clean(reason), quoted(said)))
            }
            Self::NoWorker { reason } => {
                (FailureKind::Host, format!("no component can be compiled: {}", clean(reason)))
            }
            Self::Cancelled => (FailureKind::Host, "the compilation was broken off".to_owned()),
            Self::Sink(error) => (FailureKind::Host, format!("the compiled code cannot be kept: {error}")),
        }
    }
}

/// The number of the signal that nobody can catch.
const SIGKILL: i32 = 9;

fn signal_name(number: i32) -> String {
    match number {
        4 => "SIGILL".to_owned(),
        6 => "SIGABRT".to_owned(),
        7 => "SIGBUS".to_owned(),
        8 => "SIGFPE".to_owned(),
        SIGKILL => "SIGKILL, perhaps because the system was short of memory".to_owned(),
        11 => "SIGSEGV".to_owned(),
        15 => "SIGTERM".to_owned(),
        other => format!("signal {other}"),
    }
}

/// A worker may have been taken over: what it says is a stranger's text.
fn clean(text: &str) -> String {
    escape_line(&truncate(text.trim(), TEXT_MAX)).into_owned()
}

fn quoted(said: &str) -> String {
    if said.trim().is_empty() { String::new() } else { format!(", saying: {}", clean(said)) }
}

/// Returns a size for people, not to the byte.
fn rough_size(bytes: u64) -> String {
    if bytes < 1 << 20 {
        format!("{} KiB", bytes.div_ceil(1 << 10))
    } else {
        format!("{} MiB", bytes.div_ceil(1 << 20))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALLOWANCE: Allowance =
        Allowance { memory_bytes: 256 << 20, cpu: Duration::from_secs(15), wall: Duration::from_millis(15_500) };

    fn said(broken: &Broken) -> String {
        let (kind, message) = broken.said(&ALLOWANCE, 300_000);
        format!("{kind}: {message}")
    }

    #[test]
    fn a_limit_is_named_with_how_much_it_was_and_where_it_is_set() {
        assert_eq!(
            said(&Broken::Memory),
            "limit: compiling took more than 256MiB of memory, the most for a component of 293 KiB (`compile.memory` in \
             the settings)"
        );
        assert!(said(&Broken::Cpu).contains("15s of processor time"));
        assert!(said(&Broken::Wall).contains("15500ms of time"));
    }

    #[test]
    fn what_a_worker_says_is_escaped_and_bounded() {
        let said =
            said(&Broken::Garbled { reason: "ended".to_owned(), said: format!("\u{1b}[31m{}", "x".repeat(9_000)) });
        assert!(!said.contains('\u{1b}') && said.len() < 1_200, "{said}");
    }

    #[test]
    fn what_load_may_have_caused_is_forgotten_and_what_was_cheap_is_not_remembered() {
        assert_eq!(Broken::Memory.memorable(), Memorable::Always);
        assert_eq!(Broken::Signal { number: 11, said: String::new() }.memorable(), Memorable::Always);
        assert_eq!(Broken::Wall.memorable(), Memorable::For(LOAD_FORGOTTEN_AFTER));
        assert_eq!(Broken::Signal { number: 9, said: String::new() }.memorable(), Memorable::For(LOAD_FORGOTTEN_AFTER));
        assert_eq!(Broken::Invalid { reason: String::new() }.memorable(), Memorable::No);
    }
}
