//! Unregistering: an entry, its revisions and edges are gone; the journal remembers.

use domain::plan::PlanError;
use domain::ports::StateView;
use domain::resolve::{NOTHING_EXPECTED, Overlay};
use domain::{ComponentId, Event, Status};

use crate::Registry;
use crate::beside::dependents_of_all;
use crate::commit::blocking;
use crate::deactivate::Stopping;
use crate::error::RegistryError;
use crate::names::unknown;
use crate::register::{resolve_waiting, touched_keys, without_circles};
use crate::report::Outcomes;

impl Registry {
    /// Removes components from the registry, deactivating them first. One that others depend on is refused, unless
    /// `cascade` takes those along, dependents first.
    pub async fn unregister(&self, ids: &[ComponentId], cascade: bool) -> Outcomes {
        self.stop_each(ids, cascade, Stopping::Unregister).await
    }

    /// Removes one component; `only_idle` refuses one that is active, instead of deactivating it. Returns the other components that
    /// this changed, each with the record that did.
    pub(crate) async fn unregister_one(
        &self,
        id: &ComponentId,
        only_idle: bool,
    ) -> Result<Vec<(ComponentId, u64)>, RegistryError> {
        let _life = self.inner.life.lock(id).await;
        let key = id.clone();
        let decided = self.commit(move |view| {
            let events = decide(view, &key, only_idle)?;
            let others = (view.last_seq() + 1..)
                .zip(&events)
                .filter_map(|(seq, event)| Some((event.component().filter(|other| **other != key)?.clone(), seq)))
                .collect();
            Ok((events, others))
        });
        let changed = decided.await?;
        self.out_of_service(id).await;
        self.inner.places.lock().unwrap_or_else(std::sync::PoisonError::into_inner).remove(id);
        self.inner.tracker.forget(id);
        self.inner.supervisor.forget(id);
        let output = self.inner.output.clone();
        let id = id.clone();
        blocking(move || Ok(output.remove(&id)?)).await?;
        Ok(changed)
    }
}

fn decide(view: &dyn StateView, id: &ComponentId, only_idle: bool) -> Result<Vec<Event>, RegistryError> {
    let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
    if only_idle && entry.status == Status::Active {
        return Err(RegistryError::Changed { component: id.clone() });
    }
    let dependents: Vec<_> = dependents_of_all(view, id)?.into_iter().filter(|dependent| dependent != id).collect();
    if !dependents.is_empty() {
        return Err(PlanError::Dependents { component: id.clone(), dependents, active_only: false }.into());
    }
    let mut events = Vec::new();
    if entry.status == Status::Active {
        events.push(Event::Deactivated {
            component: id.clone(),
            old_status: entry.status,
            reason: Some("it is being unregistered".to_owned()),
            lost: None,
        });
    }
    events.push(Event::Unregistered { component: id.clone() });
    let keys = touched_keys(id, entry.revision.exports.iter());
    let (events, _) = without_circles(Overlay::new(view, &NOTHING_EXPECTED), &|mut overlay| {
        overlay.remove(id);
        let mut events = events.clone();
        events.extend(resolve_waiting(view, &mut overlay, &keys)?);
        Ok((events, overlay))
    })?;
    Ok(events)
}
