//! How instances are kept, in JSON and in words.

use std::time::Duration;

use domain::manifest::{InstanceLink, InstanceMode};
use domain::units::format_duration;
use registry::EntryView;
use serde::Serialize;

/// How the instances of a component are kept, and how many this process has.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct InstancesDoc {
    pub(crate) mode: &'static str,
    /// Most at once.
    pub(crate) max: u32,
    /// After how long without a call one is dropped; `null` for never.
    pub(crate) idle_ttl_ms: Option<u64>,
    /// `eager` or `lazy`.
    pub(crate) activation: &'static str,
    /// `isolated` or `fused`.
    pub(crate) link: &'static str,
    /// For how long what a revision has begun goes on when another takes its place.
    pub(crate) drain_ms: u64,
    pub(crate) live: usize,
    /// Those of them that serve a call.
    pub(crate) busy: usize,
}

impl From<&EntryView> for InstancesDoc {
    fn from(view: &EntryView) -> Self {
        let kept = view.instances;
        Self {
            mode: kept.mode.as_str(),
            max: kept.max,
            idle_ttl_ms: kept.idle_ttl_ms,
            activation: kept.activation.as_str(),
            link: kept.link.as_str(),
            drain_ms: u64::try_from(kept.drain().as_millis()).unwrap_or(u64::MAX),
            live: view.count.live,
            busy: view.count.busy,
        }
    }
}

impl InstancesDoc {
    /// Says it in one line.
    pub(crate) fn words(&self) -> String {
        let mut words = if self.mode == InstanceMode::Shared.as_str() {
            self.mode.to_owned()
        } else {
            format!("{}, at most {}", self.mode, self.max)
        };
        words.push_str(&format!("; {} live", self.live));
        if self.busy > 0 {
            words.push_str(&format!(", {} busy", self.busy));
        }
        if let Some(millis) = self.idle_ttl_ms {
            words.push_str(&format!(
                "; dropped after {} without a call",
                format_duration(Duration::from_millis(millis))
            ));
        }
        if self.activation == domain::manifest::InstanceActivation::Lazy.as_str() {
            words.push_str("; made when called");
        }
        if self.link == InstanceLink::Fused.as_str() {
            words.push_str("; fused");
        }
        words
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_usual_is_short_and_what_is_not_is_said() {
        let mut document = InstancesDoc {
            mode: "shared",
            max: 1,
            idle_ttl_ms: None,
            activation: "eager",
            link: "isolated",
            drain_ms: 30_000,
            live: 1,
            busy: 0,
        };
        assert_eq!(document.words(), "shared; 1 live");
        document = InstancesDoc { mode: "pool", max: 4, idle_ttl_ms: Some(1_500), busy: 1, live: 3, ..document };
        assert_eq!(document.words(), "pool, at most 4; 3 live, 1 busy; dropped after 1500ms without a call");
        document = InstancesDoc { mode: "per-call", idle_ttl_ms: None, activation: "lazy", link: "fused", ..document };
        assert_eq!(document.words(), "per-call, at most 4; 3 live, 1 busy; made when called; fused");
    }
}
