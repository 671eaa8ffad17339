//! Which entry provides what a component needs.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use semver::{Version, VersionReq};

use crate::entry::{DeclaredBy, Edge, EdgeKind, Entry, Need, Revision, Unresolved, UnresolvedReason};
use crate::fusion::Fusion;
use crate::id::ComponentId;
use crate::inspection::{ExternItem, ExternKind};
use crate::interface::InterfaceName;
use crate::ports::{StateView, StorageError};
use crate::reduce::{self, index};
use crate::status::Status;

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
#[derive(Clone)]
pub struct Overlay<'a> {
    view: &'a dyn StateView,
    changed: BTreeMap<ComponentId, Option<Arc<Entry>>>,
    expected: &'a Expected,
    /// Whether needs may be met by revisions beside those in service that do not meet them now.
    may_set_beside: bool,
    /// Revisions that are not registered yet.
    added: Vec<(ComponentId, Arc<Revision>)>,
}

/// Exports of components that are being registered together with the one at hand, so that which of two providers comes first in a
/// batch does not decide who gets an import: key of [`reduce::provided_key`] → components.
pub type Expected = BTreeMap<String, BTreeSet<ComponentId>>;

/// Nothing is expected.
pub static NOTHING_EXPECTED: Expected = BTreeMap::new();

impl<'a> Overlay<'a> {
    /// Looks at `view` with nothing changed.
    pub fn new(view: &'a dyn StateView, expected: &'a Expected) -> Self {
        Self { view, changed: BTreeMap::new(), expected, may_set_beside: true, added: Vec::new() }
    }

    /// Lets `entry` take the place of the one with its id.
    pub fn put(&mut self, entry: Entry) {
        self.changed.insert(entry.id.clone(), Some(Arc::new(entry)));
    }

    /// Lets the entry `id` be gone.
    pub fn remove(&mut self, id: &ComponentId) {
        self.changed.insert(id.clone(), None);
    }

    /// Lets needs be met by revisions in service, and by those that meet them now.
    #[must_use]
    pub fn without_more_beside(mut self) -> Self {
        self.may_set_beside = false;
        self
    }

    /// Lets `id` have a revision more; the entry points to it only if it was put so.
    pub fn add_revision(&mut self, id: &ComponentId, revision: Arc<Revision>) {
        self.added.push((id.clone(), revision));
    }

    /// Returns the revisions of an entry, newest first.
    fn revisions(&self, id: &ComponentId) -> Result<Vec<Arc<Revision>>, StorageError> {
        let mut revisions = self.view.revisions(id)?;
        revisions.extend(self.added.iter().filter(|(of, _)| of == id).map(|(_, revision)| revision.clone()));
        revisions.reverse();
        Ok(revisions)
    }

    /// Returns an entry, or a revision beside one: as it is, or as it would be set there.
    ///
    /// # Errors
    /// [`StorageError`] if the state cannot be read, here and below.
    pub fn entry(&self, id: &ComponentId) -> Result<Option<Arc<Entry>>, StorageError> {
        match self.known(id)? {
            None if id.is_beside() => Ok(self.set_beside(id)?.map(|(entry, _)| Arc::new(entry))),
            known => Ok(known),
        }
    }

    /// Returns an entry, or a revision that is set beside one.
    fn known(&self, id: &ComponentId) -> Result<Option<Arc<Entry>>, StorageError> {
        match self.changed.get(id) {
            Some(entry) => Ok(entry.clone()),
            None => self.view.entry(id),
        }
    }

    /// Returns the revision that `id` names as it would be set beside the one in service, and whether it stays active there: so it does
    /// where it is in service now and another one takes its place. `None` if there is no such revision.
    ///
    /// # Errors
    /// As [`Self::entry`].
    pub fn set_beside(&self, id: &ComponentId) -> Result<Option<(Entry, bool)>, StorageError> {
        let (Some(version), Some(entry)) = (id.version(), self.known(&id.entry())?) else { return Ok(None) };
        let Some(revision) = self.newest_of(&entry, &version)? else { return Ok(None) };
        let now = self.view.entry(&entry.id)?;
        let served = now.filter(|now| now.revision.number == revision.number && now.status == Status::Active);
        let is_kept = served.is_some() && entry.status == Status::Active;
        let (dependencies, unresolved) = match served.filter(|_| is_kept) {
            Some(served) => (served.dependencies.clone(), served.unresolved.clone()),
            None => {
                let resolution = resolve(self, id, &revision, &[])?;
                (Arc::new(resolution.dependencies), resolution.unresolved)
            }
        };
        let status = if is_kept { Status::Active } else { Status::Registered };
        let fusion = Some(Fusion::default());
        let (waiting, probe, last_error, watch) = (None, None, None, None);
        let (elsewhere, trail) = (BTreeSet::new(), Vec::new());
        let id = id.clone();
        let kept = if is_kept {
            Entry::clone(&entry)
        } else {
            Entry { activation: None, state: None, ..Entry::clone(&entry) }
        };
        Ok(Some((
            Entry {
                id,
                status,
                revision,
                dependencies,
                unresolved,
                fusion,
                waiting,
                elsewhere,
                trail,
                probe,
                last_error,
                watch,
                error_count: 0,
                ..kept
            },
            is_kept,
        )))
    }

