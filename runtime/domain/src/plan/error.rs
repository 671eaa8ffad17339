//! Why a component cannot be activated, deactivated or unregistered.

use std::collections::HashMap;
use std::sync::Arc;

use semver::{Version, VersionReq};

use crate::callers::refusal;
use crate::entry::{EdgeKind, Entry, Need, Unresolved, UnresolvedReason};
use crate::error::ErrorKind;
use crate::graph::{Cycle, GraphEdge};
use crate::id::ComponentId;
use crate::pattern::IdPattern;

/// Most names that a message lists.
const NAMES_SHOWN_MAX: usize = 8;

/// Why a component cannot be activated, deactivated or unregistered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// There is no such component.
    #[error("the component `{component}` is not registered")]
    NotFound {
        /// What was asked for.
        component: ComponentId,
    },
    /// Nothing in the registry provides what the component needs.
    #[error("{}", missing_text(component, need))]
    Missing {
        /// The component.
        component: ComponentId,
        /// What it needs.
        need: Need,
        /// What else of it is not resolved, without `need`.
        also: Vec<Need>,
    },
    /// Several entries could provide what the component needs.
    #[error("`{component}` imports `{need}`, which {} components provide: {}", candidates.len(), names(candidates))]
    Ambiguous {
        /// The component.
        component: ComponentId,
        /// What it needs.
        need: Need,
        /// The entries that could provide it, ordered.
        candidates: Vec<ComponentId>,
        /// What else of it is not resolved, without `need`.
        also: Vec<Need>,
    },
    /// `[bind]` names an entry that does not provide the import.
    #[error("`{component}` binds `{need}` to `{to}`, {}", if *exists { "which does not provide it" } else { "which is not registered" })]
    BadBinding {
        /// The component.
        component: ComponentId,
        /// What it needs.
        need: Need,
        /// The entry that is named.
        to: ComponentId,
        /// Whether that entry exists.
        exists: bool,
        /// What else of it is not resolved, without `need`.
        also: Vec<Need>,
    },
    /// The provider's `[callers]` does not let the component call.
    #[error("{}", refusal(by, component, &need.to_string(), allowed))]
    Refused {
        /// The component.
        component: ComponentId,
        /// What it needs.
        need: Need,
        /// Who provides it.
        by: ComponentId,
        /// Whom that one lets call.
        allowed: Vec<IdPattern>,
        /// What else of it is not resolved, without `need`.
        also: Vec<Need>,
    },
    /// A declared dependency is there in a version outside the declared range.
    #[error("`{component}` depends on `{need}` in a version of `{range}`, but {found} is registered")]
    OutOfRange {
        /// The component.
        component: ComponentId,
        /// What it needs.
        need: Need,
        /// The declared range.
        range: VersionReq,
        /// The version that is there.
        found: Version,
        /// What else of it is not resolved, without `need`.
        also: Vec<Need>,
    },
    /// The component is one of some that need each other in a circle.
    #[error("`{component}` is part of a circle: {}", cycle.path_text())]
    Cycle {
        /// The component.
        component: ComponentId,
        /// A cycle among the components that need each other; not always through this one.
        cycle: Arc<Cycle>,
    },
    /// Other components need this one.
    #[error("`{component}` is needed by {}{}", if *active_only { "active components: " } else { "" }, names(dependents))]
    Dependents {
        /// The component.
        component: ComponentId,
        /// Those that need it directly and would stay, ordered.
        dependents: Vec<ComponentId>,
        /// Whether only active ones stand in the way; else those of any status.
        active_only: bool,
    },
    /// Active components import what another version of this one does not provide.
    #[error("`{component}` {version} does not provide what active components import: {}", names(dependents))]
    LeavesBehind {
        /// The component.
        component: ComponentId,
        /// The version that was to become active.
        version: Version,
        /// Those that would lose an import, ordered.
        dependents: Vec<ComponentId>,
    },
}

