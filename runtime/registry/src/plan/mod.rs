//! What a change would do, said before it is made: nothing is written, not even to the journal.
//!
//! [`Registry::plan_change`] takes a [`Change`] and answers with a [`ChangePlan`]; `judge.rs` finds who would break, by the types
//! in the binaries of those concerned. The cost follows what is concerned, not the size of the registry.

mod change;
mod judge;
mod refuse;
mod worlds;

use domain::grant::Revocation;
use domain::world::{Diff, Difference};
use domain::{ComponentId, Grant, Status, Version};

pub(crate) use judge::{Coming, Judge, Scope, active_dependents};
pub(crate) use worlds::Worlds;

use crate::error::RegistryError;
use crate::names::Target;
use crate::register::{RegisterOutcome, RegisterRequest};
use crate::report::KeptBeside;

/// A change that somebody thinks of making.
#[derive(Clone, Debug)]
pub enum Change {
    /// To register these as if at once, and to judge them as if they came into service.
    Register(Vec<RegisterRequest>),
    /// To register these, and to activate them and all that they need.
    RegisterAndActivate(Vec<RegisterRequest>),
    /// To activate these and all that they need, with another version where one is named.
    Activate(Vec<Target>),
    /// To let a component point to another of its revisions.
    Use {
        /// The component.
        id: ComponentId,
        /// The revision's number.
        revision: u32,
    },
    /// To take these out of service.
    Deactivate {
        /// The components.
        ids: Vec<ComponentId>,
        /// Whether active components that need them go too.
        cascade: bool,
    },
    /// To remove these.
    Unregister {
        /// The components.
        ids: Vec<ComponentId>,
        /// Whether components that need them go too.
        cascade: bool,
    },
    /// To take authority back.
    Revoke {
        /// The component.
        id: ComponentId,
        /// Which.
        what: Revocation,
    },
}

impl Change {
    /// Returns the name of the operation that would make it.
    pub fn operation(&self) -> &'static str {
        match self {
            Self::Register(_) | Self::RegisterAndActivate(_) => "register",
            Self::Activate(_) => "activate",
            Self::Use { .. } => "use",
            Self::Deactivate { .. } => "deactivate",
            Self::Unregister { .. } => "unregister",
            Self::Revoke { .. } => "revoke",
        }
    }
}

/// What a change would do.
#[derive(Debug, Default)]
pub struct ChangePlan {
    /// Revisions that would be registered or come into service.
    pub revisions: Vec<PlannedRevision>,
    /// What would be activated: each wave needs only what is in earlier ones or active.
    pub waves: Vec<Vec<ComponentId>>,
    /// What was asked for or needed and is active already.
    pub already_active: Vec<ComponentId>,
    /// What would be taken out of service or removed, in that order.
    pub stops: Vec<ComponentId>,
    /// Imports of active components that would be served by another revision from then on, without a restart.
    pub relinked: Vec<RelinkedEdge>,
    /// Revisions that would stay active beside those that take their places, and for whom.
    pub kept: Vec<KeptBeside>,
    /// Revisions beside those in service that would end: nothing active would need them any more.
    pub ended: Vec<ComponentId>,
    /// Components whose instances would be made anew.
    pub renewed: Vec<ComponentId>,
    /// Who would break; those that are active come first.
    pub broken: Vec<Broken>,
    /// What would not be done, and why: a component, or the name of what was to be registered.
    pub refused: Vec<(String, RegistryError)>,
    /// What would not be tried, and the component it needs that could not be activated.
    pub skipped: Vec<(ComponentId, ComponentId)>,
    /// What components that would be activated ask for and were not granted.
    pub ungranted: Vec<(ComponentId, Vec<Grant>)>,
    /// Grants that would be gone.
    pub revoked: Vec<Grant>,
    /// What could not be compared, and why.
    pub unread: Vec<(ComponentId, String)>,
    /// Dependents that are not active and were not looked at: there are too many.
    pub not_looked_at: usize,
    /// What the caller should know.
    pub warnings: Vec<String>,
}

impl ChangePlan {
    /// Returns those that are active and would break.
    pub fn broken_active(&self) -> impl Iterator<Item = &Broken> {
        self.broken.iter().filter(|broken| broken.status == Status::Active)
    }
}

/// A revision that would be registered or come into service.
#[derive(Clone, Debug)]
pub struct PlannedRevision {
    /// The component.
    pub id: ComponentId,
    /// The revision's number, as it has it or would get it.
    pub revision: u32,
    /// Its version.
    pub version: Version,
    /// What registering it would do; `None` for one that is registered.
    pub outcome: Option<RegisterOutcome>,
    /// Number and version of the revision in whose place it would come; `None` for a component's first.
    pub replaces: Option<(u32, Version)>,
    /// What it exports otherwise than that one.
    pub exports: Diff,
    /// What it imports otherwise than that one.
    pub imports: Diff,
    /// What it asks for and that one did not.
    pub asks_anew: Vec<Grant>,
    /// What it asks for and would not be granted.
    pub missing: Vec<Grant>,
}

/// An import that another revision would serve.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RelinkedEdge {
    /// The component that imports.
    pub component: ComponentId,
    /// The one that serves it.
    pub on: ComponentId,
    /// The import's name.
    pub import: String,
    /// The export's name.
    pub export: String,
}

/// A component that would break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// The component.
    pub component: ComponentId,
    /// Where it stands.
    pub status: Status,
    /// Why, at least one.
    pub reasons: Vec<Reason>,
    /// Active components that need it, directly or not, ordered.
    pub affected: Vec<ComponentId>,
}

/// Why a component would break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// The component that it needs.
    pub on: ComponentId,
    /// The import that it is about, if it is about one.
    pub import: Option<String>,
    /// Tells reasons apart, for programs: a code of [`domain::world::DifferenceKind`] or of a refusal.
    pub code: &'static str,
    /// One sentence, escaped.
    pub message: String,
    /// How the types differ, where that is the reason.
    pub difference: Option<Difference>,
}