    /// Returns the newest revision of a version.
    fn newest_of(&self, entry: &Entry, version: &Version) -> Result<Option<Arc<Revision>>, StorageError> {
        Ok(self.revisions(&entry.id)?.into_iter().find(|revision| revision.version == *version))
    }

    /// Returns the revisions of `entry` but for the one in service, those that are active beside it first, then the newest first; of a
    /// version one at most, none of that in service.
    fn others(&self, entry: &Entry) -> Result<Vec<Other>, StorageError> {
        let mut others: Vec<Other> = Vec::new();
        for revision in self.revisions(&entry.id)? {
            let id = entry.id.beside(&revision.version);
            if revision.version == entry.revision.version || others.iter().any(|other| other.id == id) {
                continue;
            }
            // What is set there stays what it is, also if its version was registered anew.
            let set = self.known(&id)?;
            let is_active = set.as_ref().is_some_and(|set| set.status == Status::Active);
            let revision = set.map_or(revision, |set| set.revision.clone());
            others.push(Other { id, revision, is_active });
        }
        others.sort_by_key(|other| !other.is_active);
        Ok(others)
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
        self.found(index::PROVIDES, key, |entry| entry.revision.provided().any(|provided| provided == key))
    }

    /// Returns the entries of which other revisions than the one in service provide `key`, ordered.
    fn providers_elsewhere(&self, key: &str) -> Result<BTreeSet<ComponentId>, StorageError> {
        self.found(index::PROVIDES_ELSEWHERE, key, |entry| entry.elsewhere.contains(key))
    }

    fn found(
        &self,
        index: &str,
        key: &str,
        provides: impl Fn(&Entry) -> bool,
    ) -> Result<BTreeSet<ComponentId>, StorageError> {
        let mut ids: BTreeSet<_> = self.view.find(index, key)?.into_iter().collect();
        for (id, entry) in self.changed.iter().filter(|(id, _)| !id.is_beside()) {
            ids.remove(id);
            if entry.as_ref().is_some_and(|entry| provides(entry)) {
                ids.insert(id.clone());
            }
        }
        Ok(ids)
    }
}

/// A revision of an entry that is not in service.
struct Other {
    /// Its id beside the one that is.
    id: ComponentId,
    revision: Arc<Revision>,
    is_active: bool,
}

/// Finds who provides what `revision` of component `id` needs.
///
/// `previous` are the edges that the entry has now: an import keeps its provider as long as that still serves it, so a
/// second provider never takes over; edges that an operator declared are kept. Needs that `[bind]` decides follow the
/// binding. `wasi:*` and `registry:*` are the host's unless they are bound; interfaces without functions need nobody. Who does not
/// let the component call by its `[callers]` is no candidate.
///
/// Of a provider, the revision in service serves wherever it fits: it exports what is imported, in a compatible version, and is in
/// every range that is declared of that provider. Else another one does that fits: one that is active beside it before others, then the
/// newest. The edge leads to its [id beside](ComponentId::beside) the one in service.
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
    let asking = Asking { state, id: &id.entry(), revision, previous };
    for import in &revision.imports {
        match resolve_import(&asking, import)? {
            Outcome::Host => {}
            Outcome::Edge(edge) => resolution.dependencies.push(edge),
            Outcome::Unresolved(reason) => {
                resolution.unresolved.push(Unresolved { need: Need::Import(import.name.clone()), reason });
            }
        }
    }
    for (on, range) in &revision.manifest.dependencies {
        let kind = EdgeKind::Declared { range: range.clone(), origin: DeclaredBy::Manifest };
        // An edge to itself `closed_cycle` refuses, whether the component is registered already or not.
        let found = if on == asking.id { Ok(on.clone()) } else { resolve_declared(&asking, on, range)? };
        match found {
            Ok(on) => resolution.dependencies.push(Edge { on, kind }),
            Err(reason) => resolution.unresolved.push(Unresolved { need: Need::Component(on.clone()), reason }),
        }
    }
    for edge in previous {
        if let EdgeKind::Declared { range, origin: DeclaredBy::Operator } = &edge.kind {
            let on = edge.on.entry();
            let on = match resolve_declared(&asking, &on, range)? {
                Ok(found) => found,
                Err(UnresolvedReason::Missing) => continue,
                Err(reason) => {
                    let need = Need::Component(on.clone());
                    resolution.unresolved.push(Unresolved { need, reason });
                    on
                }
            };
            resolution.dependencies.push(Edge { on, kind: edge.kind.clone() });
        }
    }
    resolution.dependencies.sort_by(|a, b| (&a.on, a.label()).cmp(&(&b.on, b.label())));
    Ok(resolution)
}

