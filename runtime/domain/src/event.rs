//! Events: every change of the registry's state, and the records that carry them in the journal.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::activation::{Activation, Bound};
use crate::entry::{Edge, Revision, StateRef, Unresolved, UnresolvedReason};
use crate::error::ErrorKind;
use crate::failure::Failure;
use crate::grant::{Grant, Granted};
use crate::id::ComponentId;
use crate::status::Status;
use crate::supervision::{Quarantine, Relapse};
use crate::time::Timestamp;

/// One change of state, complete: replaying the events in order gives the state.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
pub enum Event {
    /// A new entry, or a new revision of one.
    Registered {
        /// The component.
        component: ComponentId,
        /// The new revision.
        revision: Arc<Revision>,
        /// Whether the entry points to it from now on; otherwise it waits for its activation.
        current: bool,
        /// Edges of the revision that the entry points to after this event.
        dependencies: Vec<Edge>,
        /// Unresolved needs of that revision.
        unresolved: Vec<Unresolved>,
    },
    /// The entry and all its revisions are gone.
    Unregistered {
        /// The component.
        component: ComponentId,
    },
    /// The entry points to another of its revisions.
    RevisionSelected {
        /// The component.
        component: ComponentId,
        /// The revision it points to from now on.
        revision: Arc<Revision>,
        /// Its edges.
        dependencies: Vec<Edge>,
        /// Its unresolved needs.
        unresolved: Vec<Unresolved>,
    },
    /// A revision of an entry is set beside the one in service: others need it that cannot live with that one. It goes by an id of its
    /// own, [`ComponentId::beside`].
    SetBeside {
        /// The revision's id.
        component: ComponentId,
        /// The revision.
        revision: Arc<Revision>,
        /// Its edges.
        dependencies: Vec<Edge>,
        /// Its unresolved needs.
        unresolved: Vec<Unresolved>,
        /// What is granted to its entry.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        grants: Vec<Granted>,
        /// What it takes along where it was in service until now and stays active; `None` where it is to be activated.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        kept: Option<Box<Kept>>,
    },
    /// A revision beside the one in service is gone: nobody needs it any more.
    LeftBeside {
        /// The revision's id.
        component: ComponentId,
    },
    /// The edges of the entry were resolved anew, because a provider came or went.
    EdgesResolved {
        /// The component.
        component: ComponentId,
        /// All its edges.
        dependencies: Vec<Edge>,
        /// All its unresolved needs.
        unresolved: Vec<Unresolved>,
    },
    /// A declared edge was added.
    EdgeAdded {
        /// The dependent.
        component: ComponentId,
        /// The edge.
        edge: Edge,
    },
    /// A declared edge was removed.
    EdgeRemoved {
        /// The dependent.
        component: ComponentId,
        /// The dependency.
        on: ComponentId,
    },
    /// The component was activated.
    Activated {
        /// The component.
        component: ComponentId,
        /// The status before.
        old_status: Status,
        /// The active revision.
        revision: u32,
        /// How long linking, instantiation and `lifecycle.activate` took.
        duration_us: u64,
        /// Fuel they used.
        fuel: u64,
        /// Whether it was asked for by name, rather than needed by what was.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        asked: Option<bool>,
        /// What each of its needs was bound to.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        lock: Vec<Bound>,
    },
    /// The component was taken out of service.
    Deactivated {
        /// The component.
        component: ComponentId,
        /// The status before.
        old_status: Status,
        /// Why, where it was not simply asked for.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// The dependency that it lost, where that is why: it comes back when that one does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<ComponentId>,
    },
    /// The component went to status `error`.
    Errored {
        /// The component.
        component: ComponentId,
        /// The status before.
        old_status: Status,
        /// Why, escaped and bounded.
        error: String,
    },
    /// The component failed too often: it goes to status `error` and is not called until it was tried again.
    Quarantined {
        /// The component.
        component: ComponentId,
        /// The status before; `error` if it was tried and failed again.
        old_status: Status,
        /// Its last failure, escaped and bounded.
        error: String,
        /// The quarantine that begins.
        quarantine: Quarantine,
        /// How many calls the quarantine before refused.
        #[serde(default, skip_serializing_if = "is_zero")]
        refused: u64,
    },
    /// A component in quarantine was tried and did not fail: it is active again.
    Recovered {
        /// The component.
        component: ComponentId,
        /// The status before.
        old_status: Status,
        /// What is remembered of the quarantine.
        relapse: Relapse,
        /// How many calls it refused.
        #[serde(default, skip_serializing_if = "is_zero")]
        refused: u64,
    },
    /// The registry made an instance of an active component anew, because the one before was discarded after a failure.
    Restarted {
        /// The component.
        component: ComponentId,
        /// How often that was done within the window of its budget, this time included.
        restarts: u32,
        /// How often it may be done.
        max_restarts: u32,
        /// How long it took.
        duration_us: u64,
        /// Fuel that it used.
        fuel: u64,
    },
    /// The share of healthy components fell below the threshold.
    HealthDropped {
        /// Healthy components, and all.
        health: HealthCount,
        /// The threshold, in parts of a hundred.
        threshold: f64,
        /// Components that are not well, with the last error of each; the first of them, by id.
        failing: Vec<Failing>,
    },
    /// The share of healthy components is no longer below the threshold.
    HealthRestored {
        /// Healthy components, and all.
        health: HealthCount,
        /// The threshold, in parts of a hundred.
        threshold: f64,
    },
    /// The component's error status and shown history were cleared.
    ErrorsCleared {
        /// The component.
        component: ComponentId,
        /// The status before; only an entry in `error` changes it, to `registered`.
        old_status: Status,
        /// Whether the failures shown are emptied as well; an activation that is tried again keeps them.
        history: bool,
    },
    /// The component failed; its status does not change by this event.
    Failed {
        /// The component, also in `failure`.
        component: ComponentId,
        /// What happened.
        failure: Box<Failure>,
        /// How many failures of this sort the event stands for, at least 1.
        count: u64,
        /// How many failures the component's history keeps from now on; [`FAILURES_MAX`](crate::failure::FAILURES_MAX) if it does not say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        keep: Option<u32>,
    },
    /// The component's last instance left its state.
    StateSaved {
        /// The component.
        component: ComponentId,
        /// Where the state is, `None` once it was dropped.
        state: Option<StateRef>,
    },
    /// A health probe answered.
    Probed {
        /// The component.
        component: ComponentId,
        /// Whether it is well.
        healthy: bool,
        /// What it said, escaped and bounded.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<String>,
    },
    /// An operation was refused.
    Refused {
        /// The component it was asked for, where one was named.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        component: Option<ComponentId>,
        /// The operation's name, for instance `activate`.
        operation: String,
        /// Whose turn it is.
        kind: ErrorKind,
        /// The error, escaped and bounded.
        error: String,
        /// How many refusals of this sort the event stands for, at least 1.
        count: u64,
    },
    /// The component was granted authority beyond the default set.
    Granted {
        /// The component.
        component: ComponentId,
        /// What it was granted, each in place of what it had there before.
        grants: Vec<Grant>,
        /// The rule of the policy that did it, `None` if a person or program did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rule: Option<String>,
    },
    /// Authority was taken back from the component.
    Revoked {
        /// The component.
        component: ComponentId,
        /// What it has no longer.
        grants: Vec<Grant>,
    },
    /// The component's unit is made of its code and that of others.
    Fused {
        /// The component.
        component: ComponentId,
        /// The others, ordered, in place of those that were said before.
        with: Vec<ComponentId>,
        /// Whether their grants may differ from those of the component.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        shares_grants: bool,
    },
    /// The component's unit is made of its code alone again.
    Unfused {
        /// The component.
        component: ComponentId,
        /// Whether it stays so although its component manifest, or its kind, asks to be fused.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        apart: bool,
    },
    /// A custom index was made.
    IndexCreated {
        /// The metadata key that is indexed, which is also the index's name.
        key: String,
    },
    /// A custom index was dropped.
    IndexDropped {
        /// The index's name.
        key: String,
    },
    /// A setting of the registry was changed.
    ConfigSet {
        /// The setting's key.
        key: String,
        /// Its value before, as TOML; `None` where the default was in force.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        old: Option<String>,
        /// Its value after, as TOML; `None` where the default is in force again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        new: Option<String>,
    },
}

