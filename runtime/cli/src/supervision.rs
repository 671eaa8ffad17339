//! How a component is watched over, as verbs show it.

use domain::ComponentId;
use domain::text::escape_line;
use registry::{BreakerState, EntryView, SupervisionView};
use serde::Serialize;

use crate::output::plural;

/// How the registry watches over a component. Its fields are public: added to, never renamed.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SupervisionDoc {
    /// `never` or `on-failure`.
    pub(crate) restart: &'static str,
    /// Restarts by this process within the window, and how many there may be.
    pub(crate) restarts: u32,
    pub(crate) max_restarts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) next_restart: Option<String>,
    /// `closed`, `probation`, `open` or `half-open`.
    pub(crate) breaker: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) quarantine: Option<QuarantineDoc>,
    /// The dependency that it lost and waits for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) waits_for: Option<ComponentId>,
}

/// A quarantine in force.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct QuarantineDoc {
    pub(crate) cause: String,
    pub(crate) since: String,
    pub(crate) next_probe: String,
    pub(crate) round: u32,
    /// Calls that this process refused.
    pub(crate) refused: u64,
}

impl From<&EntryView> for SupervisionDoc {
    fn from(view: &EntryView) -> Self {
        let SupervisionView { policy, restarts, max_restarts, next_restart, breaker, quarantine, refused, lost } =
            &view.supervision;
        Self {
            restart: policy.as_str(),
            restarts: *restarts,
            max_restarts: *max_restarts,
            next_restart: next_restart.map(|at| at.to_string()),
            breaker: breaker.as_str(),
            quarantine: quarantine.as_ref().map(|quarantine| QuarantineDoc {
                cause: escape_line(&quarantine.cause).into_owned(),
                since: quarantine.since.to_string(),
                next_probe: quarantine.probe_at.to_string(),
                round: quarantine.round,
                refused: *refused,
            }),
            waits_for: lost.clone(),
        }
    }
}

/// Says how many calls a quarantine refused, if it refused any, as it follows something else.
pub(crate) fn refused_calls(refused: u64) -> String {
    match refused {
        0 => String::new(),
        refused => format!(", {} refused", plural(usize::try_from(refused).unwrap_or(usize::MAX), "call")),
    }
}

impl SupervisionDoc {
    /// Returns what is worth a line where little is said: nothing of a component that needs no watching.
    pub(crate) fn words(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if let Some(quarantine) = &self.quarantine {
            let word = match self.breaker == BreakerState::HalfOpen.as_str() {
                true => "in quarantine, the next call tries it",
                false => "in quarantine",
            };
            let refused = refused_calls(quarantine.refused);
            lines.push(format!("{word}: {}, tried again at {}{refused}", quarantine.cause, quarantine.next_probe));
        }
        if self.breaker == BreakerState::Probation.as_str() {
            lines.push("on probation: its first failure leads back to quarantine".to_owned());
        }
        if let Some(on) = &self.waits_for {
            lines.push(format!("waits for {on} to come back"));
        }
        if self.restarts > 0 {
            let restarts = plural(self.restarts as usize, "restart");
            lines.push(format!("{restarts} of late, {} allowed", self.max_restarts));
        }
        if let Some(at) = &self.next_restart {
            lines.push(format!("made anew at {at}"));
        }
        lines
    }
}
