//! What readers get: entries with what is known beside them.

use std::path::PathBuf;
use std::sync::Arc;

use domain::limits::LimitsInForce;
use domain::manifest::{GrantRequests, InstancesInForce};
use domain::ports::{InstanceCount, InstanceState, StateView, StorageError};
use domain::resolve::{NOTHING_EXPECTED, Overlay, resolve};
use domain::usage::Usage;
use domain::{ComponentId, Edge, Entry, Status};

use crate::Registry;
use crate::beside::{besides, dependents_of_all};
use crate::error::RegistryError;
use crate::fuse::FusedView;
use crate::names::{Target, unknown};
use crate::register::entry_after;
use crate::supervise::SupervisionView;

/// An entry with its dependents, its use, and what is in force for it.
#[derive(Clone, Debug)]
pub struct EntryView {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Ids of the components that depend on it, ordered.
    pub dependents: Vec<ComponentId>,
    /// How much it was used, counters of this process included.
    pub usage: Usage,
    /// The limits in force.
    pub limits: LimitsInForce,
    /// What it asks for beyond the default set, on behalf of its kind included.
    pub asked: GrantRequests,
    /// Whether this process has an instance of it.
    pub instance: InstanceWord,
    /// How it is fused with others, `None` if it is not.
    pub fused: Option<FusedView>,
    /// How its instances are kept.
    pub instances: InstancesInForce,
    /// The instances that this process has of it.
    pub count: InstanceCount,
    /// How it is watched over.
    pub supervision: SupervisionView,
    /// Its revisions beside the one in service, ordered by id.
    pub beside: Vec<BesideView>,
}

/// A revision beside the one in service.
#[derive(Clone, Debug)]
pub struct BesideView {
    /// It, by its own id.
    pub entry: Arc<Entry>,
    /// Those that it is there for, ordered.
    pub needed_by: Vec<ComponentId>,
}

/// Whether this process has an instance of a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceWord {
    /// There is one.
    Live,
    /// It is active, and its instance will be made when it is called.
    Cold,
    /// It is not active.
    None,
}

impl InstanceWord {
    /// Returns the word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Live => "live",
            Self::Cold => "cold",
            Self::None => "none",
        }
    }
}

/// An edge between two components.
#[derive(Clone, Debug)]
pub struct EdgeView {
    /// The dependency.
    pub from: ComponentId,
    /// The dependent.
    pub to: ComponentId,
    /// The edge as the dependent has it.
    pub edge: Edge,
    /// Whether the code of the dependency is part of the dependent's unit.
    pub fused: bool,
    /// Status of the far end, seen from the component that was asked about; `None` if it is not registered.
    pub status: Option<Status>,
}

/// Components and the edges between them.
#[derive(Clone, Debug, Default)]
pub struct GraphView {
    /// The components, ordered.
    pub nodes: Vec<EntryView>,
    /// The edges, ordered by dependent and dependency.
    pub edges: Vec<EdgeView>,
}

impl Registry {
    /// Returns an entry with what is known beside it.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn get(&self, id: &ComponentId) -> Result<EntryView, RegistryError> {
        self.take_gate_usage();
        let registry = self.clone();
        let id = id.clone();
        self.read(move |view| match view.entry(&id)? {
            Some(entry) => Ok(registry.view_of(view, entry)?),
            None => Err(unknown(&id)),
        })
        .await
    }

    /// Returns an entry as [`Registry::get`] does; where `target` names a version, as it would be with the newest revision of that
    /// version: one that is not in service is never active and has no instance.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::VersionNotFound`].
    pub async fn get_target(&self, target: &Target) -> Result<EntryView, RegistryError> {
        let Some(version) = target.version.clone() else { return self.get(&target.id).await };
        self.take_gate_usage();
        let registry = self.clone();
        let id = target.id.clone();
        self.read(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let revisions = view.revisions(&id)?;
            let Some(revision) = revisions.iter().rev().find(|revision| revision.version == version) else {
                let known = revisions.iter().map(|revision| revision.version.clone()).collect();
                return Err(RegistryError::VersionNotFound { component: id, version, known });
            };
            if revision.number == entry.revision.number {
                return Ok(registry.view_of(view, entry)?);
            }
            if let Some(beside) = view.entry(&id.beside(&version))? {
                return Ok(registry.view_of(view, beside)?);
            }
            let overlay = Overlay::new(view, &NOTHING_EXPECTED);
            let resolution = resolve(&overlay, &id, revision, &entry.dependencies)?;
            let mut other = entry_after(Some(&entry), &id, revision, &resolution);
            other.status = Status::Registered;
            Ok(registry.view_of(view, Arc::new(other))?)
        })
        .await
    }

    /// Adds to an entry what is known beside it.
    pub(crate) fn view_of(&self, view: &dyn StateView, entry: Arc<Entry>) -> Result<EntryView, StorageError> {
        let mut usage = view.usage(&entry.id)?;
        usage.merge(&self.inner.tracker.pending(&entry.id));
        let count = match entry.status {
            Status::Active => self.instance_count(&entry.id),
            Status::Discovered | Status::Registered | Status::Inactive | Status::Error => InstanceCount::default(),
        };
        Ok(EntryView {
            dependents: dependents_of_all(view, &entry.id)?,
            beside: self.beside_of(view, &entry)?,
            usage,
            limits: self.effective_limits(&entry),
            asked: self.requests_of(&entry.revision.manifest),
            instance: self.instance_word(&entry),
            fused: self.fused_view(view, &entry)?,
            instances: self.effective_instances(&entry),
            count,
            supervision: self.supervision_of(&entry),
            entry,
        })
    }

    /// Returns the revisions beside the one in service.
    pub(crate) fn beside_of(&self, view: &dyn StateView, entry: &Entry) -> Result<Vec<BesideView>, StorageError> {
        // Most have one revision alone: nothing need be looked up for them.
        if entry.newest <= 1 || entry.id.is_beside() {
            return Ok(Vec::new());
        }
        let mut found = Vec::new();
        for beside in besides(view, &entry.id)? {
            found.push(BesideView { needed_by: view.dependents(&beside.id)?, entry: beside });
        }
        Ok(found)
    }

    fn instance_word(&self, entry: &Entry) -> InstanceWord {
        if entry.status != Status::Active {
            return InstanceWord::None;
        }
        match self.unit_in_service(&entry.id).map(|unit| unit.instance_state()) {
            Some(InstanceState::Live) => InstanceWord::Live,
            Some(InstanceState::Cold) | None => InstanceWord::Cold,
        }
    }

    /// Returns where the file of a component is, for messages.
    pub(crate) fn path_key(path: &std::path::Path) -> PathBuf {
        std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
    }
}
