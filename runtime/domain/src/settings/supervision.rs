//! `[health]` of the settings, and the values of `[restart]` and `[breaker]`.

use std::time::Duration;

use toml_edit::Value;

use super::Settings;
use crate::document::{DocumentError, Item, Table};
use crate::manifest::parse::read_millis;
use crate::supervision::SUPERVISION_TIME_MAX_MS;
use crate::units::format_duration;

/// Shortest interval at which the registry can be asked to look at its health, in milliseconds.
pub const HEALTH_INTERVAL_MIN_MS: u64 = 100;

/// How a live registry watches over its health.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthSettings {
    /// How often components are asked how they are, and the registry is looked at as a whole, in milliseconds.
    pub interval_ms: u64,
    /// How long a component may take to answer, in milliseconds; never longer than its own deadline.
    pub deadline_ms: u64,
    /// Below which share of healthy components, in parts of a hundred, a warning is given.
    pub threshold: u64,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { interval_ms: 60_000, deadline_ms: 5_000, threshold: 80 }
    }
}

impl HealthSettings {
    /// Returns how often health is looked at.
    pub fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms)
    }

    /// Returns how long a component may take to answer.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// Returns the threshold as a percentage.
    pub fn threshold_percentage(&self) -> f64 {
        // At most a hundred.
        self.threshold as f64
    }

    fn value(&self, name: &str) -> Option<Value> {
        let time = |millis: u64| Value::from(format_duration(Duration::from_millis(millis)));
        Some(match name {
            "interval" => time(self.interval_ms),
            "deadline" => time(self.deadline_ms),
            "threshold" => i64::try_from(self.threshold).unwrap_or(i64::MAX).into(),
            _ => return None,
        })
    }
}

/// Returns the value in force of a setting of `[restart]`, `[breaker]` or `[health]`.
pub(super) fn value(settings: &Settings, table: &str, name: &str) -> Option<Value> {
    let find = |values: &[(&str, Option<toml::Value>)]| {
        let found = values.iter().find(|(known, _)| *known == name).and_then(|(_, value)| value.clone())?;
        match found {
            toml::Value::String(text) => Some(Value::from(text)),
            toml::Value::Integer(number) => Some(Value::from(number)),
            _ => None,
        }
    };
    match table {
        "restart" => find(&settings.restart.values()),
        "breaker" => find(&settings.breaker.values()),
        "health" => settings.health.value(name),
        _ => None,
    }
}

/// Reads `[health]`.
pub(super) fn read_health(table: &Table<'_>) -> Result<HealthSettings, DocumentError> {
    table.allow(&["interval", "deadline", "threshold"])?;
    let mut settings = HealthSettings::default();
    for item in table.items() {
        match item.name {
            "interval" => settings.interval_ms = read_interval(&item)?,
            "deadline" => settings.deadline_ms = read_bounded(&item)?,
            "threshold" => settings.threshold = read_threshold(&item)?,
            // `allow` has refused every other name.
            _ => {}
        }
    }
    Ok(settings)
}

fn read_interval(item: &Item<'_>) -> Result<u64, DocumentError> {
    match read_bounded(item)? {
        ..HEALTH_INTERVAL_MIN_MS => Err(item.invalid(format_args!("must be at least {HEALTH_INTERVAL_MIN_MS}ms"))),
        millis => Ok(millis),
    }
}

/// Reads a time of at most a day.
pub(super) fn read_bounded(item: &Item<'_>) -> Result<u64, DocumentError> {
    match read_millis(item)? {
        millis if millis > SUPERVISION_TIME_MAX_MS => {
            let max = format_duration(Duration::from_millis(SUPERVISION_TIME_MAX_MS));
            Err(item.invalid(format_args!("must be at most {max}")))
        }
        millis => Ok(millis),
    }
}

fn read_threshold(item: &Item<'_>) -> Result<u64, DocumentError> {
    match item.positive()? {
        threshold @ 1..=100 => Ok(threshold),
        _ => Err(item.invalid("must be 1 to 100")),
    }
}
