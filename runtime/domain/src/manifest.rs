//! The component manifest, `component.toml`: what an author says of a component beside its binary.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize, Serializer};

use crate::callers::Callers;
use crate::grant::{Grant, place};
use crate::id::ComponentId;
use crate::limits::LimitRequests;
use crate::supervision::{BreakerSettings, RestartSettings};

mod changes;
pub(crate) mod instances;
pub(crate) mod parse;
mod write;

pub use changes::{FieldChange, changed_fields};
pub use instances::{
    IDLE_TTL_MIN_MS, INSTANCES_MAX, InstanceActivation, InstanceLink, InstanceMode, InstanceSettings, InstancesInForce,
    POOL_DEFAULT,
};
pub use parse::{
    CONFIG_VALUE_BYTES_MAX, DESCRIPTION_BYTES_MAX, ENTRIES_MAX, KEY_BYTES_MAX, MANIFEST_BYTES_MAX, METADATA_DEPTH_MAX,
    ManifestError, PATH_BYTES_MAX, VERSION_BYTES_MAX,
};

/// A component manifest; everything in it is optional.
///
/// Two registrations are the same when their bytes and their manifests are equal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ComponentManifest {
    /// The component's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<ComponentId>,
    /// The author's semantic version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// What sort of component this is, a free word; `None` means the default kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<Kind>,
    /// One sentence for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The file to register, relative to the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wasm: Option<String>,
    /// Anything: filters and custom indexes look here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, serde_json::Value>,
    /// Declared dependencies, beside those that imports give.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub dependencies: BTreeMap<ComponentId, VersionReq>,
    /// Which entry provides an import; keys are import names, interfaces with or without version.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub bind: BTreeMap<String, ComponentId>,
    /// Which components may call which export.
    #[serde(skip_serializing_if = "Callers::is_empty")]
    pub callers: Callers,
    /// Limits that differ from the defaults.
    #[serde(skip_serializing_if = "LimitRequests::is_empty")]
    pub limits: LimitRequests,
    /// Authority that the component asks for.
    #[serde(skip_serializing_if = "GrantRequests::is_empty")]
    pub grants: GrantRequests,
    /// What `wasi:config/store` answers.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub config: BTreeMap<String, String>,
    /// How instances are kept.
    #[serde(skip_serializing_if = "InstanceSettings::is_default")]
    pub instances: InstanceSettings,
    /// When it is made anew after a failure.
    #[serde(skip_serializing_if = "RestartSettings::is_default")]
    pub restart: RestartSettings,
    /// When it is put in quarantine.
    #[serde(skip_serializing_if = "BreakerSettings::is_default")]
    pub breaker: BreakerSettings,
    /// How the component is built from its sources.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildSettings>,
}

impl ComponentManifest {
    /// Returns the component's kind, [`Kind::DEFAULT`] if it names none.
    pub fn kind(&self) -> Kind {
        self.kind.clone().unwrap_or_default()
    }
}

/// What sort of component something is: a kebab-case word such as `skill`, at most [`Kind::MAX`] characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind(String);

impl Kind {
    /// The kind of a component that names none.
    pub const DEFAULT: &'static str = "component";
    /// Longest kind, in characters.
    pub const MAX: usize = 64;

    /// Returns the word.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Kind {
    fn default() -> Self {
        Self(Self::DEFAULT.to_owned())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// The text is not a kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a kind: use a lower-case word such as `skill` or `data-model`, at most {max} characters", max = Kind::MAX)]
pub struct KindError(String);

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, KindError> {
        let is_word = |w: &str| !w.is_empty() && w.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        if text.len() <= Self::MAX && text.split('-').all(is_word) {
            Ok(Self(text.to_owned()))
        } else {
            Err(KindError(crate::text::escape_line(&crate::text::truncate(text, 80)).into_owned()))
        }
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

crate::as_text::from_text!(Kind);

/// Authority that a component asks for; asking gives nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GrantRequests {
    /// Names of environment variables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Folders of the host.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderRequest>,
    /// Whether clocks are wanted in full resolution.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub precise_clocks: bool,
}

impl GrantRequests {
    /// Tells whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        self.env.is_empty() && self.folders.is_empty() && !self.precise_clocks
    }

    /// Returns what is asked for as the grants that it would take, folders with their paths as they were written.
    pub fn grants(&self) -> Vec<Grant> {
        let env = self.env.iter().map(|name| Grant::Env { name: name.clone(), value: None });
        let folders = self.folders.iter().map(|folder| Grant::Folder {
            path: folder.path.clone(),
            at: place(&folder.at).unwrap_or_else(|_| folder.at.clone()),
            mode: folder.mode,
        });
        env.chain(folders).chain(self.precise_clocks.then_some(Grant::Clocks)).collect()
    }

    /// Returns what is asked for here, and by `other` beside it.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        let is_new = |name: &&String| !self.env.contains(name);
        let env: Vec<_> = other.env.iter().filter(is_new).cloned().collect();
        let is_free = |folder: &&FolderRequest| self.folders.iter().all(|own| own.at != folder.at);
        let folders: Vec<_> = other.folders.iter().filter(is_free).cloned().collect();
        self.env.extend(env);
        self.folders.extend(folders);
        self.precise_clocks |= other.precise_clocks;
        self
    }
}

/// A folder of the host that a component asks to see.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderRequest {
    /// The folder on the host, relative to the manifest or absolute.
    pub path: String,
    /// Where the guest sees it.
    pub at: String,
    /// What the guest may do in it.
    #[serde(default)]
    pub mode: FolderMode,
}

/// What a guest may do in a folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FolderMode {
    /// Read only.
    #[default]
    Ro,
    /// Read and write.
    Rw,
}

impl FolderMode {
    /// All modes.
    pub const ALL: [Self; 2] = [Self::Ro, Self::Rw];

    /// Returns the word people read and write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ro => "ro",
            Self::Rw => "rw",
        }
    }
}

/// How a component is built from its sources.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildSettings {
    /// The command, run in the manifest's folder.
    pub command: String,
    /// The file that it makes, relative to the manifest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<String>,
    /// Files and folders outside the manifest's folder that the command reads, relative to the manifest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<String>,
}
