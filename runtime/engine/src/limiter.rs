//! Bounds on what one store allocates, summed over everything in it.

use domain::Limits;
use wasmtime::ResourceLimiter;

/// Sums memory and table elements over all of a store's memories and tables; wasmtime's own limiter bounds each alone.
pub(crate) struct StoreLimiter {
    limits: Limits,
    memory_bytes: u64,
    elements: u64,
    refused: Option<Refusal>,
}

/// What a guest asked for and did not get.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// Memory: the sum it would have come to, in bytes.
    Memory(u64),
    /// Table elements: the sum it would have come to.
    Elements(u64),
}

impl StoreLimiter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self { limits: *limits, memory_bytes: 0, elements: 0, refused: None }
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
        let sum = self.memory_bytes.saturating_add(more(current, desired));
        if sum > self.limits.memory_bytes {
            self.refused = Some(Refusal::Memory(sum));
            return Ok(false);
        }
        self.memory_bytes = sum;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        let sum = self.elements.saturating_add(more(current, desired));
        if sum > self.limits.table_elements {
            self.refused = Some(Refusal::Elements(sum));
            return Ok(false);
        }
        self.elements = sum;
        Ok(true)
    }

    fn instances(&self) -> usize {
        number(self.limits.core_instances)
    }

    fn tables(&self) -> usize {
        number(self.limits.tables)
    }

    fn memories(&self) -> usize {
        number(self.limits.memories)
    }
}

fn more(current: usize, desired: usize) -> u64 {
    u64::try_from(desired.saturating_sub(current)).unwrap_or(u64::MAX)
}

/// Returns a limit as wasmtime counts; one that it cannot hold is none.
pub(crate) fn number(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn sums_over_memories_and_remembers_a_refusal_until_the_next_call() {
        let mut limiter = StoreLimiter::new(&Limits { memory_bytes: 3 * MIB as u64, ..Limits::DEFAULT });
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
        let mut limiter = StoreLimiter::new(&Limits { table_elements: 10, ..Limits::DEFAULT });
        assert!(limiter.table_growing(0, 10, None).unwrap());
        assert!(!limiter.table_growing(0, 1, None).unwrap());
        assert_eq!(limiter.refused(), Some(Refusal::Elements(11)));
    }
}
