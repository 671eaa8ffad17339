//! What a registration writes down, decided on the newest state.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::entry::Unresolved;
use domain::inspection::ExternItem;
use domain::ports::StateView;
use domain::resolve::{Expected, Overlay, Resolution, closed_cycle, resolve};
use domain::{ComponentId, Digest, Entry, Event, Grant, Revision, Status, Timestamp, reduce};

use super::RegisterOutcome;
use super::draft::Draft;
use crate::beside::dependents_of_all;
use crate::error::RegistryError;

/// What a registration comes to.
pub(super) struct Decided {
    pub(super) outcome: RegisterOutcome,
    /// The revision's number.
    pub(super) number: u32,
    /// What it asks for and the newest one before it did not.
    pub(super) asks_anew: Vec<Grant>,
    /// What is granted along with it.
    pub(super) granted: Vec<Grant>,
    pub(super) warnings: Vec<String>,
}

/// Decides what registering `draft` changes.
pub(super) fn decide(
    view: &dyn StateView,
    draft: &Draft,
    expected: &Expected,
    now: Timestamp,
) -> Result<(Vec<Event>, Decided), RegistryError> {
    let entry = view.entry(&draft.id)?;
    let before = match &entry {
        Some(entry) => view.revision(&draft.id, entry.newest)?,
        None => None,
    };
    let (mut events, (outcome, number)) = decide_revision(view, draft, expected, now)?;
    let (granting, mut decided) = draft.authority.decide(draft, entry.as_deref(), before.as_deref())?;
    events.extend(granting);
    decided.outcome = outcome;
    decided.number = number;
    Ok((events, decided))
}

/// Decides on the revision alone.
fn decide_revision(
    view: &dyn StateView,
    draft: &Draft,
    expected: &Expected,
    now: Timestamp,
) -> Result<(Vec<Event>, (RegisterOutcome, u32)), RegistryError> {
    let entry = view.entry(&draft.id)?;
    let number = match numbered(view, draft, entry.as_deref())? {
        Numbered::Unchanged(number) => return Ok((Vec::new(), (RegisterOutcome::Unchanged, number))),
        Numbered::Next(number) => number,
    };
    let revision = Arc::new(draft.revision(number, now));
    let (outcome, current) = match &entry {
        None => (RegisterOutcome::New, true),
        Some(entry) if entry.status == Status::Active => (RegisterOutcome::Waiting, false),
        Some(_) => (RegisterOutcome::NewRevision, true),
    };
    let (previous, kept) = match &entry {
        Some(entry) if !current => (entry.dependencies.to_vec(), Some(entry.unresolved.clone())),
        // The providers it has here go before those that it had elsewhere; what was declared elsewhere is for whoever imports to declare.
        Some(entry) => {
            let carried = draft.carried.iter().filter(|edge| !edge.is_declared());
            (entry.dependencies.iter().chain(carried).cloned().collect(), None)
        }
        None => (draft.carried.clone(), None),
    };
    if let (Some(unresolved), Some(entry)) = (kept, &entry) {
        let registered = registered(draft, revision.clone(), false, Resolution { dependencies: previous, unresolved });
        let keys = touched_keys(&draft.id, revision.exports.iter());
        let events = without_circles(Overlay::new(view, expected), &|mut overlay| {
            let mut after = Entry::clone(entry);
            after.note_elsewhere(&revision);
            overlay.put(after);
            overlay.add_revision(&draft.id, revision.clone());
            let mut events = vec![registered.clone()];
            // It may serve, beside the one in service, those that cannot live with that.
            events.extend(resolve_waiting(view, &mut overlay, &keys)?);
            Ok((events, overlay))
        })?;
        return Ok((events.0, (outcome, number)));
    }
    let old_exports = entry.iter().flat_map(|entry| entry.revision.exports.iter());
    let keys = touched_keys(&draft.id, revision.exports.iter().chain(old_exports));
    let (events, _) = without_circles(Overlay::new(view, expected), &|mut overlay| {
        let resolution = resolve(&overlay, &draft.id, &revision, &previous)?;
        overlay.put(entry_after(entry.as_deref(), &draft.id, &revision, &resolution));
        let mut events = vec![registered(draft, revision.clone(), true, resolution)];
        events.extend(resolve_dependents(view, &mut overlay, &draft.id)?);
        events.extend(resolve_waiting(view, &mut overlay, &keys)?);
        Ok((events, overlay))
    })?;
    Ok((events, (outcome, number)))
}

/// Events, and the state that they lead to.
pub(crate) type Resolved<'a> = (Vec<Event>, Overlay<'a>);

/// Returns what `resolve` makes of a state, unless that closes a cycle: then what it makes of it where nobody is led to a revision beside
/// the one in service who is not led there already. What cannot be resolved so is unresolved, and no reason to refuse anything.
///
/// # Errors
/// [`RegistryError::Cycle`] if there is one all the same.
pub(crate) fn without_circles<'a>(
    state: Overlay<'a>,
    resolve: &dyn Fn(Overlay<'a>) -> Result<Resolved<'a>, RegistryError>,
) -> Result<Resolved<'a>, RegistryError> {
    let (events, overlay) = resolve(state.clone())?;
    match refuse_cycles(&overlay, &events) {
        Ok(()) => Ok((events, overlay)),
        Err(RegistryError::Cycle { .. }) => {
            let (events, overlay) = resolve(state.without_more_beside())?;
            refuse_cycles(&overlay, &events)?;
            Ok((events, overlay))
        }
        Err(error) => Err(error),
    }
}

