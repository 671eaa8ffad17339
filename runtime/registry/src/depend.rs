//! Declared dependencies, and questions about edges.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::entry::{DeclaredBy, EdgeKind, Need};
use domain::graph::Cycle;
use domain::plan::{load_all, load_closure};
use domain::ports::StateView;
use domain::reduce::index;
use domain::resolve::{NOTHING_EXPECTED, Overlay, closed_cycle, resolve};
use domain::{ComponentId, Edge, Entry, Event, Status, VersionReq};

use crate::Registry;
use crate::error::RegistryError;
use crate::fuse::FusedView;
use crate::names::unknown;
use crate::register::{entry_after, without_circles};
use crate::view::{EdgeView, GraphView};

impl Registry {
    /// Declares that `id` needs `on`, in any version unless `range` says which. Returns `false` if that was declared already.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::RangeNotMet`], [`RegistryError::Cycle`].
    pub async fn add_dependency(
        &self,
        id: &ComponentId,
        on: &ComponentId,
        range: Option<VersionReq>,
    ) -> Result<bool, RegistryError> {
        let (dependent, dependency) = (id.clone(), on.clone());
        let added = self.commit(move |view| {
            let edge = Edge {
                on: dependency,
                kind: EdgeKind::Declared { range: range.unwrap_or(VersionReq::STAR), origin: DeclaredBy::Operator },
            };
            decide_add(view, &dependent, edge)
        });
        match added.await {
            Ok(added) => Ok(added),
            Err(error) => Err(self.refused("depend", Some(id), error).await),
        }
    }

    /// Takes back a declaration of [`Registry::add_dependency`]. Returns `false` if there was none.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::EdgeNotDeclared`] if the edge comes from an import or the manifest.
    pub async fn remove_dependency(&self, id: &ComponentId, on: &ComponentId) -> Result<bool, RegistryError> {
        let (dependent, dependency) = (id.clone(), on.clone());
        let removed = self.commit(move |view| decide_remove(view, dependent, dependency));
        match removed.await {
            Ok(removed) => Ok(removed),
            Err(error) => Err(self.refused("undepend", Some(id), error).await),
        }
    }

