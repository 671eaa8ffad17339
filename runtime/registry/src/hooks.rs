//! Rust functions that hear of, or take part in, the life of components.

use std::collections::HashMap;
use std::future::Future;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};

use domain::manifest::Kind;
use domain::{ComponentId, Entry, Event, Status};

use crate::Registry;

/// What an activation hook returns: `Err` with a reason, shown to people.
pub type HookFuture = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// Called before or after the activation of a component.
pub type ActivationHook = Arc<dyn Fn(Arc<Entry>) -> HookFuture + Send + Sync>;

/// What became of the file or folder that a component is registered from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    /// A component was registered from it for the first time.
    Added,
    /// A new revision of the component was registered from it, and is the one that the entry points to.
    Replaced,
    /// A new revision was registered from it, which waits until it is activated in place of the active one.
    Waiting,
}

impl Reload {
    /// Returns the word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Replaced => "replaced",
            Self::Waiting => "waiting",
        }
    }
}

type ReloadCallback = Arc<dyn Fn(&Path, Reload) + Send + Sync>;

type StatusCallback = Arc<dyn Fn(&ComponentId, Status, Status) + Send + Sync>;

#[derive(Default)]
pub(crate) struct Hooks {
    before: RwLock<Vec<ActivationHook>>,
    after: RwLock<Vec<ActivationHook>>,
    status: RwLock<Vec<StatusCallback>>,
    reload: RwLock<HashMap<Kind, Vec<ReloadCallback>>>,
}

impl Hooks {
    pub(crate) fn before(&self) -> Vec<ActivationHook> {
        self.before.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn after(&self) -> Vec<ActivationHook> {
        self.after.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells of a component that was registered from a path.
    pub(crate) fn reloaded(&self, event: &Event) {
        let Event::Registered { revision, current, .. } = event else { return };
        let Some(path) = &revision.path else { return };
        let callbacks = {
            let reload = self.reload.read().unwrap_or_else(PoisonError::into_inner);
            reload.get(&revision.kind()).cloned().unwrap_or_default()
        };
        let change = match (revision.number, current) {
            (1, _) => Reload::Added,
            (_, true) => Reload::Replaced,
            (_, false) => Reload::Waiting,
        };
        for callback in callbacks {
            callback(Path::new(path), change);
        }
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

    /// Calls `callback` with the path and what changed whenever this process registers a component of `kind`, or a new revision of one, from
    /// a file or folder, once that is durable; in the order of registration. The callback must return quickly and must not block.
    ///
    /// # Examples
    /// ```no_run
    /// # fn watch(registry: &registry::Registry) -> Result<(), domain::manifest::KindError> {
    /// registry.on_reload("skill".parse()?, |path, change| println!("{} {}", path.display(), change.as_str()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn on_reload(&self, kind: Kind, callback: impl Fn(&Path, Reload) + Send + Sync + 'static) {
        let mut reload = self.inner.hooks.reload.write().unwrap_or_else(PoisonError::into_inner);
        reload.entry(kind).or_default().push(Arc::new(callback));
    }

    /// Calls `callback` with (id, old, new) after each change of status that this process makes, once it is durable. A new entry
    /// goes from `discovered` to `registered`. The callback must return quickly and must not block.
    pub fn on_status_change(&self, callback: impl Fn(&ComponentId, Status, Status) + Send + Sync + 'static) {
        push(&self.inner.hooks.status, Arc::new(callback));
    }
}
