//! One invocation of a component's export.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::id::ComponentId;

/// What to call, with which arguments, under which bounds, and on whose behalf.
#[derive(Clone, Debug, Default)]
pub struct CallRequest {
    /// Function and arguments.
    pub expression: CallExpression,
    /// Fuel for this call; never above the component's own limit.
    pub fuel: Option<u64>,
    /// Wall-clock time for this call; never above the component's own limit.
    pub timeout: Option<Duration>,
    /// Who calls.
    pub caller: Caller,
    /// Whether the result is also wanted in WAVE; always so for an expression in WAVE. Off by default.
    pub wave: bool,
}

/// Function and arguments of a call.
#[derive(Clone, Debug)]
pub enum CallExpression {
    /// A WAVE expression: `func(1, "two")`, `iface#func(…)` or `'ns:pkg/iface@1.0.0#func(…)'`.
    Wave(String),
    /// A function's name, possibly qualified, and its arguments as a JSON array.
    Json {
        /// The function.
        function: String,
        /// The arguments in order.
        args: Vec<serde_json::Value>,
    },
}

impl Default for CallExpression {
    fn default() -> Self {
        Self::Wave(String::new())
    }
}

/// Identifies a call and all calls made on its behalf; printed as 16 hexadecimal digits. Zero stands for none yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CallId(u64);

impl CallId {
    /// Makes an id from a number; whoever gives them out sees to it that each is given once.
    pub fn new(number: u64) -> Self {
        Self(number)
    }

    /// Tells whether no id was given yet.
    pub fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Who calls, as `registry:host/environment` tells the component.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Caller {
    /// Identifies the outermost call; the same for all calls made on its behalf.
    pub call_id: CallId,
    /// The components through which the call came, outermost first; empty if a person or program calls.
    pub chain: Vec<ComponentId>,
    /// The person or program at the beginning of the chain.
    pub principal: Option<Arc<str>>,
    /// Free words that travel with the call.
    pub context: BTreeMap<String, String>,
}

/// What a call gave back.
#[derive(Clone, Debug, PartialEq)]
pub struct CallOutcome {
    /// The function's unambiguous name.
    pub function: Arc<str>,
    /// The result as JSON, `null` for a function without result.
    pub json: serde_json::Value,
    /// The result in WAVE, empty for a function without result and where nobody asked for it.
    pub wave: String,
    /// Fuel that the component itself used, without its dependencies.
    pub fuel: u64,
    /// Wall-clock time of the call, dependencies included.
    pub duration: Duration,
}