impl PlanError {
    /// Says whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } | Self::Missing { .. } | Self::BadBinding { exists: false, .. } => {
                ErrorKind::NotFound
            }
            Self::OutOfRange { .. } | Self::BadBinding { exists: true, .. } => ErrorKind::Invalid,
            Self::Refused { .. } => ErrorKind::Denied,
            Self::Ambiguous { .. } | Self::Cycle { .. } | Self::Dependents { .. } | Self::LeavesBehind { .. } => {
                ErrorKind::Conflict
            }
        }
    }

    /// Returns the error's stable name, as it stands in `code` on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NotFound { .. } => "component-not-found",
            Self::Missing { .. }
            | Self::Ambiguous { .. }
            | Self::BadBinding { .. }
            | Self::OutOfRange { .. }
            | Self::Dependents { .. }
            | Self::LeavesBehind { .. } => "dependency",
            Self::Refused { .. } => "caller-refused",
            Self::Cycle { .. } => "circular-dependency",
        }
    }

    /// Returns the component that the error is about.
    pub fn component(&self) -> &ComponentId {
        match self {
            Self::NotFound { component }
            | Self::Missing { component, .. }
            | Self::Ambiguous { component, .. }
            | Self::BadBinding { component, .. }
            | Self::Refused { component, .. }
            | Self::OutOfRange { component, .. }
            | Self::Cycle { component, .. }
            | Self::Dependents { component, .. }
            | Self::LeavesBehind { component, .. } => component,
        }
    }

    /// Returns what the reader can do about it, one sentence each.
    pub fn hints(&self) -> Vec<String> {
        match self {
            Self::NotFound { .. } => vec!["`runtime list` shows what is registered".to_owned()],
            Self::Missing { component, need, also } => {
                let first = match need {
                    Need::Import(import) if import.contains('/') => {
                        format!("register a component that exports `{import}`")
                    }
                    // Any two components may use one plain word for different things.
                    Need::Import(import) => format!(
                        "a plain name is linked where it is bound: `[bind]` `\"{import}\" = \"namespace:name\"` in the \
                         component.toml of `{component}`"
                    ),
                    Need::Component(on) => {
                        format!("register `{on}`, or remove it from the dependencies of `{component}`")
                    }
                };
                with_others(first, also)
            }
            Self::Ambiguous { need, candidates, also, .. } => {
                let choice = candidates.first().map_or("namespace:name", ComponentId::as_str);
                with_others(format!("choose one in the component manifest: [bind] \"{need}\" = \"{choice}\""), also)
            }
            Self::BadBinding { need, to, exists, also, .. } => with_others(
                if *exists {
                    format!("bind `{need}` to a component that exports it, or remove it from [bind]")
                } else {
                    format!("register `{to}`, or change [bind] in the component manifest")
                },
                also,
            ),
            Self::Refused { component, by, also, .. } => {
                with_others(format!("name `{component}` under `[callers]` in the component.toml of `{by}`"), also)
            }
            Self::OutOfRange { need, range, also, .. } => {
                with_others(format!("register a version of `{need}` that satisfies `{range}`"), also)
            }
            Self::Cycle { cycle, .. } => vec![cut_hint(cycle)],
            Self::LeavesBehind { .. } => {
                vec!["register versions of them that go with it, or deactivate them first".to_owned()]
            }
            Self::Dependents { active_only: true, .. } => {
                vec!["deactivate them first, or use --cascade to take them along".to_owned()]
            }
            Self::Dependents { active_only: false, .. } => {
                vec!["unregister them first, or use --cascade to take them along".to_owned()]
            }
        }
    }

    /// Returns why `entry` cannot be activated for a reason of its own, `None` if there is none.
    pub(super) fn of_entry(entry: &Entry, others: &HashMap<ComponentId, Arc<Entry>>) -> Option<Self> {
        if let Some((first, rest)) = entry.unresolved.split_first() {
            return Some(Self::of_unresolved(&entry.id, first, rest));
        }
        entry.dependencies.iter().find_map(|edge| match &edge.kind {
            EdgeKind::Declared { range, .. } => {
                let found = &others.get(&edge.on)?.revision.version;
                (!range.matches(found)).then(|| Self::OutOfRange {
                    component: entry.id.clone(),
                    need: Need::Component(edge.on.clone()),
                    range: range.clone(),
                    found: found.clone(),
                    also: Vec::new(),
                })
            }
            EdgeKind::Import { .. } => None,
        })
    }

    /// Makes the error for `first`, one of the needs of `component` that are not resolved; `rest` are the others.
    pub fn of_unresolved(component: &ComponentId, first: &Unresolved, rest: &[Unresolved]) -> Self {
        let component = component.clone();
        let need = first.need.clone();
        let also = rest.iter().map(|unresolved| unresolved.need.clone()).collect();
        match first.reason.clone() {
            UnresolvedReason::Missing => Self::Missing { component, need, also },
            UnresolvedReason::Ambiguous { candidates } => Self::Ambiguous { component, need, candidates, also },
            UnresolvedReason::BadBinding { to, exists } => Self::BadBinding { component, need, to, exists, also },
            UnresolvedReason::Refused { by, allowed } => Self::Refused { component, need, by, allowed, also },
            UnresolvedReason::OutOfRange { range, found } => Self::OutOfRange { component, need, range, found, also },
        }
    }

    /// Makes the error for an edge whose dependency does not exist.
    pub(super) fn of_dangling(edge: &GraphEdge) -> Self {
        let need =
            if edge.declared { Need::Component(edge.dependency.clone()) } else { Need::Import(edge.label.to_string()) };
        Self::Missing { component: edge.dependent.clone(), need, also: Vec::new() }
    }
}

fn missing_text(component: &ComponentId, need: &Need) -> String {
    match need {
        Need::Import(import) => format!("`{component}` imports `{import}`, which nobody provides"),
        Need::Component(on) => format!("`{component}` depends on `{on}`, which is not registered"),
    }
}

fn with_others(first: String, also: &[Need]) -> Vec<String> {
    let mut hints = vec![first];
    if !also.is_empty() {
        let shown: Vec<_> = also.iter().take(NAMES_SHOWN_MAX).map(|need| format!("`{need}`")).collect();
        let more = also.len() - shown.len();
        let more = if more == 0 { String::new() } else { format!(" and {more} more") };
        hints.push(format!("also unresolved: {}{more}", shown.join(", ")));
    }
    hints
}

fn cut_hint(cycle: &Cycle) -> String {
    let cut = &cycle.cut;
    if cut.declared {
        format!("remove the declared edge: `{}` should not depend on `{}`", cut.dependent, cut.dependency)
    } else {
        format!("no edge of it is declared; `{}` imports `{}` from `{}`", cut.dependent, cut.label, cut.dependency)
    }
}

fn names(ids: &[ComponentId]) -> String {
    let shown: Vec<_> = ids.iter().take(NAMES_SHOWN_MAX).map(|id| format!("`{id}`")).collect();
    let more = ids.len() - shown.len();
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}
