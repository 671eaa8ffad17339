//! Handing components to another registry, and taking them from one.

mod export;
mod import;

use std::path::PathBuf;

use domain::{ComponentId, Version};

use crate::error::RegistryError;
use crate::register::Registered;
use crate::settings::SettingChange;

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// The archive.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// The components in it with their versions, dependencies first.
    pub components: Vec<(ComponentId, Version)>,
    /// The custom indexes in it; none unless the whole registry was exported.
    pub indexes: Vec<String>,
    /// Whether the registry's settings are in it: only if the whole registry was exported.
    pub settings: bool,
    /// What the components have and the archive has not.
    pub left_out: LeftOut,
}

/// What an archive of components does not have of them, besides their histories and counters. A backup has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOut {
    /// Revisions that no entry points to.
    pub revisions: u64,
    /// Components that are active: all come as registered.
    pub active: u64,
    /// Components whose last instance left a state.
    pub states: u64,
    /// What components were granted: it holds in the registry where that was done, and nowhere else.
    pub grants: u64,
}

/// What becomes of the settings in the archive of a whole registry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TakeSettings {
    /// They are taken over by a registry that has no component and no setting of its own.
    #[default]
    IfEmpty,
    /// They take the place of those that are there.
    Always,
    /// Those that are there stay.
    Never,
}

/// What was imported.
#[derive(Debug, Default)]
pub struct ImportReport {
    /// What was registered or there already, in the order of the archive.
    pub registered: Vec<Registered>,
    /// What could not be registered.
    pub failed: Vec<(ComponentId, RegistryError)>,
    /// Declared dependencies that were added: the dependent and the dependency.
    pub declared: Vec<(ComponentId, ComponentId)>,
    /// Declared dependencies that could not be added.
    pub undeclared: Vec<(ComponentId, ComponentId, RegistryError)>,
    /// Components that were fused, and with whom; with nobody if they are kept apart although their manifests ask for it.
    pub fused: Vec<(ComponentId, Vec<ComponentId>)>,
    /// Components that could not be fused as they were: calls go through gates.
    pub not_fused: Vec<(ComponentId, RegistryError)>,
    /// Imports that are not served by the component that served them where the archive was made.
    pub relinked: Vec<Relinked>,
    /// Custom indexes that were made.
    pub indexes: Vec<String>,
    /// Custom indexes that could not be made.
    pub unindexed: Vec<(String, RegistryError)>,
    /// The settings of the archive that differed from those that were here.
    pub settings: Vec<SettingChange>,
    /// Whether they were taken over.
    pub settings_taken: bool,
    /// Why they could not be taken over.
    pub settings_failed: Option<RegistryError>,
}

/// An import that is served by another component than where the archive was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relinked {
    /// Whose import it is.
    pub component: ComponentId,
    /// The import.
    pub import: String,
    /// Who served it there.
    pub before: ComponentId,
    /// Who serves it here, `None` if no single component does.
    pub now: Option<ComponentId>,
}
