//! Putting an active component in service again with the grants that it has now, made of what it is to be made of now.

use std::sync::Arc;
use std::time::Duration;

use domain::ports::{BoxFuture, Drain, TakeOver};
use domain::{ComponentId, Status};

use crate::Registry;
use crate::instances::Prepared;

/// How often a component is prepared again that others go on changing; then it waits, out of service, for whoever needs it.
const TRIES_MAX: usize = 4;

/// Why a unit is made anew.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Renewal {
    /// Its component may do something else than before: handles of the old one end at once.
    Authority,
    /// It is made of something else: what the old one has begun goes on.
    Code,
}

impl Registry {
    /// Puts a unit with the newest grants and parts in the place of the one in service, if there is one. Calls that begin when this has ended
    /// find the new one; where that cannot be made, none: the next call says why.
    ///
    /// Boxed: a failure that is recorded is a change, and every change may lead here. Takes no lock that a hook may run under.
    pub(crate) fn renew<'a>(&'a self, id: &'a ComponentId, why: Renewal) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            if self.unit_in_service(id).is_none() {
                return;
            }
            let _preparing = self.inner.preparing.lock(id).await;
            for _ in 0..TRIES_MAX {
                if self.renew_once(id, why).await {
                    return;
                }
            }
            self.out_of_service(id).await;
        })
    }

    /// Tries it once; `false` if the component was changed meanwhile.
    async fn renew_once(&self, id: &ComponentId, why: Renewal) -> bool {
        let as_of = self.last_seq();
        let (Some(old), Ok(Some(entry))) = (self.unit_in_service(id), self.entry_now(id)) else { return false };
        if entry.status != Status::Active {
            // Whoever stops it takes the unit out.
            return true;
        }
        if self.check_instances(&entry).is_err() {
            // The next call says why.
            self.out_of_service(id).await;
            return true;
        }
        // Those that it imports from are in service, as they were when it was linked.
        let Ok(Prepared { unit, recipe }) = self.prepare(&entry).await else {
            self.out_of_service(id).await;
            return true;
        };
        let drain = self.drain_time(&entry);
        // It gets an instance, and what that remembers, if the old one has one.
        let how = TakeOver { wait: drain, is_lazy: true };
        let Ok(handover) = unit.take_over(Some(&*old), how).await else {
            self.out_of_service(id).await;
            return true;
        };
        self.made_instances(&*unit);
        if !self.is_unchanged(&entry, recipe.as_ref(), as_of).unwrap_or(false) {
            drop(handover);
            unit.stop().await;
            return false;
        }
        self.turn(&entry, Arc::clone(&unit));
        handover.settle();
        match why {
            // Nothing goes on for longer than its call with what the component may no longer do.
            Renewal::Authority => {
                old.drain(Drain { calls: drain, handles: Duration::ZERO }).await;
                self.inner.tracker.room.dropped();
            }
            Renewal::Code => self.retire(old, Drain::all(drain)),
        }
        // Changed while it was put there: whoever did that may not have found it.
        self.is_unchanged(&entry, recipe.as_ref(), as_of).unwrap_or(false)
    }
}
