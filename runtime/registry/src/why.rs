//! Why a component is active, and what would stop if it went away.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use domain::ports::StateView;
use domain::{ComponentId, Edge, Entry, Status};

use crate::Registry;
use crate::beside::dependents_of_all;
use crate::error::RegistryError;
use crate::names::unknown;
use crate::view::EdgeView;

/// Most chains that are told.
const CHAINS_MAX: usize = 20;

/// Why a component is active.
#[derive(Clone, Debug)]
pub struct WhyReport {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Edges from it to the active components that need it.
    pub needed_by: Vec<EdgeView>,
    /// A shortest way from each component that was asked for and needs it, directly or not; at most twenty.
    pub chains: Vec<Chain>,
    /// How many more such components there are.
    pub more: usize,
}

/// How one component came to need another.
#[derive(Clone, Debug)]
pub struct Chain {
    /// The component that was asked for, or that nobody active needs.
    pub root: Arc<Entry>,
    /// The way, from the component that is explained to the root, both included.
    pub path: Vec<ComponentId>,
}

/// Who depends on a component.
#[derive(Clone, Debug)]
pub struct ImpactReport {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Those that need it, directly or not, nearest first, then by id.
    pub dependents: Vec<Impacted>,
}

/// A component that needs another, directly or not.
#[derive(Clone, Debug)]
pub struct Impacted {
    /// The component.
    pub id: ComponentId,
    /// Where it stands.
    pub status: Status,
    /// How many edges are between both; 1 for a direct one.
    pub distance: usize,
    /// Its edges to those that are nearer.
    pub edges: Vec<Edge>,
}

impl ImpactReport {
    /// Returns those that are active: they would stop if the component went away.
    pub fn active(&self) -> impl Iterator<Item = &Impacted> {
        self.dependents.iter().filter(|impacted| impacted.status == Status::Active)
    }
}

impl Registry {
    /// Says why a component is active: who asked for it and when, and which active components need it, up to those that were asked
    /// for. Of one that is not active it says how it was activated last. Reads its dependents alone.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn why(&self, id: &ComponentId) -> Result<WhyReport, RegistryError> {
        let (registry, id) = (self.clone(), id.clone());
        self.read(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let mut needed_by = Vec::new();
            for dependent in active_dependents(view, &id)? {
                let edges = registry.edges_of(view, &dependent)?;
                needed_by.extend(edges.into_iter().filter(|edge| edge.from.is_same_entry(&id)));
            }
            let (chains, more) = chains(view, &id)?;
            Ok(WhyReport { entry, needed_by, chains, more })
        })
        .await
    }

    /// Returns all that depend on a component, directly or not. Reads its dependents alone.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn impact(&self, id: &ComponentId) -> Result<ImpactReport, RegistryError> {
        let id = id.clone();
        self.read(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            Ok(ImpactReport { dependents: impacted(view, &id)?, entry })
        })
        .await
    }
}

fn active_dependents(view: &dyn StateView, id: &ComponentId) -> Result<Vec<Arc<Entry>>, RegistryError> {
    let mut found = Vec::new();
    for dependent in dependents_of_all(view, id)? {
        found.extend(view.entry(&dependent)?.filter(|entry| entry.status == Status::Active && entry.id != *id));
    }
    Ok(found)
}

/// Finds the components that were asked for and need `id`, each with the shortest way to it, and counts those beyond the bound.
fn chains(view: &dyn StateView, id: &ComponentId) -> Result<(Vec<Chain>, usize), RegistryError> {
    let mut came_from: BTreeMap<ComponentId, ComponentId> = BTreeMap::new();
    let mut seen = BTreeSet::from([id.clone()]);
    let mut open = VecDeque::from([id.clone()]);
    let (mut chains, mut more) = (Vec::new(), 0);
    while let Some(at) = open.pop_front() {
        for dependent in active_dependents(view, &at)? {
            if !seen.insert(dependent.id.clone()) {
                continue;
            }
            came_from.insert(dependent.id.clone(), at.clone());
            open.push_back(dependent.id.clone());
            if is_root(view, &dependent)? {
                match chains.len() < CHAINS_MAX {
                    true => chains.push(Chain { path: path_to(&dependent.id, &came_from), root: dependent }),
                    false => more += 1,
                }
            }
        }
    }
    Ok((chains, more))
}

/// Tells whether the reason for a component to be active is not in who needs it.
fn is_root(view: &dyn StateView, entry: &Entry) -> Result<bool, RegistryError> {
    let asked = entry.activation.as_ref().and_then(|activation| activation.asked);
    Ok(asked == Some(true) || active_dependents(view, &entry.id)?.is_empty())
}

/// Tells whether `on` is `at`, or a revision beside it.
fn is_of(on: &ComponentId, at: &ComponentId) -> bool {
    on == at || on.entry() == *at
}

fn path_to(root: &ComponentId, came_from: &BTreeMap<ComponentId, ComponentId>) -> Vec<ComponentId> {
    let mut path = vec![root.clone()];
    let mut at = root;
    while let Some(before) = came_from.get(at) {
        path.push(before.clone());
        at = before;
    }
    path.reverse();
    path
}

fn impacted(view: &dyn StateView, id: &ComponentId) -> Result<Vec<Impacted>, RegistryError> {
    let mut distances = BTreeMap::from([(id.clone(), 0)]);
    let mut nearer = vec![id.clone()];
    let mut found = Vec::new();
    let mut distance = 0;
    while !nearer.is_empty() {
        distance += 1;
        let mut next = BTreeSet::new();
        for at in &nearer {
            next.extend(
                dependents_of_all(view, at)?.into_iter().filter(|dependent| !distances.contains_key(dependent)),
            );
        }
        for dependent in &next {
            let Some(entry) = view.entry(dependent)? else { continue };
            let edges = entry.dependencies.iter().filter(|edge| nearer.iter().any(|at| is_of(&edge.on, at)));
            let edges = edges.cloned();
            let (id, status) = (dependent.clone(), entry.status);
            found.push(Impacted { id, status, distance, edges: edges.collect() });
        }
        distances.extend(next.iter().map(|id| (id.clone(), distance)));
        nearer = next.into_iter().collect();
    }
    Ok(found)
}
