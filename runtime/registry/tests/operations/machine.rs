//! A process with a bound of mappings.

use std::sync::atomic::{AtomicU64, Ordering};

use domain::ports::{Mappings, ProcessLimits};

/// A process that may map ten thousand ranges: each instance takes ten, and there are others.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) others: AtomicU64,
    pub(crate) live: AtomicU64,
}

impl ProcessLimits for Machine {
    fn mappings(&self) -> Option<Mappings> {
        let count = self.others.load(Ordering::SeqCst) + 10 * self.live.load(Ordering::SeqCst);
        Some(Mappings { count, limit: 10_000 })
    }
}
