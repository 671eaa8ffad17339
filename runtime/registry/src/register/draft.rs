//! What is known of a component before it is decided what its registration leads to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::inspection::{ExternItem, Inspection};
use domain::manifest::{ComponentManifest, GrantRequests};
use domain::ports::Engine;
use domain::{ComponentId, Edge, Entry, Grant, Revision, Timestamp, Version, text};

use super::RegisterRequest;
use super::authority::Authority;
use crate::error::RegistryError;
use crate::pins::Pin;
use crate::source;

/// Longest description kept, in bytes.
const DESCRIPTION_MAX: usize = 1_024;

/// A component that was read and inspected, not yet registered.
pub(crate) struct Draft {
    pub(crate) id: ComponentId,
    pub(crate) version: Version,
    pub(crate) bytes: Arc<[u8]>,
    /// With id, version and kind as they are in force.
    pub(crate) manifest: ComponentManifest,
    pub(crate) inspection: Inspection,
    pub(crate) warnings: Vec<String>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) last_modified: Option<Timestamp>,
    pub(super) override_version: bool,
    /// The folder where relative paths of the manifest begin.
    pub(super) folder: Option<PathBuf>,
    /// What is granted along with the registration.
    pub(super) authority: Authority,
    /// Edges that the component had in the registry that it comes from: imports keep those providers where they serve here, too.
    pub(crate) carried: Vec<Edge>,
    /// Keeps the bytes from being swept until they are registered.
    pub(super) pin: Option<Arc<Pin>>,
}

impl Draft {
    /// Tells whether it exports the interface by which a component keeps state.
    pub(super) fn has_state(&self) -> bool {
        Revision::exports_lifecycle(&self.inspection.exports, "state")
    }

    /// Warns of imports that the host can never serve and that nothing is bound to.
    pub(super) fn refused_imports(&self) -> Option<String> {
        let bind = &self.manifest.bind;
        let is_bound = |import: &str| {
            let unversioned = import.split('@').next().unwrap_or(import);
            bind.contains_key(import) || bind.contains_key(unversioned)
        };
        let refused = domain::capability::never_served(&self.inspection.imports, is_bound);
        let (_, why) = domain::capability::refusal(&refused);
        (!refused.is_empty()).then(|| format!("{} cannot be activated: {}", self.id, text::escape_line(&why)))
    }

    /// Reads and inspects what `request` names. Blocks.
    pub(crate) fn make(engine: &dyn Engine, request: &RegisterRequest) -> Result<Self, RegistryError> {
        let loaded = source::load(&request.source, request.manifest.as_ref())?;
        let wrong = |source| RegistryError::Binary { name: text::escape_line(&loaded.name).into_owned(), source };
        let bytes = match engine.to_binary(&loaded.bytes).map_err(wrong)? {
            std::borrow::Cow::Borrowed(_) => loaded.bytes.clone(),
            std::borrow::Cow::Owned(binary) => binary.into(),
        };
        let inspection = engine.inspect(&bytes).map_err(wrong)?;
        let mut manifest = loaded.manifest;
        let mut warnings = Vec::new();
        let own_id = || inspection.name.as_deref().and_then(|name| name.parse().ok());
        let id = request.id.clone().or_else(|| manifest.id.clone()).or_else(own_id).unwrap_or(loaded.fallback_id);
        let own_version = || inspection.version.clone();
        let version = request.version.clone().or_else(|| manifest.version.clone()).or_else(own_version);
        let version = version.unwrap_or_else(|| {
            warnings.push(format!("`{id}` has no version: 0.0.0 is assumed"));
            Version::new(0, 0, 0)
        });
        warnings.extend(useless_bindings(&manifest, &inspection));
        warnings.extend(useless_callers(&manifest, &inspection));
        manifest.id = Some(id.clone());
        manifest.version = Some(version.clone());
        manifest.kind = request.kind.clone().or(manifest.kind);
        Ok(Self {
            id,
            version,
            bytes,
            manifest,
            inspection,
            warnings,
            path: loaded.path,
            last_modified: loaded.last_modified,
            override_version: request.override_version,
            folder: loaded.folder,
            authority: Authority::default(),
            carried: Vec::new(),
            pin: None,
        })
    }

    /// Returns what it asks for beyond the default set, on behalf of its kind included.
    pub(crate) fn requests(&self) -> &GrantRequests {
        &self.authority.requests
    }

    /// Returns what it asks for anew, and what registering it would grant: `entry` and `newest` are the component as it is now.
    pub(crate) fn grants_of(
        &self,
        entry: Option<&Entry>,
        newest: Option<&Revision>,
    ) -> Result<(Vec<Grant>, Vec<Grant>), RegistryError> {
        let (_, decided) = self.authority.decide(self, entry, newest)?;
        Ok((decided.asks_anew, decided.granted))
    }

    /// Returns the folder where relative paths of `[grants]` begin, if there are any.
    pub(super) fn base(&self) -> Option<&Path> {
        let folders = &self.manifest.grants.folders;
        let has_any = folders.iter().any(|folder| Path::new(&folder.path).is_relative());
        // One that is no text cannot be kept, and such folders cannot be granted by their relative paths then.
        self.folder.as_deref().filter(|folder| has_any && folder.to_str().is_some())
    }

    /// Returns the revision that this becomes.
    pub(crate) fn revision(&self, number: u32, now: Timestamp) -> Revision {
        let description = self.manifest.description.as_ref().or(self.inspection.description.as_ref());
        Revision {
            number,
            version: self.version.clone(),
            digest: self.inspection.digest,
            size: self.inspection.size,
            description: description
                .map(|d| text::escape_line(&text::truncate(d, DESCRIPTION_MAX)).into_owned())
                .filter(|d| !d.is_empty()),
            manifest: self.manifest.clone(),
            imports: self.inspection.imports.clone(),
            exports: self.inspection.exports.clone(),
            path: self.path.as_ref().map(|path| path.display().to_string()),
            folder: self.base().map(|folder| folder.display().to_string()),
            last_modified: self.last_modified,
            registered_at: now,
        }
    }
}

/// Returns a warning for each `[callers]` key that is no export of the component: what was to be guarded is open to all.
fn useless_callers(manifest: &ComponentManifest, inspection: &Inspection) -> Vec<String> {
    let names = names_of(&inspection.exports);
    let useless = manifest.callers.exports().filter(|key| !names.contains(*key));
    let said = useless.map(|key| {
        let near = domain::suggest::nearest(key, names.iter().map(String::as_str));
        let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        format!("`[callers]` names `{}`, which the component does not export{near}", text::escape_line(key))
    });
    said.collect()
}

/// Returns the names of imports or exports, those of interfaces also without version.
fn names_of(items: &[ExternItem]) -> BTreeSet<String> {
    let unversioned = |item: &ExternItem| item.interface().map(|interface| interface.unversioned());
    items.iter().flat_map(|item| [Some(item.name.clone()), unversioned(item)]).flatten().collect()
}

/// Returns a warning for each `[bind]` key that is no import of the component.
fn useless_bindings(manifest: &ComponentManifest, inspection: &Inspection) -> Vec<String> {
    let names = names_of(&inspection.imports);
    let useless = manifest.bind.keys().filter(|key| !names.contains(*key));
    let said = useless.map(|key| {
        let near = domain::suggest::nearest(key, names.iter().map(String::as_str));
        let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        format!("`[bind]` names `{}`, which the component does not import{near}", text::escape_line(key))
    });
    said.collect()
}
