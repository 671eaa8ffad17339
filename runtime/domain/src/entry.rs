//! Entries and their revisions: what the registry knows of one component.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use semver::{Version, VersionReq};
use serde::{Deserialize, Serialize};

use crate::activation::Activation;
use crate::digest::Digest;
use crate::fusion::Fusion;
use crate::grant::Granted;
use crate::id::ComponentId;
use crate::inspection::ExternItem;
use crate::manifest::{ComponentManifest, Kind};
use crate::pattern::IdPattern;
use crate::reduce::provided_key;
use crate::status::Status;
use crate::supervision::{Quarantine, Watch};
use crate::time::Timestamp;

/// One immutable version of a component: its bytes by digest and its manifest.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Revision {
    /// Counts from 1 within the entry.
    pub number: u32,
    /// The author's version.
    pub version: Version,
    /// The identity of the bytes.
    pub digest: Digest,
    /// Size of the bytes.
    pub size: u64,
    /// One sentence for people, from the manifest or else the binary; escaped and bounded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The component manifest as it was registered.
    pub manifest: ComponentManifest,
    /// What the component needs, in the binary's order.
    pub imports: Vec<ExternItem>,
    /// What the component offers, in the binary's order.
    pub exports: Vec<ExternItem>,
    /// The file that was registered, absolute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// When that file was changed last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<Timestamp>,
    /// The folder where relative paths of its manifest's `[grants]` begin, canonical; only there if it has any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// When this revision was registered.
    pub registered_at: Timestamp,
}

impl Revision {
    /// Returns what sort of component this is.
    pub fn kind(&self) -> Kind {
        self.manifest.kind()
    }

    /// Returns the keys under which others find what it exports.
    pub fn provided(&self) -> impl Iterator<Item = String> {
        self.exports.iter().filter_map(provided_key)
    }

    /// Tells whether registering `digest` with `manifest` would change nothing.
    pub fn is_same(&self, digest: &Digest, manifest: &ComponentManifest) -> bool {
        self.digest == *digest && self.manifest == *manifest
    }

    /// Tells whether the component exports `registry:component/<interface>`.
    pub fn has_lifecycle(&self, interface: &str) -> bool {
        Self::exports_lifecycle(&self.exports, interface)
    }

    /// Tells whether a component with these exports has `registry:component/<interface>` among them.
    pub fn exports_lifecycle(exports: &[ExternItem], interface: &str) -> bool {
        exports.iter().filter_map(ExternItem::interface).any(|i| i.is_lifecycle() && i.interface == interface)
    }
}

/// A component in the registry: its status, the revision it points to, and the edges of that revision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The component's id.
    pub id: ComponentId,
    /// Where the entry stands.
    pub status: Status,
    /// The revision that the entry points to; the active one while the entry is active.
    pub revision: Arc<Revision>,
    /// Number of the newest revision; above `revision.number` while a newer one waits for its activation.
    pub newest: u32,
    /// Resolved edges to dependencies, ordered by dependency.
    pub dependencies: Arc<Vec<Edge>>,
    /// Imports and declared dependencies for which no single provider is known.
    pub unresolved: Vec<Unresolved>,
    /// When the first revision was registered.
    pub registered_at: Timestamp,
    /// When the entry changed last.
    pub changed_at: Timestamp,
    /// Sequence number of the event that changed the entry last.
    pub changed_seq: u64,
    /// Why the entry is in [`Status::Error`], or what failed since it was activated last; gone when it is
    /// activated and when the errors are cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
    /// Failures recorded since the errors were last cleared.
    #[serde(default)]
    pub error_count: u64,
    /// The state that the component's last instance left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateRef>,
    /// What the last health probe said: `false` after a failed one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub probe: Option<bool>,
    /// What is granted beyond the default set, oldest first; it holds for all revisions.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Granted>,
    /// What an operator said of fusing it; `None` leaves that to the component manifest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fusion: Option<Fusion>,
    /// The revision that was registered while another one was active, until some revision is chosen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u32>,
    /// Under which keys others find what revisions of the entry export and the one that it points to does not.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub elsewhere: BTreeSet<String>,
    /// The way to the revision that the entry points to: those that it pointed to before, oldest first, without detours. A rollback
    /// goes back on it. At most [`TRAIL_MAX`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub trail: Vec<u32>,
    /// How it was activated last; `None` if it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Arc<Activation>>,
    /// What the registry keeps in mind while it watches over the component.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watch: Option<Arc<Watch>>,
}

/// Most revisions that an entry remembers to go back to; the oldest are forgotten first.
pub const TRAIL_MAX: usize = 64;

impl Entry {
    /// Makes the entry of a component that is registered at `at` with its first revision, without edges.
    pub fn new(id: ComponentId, revision: Arc<Revision>, at: Timestamp) -> Self {
        Self {
            id,
            status: Status::Registered,
            newest: revision.number,
            revision,
            dependencies: Arc::default(),
            unresolved: Vec::new(),
            registered_at: at,
            changed_at: at,
            changed_seq: 0,
            last_error: None,
            error_count: 0,
            state: None,
            probe: None,
            grants: Vec::new(),
            fusion: None,
            waiting: None,
            elsewhere: BTreeSet::new(),
            trail: Vec::new(),
            activation: None,
            watch: None,
        }
    }

