//! What an entry remembers of how the registry watches over it.

use serde::{Deserialize, Serialize};

use crate::id::ComponentId;
use crate::time::Timestamp;

/// What the registry keeps in mind of a component that failed or lost a dependency; most components have none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Watch {
    /// Failures recorded up to this event do not count any more.
    #[serde(skip_serializing_if = "is_zero")]
    pub counts_after: u64,
    /// The quarantine in force; the entry is in status `error` then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quarantine: Option<Quarantine>,
    /// What is remembered of a quarantine that ended by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub relapse: Option<Relapse>,
    /// The dependency that was lost; the entry is in status `inactive` then, and comes back when the dependency does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<ComponentId>,
}

impl Watch {
    /// Tells whether there is nothing to remember.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A component is not called until it was tried again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// When it began; each failed attempt begins it anew.
    pub since: Timestamp,
    /// When the component is tried again at the earliest.
    pub probe_at: Timestamp,
    /// How many quarantines in a row this is, from 1; each is longer than the one before.
    pub round: u32,
    /// What led to it, in a few words, for instance `5 failures within 60s`.
    pub cause: String,
}

/// What is remembered of a quarantine that ended by itself: who fails again soon is kept in quarantine for longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Relapse {
    /// The round of the quarantine that ended.
    pub round: u32,
    /// Until when another one would be the next round.
    pub until: Timestamp,
    /// Whether a call or a health check went well. Where the component was only started, its first failure is one too many.
    pub proven: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}