/// The number that a draft has, or gets.
pub(crate) enum Numbered {
    /// These bytes and this manifest are registered already, as this revision.
    Unchanged(u32),
    /// It becomes this revision.
    Next(u32),
}

/// Finds the number of a draft of the component that `entry` is now.
///
/// # Errors
/// [`RegistryError::VersionTaken`].
pub(crate) fn numbered(view: &dyn StateView, draft: &Draft, entry: Option<&Entry>) -> Result<Numbered, RegistryError> {
    let Some(entry) = entry else { return Ok(Numbered::Next(1)) };
    let revisions = view.revisions(&draft.id)?;
    if let Some(same) = revisions.iter().rev().find(|revision| revision.version == draft.version) {
        if same.is_same(&draft.inspection.digest, &draft.manifest) {
            return Ok(Numbered::Unchanged(same.number));
        }
        if !draft.override_version {
            return Err(version_taken(draft, same.digest));
        }
    }
    Ok(Numbered::Next(entry.newest + 1))
}

fn version_taken(draft: &Draft, registered: Digest) -> RegistryError {
    RegistryError::VersionTaken {
        component: draft.id.clone(),
        version: draft.version.clone(),
        registered,
        same_bytes: registered == draft.inspection.digest,
    }
}

fn registered(draft: &Draft, revision: Arc<Revision>, current: bool, resolution: Resolution) -> Event {
    Event::Registered {
        component: draft.id.clone(),
        revision,
        current,
        dependencies: resolution.dependencies,
        unresolved: resolution.unresolved,
    }
}

/// Returns the entry as it will be once it points to `revision`.
pub(crate) fn entry_after(
    entry: Option<&Entry>,
    id: &ComponentId,
    revision: &Arc<Revision>,
    resolution: &Resolution,
) -> Entry {
    let first = || Entry::new(id.clone(), revision.clone(), revision.registered_at);
    let mut after = entry.cloned().unwrap_or_else(first);
    let left = std::mem::replace(&mut after.revision, revision.clone());
    after.note_elsewhere(&left);
    after.dependencies = Arc::new(resolution.dependencies.clone());
    after.unresolved.clone_from(&resolution.unresolved);
    after
}

/// Returns the keys under which entries may wait for `id` or one of `exports`.
pub(crate) fn touched_keys<'a>(id: &ComponentId, exports: impl Iterator<Item = &'a ExternItem>) -> Vec<String> {
    let mut keys: Vec<_> = exports.filter_map(reduce::provided_key).collect();
    keys.push(id.to_string());
    keys.sort();
    keys.dedup();
    keys
}

/// Refuses events that close a cycle, looking at the state that they all lead to, which `overlay` shows: an edge that closes one
/// may stand before the event that cuts it open.
///
/// # Errors
/// [`RegistryError::Cycle`].
fn refuse_cycles(overlay: &Overlay<'_>, events: &[Event]) -> Result<(), RegistryError> {
    let mut open: Vec<_> = events.iter().filter_map(Event::component).cloned().collect();
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        if !seen.insert(id.clone()) {
            continue;
        }
        let Some(entry) = overlay.entry(&id)? else { continue };
        if let Some(cycle) = closed_cycle(overlay, &id, &entry.dependencies)? {
            return Err(RegistryError::Cycle { cycle });
        }
        // Revisions that would be set beside those in service come with edges of their own.
        open.extend(entry.dependencies.iter().filter(|edge| edge.on.is_beside()).map(|edge| edge.on.clone()));
    }
    Ok(())
}

/// Resolves the needs of everybody who waits under one of `keys`, in the state that `overlay` shows. Whether that closes a cycle is
/// for [`refuse_cycles`] to say when all is resolved.
pub(crate) fn resolve_waiting(
    view: &dyn StateView,
    overlay: &mut Overlay<'_>,
    keys: &[String],
) -> Result<Vec<Event>, RegistryError> {
    let mut events = Vec::new();
    for key in keys {
        for waiting in view.find(reduce::index::WANTS, key)? {
            events.extend(resolve_again(overlay, &waiting)?);
        }
    }
    Ok(events)
}

/// Resolves the needs of everybody who depends on `id`, as [`resolve_waiting`] does.
pub(crate) fn resolve_dependents(
    view: &dyn StateView,
    overlay: &mut Overlay<'_>,
    id: &ComponentId,
) -> Result<Vec<Event>, RegistryError> {
    let mut events = Vec::new();
    for dependent in dependents_of_all(view, id)? {
        events.extend(resolve_again(overlay, &dependent)?);
    }
    Ok(events)
}

/// Resolves the needs of `id` again; `None` if nothing changes.
pub(crate) fn resolve_again(overlay: &mut Overlay<'_>, id: &ComponentId) -> Result<Option<Event>, RegistryError> {
    let Some(entry) = overlay.entry(id)? else { return Ok(None) };
    let resolution = resolve(overlay, id, &entry.revision, &entry.dependencies)?;
    let unchanged: (&[_], &[Unresolved]) = (&entry.dependencies, &entry.unresolved);
    if unchanged == (&resolution.dependencies, &resolution.unresolved) {
        return Ok(None);
    }
    overlay.put(entry_after(Some(&entry), id, &entry.revision, &resolution));
    Ok(Some(Event::EdgesResolved {
        component: id.clone(),
        dependencies: resolution.dependencies,
        unresolved: resolution.unresolved,
    }))
}
