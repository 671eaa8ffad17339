//! Hard bounds on what one component may use.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::units::{format_duration, format_size};

/// Largest component binary, in bytes; a larger file is refused before it is read.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// The limits in force for one component; every field is a bound, never a reservation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// Fuel for one call.
    pub fuel: u64,
    /// Fuel for instantiation and `lifecycle.activate` together; also for `deactivate`, `snapshot` and `restore`.
    pub activation_fuel: u64,
    /// Wall-clock time for one call, and for one activation, in milliseconds.
    pub deadline_ms: u64,
    /// Bytes of all linear memories of one instance together.
    pub memory_bytes: u64,
}

impl Limits {
    /// What a component gets that asks for nothing: 100 million fuel per call, 1,000 million for an activation,
    /// 5 seconds, 64 MiB.
    pub const DEFAULT: Self =
        Self { fuel: 100_000_000, activation_fuel: 1_000_000_000, deadline_ms: 5_000, memory_bytes: 64 << 20 };

    /// What no manifest can exceed unless the registry's settings raise it: 100,000 million fuel, the same for an
    /// activation, 10 minutes, 4 GiB.
    pub const CEILING: Self =
        Self { fuel: 100_000_000_000, activation_fuel: 100_000_000_000, deadline_ms: 600_000, memory_bytes: 4 << 30 };

    /// What even the settings cannot exceed: whatever the numbers can hold.
    pub const MAX: Self =
        Self { fuel: u64::MAX, activation_fuel: u64::MAX, deadline_ms: u64::MAX, memory_bytes: u64::MAX };

    /// Returns the wall-clock bound as a duration.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// Returns these limits with what `request` names put in its place, then capped by `ceiling`.
    pub fn with(self, request: &LimitRequests, ceiling: Self) -> Self {
        Self {
            fuel: request.fuel.unwrap_or(self.fuel).min(ceiling.fuel),
            activation_fuel: request.activation_fuel.unwrap_or(self.activation_fuel).min(ceiling.activation_fuel),
            deadline_ms: request.deadline_ms.unwrap_or(self.deadline_ms).min(ceiling.deadline_ms),
            memory_bytes: request.memory_bytes.unwrap_or(self.memory_bytes).min(ceiling.memory_bytes),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What a component manifest or a kind asks for; what is absent stays at the default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitRequests {
    /// Fuel for one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fuel: Option<u64>,
    /// Fuel for one activation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation_fuel: Option<u64>,
    /// Wall-clock milliseconds for one call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline_ms: Option<u64>,
    /// Bytes of all linear memories together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
}

impl LimitRequests {
    /// Returns these requests with the gaps filled from `fallback`.
    pub fn or(self, fallback: &Self) -> Self {
        Self {
            fuel: self.fuel.or(fallback.fuel),
            activation_fuel: self.activation_fuel.or(fallback.activation_fuel),
            deadline_ms: self.deadline_ms.or(fallback.deadline_ms),
            memory_bytes: self.memory_bytes.or(fallback.memory_bytes),
        }
    }

    /// Returns each limit of which more is asked for than `limits` give: its name, what is asked for and what is given, both
    /// as a manifest has them.
    pub fn above(&self, limits: &Limits) -> Vec<(&'static str, String, String)> {
        let number = |number: u64| number.to_string();
        let duration = |millis: u64| format_duration(Duration::from_millis(millis));
        let lowered = |asked: Option<u64>, given: u64, text: fn(u64) -> String| {
            asked.filter(|asked| *asked > given).map(|asked| (text(asked), text(given)))
        };
        let rows = [
            ("fuel", lowered(self.fuel, limits.fuel, number)),
            ("activation_fuel", lowered(self.activation_fuel, limits.activation_fuel, number)),
            ("deadline", lowered(self.deadline_ms, limits.deadline_ms, duration)),
            ("memory", lowered(self.memory_bytes, limits.memory_bytes, format_size)),
        ];
        rows.into_iter().filter_map(|(name, lowered)| lowered.map(|(asked, given)| (name, asked, given))).collect()
    }

    /// Tells whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_can_raise_a_default_but_not_pass_the_ceiling() {
        let request = LimitRequests { fuel: Some(7), memory_bytes: Some(u64::MAX), ..LimitRequests::default() };
        let limits = Limits::DEFAULT.with(&request, Limits::CEILING);
        assert_eq!((limits.fuel, limits.memory_bytes), (7, Limits::CEILING.memory_bytes));
        assert_eq!(limits.deadline_ms, Limits::DEFAULT.deadline_ms);
    }

    #[test]
    fn what_is_asked_for_above_the_limits_is_named_with_both_values() {
        let request = LimitRequests {
            fuel: Some(Limits::CEILING.fuel),
            deadline_ms: Some(3_600_000),
            memory_bytes: Some(8 << 30),
            ..LimitRequests::default()
        };
        let in_force = Limits::DEFAULT.with(&request, Limits::CEILING);
        let above = request.above(&in_force);
        let shown: Vec<_> = above.iter().map(|(name, asked, given)| format!("{name} {asked} {given}")).collect();
        assert_eq!(shown, ["deadline 3600s 600s", "memory 8GiB 4GiB"]);
        assert!(LimitRequests::default().above(&Limits::DEFAULT).is_empty());
    }
}
