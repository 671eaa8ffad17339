//! Counters of use: soft state, kept in memory and written in batches.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::Timestamp;

/// How much one component was used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Accesses: calls, and look-ups of its instance.
    pub access_count: u64,
    /// The last access.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_accessed: Option<Timestamp>,
    /// Finished calls, failed ones included.
    pub calls: u64,
    /// Failed calls.
    pub errors: u64,
    /// Fuel used by calls.
    pub fuel: u64,
    /// Durations of calls.
    pub durations: Histogram,
    /// Finished activations.
    pub activations: u64,
    /// Time they took, in microseconds together.
    pub activation_us: u64,
    /// Uses of a live instance.
    pub instance_hits: u64,
    /// Uses for which an instance had to be made.
    pub instance_misses: u64,
}

impl Usage {
    /// Adds what `other` counted.
    pub fn merge(&mut self, other: &Self) {
        self.access_count += other.access_count;
        self.last_accessed = self.last_accessed.max(other.last_accessed);
        self.calls += other.calls;
        self.errors += other.errors;
        self.fuel = self.fuel.saturating_add(other.fuel);
        self.durations.merge(&other.durations);
        self.activations += other.activations;
        self.activation_us = self.activation_us.saturating_add(other.activation_us);
        self.instance_hits += other.instance_hits;
        self.instance_misses += other.instance_misses;
    }
}

/// Counts of durations in buckets whose width grows with the value: each power of two is cut in four, so a
/// percentile is right to within an eighth.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Histogram {
    /// Sum of all durations in microseconds.
    total_us: u64,
    /// Bucket number → count.
    buckets: BTreeMap<u8, u64>,
}

impl Histogram {
    /// Counts one duration.
    pub fn add(&mut self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.total_us = self.total_us.saturating_add(us);
        *self.buckets.entry(bucket(us)).or_default() += 1;
    }

    /// Adds durations counted elsewhere: their sum, and how many fell into each [`quick_bucket`].
    pub fn add_quick(&mut self, total: Duration, buckets: &[u64]) {
        let us = u64::try_from(total.as_micros()).unwrap_or(u64::MAX);
        self.total_us = self.total_us.saturating_add(us);
        for (bucket, count) in buckets.iter().enumerate().filter(|(_, count)| **count > 0) {
            if let Ok(bucket) = u8::try_from(bucket) {
                *self.buckets.entry(bucket).or_default() += count;
            }
        }
    }

    /// Adds the counts of `other`.
    pub fn merge(&mut self, other: &Self) {
        self.total_us = self.total_us.saturating_add(other.total_us);
        for (bucket, count) in &other.buckets {
            *self.buckets.entry(*bucket).or_default() += count;
        }
    }

    /// Returns how many durations were counted.
    pub fn count(&self) -> u64 {
        self.buckets.values().sum()
    }

    /// Returns the mean in microseconds, 0 if nothing was counted.
    pub fn mean_us(&self) -> u64 {
        self.total_us.checked_div(self.count()).unwrap_or(0)
    }

    /// Returns the duration in microseconds that `percent` of those counted do not exceed, 0 if nothing was.
    pub fn percentile_us(&self, percent: u8) -> u64 {
        let rank = (self.count() * u64::from(percent.min(100))).div_ceil(100);
        let mut seen = 0;
        for (bucket, count) in &self.buckets {
            seen += count;
            if seen >= rank {
                return bucket_middle(*bucket);
            }
        }
        0
    }
}

/// Durations below this many microseconds are quick: whoever counts very many of them does so in a few buckets.
pub const QUICK_US: u64 = 1 << 10;

/// How many buckets quick durations fall into.
pub const QUICK_BUCKETS: usize = 36;

/// Returns the bucket of a duration in microseconds; below [`QUICK_BUCKETS`] if it is quick.
pub fn quick_bucket(us: u64) -> usize {
    usize::from(bucket(us))
}

fn bucket(us: u64) -> u8 {
    if us < 4 {
        return us as u8;
    }
    let exponent = us.ilog2();
    let quarter = (us >> (exponent - 2)) & 3;
    (exponent as u8 - 1) * 4 + quarter as u8
}

fn bucket_middle(bucket: u8) -> u64 {
    if bucket < 4 {
        return u64::from(bucket);
    }
    let exponent = u32::from(bucket / 4 + 1);
    let width = 1u64 << (exponent - 2);
    (4 + u64::from(bucket % 4)) * width + width / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_right_to_within_an_eighth() {
        let mut histogram = Histogram::default();
        for us in 1..=1000 {
            histogram.add(Duration::from_micros(us));
        }
        assert_eq!((histogram.count(), histogram.mean_us()), (1000, 500));
        for (percent, exact) in [(50, 500.0), (90, 900.0), (99, 990.0)] {
            let found = histogram.percentile_us(percent) as f64;
            assert!((found - exact).abs() <= exact / 8.0, "p{percent}: {found}");
        }
    }

    #[test]
    fn quick_durations_are_counted_as_all_are() {
        let (mut one_by_one, mut together) = (Histogram::default(), Histogram::default());
        let mut buckets = [0; QUICK_BUCKETS];
        for us in 0..QUICK_US {
            one_by_one.add(Duration::from_micros(us));
            buckets[quick_bucket(us)] += 1;
        }
        together.add_quick(Duration::from_micros((0..QUICK_US).sum()), &buckets);
        assert_eq!(one_by_one, together);
        assert_eq!(quick_bucket(QUICK_US), QUICK_BUCKETS);
    }

    #[test]
    fn every_duration_has_a_bucket() {
        let mut last = 0;
        for us in
            (0..64).map(|shift| 1u64 << shift).chain([0, 3, 5, u64::MAX]).collect::<std::collections::BTreeSet<_>>()
        {
            assert!(bucket(us) >= last, "{us}");
            last = bucket(us);
        }
    }
}
