//! What a worker takes from itself before it sees a stranger's bytes.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(not(target_os = "linux"))]
mod other;

#[cfg(target_os = "linux")]
use linux as system;
#[cfg(not(target_os = "linux"))]
use other as system;

pub(super) use system::{close_files, close_system, leave_behind, mapped_bytes};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, setrlimit};

/// Address space that is reserved for each thread without being used, in bytes: the C library sets aside so much for the memory that
/// threads allocate.
const RESERVED_PER_THREAD: u64 = 128 << 20;

/// How much longer a process may live that does not heed the signal at the end of its processor time, in seconds.
const LAST_WORDS_S: u64 = 2;

/// What a worker may use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// Memory beyond what it has now, in bytes.
    pub(super) memory_bytes: u64,
    /// Processor time, in seconds.
    pub(super) cpu_s: u64,
}

/// Bounds what this process may use from now on, with `threads` threads beside the first, and `mapped` bytes of address space before
/// those were started.
///
/// # Errors
/// The system's: an unbounded worker is none.
pub(super) fn set_bounds(bounds: &Bounds, mapped: u64, threads: usize) -> Result<(), Errno> {
    let reserved = RESERVED_PER_THREAD.saturating_mul(threads as u64);
    let memory = mapped.saturating_add(reserved).saturating_add(bounds.memory_bytes);
    set(Resource::As, memory, memory)?;
    set(Resource::Cpu, bounds.cpu_s, bounds.cpu_s.saturating_add(LAST_WORDS_S))?;
    set(Resource::Core, 0, 0)?;
    set(Resource::Fsize, 0, 0)?;
    // No more than what is open now.
    set(Resource::Nofile, 3, 3)
}

fn set(resource: Resource, soft: u64, hard: u64) -> Result<(), Errno> {
    // An operator's own limit may be lower, and then stays.
    let ceiling = rustix::process::getrlimit(resource).maximum.unwrap_or(u64::MAX);
    let (current, maximum) = (Some(soft.min(ceiling)), Some(hard.min(ceiling)));
    setrlimit(resource, Rlimit { current, maximum })
}
