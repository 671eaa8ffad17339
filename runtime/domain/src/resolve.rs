//! Which entry provides what a component needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::entry::{DeclaredBy, Edge, EdgeKind, Entry, Need, Revision, Unresolved, UnresolvedReason};
use crate::id::ComponentId;
use crate::inspection::{ExternItem, ExternKind};
use crate::interface::InterfaceName;
use crate::ports::{StateView, StorageError};
use crate::reduce::{self, index};

/// Most candidates listed for an import that several entries could provide.
pub const CANDIDATES_MAX: usize = 20;

/// The edges of one revision, and what could not be resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolution {
    /// Resolved edges, ordered by dependency and label.
    pub dependencies: Vec<Edge>,
    /// Needs for which no single provider is known.
    pub unresolved: Vec<Unresolved>,
}

/// The state as it would be after changes that are not made yet.
pub struct Overlay<'a> {
    view: &'a dyn StateView,
    changed: BTreeMap<ComponentId, Option<Arc<Entry>>>,
    expected: &'a Expected,
}

/// Exports of components that are being registered together with the one at hand, so that which of two providers comes first in a
/// batch does not decide who gets an import: key of [`reduce::provided_key`] → components.
pub type Expected = BTreeMap<String, BTreeSet<ComponentId>>;

/// Nothing is expected.
pub static NOTHING_EXPECTED: Expected = BTreeMap::new();

impl<'a> Overlay<'a> {
    /// Looks at `view` with nothing changed.
    pub fn new(view: &'a dyn StateView, expected: &'a Expected) -> Self {
        Self { view, changed: BTreeMap::new(), expected }
    }

    /// Lets `entry` take the place of the one with its id.
    pub fn put(&mut self, entry: Entry) {
        self.changed.insert(entry.id.clone(), Some(Arc::new(entry)));
    }

    /// Lets the entry `id` be gone.
    pub fn remove(&mut self, id: &ComponentId) {
        self.changed.insert(id.clone(), None);
    }

    /// Returns an entry.
    ///
    /// # Errors
    /// [`StorageError`] if the state cannot be read, here and below.
    pub fn entry(&self, id: &ComponentId) -> Result<Option<Arc<Entry>>, StorageError> {
        match self.changed.get(id) {
            Some(entry) => Ok(entry.clone()),
            None => self.view.entry(id),
        }
    }

    /// Tells whether anybody has an edge to `id`, in the state that this shows.
    fn has_dependents(&self, id: &ComponentId) -> Result<bool, StorageError> {
        let depends = |entry: &Entry| entry.dependencies.iter().any(|edge| edge.on == *id);
        if self.changed.values().flatten().any(|entry| depends(entry)) {
            return Ok(true);
        }
        Ok(self.view.dependents(id)?.iter().any(|dependent| !self.changed.contains_key(dependent)))
    }

    /// Returns the entries that provide `key`, ordered.
    fn providers(&self, key: &str) -> Result<BTreeSet<ComponentId>, StorageError> {
        let mut ids: BTreeSet<_> = self.view.find(index::PROVIDES, key)?.into_iter().collect();
        for (id, entry) in &self.changed {
            ids.remove(id);
            let provides = |entry: &Arc<Entry>| {
                entry.revision.exports.iter().any(|export| reduce::provided_key(export).as_deref() == Some(key))
            };
            if entry.as_ref().is_some_and(provides) {
                ids.insert(id.clone());
            }
        }
        Ok(ids)
    }
}