    /// Tells whether the entry is healthy: not in error, and its last probe, if any, did not fail.
    pub fn is_healthy(&self) -> bool {
        self.status != Status::Error && self.probe != Some(false)
    }

    /// Returns the quarantine in force.
    pub fn quarantine(&self) -> Option<&Quarantine> {
        self.watch.as_ref()?.quarantine.as_ref()
    }

    /// Returns the dependency whose return the component waits for to come back by itself.
    pub fn lost(&self) -> Option<&ComponentId> {
        self.watch.as_ref()?.lost.as_ref()
    }

    /// Returns the ids of the dependencies, each once, in order.
    pub fn dependency_ids(&self) -> Vec<ComponentId> {
        let mut ids: Vec<_> = self.dependencies.iter().map(|edge| edge.on.clone()).collect();
        ids.sort();
        ids.dedup();
        ids
    }

    /// Tells whether a newer revision waits for its activation.
    pub fn has_waiting_revision(&self) -> bool {
        self.waiting.is_some()
    }

    /// Takes notice of what another revision than the one that the entry points to exports.
    pub fn note_elsewhere(&mut self, other: &Revision) {
        self.elsewhere.extend(other.provided());
        for key in self.revision.provided() {
            self.elsewhere.remove(&key);
        }
    }

    /// Lets the entry point to `revision`. One that it came by is gone back to, and what came after it is forgotten; before any other
    /// one, the trail has the revision that is left.
    pub fn point_to(&mut self, revision: Arc<Revision>) {
        let (left, chosen) = (self.revision.number, revision.number);
        if let Some(at) = self.trail.iter().position(|number| *number == chosen) {
            self.trail.truncate(at);
        } else if left != chosen {
            if self.trail.len() >= TRAIL_MAX {
                self.trail.remove(0);
            }
            self.trail.push(left);
        }
        self.newest = self.newest.max(chosen);
        let left = std::mem::replace(&mut self.revision, revision);
        self.note_elsewhere(&left);
        self.waiting = None;
        self.probe = None;
    }
}

/// The bytes that a component's `state.snapshot` returned, kept as a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateRef {
    /// The identity of the bytes.
    pub digest: Digest,
    /// Their size.
    pub size: u64,
}

/// An edge from a dependent (the entry that holds it) to a dependency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// The dependency.
    pub on: ComponentId,
    /// Where the edge comes from.
    #[serde(flatten)]
    pub kind: EdgeKind,
}

/// Where an edge comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum EdgeKind {
    /// An import that an export of the dependency serves.
    Import {
        /// The import's name in the dependent.
        import: String,
        /// The export's name in the dependency.
        export: String,
    },
    /// Declared, not derived from the binary.
    Declared {
        /// The versions that will do.
        range: VersionReq,
        /// Whether the component manifest declares it, or an operator did.
        origin: DeclaredBy,
    },
}

/// Who declared an edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeclaredBy {
    /// The component manifest; goes with its revision.
    Manifest,
    /// An operator; stays until it is removed.
    Operator,
}

impl Edge {
    /// Returns the label that people see: the imported interface, or `depends_on`.
    pub fn label(&self) -> &str {
        match &self.kind {
            EdgeKind::Import { import, .. } => import,
            EdgeKind::Declared { .. } => "depends_on",
        }
    }

    /// Tells whether the edge was declared rather than derived from an import.
    pub fn is_declared(&self) -> bool {
        matches!(self.kind, EdgeKind::Declared { .. })
    }

    /// Returns the word for the edge's kind: `import` or `declared`.
    pub fn kind_str(&self) -> &'static str {
        match self.kind {
            EdgeKind::Import { .. } => "import",
            EdgeKind::Declared { .. } => "declared",
        }
    }
}

/// A need of a component for which no single provider is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unresolved {
    /// What is needed.
    pub need: Need,
    /// Why it is not resolved.
    pub reason: UnresolvedReason,
}

/// What a component needs from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// An import, by its name in the binary.
    Import(String),
    /// A declared dependency.
    Component(ComponentId),
}

impl fmt::Display for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Import(name) => f.write_str(name),
            Self::Component(id) => fmt::Display::fmt(id, f),
        }
    }
}

/// Why a need is not resolved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum UnresolvedReason {
    /// Nothing in the registry provides it.
    Missing,
    /// Several entries could provide it and `[bind]` does not choose.
    Ambiguous {
        /// The entries that could, ordered.
        candidates: Vec<ComponentId>,
    },
    /// `[bind]` names an entry that does not provide it.
    BadBinding {
        /// The entry that was named.
        to: ComponentId,
        /// Whether that entry exists at all.
        exists: bool,
    },
    /// The one entry that provides it does not let this component call it: its `[callers]` says so.
    Refused {
        /// The entry.
        by: ComponentId,
        /// Whom it lets call.
        allowed: Vec<IdPattern>,
    },
    /// The declared dependency exists, but not in the declared range.
    OutOfRange {
        /// The declared range.
        range: VersionReq,
        /// The version that is there.
        found: Version,
    },
}
