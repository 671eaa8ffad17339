use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::StorageError;

/// Tells work that blocks that nobody waits for it any more. Clones tell the same; the default is that it goes on.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// Has the work end at its next step.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Tells whether the work is to end.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Stands between two steps of long work.
    ///
    /// # Errors
    /// [`StorageError::BrokenOff`] if the work is to end.
    pub fn check(&self) -> Result<(), StorageError> {
        if self.is_set() { Err(StorageError::BrokenOff) } else { Ok(()) }
    }
}