/// Finds who provides what `revision` of component `id` needs.
///
/// `previous` are the edges that the entry has now: an import keeps its provider as long as that still serves it, so a
/// second provider never takes over; edges that an operator declared are kept. Needs that `[bind]` decides follow the
/// binding. `wasi:*` and `registry:*` are the host's unless they are bound; interfaces without functions need nobody. Who does not
/// let the component call by its `[callers]` is no candidate.
///
/// # Errors
/// [`StorageError`] if the state cannot be read.
pub fn resolve(
    state: &Overlay<'_>,
    id: &ComponentId,
    revision: &Revision,
    previous: &[Edge],
) -> Result<Resolution, StorageError> {
    let mut resolution = Resolution::default();
    for import in &revision.imports {
        match resolve_import(state, id, revision, import, previous)? {
            Outcome::Host => {}
            Outcome::Edge(edge) => resolution.dependencies.push(edge),
            Outcome::Unresolved(reason) => {
                resolution.unresolved.push(Unresolved { need: Need::Import(import.name.clone()), reason });
            }
        }
    }
    for (on, range) in &revision.manifest.dependencies {
        let need = || Need::Component(on.clone());
        if on == id {
            // An edge that `closed_cycle` refuses, whether the component is registered already or not.
            let kind = EdgeKind::Declared { range: range.clone(), origin: DeclaredBy::Manifest };
            resolution.dependencies.push(Edge { on: on.clone(), kind });
            continue;
        }
        match state.entry(on)? {
            None => resolution.unresolved.push(Unresolved { need: need(), reason: UnresolvedReason::Missing }),
            Some(entry) if !range.matches(&entry.revision.version) => {
                let reason =
                    UnresolvedReason::OutOfRange { range: range.clone(), found: entry.revision.version.clone() };
                resolution.unresolved.push(Unresolved { need: need(), reason });
            }
            Some(_) => resolution.dependencies.push(Edge {
                on: on.clone(),
                kind: EdgeKind::Declared { range: range.clone(), origin: DeclaredBy::Manifest },
            }),
        }
    }
    for edge in previous {
        if let EdgeKind::Declared { range, origin: DeclaredBy::Operator } = &edge.kind {
            let Some(entry) = state.entry(&edge.on)? else { continue };
            if !range.matches(&entry.revision.version) {
                let reason =
                    UnresolvedReason::OutOfRange { range: range.clone(), found: entry.revision.version.clone() };
                resolution.unresolved.push(Unresolved { need: Need::Component(edge.on.clone()), reason });
            }
            resolution.dependencies.push(edge.clone());
        }
    }
    resolution.dependencies.sort_by(|a, b| (&a.on, a.label()).cmp(&(&b.on, b.label())));
    Ok(resolution)
}

enum Outcome {
    Host,
    Edge(Edge),
    Unresolved(UnresolvedReason),
}

fn resolve_import(
    state: &Overlay<'_>,
    id: &ComponentId,
    revision: &Revision,
    import: &ExternItem,
    previous: &[Edge],
) -> Result<Outcome, StorageError> {
    let interface = import.interface();
    let bound = binding(revision, import, interface.as_ref());
    match (import.kind, bound, &interface) {
        (ExternKind::TypesOnly | ExternKind::Other, None, _) => return Ok(Outcome::Host),
        (_, None, Some(interface)) if interface.is_host() => return Ok(Outcome::Host),
        (_, Some(to), _) => {
            let Some(provider) = state.entry(to)?.filter(|_| to != id) else {
                return Ok(Outcome::Unresolved(UnresolvedReason::BadBinding { to: to.clone(), exists: to == id }));
            };
            return Ok(match serving_export(&provider, import) {
                Some(export) => match refusal(&provider, export, id) {
                    None => Outcome::Edge(import_edge(to, import, export)),
                    Some(refused) => Outcome::Unresolved(refused),
                },
                None => Outcome::Unresolved(UnresolvedReason::BadBinding { to: to.clone(), exists: true }),
            });
        }
        (_, None, _) => {}
    }
    for edge in previous {
        if matches!(&edge.kind, EdgeKind::Import { import: name, .. } if *name == import.name)
            && let Some(provider) = state.entry(&edge.on)?
            && let Some(export) = serving_export(&provider, import)
            && refusal(&provider, export, id).is_none()
        {
            return Ok(Outcome::Edge(import_edge(&edge.on, import, export)));
        }
    }
    // A function outside any interface has no name of its own in the world: only a binding can mean one.
    if import.kind == ExternKind::Function {
        return Ok(Outcome::Unresolved(UnresolvedReason::Missing));
    }
    choose_provider(state, id, import)
}

