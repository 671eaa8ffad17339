//! Systems other than Linux: limits of the process alone.

/// Lets go of nothing: there is no one way to.
pub(in crate::compile) fn leave_behind() {}

/// # Errors
/// Always: files and network stay open.
pub(in crate::compile) fn close_files() -> Result<(), String> {
    Err("this system has no landlock".to_owned())
}

/// # Errors
/// Always: all system calls stay.
pub(in crate::compile) fn close_system() -> Result<(), String> {
    Err("this system has no seccomp".to_owned())
}

/// Returns how much address space this process has; not known here, so it counts as much as programs of this size have.
pub(in crate::compile) fn mapped_bytes() -> u64 {
    1 << 30
}
