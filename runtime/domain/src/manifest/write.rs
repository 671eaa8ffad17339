//! Writes `component.toml`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::parse::PRECISE;
use super::{
    BuildSettings, ComponentManifest, FolderRequest, InstanceActivation, InstanceLink, InstanceMode, InstanceSettings,
};
use crate::callers::Callers;
use crate::id::ComponentId;
use crate::limits::LimitUnit;
use crate::units::format_size;

/// A manifest in the words of its file; plain values stand before tables, as TOML wants it.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a ComponentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    wasm: Option<&'a str>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    metadata: &'a BTreeMap<String, serde_json::Value>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    dependencies: BTreeMap<&'a str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    bind: &'a BTreeMap<String, ComponentId>,
    #[serde(skip_serializing_if = "Callers::is_empty")]
    callers: &'a Callers,
    #[serde(skip_serializing_if = "Option::is_none")]
    limits: Option<BTreeMap<&'static str, Number>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    grants: Option<Grants<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    config: &'a BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instances: Option<Instances>,
    #[serde(skip_serializing_if = "Option::is_none")]
    restart: Option<toml::Table>,
    #[serde(skip_serializing_if = "Option::is_none")]
    breaker: Option<toml::Table>,
    #[serde(skip_serializing_if = "Option::is_none")]
    build: Option<&'a BuildSettings>,
}

/// A limit: a number, or with a unit a string.
#[derive(Serialize)]
#[serde(untagged)]
enum Number {
    Plain(u64),
    WithUnit(String),
}

#[derive(Serialize)]
struct Grants<'a> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    env: &'a Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    folders: &'a Vec<FolderRequest>,
    #[serde(skip_serializing_if = "Option::is_none")]
    clocks: Option<&'static str>,
}

#[derive(Serialize)]
struct Instances {
    #[serde(skip_serializing_if = "Option::is_none")]
    mode: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    idle_ttl: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    link: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    drain: Option<String>,
}

impl From<&InstanceSettings> for Instances {
    fn from(settings: &InstanceSettings) -> Self {
        Self {
            mode: settings.mode.map(InstanceMode::as_str),
            max: settings.max,
            idle_ttl: settings.idle_ttl_ms.map(|millis| format!("{millis}ms")),
            activation: settings.activation.map(InstanceActivation::as_str),
            link: settings.link.map(InstanceLink::as_str),
            drain: settings.drain_ms.map(|millis| format!("{millis}ms")),
        }
    }
}

/// Makes a table of the values that are there.
fn table<const N: usize>(values: [(&'static str, Option<toml::Value>); N]) -> toml::Table {
    values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

impl ComponentManifest {
    /// Returns the text of a `component.toml` that [`Self::parse`] reads as this manifest.
    ///
    /// `None` if there is no such text, since a program made the manifest with values that a file cannot have.
    ///
    /// # Examples
    /// ```
    /// let manifest = domain::ComponentManifest::parse("id = \"acme:log\"\n[limits]\ndeadline = \"2s\"\n")?;
    /// assert_eq!(manifest.to_toml().unwrap(), "id = \"acme:log\"\n\n[limits]\ndeadline = \"2000ms\"\n");
    /// # Ok::<(), domain::manifest::ManifestError>(())
    /// ```
    pub fn to_toml(&self) -> Option<String> {
        let limits = self.limits.iter().map(|(limit, value)| {
            let number = match limit.unit() {
                LimitUnit::Count => Number::Plain(value),
                LimitUnit::Bytes => Number::WithUnit(format_size(value)),
                // In this unit every value has a text.
                LimitUnit::Millis => Number::WithUnit(format!("{value}ms")),
            };
            (limit.name(), number)
        });
        let grants = Grants {
            env: &self.grants.env,
            folders: &self.grants.folders,
            clocks: self.grants.precise_clocks.then_some(PRECISE),
        };
        let document = Document {
            id: self.id.as_ref(),
            version: self.version.as_ref().map(ToString::to_string),
            kind: self.kind.as_ref().map(super::Kind::as_str),
            description: self.description.as_deref(),
            wasm: self.wasm.as_deref(),
            metadata: &self.metadata,
            dependencies: self.dependencies.iter().map(|(id, range)| (id.as_str(), range.to_string())).collect(),
            bind: &self.bind,
            callers: &self.callers,
            limits: (!self.limits.is_empty()).then(|| limits.collect()),
            grants: (!self.grants.is_empty()).then_some(grants),
            config: &self.config,
            instances: (!self.instances.is_default()).then(|| Instances::from(&self.instances)),
            restart: (!self.restart.is_default()).then(|| table(self.restart.values())),
            breaker: (!self.breaker.is_default()).then(|| table(self.breaker.values())),
            build: self.build.as_ref(),
        };
        let text = toml::to_string(&document).ok()?;
        (Self::parse(&text).ok()? == *self).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        let text = r#"
            id = "acme:calculator"
            version = "1.2.0"
            kind = "skill"
            description = "Evaluates \"expressions\""
            wasm = "calculator.wasm"
            [metadata]
            author = "Ada"
            list = [1, 2.5, true]
            table = { deep = { x = "y" } }
            [dependencies]
            "acme:base-util" = "^1"
            "acme:any" = "*"
            [bind]
            "acme:log/sink" = "acme:logger"
            [callers]
            "acme:calculator/run" = ["acme:report", "demo:*"]
            "acme:calculator/off" = []
            [limits]
            fuel = 100_000_000
            deadline = "1.5s"
            memory = "64MiB"
            queue = 3
            [grants]
            env = ["LANG"]
            folders = [{ path = "data", at = "/data", mode = "rw" }]
            clocks = "precise"
            [config]
            greeting = "hello"
            [instances]
            mode = "per-call"
            max = 12
            idle_ttl = "1.5s"
            activation = "lazy"
            link = "fused"
            drain = "2s"
            [restart]
            policy = "never"
            delay = "1.5s"
            max_delay = "1h"
            max_restarts = 3
            window = "10s"
            [breaker]
            failures = "never"
            window = "10s"
            delay = "250ms"
            max_delay = "1h"
            [build]
            command = "just"
            output = "out.wasm"
            inputs = ["../wit"]
        "#;
        let manifest = ComponentManifest::parse(text).unwrap();
        let written = manifest.to_toml().unwrap();
        assert_eq!(ComponentManifest::parse(&written).unwrap(), manifest);
        assert_eq!(ComponentManifest::default().to_toml().as_deref(), Some(""));
    }

    #[test]
    fn a_manifest_that_no_file_can_hold_has_no_text() {
        let mut manifest = ComponentManifest::default();
        manifest.metadata.insert("nothing".to_owned(), serde_json::Value::Null);
        assert_eq!(manifest.to_toml(), None);
    }
}