    /// Returns the cycle that a dependency of `id` on `on` would close, `None` if it would close none.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn would_cycle(
        &self,
        id: &ComponentId,
        on: &ComponentId,
    ) -> Result<Option<Vec<ComponentId>>, RegistryError> {
        let (id, on) = (id.clone(), on.clone());
        self.read(move |view| {
            for end in [&id, &on] {
                view.entry(end)?.ok_or_else(|| unknown(end))?;
            }
            let edge = Edge { on, kind: EdgeKind::Declared { range: VersionReq::STAR, origin: DeclaredBy::Operator } };
            Ok(closed_cycle(&Overlay::new(view, &NOTHING_EXPECTED), &id, &[edge])?)
        })
        .await
    }

    /// Returns all cycles of the registry, each with the edge to cut. There are none unless data was damaged or imported.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn cycles(&self) -> Result<Vec<Cycle>, RegistryError> {
        self.read(|view| Ok(load_all(view)?.graph.cycles())).await
    }

    /// Returns the activation order in waves: of `ids` and all that they need, or of the whole registry if `ids` is empty.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Cycle`].
    pub async fn order(&self, ids: &[ComponentId]) -> Result<Vec<Vec<ComponentId>>, RegistryError> {
        let ids = ids.to_vec();
        self.read(move |view| {
            let closure = if ids.is_empty() { load_all(view)? } else { load_closure(view, &ids)? };
            if let Some(missing) = closure.missing.first() {
                return Err(unknown(missing));
            }
            closure.graph.waves().map_err(|cycle| RegistryError::Cycle { cycle: cycle.path })
        })
        .await
    }

    /// Returns the graph of `ids` and all that they need, or of the whole registry if `ids` is empty.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn graph(&self, ids: &[ComponentId]) -> Result<GraphView, RegistryError> {
        let ids = ids.to_vec();
        let registry = self.clone();
        self.read(move |view| {
            let closure = if ids.is_empty() { load_all(view)? } else { load_closure(view, &ids)? };
            if let Some(missing) = closure.missing.first() {
                return Err(unknown(missing));
            }
            let mut entries: Vec<_> = closure.entries.into_values().collect();
            entries.sort_by(|a, b| a.id.cmp(&b.id));
            let mut graph = GraphView::default();
            for entry in entries {
                graph.edges.extend(registry.edges_of(view, &entry)?);
                graph.nodes.push(registry.view_of(view, entry)?);
            }
            Ok(graph)
        })
        .await
    }

    /// Returns the edges from `id` to what it needs; `transitive` also those of what it needs, nearest first.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn dependencies(&self, id: &ComponentId, transitive: bool) -> Result<Vec<EdgeView>, RegistryError> {
        let (registry, id) = (self.clone(), id.clone());
        self.read(move |view| {
            let mut edges = Vec::new();
            let mut seen = BTreeSet::from([id.clone()]);
            let mut open = std::collections::VecDeque::from([view.entry(&id)?.ok_or_else(|| unknown(&id))?]);
            while let Some(entry) = open.pop_front() {
                edges.extend(registry.edges_of(view, &entry)?);
                for on in entry.dependency_ids() {
                    if transitive
                        && seen.insert(on.clone())
                        && let Some(dependency) = view.entry(&on)?
                    {
                        open.push_back(dependency);
                    }
                }
            }
            Ok(edges)
        })
        .await
    }

    /// Returns the edges to `id` from what needs it; `transitive` also from what needs those, nearest first.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn dependents(&self, id: &ComponentId, transitive: bool) -> Result<Vec<EdgeView>, RegistryError> {
        let (registry, id) = (self.clone(), id.clone());
        self.read(move |view| {
            view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let mut edges = Vec::new();
            let mut seen = BTreeSet::from([id.clone()]);
            let mut open = std::collections::VecDeque::from(view.find(index::BESIDE, id.as_str())?);
            open.push_front(id);
            while let Some(at) = open.pop_front() {
                for dependent in view.dependents(&at)? {
                    let Some(entry) = view.entry(&dependent)? else { continue };
                    let fused = registry.fused_view(view, &entry)?;
                    for edge in entry.dependencies.iter().filter(|edge| edge.on == at) {
                        edges.push(EdgeView {
                            from: at.clone(),
                            to: dependent.clone(),
                            edge: edge.clone(),
                            fused: is_fused(fused.as_ref(), edge),
                            status: Some(entry.status),
                        });
                    }
                    if transitive && seen.insert(dependent.clone()) {
                        open.push_back(dependent);
                    }
                }
            }
            Ok(edges)
        })
        .await
    }
}

/// Tells whether `edge` leads into the unit of the component that has it.
fn is_fused(fused: Option<&FusedView>, edge: &Edge) -> bool {
    !edge.is_declared() && fused.is_some_and(|fused| fused.with.contains(&edge.on))
}

impl Registry {
    pub(crate) fn edges_of(&self, view: &dyn StateView, entry: &Arc<Entry>) -> Result<Vec<EdgeView>, RegistryError> {
        let fused = self.fused_view(view, entry)?;
        let mut edges = Vec::with_capacity(entry.dependencies.len());
        for edge in entry.dependencies.iter() {
            edges.push(EdgeView {
                from: edge.on.clone(),
                to: entry.id.clone(),
                edge: edge.clone(),
                fused: is_fused(fused.as_ref(), edge),
                status: view.entry(&edge.on)?.map(|dependency| dependency.status),
            });
        }
        Ok(edges)
    }
}

