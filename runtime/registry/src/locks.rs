//! A lock per component, without a table that grows with the registry.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use domain::ComponentId;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};

/// Locks by component. A lock lives while somebody holds it or waits for it.
#[derive(Default)]
pub(crate) struct KeyedLocks {
    locks: Mutex<HashMap<ComponentId, Weak<AsyncMutex<()>>>>,
}

impl KeyedLocks {
    /// Waits for the lock of `id`. Callers that take several take them in the order of the dependency graph or one after
    /// the other, never nested in another order.
    ///
    /// # Cancel safety
    /// A dropped future does not hold the lock.
    pub(crate) async fn lock(&self, id: &ComponentId) -> OwnedMutexGuard<()> {
        let lock = self.get(id);
        lock.lock_owned().await
    }

    fn get(&self, id: &ComponentId) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lock) = locks.get(id).and_then(Weak::upgrade) {
            return lock;
        }
        // Limit: dead locks are swept whenever they could be half of the table.
        if locks.len() >= 64 && locks.len() == locks.capacity() {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::new(AsyncMutex::new(()));
        locks.insert(id.clone(), Arc::downgrade(&lock));
        lock
    }
}
