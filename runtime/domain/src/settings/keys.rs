//! The keys of the settings, as people type them after `runtime settings`, and their values as text.

use std::time::Duration;

use toml_edit::{Array, InlineTable, Value};

use super::{KindSettings, Settings};
use crate::limits::{LimitRequests, Limits};
use crate::manifest::Kind;
use crate::suggest::nearest;
use crate::units::{format_duration, format_size};

/// The word for as many as there are cores.
pub(super) const CORES: &str = "cores";

/// The keys at the top of the file.
pub(super) const TABLES: &[&str] = &[
    "auto_discover",
    "case_sensitive",
    "allow_override",
    "durability",
    "limits",
    "ceilings",
    "kinds",
    "engine",
    "activation",
    "output",
];

/// One setting with the value in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SettingEntry {
    /// The dotted key, for instance `limits.fuel`.
    pub key: String,
    /// The value as TOML.
    pub value: String,
    /// Whether that is the default.
    pub is_default: bool,
    /// One sentence for people.
    pub doc: &'static str,
}

/// What sort of value a key takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// True or false.
    Flag,
    /// A whole number.
    Number,
    /// A string.
    Text,
    /// A string, or a whole number.
    TextOrNumber,
    /// A list of strings.
    Texts,
    /// A list of tables.
    Tables,
}

struct Key {
    name: &'static str,
    shape: Shape,
    doc: &'static str,
}

const fn key(name: &'static str, shape: Shape, doc: &'static str) -> Key {
    Key { name, shape, doc }
}

const KEYS: &[Key] = &[
    key("auto_discover", Shape::Texts, "Folders that are scanned when the registry is opened; finds are registered"),
    key("case_sensitive", Shape::Flag, "Whether look-ups tell upper from lower case"),
    key("allow_override", Shape::Flag, "Whether `register` acts as if --override were given"),
    key(
        "durability",
        Shape::Text,
        "What an acknowledged change survives: a power cut, the end of the process, or none",
    ),
    key("limits.fuel", Shape::Number, "Fuel for one call of a component that asks for nothing"),
    key("limits.activation_fuel", Shape::Number, "Fuel for one activation of a component that asks for nothing"),
    key("limits.deadline", Shape::Text, "Time for one call of a component that asks for nothing"),
    key("limits.memory", Shape::TextOrNumber, "Memory of an instance of a component that asks for nothing"),
    key("ceilings.fuel", Shape::Number, "The most fuel for one call that a component can ask for"),
    key("ceilings.activation_fuel", Shape::Number, "The most fuel for one activation that a component can ask for"),
    key("ceilings.deadline", Shape::Text, "The longest time for one call that a component can ask for"),
    key("ceilings.memory", Shape::TextOrNumber, "The most memory of an instance that a component can ask for"),
    key("engine.memory64", Shape::Flag, "Whether memories may have 64-bit addresses"),
    key("activation.parallel", Shape::TextOrNumber, "How many activations run at once: a number, or `cores`"),
    key("output.keep", Shape::TextOrNumber, "How much of what a component printed is kept"),
];

/// Keys after `kinds.<kind>.`; `config.` is followed by the value's own name.
const KIND_KEYS: &[Key] = &[
    key("limits.fuel", Shape::Number, "Fuel for one call of a component of this kind"),
    key("limits.activation_fuel", Shape::Number, "Fuel for one activation of a component of this kind"),
    key("limits.deadline", Shape::Text, "Time for one call of a component of this kind"),
    key("limits.memory", Shape::TextOrNumber, "Memory of an instance of a component of this kind"),
    key("grants.env", Shape::Texts, "Environment variables asked for on behalf of this kind"),
    key("grants.folders", Shape::Tables, "Folders asked for on behalf of this kind"),
    key("instances.mode", Shape::Text, "How instances of this kind are kept: shared, pool or per-call"),
    key("world", Shape::Texts, "Interfaces that every component of this kind has to export"),
];

const CONFIG_DOC: &str = "A value of `wasi:config/store` for components of this kind that do not set it";

/// A key that exists: where it is in the file, and what it takes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The names of the tables and, last, of the value.
    pub(super) path: Vec<String>,
    pub(super) shape: Shape,
}

/// Finds a key as people type it; the error is the known key that is most like it.
pub(super) fn find(name: &str) -> Result<Place, Option<String>> {
    if let Some(key) = KEYS.iter().find(|key| key.name == name) {
        return Ok(Place { path: key.name.split('.').map(str::to_owned).collect(), shape: key.shape });
    }
    let near = || nearest(name, KEYS.iter().map(|key| key.name)).map(str::to_owned);
    let (kind, rest) = name.strip_prefix("kinds.").and_then(|rest| rest.split_once('.')).ok_or_else(near)?;
    kind.parse::<Kind>().map_err(|_not_a_kind| near())?;
    let mut path = vec!["kinds".to_owned(), kind.to_owned()];
    if let Some(value) = rest.strip_prefix("config.").filter(|value| !value.is_empty()) {
        path.extend(["config".to_owned(), value.to_owned()]);
        return Ok(Place { path, shape: Shape::Text });
    }
    match KIND_KEYS.iter().find(|key| key.name == rest) {
        Some(key) => {
            path.extend(key.name.split('.').map(str::to_owned));
            Ok(Place { path, shape: key.shape })
        }
        None => {
            let known = KIND_KEYS.iter().map(|key| key.name);
            Err(nearest(rest, known).map(|near| format!("kinds.{kind}.{near}")))
        }
    }
}

