//! Bounds on what one store allocates, summed over everything in it.

use wasmtime::ResourceLimiter;

use crate::settings::{CORE_INSTANCES_MAX, MEMORIES_MAX, TABLE_ELEMENTS_MAX, TABLES_MAX};

/// Sums memory and table elements over all of a store's memories and tables; wasmtime's own limiter bounds each alone.
pub(crate) struct StoreLimiter {
    memory_bytes_max: u64,
    memory_bytes: u64,
    elements: usize,
    refused: Option<Refusal>,
}

/// What a guest asked for and did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Memory: the sum it would have come to, in bytes.
    Memory(u64),
    /// Table elements: the sum it would have come to.
    Elements(usize),
}

impl StoreLimiter {
    pub(crate) fn new(memory_bytes_max: u64) -> Self {
        Self { memory_bytes_max, memory_bytes: 0, elements: 0, refused: None }
    }

    /// Forgets what was refused, at the beginning of a call.
    pub(crate) fn begin_call(&mut self) {
        self.refused = None;
    }

    /// Returns what was refused last since the beginning of the call.
    pub(crate) fn refused(&self) -> Option<Refusal> {
        self.refused
    }
}

impl ResourceLimiter for StoreLimiter {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let more = u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX);
        let sum = self.memory_bytes.saturating_add(more);
        if sum > self.memory_bytes_max {
            self.refused = Some(Refusal::Memory(sum));
            return Ok(false);
        }
        self.memory_bytes = sum;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let sum = self.elements.saturating_add(desired.saturating_sub(current));
        if sum > TABLE_ELEMENTS_MAX {
            self.refused = Some(Refusal::Elements(sum));
            return Ok(false);
        }
        self.elements = sum;
        Ok(true)
    }

    fn instances(&self) -> usize {
        CORE_INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn sums_over_memories_and_remembers_a_refusal_until_the_next_call() {
        let mut limiter = StoreLimiter::new(3 * MIB as u64);
        assert!(limiter.memory_growing(0, 2 * MIB, None).unwrap());
        assert!(!limiter.memory_growing(0, 2 * MIB, None).unwrap());
        assert_eq!(limiter.refused(), Some(Refusal::Memory(4 * MIB as u64)));
        limiter.begin_call();
        assert!(limiter.memory_growing(MIB, 2 * MIB, None).unwrap());
        assert_eq!(limiter.refused(), None);
        assert!(!limiter.memory_growing(0, usize::MAX, None).unwrap());
    }

    #[test]
    fn sums_over_tables() {
        let mut limiter = StoreLimiter::new(0);
        assert!(limiter.table_growing(0, TABLE_ELEMENTS_MAX, None).unwrap());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
        assert_eq!(limiter.refused(), Some(Refusal::Elements(TABLE_ELEMENTS_MAX + 1)));
    }
}
