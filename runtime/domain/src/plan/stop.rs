//! What has to be deactivated or unregistered, dependents first.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::error::PlanError;
use crate::entry::Entry;
use crate::graph::{Graph, GraphEdge};
use crate::id::ComponentId;
use crate::ports::{StateView, StorageError};
use crate::reduce::index;
use crate::status::Status;

/// What deactivating or unregistering some targets takes.
#[derive(Debug, Default)]
pub struct StopPlan {
    /// What goes: each wave is needed only by what is in earlier ones, so dependents come first. Ordered by id within
    /// a wave.
    pub waves: Vec<Vec<ComponentId>>,
    /// Targets of a deactivation that are not active, ordered; empty for unregistering.
    pub unchanged: Vec<ComponentId>,
    /// Targets that have to stay, and why, ordered by id.
    pub blocked: Vec<(ComponentId, PlanError)>,
}

impl StopPlan {
    /// Returns what goes, dependents first: the waves one after the other.
    pub fn order(&self) -> impl Iterator<Item = &ComponentId> {
        self.waves.iter().flatten()
    }
}

/// Computes what deactivating `targets` takes.
///
/// Without `cascade` a target is refused while an active component that is not going as well needs it; with `cascade` all
/// active components that need it, directly or not, go too. Reads the targets and their dependents alone.
///
/// # Errors
/// [`StorageError`] if the state cannot be read; everything else is in the plan.
pub fn plan_deactivation(
    view: &dyn StateView,
    targets: &[ComponentId],
    cascade: bool,
) -> Result<StopPlan, StorageError> {
    plan_stop(view, targets, cascade, Scope::Active)
}

/// Computes what unregistering `targets` takes: as [`plan_deactivation`], but dependents of any status count.
///
/// # Errors
/// [`StorageError`] if the state cannot be read; everything else is in the plan.
pub fn plan_unregistration(
    view: &dyn StateView,
    targets: &[ComponentId],
    cascade: bool,
) -> Result<StopPlan, StorageError> {
    plan_stop(view, targets, cascade, Scope::Any)
}

/// Which entries are stopped and stand in the way.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scope {
    Active,
    Any,
}

impl Scope {
    fn takes(self, entry: &Entry) -> bool {
        match self {
            Self::Active => entry.status == Status::Active,
            Self::Any => true,
        }
    }
}

type Selected = BTreeMap<ComponentId, Arc<Entry>>;

fn plan_stop(
    view: &dyn StateView,
    targets: &[ComponentId],
    cascade: bool,
    scope: Scope,
) -> Result<StopPlan, StorageError> {
    let mut selected = Selected::new();
    let mut unchanged = BTreeSet::new();
    let mut blocked = BTreeMap::new();
    for id in targets {
        let besides = besides(view, id, scope)?;
        let goes_beside = !besides.is_empty();
        selected.extend(besides);
        match view.entry(id)? {
            None => {
                blocked.insert(id.clone(), PlanError::NotFound { component: id.clone() });
            }
            Some(entry) if scope.takes(&entry) => {
                selected.insert(id.clone(), entry);
            }
            Some(_) if goes_beside => {}
            Some(_) => {
                unchanged.insert(id.clone());
            }
        }
    }
    if cascade {
        add_dependents(view, &mut selected, scope)?;
    } else {
        // All revisions of a component go, or none.
        let mut kept: BTreeMap<ComponentId, BTreeSet<ComponentId>> = BTreeMap::new();
        for (id, dependents) in refused(view, &selected, scope)? {
            kept.entry(id.entry()).or_default().extend(dependents);
        }
        for (id, dependents) in kept {
            selected.retain(|selected, _| !selected.is_same_entry(&id));
            let dependents = dependents.into_iter().collect();
            let active_only = scope == Scope::Active;
            blocked.insert(id.clone(), PlanError::Dependents { component: id, dependents, active_only });
        }
    }
    Ok(StopPlan {
        waves: dependents_first(&selected),
        unchanged: unchanged.into_iter().collect(),
        blocked: blocked.into_iter().collect(),
    })
}

/// Returns the revisions of `id` beside the one in service.
fn besides(view: &dyn StateView, id: &ComponentId, scope: Scope) -> Result<Selected, StorageError> {
    let mut found = Selected::new();
    for beside in view.find(index::BESIDE, id.as_str())? {
        found.extend(view.entry(&beside)?.filter(|entry| scope.takes(entry)).map(|entry| (beside, entry)));
    }
    Ok(found)
}

fn add_dependents(view: &dyn StateView, selected: &mut Selected, scope: Scope) -> Result<(), StorageError> {
    let mut open: Vec<_> = selected.keys().cloned().collect();
    while let Some(id) = open.pop() {
        for dependent in view.dependents(&id)? {
            if selected.contains_key(&dependent) {
                continue;
            }
            if let Some(entry) = view.entry(&dependent)?.filter(|entry| scope.takes(entry)) {
                selected.insert(dependent.clone(), entry);
                open.push(dependent);
            }
        }
    }
    Ok(())
}

/// Finds which of `selected` have to stay, and which dependents of each stay.
fn refused(
    view: &dyn StateView,
    selected: &Selected,
    scope: Scope,
) -> Result<BTreeMap<ComponentId, BTreeSet<ComponentId>>, StorageError> {
    let mut refused: BTreeMap<ComponentId, BTreeSet<ComponentId>> = BTreeMap::new();
    for id in selected.keys() {
        for dependent in view.dependents(id)? {
            if !selected.contains_key(&dependent) && view.entry(&dependent)?.is_some_and(|entry| scope.takes(&entry)) {
                refused.entry(id.clone()).or_default().insert(dependent);
            }
        }
    }
    // A target that has to stay keeps the targets that it needs, and so do its other revisions, which stay with it.
    let mut open: Vec<_> = refused.keys().cloned().collect();
    while let Some(id) = open.pop() {
        for other in selected.keys().filter(|other| **other != id && other.is_same_entry(&id)) {
            if !refused.contains_key(other) {
                refused.insert(other.clone(), BTreeSet::new());
                open.push(other.clone());
            }
        }
        let Some(entry) = selected.get(&id) else { continue };
        for dependency in entry.dependency_ids() {
            if dependency != id && selected.contains_key(&dependency) {
                if !refused.contains_key(&dependency) {
                    open.push(dependency.clone());
                }
                refused.entry(dependency).or_default().insert(id.clone());
            }
        }
    }
    Ok(refused)
}

fn dependents_first(selected: &Selected) -> Vec<Vec<ComponentId>> {
    let edges = selected.values().flat_map(|entry| {
        let kept = entry.dependencies.iter().filter(|edge| selected.contains_key(&edge.on));
        kept.map(|edge| GraphEdge::of(&entry.id, edge))
    });
    // Cycles must not keep anybody from stopping: damaged state has to be taken apart as well.
    let mut waves = Graph::new(selected.keys().cloned(), edges).waves_despite_cycles();
    waves.reverse();
    waves
}
