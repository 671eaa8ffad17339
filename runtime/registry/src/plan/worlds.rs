//! Types of registered components, read from their bytes when they are first compared.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use domain::Digest;
use domain::world::World;

use crate::Registry;
use crate::error::RegistryError;

/// Most components of which the types are kept.
const KEPT_MAX: usize = 512;
/// Most bytes that the types of all of them may take.
const BYTES_KEPT_MAX: usize = 32 << 20;

/// The types of the components that were looked at last, by digest.
#[derive(Default)]
pub(crate) struct Worlds(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    worlds: HashMap<Digest, Arc<World>>,
    /// Oldest first, with the bytes that each takes.
    order: VecDeque<(Digest, usize)>,
    bytes: usize,
}

impl Worlds {
    fn get(&self, digest: &Digest) -> Option<Arc<World>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).worlds.get(digest).cloned()
    }

    fn keep(&self, digest: Digest, world: &Arc<World>) {
        let bytes = world.bytes();
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if bytes > BYTES_KEPT_MAX || kept.worlds.insert(digest, world.clone()).is_some() {
            return;
        }
        kept.order.push_back((digest, bytes));
        kept.bytes += bytes;
        while kept.order.len() > KEPT_MAX || kept.bytes > BYTES_KEPT_MAX {
            let Some((oldest, bytes)) = kept.order.pop_front() else { return };
            kept.worlds.remove(&oldest);
            kept.bytes -= bytes;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_go_where_there_are_too_many() {
        let worlds = Worlds::default();
        let digest = |number: usize| Digest::of(&number.to_le_bytes());
        for number in 0..KEPT_MAX + 3 {
            worlds.keep(digest(number), &Arc::default());
            worlds.keep(digest(number), &Arc::default());
        }
        let kept = (0..KEPT_MAX + 3).filter(|number| worlds.get(&digest(*number)).is_some());
        assert_eq!(kept.collect::<Vec<_>>(), (3..KEPT_MAX + 3).collect::<Vec<_>>());
    }
}
