//! `[restart]` and `[breaker]`, of a component manifest and of the settings.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use toml::Value;

use super::backoff::Backoff;
use super::breaker::BreakerInForce;
use crate::document::{DocumentError, Item, Table};
use crate::manifest::parse::{read_millis, read_word};
use crate::units::format_duration;

/// Shortest time that can be asked for in `[restart]` and `[breaker]`, in milliseconds.
pub const SUPERVISION_TIME_MIN_MS: u64 = 100;
/// Longest time that can be asked for there, in milliseconds: a day.
pub const SUPERVISION_TIME_MAX_MS: u64 = 24 * 60 * 60 * 1_000;
/// Most restarts within a window that can be asked for.
pub const RESTARTS_MAX: u32 = 1_000;
/// Most failures within a window that can be asked for: not more than a component's history keeps.
pub const FAILURES_COUNTED_MAX: u32 = 100;

/// The keys of `[restart]`.
pub(crate) const RESTART_KEYS: &[&str] = &["policy", "delay", "max_delay", "max_restarts", "window"];
/// The keys of `[breaker]`.
pub(crate) const BREAKER_KEYS: &[&str] = &["failures", "window", "delay", "max_delay"];

/// The word for a breaker that never opens.
const NEVER: &str = "never";

/// Whether the registry makes a component anew by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartPolicy {
    /// Only when it is called or activated.
    Never,
    /// When its instance was discarded after a failure, or its activation failed.
    #[default]
    OnFailure,
}

impl RestartPolicy {
    /// All policies.
    pub const ALL: [Self; 2] = [Self::Never, Self::OnFailure];

    /// Returns the word people read and write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Never => "never",
            Self::OnFailure => "on-failure",
        }
    }
}

/// When a component is made anew, as its manifest or the settings say; `None` leaves it to whoever is asked next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RestartSettings {
    /// Whether it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy: Option<RestartPolicy>,
    /// How long after the failure, in milliseconds; twice as long with each restart within the window.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// How long at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay_ms: Option<u64>,
    /// How often within the window; beyond it the component is put in quarantine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_restarts: Option<u32>,
    /// The window, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
}

/// When one component is made anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RestartInForce {
    /// Whether it is.
    pub policy: RestartPolicy,
    /// How long after the failure.
    pub backoff: Backoff,
    /// How often within the window.
    pub max_restarts: u32,
    /// The window.
    pub window: Duration,
}

impl RestartSettings {
    /// What holds where nothing is said.
    pub const DEFAULT: Self = Self {
        policy: Some(RestartPolicy::OnFailure),
        delay_ms: Some(1_000),
        max_delay_ms: Some(30_000),
        max_restarts: Some(5),
        window_ms: Some(60_000),
    };

    /// Tells whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns these settings with the gaps filled from `fallback`.
    #[must_use]
    pub fn or(self, fallback: &Self) -> Self {
        Self {
            policy: self.policy.or(fallback.policy),
            delay_ms: self.delay_ms.or(fallback.delay_ms),
            max_delay_ms: self.max_delay_ms.or(fallback.max_delay_ms),
            max_restarts: self.max_restarts.or(fallback.max_restarts),
            window_ms: self.window_ms.or(fallback.window_ms),
        }
    }

    /// Returns what is said, under the keys of the table.
    pub(crate) fn values(&self) -> [(&'static str, Option<Value>); 5] {
        let millis = |set: Option<u64>| set.map(|millis| Value::from(format_duration(Duration::from_millis(millis))));
        [
            ("policy", self.policy.map(|policy| policy.as_str().into())),
            ("delay", millis(self.delay_ms)),
            ("max_delay", millis(self.max_delay_ms)),
            ("max_restarts", self.max_restarts.map(Value::from)),
            ("window", millis(self.window_ms)),
        ]
    }

    /// Returns what is in force, with the gaps filled by defaults: on failure, after a second and up to half a minute, five times within
    /// a minute.
    pub fn in_force(&self) -> RestartInForce {
        let (all, millis) =
            (self.or(&Self::DEFAULT), |set: Option<u64>| Duration::from_millis(set.unwrap_or_default()));
        RestartInForce {
            policy: all.policy.unwrap_or_default(),
            backoff: Backoff { base: millis(all.delay_ms), max: millis(all.max_delay_ms) },
            max_restarts: all.max_restarts.unwrap_or_default(),
            window: millis(all.window_ms),
        }
    }
}

/// When a component is put in quarantine, as its manifest or the settings say; `None` leaves it to whoever is asked next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BreakerSettings {
    /// How many failures within the window are too many, 0 for never.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// The window, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window_ms: Option<u64>,
    /// How long the first quarantine is, in milliseconds; the next is twice as long, and so on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delay_ms: Option<u64>,
    /// How long a quarantine is at most.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_delay_ms: Option<u64>,
}