/// A revision whose needs are looked for.
struct Asking<'a> {
    state: &'a Overlay<'a>,
    /// The entry that it is of.
    id: &'a ComponentId,
    revision: &'a Revision,
    previous: &'a [Edge],
}

/// A revision of a provider.
struct Chosen {
    id: ComponentId,
    revision: Arc<Revision>,
}

impl Asking<'_> {
    /// Tells whether `version` is in every range that is declared of the entry `on`.
    fn admits(&self, on: &ComponentId, version: &Version) -> bool {
        let by_operator =
            self.previous.iter().filter(|edge| edge.on.is_same_entry(on)).filter_map(|edge| match &edge.kind {
                EdgeKind::Declared { range, origin: DeclaredBy::Operator } => Some(range),
                EdgeKind::Declared { .. } | EdgeKind::Import { .. } => None,
            });
        self.revision.manifest.dependencies.get(on).into_iter().chain(by_operator).all(|range| range.matches(version))
    }

    /// Returns the revision of `provider` that serves: the one in service if it fits, else another one that does.
    fn choose(&self, provider: &Entry, fits: &dyn Fn(&Revision) -> bool) -> Result<Option<Chosen>, StorageError> {
        if fits(&provider.revision) {
            return Ok(Some(Chosen { id: provider.id.clone(), revision: provider.revision.clone() }));
        }
        let mut others = self.state.others(provider)?;
        let is_led_there = |other: &Other| self.previous.iter().any(|edge| edge.on == other.id);
        others.retain(|other| fits(&other.revision) && (self.state.may_set_beside || is_led_there(other)));
        // One that it is linked to already, and that is active, before others.
        others.sort_by_key(|other| !(other.is_active && is_led_there(other)));
        Ok(others.into_iter().next().map(|other| Chosen { id: other.id, revision: other.revision }))
    }

    /// Returns the revision of `provider` that serves `import`: one in the declared range, where any of those does.
    fn serving(&self, provider: &Entry, import: &ExternItem) -> Result<Option<Chosen>, StorageError> {
        let serves = |revision: &Revision| serving_export(revision, import).is_some();
        let fits = |revision: &Revision| serves(revision) && self.admits(&provider.id, &revision.version);
        match self.choose(provider, &fits)? {
            Some(chosen) => Ok(Some(chosen)),
            None => self.choose(provider, &serves),
        }
    }
}

enum Outcome {
    Host,
    Edge(Edge),
    Unresolved(UnresolvedReason),
}

fn resolve_declared(
    asking: &Asking<'_>,
    on: &ComponentId,
    range: &VersionReq,
) -> Result<Result<ComponentId, UnresolvedReason>, StorageError> {
    let Some(entry) = asking.state.entry(on)? else { return Ok(Err(UnresolvedReason::Missing)) };
    let chosen = asking.choose(&entry, &|revision| range.matches(&revision.version))?;
    let out_of_range = || UnresolvedReason::OutOfRange { range: range.clone(), found: entry.revision.version.clone() };
    Ok(chosen.map(|chosen| chosen.id).ok_or_else(out_of_range))
}

