//! How many ranges of memory code and instances have mapped, as a bound from above: the system allows a process only so many, and to ask
//! it takes as long as making a thousand of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::component::Component;

/// A file of native code: what is read, what is run, and what is read again.
pub(crate) const OF_CODE: u64 = 3;
/// A memory: its first pages from the file, those that were written, and those that are not there yet.
const OF_MEMORY: u64 = 3;
/// Taken to be the memories of a component that does not say how many it has.
const MEMORIES_UNKNOWN: u64 = 8;

/// Counts the mappings of everything that is there.
#[derive(Clone, Default)]
pub(crate) struct Mapped(Arc<AtomicU64>);

impl Mapped {
    pub(crate) fn count(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts `mappings` until what it returns is dropped.
    pub(crate) fn add(&self, mappings: u64) -> Counted {
        self.0.fetch_add(mappings, Ordering::Relaxed);
        Counted { of: self.clone(), mappings }
    }
}

/// Mappings that are counted as long as this is there.
pub(crate) struct Counted {
    of: Mapped,
    mappings: u64,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.mappings, Ordering::Relaxed);
    }
}

/// Returns how many mappings an instance of `component` takes at most.
pub(crate) fn of_instance(component: &Component) -> u64 {
    // Stacks are there while a call waits, and never many.
    let memories = component.resources_required().map_or(MEMORIES_UNKNOWN, |needed| u64::from(needed.num_memories));
    OF_MEMORY * memories
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_gone_is_not_counted() {
        let mapped = Mapped::default();
        let one = mapped.add(3);
        let _two = mapped.add(5);
        assert_eq!(mapped.count(), 8);
        drop(one);
        assert_eq!(mapped.count(), 5);
    }

    #[test]
    fn each_memory_counts() {
        let engine = wasmtime::Engine::default();
        let of = |text: &str| of_instance(&Component::new(&engine, wat::parse_str(text).unwrap()).unwrap());
        let one = "(core module $m (memory 1)) (core instance (instantiate $m))";
        assert_eq!(of("(component)"), 0);
        assert_eq!(of(&format!("(component {one})")), OF_MEMORY);
        assert_eq!(of(&format!("(component {one} (core instance (instantiate $m)))")), 2 * OF_MEMORY);
    }
}
