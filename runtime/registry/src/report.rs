//! Answers of operations on many components.

use std::time::Duration;

use domain::plan::ActivationPlan;
use domain::{ComponentId, Grant, Version};

use crate::error::RegistryError;

/// What an activation did, or what a plan would do.
#[derive(Debug, Default)]
pub struct ActivateReport {
    /// The components to activate in topological order: the waves one after the other.
    pub order: Vec<ComponentId>,
    /// The same in waves; the components of one wave do not need each other.
    pub waves: Vec<Vec<ComponentId>>,
    /// What was activated, in the order in which it was done.
    pub activated: Vec<Activated>,
    /// What was asked for or needed and active already.
    pub already_active: Vec<ComponentId>,
    /// What could not be activated.
    pub failed: Vec<(ComponentId, RegistryError)>,
    /// What was not tried, and the component it needs that is not there.
    pub skipped: Vec<(ComponentId, ComponentId)>,
    /// What components that were activated, or would be, ask for and were not granted: they run without it.
    pub ungranted: Vec<(ComponentId, Vec<Grant>)>,
}

impl ActivateReport {
    /// Says what a plan would do.
    pub(crate) fn of_plan(plan: ActivationPlan) -> Self {
        Self {
            order: plan.order().cloned().collect(),
            waves: plan.waves,
            activated: Vec::new(),
            already_active: plan.already_active,
            failed: plan.blocked.into_iter().map(|(id, error)| (id, error.into())).collect(),
            skipped: plan.skipped,
            ungranted: Vec::new(),
        }
    }
}

/// One activated component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activated {
    /// The component.
    pub id: ComponentId,
    /// The version that is active now.
    pub version: Version,
    /// Time for compiling or loading, linking, instantiation and `lifecycle.activate`.
    pub duration: Duration,
    /// Fuel that instantiation and `lifecycle.activate` used.
    pub fuel: u64,
    /// How many attempts it took, 1 if the first went well.
    pub attempts: u32,
    /// What it took the place of, where a revision was in service.
    pub swapped: Option<Swapped>,
}

/// How a revision took the place of the one in service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swapped {
    /// The version that was in service.
    pub from: Version,
    /// The number of its revision.
    pub from_revision: u32,
    /// How much of what its instance remembered was moved; `None` where nothing was: one of the two has no state, or there was no instance.
    pub moved_bytes: Option<u64>,
    /// For how long no call could begin: zero where nothing was moved.
    pub paused: Duration,
    /// Calls that ran in the old revision when the new one came into service; they end there.
    pub running: usize,
    /// Under which id the old revision stays active beside the new one, and for whom: they cannot live with that.
    pub kept: Option<KeptBeside>,
}

/// A revision that stays active beside the one that took its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBeside {
    /// Its id from then on.
    pub id: ComponentId,
    /// Those that need it, ordered.
    pub needed_by: Vec<ComponentId>,
}

/// What was done to each of several components.
#[derive(Debug, Default)]
pub struct Outcomes {
    /// The components to which it was done, in that order.
    pub done: Vec<ComponentId>,
    /// Those that were so already: nothing was done to them.
    pub unchanged: Vec<ComponentId>,
    /// Those to which it could not be done.
    pub failed: Vec<(ComponentId, RegistryError)>,
}
