//! How an entry was activated last: when, by whom, and what its needs were bound to.

use semver::Version;
use serde::{Deserialize, Serialize};

use crate::entry::Edge;
use crate::event::Actor;
use crate::time::Timestamp;

/// The last activation of an entry; stays when it is taken out of service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Activation {
    /// When it was.
    pub at: Timestamp,
    /// Who caused it.
    pub by: Actor,
    /// Its record in the journal.
    pub seq: u64,
    /// The revision that was activated.
    pub revision: u32,
    /// Whether it was asked for by name, rather than needed by what was; `None` if that was not recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<bool>,
    /// The lock: what each resolved need was bound to, ordered as the edges were.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lock: Vec<Bound>,
}

/// What one need was bound to when its component was activated.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bound {
    /// The need and its provider.
    #[serde(flatten)]
    pub edge: Edge,
    /// The revision of the provider that was in service.
    pub revision: u32,
    /// Its version.
    pub version: Version,
}
