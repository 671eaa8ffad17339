//! Counters of all gates that instances have passed, read from time to time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ports::GateUsage;

use crate::gate::{Counted, EdgeUse};

/// The counters of every gate of every instance, and what was read of them last.
#[derive(Default)]
pub(crate) struct Ledger {
    edges: Mutex<Vec<(Arc<EdgeUse>, Option<Counted>)>>,
}

impl Ledger {
    /// Has `edge` read from now on; its last counts are read after its instance has gone.
    pub(crate) fn add(&self, edge: &Arc<EdgeUse>) {
        self.edges.lock().unwrap_or_else(PoisonError::into_inner).push((Arc::clone(edge), None));
    }

    /// Tells `take` what was counted since the last time.
    pub(crate) fn take(&self, take: &mut dyn FnMut(&GateUsage<'_>)) {
        let mut edges = self.edges.lock().unwrap_or_else(PoisonError::into_inner);
        edges.retain_mut(|(edge, seen)| {
            // Looked at first: what is counted after it is, is read the next time.
            let is_in_use = Arc::strong_count(edge) > 1;
            let before = seen.as_ref();
            let calls_before = before.map_or(0, |before| before.calls);
            if edge.calls() != calls_before {
                let now = edge.counted();
                let calls = now.calls.wrapping_sub(calls_before);
                let mut buckets = now.buckets;
                for (bucket, before) in buckets.iter_mut().zip(before.iter().flat_map(|before| before.buckets)) {
                    *bucket = bucket.wrapping_sub(before);
                }
                take(&GateUsage {
                    component: &edge.component,
                    caller: &edge.caller,
                    calls,
                    fuel: now.fuel.wrapping_sub(before.map_or(0, |before| before.fuel)),
                    duration: Duration::from_nanos(now.nanos.wrapping_sub(before.map_or(0, |before| before.nanos))),
                    buckets: &buckets,
                });
                *seen = Some(now);
            }
            is_in_use
        });
    }
}