fn resolve_import(asking: &Asking<'_>, import: &ExternItem) -> Result<Outcome, StorageError> {
    let (state, id) = (asking.state, asking.id);
    let interface = import.interface();
    let bound = binding(asking.revision, import, interface.as_ref());
    match (import.kind, bound, &interface) {
        (ExternKind::TypesOnly | ExternKind::Other, None, _) => return Ok(Outcome::Host),
        (_, None, Some(interface)) if interface.is_host() => return Ok(Outcome::Host),
        (_, Some(to), _) => {
            let Some(provider) = state.entry(to)?.filter(|_| to != id) else {
                return Ok(Outcome::Unresolved(UnresolvedReason::BadBinding { to: to.clone(), exists: to == id }));
            };
            return Ok(match asking.serving(&provider, import)? {
                Some(chosen) => outcome_of(&chosen, import, id),
                None => Outcome::Unresolved(UnresolvedReason::BadBinding { to: to.clone(), exists: true }),
            });
        }
        (_, None, _) => {}
    }
    for edge in asking.previous {
        if matches!(&edge.kind, EdgeKind::Import { import: name, .. } if *name == import.name)
            && let Some(provider) = state.entry(&edge.on.entry())?
            && let Some(chosen) = asking.serving(&provider, import)?
            && let found @ Outcome::Edge(_) = outcome_of(&chosen, import, id)
        {
            return Ok(found);
        }
    }
    // A function outside any interface has no name of its own in the world: only a binding can mean one.
    if import.kind == ExternKind::Function {
        return Ok(Outcome::Unresolved(UnresolvedReason::Missing));
    }
    choose_provider(asking, import)
}

fn choose_provider(asking: &Asking<'_>, import: &ExternItem) -> Result<Outcome, StorageError> {
    let (state, id) = (asking.state, asking.id);
    let key = reduce::wanted_key(&Need::Import(import.name.clone()));
    let mut candidates = Candidates::default();
    for candidate in state.providers(&key)? {
        if let Some(provider) = candidates.next(&candidate, asking)?
            && serving_export(&provider.revision, import).is_some()
            && let Some(chosen) = asking.serving(&provider, import)?
        {
            candidates.add(&chosen, import, id);
        }
    }
    let found: BTreeSet<_> = candidates.edges.iter().map(|edge| edge.on.entry()).collect();
    let rivals = state.expected.get(&key).into_iter().flatten().filter(|rival| *rival != id && !found.contains(*rival));
    let rivals: Vec<_> = rivals.take(CANDIDATES_MAX).cloned().collect();
    if candidates.edges.is_empty() && rivals.is_empty() {
        // Nobody does in service; other revisions may.
        for candidate in state.providers(&key)?.into_iter().chain(state.providers_elsewhere(&key)?) {
            if let Some(provider) = candidates.next(&candidate, asking)?
                && let Some(chosen) = asking.serving(&provider, import)?
            {
                candidates.add(&chosen, import, id);
            }
        }
    }
    Ok(match candidates.edges.as_slice() {
        [] => Outcome::Unresolved(candidates.refused.unwrap_or(UnresolvedReason::Missing)),
        [only] if rivals.is_empty() => Outcome::Edge(only.clone()),
        several => {
            let mut all: Vec<_> = several.iter().map(|edge| edge.on.entry()).chain(rivals).collect();
            all.sort();
            all.dedup();
            all.truncate(CANDIDATES_MAX);
            Outcome::Unresolved(UnresolvedReason::Ambiguous { candidates: all })
        }
    })
}

/// Who could provide an import.
#[derive(Default)]
struct Candidates {
    edges: Vec<Edge>,
    /// Why one that could does not.
    refused: Option<UnresolvedReason>,
}

impl Candidates {
    /// Returns the entry of another candidate, unless there are enough.
    fn next(&self, candidate: &ComponentId, asking: &Asking<'_>) -> Result<Option<Arc<Entry>>, StorageError> {
        let is_known = || self.edges.iter().any(|edge| edge.on.is_same_entry(candidate));
        if candidate == asking.id || self.edges.len() > CANDIDATES_MAX || is_known() {
            return Ok(None);
        }
        asking.state.entry(candidate)
    }

    fn add(&mut self, chosen: &Chosen, import: &ExternItem, id: &ComponentId) {
        match outcome_of(chosen, import, id) {
            Outcome::Edge(edge) => self.edges.push(edge),
            Outcome::Unresolved(reason) => self.refused = self.refused.take().or(Some(reason)),
            Outcome::Host => {}
        }
    }
}

/// Returns the edge to a revision that serves `import`, or why it does not let component `id` call it.
fn outcome_of(chosen: &Chosen, import: &ExternItem, id: &ComponentId) -> Outcome {
    let Some(export) = serving_export(&chosen.revision, import) else {
        return Outcome::Unresolved(UnresolvedReason::Missing);
    };
    match chosen.revision.manifest.callers.refusing(export, id) {
        Some(allowed) => {
            Outcome::Unresolved(UnresolvedReason::Refused { by: chosen.id.entry(), allowed: allowed.to_vec() })
        }
        None => Outcome::Edge(import_edge(&chosen.id, import, export)),
    }
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
pub fn serving_export<'a>(provider: &'a Revision, import: &ExternItem) -> Option<&'a str> {
    let exports = provider.exports.iter();
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
