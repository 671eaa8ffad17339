//! Putting another revision of an active component in service, while it is called.

use std::sync::Arc;

use domain::entry::StateRef;
use domain::ports::{Beside, Drain, Durability, Settled, Slot, TakeOver, Unit};
use domain::{ComponentId, Entry, Failure, FailureKind, Phase, Record, Status};
use tokio::sync::OwnedMutexGuard;

use super::decide::{Started, replaced_entry};
use crate::Registry;
use crate::error::RegistryError;
use crate::instances::Prepared;
use crate::names::{Target, unknown};
use crate::report::{ActivateReport, Activated, KeptBeside, Swapped};
use crate::state_keeper::Keeper;

/// A revision that is linked and about to take the place of another.
struct Swap {
    /// The entry as it was.
    before: Arc<Entry>,
    /// The entry as it will be.
    after: Arc<Entry>,
    prepared: Prepared,
    /// When it began.
    begun: domain::Timestamp,
    /// Two swaps of one component come one after the other.
    _life: OwnedMutexGuard<()>,
}

impl Registry {
    /// Replaces the active revision of `id` by another one. On any failure the active one stays, and has served all the while.
    pub(super) async fn replace_active(&self, id: &ComponentId, number: u32, report: &mut ActivateReport) {
        match self.try_replace(id, number, report).await {
            Ok(Some(activated)) => {
                report.order.push(id.clone());
                report.waves.push(vec![id.clone()]);
                report.activated.push(activated);
            }
            Ok(None) => report.already_active.push(id.clone()),
            Err(error) => report.failed.push((id.clone(), error)),
        }
    }

    /// As [`Self::replace_active`]; `None` if somebody else has put the revision in service meanwhile. What it needs is activated first, and
    /// is in the report whatever comes then.
    async fn try_replace(
        &self,
        id: &ComponentId,
        number: u32,
        report: &mut ActivateReport,
    ) -> Result<Option<Activated>, RegistryError> {
        let key = id.clone();
        let planned = self.read(move |view| replaced_entry(view, &key, number)).await?;
        let mut beside = planned.dependency_ids();
        beside.retain(ComponentId::is_beside);
        self.set_beside(&beside).await?;
        let replaced = self.replace_with_needs(id, number, &planned, report).await;
        if !matches!(replaced, Ok(Some(_))) {
            self.settle_beside(&beside).await?;
        }
        replaced
    }

    async fn replace_with_needs(
        &self,
        id: &ComponentId,
        number: u32,
        planned: &Entry,
        report: &mut ActivateReport,
    ) -> Result<Option<Activated>, RegistryError> {
        let needs: Vec<_> = planned.dependency_ids().into_iter().map(Target::from).collect();
        // Boxed: an activation may replace, a replacement activates.
        let dependencies = Box::pin(self.activate_now(&needs)).await;
        report.order.extend(dependencies.order);
        report.waves.extend(dependencies.waves);
        report.activated.extend(dependencies.activated);
        if let Some((_, error)) = dependencies.failed.into_iter().next() {
            return Err(error);
        }
        let life = self.inner.life.lock(id).await;
        let begun = self.inner.clock.now();
        let before = self.entry_now(id)?.ok_or_else(|| unknown(id))?;
        if before.status == Status::Active && before.revision.number == number {
            return Ok(None);
        }
        // Whoever was there first may have changed it.
        let key = id.clone();
        let after = Arc::new(self.read(move |view| replaced_entry(view, &key, number)).await?);
        self.check_instances(&after)?;
        self.room_for(id).await?;
        for hook in self.inner.hooks.before() {
            if let Err(reason) = hook(after.clone()).await {
                let message = format!("a pre-activation hook refused: {reason}");
                return Err(self.keep_old(self.failure(&after, Phase::Activate, FailureKind::Hook, &message)).await);
            }
        }
        self.prepare_imports(&after).await?;
        let prepared = match self.prepare(&after).await {
            Ok(prepared) => prepared,
            Err(failure) => return Err(self.keep_old(failure).await),
        };
        self.inner.retiring.room_for(id).await;
        let swap = Swap { before, after, prepared, begun, _life: life };
        // A task: whoever asked may go away, but not between what is written and what serves.
        let registry = self.clone();
        match tokio::spawn(async move { registry.carry_out_swap(swap).await }).await {
            Ok(swapped) => swapped.map(Some),
            Err(died) => Err(RegistryError::Internal(format!("a swap died: {died}"))),
        }
    }