/// What a revision takes along that was in service and stays active beside the one that took its place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kept {
    /// How it was activated.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activation: Option<Arc<Activation>>,
    /// The state that its last instance left.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<StateRef>,
}

/// How many components are healthy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCount {
    /// Those that are.
    pub healthy: u64,
    /// All there are.
    pub total: u64,
}

/// A component that is not well.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failing {
    /// The component.
    pub component: ComponentId,
    /// Its last error, escaped and bounded.
    pub error: String,
}

/// Most components that a [`Event::HealthDropped`] names.
pub const FAILING_MAX: usize = 20;

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Newest version of the events' form; a reader refuses records of a later one. Each record has the version of
/// [`Event::version`], so that an older program reads all that it knows and says of the rest that it is newer.
pub const EVENT_VERSION: u32 = 5;

impl Event {
    /// The names of all events.
    pub const NAMES: [&'static str; 28] = [
        "registered",
        "unregistered",
        "revision-selected",
        "set-beside",
        "left-beside",
        "edges-resolved",
        "edge-added",
        "edge-removed",
        "activated",
        "deactivated",
        "errored",
        "quarantined",
        "recovered",
        "restarted",
        "health-dropped",
        "health-restored",
        "errors-cleared",
        "failed",
        "state-saved",
        "probed",
        "refused",
        "granted",
        "revoked",
        "fused",
        "unfused",
        "index-created",
        "index-dropped",
        "config-set",
    ];

