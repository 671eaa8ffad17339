//! Reads `component.toml`.

use std::collections::{BTreeMap, BTreeSet};

use semver::{Version, VersionReq};
use serde_json::Value;
use toml::de::DeValue;

use super::instances::{INSTANCE_KEYS, read_own_instances};
use super::{BuildSettings, ComponentManifest, FolderMode, FolderRequest, GrantRequests};
use crate::callers::Callers;
use crate::document::{self, DocumentError, Item, Table, shown};
use crate::grant::place;
use crate::id::ComponentId;
use crate::interface::InterfaceName;
use crate::limits::{Limit, LimitRequests, LimitUnit};
use crate::pattern::IdPattern;
use crate::suggest::nearest;
use crate::supervision::{BREAKER_KEYS, RESTART_KEYS, read_breaker, read_restart};
use crate::units::{parse_duration, parse_size};

/// Largest component manifest, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 64 * 1024;
/// Most entries of one table or list of a manifest.
pub const ENTRIES_MAX: usize = 256;
/// Deepest nesting of metadata; a plain value is at depth 1.
pub const METADATA_DEPTH_MAX: usize = 8;
/// Longest key of metadata and configuration, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// Longest value of the configuration, in bytes.
pub const CONFIG_VALUE_BYTES_MAX: usize = 16 * 1024;
/// Longest description, in bytes.
pub const DESCRIPTION_BYTES_MAX: usize = 2 * 1024;
/// Longest path or command, in bytes.
pub const PATH_BYTES_MAX: usize = 4 * 1024;

/// Longest version, in bytes.
pub const VERSION_BYTES_MAX: usize = 128;

/// The word for clocks in full resolution.
pub(crate) const PRECISE: &str = "precise";

const ROOT_KEYS: &[&str] = &[
    "id",
    "version",
    "kind",
    "description",
    "wasm",
    "metadata",
    "dependencies",
    "bind",
    "callers",
    "limits",
    "grants",
    "config",
    "instances",
    "restart",
    "breaker",
    "build",
];
const LIMIT_KEYS: &[&str] = Limit::NAMES;
const GRANT_KEYS: &[&str] = &["env", "folders", "clocks"];
const BUILD_KEYS: &[&str] = &["command", "output", "inputs"];
/// The tables that have keys of their own.
const TABLES: &[(&str, &[&str])] = &[
    ("limits", LIMIT_KEYS),
    ("grants", GRANT_KEYS),
    ("instances", INSTANCE_KEYS),
    ("restart", RESTART_KEYS),
    ("breaker", BREAKER_KEYS),
    ("build", BUILD_KEYS),
];

/// What is wrong with a component manifest.
pub type ManifestError = DocumentError;

impl ComponentManifest {
    /// Reads the text of a `component.toml`, at most [`MANIFEST_BYTES_MAX`] bytes.
    ///
    /// Everything is optional, nothing is unknown: a key that is not documented is an error, so that a slip of the pen does not
    /// silently leave a limit at its default.
    ///
    /// # Errors
    /// [`ManifestError`] names key and line, and by its hints the nearest known key.
    /// # Examples
    /// ```
    /// let manifest = domain::ComponentManifest::parse("id = \"acme:log\"\n[limits]\ndeadline = \"2s\"\n")?;
    /// assert_eq!(manifest.limits.deadline_ms, Some(2_000));
    /// let error = domain::ComponentManifest::parse("[limits]\nfule = 1\n").unwrap_err();
    /// assert_eq!(error.to_string(), "line 2: unknown key `limits.fule`");
    /// assert_eq!(error.hints(), ["did you mean `fuel`?"]);
    /// let error = domain::ComponentManifest::parse("fule = 1\n").unwrap_err();
    /// assert_eq!(error.hints(), ["did you mean `limits.fuel`?"]);
    /// # Ok::<(), domain::manifest::ManifestError>(())
    /// ```
    pub fn parse(text: &str) -> Result<Self, ManifestError> {
        document::read(text, MANIFEST_BYTES_MAX, |root| read_manifest(&root))
    }
}

