//! Plans: what has to be activated in which order, what stands in the way, and what has to go first.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use petgraph::graph::NodeIndex;

use crate::entry::Entry;
use crate::graph::{Cycle, Graph, GraphEdge};
use crate::id::ComponentId;
use crate::ports::{StateView, StorageError};
use crate::reduce::index;
use crate::resolve::Overlay;
use crate::status::Status;

mod error;
mod stop;

pub use error::PlanError;
pub use stop::{StopPlan, plan_deactivation, plan_unregistration};

/// Ids read at once when the whole registry is walked.
const PAGE: usize = 1_024;

/// What activating some targets takes.
#[derive(Debug, Default)]
pub struct ActivationPlan {
    /// What has to be activated: each wave needs only what is in earlier ones or active already. Ordered by id within
    /// a wave, so that equal states give equal plans.
    pub waves: Vec<Vec<ComponentId>>,
    /// Targets and dependencies that are active already, ordered.
    pub already_active: Vec<ComponentId>,
    /// What cannot be activated, and why, ordered by id.
    pub blocked: Vec<(ComponentId, PlanError)>,
    /// What is not activated because it needs something blocked, directly or not: (id, the first of those by id),
    /// ordered by id.
    pub skipped: Vec<(ComponentId, ComponentId)>,
    /// The closure of the targets that exist, for labels and for finding what depends on a failed activation.
    pub graph: Graph,
    /// The entries of that closure.
    pub entries: HashMap<ComponentId, Arc<Entry>>,
}

impl ActivationPlan {
    /// Returns what has to be activated, dependencies first: the waves one after the other.
    pub fn order(&self) -> impl Iterator<Item = &ComponentId> {
        self.waves.iter().flatten()
    }
}

/// The components that some targets need, and the targets.
#[derive(Debug, Default)]
pub struct Closure {
    /// The components and all edges between them.
    pub graph: Graph,
    /// Their entries.
    pub entries: HashMap<ComponentId, Arc<Entry>>,
    /// Edges whose dependency does not exist; only damaged state has them.
    pub dangling: Vec<GraphEdge>,
    /// Targets that do not exist, ordered.
    pub missing: Vec<ComponentId>,
}

/// Loads `targets` and everything they need, and nothing else.
///
/// # Errors
/// [`StorageError`] if the state cannot be read.
pub fn load_closure(view: &dyn StateView, targets: &[ComponentId]) -> Result<Closure, StorageError> {
    load_closure_by(&|id| view.entry(id), targets)
}

/// Finds an entry.
type EntryOf<'a> = dyn Fn(&ComponentId) -> Result<Option<Arc<Entry>>, StorageError> + 'a;

fn load_closure_by(entry_of: &EntryOf<'_>, targets: &[ComponentId]) -> Result<Closure, StorageError> {
    let mut entries: HashMap<ComponentId, Arc<Entry>> = HashMap::new();
    let mut absent: HashSet<ComponentId> = HashSet::new();
    let mut open: Vec<ComponentId> = targets.to_vec();
    while let Some(id) = open.pop() {
        if entries.contains_key(&id) || absent.contains(&id) {
            continue;
        }
        match entry_of(&id)? {
            Some(entry) => {
                open.extend(entry.dependencies.iter().map(|edge| edge.on.clone()));
                entries.insert(id, entry);
            }
            None => {
                absent.insert(id);
            }
        }
    }
    let missing: BTreeSet<_> = targets.iter().filter(|id| absent.contains(*id)).cloned().collect();
    Ok(close(entries, missing.into_iter().collect()))
}

/// Loads every entry of the registry, page by page, and the revisions beside those in service.
///
/// # Errors
/// [`StorageError`] if the state cannot be read.
pub fn load_all(view: &dyn StateView) -> Result<Closure, StorageError> {
    let mut entries = HashMap::new();
    let mut last: Option<ComponentId> = None;
    loop {
        let page = view.ids(last.as_ref(), PAGE)?;
        for id in &page {
            if let Some(entry) = view.entry(id)? {
                entries.insert(id.clone(), entry);
            }
        }
        match page.into_iter().next_back() {
            Some(id) => last = Some(id),
            None => break,
        }
    }
    for (entry, _) in view.index_keys(index::BESIDE)? {
        for id in view.find(index::BESIDE, &entry)? {
            if let Some(entry) = view.entry(&id)? {
                entries.insert(id, entry);
            }
        }
    }
    Ok(close(entries, Vec::new()))
}

