//! The first file of an archive: what is in it.

use std::path::Path;

use domain::manifest::{Kind, MANIFEST_BYTES_MAX};
use domain::ports::{ArchivedComponent, BackupError, StorageError};
use domain::settings::SETTINGS_BYTES_MAX;
use domain::{ComponentId, Digest, Timestamp, Version, VersionReq};
use serde::{Deserialize, Serialize};

use super::{FORMAT, KIND};
use crate::archive::sealed;
use crate::backup::damaged;

/// Name of the list in an archive.
pub(super) const LIST: &str = "manifest.json";
/// Largest list that is read, in bytes.
pub(super) const LIST_BYTES_MAX: u64 = 64 << 20;
/// Largest component that is read, in bytes.
const COMPONENT_BYTES_MAX: u64 = 64 << 20;

#[derive(Serialize, Deserialize)]
pub(super) struct List {
    pub(super) format: u32,
    pub(super) kind: String,
    pub(super) created_at: Timestamp,
    pub(super) components: Vec<Listed>,
    /// What belongs to the registry as a whole, if all of it is in the archive; from format 2 on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) registry: Option<ListedRegistry>,
}

#[derive(Serialize, Deserialize)]
pub(super) struct Listed {
    pub(super) id: ComponentId,
    pub(super) version: Version,
    pub(super) kind: Kind,
    pub(super) size: u64,
    pub(super) digest: Digest,
    pub(super) manifest_size: u64,
    pub(super) manifest_digest: Digest,
    /// Dependencies that an operator declared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    declared: Vec<Declared>,
    /// Who provides its imports; from format 2 on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    imports: Vec<Provided>,
    /// Whom it is fused with. A reader that does not know of it registers the component with gates to everybody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    fused_with: Option<Vec<ComponentId>>,
}

#[derive(Serialize, Deserialize)]
struct Declared {
    on: ComponentId,
    range: VersionReq,
}

#[derive(Serialize, Deserialize)]
struct Provided {
    import: String,
    on: ComponentId,
}

#[derive(Serialize, Deserialize)]
pub(super) struct ListedRegistry {
    /// Metadata keys that are indexed.
    pub(super) indexes: Vec<String>,
    pub(super) settings_size: u64,
    pub(super) settings_digest: Digest,
}

impl Listed {
    /// Lists a component whose manifest is `text`.
    pub(super) fn new(component: &ArchivedComponent, text: &str) -> Self {
        let declared = component.declared.iter();
        let providers = component.providers.iter();
        Self {
            id: component.id.clone(),
            version: component.version.clone(),
            kind: component.kind.clone(),
            size: component.size,
            digest: component.digest,
            manifest_size: text.len() as u64,
            manifest_digest: Digest::of(text.as_bytes()),
            declared: declared.map(|(on, range)| Declared { on: on.clone(), range: range.clone() }).collect(),
            imports: providers.map(|(import, on)| Provided { import: import.clone(), on: on.clone() }).collect(),
            fused_with: component.fused_with.clone(),
        }
    }

    /// Returns the component, whose manifest was read from its own file.
    pub(super) fn component(self, manifest: domain::ComponentManifest) -> ArchivedComponent {
        ArchivedComponent {
            id: self.id,
            version: self.version,
            kind: self.kind,
            digest: self.digest,
            size: self.size,
            manifest,
            declared: self.declared.into_iter().map(|declared| (declared.on, declared.range)).collect(),
            providers: self.imports.into_iter().map(|provided| (provided.import, provided.on)).collect(),
            fused_with: self.fused_with,
        }
    }
}

impl List {
    /// Reads the list of the archive at `path`.
    pub(super) fn read(bytes: &[u8], path: &Path) -> Result<Self, BackupError> {
        /// What must stay the same in every later format.
        #[derive(Deserialize)]
        struct Known {
            format: u32,
            kind: String,
        }
        let wrong = |reason: String| damaged(path, LIST, reason);
        sealed::check(bytes).map_err(|reason| wrong(reason.to_owned()))?;
        let known: Known = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if known.kind != KIND {
            let reason = "it is no archive of components".to_owned();
            return Err(BackupError::NotABackup { path: path.to_owned(), reason });
        }
        if known.format > FORMAT {
            let newer = StorageError::NewerFormat { what: "archive of components", found: known.format, known: FORMAT };
            return Err(newer.into());
        }
        let list: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        for listed in &list.components {
            if listed.size > COMPONENT_BYTES_MAX || listed.manifest_size > MANIFEST_BYTES_MAX as u64 {
                return Err(wrong(format!("`{}` is larger than a component may be", listed.id)));
            }
        }
        if list.registry.as_ref().is_some_and(|registry| registry.settings_size > SETTINGS_BYTES_MAX as u64) {
            return Err(wrong("the settings are larger than they may be".to_owned()));
        }
        Ok(list)
    }
}
