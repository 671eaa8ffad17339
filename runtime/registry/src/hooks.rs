//! Rust functions that hear of, or take part in, the life of components.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use domain::{ComponentId, Entry, Status};

use crate::Registry;

/// What an activation hook returns: `Err` with a reason, shown to people.
pub type HookFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Called before or after the activation of a component.
pub type ActivationHook = Arc<dyn Fn(Arc<Entry>) -> HookFuture + Send + Sync>;

type StatusCallback = Arc<dyn Fn(&ComponentId, Status, Status) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Hooks {
    before: RwLock<Vec<ActivationHook>>,
    after: RwLock<Vec<ActivationHook>>,
    status: RwLock<Vec<StatusCallback>>,
}

impl Hooks {
    pub(crate) fn before(&self) -> Vec<ActivationHook> {
        self.before.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn after(&self) -> Vec<ActivationHook> {
        self.after.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn status_changed(&self, id: &ComponentId, old: Status, new: Status) {
        let callbacks = self.status.read().unwrap_or_else(PoisonError::into_inner).clone();
        for callback in callbacks {
            callback(id, old, new);
        }
    }
}

fn push<T>(list: &RwLock<Vec<T>>, item: T) {
    list.write().unwrap_or_else(PoisonError::into_inner).push(item);
}

impl Registry {
    /// Calls `hook` before each activation, in the order of registration. The first that fails refuses the activation,
    /// which is recorded as a failure of the component.
    pub fn before_activation<F>(&self, hook: impl Fn(Arc<Entry>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        push(&self.inner.hooks.before, Arc::new(move |entry| Box::pin(hook(entry)) as HookFuture));
    }

    /// Calls `hook` after each successful activation. A failure is recorded, and the component stays active.
    pub fn after_activation<F>(&self, hook: impl Fn(Arc<Entry>) -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        push(&self.inner.hooks.after, Arc::new(move |entry| Box::pin(hook(entry)) as HookFuture));
    }

    /// Calls `callback` with (id, old, new) after each change of status that this process makes, once it is durable. A new entry
    /// goes from `discovered` to `registered`. The callback must return quickly and must not block.
    pub fn on_status_change(&self, callback: impl Fn(&ComponentId, Status, Status) + Send + Sync + 'static) {
        push(&self.inner.hooks.status, Arc::new(callback));
    }
}
