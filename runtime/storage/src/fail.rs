//! Points at which a test ends the process, to see what a crash there leaves behind. Nothing of it is in the product.

/// Stands before or after a step that changes a file; `what` names the step.
#[cfg(not(test))]
#[inline(always)]
pub(crate) fn point(_what: &str, _path: &std::path::Path) {}

#[cfg(test)]
pub(crate) use armed::point;

#[cfg(test)]
pub(crate) mod armed {
    use std::path::Path;
    use std::sync::LazyLock;
    use std::sync::atomic::{AtomicU64, Ordering};

    /// At the how many-th point the process aborts: `number`.
    pub(crate) const AT: &str = "STORAGE_FAIL_AT";

    static AT_NUMBER: LazyLock<Option<u64>> =
        LazyLock::new(|| std::env::var(AT).ok().and_then(|number| number.parse().ok()));
    /// How many points were passed.
    pub(crate) static PASSED: AtomicU64 = AtomicU64::new(0);

    /// Counts this point, and aborts the process if it is the chosen one.
    pub(crate) fn point(what: &str, path: &Path) {
        let Some(at) = *AT_NUMBER else { return };
        if PASSED.fetch_add(1, Ordering::SeqCst) + 1 == at {
            // Says to whoever reads the output of a failed test where it was.
            eprintln!("aborted {what} {}", path.display());
            std::process::abort();
        }
    }
}