    /// Returns the version of the events' form in which this event appeared, at most [`EVENT_VERSION`].
    pub fn version(&self) -> u32 {
        let is_refused = |unresolved: &Unresolved| matches!(unresolved.reason, UnresolvedReason::Refused { .. });
        match self {
            Self::SetBeside { .. } | Self::LeftBeside { .. } => 5,
            // An older program does not read such an id.
            _ if self.names_beside() => 5,
            Self::Activated { asked, lock, .. } if asked.is_some() || !lock.is_empty() => 4,
            Self::Quarantined { .. }
            | Self::Recovered { .. }
            | Self::Restarted { .. }
            | Self::HealthDropped { .. }
            | Self::HealthRestored { .. }
            | Self::Deactivated { lost: Some(_), .. } => 4,
            Self::Fused { .. } | Self::Unfused { .. } => 3,
            Self::Granted { .. } | Self::Revoked { .. } => 2,
            Self::Registered { unresolved, .. }
            | Self::RevisionSelected { unresolved, .. }
            | Self::EdgesResolved { unresolved, .. }
                if unresolved.iter().any(is_refused) =>
            {
                2
            }
            _ => 1,
        }
    }

    /// Returns the event's name as it stands in the journal, for instance `edge-added`.
    ///
    /// It is one of [`Event::NAMES`].
    pub fn name(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "registered",
            Self::Unregistered { .. } => "unregistered",
            Self::RevisionSelected { .. } => "revision-selected",
            Self::SetBeside { .. } => "set-beside",
            Self::LeftBeside { .. } => "left-beside",
            Self::EdgesResolved { .. } => "edges-resolved",
            Self::EdgeAdded { .. } => "edge-added",
            Self::EdgeRemoved { .. } => "edge-removed",
            Self::Activated { .. } => "activated",
            Self::Deactivated { .. } => "deactivated",
            Self::Errored { .. } => "errored",
            Self::Quarantined { .. } => "quarantined",
            Self::Recovered { .. } => "recovered",
            Self::Restarted { .. } => "restarted",
            Self::HealthDropped { .. } => "health-dropped",
            Self::HealthRestored { .. } => "health-restored",
            Self::ErrorsCleared { .. } => "errors-cleared",
            Self::Failed { .. } => "failed",
            Self::StateSaved { .. } => "state-saved",
            Self::Probed { .. } => "probed",
            Self::Refused { .. } => "refused",
            Self::Granted { .. } => "granted",
            Self::Revoked { .. } => "revoked",
            Self::Fused { .. } => "fused",
            Self::Unfused { .. } => "unfused",
            Self::IndexCreated { .. } => "index-created",
            Self::IndexDropped { .. } => "index-dropped",
            Self::ConfigSet { .. } => "config-set",
        }
    }

    /// Returns the status before and after an event that sets it, even to what it was; a first registration comes after
    /// [`Status::Discovered`].
    pub fn statuses(&self) -> Option<(Status, Status)> {
        match self {
            Self::Registered { revision, .. } if revision.number == 1 => Some((Status::Discovered, Status::Registered)),
            Self::Activated { old_status, .. } => Some((*old_status, Status::Active)),
            Self::SetBeside { kept: Some(_), .. } => Some((Status::Active, Status::Active)),
            Self::Deactivated { old_status, .. } => Some((*old_status, Status::Inactive)),
            Self::Errored { old_status, .. } | Self::Quarantined { old_status, .. } => {
                Some((*old_status, Status::Error))
            }
            Self::Recovered { old_status, .. } => Some((*old_status, Status::Active)),
            Self::ErrorsCleared { old_status: Status::Error, .. } => Some((Status::Error, Status::Registered)),
            Self::ErrorsCleared { old_status, .. } => Some((*old_status, *old_status)),
            Self::Registered { .. }
            | Self::Unregistered { .. }
            | Self::RevisionSelected { .. }
            | Self::SetBeside { kept: None, .. }
            | Self::LeftBeside { .. }
            | Self::EdgesResolved { .. }
            | Self::EdgeAdded { .. }
            | Self::EdgeRemoved { .. }
            | Self::Failed { .. }
            | Self::StateSaved { .. }
            | Self::Restarted { .. }
            | Self::HealthDropped { .. }
            | Self::HealthRestored { .. }
            | Self::Probed { .. }
            | Self::Refused { .. }
            | Self::Granted { .. }
            | Self::Revoked { .. }
            | Self::Fused { .. }
            | Self::Unfused { .. }
            | Self::IndexCreated { .. }
            | Self::IndexDropped { .. }
            | Self::ConfigSet { .. } => None,
        }
    }

    /// Tells whether the event has the id of a revision beside the one in service.
    fn names_beside(&self) -> bool {
        let leads_there = |edges: &[Edge]| edges.iter().any(|edge| edge.on.is_beside());
        self.component().is_some_and(ComponentId::is_beside)
            || match self {
                Self::Registered { dependencies, .. }
                | Self::RevisionSelected { dependencies, .. }
                | Self::EdgesResolved { dependencies, .. } => leads_there(dependencies),
                Self::EdgeAdded { edge, .. } => edge.on.is_beside(),
                Self::EdgeRemoved { on, .. } => on.is_beside(),
                Self::Activated { lock, .. } => lock.iter().any(|bound| bound.edge.on.is_beside()),
                Self::Deactivated { lost, .. } => lost.as_ref().is_some_and(ComponentId::is_beside),
                _ => false,
            }
    }

    /// Returns the component that the event is about, if it is about one.
    pub fn component(&self) -> Option<&ComponentId> {
        match self {
            Self::Registered { component, .. }
            | Self::Unregistered { component }
            | Self::RevisionSelected { component, .. }
            | Self::SetBeside { component, .. }
            | Self::LeftBeside { component }
            | Self::EdgesResolved { component, .. }
            | Self::EdgeAdded { component, .. }
            | Self::EdgeRemoved { component, .. }
            | Self::Activated { component, .. }
            | Self::Deactivated { component, .. }
            | Self::Errored { component, .. }
            | Self::Quarantined { component, .. }
            | Self::Recovered { component, .. }
            | Self::Restarted { component, .. }
            | Self::ErrorsCleared { component, .. }
            | Self::Failed { component, .. }
            | Self::StateSaved { component, .. }
            | Self::Probed { component, .. }
            | Self::Granted { component, .. }
            | Self::Revoked { component, .. }
            | Self::Fused { component, .. }
            | Self::Unfused { component, .. } => Some(component),
            Self::Refused { component, .. } => component.as_ref(),
            Self::IndexCreated { .. }
            | Self::IndexDropped { .. }
            | Self::ConfigSet { .. }
            | Self::HealthDropped { .. }
            | Self::HealthRestored { .. } => None,
        }
    }
}

/// Who caused an event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "name", rename_all = "kebab-case")]
pub enum Actor {
    /// A person at the command line, by user name.
    Cli(String),
    /// A program that embeds the registry.
    Api(String),
    /// A component.
    Component(ComponentId),
    /// The registry itself.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cli(user) => write!(f, "cli:{user}"),
            Self::Api(name) => write!(f, "api:{name}"),
            Self::Component(id) => write!(f, "component:{id}"),
            Self::System => f.write_str("system"),
        }
    }
}

/// An event as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Position in the journal, from 1, without gaps.
    pub seq: u64,
    /// When it was appended.
    pub at: Timestamp,
    /// Who caused it.
    pub actor: Actor,
    /// Version of the event's form.
    pub version: u32,
    /// The event.
    #[serde(flatten)]
    pub event: Event,
}