fn read_manifest(root: &Table<'_>) -> Result<ComponentManifest, DocumentError> {
    root.allow(ROOT_KEYS).map_err(suggest_below)?;
    let mut manifest = ComponentManifest::default();
    for item in root.items() {
        match item.name {
            "id" => manifest.id = Some(item.parse()?),
            "version" => manifest.version = Some(read_version(&item)?),
            "kind" => manifest.kind = Some(item.parse()?),
            "description" => manifest.description = Some(item.text_bounded(DESCRIPTION_BYTES_MAX)?.to_owned()),
            "wasm" => manifest.wasm = Some(item.text_bounded(PATH_BYTES_MAX)?.to_owned()),
            "metadata" => manifest.metadata = read_metadata(&item.table()?)?,
            "dependencies" => manifest.dependencies = read_dependencies(&item.table()?)?,
            "bind" => manifest.bind = read_bindings(&item.table()?)?,
            "callers" => manifest.callers = read_callers(&item.table()?)?,
            "limits" => manifest.limits = read_limits(&item.table()?)?,
            "grants" => manifest.grants = read_grants(&item.table()?)?,
            "config" => manifest.config = read_config(&item.table()?)?,
            "instances" => manifest.instances = read_own_instances(&item.table()?)?,
            "restart" => manifest.restart = read_restart(&item.table()?)?,
            "breaker" => manifest.breaker = read_breaker(&item.table()?)?,
            "build" => manifest.build = Some(read_build(&item.table()?)?),
            // `allow` has refused every other name.
            _ => {}
        }
    }
    Ok(manifest)
}

/// Lets an unknown key at the top mean the key of a table, unless one at the top is near.
fn suggest_below(mut error: DocumentError) -> DocumentError {
    if let DocumentError::UnknownKey { key, nearest: meant @ None, .. } = &mut error {
        let all = || TABLES.iter().flat_map(|(table, keys)| keys.iter().map(move |key| (*table, *key)));
        let name = nearest(key, all().map(|(_, key)| key));
        let found = name.and_then(|name| all().find(|(_, key)| *key == name));
        *meant = found.map(|(table, key)| format!("{table}.{key}"));
    }
    error
}

fn read_version(item: &Item<'_>) -> Result<Version, DocumentError> {
    let text = item.text_bounded(VERSION_BYTES_MAX)?;
    Version::parse(text).map_err(|error| {
        item.invalid(format_args!("`{}` is not a semantic version such as `1.2.0` ({error})", shown(text)))
    })
}

fn read_metadata(table: &Table<'_>) -> Result<BTreeMap<String, Value>, DocumentError> {
    let mut metadata = BTreeMap::new();
    for item in table.items_bounded(ENTRIES_MAX)? {
        check_key(&item)?;
        metadata.insert(item.name.to_owned(), read_value(&item, 1)?);
    }
    Ok(metadata)
}

fn check_key(item: &Item<'_>) -> Result<(), DocumentError> {
    if item.name.trim().is_empty() {
        return Err(item.invalid("a key must not be empty"));
    }
    item.check_length(item.name, KEY_BYTES_MAX)
}

/// Turns a value into JSON. The recursion is bounded by [`METADATA_DEPTH_MAX`].
fn read_value(item: &Item<'_>, depth: usize) -> Result<Value, DocumentError> {
    if depth > METADATA_DEPTH_MAX {
        return Err(item.too_much("levels", depth, METADATA_DEPTH_MAX));
    }
    Ok(match item.value() {
        DeValue::String(text) => Value::String(text.to_string()),
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(moment) => Value::String(moment.to_string()),
        DeValue::Integer(integer) => match i64::from_str_radix(integer.as_str(), integer.radix()) {
            Ok(number) => Value::Number(number.into()),
            Err(_) => return Err(item.invalid("the number does not fit in 64 bits")),
        },
        DeValue::Float(float) => {
            let number = float.as_str().parse().ok().and_then(serde_json::Number::from_f64);
            Value::Number(number.ok_or_else(|| item.invalid("metadata cannot hold infinity or what is not a number"))?)
        }
        DeValue::Array(_) => {
            let elements = item.list(ENTRIES_MAX)?;
            Value::Array(elements.iter().map(|element| read_value(element, depth + 1)).collect::<Result<_, _>>()?)
        }
        DeValue::Table(_) => {
            let mut object = serde_json::Map::new();
            for inner in item.table()?.items_bounded(ENTRIES_MAX)? {
                check_key(&inner)?;
                object.insert(inner.name.to_owned(), read_value(&inner, depth + 1)?);
            }
            Value::Object(object)
        }
    })
}