fn choose_provider(state: &Overlay<'_>, id: &ComponentId, import: &ExternItem) -> Result<Outcome, StorageError> {
    let key = reduce::wanted_key(&Need::Import(import.name.clone()));
    let mut candidates = Vec::new();
    let mut refused = None;
    for candidate in state.providers(&key)? {
        if candidate == *id || candidates.len() > CANDIDATES_MAX {
            continue;
        }
        if let Some(provider) = state.entry(&candidate)?
            && let Some(export) = serving_export(&provider, import)
        {
            match refusal(&provider, export, id) {
                None => candidates.push((candidate, export.to_owned())),
                Some(reason) => refused = refused.or(Some(reason)),
            }
        }
    }
    let found: BTreeSet<_> = candidates.iter().map(|(id, _)| id.clone()).collect();
    let rivals = state.expected.get(&key).into_iter().flatten().filter(|rival| *rival != id && !found.contains(*rival));
    let rivals: Vec<_> = rivals.take(CANDIDATES_MAX).cloned().collect();
    Ok(match candidates.as_slice() {
        [] => Outcome::Unresolved(refused.unwrap_or(UnresolvedReason::Missing)),
        [(only, export)] if rivals.is_empty() => Outcome::Edge(import_edge(only, import, export)),
        _ => {
            let mut all: Vec<_> = found.into_iter().chain(rivals).collect();
            all.sort();
            all.truncate(CANDIDATES_MAX);
            Outcome::Unresolved(UnresolvedReason::Ambiguous { candidates: all })
        }
    })
}

/// Says why `provider` does not let component `id` call its `export`, if it does not.
fn refusal(provider: &Entry, export: &str, id: &ComponentId) -> Option<UnresolvedReason> {
    let allowed = provider.revision.manifest.callers.refusing(export, id)?;
    Some(UnresolvedReason::Refused { by: provider.id.clone(), allowed: allowed.to_vec() })
}

/// Returns the entry that `[bind]` names for `import`: by its full name, else by its name without version.
fn binding<'a>(
    revision: &'a Revision,
    import: &ExternItem,
    interface: Option<&InterfaceName>,
) -> Option<&'a ComponentId> {
    let bind = &revision.manifest.bind;
    bind.get(&import.name).or_else(|| bind.get(&interface?.unversioned()))
}

/// Returns the export of `provider` that serves `import`: the newest compatible one.
pub fn serving_export<'a>(provider: &'a Entry, import: &ExternItem) -> Option<&'a str> {
    let exports = provider.revision.exports.iter();
    match import.interface() {
        Some(wanted) => exports
            .filter_map(|export| Some((export.interface()?, export)))
            .filter(|(offered, _)| offered.satisfies(&wanted))
            .max_by(|(a, _), (b, _)| a.version.cmp(&b.version))
            .map(|(_, export)| export.name.as_str()),
        None => exports
            .filter(|export| export.kind == import.kind && export.name == import.name)
            .map(|export| export.name.as_str())
            .next(),
    }
}

fn import_edge(on: &ComponentId, import: &ExternItem, export: &str) -> Edge {
    Edge { on: on.clone(), kind: EdgeKind::Import { import: import.name.clone(), export: export.to_owned() } }
}

/// Returns the cycle that edges from `id` to `dependencies` would close, if they would: `id`, the components on the way,
/// and `id` again. Looks at the closure of the dependencies alone, and at nothing where nobody depends on `id`: a new
/// component cannot close a cycle.
///
/// # Errors
/// [`StorageError`] if the state cannot be read.
pub fn closed_cycle(
    state: &Overlay<'_>,
    id: &ComponentId,
    dependencies: &[Edge],
) -> Result<Option<Vec<ComponentId>>, StorageError> {
    let mut came_from: BTreeMap<ComponentId, ComponentId> = BTreeMap::new();
    let mut open: Vec<ComponentId> = Vec::new();
    for edge in dependencies {
        if edge.on == *id {
            return Ok(Some(vec![id.clone(), id.clone()]));
        }
        if came_from.insert(edge.on.clone(), id.clone()).is_none() {
            open.push(edge.on.clone());
        }
    }
    if !state.has_dependents(id)? {
        return Ok(None);
    }
    while let Some(at) = open.pop() {
        let Some(entry) = state.entry(&at)? else { continue };
        for edge in entry.dependencies.iter() {
            if edge.on == *id {
                return Ok(Some(path_back(id, &at, &came_from)));
            }
            if !came_from.contains_key(&edge.on) {
                came_from.insert(edge.on.clone(), at.clone());
                open.push(edge.on.clone());
            }
        }
    }
    Ok(None)
}

fn path_back(id: &ComponentId, last: &ComponentId, came_from: &BTreeMap<ComponentId, ComponentId>) -> Vec<ComponentId> {
    let mut path = vec![id.clone(), last.clone()];
    let mut at = last;
    while let Some(before) = came_from.get(at) {
        path.push(before.clone());
        if before == id {
            break;
        }
        at = before;
    }
    path.reverse();
    path
}