fn decide_add(view: &dyn StateView, id: &ComponentId, edge: Edge) -> Result<(Vec<Event>, bool), RegistryError> {
    let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
    let dependency = view.entry(&edge.on)?.ok_or_else(|| unknown(&edge.on))?;
    if entry.dependencies.iter().any(|old| old.on.is_same_entry(&edge.on) && old.kind == edge.kind) {
        return Ok((Vec::new(), false));
    }
    let mut after = Entry::clone(&entry);
    let dependencies = Arc::make_mut(&mut after.dependencies);
    dependencies.retain(|old| !(old.on.is_same_entry(&edge.on) && is_operators(old)));
    dependencies.push(edge.clone());
    let added = Event::EdgeAdded { component: id.clone(), edge: edge.clone() };
    let (events, overlay) = now_resolved(view, &after, &added)?;
    let resolved = overlay.entry(id)?.ok_or_else(|| unknown(id))?;
    if let EdgeKind::Declared { range, .. } = &edge.kind
        && !range.matches(&dependency.revision.version)
        && !is_met(&overlay, &resolved, &edge.on)?
    {
        let found = dependency.revision.version.clone();
        return Err(RegistryError::RangeNotMet { on: edge.on, range: range.clone(), found });
    }
    Ok((events, true))
}

/// Tells whether a revision of `on` is in the range that `entry` declares of it, though that in service is not. What is active goes on: one
/// that is to be activated first is no help to it.
fn is_met(overlay: &Overlay<'_>, entry: &Entry, on: &ComponentId) -> Result<bool, RegistryError> {
    if entry.unresolved.iter().any(|unresolved| unresolved.need == Need::Component(on.clone())) {
        return Ok(false);
    }
    for edge in entry.dependencies.iter().filter(|edge| edge.on.is_beside() && edge.on.is_same_entry(on)) {
        let is_idle = overlay.entry(&edge.on)?.is_some_and(|found| found.status != Status::Active);
        if entry.status == Status::Active && is_idle {
            return Ok(false);
        }
    }
    Ok(true)
}

fn is_operators(edge: &Edge) -> bool {
    matches!(edge.kind, EdgeKind::Declared { origin: DeclaredBy::Operator, .. })
}

/// Returns `change`, what brings `entry` up to date whose declared edges it changes (a range that was not met may be gone, or lead to another
/// revision), and the state after both.
fn now_resolved<'a>(
    view: &'a dyn StateView,
    entry: &Entry,
    change: &Event,
) -> Result<(Vec<Event>, Overlay<'a>), RegistryError> {
    without_circles(Overlay::new(view, &NOTHING_EXPECTED), &|mut overlay| {
        let resolution = resolve(&overlay, &entry.id, &entry.revision, &entry.dependencies)?;
        overlay.put(entry_after(Some(entry), &entry.id, &entry.revision, &resolution));
        let leads = |edges: &[Edge]| {
            edges.iter().map(|edge| (edge.on.clone(), edge.label().to_owned())).collect::<BTreeSet<_>>()
        };
        let is_same =
            leads(&entry.dependencies) == leads(&resolution.dependencies) && entry.unresolved == resolution.unresolved;
        let resolved = Event::EdgesResolved {
            component: entry.id.clone(),
            dependencies: resolution.dependencies,
            unresolved: resolution.unresolved,
        };
        Ok((std::iter::once(change.clone()).chain((!is_same).then_some(resolved)).collect(), overlay))
    })
}

fn decide_remove(view: &dyn StateView, id: ComponentId, on: ComponentId) -> Result<(Vec<Event>, bool), RegistryError> {
    let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
    view.entry(&on)?.ok_or_else(|| unknown(&on))?;
    let edges: Vec<_> = entry.dependencies.iter().filter(|edge| edge.on.is_same_entry(&on)).collect();
    if edges.iter().any(|edge| is_operators(edge)) {
        let mut after = Entry::clone(&entry);
        Arc::make_mut(&mut after.dependencies).retain(|edge| !(edge.on.is_same_entry(&on) && is_operators(edge)));
        let (events, _) = now_resolved(view, &after, &Event::EdgeRemoved { component: id, on })?;
        return Ok((events, true));
    }
    match edges.first() {
        None => Ok((Vec::new(), false)),
        Some(edge) => {
            let origin = if edge.is_declared() { "component manifest" } else { "imports" };
            Err(RegistryError::EdgeNotDeclared { component: id, on, origin })
        }
    }
}
