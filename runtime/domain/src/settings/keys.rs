//! The keys of the settings, as people type them after `runtime settings`, and their values as text.

use std::borrow::Cow;

use toml_edit::{Array, InlineTable, Value};

use super::{KindSettings, Settings, instances, quotas, supervision};
use crate::limits::{Limit, LimitUnit};
use crate::manifest::Kind;
use crate::manifest::parse::PRECISE;
use crate::suggest::nearest;
use crate::units::{format_duration, format_size};

/// The word for as many as there are cores.
pub(super) const CORES: &str = "cores";

/// The word for no bound.
pub(super) const NONE: &str = "none";

/// The keys at the top of the file.
pub(super) const TABLES: &[&str] = &[
    "auto_discover",
    "case_sensitive",
    "allow_override",
    "durability",
    "limits",
    "ceilings",
    "kinds",
    "quotas",
    "engine",
    "activation",
    "instances",
    "restart",
    "breaker",
    "health",
    "compile",
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
    pub doc: Cow<'static, str>,
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
    key("engine.memory64", Shape::Flag, "Whether memories may have 64-bit addresses"),
    key("engine.stack", Shape::TextOrNumber, "Stack of a guest's functions, 64KiB to 1MiB"),
    key("activation.parallel", Shape::TextOrNumber, "How many activations run at once: a number, or `cores`"),
    key(
        "activation.max_retries",
        Shape::Number,
        "How often an activation that failed is tried again before it is given up",
    ),
    key("activation.retry_delay", Shape::Text, "How long before the first such attempt; twice as long before the next"),
    key("activation.follow", Shape::Flag, "Whether what loses a dependency goes to `inactive` and comes back with it"),
    key("restart.policy", Shape::Text, "Whether what failed is made anew: never or on-failure"),
    key("restart.delay", Shape::Text, "How long after the failure; twice as long with each restart in the window"),
    key("restart.max_delay", Shape::Text, "How long after the failure at most"),
    key("restart.max_restarts", Shape::Number, "How often in the window; beyond it the component is in quarantine"),
    key("restart.window", Shape::Text, "The window in which restarts are counted"),
    key(
        "breaker.failures",
        Shape::TextOrNumber,
        "How many failures in the window put a component in quarantine, or `never`",
    ),
    key("breaker.window", Shape::Text, "The window in which failures are counted"),
    key("breaker.delay", Shape::Text, "How long a quarantine is; twice as long with each one in a row"),
    key("breaker.max_delay", Shape::Text, "How long a quarantine is at most"),
    key("health.interval", Shape::Text, "How often a live registry asks its components how they are"),
    key("health.deadline", Shape::Text, "How long a component may take to answer"),
    key("health.threshold", Shape::Number, "Below which percentage of healthy components a warning is given"),
    key("instances.max_size", Shape::TextOrNumber, "Most instances kept alive in the process, or `none` for no bound"),
    key(
        "instances.ttl",
        Shape::Text,
        "When idle instances are dropped whose component does not say, or `none` for never",
    ),
    key(
        "instances.drain",
        Shape::Text,
        "How long running calls and handles of a revision go on when another takes its place",
    ),
    key("compile.trusted", Shape::Flag, "Whether components are compiled in this process, without bounds"),
    key("compile.workers", Shape::TextOrNumber, "How many compilations run at once: a number, or `cores`"),
    key("compile.memory", Shape::TextOrNumber, "Memory for compiling one component; small ones get a share"),
    key("compile.cpu", Shape::Text, "Processor time for compiling one component; small ones get a share"),
    key("compile.wall", Shape::Text, "Time for compiling one component; small ones get a share"),
    key("compile.size", Shape::TextOrNumber, "The largest component that is taken"),
    key("output.keep", Shape::TextOrNumber, "How much of what a component printed is kept"),
];

/// Keys after `kinds.<kind>.`; `config.` is followed by the value's own name.
const KIND_KEYS: &[Key] = &[
    key("grants.env", Shape::Texts, "Environment variables asked for on behalf of this kind"),
    key("grants.folders", Shape::Tables, "Folders asked for on behalf of this kind"),
    key("grants.clocks", Shape::Text, "Clocks in full resolution, asked for on behalf of this kind"),
    key("instances.mode", Shape::Text, "How instances of this kind are kept: shared, pool or per-call"),
    key("instances.max", Shape::Number, "Most instances of a component of this kind: 1 to 1024"),
    key("instances.idle_ttl", Shape::Text, "After how long without a call an instance of this kind is dropped"),
    key("instances.activation", Shape::Text, "When the first instance is made: eager or lazy"),
    key(
        "instances.drain",
        Shape::Text,
        "How long running calls and handles of a revision of this kind go on when another takes its place",
    ),
    key("instances.link", Shape::Text, "How components of this kind are linked to others: isolated or fused"),
    key("world", Shape::Texts, "Interfaces that every component of this kind has to export"),
];

/// Tables of limits, with what their values are for.
const LIMIT_TABLES: [(&str, &str); 2] =
    [("limits", "for a component that asks for nothing"), ("ceilings", "the most that a component can ask for")];

/// Returns the names of the limits in one of the tables.
fn limit_keys(table: &str) -> impl Iterator<Item = (String, Limit)> {
    Limit::ALL.iter().map(move |limit| (format!("{table}.{}", limit.name()), *limit))
}

fn shape_of(limit: Limit) -> Shape {
    match limit.unit() {
        LimitUnit::Count => Shape::Number,
        LimitUnit::Bytes => Shape::TextOrNumber,
        LimitUnit::Millis => Shape::Text,
    }
}