fn close(entries: HashMap<ComponentId, Arc<Entry>>, missing: Vec<ComponentId>) -> Closure {
    let edges = entries.values().flat_map(|entry| entry.dependencies.iter().map(|edge| GraphEdge::of(&entry.id, edge)));
    let (edges, mut dangling): (Vec<_>, Vec<_>) = edges.partition(|edge| entries.contains_key(&edge.dependency));
    dangling.sort();
    Closure { graph: Graph::new(entries.keys().cloned(), edges), entries, dangling, missing }
}

/// Why an order cannot be given.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// Components need each other in a circle.
    #[error(transparent)]
    Cycle(#[from] Cycle),
    /// The state cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl OrderError {
    /// Says whose turn it is.
    pub fn kind(&self) -> crate::ErrorKind {
        match self {
            Self::Cycle(cycle) => cycle.kind(),
            Self::Storage(error) => error.kind(),
        }
    }
}

/// Returns all components of the registry in waves, dependencies first, whatever their status.
///
/// # Errors
/// [`OrderError::Cycle`] names a cycle, [`OrderError::Storage`] says why the state cannot be read.
pub fn order_all(view: &dyn StateView) -> Result<Vec<Vec<ComponentId>>, OrderError> {
    Ok(load_all(view)?.graph.waves()?)
}

/// Computes what activating `targets` takes: the targets that are not active, and all that they need and is not.
///
/// Loads the closure of the targets alone. A target that cannot be activated is `blocked` or `skipped` and takes nothing
/// with it that only it needs; the others are planned as if it had not been named. What an active entry needs is
/// verified too, and planned where it is not active. Entries in status `error` are planned: being asked for
/// is being asked to try again. An entry on a cycle is blocked even if it is active.
///
/// Cost: O((nodes + edges) log nodes) of the closure, and one read for each node.
///
/// # Errors
/// [`StorageError`] if the state cannot be read; everything else is in the plan.
/// # Source
/// `ARCHITECTURE.md`, one activation; Kahn's algorithm over the closure.
pub fn plan_activation(view: &dyn StateView, targets: &[ComponentId]) -> Result<ActivationPlan, StorageError> {
    Ok(plan_of(load_closure(view, targets)?, targets))
}

/// Computes what activating `targets` takes in the state that `overlay` shows, as [`plan_activation`] does.
///
/// # Errors
/// [`StorageError`] if the state cannot be read.
pub fn plan_activation_in(overlay: &Overlay<'_>, targets: &[ComponentId]) -> Result<ActivationPlan, StorageError> {
    Ok(plan_of(load_closure_by(&|id| overlay.entry(id), targets)?, targets))
}

fn plan_of(closure: Closure, targets: &[ComponentId]) -> ActivationPlan {
    let blocked = find_blocked(&closure);
    let skipped = find_skipped(&closure, &blocked);
    let usable = |id: &ComponentId| !blocked.contains_key(id) && !skipped.contains_key(id);
    let needed = find_needed(&closure, targets, &usable);
    let waves = find_waves(&closure, &needed);
    let mut already_active: Vec<_> =
        closure.entries.values().filter(|entry| is_active(entry) && usable(&entry.id)).map(|e| e.id.clone()).collect();
    already_active.sort();
    ActivationPlan {
        waves,
        already_active,
        blocked: blocked.into_iter().collect(),
        skipped: skipped.into_iter().collect(),
        graph: closure.graph,
        entries: closure.entries,
    }
}

fn is_active(entry: &Entry) -> bool {
    entry.status == Status::Active
}

