//! What an instance keeps of each of its gates: where the function is that it leads to, and how often it was passed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ComponentId;
use domain::ports::Slot;
use domain::usage::{QUICK_BUCKETS, QUICK_US, quick_bucket};

use crate::unit::ComponentUnit;

/// The gates that an instance has passed, by their numbers.
#[derive(Default)]
pub(crate) struct Edges(Vec<Option<Edge>>);

/// One gate, as one instance knows it.
pub(super) struct Edge {
    /// The place that was looked at.
    pub(super) slot: Arc<Slot>,
    /// How often it had been turned then.
    pub(super) turns: u64,
    /// The caller, by its number, on whose behalf the gate may be passed.
    pub(super) vetted: u64,
    /// The unit that was in service then.
    pub(super) unit: Arc<ComponentUnit>,
    /// Where the function is among its exports.
    pub(super) export: usize,
    pub(super) used: Arc<EdgeUse>,
}

impl Edges {
    pub(super) fn get(&self, number: usize) -> Option<&Edge> {
        self.0.get(number)?.as_ref()
    }

    pub(super) fn set(&mut self, number: usize, edge: Edge) {
        if self.0.len() <= number {
            self.0.resize_with(number + 1, || None);
        }
        if let Some(place) = self.0.get_mut(number) {
            *place = Some(edge);
        }
    }
}

impl Edge {
    /// Tells whether the gate still leads where it did, on behalf of the caller numbered `vetted`.
    #[inline]
    pub(super) fn is_current(&self, vetted: u64) -> bool {
        self.slot.turns() == self.turns && self.vetted == vetted
    }

    /// Tells whether the next call is timed: reading a clock takes longer than all other counting.
    #[inline]
    pub(super) fn is_timed_next(&self) -> bool {
        weight(self.used.calls()).is_some()
    }
}

/// Quick calls that one instance made through one gate and that went well. All others are told to the observer one by one.
///
/// Only the instance writes, and an instance serves one call at a time: counting costs no more than a few plain stores. The observer
/// reads along.
pub(crate) struct EdgeUse {
    pub(crate) caller: ComponentId,
    pub(crate) component: ComponentId,
    calls: AtomicU64,
    fuel: AtomicU64,
    nanos: AtomicU64,
    buckets: [AtomicU64; QUICK_BUCKETS],
}

/// What an [`EdgeUse`] had counted at some moment.
#[derive(Clone, Debug)]
pub(crate) struct Counted {
    pub(crate) calls: u64,
    pub(crate) fuel: u64,
    pub(crate) nanos: u64,
    pub(crate) buckets: [u64; QUICK_BUCKETS],
}

impl EdgeUse {
    pub(super) fn new(caller: &ComponentId, component: &ComponentId) -> Arc<Self> {
        Arc::new(Self {
            caller: caller.clone(),
            component: component.clone(),
            calls: AtomicU64::new(0),
            fuel: AtomicU64::new(0),
            nanos: AtomicU64::new(0),
            buckets: [const { AtomicU64::new(0) }; QUICK_BUCKETS],
        })
    }

    /// Counts a call, with the time it took if it was timed; false, and nothing counted, if it was not a quick one.
    #[inline]
    pub(super) fn count(&self, fuel: u64, nanos: Option<u64>) -> bool {
        let calls = self.calls();
        if let Some(nanos) = nanos {
            let us = nanos / 1_000;
            let Some(bucket) = self.buckets.get(quick_bucket(us)).filter(|_| us < QUICK_US) else { return false };
            let weight = weight(calls).unwrap_or(1);
            add(&self.nanos, nanos.saturating_mul(weight));
            add(bucket, weight);
        }
        self.calls.store(calls.wrapping_add(1), Ordering::Relaxed);
        add(&self.fuel, fuel);
        true
    }

    /// Returns how many calls were counted so far.
    pub(crate) fn calls(&self) -> u64 {
        self.calls.load(Ordering::Relaxed)
    }

    /// Returns what was counted so far.
    pub(crate) fn counted(&self) -> Counted {
        Counted {
            calls: self.calls.load(Ordering::Relaxed),
            fuel: self.fuel.load(Ordering::Relaxed),
            nanos: self.nanos.load(Ordering::Relaxed),
            buckets: std::array::from_fn(|bucket| {
                self.buckets.get(bucket).map_or(0, |count| count.load(Ordering::Relaxed))
            }),
        }
    }
}

/// How many calls of an instance through a gate are all timed.
const ALL_TIMED: u64 = 64;

/// Of how many calls after those one is timed.
const TIMED_OF: u64 = 8;

/// Returns for how many calls the next one stands if it is timed, `None` if it is not.
fn weight(calls: u64) -> Option<u64> {
    if calls < ALL_TIMED {
        return Some(1);
    }
    calls.is_multiple_of(TIMED_OF).then_some(TIMED_OF)
}

/// Adds to a counter that nobody else writes.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