impl Settings {
    /// Returns the value in force of a dotted key as TOML, `None` if there is no such key or, below `kinds`, if
    /// nothing is set.
    pub fn get(&self, key: &str) -> Option<String> {
        if let Some(value) = self.fixed(key) {
            return Some(render(value));
        }
        let (kind, rest) = key.strip_prefix("kinds.")?.split_once('.')?;
        let kind = self.kinds.get(&kind.parse::<Kind>().ok()?)?;
        let mut values = kind_values(kind).into_iter();
        values.find(|(name, _, _)| name == rest).map(|(_, value, _)| render(value))
    }

    /// Returns all settings with the values in force: those that always exist in a fixed order, then those that
    /// are set for kinds.
    pub fn entries(&self) -> Vec<SettingEntry> {
        let defaults = Self::default();
        let mut entries = Vec::new();
        for key in KEYS {
            let (Some(value), Some(default)) = (self.get(key.name), defaults.get(key.name)) else { continue };
            entries.push(SettingEntry { key: key.name.to_owned(), is_default: value == default, value, doc: key.doc });
        }
        for (kind, settings) in &self.kinds {
            entries.extend(kind_values(settings).into_iter().map(|(name, value, doc)| SettingEntry {
                key: format!("kinds.{kind}.{name}"),
                value: render(value),
                is_default: false,
                doc,
            }));
        }
        entries
    }

    fn fixed(&self, key: &str) -> Option<Value> {
        Some(match key {
            "auto_discover" => list(&self.auto_discover),
            "case_sensitive" => self.case_sensitive.into(),
            "allow_override" => self.allow_override.into(),
            "durability" => self.durability.as_str().into(),
            "engine.memory64" => self.engine.memory64.into(),
            "activation.parallel" => self.activation.parallel.map_or_else(|| CORES.into(), |n| i64::from(n).into()),
            "output.keep" => format_size(self.output.keep_bytes).into(),
            _ => {
                let (table, name) = key.split_once('.')?;
                let limits = match table {
                    "limits" => self.limits,
                    "ceilings" => self.ceilings,
                    _ => return None,
                };
                limit_values(&all_of(limits)).into_iter().find(|(known, _)| *known == name)?.1
            }
        })
    }
}

fn all_of(limits: Limits) -> LimitRequests {
    LimitRequests {
        fuel: Some(limits.fuel),
        activation_fuel: Some(limits.activation_fuel),
        deadline_ms: Some(limits.deadline_ms),
        memory_bytes: Some(limits.memory_bytes),
    }
}

/// Returns the limits that are set, by their names in the file.
fn limit_values(limits: &LimitRequests) -> Vec<(&'static str, Value)> {
    // A TOML integer ends where i64 does; the reader lets nothing larger in.
    let number = |value: u64| Value::from(i64::try_from(value).unwrap_or(i64::MAX));
    let deadline = |millis: u64| Value::from(format_duration(Duration::from_millis(millis)));
    [
        ("fuel", limits.fuel.map(number)),
        ("activation_fuel", limits.activation_fuel.map(number)),
        ("deadline", limits.deadline_ms.map(deadline)),
        ("memory", limits.memory_bytes.map(|bytes| format_size(bytes).into())),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .collect()
}

/// Returns what is set for a kind: name after `kinds.<kind>.`, value, sentence.
fn kind_values(kind: &KindSettings) -> Vec<(String, Value, &'static str)> {
    let mut values: Vec<(String, Value)> = Vec::new();
    values.extend(limit_values(&kind.limits).into_iter().map(|(name, value)| (format!("limits.{name}"), value)));
    if !kind.grants.env.is_empty() {
        values.push(("grants.env".to_owned(), list(&kind.grants.env)));
    }
    if !kind.grants.folders.is_empty() {
        let tables = kind.grants.folders.iter().map(|folder| {
            let pairs = [("path", folder.path.as_str()), ("at", &folder.at), ("mode", folder.mode.as_str())];
            InlineTable::from_iter(pairs)
        });
        values.push(("grants.folders".to_owned(), Array::from_iter(tables).into()));
    }
    if let Some(mode) = kind.instances.mode {
        values.push(("instances.mode".to_owned(), mode.as_str().into()));
    }
    if !kind.world.is_empty() {
        values.push(("world".to_owned(), list(&kind.world)));
    }
    let with_doc = |(name, value): (String, Value)| {
        let doc = KIND_KEYS.iter().find(|key| key.name == name).map_or("", |key| key.doc);
        (name, value, doc)
    };
    let mut values: Vec<_> = values.into_iter().map(with_doc).collect();
    values
        .extend(kind.config.iter().map(|(name, value)| (format!("config.{name}"), value.as_str().into(), CONFIG_DOC)));
    values
}

fn list<T: std::fmt::Display>(items: &[T]) -> Value {
    Array::from_iter(items.iter().map(ToString::to_string)).into()
}

fn render(value: Value) -> String {
    value.to_string().trim().to_owned()
}
