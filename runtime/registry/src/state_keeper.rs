//! Keeps a component's state between its instances: the bytes as a blob, the reference as an event.

use std::sync::{Arc, Weak};

use domain::entry::StateRef;
use domain::ports::{BoxFuture, StateKeeper, StorageError};
use domain::{Actor, ComponentId, Digest, Event};

use crate::Registry;
use crate::builder::Inner;
use crate::error::RegistryError;

/// The keeper of one component's state.
pub(crate) struct Keeper {
    // Weak: the unit that holds the keeper is itself held by the registry.
    inner: Weak<Inner>,
    id: ComponentId,
}

impl Keeper {
    pub(crate) fn new(registry: &Registry, id: &ComponentId) -> Self {
        Self { inner: Arc::downgrade(&registry.inner), id: id.clone() }
    }

    fn registry(&self) -> Result<Registry, StorageError> {
        let inner = self.inner.upgrade().ok_or(StorageError::Closed)?;
        Ok(Registry::over(inner, Actor::System))
    }
}

impl StateKeeper for Keeper {
    fn load(&self) -> Result<Option<Arc<[u8]>>, StorageError> {
        let registry = self.registry()?;
        let entry = registry.inner.state.entry(&self.id)?;
        match entry.and_then(|entry| entry.state.clone()) {
            Some(state) => registry.inner.blobs.get(&state.digest).map(Some),
            None => Ok(None),
        }
    }

    fn save(&self, state: Vec<u8>) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.save_if(state, |_| true))
    }
}

impl Keeper {
    /// Saves `state` in place of `before`; what was saved since stays.
    pub(crate) async fn save_over(&self, state: Vec<u8>, before: Option<StateRef>) -> Result<(), StorageError> {
        self.save_if(state, move |now| *now == before).await
    }

    /// Saves `state` if what is saved when it would be written is what `replaces` says.
    async fn save_if(
        &self,
        state: Vec<u8>,
        replaces: impl FnOnce(&Option<StateRef>) -> bool + Send + 'static,
    ) -> Result<(), StorageError> {
        let registry = self.registry()?;
        let blobs = registry.inner.blobs.clone();
        let size = state.len() as u64;
        let pins = registry.inner.pins.clone();
        let written = tokio::task::spawn_blocking(move || {
            let pin = pins.pin(Digest::of(&state));
            blobs.put(&state).map(|digest| (digest, Arc::new(pin)))
        });
        let (digest, pin) = written.await.map_err(|_| StorageError::Closed)??;
        // Held by the decision too, which is carried out even if nobody waits for it any more.
        let decided = pin.clone();
        let id = self.id.clone();
        let saved = registry.commit(move |view| {
            let _pin = decided;
            let state = Some(StateRef { digest, size });
            let is_new = view.entry(&id)?.is_some_and(|entry| entry.state != state && replaces(&entry.state));
            let events = if is_new { vec![Event::StateSaved { component: id, state }] } else { vec![] };
            Ok((events, ()))
        });
        let saved = saved.await;
        drop(pin);
        match saved {
            Ok(()) => Ok(()),
            Err(RegistryError::Storage(error)) => Err(error),
            Err(other) => Err(StorageError::Index { reason: other.to_string() }),
        }
    }
}
