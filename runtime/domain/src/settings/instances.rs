//! `[instances]` of the settings, the cache of live instances; and how instances of a kind are kept.

use std::time::Duration;

use toml_edit::Value;

use super::keys::NONE;
use crate::document::{DocumentError, Item, Table};
use crate::manifest::InstanceSettings;
use crate::manifest::instances::{DRAIN_DEFAULT_MS, read_drain, read_idle_ttl};
use crate::manifest::{InstanceActivation, InstanceLink, InstanceMode};
use crate::units::format_duration;

/// Most instances that can be asked to be kept alive.
pub const CACHE_MAX: u64 = 1_000_000;

/// How many instances are kept alive in the process, and for how long; without bounds by default. And how they end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Most instances kept alive, 1 to [`CACHE_MAX`]: beyond it the idle ones are dropped that were not used for longest.
    pub max_size: Option<u64>,
    /// After how many milliseconds without a call an instance is dropped whose component does not say itself.
    pub ttl_ms: Option<u64>,
    /// For how many milliseconds what a revision has begun goes on when another takes its place, where the component does not say.
    pub drain_ms: u64,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self { max_size: None, ttl_ms: None, drain_ms: DRAIN_DEFAULT_MS }
    }
}

impl CacheSettings {
    /// Returns after how long without a call an instance is dropped whose component does not say itself.
    pub fn ttl(&self) -> Option<Duration> {
        self.ttl_ms.map(Duration::from_millis)
    }

    /// Returns the value of the setting `instances.<name>`.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        Some(match name {
            "max_size" => match self.max_size.and_then(|size| i64::try_from(size).ok()) {
                Some(size) => size.into(),
                None => NONE.into(),
            },
            "ttl" => self.ttl().map_or_else(|| NONE.into(), |ttl| format_duration(ttl).into()),
            "drain" => format_duration(Duration::from_millis(self.drain_ms)).into(),
            _ => return None,
        })
    }
}

pub(super) fn read_cache(table: &Table<'_>) -> Result<CacheSettings, DocumentError> {
    table.allow(&["max_size", "ttl", "drain"])?;
    let mut settings = CacheSettings::default();
    for item in table.items() {
        match item.name {
            "max_size" | "ttl" if is_none(&item) => {}
            "max_size" => settings.max_size = Some(read_max_size(&item)?),
            "ttl" => settings.ttl_ms = Some(read_idle_ttl(&item)?),
            "drain" => settings.drain_ms = read_drain(&item)?,
            // `allow` has refused every other name.
            _ => {}
        }
    }
    Ok(settings)
}

fn is_none(item: &Item<'_>) -> bool {
    item.text().is_ok_and(|text| text == NONE)
}

fn read_max_size(item: &Item<'_>) -> Result<u64, DocumentError> {
    if item.text().is_ok() {
        return Err(item.wrong("a number of instances or \"none\""));
    }
    match item.positive()? {
        size @ 1..=CACHE_MAX => Ok(size),
        _ => Err(item.invalid(format_args!("must be 1 to {CACHE_MAX}"))),
    }
}

/// Returns what is set for a kind: name after `kinds.<kind>.`, and value.
pub(super) fn of_kind(instances: &InstanceSettings) -> Vec<(String, Value)> {
    let values = [
        ("mode", instances.mode.map(|mode| InstanceMode::as_str(mode).into())),
        ("max", instances.max.map(|max| i64::from(max).into())),
        ("idle_ttl", instances.idle_ttl_ms.map(|millis| format_duration(Duration::from_millis(millis)).into())),
        ("activation", instances.activation.map(|word| InstanceActivation::as_str(word).into())),
        ("drain", instances.drain_ms.map(|millis| format_duration(Duration::from_millis(millis)).into())),
        ("link", instances.link.map(|word| InstanceLink::as_str(word).into())),
    ];
    let named = |(name, value): (&str, Option<Value>)| Some((format!("instances.{name}"), value?));
    values.into_iter().filter_map(named).collect()
}
