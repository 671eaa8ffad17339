//! How a component was activated last, and what its needs were bound to.

use domain::{Activation, Bound, ComponentId};
use serde::Serialize;

use crate::dto::DependencyDoc;

/// Who activated a component and when.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LastActivationDoc {
    pub(crate) at: String,
    pub(crate) by: String,
    /// Its record in the journal.
    pub(crate) seq: u64,
    pub(crate) revision: u32,
    /// Whether it was asked for by name; `null` if that was not recorded.
    pub(crate) asked: Option<bool>,
}

/// What a need was bound to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct BoundDoc {
    #[serde(flatten)]
    pub(crate) need: DependencyDoc,
    pub(crate) revision: u32,
    pub(crate) version: String,
}

impl From<&Activation> for LastActivationDoc {
    fn from(activation: &Activation) -> Self {
        Self {
            at: activation.at.to_string(),
            by: activation.by.to_string(),
            seq: activation.seq,
            revision: activation.revision,
            asked: activation.asked,
        }
    }
}

impl From<&Bound> for BoundDoc {
    fn from(bound: &Bound) -> Self {
        Self { need: (&bound.edge).into(), revision: bound.revision, version: bound.version.to_string() }
    }
}

impl BoundDoc {
    /// Returns the component that serves the need.
    pub(crate) fn on(&self) -> &ComponentId {
        &self.need.id
    }

    /// Returns what is needed, in words: an interface, or a component in a range.
    pub(crate) fn need_text(&self) -> String {
        match (&self.need.interface, &self.need.range) {
            (Some(interface), _) => domain::text::escape_line(interface).into_owned(),
            (None, Some(range)) => format!("{} {range}", self.need.id),
            (None, None) => self.need.id.to_string(),
        }
    }
}
