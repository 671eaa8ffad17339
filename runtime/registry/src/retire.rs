//! Units whose place another took: they end when their calls have ended and nobody holds handles of them, or when their time is up.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ports::{Drain, Slot, Unit};
use domain::{ComponentId, Entry};
use tokio::sync::Notify;

use crate::Registry;

/// Most units of one component that may be ending at once; a swap beyond it waits until one of them has ended.
const RETIRING_MAX: usize = 8;

/// Longer than any call lasts: each has a deadline of its own.
const AS_LONG_AS_IT_TAKES: Duration = Duration::from_secs(365 * 24 * 3_600);

/// The units that are ending, by component.
#[derive(Default)]
pub(crate) struct Retiring {
    units: Mutex<HashMap<ComponentId, Vec<Arc<dyn Unit>>>>,
    /// Units that are being stopped.
    leaving: Mutex<Vec<Arc<dyn Unit>>>,
    /// Told of each that has ended.
    ended: Notify,
}

/// Says that a unit is being stopped, until it is dropped.
pub(crate) struct Leaving<'a> {
    retiring: &'a Retiring,
    unit: Arc<dyn Unit>,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        let mut leaving = self.retiring.leaving.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = leaving.iter().position(|unit| Arc::ptr_eq(unit, &self.unit)) {
            leaving.swap_remove(place);
        }
        drop(leaving);
        self.retiring.tell();
    }
}

impl Retiring {
    /// Notes a unit that is out of its place.
    pub(crate) fn add(&self, unit: &Arc<dyn Unit>) {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        let of_id = units.entry(unit.id().clone()).or_default();
        if !of_id.iter().any(|known| Arc::ptr_eq(known, unit)) {
            of_id.push(Arc::clone(unit));
        }
    }

    /// Says that a unit is about to be stopped.
    pub(crate) fn leave(&self, unit: &Arc<dyn Unit>) -> Leaving<'_> {
        self.leaving.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(unit));
        Leaving { retiring: self, unit: Arc::clone(unit) }
    }

    /// Returns the units that are ending and may still call what is in `place`.
    pub(crate) fn linked_to(&self, place: &Arc<Slot>) -> Vec<Arc<dyn Unit>> {
        let mut units = self.all();
        units.extend(self.leaving.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned());
        units.retain(|unit| unit.leads_to(place));
        units
    }

    /// Waits until none of `units` is ending any more.
    async fn all_ended(&self, units: &[Arc<dyn Unit>]) {
        for unit in units {
            loop {
                let mut ended = std::pin::pin!(self.ended.notified());
                ended.as_mut().enable();
                let is_same = |other: &Arc<dyn Unit>| Arc::ptr_eq(other, unit);
                let is_leaving = self.leaving.lock().unwrap_or_else(PoisonError::into_inner).iter().any(is_same);
                if !is_leaving && !self.all().iter().any(is_same) {
                    break;
                }
                ended.await;
            }
        }
    }

    /// Has those look anew who wait for an end.
    pub(crate) fn tell(&self) {
        self.ended.notify_waiters();
    }

    /// Tells, once it is awaited or enabled, when another unit has ended.
    pub(crate) fn ended(&self) -> tokio::sync::futures::Notified<'_> {
        self.ended.notified()
    }

    fn remove(&self, unit: &Arc<dyn Unit>) {
        let mut units = self.units.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(of_id) = units.get_mut(unit.id()) {
            of_id.retain(|other| !Arc::ptr_eq(other, unit));
            if of_id.is_empty() {
                units.remove(unit.id());
            }
        }
        drop(units);
        self.tell();
    }

    fn of(&self, id: &ComponentId) -> Vec<Arc<dyn Unit>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner).get(id).cloned().unwrap_or_default()
    }

    fn all(&self) -> Vec<Arc<dyn Unit>> {
        self.units.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().cloned().collect()
    }

    /// Waits until another unit of `id` may begin to end.
    pub(crate) async fn room_for(&self, id: &ComponentId) {
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            if self.of(id).len() < RETIRING_MAX {
                return;
            }
            ended.await;
        }
    }
}

impl Registry {
    /// Returns how long what a revision has begun goes on when another takes its place.
    pub(crate) fn drain_time(&self, entry: &Entry) -> Duration {
        self.effective_instances(entry).drain()
    }

    /// Lets a unit end that was settled: in a task, which ends when the time is up at the latest, or with [`Registry::close`].
    pub(crate) fn retire(&self, unit: Arc<dyn Unit>, time: Drain) {
        self.retire_after(unit, Vec::new(), time);
    }

    /// As [`Self::retire`], after `callers` have ended: they have begun something for which they call it.
    pub(crate) fn retire_after(&self, unit: Arc<dyn Unit>, callers: Vec<Arc<dyn Unit>>, time: Drain) {
        self.inner.retiring.add(&unit);
        let inner = Arc::downgrade(&self.inner);
        let tracker = self.inner.tracker.clone();
        let retiring = self.inner.retiring.clone();
        tokio::spawn(async move {
            if !callers.is_empty() {
                retiring.all_ended(&callers).await;
                unit.retire();
            }
            unit.drain(time).await;
            tracker.room.dropped();
            if let Some(inner) = inner.upgrade() {
                inner.retiring.remove(&unit);
            }
        });
    }

    /// Ends what is left of earlier revisions of `id`: running calls are waited for, handles are not.
    pub(crate) async fn end_retiring(&self, id: &ComponentId) {
        end_all(self.inner.retiring.of(id)).await;
    }

    /// As [`Self::end_retiring`], of all components.
    pub(crate) async fn end_all_retiring(&self) {
        end_all(self.inner.retiring.all()).await;
    }
}

async fn end_all(units: Vec<Arc<dyn Unit>>) {
    for unit in units {
        unit.drain(Drain { calls: AS_LONG_AS_IT_TAKES, handles: Duration::ZERO }).await;
    }
}
