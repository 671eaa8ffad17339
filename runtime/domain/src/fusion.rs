//! Fusing: whose code becomes part of a component's unit, ahead of time, in the place of calls through gates.

use serde::{Deserialize, Serialize};

use crate::id::ComponentId;

/// Most components that one can be fused with.
pub const FUSED_MAX: usize = 32;

/// What an operator said of how a component is linked with those that it calls. It holds for all revisions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fusion {
    /// The components whose code is part of the unit, ordered, at most [`FUSED_MAX`]; nobody's if it is empty, whatever the component
    /// manifest asks for.
    pub with: Vec<ComponentId>,
    /// Whether their grants may differ from those of the component, which are the ones that their code has there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shares_grants: bool,
}
