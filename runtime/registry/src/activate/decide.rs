//! What an activation writes down, decided on the newest state.

use std::sync::Arc;

use domain::plan::{PlanError, plan_activation_in};
use domain::ports::StateView;
use domain::resolve::{NOTHING_EXPECTED, Overlay, resolve};
use domain::supervision::Quarantine;
use domain::{Bound, ComponentId, Edge, Entry, Event, Status, Version};

use super::select::Selection;
use crate::error::RegistryError;
use crate::fuse::Recipe;
use crate::names::unknown;
use crate::register::{entry_after, resolve_dependents, resolve_waiting, touched_keys, without_circles};
use crate::report::ActivateReport;

/// What starting an instance took.
#[derive(Clone, Copy)]
pub(super) struct Started {
    pub(super) duration: std::time::Duration,
    pub(super) fuel: u64,
    pub(super) attempts: u32,
}

/// A component that is started, and waits for being said to be active.
pub(super) struct Ready {
    /// The entry that it was prepared from.
    pub(super) entry: Arc<Entry>,
    /// What it is made of, where that is more than itself.
    pub(super) recipe: Option<Recipe>,
    pub(super) started: Started,
    /// Whether somebody asked for it by name.
    pub(super) asked: bool,
}

/// Returns an entry and the number of its newest revision of a version.
pub(super) fn newest_of(
    view: &dyn StateView,
    id: &ComponentId,
    version: &Version,
) -> Result<(Arc<Entry>, u32), RegistryError> {
    let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
    let revisions = view.revisions(id)?;
    match revisions.iter().rev().find(|revision| revision.version == *version) {
        Some(revision) => Ok((entry, revision.number)),
        None => Err(RegistryError::VersionNotFound {
            component: id.clone(),
            version: version.clone(),
            known: revisions.iter().map(|revision| revision.version.clone()).collect(),
        }),
    }
}

/// Returns `id`'s entry as it will be once it points to revision `number`.
pub(super) fn replaced_entry(view: &dyn StateView, id: &ComponentId, number: u32) -> Result<Entry, RegistryError> {
    let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
    let revision = view.revision(id, number)?.ok_or_else(|| RegistryError::Changed { component: id.clone() })?;
    let (events, overlay) = revision_decided(view, &entry, number)?;
    let after = overlay.entry(id)?.ok_or_else(|| RegistryError::Changed { component: id.clone() })?;
    if let Some(unresolved) = after.unresolved.first() {
        return Err(PlanError::of_unresolved(id, unresolved, &[]).into());
    }
    // Said before anything of the new revision runs.
    leaves_nobody_behind(view, id, &revision.version, &events)?;
    Ok(Arc::unwrap_or_clone(after))
}

/// Checks that no active component loses an import by the events that put another revision of `id` in service.
pub(super) fn leaves_nobody_behind(
    view: &dyn StateView,
    id: &ComponentId,
    version: &Version,
    events: &[Event],
) -> Result<(), RegistryError> {
    let mut dependents = Vec::new();
    for event in events {
        if let Event::EdgesResolved { component, dependencies, unresolved } = event
            && view.entry(component)?.is_some_and(|entry| {
                entry.status == Status::Active && (!unresolved.is_empty() || is_torn(&entry, dependencies))
            })
        {
            dependents.push(component.clone());
        }
    }
    if dependents.is_empty() {
        return Ok(());
    }
    dependents.sort();
    Err(PlanError::LeavesBehind { component: id.clone(), version: version.clone(), dependents }.into())
}

/// Tells whether an entry is fused with something that `edges` lead away from: it has the code of the revision in service.
fn is_torn(entry: &Entry, edges: &[Edge]) -> bool {
    let fused = |on: &ComponentId| entry.fusion.as_ref().is_some_and(|fusion| fusion.with.contains(&on.entry()));
    edges.iter().any(|edge| edge.on.is_beside() && fused(&edge.on))
}

/// Decides what an activation of revision `number` begins with. Only an entry that is not active, and a revision that could be
/// activated, lead to events.
pub(super) fn decide_selection(
    view: &dyn StateView,
    entry: &Entry,
    number: u32,
) -> Result<(Vec<Event>, Selection), RegistryError> {
    if number == entry.revision.number {
        return Ok((Vec::new(), Selection::Current));
    }
    if entry.status == Status::Active {
        return Ok((Vec::new(), Selection::Replaces(number)));
    }
    let (events, after) = revision_decided(view, entry, number)?;
    // Of what needs the component, some may not go with that revision.
    let plan = plan_activation_in(&after, std::slice::from_ref(&entry.id))?;
    if plan.waves.iter().flatten().any(|id| *id == entry.id) {
        return Ok((events, Selection::Current));
    }
    Ok((Vec::new(), Selection::Refused(Box::new(ActivateReport::of_plan(plan)))))
}

/// Returns the events that let an entry point to revision `number`.
pub(crate) fn decide_revision(view: &dyn StateView, entry: &Entry, number: u32) -> Result<Vec<Event>, RegistryError> {
    revision_decided(view, entry, number).map(|(events, _)| events)
}

