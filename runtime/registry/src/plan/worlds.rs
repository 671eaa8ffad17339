//! Types of registered components, read from their bytes when they are first compared.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use domain::Digest;
use domain::world::World;

use crate::Registry;
use crate::error::RegistryError;

/// Most components of which the types are kept.
const KEPT_MAX: usize = 512;
/// Most types that are kept, those of all components together.
const TYPES_KEPT_MAX: usize = 200_000;

/// The types of the components that were looked at last, by digest.
#[derive(Default)]
pub(crate) struct Worlds(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    worlds: HashMap<Digest, Arc<World>>,
    /// Oldest first.
    order: VecDeque<Digest>,
    types: usize,
}

impl Worlds {
    fn get(&self, digest: &Digest) -> Option<Arc<World>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).worlds.get(digest).cloned()
    }

    fn keep(&self, digest: Digest, world: &Arc<World>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if world.type_count() > TYPES_KEPT_MAX || kept.worlds.insert(digest, world.clone()).is_some() {
            return;
        }
        kept.order.push_back(digest);
        kept.types += world.type_count();
        while kept.order.len() > KEPT_MAX || kept.types > TYPES_KEPT_MAX {
            let Some(oldest) = kept.order.pop_front() else { return };
            if let Some(gone) = kept.worlds.remove(&oldest) {
                kept.types -= gone.type_count();
            }
        }
    }
}

impl Registry {
    /// Returns the types of a component whose bytes are kept. Blocks on the disk unless they were looked at lately.
    ///
    /// # Errors
    /// [`RegistryError::Storage`]; [`RegistryError::Binary`] if there are more types than are looked at.
    pub(crate) fn world(&self, digest: &Digest) -> Result<Arc<World>, RegistryError> {
        if let Some(known) = self.inner.worlds.get(digest) {
            return Ok(known);
        }
        let bytes = self.inner.blobs.get(digest)?;
        let world = self.inner.engine.world(&bytes);
        let world = world.map_err(|source| RegistryError::Binary { name: digest.to_string(), source })?;
        let world = Arc::new(world);
        self.inner.worlds.keep(*digest, &world);
        Ok(world)
    }
}
