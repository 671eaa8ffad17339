use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::supervision::Quarantine;
use crate::text::escape_line;
use crate::time::Timestamp;

/// Stands before a component in quarantine: whoever calls it is refused at once, with the reason and the time at which it is tried again.
///
/// Refusals are counted, and cost neither a lock nor a disk.
#[derive(Debug)]
pub struct Barrier {
    reason: String,
    round: u32,
    probe_at: Timestamp,
    refused: AtomicU64,
    is_probing: AtomicBool,
}

/// The right to try a component in quarantine; given back when it is dropped.
#[derive(Debug)]
pub struct ProbeTurn<'a>(&'a Barrier);

impl Barrier {
    /// Makes the barrier of `quarantine`; `error` is the component's last failure.
    pub fn new(quarantine: &Quarantine, error: &str) -> Self {
        let first = error.lines().next().unwrap_or_default();
        let reason = format!(
            "in quarantine until {} after {}, the last: {}",
            quarantine.probe_at,
            quarantine.cause,
            escape_line(first)
        );
        Self {
            reason,
            round: quarantine.round,
            probe_at: quarantine.probe_at,
            refused: AtomicU64::new(0),
            is_probing: AtomicBool::new(false),
        }
    }

    /// Returns why calls are refused, as it follows "is": the same for all of them.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// Returns when the component is tried again at the earliest.
    pub fn probe_at(&self) -> Timestamp {
        self.probe_at
    }

    /// Returns which quarantine in a row this is.
    pub fn round(&self) -> u32 {
        self.round
    }

    /// Counts a call that is refused.
    pub fn refuse(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns how many calls were refused.
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Tells whether somebody tries the component just now.
    pub fn is_probing(&self) -> bool {
        self.is_probing.load(Ordering::Relaxed)
    }

    /// Lets one caller at a time try the component, from its time on.
    pub fn try_probe(&self, now: Timestamp) -> Option<ProbeTurn<'_>> {
        if now < self.probe_at || self.is_probing.swap(true, Ordering::Acquire) {
            return None;
        }
        Some(ProbeTurn(self))
    }
}

impl Drop for ProbeTurn<'_> {
    fn drop(&mut self) {
        self.0.is_probing.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lets_one_at_a_time_try_from_its_time_on() {
        let probe_at = Timestamp::from_micros(2_000_000);
        let quarantine =
            Quarantine { since: Timestamp::default(), probe_at, round: 1, cause: "5 failures within 60s".to_owned() };
        let barrier = Barrier::new(&quarantine, "the guest trapped\nhere");
        assert_eq!(
            barrier.reason(),
            "in quarantine until 1970-01-01T00:00:02.000000Z after 5 failures within 60s, the last: the guest trapped"
        );
        assert!(barrier.try_probe(Timestamp::from_micros(1_999_999)).is_none());
        let turn = barrier.try_probe(probe_at).unwrap();
        assert!(barrier.is_probing() && barrier.try_probe(probe_at).is_none());
        drop(turn);
        assert!(barrier.try_probe(probe_at).is_some());
        barrier.refuse();
        assert_eq!(barrier.refused(), 1);
    }
}