impl BreakerSettings {
    /// What holds where nothing is said.
    pub const DEFAULT: Self =
        Self { failures: Some(5), window_ms: Some(60_000), delay_ms: Some(10_000), max_delay_ms: Some(300_000) };

    /// Tells whether nothing is said.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Returns these settings with the gaps filled from `fallback`.
    #[must_use]
    pub fn or(self, fallback: &Self) -> Self {
        Self {
            failures: self.failures.or(fallback.failures),
            window_ms: self.window_ms.or(fallback.window_ms),
            delay_ms: self.delay_ms.or(fallback.delay_ms),
            max_delay_ms: self.max_delay_ms.or(fallback.max_delay_ms),
        }
    }

    /// Returns what is said, under the keys of the table.
    pub(crate) fn values(&self) -> [(&'static str, Option<Value>); 4] {
        let millis = |set: Option<u64>| set.map(|millis| Value::from(format_duration(Duration::from_millis(millis))));
        let failures = |failures: u32| if failures == 0 { NEVER.into() } else { Value::from(failures) };
        [
            ("failures", self.failures.map(failures)),
            ("window", millis(self.window_ms)),
            ("delay", millis(self.delay_ms)),
            ("max_delay", millis(self.max_delay_ms)),
        ]
    }

    /// Returns what is in force, with the gaps filled by defaults: five failures within a minute, tried again after ten seconds, and
    /// after five minutes at most.
    pub fn in_force(&self) -> BreakerInForce {
        let (all, millis) =
            (self.or(&Self::DEFAULT), |set: Option<u64>| Duration::from_millis(set.unwrap_or_default()));
        BreakerInForce {
            failures: all.failures.filter(|failures| *failures > 0),
            window: millis(all.window_ms),
            backoff: Backoff { base: millis(all.delay_ms), max: millis(all.max_delay_ms) },
        }
    }
}

/// Reads `[restart]`.
pub(crate) fn read_restart(table: &Table<'_>) -> Result<RestartSettings, DocumentError> {
    table.allow(RESTART_KEYS)?;
    let mut settings = RestartSettings::default();
    for item in table.items() {
        match item.name {
            "policy" => settings.policy = Some(read_word(&item, &RestartPolicy::ALL, RestartPolicy::as_str)?),
            "delay" => settings.delay_ms = Some(read_time(&item)?),
            "max_delay" => settings.max_delay_ms = Some(read_time(&item)?),
            "max_restarts" => settings.max_restarts = Some(read_count(&item, RESTARTS_MAX)?),
            "window" => settings.window_ms = Some(read_time(&item)?),
            // `allow` has refused every other name.
            _ => {}
        }
    }
    Ok(settings)
}

/// Reads `[breaker]`.
pub(crate) fn read_breaker(table: &Table<'_>) -> Result<BreakerSettings, DocumentError> {
    table.allow(BREAKER_KEYS)?;
    let mut settings = BreakerSettings::default();
    for item in table.items() {
        match item.name {
            "failures" if item.text().is_ok_and(|text| text == NEVER) => settings.failures = Some(0),
            "failures" if item.text().is_ok() => return Err(item.wrong("a number of failures or \"never\"")),
            "failures" => settings.failures = Some(read_count(&item, FAILURES_COUNTED_MAX)?),
            "window" => settings.window_ms = Some(read_time(&item)?),
            "delay" => settings.delay_ms = Some(read_time(&item)?),
            "max_delay" => settings.max_delay_ms = Some(read_time(&item)?),
            // `allow` has refused every other name.
            _ => {}
        }
    }
    Ok(settings)
}

fn read_count(item: &Item<'_>, max: u32) -> Result<u32, DocumentError> {
    match u32::try_from(item.positive()?) {
        Ok(count) if (1..=max).contains(&count) => Ok(count),
        _ => Err(item.invalid(format_args!("must be 1 to {max}"))),
    }
}

fn read_time(item: &Item<'_>) -> Result<u64, DocumentError> {
    let text = |millis| format_duration(Duration::from_millis(millis));
    match read_millis(item)? {
        ..SUPERVISION_TIME_MIN_MS => {
            Err(item.invalid(format_args!("must be at least {}", text(SUPERVISION_TIME_MIN_MS))))
        }
        millis if millis > SUPERVISION_TIME_MAX_MS => {
            Err(item.invalid(format_args!("must be at most {}", text(SUPERVISION_TIME_MAX_MS))))
        }
        millis => Ok(millis),
    }
}