    /// Makes the new instance beside the old one, moves what it remembers, and turns the place.
    async fn carry_out_swap(&self, swap: Swap) -> Result<Activated, RegistryError> {
        let Swap { before, after, prepared, begun, _life } = swap;
        let id = &after.id;
        // Nobody else puts a unit of the component in service meanwhile.
        let preparing = self.inner.preparing.lock(id).await;
        let old = self.slot(id).unit();
        let drain = self.drain_time(&before);
        let unit = Arc::clone(&prepared.unit);
        // Calls will wait for the change to be written, so it does not wait for the disk: a power cut right after it leaves the old
        // revision, as one right before it does.
        let wanted = self.durability.unwrap_or_else(|| self.settings().durability);
        let quick = self.with_durability(Some(wanted.min(Durability::Process)));
        if wanted > Durability::Process {
            self.inner.state.relax().await?;
        }
        let how = TakeOver { wait: drain, is_lazy: self.own_instances(&after).is_lazy() };
        let handover = match unit.take_over(old.as_deref(), how).await {
            Ok(handover) => handover,
            Err(failure) => return Err(self.keep_old(failure).await),
        };
        self.made_instances(&*unit);
        let duration = self.inner.clock.now().since(begun);
        let started = Started { duration, fuel: handover.started().fuel, attempts: 1 };
        let state = handover.state();
        let saved = self.entry_now(id)?.and_then(|entry| entry.state.clone());
        let (mut settled, mut kept, mut callers) = (Settled::default(), None, Vec::new());
        let turn = |registry: &Self, records: &[Arc<Record>]| {
            kept = registry.move_beside(id, old.as_ref(), records);
            if let (None, Some(old)) = (&kept, &old) {
                // Before anybody hears of it who might end what the old one still calls.
                registry.inner.retiring.add(old);
                callers = registry.go_on_with(id, old);
            }
            registry.turn(&after, Arc::clone(&prepared.unit));
            settled = match &kept {
                Some(beside) => {
                    let state = before.revision.has_lifecycle("state");
                    let state = state.then(|| Arc::new(Keeper::new(registry, beside)) as _);
                    handover.leave_beside(Beside { id: beside.clone(), state })
                }
                None if callers.is_empty() => handover.settle(),
                None => handover.leave_beside(Beside { id: id.clone(), state: None }),
            };
        };
        if let Err(error) = quick.commit_active(&after, prepared.recipe.as_ref(), started, turn).await {
            // The one in service goes on; nothing of this one is kept.
            unit.stop().await;
            return Err(error);
        }
        let swapped = Swapped {
            from: before.revision.version.clone(),
            from_revision: before.revision.number,
            moved_bytes: state.as_ref().map(|state| state.len() as u64),
            paused: settled.paused,
            running: settled.running,
            kept: None,
        };
        if let Some(state) = state {
            if let Some(beside) = kept.as_ref().and_then(|id| self.entry_now(id).ok().flatten()) {
                self.keep_moved(&beside, &state, saved.clone()).await;
            }
            self.keep_moved(&after, &state, saved).await;
        }
        drop(preparing);
        if let Some(old) = old.filter(|_| kept.is_none()) {
            self.retire_after(old, callers, Drain::all(drain));
        }
        if wanted > Durability::Process {
            self.inner.state.secure(wanted).await?;
        }
        let activated = self.activated(&after, prepared.recipe.as_ref(), started).await?;
        let kept = match kept {
            Some(id) => Some(KeptBeside { needed_by: self.inner.state.dependents(&id)?, id }),
            None => None,
        };
        Ok(Activated { swapped: Some(Swapped { kept, ..swapped }), ..activated })
    }

    /// Lets units that are ending go on with `old`, which leaves the place of `id`: they were linked to that revision, and another one need
    /// not fit what they have begun. Returns them: it ends after them, and what it remembers by then is nobody's.
    fn go_on_with(&self, id: &ComponentId, old: &Arc<dyn Unit>) -> Vec<Arc<dyn Unit>> {
        let slot = self.slot(id);
        let ending = self.inner.retiring.linked_to(&slot);
        if !ending.is_empty() {
            let aside = Arc::new(Slot::new(id.clone()));
            aside.turn(Some(Arc::clone(old)));
            ending.iter().for_each(|unit| unit.lead(&slot, &aside));
        }
        ending
    }

    /// Writes down why a revision did not come into service; the one that is stays.
    async fn keep_old(&self, failure: Failure) -> RegistryError {
        match self.record_failure(failure.clone()).await {
            Ok(()) => RegistryError::Activation(Box::new(failure)),
            Err(error) => error,
        }
    }

    /// Saves what was moved, unless the instance that it was moved to has left something newer. A swap that happened stands, whether or
    /// not this can be done.
    async fn keep_moved(&self, entry: &Entry, state: &[u8], saved: Option<StateRef>) {
        let keeper = Keeper::new(self, &entry.id);
        let Err(error) = keeper.save_over(state.to_vec(), saved).await else { return };
        let message = format!("the state that was moved cannot be saved: {error}");
        let failure = self.failure(entry, Phase::Snapshot, FailureKind::Host, &message);
        if let Err(error) = self.record_failure(failure).await {
            self.inner.tracker.note_lost(&error);
        }
    }

    /// Counts the instances that a unit was made with.
    pub(crate) fn made_instances(&self, unit: &dyn Unit) {
        for _ in 0..unit.instances().live {
            self.inner.tracker.room.made();
        }
    }
}
