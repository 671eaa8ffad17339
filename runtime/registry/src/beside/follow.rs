//! What follows from a decision for revisions beside those in service, decided with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::event::{EVENT_VERSION, Kept};
use domain::ports::StateView;
use domain::reduce::{self, index};
use domain::resolve::{NOTHING_EXPECTED, Overlay, closed_cycle};
use domain::{Actor, ComponentId, Edge, Entry, Event, Record, Revision, Status, Timestamp};

use crate::error::RegistryError;

/// Why a revision beside the one in service goes out of service.
const UNNEEDED: &str = "nothing that is active needs it any more";

/// Returns what has to be written along with `events`, so that what holds of revisions beside those in service goes on holding:
///
/// - One is there as long as an edge leads to it.
/// - It is active only as long as somebody needs it who is active or in quarantine.
/// - It has the grants of its entry.
///
/// One that leaves its place while it is active, and that is needed by somebody active, stays active beside the one that comes. Costs a look
/// at the entries that the events are about, and no more where none of them has to do with such a revision.
///
/// # Errors
/// [`RegistryError::Storage`]; [`RegistryError::Cycle`] if a revision that is to be set there needs itself.
pub(crate) fn follow(view: &dyn StateView, events: &[Event]) -> Result<Vec<Event>, RegistryError> {
    let mut ahead = Ahead::new(view);
    let mut open = BTreeSet::new();
    for event in events {
        ahead.mirror_grants(event)?;
    }
    if !is_any_concerned(view, events)? {
        return Ok(ahead.more);
    }
    for event in events {
        match event {
            _ if may_concern(event) => open.extend(ahead.apply(event)?),
            // It tells how those stand that are concerned.
            Event::Activated { .. } => drop(ahead.apply(event)?),
            _ => {}
        }
    }
    ahead.settle_all(open)
}

/// Returns what sets revisions beside those in service, as far as they are not there, for somebody who is about to need them.
///
/// # Errors
/// As [`follow`].
pub(crate) fn set(view: &dyn StateView, ids: &[ComponentId]) -> Result<Vec<Event>, RegistryError> {
    let mut ahead = Ahead::new(view);
    let mut open = BTreeSet::new();
    for id in ids {
        if ahead.entry(id)?.is_none() {
            ahead.set(id, false, &mut open)?;
        }
    }
    ahead.settle_all(open)
}

/// Returns what takes those of `ids` away, or out of service, that nobody needs.
///
/// # Errors
/// As [`follow`].
pub(crate) fn settle(view: &dyn StateView, ids: &[ComponentId]) -> Result<Vec<Event>, RegistryError> {
    Ahead::new(view).settle_all(ids.iter().cloned().collect())
}