/// Returns what a limit bounds, and for whom, in one sentence.
fn limit_doc(limit: Limit, whom: &str) -> Cow<'static, str> {
    format!("{} ({whom})", limit.doc().trim_end_matches('.')).into()
}

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
    let limits: Vec<_> = LIMIT_TABLES.iter().flat_map(|(table, _)| limit_keys(table)).collect();
    if let Some((key, limit)) = limits.iter().find(|(key, _)| key == name) {
        return Ok(Place { path: key.split('.').map(str::to_owned).collect(), shape: shape_of(*limit) });
    }
    if let Some(rest) = name.strip_prefix("quotas.") {
        return quotas::find(rest);
    }
    let near = || {
        let known = KEYS.iter().map(|key| key.name).chain(limits.iter().map(|(key, _)| key.as_str()));
        nearest(name, known).map(str::to_owned)
    };
    let (kind, rest) = name.strip_prefix("kinds.").and_then(|rest| rest.split_once('.')).ok_or_else(near)?;
    kind.parse::<Kind>().map_err(|_not_a_kind| near())?;
    let mut path = vec!["kinds".to_owned(), kind.to_owned()];
    if let Some(value) = rest.strip_prefix("config.").filter(|value| !value.is_empty()) {
        path.extend(["config".to_owned(), value.to_owned()]);
        return Ok(Place { path, shape: Shape::Text });
    }
    let limits: Vec<_> = limit_keys("limits").collect();
    let of_limit = limits.iter().find(|(key, _)| key == rest).map(|(_, limit)| shape_of(*limit));
    let shape = of_limit.or_else(|| Some(KIND_KEYS.iter().find(|key| key.name == rest)?.shape));
    let Some(shape) = shape else {
        let known = KIND_KEYS.iter().map(|key| key.name).chain(limits.iter().map(|(key, _)| key.as_str()));
        return Err(nearest(rest, known).map(|near| format!("kinds.{kind}.{near}")));
    };
    path.extend(rest.split('.').map(str::to_owned));
    Ok(Place { path, shape })
}

impl Settings {
    /// Returns the value in force of a dotted key as TOML, `None` if there is no such key or, below `kinds`, if
    /// nothing is set.
    pub fn get(&self, key: &str) -> Option<String> {
        if let Some(value) = self.fixed(key) {
            return Some(render(value));
        }
        if key.starts_with("quotas.") {
            return quotas::values(&self.quotas).into_iter().find(|(name, ..)| name == key).map(|row| render(row.1));
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
        let mut add = |key: String, doc: Cow<'static, str>| {
            if let (Some(value), Some(default)) = (self.get(&key), defaults.get(&key)) {
                entries.push(SettingEntry { key, is_default: value == default, value, doc });
            }
        };
        for key in KEYS {
            add(key.name.to_owned(), key.doc.into());
        }
        for (table, whom) in LIMIT_TABLES {
            limit_keys(table).for_each(|(key, limit)| add(key, limit_doc(limit, whom)));
        }
        let of_quotas = quotas::values(&self.quotas).into_iter();
        entries.extend(of_quotas.map(|(key, value, doc)| SettingEntry {
            key,
            value: render(value),
            is_default: false,
            doc,
        }));
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
            "engine.stack" => format_size(self.engine.stack_bytes).into(),
            "activation.parallel" => self.activation.parallel.map_or_else(|| CORES.into(), |n| i64::from(n).into()),
            "activation.max_retries" => i64::from(self.activation.max_retries).into(),
            "activation.retry_delay" => {
                format_duration(std::time::Duration::from_millis(self.activation.retry_delay_ms)).into()
            }
            "activation.follow" => self.activation.follow.into(),
            "output.keep" => format_size(self.output.keep_bytes).into(),
            _ => {
                let (table, name) = key.split_once('.')?;
                match table {
                    "compile" => return self.compile.value(name),
                    "instances" => return self.instances.value(name),
                    "restart" | "breaker" | "health" => return supervision::value(self, table, name),
                    _ => {}
                }
                let limits = match table {
                    "limits" => self.limits,
                    "ceilings" => self.ceilings,
                    _ => return None,
                };
                let limit = Limit::named(name)?;
                limit_value(limit, limits.get(limit))
            }
        })
    }
}

fn limit_value(limit: Limit, value: u64) -> Value {
    match limit.unit() {
        // A TOML integer ends where i64 does; the reader lets nothing larger in.
        LimitUnit::Count => i64::try_from(value).unwrap_or(i64::MAX).into(),
        unit => unit.format(value).into(),
    }
}

/// Returns what is set for a kind: name after `kinds.<kind>.`, value, sentence.
fn kind_values(kind: &KindSettings) -> Vec<(String, Value, Cow<'static, str>)> {
    let mut values: Vec<(String, Value)> = Vec::new();
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
    if kind.grants.precise_clocks {
        values.push(("grants.clocks".to_owned(), PRECISE.into()));
    }
    values.extend(instances::of_kind(&kind.instances));
    if !kind.world.is_empty() {
        values.push(("world".to_owned(), list(&kind.world)));
    }
    let with_doc = |(name, value): (String, Value)| {
        let doc = KIND_KEYS.iter().find(|key| key.name == name).map_or("", |key| key.doc);
        (name, value, doc.into())
    };
    let limits = kind.limits.iter().map(|(limit, value)| {
        let doc = limit_doc(limit, "for a component of this kind");
        (format!("limits.{}", limit.name()), limit_value(limit, value), doc)
    });
    let config =
        kind.config.iter().map(|(name, value)| (format!("config.{name}"), value.as_str().into(), CONFIG_DOC.into()));
    limits.chain(values.into_iter().map(with_doc)).chain(config).collect()
}

fn list<T: std::fmt::Display>(items: &[T]) -> Value {
    Array::from_iter(items.iter().map(ToString::to_string)).into()
}

fn render(value: Value) -> String {
    value.to_string().trim().to_owned()
}
