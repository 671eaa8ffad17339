//! Keeping out what would break active components.

use std::collections::BTreeMap;

use domain::ports::StateView;
use domain::{ComponentId, Status};

use super::{Broken, Coming, Judge, Scope};
use crate::Registry;
use crate::activate::no_revision;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::names::unknown;
use crate::register::{Draft, Numbered, numbered};

/// Who would break by which revision.
type Breaking = BTreeMap<ComponentId, Vec<Broken>>;

impl Registry {
    /// Refuses a revision of `id` in whose service active components would break.
    pub(crate) async fn refuse_breaking_switch(&self, id: &ComponentId, number: u32) -> Result<(), RegistryError> {
        let (registry, id) = (self.clone(), id.clone());
        blocking(move || {
            let view = &*registry.inner.state;
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let revision = view.revision(&id, number)?.ok_or_else(|| no_revision(&entry, number))?;
            let version = revision.version.clone();
            let coming = Coming { id: id.clone(), revision, world: None, carried: Vec::new() };
            match registry.breaking(vec![coming])?.remove(&id) {
                None => Ok(()),
                Some(broken) => Err(RegistryError::Breaking { component: id, version, broken }),
            }
        })
        .await
    }

    /// Takes those out of a batch that would break active components once they came into service, as if all of the batch did at once.
    /// Their bytes are kept already. A batch without a new revision of an active component costs no more than a look at its entries.
    pub(crate) async fn refuse_breaking(&self, drafts: &mut [Result<Draft, RegistryError>]) {
        if self.force {
            return;
        }
        let ids: Vec<_> = drafts.iter().flatten().map(|draft| draft.id.clone()).collect();
        let coming = match self.read(move |view| any_active(view, &ids)).await {
            Ok(false) => return,
            Ok(true) => self.coming(drafts),
            Err(error) => Err(error),
        };
        let coming = match coming {
            Ok(coming) => coming,
            Err(error) => return refuse_all(drafts, &error),
        };
        let registry = self.clone();
        let mut breaking = match blocking(move || registry.breaking(coming)).await {
            Ok(breaking) => breaking,
            Err(error) => return refuse_all(drafts, &error),
        };
        for slot in drafts.iter_mut() {
            if let Ok(draft) = slot
                && let Some(broken) = breaking.remove(&draft.id)
            {
                let (component, version) = (draft.id.clone(), draft.version.clone());
                *slot = Err(RegistryError::Breaking { component, version, broken });
            }
        }
    }

    /// Returns what a batch would bring into service.
    fn coming(&self, drafts: &[Result<Draft, RegistryError>]) -> Result<Vec<Coming>, RegistryError> {
        let now = self.inner.clock.now();
        let mut coming = Vec::new();
        for draft in drafts.iter().flatten() {
            let entry = self.entry_now(&draft.id)?;
            // What is there already changes nothing; a version that is taken is refused for that.
            let Ok(Numbered::Next(number)) = numbered(&*self.inner.state, draft, entry.as_deref()) else { continue };
            coming.push(Coming {
                id: draft.id.clone(),
                revision: draft.revision(number, now).into(),
                world: None,
                carried: draft.carried.clone(),
            });
        }
        Ok(coming)
    }

    /// Finds the active components that would break, by whom they would break. Blocks.
    fn breaking(&self, coming: Vec<Coming>) -> Result<Breaking, RegistryError> {
        let ids: Vec<_> = coming.iter().map(|one| one.id.clone()).collect();
        let broken = Judge::new(self, &*self.inner.state, coming)?.judge(Scope::Active)?.broken;
        let mut breaking = Breaking::new();
        for id in ids {
            let by_it = broken.iter().filter_map(|one| {
                let reasons: Vec<_> = one.reasons.iter().filter(|reason| reason.on == id).cloned().collect();
                (!reasons.is_empty()).then(|| Broken { reasons, ..one.clone() })
            });
            let by_it: Vec<_> = by_it.collect();
            if !by_it.is_empty() {
                breaking.insert(id, by_it);
            }
        }
        Ok(breaking)
    }
}

fn any_active(view: &dyn StateView, ids: &[ComponentId]) -> Result<bool, RegistryError> {
    for id in ids {
        if view.entry(id)?.is_some_and(|entry| entry.status == Status::Active) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Refuses a batch that could not be judged.
fn refuse_all(drafts: &mut [Result<Draft, RegistryError>], error: &RegistryError) {
    for slot in drafts.iter_mut().filter(|slot| slot.is_ok()) {
        *slot = Err(match error {
            RegistryError::Storage(error) => error.again().into(),
            other => RegistryError::Internal(format!("it could not be found out who would break: {other}")),
        });
    }
}