/// Tells whether edges to revisions beside others come, go, or are of somebody who comes or goes.
fn is_any_concerned(view: &dyn StateView, events: &[Event]) -> Result<bool, RegistryError> {
    let leads_there = |edges: &[Edge]| edges.iter().any(|edge| edge.on.is_beside());
    for event in events.iter().filter(|event| may_concern(event)) {
        let comes = match event {
            Event::Registered { dependencies, .. }
            | Event::RevisionSelected { dependencies, .. }
            | Event::EdgesResolved { dependencies, .. } => leads_there(dependencies),
            Event::EdgeAdded { edge, .. } => edge.on.is_beside(),
            _ => false,
        };
        if comes {
            return Ok(true);
        }
        if let Some(id) = event.component()
            && view.entry(id)?.is_some_and(|entry| leads_there(&entry.dependencies))
        {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Tells whether an event can change who needs what.
fn may_concern(event: &Event) -> bool {
    matches!(
        event,
        Event::Registered { .. }
            | Event::Unregistered { .. }
            | Event::RevisionSelected { .. }
            | Event::EdgesResolved { .. }
            | Event::EdgeAdded { .. }
            | Event::EdgeRemoved { .. }
            | Event::Deactivated { .. }
            | Event::Errored { .. }
            | Event::ErrorsCleared { .. }
    )
}

/// The state after some events that are not written yet, and those that follow from them.
struct Ahead<'a> {
    view: &'a dyn StateView,
    changed: BTreeMap<ComponentId, Option<Arc<Entry>>>,
    more: Vec<Event>,
    /// Revisions that are registered by the events.
    registered: Vec<(ComponentId, Arc<Revision>)>,
}

impl<'a> Ahead<'a> {
    fn new(view: &'a dyn StateView) -> Self {
        Self { view, changed: BTreeMap::new(), more: Vec::new(), registered: Vec::new() }
    }

    /// Settles revisions and whatever that leads to, and returns all that follows.
    fn settle_all(mut self, mut open: BTreeSet<ComponentId>) -> Result<Vec<Event>, RegistryError> {
        while let Some(id) = open.pop_first() {
            self.settle(&id, &mut open)?;
        }
        Ok(self.more)
    }

    fn entry(&self, id: &ComponentId) -> Result<Option<Arc<Entry>>, RegistryError> {
        match self.changed.get(id) {
            Some(entry) => Ok(entry.clone()),
            None => Ok(self.view.entry(id)?),
        }
    }

    /// Applies an event and returns the revisions beside others to which edges of its component lead, or led.
    fn apply(&mut self, event: &Event) -> Result<Vec<ComponentId>, RegistryError> {
        let Some(id) = event.component() else { return Ok(Vec::new()) };
        if let Event::Registered { revision, .. } = event {
            self.registered.push((id.clone(), revision.clone()));
        }
        let before = self.entry(id)?;
        // What the record would say besides is not looked at.
        let (seq, at, actor, version) = (self.view.last_seq() + 1, Timestamp::default(), Actor::System, EVENT_VERSION);
        let record = Record { seq, at, actor, version, event: event.clone() };
        let after = reduce::apply(&record, before.as_deref().cloned()).map(Arc::new);
        let both = before.iter().chain(&after).flat_map(|entry| entry.dependencies.iter());
        let led: Vec<_> = both.filter(|edge| edge.on.is_beside()).map(|edge| edge.on.clone()).collect();
        self.changed.insert(id.clone(), after);
        Ok(led)
    }

    /// Writes an event that follows, and applies it.
    fn write(&mut self, event: Event, open: &mut BTreeSet<ComponentId>) -> Result<(), RegistryError> {
        open.extend(self.apply(&event)?);
        self.more.push(event);
        Ok(())
    }

    /// Lets revisions beside the one in service have what their entry is granted.
    fn mirror_grants(&mut self, event: &Event) -> Result<(), RegistryError> {
        let (Event::Granted { component, .. } | Event::Revoked { component, .. }) = event else { return Ok(()) };
        for id in self.view.find(index::BESIDE, component.as_str())? {
            self.more.push(match event.clone() {
                Event::Granted { grants, rule, .. } => Event::Granted { component: id, grants, rule },
                Event::Revoked { grants, .. } => Event::Revoked { component: id, grants },
                _ => continue,
            });
        }
        Ok(())
    }

    /// Returns those that have an edge to `id`.
    fn dependents(&self, id: &ComponentId) -> Result<Vec<Arc<Entry>>, RegistryError> {
        let leads_there = |entry: &Entry| entry.dependencies.iter().any(|edge| edge.on == *id);
        let mut found: Vec<_> = self.changed.values().flatten().filter(|entry| leads_there(entry)).cloned().collect();
        for dependent in self.view.dependents(id)? {
            if !self.changed.contains_key(&dependent) {
                found.extend(self.view.entry(&dependent)?);
            }
        }
        Ok(found)
    }

    /// Sees to it that the revision `id` is there if an edge leads to it and gone if none does, and not active if nobody needs it.
    fn settle(&mut self, id: &ComponentId, open: &mut BTreeSet<ComponentId>) -> Result<(), RegistryError> {
        let dependents = self.dependents(id)?;
        let is_needed = dependents.iter().any(|dependent| is_in_need(dependent));
        let known = self.entry(id)?;
        match known {
            None if dependents.is_empty() => Ok(()),
            None => self.set(id, is_needed, open),
            Some(entry) => {
                if entry.status == Status::Active && !is_needed {
                    let (component, old_status) = (id.clone(), entry.status);
                    let reason = Some(UNNEEDED.to_owned());
                    self.write(Event::Deactivated { component, old_status, reason, lost: None }, open)?;
                }
                if dependents.is_empty() {
                    self.write(Event::LeftBeside { component: id.clone() }, open)?;
                }
                Ok(())
            }
        }
    }

    fn set(
        &mut self,
        id: &ComponentId,
        is_needed: bool,
        open: &mut BTreeSet<ComponentId>,
    ) -> Result<(), RegistryError> {
        let mut overlay = Overlay::new(self.view, &NOTHING_EXPECTED);
        for (changed, entry) in &self.changed {
            match entry {
                Some(entry) => overlay.put(Entry::clone(entry)),
                None => overlay.remove(changed),
            }
        }
        for (of, revision) in &self.registered {
            overlay.add_revision(of, revision.clone());
        }
        let Some((entry, is_kept)) = overlay.set_beside(id)? else { return Ok(()) };
        if let Some(cycle) = closed_cycle(&overlay, id, &entry.dependencies)? {
            return Err(RegistryError::Cycle { cycle });
        }
        let kept =
            (is_kept && is_needed).then(|| Kept { activation: entry.activation.clone(), state: entry.state.clone() });
        let event = Event::SetBeside {
            component: id.clone(),
            revision: entry.revision,
            dependencies: Arc::unwrap_or_clone(entry.dependencies),
            unresolved: entry.unresolved,
            grants: entry.grants,
            kept: kept.map(Box::new),
        };
        self.write(event, open)
    }
}

/// Tells whether an entry keeps what it needs active.
fn is_in_need(entry: &Entry) -> bool {
    // One in quarantine comes back by itself.
    entry.status == Status::Active || entry.quarantine().is_some()
}
