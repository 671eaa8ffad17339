//! What can go wrong in an operation.

use std::path::PathBuf;

use domain::failure::Failure;
use domain::manifest::{InstanceMode, Kind};
use domain::ports::{BackupError, Barrier, EngineError, StorageError};
use domain::status::TransitionError;
use domain::{ComponentId, Digest, ErrorKind, Status, Version, VersionReq};

use crate::fuse::FuseRefusal;
use crate::grants::GrantRefusal;
use crate::plan::{Broken, Reason};

/// Why an operation was not carried out. `Display` is one sentence; hints are separate.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// A text is not a component id or a reference to one.
    #[error(transparent)]
    Name(#[from] domain::id::IdError),
    /// No component has this id or name.
    #[error("no component `{name}` is registered")]
    NotFound {
        /// What was asked for, escaped.
        name: String,
        /// Ids that may have been meant.
        similar: Vec<ComponentId>,
    },
    /// The component has no revision of this version.
    #[error("`{component}` has no version {version}")]
    VersionNotFound {
        /// The component.
        component: ComponentId,
        /// The version asked for.
        version: Version,
        /// The versions it has, oldest first.
        known: Vec<Version>,
    },
    /// The version is registered, but the entry points to another one.
    #[error("`{component}` is in service as {in_service}, not {version}")]
    NotInService {
        /// The component.
        component: ComponentId,
        /// The version asked for.
        version: Version,
        /// The version that the entry points to.
        in_service: Version,
    },
    /// The component has no revision of this number.
    #[error("`{component}` has no revision {number}: its newest is {newest}")]
    RevisionNotFound {
        /// The component.
        component: ComponentId,
        /// The number asked for.
        number: u32,
        /// The number of its newest revision.
        newest: u32,
    },
    /// The entry has not come from any other revision.
    #[error("`{component}` has come from no other revision than {current}")]
    NoEarlierRevision {
        /// The component.
        component: ComponentId,
        /// The number of the revision that it points to.
        current: u32,
    },
    /// Active components would break if the revision came into service.
    #[error("`{component}` {version} would break {}", broken_text(broken))]
    Breaking {
        /// The component.
        component: ComponentId,
        /// The version of the revision.
        version: Version,
        /// Who would break, and why.
        broken: Vec<Broken>,
    },
    /// The types of an import are not those of the export that serves it.
    #[error("`{component}` cannot be linked: {}", reasons_text(reasons))]
    TypesDiffer {
        /// The component.
        component: ComponentId,
        /// How they differ.
        reasons: Vec<Reason>,
    },
    /// Several components have this bare name.
    #[error("`{name}` is ambiguous: several components have that name")]
    AmbiguousName {
        /// The bare name.
        name: String,
        /// The components that have it.
        candidates: Vec<ComponentId>,
    },
    /// A path does not exist.
    #[error("{} does not exist", path.display())]
    NoSuchPath {
        /// The path.
        path: PathBuf,
    },
    /// A folder has nothing to register.
    #[error("{} holds no components", path.display())]
    NoComponents {
        /// The folder.
        path: PathBuf,
        /// The first link to a folder in it, which was not followed.
        linked: Option<PathBuf>,
    },
    /// A path is neither a component file nor a folder, or its manifest does not say which file to take.
    #[error("{}: {reason}", path.display())]
    BadPath {
        /// The path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// A component manifest is wrong.
    #[error("{}: {source}", path.display())]
    Manifest {
        /// The manifest's file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: domain::manifest::ManifestError,
    },
    /// The bytes are not a component, or not one that the engine takes.
    #[error("{name}: {source}")]
    Binary {
        /// The file or the name it was given.
        name: String,
        /// What is wrong with it.
        #[source]
        source: EngineError,
    },
    /// The namespace has no room for what is to be registered.
    #[error("the namespace `{namespace}` may have {what}, and this would be more (`quotas.namespace.{key}`)")]
    Quota {
        /// What was to be registered.
        component: ComponentId,
        /// The namespace.
        namespace: String,
        /// What it may have.
        what: String,
        /// The quota's key.
        key: &'static str,
    },
    /// The process comes near to the number of mappings that the system allows it.
    #[error(
        "there is no room for an instance of `{component}`: the process has {count} of the {limit} mappings that the system allows"
    )]
    NoRoom {
        /// What was to be made.
        component: ComponentId,
        /// Mappings that there are.
        count: u64,
        /// Most that there may be.
        limit: u64,
    },
    /// A component that keeps state cannot have several instances.
    #[error("`{component}` exports `registry:component/state`, which one instance has; it cannot be kept as `{}`", mode.as_str())]
    StateNotKept {
        /// The component.
        component: ComponentId,
        /// How its instances were to be kept.
        mode: InstanceMode,
        /// The kind that says so, where the component's own manifest does not.
        of_kind: Option<Kind>,
    },
    /// The component lacks exports that its kind requires.
    #[error("`{component}` does not export what the kind `{kind}` requires: {}", missing.join(", "))]
    MissingExports {
        /// The component.
        component: ComponentId,
        /// Its kind.
        kind: String,
        /// The required exports that it lacks.
        missing: Vec<String>,
    },
    /// The version is registered with other bytes or another manifest.
    #[error("`{component}` {version} is already registered with {}", if *same_bytes { "another manifest" } else { "other bytes" })]
    VersionTaken {
        /// The component.
        component: ComponentId,
        /// The version.
        version: Version,
        /// Digest of the bytes that have this version.
        registered: Digest,
        /// Whether only the manifest differs.
        same_bytes: bool,
    },
    /// The change would close a cycle of dependencies.
    #[error("circular dependency: {}", join(cycle, " → "))]
    Cycle {
        /// The components of the cycle in edge order; the first stands at the end again.
        cycle: Vec<ComponentId>,
    },
    /// What the component needs is not there.
    #[error(transparent)]
    Plan(Box<domain::plan::PlanError>),
    /// The dependency exists in a version outside the range.
    #[error("`{on}` has version {found}, which does not match `{range}`")]
    RangeNotMet {
        /// The dependency.
        on: ComponentId,
        /// The range.
        range: VersionReq,
        /// Its version.
        found: Version,
    },
    /// The edge is not one that an operator declared.
    #[error("the dependency of `{component}` on `{on}` comes from its {origin}")]
    EdgeNotDeclared {
        /// The dependent.
        component: ComponentId,
        /// The dependency.
        on: ComponentId,
        /// `imports` or `component manifest`.
        origin: &'static str,
    },
    /// The component is not active.
    #[error("`{component}` is {}, not active", standing(*status))]
    NotActive {
        /// The component.
        component: ComponentId,
        /// Its status.
        status: Status,
    },
    /// The component lost a dependency, and waits for its return.
    #[error("`{component}` is inactive: it waits for `{on}`, which it needs, to be active again")]
    Waiting {
        /// The component.
        component: ComponentId,
        /// The dependency.
        on: ComponentId,
    },
    /// The component is in quarantine: it failed too often.
    #[error("`{component}` is {}", barrier.reason())]
    Quarantined {
        /// The component.
        component: ComponentId,
        /// What refuses its calls, and until when.
        barrier: std::sync::Arc<Barrier>,
    },
    /// The status machine has no such step.
    #[error("`{component}`: {source}")]
    Transition {
        /// The component.
        component: ComponentId,
        /// The step.
        #[source]
        source: TransitionError,
    },
    /// The component could not be activated.
    #[error("`{}` could not be activated: {}", .0.component, .0.message)]
    Activation(Box<Failure>),
    /// A call could not be made, or failed in the component.
    #[error("{source}")]
    Call {
        /// The component.
        component: ComponentId,
        /// What went wrong.
        #[source]
        source: EngineError,
    },
    /// The component changed while the operation was under way.
    #[error("`{component}` was changed by somebody else in the meantime")]
    Changed {
        /// The component.
        component: ComponentId,
    },
    /// A text cannot be the name of a custom index.
    #[error("`{name}` cannot be the name of an index: {reason}")]
    InvalidIndexName {
        /// The text, escaped and bounded.
        name: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no index of this name.
    #[error("there is no index `{name}`")]
    NoIndex {
        /// The name, escaped.
        name: String,
        /// The indexes there are.
        known: Vec<String>,
    },
    /// Authority cannot be granted or revoked.
    #[error("`{component}`: {source}")]
    Grant {
        /// The component.
        component: ComponentId,
        /// Why.
        #[source]
        source: GrantRefusal,
    },
    /// Components cannot be fused, or not be taken apart.
    #[error("`{component}` {source}")]
    Fuse {
        /// The component.
        component: ComponentId,
        /// Why.
        #[source]
        source: FuseRefusal,
    },
    /// The policy file is wrong.
    #[error("{}: {source}", path.display())]
    Policy {
        /// The file.
        path: PathBuf,
        /// What is wrong in it.
        #[source]
        source: domain::policy::PolicyError,
    },
    /// A setting or the settings file is wrong.
    #[error("{}{source}", path.as_ref().map(|p| format!("{}: ", p.display())).unwrap_or_default())]
    Settings {
        /// The settings file, where the fault is in it.
        path: Option<PathBuf>,
        /// What is wrong.
        #[source]
        source: domain::settings::SettingsError,
    },
    /// Storage failed.
    #[error("{}", storage_text(.0))]
    Storage(#[from] StorageError),
    /// A backup or an archive of components could not be made or used.
    #[error(transparent)]
    Backup(BackupError),
    /// A task of the registry's own died.
    #[error("internal error: {0}")]
    Internal(String),
}

impl From<domain::plan::PlanError> for RegistryError {
    fn from(error: domain::plan::PlanError) -> Self {
        Self::Plan(Box::new(error))
    }
}

impl From<BackupError> for RegistryError {
    fn from(error: BackupError) -> Self {
        match error {
            BackupError::Storage(error) => Self::Storage(error),
            error @ (BackupError::NotABackup { .. }
            | BackupError::Damaged { .. }
            | BackupError::NotEmpty { .. }
            | BackupError::NotADataFolder { .. }) => Self::Backup(error),
        }
    }
}

/// Says where an entry stands, as it follows "is".
fn standing(status: Status) -> &'static str {
    match status {
        Status::Error => "in error",
        Status::Discovered | Status::Registered | Status::Active | Status::Inactive => status.as_str(),
    }
}