/// Finds what cannot be activated for a reason of its own.
fn find_blocked(closure: &Closure) -> BTreeMap<ComponentId, PlanError> {
    let mut blocked = BTreeMap::new();
    for id in &closure.missing {
        blocked.insert(id.clone(), PlanError::NotFound { component: id.clone() });
    }
    for entry in closure.entries.values().filter(|entry| !is_active(entry)) {
        if let Some(error) = PlanError::of_entry(entry, &closure.entries) {
            blocked.insert(entry.id.clone(), error);
        }
    }
    for edge in &closure.dangling {
        let error = || PlanError::of_dangling(edge);
        blocked.entry(edge.dependent.clone()).or_insert_with(error);
    }
    for (cycle, members) in closure.graph.knots() {
        let cycle = Arc::new(cycle);
        for id in members.iter().filter_map(|node| closure.graph.id_at(*node)) {
            blocked.insert(id.clone(), PlanError::Cycle { component: id.clone(), cycle: cycle.clone() });
        }
    }
    blocked
}

/// Finds what needs something blocked, directly or not: id → the first by id of those.
///
/// An active entry stays active, but what needs it cannot be started either: its instance may have to be made anew.
fn find_skipped(closure: &Closure, blocked: &BTreeMap<ComponentId, PlanError>) -> BTreeMap<ComponentId, ComponentId> {
    let graph = &closure.graph;
    let mut seen: HashSet<NodeIndex> = HashSet::new();
    let mut skipped = BTreeMap::new();
    for root in blocked.keys() {
        let mut open: Vec<_> = graph.index_of(root).into_iter().collect();
        while let Some(node) = open.pop() {
            for next in graph.dependents_at(node) {
                if !seen.insert(next) {
                    continue;
                }
                open.push(next);
                if let Some(id) = graph.id_at(next).filter(|id| !blocked.contains_key(*id))
                    && closure.entries.get(id).is_some_and(|entry| !is_active(entry))
                {
                    skipped.insert(id.clone(), root.clone());
                }
            }
        }
    }
    skipped
}

/// Finds what has to be activated: not active, and needed by a target that can be activated.
fn find_needed(
    closure: &Closure,
    targets: &[ComponentId],
    usable: &dyn Fn(&ComponentId) -> bool,
) -> HashSet<NodeIndex> {
    let graph = &closure.graph;
    let is_usable = |node: &NodeIndex| graph.id_at(*node).is_some_and(usable);
    let mut seen: HashSet<NodeIndex> = targets.iter().filter_map(|id| graph.index_of(id)).filter(is_usable).collect();
    let mut open: Vec<_> = seen.iter().copied().collect();
    while let Some(node) = open.pop() {
        open.extend(graph.dependencies_at(node).into_iter().filter(|next| is_usable(next) && seen.insert(*next)));
    }
    seen.retain(|node| {
        let entry = graph.id_at(*node).and_then(|id| closure.entries.get(id));
        entry.is_some_and(|entry| !is_active(entry))
    });
    seen
}

/// Cuts `needed` into waves. Active entries between two of them order them without taking a wave themselves.
fn find_waves(closure: &Closure, needed: &HashSet<NodeIndex>) -> Vec<Vec<ComponentId>> {
    let graph = &closure.graph;
    let mut level_of: HashMap<NodeIndex, usize> = HashMap::new();
    let mut waves: Vec<Vec<ComponentId>> = Vec::new();
    for node in graph.sortable() {
        let after = |dependency: NodeIndex| {
            let level = level_of.get(&dependency).copied().unwrap_or(0);
            if needed.contains(&dependency) { level + 1 } else { level }
        };
        let level = graph.dependencies_at(node).into_iter().map(after).max().unwrap_or(0);
        level_of.insert(node, level);
        let Some(id) = graph.id_at(node).filter(|_| needed.contains(&node)) else { continue };
        if waves.len() <= level {
            waves.resize_with(level + 1, Vec::new);
        }
        if let Some(wave) = waves.get_mut(level) {
            wave.push(id.clone());
        }
    }
    for wave in &mut waves {
        wave.sort();
    }
    waves
}
