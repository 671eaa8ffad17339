//! How instances of a component are kept: what is asked for, and what is in force.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::parse::{read_millis, read_word};
use crate::document::{DocumentError, Item, Table};
use crate::ports::InstancePolicy;

/// Most instances of one component that can be asked for.
pub const INSTANCES_MAX: u32 = 1_024;
/// Most instances of a pool that says nothing else.
pub const POOL_DEFAULT: u32 = 8;
/// Shortest time after which idle instances can be asked to be dropped, in milliseconds.
pub const IDLE_TTL_MIN_MS: u64 = 100;
/// How long what a revision has begun goes on when another takes its place, in milliseconds, where nobody says.
pub(crate) const DRAIN_DEFAULT_MS: u64 = 30_000;
/// The longest that can be asked for, in milliseconds.
pub(crate) const DRAIN_MAX_MS: u64 = 3_600_000;

/// The keys of a table that says how instances are kept.
pub(super) const INSTANCE_KEYS: &[&str] = &["mode", "max", "idle_ttl", "activation", "link", "drain"];

/// How instances of a component are to be kept, as its manifest or its kind says; `None` leaves it to whoever is asked next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct InstanceSettings {
    /// How many instances there are and how long they live.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<InstanceMode>,
    /// Most instances at once, 1 to [`INSTANCES_MAX`]; says nothing of a shared one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max: Option<u32>,
    /// After how many milliseconds without a call an instance is dropped, at least [`IDLE_TTL_MIN_MS`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub idle_ttl_ms: Option<u64>,
    /// When the first instance is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activation: Option<InstanceActivation>,
    /// How the component is linked to those that it imports from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<InstanceLink>,
    /// For how many milliseconds running calls and handles go on when another revision takes its place, at most an hour.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drain_ms: Option<u64>,
}

impl InstanceSettings {
    /// Tells whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns these settings with the gaps filled from `fallback`.
    #[must_use]
    pub fn or(self, fallback: &Self) -> Self {
        Self {
            mode: self.mode.or(fallback.mode),
            max: self.max.or(fallback.max),
            idle_ttl_ms: self.idle_ttl_ms.or(fallback.idle_ttl_ms),
            activation: self.activation.or(fallback.activation),
            link: self.link.or(fallback.link),
            drain_ms: self.drain_ms.or(fallback.drain_ms),
        }
    }

    /// Returns what is in force, with the gaps filled by defaults: shared, eager, isolated, and never dropped for being idle.
    ///
    /// A pool has at most [`POOL_DEFAULT`] instances, or fewer if fewer calls than that may be under way at once (`calls`). Where each call has an
    /// instance, there are as many as calls may be under way, at most [`INSTANCES_MAX`].
    pub fn in_force(&self, calls: u64) -> InstancesInForce {
        let calls = u32::try_from(calls).unwrap_or(u32::MAX).clamp(1, INSTANCES_MAX);
        let mode = self.mode.unwrap_or_default();
        let max = match mode {
            InstanceMode::Shared => 1,
            InstanceMode::Pool => self.max.unwrap_or(POOL_DEFAULT.min(calls)),
            InstanceMode::PerCall => self.max.unwrap_or(calls),
        };
        InstancesInForce {
            mode,
            max,
            idle_ttl_ms: self.idle_ttl_ms,
            activation: self.activation.unwrap_or_default(),
            link: self.link.unwrap_or_default(),
            drain_ms: self.drain_ms,
        }
    }
}

/// How the instances of one component are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstancesInForce {
    /// How many instances there are and how long they live.
    pub mode: InstanceMode,
    /// Most instances at once; 1 of a shared one.
    pub max: u32,
    /// After how many milliseconds without a call an instance is dropped; `None` for never.
    pub idle_ttl_ms: Option<u64>,
    /// When the first instance is made.
    pub activation: InstanceActivation,
    /// How the component is linked to those that it imports from.
    pub link: InstanceLink,
    /// For how many milliseconds what a revision has begun goes on when another takes its place; `None` is 30 s.
    pub drain_ms: Option<u64>,
}

impl InstancesInForce {
    /// Returns what the engine has to know of it.
    pub fn policy(&self) -> InstancePolicy {
        InstancePolicy { mode: self.mode, max: self.max }
    }

    /// Returns after how long without a call an instance is dropped.
    pub fn idle_ttl(&self) -> Option<Duration> {
        self.idle_ttl_ms.map(Duration::from_millis)
    }

    /// Returns for how long what a revision has begun goes on when another takes its place.
    pub fn drain(&self) -> Duration {
        Duration::from_millis(self.drain_ms.unwrap_or(DRAIN_DEFAULT_MS))
    }

    /// Tells whether the first instance is made at the first call.
    pub fn is_lazy(&self) -> bool {
        self.activation == InstanceActivation::Lazy
    }
}

/// How many instances of a component there are and how long they live.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceMode {
    /// One long-lived instance; calls queue in order.
    #[default]
    Shared,
    /// Several instances of a component without state.
    Pool,
    /// A fresh instance for every call.
    PerCall,
}

impl InstanceMode {
    /// All modes.
    pub const ALL: [Self; 3] = [Self::Shared, Self::Pool, Self::PerCall];

    /// Returns the word people read and write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Pool => "pool",
            Self::PerCall => "per-call",
        }
    }

    /// Tells whether a component that keeps state can be kept in this way: its state is that of one instance.
    pub fn keeps_state(self) -> bool {
        match self {
            Self::Shared => true,
            Self::Pool | Self::PerCall => false,
        }
    }
}