/// Most components or reasons that a message names.
const NAMED_MAX: usize = 8;

fn broken_text(broken: &[Broken]) -> String {
    let ids: Vec<_> = broken.iter().take(NAMED_MAX).map(|broken| format!("`{}`", broken.component)).collect();
    let more = broken.len().saturating_sub(NAMED_MAX);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let verb = if broken.len() == 1 { "is" } else { "are" };
    format!("{}{more}, which {verb} active", ids.join(", "))
}

fn reasons_text(reasons: &[Reason]) -> String {
    let texts: Vec<_> = reasons.iter().take(NAMED_MAX).map(|reason| reason.message.as_str()).collect();
    texts.join("; ")
}

fn storage_text(error: &StorageError) -> String {
    match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}

pub(crate) fn join(ids: &[ComponentId], with: &str) -> String {
    ids.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(with)
}

impl RegistryError {
    /// Says whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Name(_)
            | Self::AmbiguousName { .. }
            | Self::NoComponents { .. }
            | Self::BadPath { .. }
            | Self::InvalidIndexName { .. } => ErrorKind::Invalid,
            Self::Manifest { source, .. } => source.kind(),
            Self::Settings { source, .. } => source.kind(),
            Self::Policy { source, .. } => source.kind(),
            Self::Grant { source, .. } => source.kind(),
            Self::Fuse { source, .. } => source.kind(),
            Self::MissingExports { .. } | Self::RangeNotMet { .. } | Self::StateNotKept { .. } => ErrorKind::Invalid,
            Self::NotFound { .. }
            | Self::VersionNotFound { .. }
            | Self::RevisionNotFound { .. }
            | Self::NoEarlierRevision { .. }
            | Self::NoSuchPath { .. }
            | Self::NoIndex { .. } => ErrorKind::NotFound,
            Self::Read { source, .. } => match source.kind() {
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                _ => ErrorKind::Invalid,
            },
            Self::Binary { source, .. } | Self::Call { source, .. } => source.kind(),
            Self::Quota { .. } | Self::NoRoom { .. } => ErrorKind::Exhausted,
            Self::VersionTaken { .. }
            | Self::Cycle { .. }
            | Self::EdgeNotDeclared { .. }
            | Self::NotActive { .. }
            | Self::Waiting { .. }
            | Self::Transition { .. }
            | Self::NotInService { .. }
            | Self::Breaking { .. }
            | Self::TypesDiffer { .. }
            | Self::Changed { .. } => ErrorKind::Conflict,
            Self::Plan(error) => error.kind(),
            Self::Activation(failure) => failure.kind.error_kind(),
            Self::Storage(error) => error.kind(),
            Self::Backup(error) => error.kind(),
            Self::Quarantined { .. } => ErrorKind::Unavailable,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// Tells the error apart from others of its kind, for programs: stable, kebab-case.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Name(_) => "invalid-name",
            Self::NotFound { .. } => "component-not-found",
            Self::Quota { .. } => "quota-exceeded",
            Self::NoRoom { .. } => "mappings-exhausted",
            Self::StateNotKept { .. } => "state-not-shared",
            Self::VersionNotFound { .. } => "version-not-found",
            Self::RevisionNotFound { .. } => "revision-not-found",
            Self::NoEarlierRevision { .. } => "no-earlier-revision",
            Self::Breaking { .. } => "breaking",
            Self::TypesDiffer { .. } => "type-mismatch",
            Self::NotInService { .. } => "version-not-active",
            Self::AmbiguousName { .. } => "ambiguous-name",
            Self::NoSuchPath { .. } => "path-not-found",
            Self::NoComponents { .. } => "no-components",
            Self::BadPath { .. } => "invalid-path",
            Self::Read { .. } => "unreadable",
            Self::Manifest { .. } => "invalid-manifest",
            Self::Binary { source: EngineError::Unsupported { .. }, .. } => "unsupported-feature",
            Self::Binary { .. } => "invalid-component",
            Self::MissingExports { .. } => "missing-exports",
            Self::VersionTaken { .. } => "version-conflict",
            Self::Cycle { .. } => "circular-dependency",
            Self::Plan(error) => error.code(),
            Self::RangeNotMet { .. } => "dependency",
            Self::EdgeNotDeclared { .. } => "edge-not-declared",
            Self::NotActive { .. } | Self::Waiting { .. } => "component-not-active",
            Self::Quarantined { .. } => "component-quarantined",
            Self::Transition { .. } => "invalid-transition",
            Self::Activation(_) => "component-activation",
            Self::Call { source, .. } => codes::of_call(source),
            Self::Changed { .. } => "changed",
            Self::InvalidIndexName { .. } => "invalid-index",
            Self::NoIndex { .. } => "index-not-found",
            Self::Settings { .. } => "invalid-setting",
            Self::Policy { .. } => "invalid-policy",
            Self::Grant { source, .. } => source.code(),
            Self::Fuse { source, .. } => source.code(),
            Self::Storage(error) => codes::of_storage(error),
            Self::Backup(error) => codes::of_backup(error),
            Self::Internal(_) => "internal",
        }
    }

    /// Returns the component that the error is about, if it is about one.
    pub fn component(&self) -> Option<&ComponentId> {
        match self {
            Self::VersionNotFound { component, .. }
            | Self::RevisionNotFound { component, .. }
            | Self::NoEarlierRevision { component, .. }
            | Self::Breaking { component, .. }
            | Self::TypesDiffer { component, .. }
            | Self::NotInService { component, .. }
            | Self::MissingExports { component, .. }
            | Self::Quota { component, .. }
            | Self::NoRoom { component, .. }
            | Self::StateNotKept { component, .. }
            | Self::VersionTaken { component, .. }
            | Self::EdgeNotDeclared { component, .. }
            | Self::NotActive { component, .. }
            | Self::Quarantined { component, .. }
            | Self::Waiting { component, .. }
            | Self::Transition { component, .. }
            | Self::Call { component, .. }
            | Self::Grant { component, .. }
            | Self::Fuse { component, .. }
            | Self::Changed { component } => Some(component),
            Self::Activation(failure) => Some(&failure.component),
            Self::Plan(error) => Some(error.component()),
            Self::Cycle { cycle } => cycle.first(),
            Self::Name(_)
            | Self::NotFound { .. }
            | Self::AmbiguousName { .. }
            | Self::NoSuchPath { .. }
            | Self::NoComponents { .. }
            | Self::BadPath { .. }
            | Self::Read { .. }
            | Self::Manifest { .. }
            | Self::Binary { .. }
            | Self::RangeNotMet { .. }
            | Self::InvalidIndexName { .. }
            | Self::NoIndex { .. }
            | Self::Settings { .. }
            | Self::Policy { .. }
            | Self::Storage(_)
            | Self::Backup(_)
            | Self::Internal(_) => None,
        }
    }

    /// Returns the failure behind the error, if a component failed.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Activation(failure) => Some(failure),
            Self::Call { source: EngineError::Failed(failure), .. } => Some(failure),
            _ => None,
        }
    }

    /// Tells whether the same request may succeed later without being changed.
    pub fn is_retryable(&self) -> bool {
        self.kind().is_retryable() || matches!(self, Self::Changed { .. })
    }

    /// Returns what to do next, most useful first; may be empty.
    pub fn hints(&self) -> Vec<String> {
        crate::error::hints::of(self)
    }
}

mod codes;
mod hints;