/// Returns the events that let an entry point to revision `number`, and the state as it is then.
fn revision_decided<'a>(
    view: &'a dyn StateView,
    entry: &Entry,
    number: u32,
) -> Result<(Vec<Event>, Overlay<'a>), RegistryError> {
    let id = &entry.id;
    let revision = view.revision(id, number)?.ok_or_else(|| RegistryError::Changed { component: id.clone() })?;
    let keys = touched_keys(id, revision.exports.iter().chain(&entry.revision.exports));
    without_circles(Overlay::new(view, &NOTHING_EXPECTED), &|mut overlay| {
        let resolution = resolve(&overlay, id, &revision, &entry.dependencies)?;
        overlay.put(entry_after(Some(entry), id, &revision, &resolution));
        let mut events = vec![Event::RevisionSelected {
            component: id.clone(),
            revision: revision.clone(),
            dependencies: resolution.dependencies,
            unresolved: resolution.unresolved,
        }];
        events.extend(resolve_dependents(view, &mut overlay, id)?);
        events.extend(resolve_waiting(view, &mut overlay, &keys)?);
        Ok((events, overlay))
    })
}

/// Returns the quarantine that ends because `prepared` was tried and did not fail, after checking that nothing it was prepared from has
/// changed.
pub(crate) fn decide_recovered(
    view: &dyn StateView,
    prepared: &Entry,
    recipe: Option<&Recipe>,
) -> Result<Quarantine, RegistryError> {
    let id = &prepared.id;
    let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
    let changed = || RegistryError::Changed { component: id.clone() };
    let is_same = entry.status == Status::Error
        && entry.revision.number == prepared.revision.number
        && entry.dependencies == prepared.dependencies
        && entry.grants == prepared.grants
        && entry.fusion == prepared.fusion;
    if !is_same || recipe.is_some_and(|recipe| !recipe.is_current(view).unwrap_or(false)) {
        return Err(changed());
    }
    needs_are_active(view, prepared)?;
    entry.quarantine().cloned().ok_or_else(changed)
}

fn needs_are_active(view: &dyn StateView, prepared: &Entry) -> Result<(), RegistryError> {
    for on in prepared.dependency_ids() {
        let status = view.entry(&on)?.map(|dependency| dependency.status);
        if status != Some(Status::Active) {
            let status = status.unwrap_or(Status::Discovered);
            return Err(RegistryError::NotActive { component: on, status });
        }
    }
    Ok(())
}

/// Returns the events that make `ready` active, after checking that nothing it was prepared from has changed.
pub(super) fn decide_active(view: &dyn StateView, ready: &Ready) -> Result<Vec<Event>, RegistryError> {
    let Ready { entry: prepared, recipe, started, asked } = ready;
    let id = &prepared.id;
    let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
    let mut events = Vec::new();
    let replaces = entry.revision.number != prepared.revision.number;
    if replaces {
        if entry.status != Status::Active || view.revision(id, prepared.revision.number)?.is_none() {
            return Err(RegistryError::Changed { component: id.clone() });
        }
        let selected = decide_revision(view, &entry, prepared.revision.number)?;
        leaves_nobody_behind(view, id, &prepared.revision.version, &selected)?;
        events.extend(selected);
    } else if entry.status == Status::Active || entry.dependencies != prepared.dependencies {
        return Err(RegistryError::Changed { component: id.clone() });
    }
    if entry.grants != prepared.grants || entry.fusion != prepared.fusion {
        return Err(RegistryError::Changed { component: id.clone() });
    }
    if let Some(recipe) = recipe
        && !recipe.is_current(view)?
    {
        return Err(RegistryError::Changed { component: id.clone() });
    }
    let lock = lock(view, prepared)?;
    let mut old_status = entry.status;
    if old_status == Status::Error {
        events.push(Event::ErrorsCleared { component: id.clone(), old_status, history: false });
        old_status = Status::Registered;
    }
    // Another revision of what is active is wanted as much as the one before.
    let before = entry.activation.as_ref().filter(|_| replaces && !asked);
    events.push(Event::Activated {
        component: id.clone(),
        old_status,
        revision: prepared.revision.number,
        duration_us: u64::try_from(started.duration.as_micros()).unwrap_or(u64::MAX),
        fuel: started.fuel,
        asked: before.map_or(Some(*asked), |before| before.asked),
        lock,
    });
    Ok(events)
}

/// Returns what each need of an entry is bound to now; all of them have to be active.
fn lock(view: &dyn StateView, entry: &Entry) -> Result<Vec<Bound>, RegistryError> {
    let mut lock = Vec::with_capacity(entry.dependencies.len());
    for edge in entry.dependencies.iter() {
        let on = &edge.on;
        let found = view.entry(on)?;
        let status = found.as_ref().map_or(Status::Discovered, |found| found.status);
        let Some(found) = found.filter(|found| found.status == Status::Active) else {
            return Err(RegistryError::NotActive { component: on.clone(), status });
        };
        let (revision, version) = (found.revision.number, found.revision.version.clone());
        lock.push(Bound { edge: edge.clone(), revision, version });
    }
    Ok(lock)
}
