//! The JSON documents that several verbs print. Their fields are public: added to, never renamed.

use std::collections::BTreeMap;

use domain::entry::{DeclaredBy, Unresolved, UnresolvedReason};
use domain::inspection::ExternItem;
use domain::manifest::{FolderMode, GrantRequests};
use domain::text::escape_line;
use domain::{ComponentId, Edge, EdgeKind, Grant, Granted};
use registry::{ActivateReport, BesideView, EdgeView, EntryView, FusedView, Outcomes, RegistryError, Swapped};
use serde::Serialize;

use crate::error::CliError;
use crate::instances::InstancesDoc;
use crate::limits;
use crate::lock::{BoundDoc, LastActivationDoc};
use crate::supervision::SupervisionDoc;

/// One component with what the registry knows of it.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EntryDoc {
    pub(crate) id: ComponentId,
    pub(crate) version: String,
    pub(crate) revision: u32,
    pub(crate) newest_revision: u32,
    /// The revision that waits for its activation, if one does.
    pub(crate) waiting_revision: Option<u32>,
    /// Revisions beside the one in service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) beside: Vec<BesideDoc>,
    pub(crate) kind: String,
    pub(crate) status: &'static str,
    pub(crate) healthy: bool,
    pub(crate) digest: String,
    pub(crate) size: u64,
    pub(crate) description: Option<String>,
    pub(crate) metadata: BTreeMap<String, serde_json::Value>,
    pub(crate) imports: Vec<String>,
    pub(crate) exports: Vec<String>,
    pub(crate) dependencies: Vec<DependencyDoc>,
    pub(crate) dependents: Vec<ComponentId>,
    /// How it is fused with others; not there if it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fused: Option<FusedDoc>,
    pub(crate) unresolved: Vec<String>,
    pub(crate) unresolved_reasons: Vec<UnresolvedDoc>,
    pub(crate) limits: BTreeMap<&'static str, u64>,
    pub(crate) limit_sources: BTreeMap<&'static str, &'static str>,
    pub(crate) grants: GrantsDoc,
    pub(crate) config: BTreeMap<String, String>,
    pub(crate) bind: BTreeMap<String, ComponentId>,
    pub(crate) instances: InstancesDoc,
    /// How it was activated last; `null` if it never was.
    pub(crate) activation: Option<LastActivationDoc>,
    /// What each need was bound to when it was activated last.
    pub(crate) lock: Vec<BoundDoc>,
    pub(crate) supervision: SupervisionDoc,
    pub(crate) path: Option<String>,
    pub(crate) last_modified: Option<String>,
    pub(crate) instance: &'static str,
    pub(crate) registered_at: String,
    pub(crate) changed_at: String,
    pub(crate) last_accessed: Option<String>,
    pub(crate) access_count: u64,
    pub(crate) calls: u64,
    pub(crate) error_count: u64,
    pub(crate) last_error: Option<String>,
}

impl From<&EntryView> for EntryDoc {
    fn from(view: &EntryView) -> Self {
        let entry = &*view.entry;
        let revision = &entry.revision;
        let manifest = &revision.manifest;
        Self {
            id: entry.id.clone(),
            version: revision.version.to_string(),
            revision: revision.number,
            newest_revision: entry.newest,
            waiting_revision: entry.waiting,
            beside: view.beside.iter().map(BesideDoc::from).collect(),
            kind: revision.kind().to_string(),
            status: entry.status.as_str(),
            healthy: entry.is_healthy(),
            digest: revision.digest.to_string(),
            size: revision.size,
            description: revision.description.clone(),
            metadata: manifest.metadata.clone(),
            imports: names(&revision.imports),
            exports: names(&revision.exports),
            dependencies: entry.dependencies.iter().map(DependencyDoc::from).collect(),
            dependents: view.dependents.clone(),
            fused: view.fused.as_ref().map(FusedDoc::from),
            unresolved: entry.unresolved.iter().map(|unresolved| unresolved.need.to_string()).collect(),
            unresolved_reasons: entry.unresolved.iter().map(UnresolvedDoc::from).collect(),
            limits: limits::values(&view.limits),
            limit_sources: limits::sources(&view.limits),
            grants: GrantsDoc::new(&view.asked, &entry.grants),
            config: manifest.config.clone(),
            bind: manifest.bind.clone(),
            instances: InstancesDoc::from(view),
            activation: entry.activation.as_deref().map(LastActivationDoc::from),
            lock: entry.activation.iter().flat_map(|last| last.lock.iter().map(BoundDoc::from)).collect(),
            supervision: SupervisionDoc::from(view),
            path: revision.path.clone(),
            last_modified: revision.last_modified.map(|at| at.to_string()),
            instance: view.instance.as_str(),
            registered_at: entry.registered_at.to_string(),
            changed_at: entry.changed_at.to_string(),
            last_accessed: view.usage.last_accessed.map(|at| at.to_string()),
            access_count: view.usage.access_count,
            calls: view.usage.calls,
            error_count: entry.error_count,
            last_error: entry.last_error.clone(),
        }
    }
}

