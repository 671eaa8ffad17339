//! What Linux offers: landlock takes files and network, seccomp all system calls but those that a compiler needs.

use std::collections::BTreeMap;

use landlock::{ABI, Access as _, AccessFs, AccessNet, Ruleset, RulesetAttr as _, RulesetStatus, Scope};
use rustix::process::{DumpableBehavior, Signal, set_dumpable_behavior, set_parent_process_death_signal};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule, TargetArch,
};

/// System calls that allocation, threads that exist, clocks, and reading and writing what is open need. Whatever is not here fails
/// with `EPERM`, which no code of a compiler expects to succeed: opening, connecting, starting threads and processes, tracing.
const ALLOWED: &[libc::c_long] = &[
    libc::SYS_read,
    libc::SYS_write,
    libc::SYS_readv,
    libc::SYS_writev,
    libc::SYS_close,
    libc::SYS_brk,
    libc::SYS_munmap,
    libc::SYS_mremap,
    libc::SYS_madvise,
    libc::SYS_futex,
    libc::SYS_sched_yield,
    libc::SYS_sched_getaffinity,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    libc::SYS_nanosleep,
    libc::SYS_getrandom,
    libc::SYS_sigaltstack,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_restart_syscall,
    libc::SYS_getpid,
    libc::SYS_gettid,
    libc::SYS_set_robust_list,
    libc::SYS_rseq,
    libc::SYS_exit,
    libc::SYS_exit_group,
];

/// System calls that make memory executable if their third argument says so. Code is made here, never run.
const MAPPING: &[libc::c_long] = &[libc::SYS_mmap, libc::SYS_mprotect];

/// How far a worker stands back behind everybody else, in steps of nineteen.
const WORKER_NICE: i32 = 10;

/// The first descriptor that is not one of the three that every program has.
const FIRST_OTHER: libc::c_uint = 3;

/// Lets go of everything that came from the process that started this one, and ends with it.
pub(in crate::compile) fn leave_behind() {
    close_others();
    // The thread that started it waits for its end, so it only ever ends first when the whole process does. Where it already has,
    // standard input ends and the worker finds no job.
    let _ = set_parent_process_death_signal(Some(Signal::KILL));
    // Calls of components that run go before the code of one that does not yet; where the system refuses, they share.
    let _ = rustix::process::nice(WORKER_NICE);
    // Neither a core file nor a debugger of the same user's gets at what it holds.
    let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
}

/// Closes all descriptors but the first three: some other code of the starting process may have opened them to be inherited.
#[expect(unsafe_code, reason = "closing what nobody here has opened is unsafe by its nature")]
fn close_others() {
    // SAFETY: this is the first thing that the program does, on its only thread, so nothing in it owns a descriptor above the
    // first three. A kernel without this call leaves them open, which the other protections do not depend on.
    unsafe {
        libc::syscall(libc::SYS_close_range, FIRST_OTHER, libc::c_uint::MAX, 0);
    }
}

/// Gives up all files, network and signals, as far as the kernel can take them.
///
/// # Errors
/// What is missing, for people.
pub(in crate::compile) fn close_files() -> Result<(), String> {
    let restricted = Ruleset::default()
        .handle_access(AccessFs::from_all(ABI::V5))
        .and_then(|rules| rules.handle_access(AccessNet::from_all(ABI::V5)))
        .and_then(|rules| rules.scope(Scope::from_all(ABI::V6)))
        .and_then(|rules| rules.create())
        .and_then(|rules| rules.restrict_self());
    match restricted {
        // An older kernel takes less; system calls are all that is left to open or connect with, and `close_system` takes those.
        Ok(status) if status.ruleset != RulesetStatus::NotEnforced => Ok(()),
        Ok(_) => Err("this kernel has no landlock".to_owned()),
        Err(error) => Err(format!("landlock cannot be used: {error}")),
    }
}

/// Gives up all system calls but those that a compiler needs, in all threads.
///
/// # Errors
/// What is missing, for people.
pub(in crate::compile) fn close_system() -> Result<(), String> {
    let failed = |error: &dyn std::fmt::Display| format!("seccomp cannot be used: {error}");
    let program = filter().map_err(|error| failed(&error))?;
    seccompiler::apply_filter_all_threads(&program).map_err(|error| failed(&error))
}

fn filter() -> Result<BpfProgram, seccompiler::BackendError> {
    let mut rules: BTreeMap<i64, Vec<SeccompRule>> = ALLOWED.iter().map(|call| (*call, Vec::new())).collect();
    for call in MAPPING {
        let executable = u64::from(libc::PROT_EXEC.unsigned_abs());
        let not_executable = SeccompCondition::new(2, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(executable), 0)?;
        rules.insert(*call, vec![SeccompRule::new(vec![not_executable])?]);
    }
    let denied = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    SeccompFilter::new(rules, denied, SeccompAction::Allow, TargetArch::try_from(std::env::consts::ARCH)?)?.try_into()
}

/// Returns how much address space this process has, in bytes; unknown, it counts as none.
pub(in crate::compile) fn mapped_bytes() -> u64 {
    let pages = std::fs::read_to_string("/proc/self/statm").ok();
    let pages: u64 = pages.and_then(|text| text.split(' ').next()?.parse().ok()).unwrap_or_default();
    pages.saturating_mul(rustix::param::page_size() as u64)
}