fn read_dependencies(table: &Table<'_>) -> Result<BTreeMap<ComponentId, VersionReq>, DocumentError> {
    let mut dependencies = BTreeMap::new();
    for item in table.items_bounded(ENTRIES_MAX)? {
        let id = item.name.parse().map_err(|error: crate::id::IdError| item.invalid(error))?;
        let text = item.text()?;
        let range = VersionReq::parse(text).map_err(|error| {
            item.invalid(format_args!("`{}` is not a version range such as `^1.2` or `*` ({error})", shown(text)))
        })?;
        dependencies.insert(id, range);
    }
    Ok(dependencies)
}

fn read_bindings(table: &Table<'_>) -> Result<BTreeMap<String, ComponentId>, DocumentError> {
    let mut bindings = BTreeMap::new();
    for item in table.items_bounded(ENTRIES_MAX)? {
        check_extern(&item)?;
        bindings.insert(item.name.to_owned(), item.parse()?);
    }
    Ok(bindings)
}

/// Checks that a key can be the name of an import or export: an interface or a function.
fn check_extern(item: &Item<'_>) -> Result<(), DocumentError> {
    let is_function = !item.name.is_empty() && item.name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !is_function {
        item.name.parse::<InterfaceName>().map_err(|error| item.invalid(error))?;
    }
    Ok(())
}

fn read_callers(table: &Table<'_>) -> Result<Callers, DocumentError> {
    let read = |item: Item<'_>| {
        check_extern(&item)?;
        Ok((item.name.to_owned(), read_patterns(&item)?))
    };
    table.items_bounded(ENTRIES_MAX)?.into_iter().map(read).collect()
}

/// Reads a list of ids, of `namespace:*` and of `*`.
pub(crate) fn read_patterns(item: &Item<'_>) -> Result<Vec<IdPattern>, DocumentError> {
    item.list(ENTRIES_MAX)?.iter().map(Item::parse).collect()
}

/// Reads a table of limits, of a manifest or of the settings.
pub(crate) fn read_limits(table: &Table<'_>) -> Result<LimitRequests, DocumentError> {
    table.allow(LIMIT_KEYS)?;
    let mut limits = LimitRequests::default();
    for item in table.items() {
        let Some(limit) = Limit::named(item.name) else { continue };
        let value = match limit.unit() {
            LimitUnit::Count => item.positive()?,
            LimitUnit::Bytes => read_bytes(&item)?,
            LimitUnit::Millis => read_millis(&item)?,
        };
        limits.set(limit, Some(value));
    }
    Ok(limits)
}

/// Reads a duration, in milliseconds, at least one.
pub(crate) fn read_millis(item: &Item<'_>) -> Result<u64, DocumentError> {
    let duration = parse_duration(item.text()?).map_err(|error| item.invalid(error))?;
    // A part of a millisecond counts as a whole one, so that no deadline becomes none.
    let millis = duration.as_micros().div_ceil(1_000);
    match u64::try_from(millis) {
        Ok(millis) if millis > 0 => Ok(millis),
        _ => Err(item.invalid("must be longer than nothing")),
    }
}

/// Reads a size: a string with a unit, or a number of bytes.
pub(crate) fn read_bytes(item: &Item<'_>) -> Result<u64, DocumentError> {
    match item.value() {
        DeValue::Integer(_) => item.positive(),
        DeValue::String(text) => match parse_size(text).map_err(|error| item.invalid(error))? {
            0 => Err(item.invalid("must be at least 1 byte")),
            bytes => Ok(bytes),
        },
        _ => Err(item.wrong("a size such as \"64MiB\"")),
    }
}