/// Returns the names of imports or exports.
pub(crate) fn names(items: &[ExternItem]) -> Vec<String> {
    items.iter().map(|item| item.name.clone()).collect()
}

/// A dependency of a component.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct DependencyDoc {
    pub(crate) id: ComponentId,
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) export: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) declared_by: Option<&'static str>,
}

impl From<&Edge> for DependencyDoc {
    fn from(edge: &Edge) -> Self {
        let bare = Self {
            id: edge.on.clone(),
            kind: edge.kind_str(),
            interface: None,
            export: None,
            range: None,
            declared_by: None,
        };
        match &edge.kind {
            EdgeKind::Import { import, export } => {
                Self { interface: Some(import.clone()), export: Some(export.clone()), ..bare }
            }
            EdgeKind::Declared { range, origin } => Self {
                range: Some(range.to_string()),
                declared_by: Some(match origin {
                    DeclaredBy::Manifest => "manifest",
                    DeclaredBy::Operator => "operator",
                }),
                ..bare
            },
        }
    }
}

/// A need for which no single provider is known.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UnresolvedDoc {
    pub(crate) need: String,
    pub(crate) why: &'static str,
    pub(crate) message: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) candidates: Vec<ComponentId>,
}

impl From<&Unresolved> for UnresolvedDoc {
    fn from(unresolved: &Unresolved) -> Self {
        let need = unresolved.need.to_string();
        let (why, message, candidates) = match &unresolved.reason {
            UnresolvedReason::Missing => ("missing", format!("nothing provides `{need}`"), vec![]),
            UnresolvedReason::Ambiguous { candidates } => {
                let ids: Vec<_> = candidates.iter().map(ToString::to_string).collect();
                ("ambiguous", format!("several components provide `{need}`: {}", ids.join(", ")), candidates.clone())
            }
            UnresolvedReason::BadBinding { to, exists: true } => {
                ("bad-binding", format!("`[bind]` names `{to}` for `{need}`, which does not provide it"), vec![])
            }
            UnresolvedReason::BadBinding { to, exists: false } => {
                ("bad-binding", format!("`[bind]` names `{to}` for `{need}`, which is not registered"), vec![])
            }
            UnresolvedReason::Refused { by, allowed } => {
                let allowed = domain::IdPattern::list(allowed);
                ("refused", format!("`{by}` provides `{need}`, but its `[callers]` allows {allowed}"), vec![])
            }
            UnresolvedReason::OutOfRange { range, found } => {
                ("out-of-range", format!("`{need}` has version {found}, needed is {range}"), vec![])
            }
        };
        Self { need, why, message, candidates }
    }
}

/// What the component asks for beyond the default set, and what it was granted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GrantsDoc {
    /// Variables that it asks for.
    pub(crate) env: Vec<String>,
    /// Folders that it asks for.
    pub(crate) folders: Vec<FolderDoc>,
    /// All that it asks for.
    pub(crate) requested: Vec<GrantDoc>,
    pub(crate) granted: Vec<GrantedDoc>,
    /// What it asks for and was not granted.
    pub(crate) missing: Vec<GrantDoc>,
}

/// One thing that is granted or asked for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GrantDoc {
    pub(crate) capability: &'static str,
    /// As it is typed after `runtime grant ID`.
    pub(crate) text: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) value: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) at: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<&'static str>,
}

impl GrantDoc {
    /// Makes the document with the value of a variable, which [`From`] leaves out.
    pub(crate) fn full(grant: &Grant) -> Self {
        let mut document = Self::from(grant);
        document.text = grant.full();
        if let Grant::Env { value, .. } = grant {
            document.value.clone_from(value);
        }
        document
    }

    /// Tells whether both are of the same place.
    pub(crate) fn is_of(&self, other: &Self) -> bool {
        (self.capability, &self.name, &self.at) == (other.capability, &other.name, &other.at)
    }
}

impl From<&Grant> for GrantDoc {
    fn from(grant: &Grant) -> Self {
        let bare = Self {
            capability: grant.capability(),
            text: grant.to_string(),
            name: None,
            value: None,
            path: None,
            at: None,
            mode: None,
        };
        match grant {
            Grant::Env { name, .. } => Self { name: Some(name.clone()), ..bare },
            Grant::Folder { path, at, mode } => {
                Self { path: Some(path.clone()), at: Some(at.clone()), mode: Some(mode.as_str()), ..bare }
            }
            Grant::Clocks => bare,
        }
    }
}

