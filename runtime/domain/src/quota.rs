//! Quotas: what a component or a namespace may use over time and in all, across processes.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::ComponentId;
use crate::time::Timestamp;

/// How far ahead of its rate something may be: it may use at once what comes together in this time.
const BURST: Duration = Duration::from_secs(1);

/// What one component, or all components of one namespace together, may use; `None` is without bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Fuel a second.
    pub fuel_per_second: Option<u64>,
    /// Calls a second.
    pub calls_per_second: Option<u64>,
    /// Bytes of all registered revisions together; of a namespace alone.
    pub blob_bytes: Option<u64>,
    /// Components that are registered; of a namespace alone.
    pub components: Option<u64>,
}

impl Quota {
    /// Returns this quota with the gaps filled from `fallback`.
    #[must_use]
    pub fn or(self, fallback: &Self) -> Self {
        Self {
            fuel_per_second: self.fuel_per_second.or(fallback.fuel_per_second),
            calls_per_second: self.calls_per_second.or(fallback.calls_per_second),
            blob_bytes: self.blob_bytes.or(fallback.blob_bytes),
            components: self.components.or(fallback.components),
        }
    }
}

/// The quotas of a registry; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas {
    /// Of each component.
    pub component: Quota,
    /// Of each namespace.
    pub namespace: Quota,
    /// Of single components, where they differ.
    pub components: BTreeMap<ComponentId, Quota>,
    /// Of single namespaces, where they differ.
    pub namespaces: BTreeMap<String, Quota>,
}

impl Quotas {
    /// Returns the quota of a component.
    pub fn of_component(&self, id: &ComponentId) -> Quota {
        self.components.get(id).copied().unwrap_or_default().or(&self.component)
    }

    /// Returns the quota of a namespace.
    pub fn of_namespace(&self, namespace: &str) -> Quota {
        self.namespaces.get(namespace).copied().unwrap_or_default().or(&self.namespace)
    }

    /// Tells whether nothing is bounded.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How far something has used up its rates: a full bucket needs no memory.
///
/// For each rate this is the moment at which all that was used would have come together at that rate. Of two meters of the same thing
/// the later moments count.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Meter {
    /// When the fuel that was used has come together.
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<Timestamp>,
    /// When the calls that were made have come together.
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<Timestamp>,
}

/// A rate that is used up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UsedUp {
    /// What of: `fuel` or `calls`.
    pub what: &'static str,
    /// How much there is in a second.
    pub per_second: u64,
    /// When there is some again.
    pub retry_after: Duration,
}

impl Meter {
    /// Counts a call that begins.
    ///
    /// # Errors
    /// [`UsedUp`] if a rate is; nothing is counted then.
    pub fn begin(&mut self, quota: &Quota, now: Timestamp) -> Result<(), UsedUp> {
        if let Some(per_second) = quota.fuel_per_second {
            let ahead = ahead(self.fuel, now);
            if ahead >= BURST {
                return Err(UsedUp { what: "fuel", per_second, retry_after: ahead.saturating_sub(BURST) });
            }
        }
        if let Some(per_second) = quota.calls_per_second {
            let (ahead, cost) = (ahead(self.calls, now), cost(1, per_second));
            // A rate below one a second lets one call through when nothing is used.
            if !ahead.is_zero() && ahead + cost > BURST {
                return Err(UsedUp { what: "calls", per_second, retry_after: (ahead + cost).saturating_sub(BURST) });
            }
            self.calls = Some(later(self.calls, now, cost));
        }
        Ok(())
    }

    /// Counts fuel that was used. A call may use more than there is; others wait for it.
    pub fn used(&mut self, quota: &Quota, fuel: u64, now: Timestamp) {
        if let Some(per_second) = quota.fuel_per_second {
            self.fuel = Some(later(self.fuel, now, cost(fuel, per_second)));
        }
    }

