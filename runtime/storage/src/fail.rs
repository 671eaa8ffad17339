//! Points at which a process is made to end, to see what a crash there leaves behind. Builds in the release profile have none of it.

/// Stands before or after a step that changes a file; `what` names the step.
#[cfg(not(any(test, debug_assertions)))]
#[inline(always)]
pub(crate) fn point(_what: &str, _path: &std::path::Path) {}

#[cfg(any(test, debug_assertions))]
pub(crate) use armed::point;

#[cfg(any(test, debug_assertions))]
pub(crate) mod armed {
    use std::io::Write;
    use std::path::Path;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// Variable with the number of the point at which the process aborts, the first one being 1.
    pub(crate) const AT: &str = "RUNTIME_FAIL_AT";

    static AT_NUMBER: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var(AT).ok().and_then(|number| number.parse().ok()));
    /// How many points were passed.
    pub(crate) static PASSED: AtomicU64 = AtomicU64::new(0);

    /// Counts this point, and aborts the process if it is the chosen one.
    pub(crate) fn point(what: &str, path: &Path) {
        let Some(at) = *AT_NUMBER else { return };
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == at {
            // Says to whoever reads the output of a failed test where it was.
            let _ = writeln!(std::io::stderr(), "aborted {what} {}", path.display());
            std::process::abort();
        }
    }
}