/// Something that is granted, since when and by whom.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct GrantedDoc {
    #[serde(flatten)]
    pub(crate) grant: GrantDoc,
    pub(crate) since: String,
    pub(crate) by: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) rule: Option<String>,
}

impl From<&Granted> for GrantedDoc {
    fn from(granted: &Granted) -> Self {
        Self {
            grant: (&granted.grant).into(),
            since: granted.since.to_string(),
            by: granted.by.to_string(),
            rule: granted.rule.clone(),
        }
    }
}

/// A folder that the component asks for.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FolderDoc {
    pub(crate) path: String,
    pub(crate) at: String,
    pub(crate) mode: &'static str,
}

impl GrantsDoc {
    /// Says what is asked for by `grants`, and what of it is `granted`.
    pub(crate) fn new(grants: &GrantRequests, granted: &[Granted]) -> Self {
        let folder = |folder: &domain::manifest::FolderRequest| FolderDoc {
            path: folder.path.clone(),
            at: folder.at.clone(),
            mode: match folder.mode {
                FolderMode::Ro => "ro",
                FolderMode::Rw => "rw",
            },
        };
        Self {
            env: grants.env.clone(),
            folders: grants.folders.iter().map(folder).collect(),
            requested: grants.grants().iter().map(GrantDoc::from).collect(),
            granted: granted.iter().map(GrantedDoc::from).collect(),
            missing: domain::grant::missing(grants, granted).iter().map(GrantDoc::from).collect(),
        }
    }
}

/// How a component is fused with others.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FusedDoc {
    pub(crate) with: Vec<ComponentId>,
    /// Who said so: `operator` or `manifest`.
    pub(crate) by: &'static str,
    pub(crate) shares_grants: bool,
    /// Why they cannot be fused any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) problem: Option<String>,
}

impl From<&FusedView> for FusedDoc {
    fn from(view: &FusedView) -> Self {
        Self {
            with: view.with.clone(),
            by: view.by.as_str(),
            shares_grants: view.shares_grants,
            problem: view.problem.clone(),
        }
    }
}

/// An edge from a dependency to a dependent.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct EdgeDoc {
    pub(crate) from: ComponentId,
    pub(crate) to: ComponentId,
    pub(crate) kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) interface: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) range: Option<String>,
    /// Whether the code of the dependency is part of the dependent's unit.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) fused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<&'static str>,
}

impl From<&EdgeView> for EdgeDoc {
    fn from(view: &EdgeView) -> Self {
        let edge = DependencyDoc::from(&view.edge);
        Self {
            from: view.from.clone(),
            to: view.to.clone(),
            kind: edge.kind,
            interface: edge.interface,
            range: edge.range,
            fused: view.fused,
            status: view.status.map(domain::Status::as_str),
        }
    }
}

/// One item that could not be done.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct FailedDoc {
    /// The id, or what was typed for it.
    pub(crate) id: String,
    pub(crate) error: CliError,
}

impl FailedDoc {
    pub(crate) fn new(id: impl ToString, error: &RegistryError) -> Self {
        Self { id: id.to_string(), error: error.into() }
    }
}

/// What was done to several components, and what was not.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct OutcomesDoc {
    pub(crate) done: Vec<ComponentId>,
    /// Those that were so already.
    pub(crate) unchanged: Vec<ComponentId>,
    pub(crate) failed: Vec<FailedDoc>,
    /// The first failure, where a script looks for the error of any verb.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<CliError>,
}

impl OutcomesDoc {
    /// Puts the failures of names that mean nothing before those of the operation.
    pub(crate) fn new(mut failed: Vec<FailedDoc>, outcomes: Outcomes) -> Self {
        failed.extend(outcomes.failed.iter().map(|(id, error)| FailedDoc::new(id, error)));
        let error = failed.first().map(|failed| failed.error.clone());
        Self { done: outcomes.done, unchanged: outcomes.unchanged, failed, error }
    }
}

/// What an activation did, or would do.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct ActivationDoc {
    pub(crate) order: Vec<ComponentId>,
    pub(crate) waves: Vec<Vec<ComponentId>>,
    pub(crate) activated: Vec<ActivatedDoc>,
    pub(crate) already_active: Vec<ComponentId>,
    pub(crate) failed: Vec<FailedDoc>,
    pub(crate) skipped: Vec<SkippedDoc>,
    /// What was activated, or would be, although it asks for more than it was granted.
    pub(crate) ungranted: Vec<UngrantedDoc>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(crate) dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<CliError>,
}

