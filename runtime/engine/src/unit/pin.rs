//! Instances of which others hold handles.

use std::pin::pin;
use std::sync::Arc;

use domain::call::Caller;
use domain::failure::FailureKind;
use domain::{Failure, Phase};
use wasmtime::component::ResourceAny;

use super::enter::{Entrance, Stopped, bounded};
use super::{ComponentUnit, Live};
use crate::epoch::Deadline;
use crate::resource::{Held, Tether};

/// How many times as many instances as may serve calls may exist, where each call gets its own and others hold handles of it.
const HELD_FACTOR: usize = 4;

impl ComponentUnit {
    /// Drops a handle of a resource that this component made, in the instance that made it; its destructor runs.
    ///
    /// It counts as held until the instance is there: one that is on its way out waits for those who hold handles of it.
    pub(crate) async fn drop_handle(&self, held: &Held, entrance: &Entrance<'_>) -> Result<(), Box<Failure>> {
        let (deadline, time) = self.deadline(entrance);
        let (turn, live) = match self.wait(entrance, deadline, time).await {
            Ok(turn) => turn,
            // With its instance, the resource is gone already.
            Err(Stopped::Failed(_)) if held.tether.is_gone() => return Ok(()),
            Err(Stopped::Failed(failure)) => return Err(failure),
            // Who asks for one instance gets that one, or hears that it is gone.
            Err(Stopped::Replaced) => return Ok(()),
        };
        let Some(mut live) = live else { return Ok(()) };
        let Some(handle) = held.give_back() else {
            self.put(live, turn).await;
            return Ok(());
        };
        match self.drop_one(&mut live, handle, entrance.caller, deadline).await {
            Ok(()) => {
                self.put(live, turn).await;
                Ok(())
            }
            Err(failure) => {
                self.shared.observer.failed((*failure).clone());
                Err(failure)
            }
        }
    }

    /// Drops the handles of an instance whose holders went away; `None` if one of them could not be, and the instance is gone.
    pub(super) async fn drop_orphans(&self, mut live: Box<Live>) -> Option<Box<Live>> {
        let nobody = Arc::<Caller>::default();
        for handle in live.store.data().tether().take_orphans() {
            let deadline = Deadline::after(self.spec.limits.deadline());
            if let Err(failure) = self.drop_one(&mut live, handle, &nobody, deadline).await {
                self.shared.observer.failed(*failure);
                return None;
            }
        }
        Some(live)
    }

    /// Drops the handles of one instance that nobody holds any more, as soon as it is free.
    pub(crate) async fn settle(&self, tether: Arc<Tether>) {
        let deadline = Deadline::after(self.spec.limits.deadline());
        // One that is busy for longer drops them before its next call.
        let Ok((turn, live)) = self.shelf.pinned(&tether, deadline).await else { return };
        // Not one of those who hold handles.
        drop(tether);
        if let Some(live) = self.drop_orphans(live).await {
            self.put(live, turn).await;
        }
    }

    async fn drop_one(
        &self,
        live: &mut Box<Live>,
        handle: ResourceAny,
        caller: &Arc<Caller>,
        deadline: Deadline,
    ) -> Result<(), Box<Failure>> {
        let (fuel, time) = (self.spec.limits.fuel, self.spec.limits.deadline());
        let dropped = match live.begin(fuel, caller, (deadline, time), false) {
            Ok(()) => bounded(deadline, pin!(handle.resource_drop_async(&mut live.store))).await,
            Err(error) => Err(error),
        };
        live.end_output();
        dropped.map_err(|error| {
            let used = fuel.saturating_sub(live.fuel_left());
            let allowed = self.allowed(fuel, time, live);
            let failure = self.scene(caller).trap(Phase::Call, &error, &allowed, Some(used));
            Box::new(Failure { function: Some("[resource-drop]".to_owned()), ..failure })
        })
    }

    /// Refuses to make another instance for a call of its own while too many are kept for those who hold their handles.
    pub(super) fn admit_another(&self, entrance: &Entrance<'_>) -> Result<(), Box<Failure>> {
        let live = self.shelf.herd().count();
        if !self.is_per_call() || live < self.shelf.most().saturating_mul(HELD_FACTOR) {
            return Ok(());
        }
        let message =
            format!("{live} instances are kept for those who hold handles of them, no more may be (`instances.max`)");
        Err(Box::new(self.scene(entrance.caller).failure(Phase::Call, FailureKind::Exhausted, &message)))
    }
}