/// Reads a table of grants, of a manifest or of the settings.
pub(crate) fn read_grants(table: &Table<'_>) -> Result<GrantRequests, DocumentError> {
    table.allow(GRANT_KEYS)?;
    let mut grants = GrantRequests::default();
    for item in table.items() {
        match item.name {
            "env" => grants.env = read_variables(&item)?,
            "folders" => grants.folders = read_folders(&item)?,
            "clocks" => grants.precise_clocks = read_clocks(&item)?,
            _ => {}
        }
    }
    Ok(grants)
}

/// Reads how exact clocks are to be.
pub(crate) fn read_clocks(item: &Item<'_>) -> Result<bool, DocumentError> {
    match item.text()? {
        PRECISE => Ok(true),
        _ => Err(item.invalid(format_args!("the one thing to ask for is `{PRECISE}`"))),
    }
}

pub(crate) fn read_variables(item: &Item<'_>) -> Result<Vec<String>, DocumentError> {
    let mut names = BTreeSet::new();
    let mut variables = Vec::new();
    for element in item.list(ENTRIES_MAX)? {
        let name = element.text_bounded(KEY_BYTES_MAX)?;
        if name.contains('=') {
            return Err(element.invalid("name the variable alone; its value comes from the host"));
        }
        if !names.insert(name) {
            return Err(element.invalid(format_args!("`{}` is named twice", shown(name))));
        }
        variables.push(name.to_owned());
    }
    Ok(variables)
}

fn read_folders(item: &Item<'_>) -> Result<Vec<FolderRequest>, DocumentError> {
    let mut places = BTreeSet::new();
    let mut folders = Vec::new();
    for element in item.list(ENTRIES_MAX)? {
        let table = element.table()?;
        table.allow(&["path", "at", "mode"])?;
        let path = table.require("path")?.text_bounded(PATH_BYTES_MAX)?.to_owned();
        let at_item = table.require("at")?;
        let at = at_item.text_bounded(PATH_BYTES_MAX)?;
        let place = place(at).map_err(|reason| at_item.invalid(reason))?;
        if !places.insert(place) {
            return Err(at_item.invalid(format_args!("`{}` is taken by another folder", shown(at))));
        }
        let mode = match table.get("mode") {
            None => FolderMode::default(),
            Some(item) => read_word(&item, &FolderMode::ALL, FolderMode::as_str)?,
        };
        folders.push(FolderRequest { path, at: at.to_owned(), mode });
    }
    Ok(folders)
}

/// Reads one of a few words.
pub(crate) fn read_word<T: Copy>(
    item: &Item<'_>,
    all: &[T],
    word: impl Fn(T) -> &'static str,
) -> Result<T, DocumentError> {
    let text = item.text()?;
    all.iter().copied().find(|known| word(*known) == text).ok_or_else(|| {
        let words: Vec<_> = all.iter().map(|known| word(*known)).collect();
        let meant = nearest(text, words.iter().copied()).map(|word| format!("; did you mean `{word}`?"));
        item.invalid(format_args!("`{}` is not one of {}{}", shown(text), words.join(", "), meant.unwrap_or_default()))
    })
}

/// Reads a table of configuration values, of a manifest or of the settings.
pub(crate) fn read_config(table: &Table<'_>) -> Result<BTreeMap<String, String>, DocumentError> {
    let mut config = BTreeMap::new();
    for item in table.items_bounded(ENTRIES_MAX)? {
        check_key(&item)?;
        let value = item.text()?;
        item.check_length(value, CONFIG_VALUE_BYTES_MAX)?;
        config.insert(item.name.to_owned(), value.to_owned());
    }
    Ok(config)
}

fn read_inputs(item: &Item<'_>) -> Result<Vec<String>, DocumentError> {
    item.list(ENTRIES_MAX)?.iter().map(|element| element.text_bounded(PATH_BYTES_MAX).map(str::to_owned)).collect()
}

fn read_build(table: &Table<'_>) -> Result<BuildSettings, DocumentError> {
    table.allow(BUILD_KEYS)?;
    let command = table.require("command")?.text_bounded(PATH_BYTES_MAX)?.to_owned();
    let output = table.get("output").map(|item| item.text_bounded(PATH_BYTES_MAX).map(str::to_owned)).transpose()?;
    let inputs = table.get("inputs").map(|item| read_inputs(&item)).transpose()?.unwrap_or_default();
    Ok(BuildSettings { command, output, inputs })
}