/// A component that was activated.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct ActivatedDoc {
    pub(crate) id: ComponentId,
    pub(crate) version: String,
    pub(crate) duration_us: u64,
    pub(crate) fuel: u64,
    /// How often it was tried, 1 if the first attempt went well.
    pub(crate) attempts: u32,
    /// What it took the place of, where a revision was in service.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) swapped: Option<SwappedDoc>,
}

/// A revision beside the one in service.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BesideDoc {
    pub(crate) id: ComponentId,
    pub(crate) version: String,
    pub(crate) revision: u32,
    pub(crate) status: &'static str,
    pub(crate) needed_by: Vec<ComponentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_error: Option<String>,
}

impl From<&BesideView> for BesideDoc {
    fn from(view: &BesideView) -> Self {
        Self {
            id: view.entry.id.clone(),
            version: view.entry.revision.version.to_string(),
            revision: view.entry.revision.number,
            status: view.entry.status.as_str(),
            needed_by: view.needed_by.clone(),
            last_error: view.entry.last_error.clone(),
        }
    }
}

impl BesideDoc {
    /// Says in one line what it is there for.
    pub(crate) fn words(&self) -> String {
        let needed_by: Vec<_> = self.needed_by.iter().map(ComponentId::as_str).collect();
        let error = self.last_error.as_ref().map(|error| format!(": {}", escape_line(error))).unwrap_or_default();
        if matches!(self.status, "registered" | "inactive") {
            return format!("{} (revision {}) comes beside it with {}", self.id, self.revision, needed_by.join(", "));
        }
        format!(
            "{} (revision {}) is {} beside it for {}{error}",
            self.id,
            self.revision,
            self.status,
            needed_by.join(", ")
        )
    }
}

/// How a revision took the place of the one in service.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SwappedDoc {
    /// The version that was in service.
    pub(crate) from: String,
    pub(crate) from_revision: u32,
    /// How much state was moved, `null` if none was.
    pub(crate) moved_bytes: Option<u64>,
    /// For how long no call could begin.
    pub(crate) paused_us: u64,
    /// Calls that end in the old revision.
    pub(crate) running_calls: usize,
    /// Under which id it stays active beside the new one, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) kept: Option<KeptDoc>,
}

/// A revision that stays active beside the one that took its place.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct KeptDoc {
    pub(crate) id: ComponentId,
    pub(crate) needed_by: Vec<ComponentId>,
}

impl KeptDoc {
    /// Says in words for whom it stays.
    pub(crate) fn text(&self) -> String {
        let needed_by: Vec<_> = self.needed_by.iter().map(ComponentId::as_str).collect();
        format!("{} stays active beside it for {}\n", self.id, needed_by.join(", "))
    }
}

impl From<Swapped> for SwappedDoc {
    fn from(swapped: Swapped) -> Self {
        Self {
            from: swapped.from.to_string(),
            from_revision: swapped.from_revision,
            moved_bytes: swapped.moved_bytes,
            paused_us: u64::try_from(swapped.paused.as_micros()).unwrap_or(u64::MAX),
            running_calls: swapped.running,
            kept: swapped.kept.map(|kept| KeptDoc { id: kept.id, needed_by: kept.needed_by }),
        }
    }
}

/// A component that asks for more than it was granted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct UngrantedDoc {
    pub(crate) id: ComponentId,
    pub(crate) missing: Vec<GrantDoc>,
}

/// A component that was not tried.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SkippedDoc {
    pub(crate) id: ComponentId,
    /// The component whose failure is the reason.
    pub(crate) because: ComponentId,
}

impl ActivationDoc {
    /// Puts the failures of names that mean nothing before those of the operation.
    pub(crate) fn new(mut failed: Vec<FailedDoc>, report: ActivateReport, dry_run: bool) -> Self {
        failed.extend(report.failed.iter().map(|(id, error)| FailedDoc::new(id, error)));
        Self {
            order: report.order,
            waves: report.waves,
            activated: report
                .activated
                .into_iter()
                .map(|activated| ActivatedDoc {
                    id: activated.id,
                    version: activated.version.to_string(),
                    duration_us: u64::try_from(activated.duration.as_micros()).unwrap_or(u64::MAX),
                    fuel: activated.fuel,
                    swapped: activated.swapped.map(SwappedDoc::from),
                    attempts: activated.attempts,
                })
                .collect(),
            already_active: report.already_active,
            ungranted: report
                .ungranted
                .into_iter()
                .map(|(id, missing)| UngrantedDoc { id, missing: missing.iter().map(GrantDoc::from).collect() })
                .collect(),
            skipped: report.skipped.into_iter().map(|(id, because)| SkippedDoc { id, because }).collect(),
            dry_run,
            error: failed.first().map(|failed| failed.error.clone()),
            failed,
        }
    }
}
