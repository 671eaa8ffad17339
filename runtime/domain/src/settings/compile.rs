//! Settings of compilation: how much of the machine strangers' bytes may cost.

use std::time::Duration;

use toml_edit::Value;

use super::keys::CORES;
use crate::document::{DocumentError, Item, Table};
use crate::limits::COMPONENT_BYTES_MAX;
use crate::manifest::parse::{read_bytes, read_millis};
use crate::units::{format_duration, format_size};

/// Most compilations that can be asked to run at once.
pub const WORKERS_MAX: u64 = 256;
/// Most memory that one compilation can be given, in bytes.
pub const COMPILE_MEMORY_MAX: u64 = 1 << 40;
/// Longest time that one compilation can be given, in milliseconds: a day.
pub const COMPILE_TIME_MAX_MS: u64 = 24 * 60 * 60 * 1_000;

/// How components are compiled. The bounds are those of one large component; smaller ones get a share of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileSettings {
    /// Whether this process compiles by itself, without any bound, because whoever makes the components is trusted; off by default.
    pub trusted: bool,
    /// How many compilations run at once, at most [`WORKERS_MAX`]; `None`, the default, means one for each core, at least two.
    pub workers: Option<u32>,
    /// Memory of one compilation, in bytes.
    pub memory_bytes: u64,
    /// Processor time of one compilation, all threads together, in milliseconds.
    pub cpu_ms: u64,
    /// Time of one compilation by the clock, in milliseconds.
    pub wall_ms: u64,
    /// Largest component that is taken, in bytes; [`COMPONENT_BYTES_MAX`] by default, and at most.
    pub size_bytes: u64,
}

impl Default for CompileSettings {
    fn default() -> Self {
        Self {
            trusted: false,
            workers: None,
            memory_bytes: 2 << 30,
            cpu_ms: 240_000,
            wall_ms: 600_000,
            size_bytes: COMPONENT_BYTES_MAX,
        }
    }
}

impl CompileSettings {
    /// Returns the time by the clock as a duration.
    pub fn wall(&self) -> Duration {
        Duration::from_millis(self.wall_ms)
    }

    /// Returns the value of the setting `compile.<name>`.
    pub(super) fn value(&self, name: &str) -> Option<Value> {
        let time = |millis: u64| Value::from(format_duration(Duration::from_millis(millis)));
        Some(match name {
            "trusted" => self.trusted.into(),
            "workers" => self.workers.map_or_else(|| CORES.into(), |count| i64::from(count).into()),
            "memory" => format_size(self.memory_bytes).into(),
            "cpu" => time(self.cpu_ms),
            "wall" => time(self.wall_ms),
            "size" => format_size(self.size_bytes).into(),
            _ => return None,
        })
    }
}

pub(super) fn read_compile(table: &Table<'_>) -> Result<CompileSettings, DocumentError> {
    table.allow(&["trusted", "workers", "memory", "cpu", "wall", "size"])?;
    let mut settings = CompileSettings::default();
    for item in table.items() {
        match item.name {
            "trusted" => settings.trusted = item.boolean()?,
            "workers" => settings.workers = read_workers(&item)?,
            "memory" => settings.memory_bytes = at_most(&item, read_bytes(&item)?, COMPILE_MEMORY_MAX, format_size)?,
            "cpu" => settings.cpu_ms = read_time(&item)?,
            "wall" => settings.wall_ms = read_time(&item)?,
            "size" => settings.size_bytes = at_most(&item, read_bytes(&item)?, COMPONENT_BYTES_MAX, format_size)?,
            // `allow` has refused every other name.
            _ => {}
        }
    }
    Ok(settings)
}

fn read_time(item: &Item<'_>) -> Result<u64, DocumentError> {
    at_most(item, read_millis(item)?, COMPILE_TIME_MAX_MS, |millis| format_duration(Duration::from_millis(millis)))
}

fn at_most(item: &Item<'_>, value: u64, max: u64, text: fn(u64) -> String) -> Result<u64, DocumentError> {
    if value > max { Err(item.invalid(format_args!("must be at most {}", text(max)))) } else { Ok(value) }
}

fn read_workers(item: &Item<'_>) -> Result<Option<u32>, DocumentError> {
    if item.text().is_ok_and(|text| text == CORES) {
        return Ok(None);
    }
    let number =
        if item.text().is_ok() { Err(item.wrong("a number of workers or \"cores\"")) } else { item.positive() }?;
    let number = at_most(item, number, WORKERS_MAX, |max| max.to_string())?;
    Ok(u32::try_from(number).ok())
}