/// When the first instance of a component is made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceActivation {
    /// With its activation, which fails if that cannot be done.
    #[default]
    Eager,
    /// With its first call; the activation links it and runs nothing of it.
    Lazy,
}

impl InstanceActivation {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Eager, Self::Lazy];

    /// Returns the word people read and write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Eager => "eager",
            Self::Lazy => "lazy",
        }
    }
}

/// How a component is linked to those that it imports from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum InstanceLink {
    /// Through gates: each has an instance, a store and limits of its own.
    #[default]
    Isolated,
    /// The code of those that may be fused with it is part of its own unit.
    Fused,
}

impl InstanceLink {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Isolated, Self::Fused];

    /// Returns the word people read and write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Isolated => "isolated",
            Self::Fused => "fused",
        }
    }
}

/// Reads a table that says how instances are kept, of a manifest or of the settings.
pub(crate) fn read_instances(table: &Table<'_>) -> Result<InstanceSettings, DocumentError> {
    table.allow(INSTANCE_KEYS)?;
    let mut settings = InstanceSettings::default();
    for item in table.items() {
        match item.name {
            "mode" => settings.mode = Some(read_word(&item, &InstanceMode::ALL, InstanceMode::as_str)?),
            "max" => settings.max = Some(read_max(&item)?),
            "idle_ttl" => settings.idle_ttl_ms = Some(read_idle_ttl(&item)?),
            "activation" => {
                settings.activation = Some(read_word(&item, &InstanceActivation::ALL, InstanceActivation::as_str)?);
            }
            "link" => settings.link = Some(read_word(&item, &InstanceLink::ALL, InstanceLink::as_str)?),
            "drain" => settings.drain_ms = Some(read_drain(&item)?),
            // `allow` has refused every other name.
            _ => {}
        }
    }
    Ok(settings)
}

/// Reads the table of a manifest, which must not contradict itself: a kind may be overruled in one key, but an author who asks for
/// several shared instances means something else.
pub(super) fn read_own_instances(table: &Table<'_>) -> Result<InstanceSettings, DocumentError> {
    let settings = read_instances(table)?;
    match (settings.mode, settings.max, table.get("max")) {
        (Some(InstanceMode::Shared), Some(2..), Some(item)) => {
            Err(item.invalid("a shared component has one instance; leave it out, or say `mode = \"pool\"`"))
        }
        _ => Ok(settings),
    }
}

fn read_max(item: &Item<'_>) -> Result<u32, DocumentError> {
    match u32::try_from(item.positive()?) {
        Ok(max) if max <= INSTANCES_MAX => Ok(max),
        _ => Err(item.invalid(format_args!("must be 1 to {INSTANCES_MAX}"))),
    }
}

/// Reads after how long without a call an instance is dropped.
pub(crate) fn read_idle_ttl(item: &Item<'_>) -> Result<u64, DocumentError> {
    match read_millis(item)? {
        ..IDLE_TTL_MIN_MS => Err(item.invalid(format_args!("must be at least {IDLE_TTL_MIN_MS}ms"))),
        millis => Ok(millis),
    }
}

/// Reads for how long what a revision has begun goes on when another takes its place.
pub(crate) fn read_drain(item: &Item<'_>) -> Result<u64, DocumentError> {
    match read_millis(item)? {
        millis @ ..=DRAIN_MAX_MS => Ok(millis),
        _ => Err(item.invalid(format_args!("must be at most {}s", DRAIN_MAX_MS / 1_000))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;

    #[test]
    fn each_mode_has_a_bound_of_its_own() {
        let max = |mode, max, calls| {
            let settings = InstanceSettings { mode: Some(mode), max, ..InstanceSettings::default() };
            settings.in_force(calls).max
        };
        assert_eq!(max(InstanceMode::Shared, Some(9), 64), 1);
        assert_eq!(max(InstanceMode::Pool, None, 64), POOL_DEFAULT);
        assert_eq!(max(InstanceMode::Pool, None, 3), 3, "no more than calls can use");
        assert_eq!(max(InstanceMode::Pool, Some(100), 3), 100);
        assert_eq!(max(InstanceMode::PerCall, None, 64), 64);
        assert_eq!(max(InstanceMode::PerCall, None, u64::MAX), INSTANCES_MAX);
    }

    #[test]
    fn what_is_not_said_is_shared_eager_isolated_and_kept() {
        let in_force = InstanceSettings::default().in_force(Limits::DEFAULT.calls);
        assert_eq!(in_force.policy(), InstancePolicy::default());
        assert_eq!((in_force.idle_ttl(), in_force.is_lazy(), in_force.link), (None, false, InstanceLink::Isolated));
    }

    #[test]
    fn settings_are_merged_key_by_key() {
        let own = InstanceSettings { max: Some(3), ..InstanceSettings::default() };
        let kind = InstanceSettings {
            mode: Some(InstanceMode::Pool),
            max: Some(9),
            idle_ttl_ms: Some(1_000),
            activation: Some(InstanceActivation::Lazy),
            link: None,
            drain_ms: Some(5_000),
        };
        let in_force = own.or(&kind).in_force(Limits::DEFAULT.calls);
        assert_eq!(
            (in_force.policy(), in_force.is_lazy()),
            (InstancePolicy { mode: InstanceMode::Pool, max: 3 }, true)
        );
        assert_eq!((in_force.idle_ttl(), in_force.drain()), (Some(Duration::from_secs(1)), Duration::from_secs(5)));
    }
}