    /// Tells whether everything has come together again.
    pub fn is_full(&self, now: Timestamp) -> bool {
        ahead(self.fuel, now).is_zero() && ahead(self.calls, now).is_zero()
    }

    /// Takes over what another meter of the same thing has counted.
    pub fn merge(&mut self, other: &Self) {
        self.fuel = self.fuel.max(other.fuel);
        self.calls = self.calls.max(other.calls);
    }
}

/// Returns how far in the future a moment is. What is further away than a day was counted by a clock that was wrong.
fn ahead(until: Option<Timestamp>, now: Timestamp) -> Duration {
    const DAY: Duration = Duration::from_secs(86_400);
    let micros = until.map_or(0, |until| until.as_micros().saturating_sub(now.as_micros()));
    let ahead = Duration::from_micros(u64::try_from(micros).unwrap_or(0));
    if ahead > DAY { Duration::ZERO } else { ahead }
}

fn later(until: Option<Timestamp>, now: Timestamp, more: Duration) -> Timestamp {
    let total = ahead(until, now).saturating_add(more).min(Duration::from_secs(80_000));
    let micros = i64::try_from(total.as_micros()).unwrap_or(i64::MAX);
    Timestamp::from_micros(now.as_micros().saturating_add(micros))
}

/// Returns the time in which so much comes together.
fn cost(units: u64, per_second: u64) -> Duration {
    let micros = u128::from(units) * 1_000_000 / u128::from(per_second.max(1));
    Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_micros(1_000_000_000 + millis * 1_000)
    }

    #[test]
    fn calls_come_back_at_their_rate() {
        let quota = Quota { calls_per_second: Some(10), ..Quota::default() };
        let mut meter = Meter::default();
        let admitted = (0..20).filter(|_| meter.begin(&quota, at(0)).is_ok()).count();
        assert_eq!(admitted, 10);
        let refused = meter.begin(&quota, at(0)).unwrap_err();
        assert_eq!((refused.what, refused.retry_after), ("calls", Duration::from_millis(100)));
        assert!(meter.begin(&quota, at(100)).is_ok());
        assert!(meter.begin(&quota, at(100)).is_err());
        assert!(!meter.is_full(at(500)) && meter.is_full(at(1_100)));
    }

    #[test]
    fn fuel_that_was_used_beyond_the_rate_is_waited_for() {
        let quota = Quota { fuel_per_second: Some(1_000), ..Quota::default() };
        let mut meter = Meter::default();
        assert!(meter.begin(&quota, at(0)).is_ok());
        meter.used(&quota, 3_000, at(0));
        assert_eq!(meter.begin(&quota, at(500)).unwrap_err().retry_after, Duration::from_millis(1_500));
        assert!(meter.begin(&quota, at(2_001)).is_ok());
        meter.used(&quota, u64::MAX, at(2_001));
        assert!(meter.begin(&quota, at(2_001)).unwrap_err().retry_after < Duration::from_secs(86_400));
    }

    #[test]
    fn a_clock_that_was_wrong_keeps_nobody_out() {
        let quota = Quota { calls_per_second: Some(1), ..Quota::default() };
        let mut meter = Meter { calls: Some(at(1_000_000_000)), ..Meter::default() };
        assert!(meter.begin(&quota, at(0)).is_ok());
    }

    #[test]
    fn what_is_said_of_one_goes_before_what_is_said_of_all() {
        let id: ComponentId = "demo:a".parse().unwrap();
        let of_all = Quota { calls_per_second: Some(5), fuel_per_second: Some(7), ..Quota::default() };
        let own = Quota { calls_per_second: Some(9), ..Quota::default() };
        let quotas = Quotas { component: of_all, components: [(id.clone(), own)].into(), ..Quotas::default() };
        let quota = quotas.of_component(&id);
        assert_eq!((quota.calls_per_second, quota.fuel_per_second), (Some(9), Some(7)));
    }
}
