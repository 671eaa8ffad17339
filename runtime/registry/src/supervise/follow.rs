//! Dependents follow: who loses a dependency goes to `inactive`, and comes back with it.

use std::sync::Arc;

use domain::ports::{BoxFuture, Durability, StateView};
use domain::supervision::lost_with;
use domain::{Actor, ComponentId, Entry, Event, Status};

use super::Change;
use crate::Registry;
use crate::error::RegistryError;
use crate::names::Target;

/// What became of one dependent.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Followed {
    /// It is out of service, or was already.
    Done,
    /// Somebody needs it who did not a moment ago.
    NeededAnew,
}

impl Registry {
    /// Carries out what the events so far have left to be done; returns at once if somebody is at it, who then does this too.
    pub(crate) async fn follow_now(&self) {
        let supervisor = &self.inner.supervisor;
        let followed = match supervisor.following.try_lock() {
            Ok(_following) => self.carry_out_changes().await,
            Err(_) => {
                supervisor.wake();
                Ok(())
            }
        };
        if let Err(error) = followed {
            self.inner.tracker.note_lost(&error);
        }
    }

    /// Carries out what the events so far have left to be done, after whoever is at it.
    pub(crate) async fn follow(&self) -> Result<(), RegistryError> {
        let _following = self.inner.supervisor.following.lock().await;
        self.carry_out_changes().await
    }

    /// Boxed: what comes back is activated, and an activation carries out what follows from it.
    fn carry_out_changes(&self) -> BoxFuture<'_, Result<(), RegistryError>> {
        Box::pin(self.with_actor(Actor::System).carry_out_all())
    }

    async fn carry_out_all(self) -> Result<(), RegistryError> {
        let registry = &self;
        loop {
            let changes = std::mem::take(&mut *self.inner.supervisor.changes());
            if changes.is_empty() {
                return Ok(());
            }
            let mut back = Vec::new();
            for change in changes {
                match change {
                    Change::Stop(unit) => {
                        unit.stop().await;
                        self.inner.tracker.room.dropped();
                    }
                    Change::Lost(gone) => registry.take_along(&gone).await?,
                    Change::Back(id) => back.push(id),
                }
            }
            if !back.is_empty() {
                registry.bring_back(back).await?;
            }
            registry.flush_failures().await?;
        }
    }

    /// Takes the active components out of service that need `gone`, dependents first.
    async fn take_along(&self, gone: &ComponentId) -> Result<(), RegistryError> {
        let key = gone.clone();
        let lost =
            self.read(move |view| if is_active(view, &key)? { Ok(Vec::new()) } else { Ok(lost_with(view, &key)?) });
        let lost = lost.await?;
        if lost.is_empty() {
            return Ok(());
        }
        // Limit: each change is a record, but all of them wait for the disk once.
        let quick = if lost.len() > 1 { self.with_durability(Some(Durability::None)) } else { self.clone() };
        for (id, via) in &lost {
            if quick.take_one_along(id, via, gone).await? == Followed::NeededAnew {
                self.inner.supervisor.changes().push(Change::Lost(gone.clone()));
            }
        }
        quick.secure().await
    }

    async fn take_one_along(
        &self,
        id: &ComponentId,
        via: &ComponentId,
        gone: &ComponentId,
    ) -> Result<Followed, RegistryError> {
        let _life = self.inner.life.lock(id).await;
        let (key, via, gone) = (id.clone(), via.clone(), gone.clone());
        let followed = self.commit(move |view| decide_lost(view, &key, &via, &gone)).await?;
        if followed == Followed::Done {
            self.out_of_service(id).await;
        }
        Ok(followed)
    }

    /// Activates those again that wait for one of `ids` and lack nothing else. What needs them follows in the next round.
    async fn bring_back(&self, ids: Vec<ComponentId>) -> Result<(), RegistryError> {
        let waiting = self.read(move |view| {
            let mut waiting = Vec::new();
            for id in &ids {
                for dependent in view.dependents(id)? {
                    if let Some(entry) = view.entry(&dependent)?
                        && is_waiting(view, &entry)?
                    {
                        waiting.push(entry);
                    }
                }
            }
            Ok(waiting)
        });
        let mut waiting: Vec<Arc<Entry>> = waiting.await?;
        waiting.sort_by(|one, other| one.id.cmp(&other.id));
        waiting.dedup_by(|one, other| one.id == other.id);
        if waiting.is_empty() {
            return Ok(());
        }
        let targets: Vec<_> = waiting.iter().map(|entry| Target::from(&entry.id)).collect();
        // What fails is in its history.
        let report = self.activate_now(&targets).await;
        self.settle_activated(&report).await;
        Ok(())
    }

    /// Leaves those to be taken out of service that are active, while something that they need is not: a process ended before it could.
    pub(crate) fn find_lost(&self, active: &[Arc<Entry>]) {
        if !self.settings().activation.follow {
            return;
        }
        let ids: std::collections::HashSet<_> = active.iter().map(|entry| &entry.id).collect();
        let needed = active.iter().flat_map(|entry| entry.dependency_ids());
        let gone: std::collections::BTreeSet<_> = needed.filter(|on| !ids.contains(on)).collect();
        self.inner.supervisor.changes().extend(gone.into_iter().map(Change::Lost));
    }
}

/// Tells whether `id` is a revision beside the one in service that is activated with whoever needs it, as it went with them.
pub(super) fn comes_along(view: &dyn StateView, id: &ComponentId) -> Result<bool, RegistryError> {
    Ok(id.is_beside() && view.entry(id)?.is_some_and(|entry| entry.status != Status::Error))
}

fn is_active(view: &dyn StateView, id: &ComponentId) -> Result<bool, RegistryError> {
    Ok(view.entry(id)?.is_some_and(|entry| entry.status == Status::Active))
}

/// Tells whether an entry waits for a dependency, and all are there.
fn is_waiting(view: &dyn StateView, entry: &Entry) -> Result<bool, RegistryError> {
    if entry.status != Status::Inactive || entry.lost().is_none() || !entry.unresolved.is_empty() {
        return Ok(false);
    }
    for on in entry.dependency_ids() {
        if !is_active(view, &on)? && !comes_along(view, &on)? {
            return Ok(false);
        }
    }
    Ok(true)
}

fn decide_lost(
    view: &dyn StateView,
    id: &ComponentId,
    via: &ComponentId,
    gone: &ComponentId,
) -> Result<(Vec<Event>, Followed), RegistryError> {
    let Some(entry) = view.entry(id)?.filter(|entry| entry.status == Status::Active) else {
        return Ok((Vec::new(), Followed::Done));
    };
    let status = view.entry(gone)?.map(|gone| (gone.status, gone.quarantine().is_some()));
    let word = match status {
        // It is back already.
        Some((Status::Active, _)) => return Ok((Vec::new(), Followed::Done)),
        Some((Status::Error, true)) => "in quarantine",
        Some((Status::Error, false)) => "in error",
        Some((Status::Discovered | Status::Registered | Status::Inactive, _)) => "not active",
        None => "not registered any more",
    };
    for dependent in view.dependents(id)? {
        if is_active(view, &dependent)? {
            return Ok((Vec::new(), Followed::NeededAnew));
        }
    }
    let reason = match via == gone {
        true => format!("it needs {gone}, which is {word}"),
        false => format!("it needs {via}, which cannot go on: {gone} is {word}"),
    };
    let event = Event::Deactivated {
        component: id.clone(),
        old_status: entry.status,
        reason: Some(reason),
        lost: Some(via.clone()),
    };
    Ok((vec![event], Followed::Done))
}
