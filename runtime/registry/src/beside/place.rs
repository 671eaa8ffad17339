//! Units of revisions beside those in service: how they get there, and how they end.

use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use domain::ports::{BoxFuture, Drain, StateView, StorageError, Unit};
use domain::reduce::index;
use domain::{ComponentId, Edge, Entry, Event, Record, Status};

use crate::Registry;

/// How often at least it is looked whether anybody still calls a unit that is to end.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Returns the revisions of an entry beside the one in service, ordered by id.
pub(crate) fn besides(view: &dyn StateView, id: &ComponentId) -> Result<Vec<Arc<Entry>>, StorageError> {
    let mut found = Vec::new();
    for beside in view.find(index::BESIDE, id.as_str())? {
        found.extend(view.entry(&beside)?);
    }
    Ok(found)
}

/// Returns those that have an edge to `id` or to a revision beside it, ordered, each once.
pub(crate) fn dependents_of_all(view: &dyn StateView, id: &ComponentId) -> Result<Vec<ComponentId>, StorageError> {
    let mut dependents = view.dependents(id)?;
    for beside in view.find(index::BESIDE, id.as_str())? {
        dependents.extend(view.dependents(&beside)?);
    }
    dependents.sort();
    dependents.dedup();
    Ok(dependents)
}

impl Registry {
    /// Lets `old`, the unit of a revision that another one replaces, go on in a place of its own, if `records` say that it stays active; those
    /// that need it are led there. Returns its id. To be called before the place that it had is turned, so that nobody who needs it
    /// ever finds the other one.
    pub(crate) fn move_beside(
        &self,
        id: &ComponentId,
        old: Option<&Arc<dyn Unit>>,
        records: &[Arc<Record>],
    ) -> Option<ComponentId> {
        let beside = records.iter().find_map(|record| match &record.event {
            Event::SetBeside { component, kept: Some(_), .. } if component.is_same_entry(id) => Some(component),
            _ => None,
        })?;
        // Without an instance here, it is made ready when it is called.
        if let Some(old) = old
            && let Ok(Some(entry)) = self.entry_now(beside)
        {
            self.turn(&entry, Arc::clone(old));
            // What ends goes on with the revision that it was linked to.
            let (from, to) = (self.slot(id), self.slot(beside));
            self.inner.retiring.linked_to(&from).iter().for_each(|unit| unit.lead(&from, &to));
            for record in records {
                if let Event::EdgesResolved { component, dependencies, .. } = &record.event
                    && dependencies.iter().any(|edge| edge.on == *beside)
                {
                    self.is_linked_as(component, dependencies);
                }
            }
        }
        Some(beside.clone())
    }

    /// Makes those ready to which `edges` lead, as far as they are active: a unit can be led there only then.
    ///
    /// Boxed: making one ready may write a failure, and every change may lead here.
    pub(crate) fn make_ready<'a>(&'a self, edges: &'a [Edge]) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            for edge in edges.iter().filter(|edge| !edge.is_declared()) {
                let is_active = |entry: Arc<Entry>| entry.status == Status::Active;
                if self.entry_now(&edge.on).ok().flatten().is_some_and(is_active) {
                    // Whoever calls it is told why it is not there.
                    let _ = self.unit(&edge.on).await;
                }
            }
        })
    }

    /// Ends the unit of a revision beside the one in service that is not active any more, once those have ended that were linked to it: what
    /// they have begun may call it until then. In a task, which ends with the last of them.
    pub(crate) fn retire_beside(&self, id: &ComponentId) {
        let Some(unit) = self.unit_in_service(id) else {
            self.forget_beside(id);
            return;
        };
        let (inner, id) = (Arc::downgrade(&self.inner), id.clone());
        tokio::spawn(async move {
            let upgrade = |inner: &Weak<_>| inner.upgrade().map(Self::of_system);
            let Some(registry) = upgrade(&inner) else { return };
            // Whoever activates it again waits for its end.
            let _life = registry.inner.life.lock(&id).await;
            drop(registry);
            loop {
                let Some(registry) = upgrade(&inner) else { return };
                let retiring = Arc::clone(&registry.inner.retiring);
                let mut ended = std::pin::pin!(retiring.ended());
                ended.as_mut().enable();
                if !registry.is_needed_at(&id, &unit) {
                    registry.end_beside(&id, &unit).await;
                    return;
                }
                drop(registry);
                // Nothing more than a look around follows if nobody tells before.
                let _told = tokio::time::timeout(LOOK_EVERY, ended).await;
            }
        });
    }

    async fn end_beside(&self, id: &ComponentId, unit: &Arc<dyn Unit>) {
        let slot = self.slot(id);
        if slot.unit().is_some_and(|now| Arc::ptr_eq(&now, unit)) {
            slot.turn(None);
        }
        unit.retire();
        let drain = self.entry_now(&id.entry()).ok().flatten().map_or(Duration::ZERO, |entry| self.drain_time(&entry));
        self.retire(Arc::clone(unit), Drain::all(drain));
        self.forget_beside(id);
    }

    /// Forgets what is kept in mind of a revision that is not beside another one any more.
    fn forget_beside(&self, id: &ComponentId) {
        if let Ok(None) = self.entry_now(id) {
            let mut places = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner);
            if places.get(id).is_some_and(|place| place.slot.unit().is_none()) {
                places.remove(id);
            }
            drop(places);
            self.inner.tracker.forget(id);
            self.inner.supervisor.forget(id);
        }
    }

    /// Tells whether a unit that is in service, or has not ended yet, may call `unit` in the place of `id`.
    fn is_needed_at(&self, id: &ComponentId, unit: &Arc<dyn Unit>) -> bool {
        let places = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(slot) = places.get(id).map(|place| Arc::clone(&place.slot)) else { return false };
        // Another one came there meanwhile: nobody finds this one any more.
        if !slot.unit().is_some_and(|now| Arc::ptr_eq(&now, unit)) {
            return false;
        }
        let is_linked = places.values().any(|user| user.leads_to(id) && user.slot.unit().is_some());
        drop(places);
        is_linked || !self.inner.retiring.linked_to(&slot).is_empty()
    }
}
