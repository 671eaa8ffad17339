//! Fusing: the unit of a component made of its own code and that of components that it calls.

mod recipe;
mod refusal;
mod wish;

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::entry::Entry;
use domain::fusion::{FUSED_MAX, Fusion};
use domain::ports::{SourceError, StateView};
use domain::{ComponentId, Event, Status};

pub(crate) use recipe::{Composed, Recipe};
pub use refusal::FuseRefusal;
pub use wish::{FusedBy, FusedView};

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::names::unknown;

/// Whose grants the code of a part has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantSharing {
    /// Those of the component, which are also those of the part: others are refused.
    Equal,
    /// Those of the component, whatever the part has.
    Shared,
}

/// What fusing or unfusing changed, or would change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuseChange {
    /// Those that the component is fused with now, ordered.
    pub with: Vec<ComponentId>,
    /// Whether it was otherwise before.
    pub changed: bool,
}

/// A component that could be fused.
struct Fusible {
    /// The entry as it will be.
    after: Arc<Entry>,
    recipe: Recipe,
    changed: bool,
}

impl Registry {
    /// Fuses `id` with components that it calls, directly or through others of them: from its next call on their code runs in its own
    /// instance, under its limits and with its grants. They remain what they are for everybody else. Whoever is not named is called
    /// through a gate, as before. It holds for all revisions, until [`Registry::unfuse`]; what was said before is replaced.
    ///
    /// A live instance ends in order, and keeps its state if it has any.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::Fuse`] if they cannot be one: then nothing changes.
    pub async fn fuse(
        &self,
        id: &ComponentId,
        with: &[ComponentId],
        sharing: GrantSharing,
    ) -> Result<FuseChange, RegistryError> {
        match self.try_fuse(id, with, sharing).await {
            Ok(change) => Ok(change),
            Err(error) => Err(self.refused("fuse", Some(id), error).await),
        }
    }

    /// Says what [`Registry::fuse`] would do, without doing it; composes and, for an active component, links them.
    ///
    /// # Errors
    /// As [`Registry::fuse`].
    pub async fn plan_fuse(
        &self,
        id: &ComponentId,
        with: &[ComponentId],
        sharing: GrantSharing,
    ) -> Result<FuseChange, RegistryError> {
        let wanted = wanted(id, with, sharing)?;
        let fusible = self.tried(id, &wanted).await?;
        Ok(FuseChange { with: wanted.with, changed: fusible.changed })
    }

    async fn try_fuse(
        &self,
        id: &ComponentId,
        with: &[ComponentId],
        sharing: GrantSharing,
    ) -> Result<FuseChange, RegistryError> {
        let wanted = wanted(id, with, sharing)?;
        let fusible = self.tried(id, &wanted).await?;
        if !fusible.changed {
            return Ok(FuseChange { with: wanted.with, changed: false });
        }
        let (registry, id, tried) = (self.clone(), id.clone(), fusible.recipe.identity());
        self.commit(move |view| {
            let fusible = registry.fusible(view, &id, &wanted)?;
            if fusible.recipe.identity() != tried {
                return Err(RegistryError::Changed { component: id });
            }
            let change = FuseChange { with: wanted.with.clone(), changed: fusible.changed };
            let event = Event::Fused { component: id, with: wanted.with, shares_grants: wanted.shares_grants };
            Ok((if change.changed { vec![event] } else { vec![] }, change))
        })
        .await
    }

    /// Makes all that is needed to fuse them, and puts nothing in service.
    async fn tried(&self, id: &ComponentId, wanted: &Fusion) -> Result<Fusible, RegistryError> {
        let (registry, key, fusion) = (self.clone(), id.clone(), wanted.clone());
        let fusible = self.read(move |view| registry.fusible(view, &key, &fusion)).await?;
        if fusible.changed {
            self.try_composing(&fusible).await?;
            self.try_linking(&fusible.after, |failure| FuseRefusal::Together { failure }).await?;
        }
        Ok(fusible)
    }

    fn fusible(&self, view: &dyn StateView, id: &ComponentId, wanted: &Fusion) -> Result<Fusible, RegistryError> {
        let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
        for part in &wanted.with {
            view.entry(part)?.ok_or_else(|| unknown(part))?;
        }
        let mut after = Entry::clone(&entry);
        after.fusion = Some(wanted.clone());
        let after = Arc::new(after);
        let recipe = self.recipe_of(view, &after, wanted)?;
        let is_part = |id: &ComponentId| recipe.iter().flat_map(Recipe::parts).any(|part| part.id == *id);
        let idle = wanted.with.iter().find(|id| !is_part(id)).cloned();
        match (recipe, idle) {
            (Some(recipe), None) => Ok(Fusible { changed: entry.fusion != after.fusion, after, recipe }),
            (_, Some(part)) => Err(refused(id, FuseRefusal::NotImported { part })),
            // `wanted` has refused to fuse it with nobody.
            (None, None) => Err(refused(id, FuseRefusal::Itself)),
        }
    }

    async fn try_composing(&self, fusible: &Fusible) -> Result<(), RegistryError> {
        let (inner, recipe, id) = (self.inner.clone(), fusible.recipe.clone(), fusible.after.id.clone());
        blocking(move || {
            let composed = match recipe.compose(&*inner.engine, &*inner.blobs) {
                Ok(composed) => composed,
                Err(SourceError::Storage(error)) => return Err(error.into()),
                Err(SourceError::Composition(source)) => return Err(refused(&id, FuseRefusal::Composition { source })),
            };
            recipe.check_exports(&*inner.engine, &composed).map_err(|refusal| refused(&id, refusal))
        })
        .await
    }

    /// Links an active component as it will be, and lets go of it again: what cannot be linked must not be put in the place of what is.
    async fn try_linking(
        &self,
        after: &Arc<Entry>,
        refusal: impl FnOnce(Box<domain::Failure>) -> FuseRefusal,
    ) -> Result<(), RegistryError> {
        if after.status != Status::Active {
            return Ok(());
        }
        self.prepare_imports(after).await?;
        match self.prepare(after).await {
            Ok(_) => Ok(()),
            Err(failure) => Err(refused(&after.id, refusal(Box::new(failure)))),
        }
    }

    /// Links `id` through gates again, from its next call on. One whose manifest, or kind, asks to be fused stays as it is then, until it
    /// is fused by [`Registry::fuse`].
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::Fuse`] if it is active and cannot be linked so: then nothing changes.
    pub async fn unfuse(&self, id: &ComponentId) -> Result<FuseChange, RegistryError> {
        match self.try_unfuse(id).await {
            Ok(changed) => Ok(FuseChange { with: Vec::new(), changed }),
            Err(error) => Err(self.refused("unfuse", Some(id), error).await),
        }
    }

    async fn try_unfuse(&self, id: &ComponentId) -> Result<bool, RegistryError> {
        let entry = self.entry_now(id)?.ok_or_else(|| unknown(id))?;
        if let Some(after) = self.unfused(&entry) {
            self.try_linking(&Arc::new(after), |failure| FuseRefusal::Apart { failure }).await?;
        }
        let (registry, id) = (self.clone(), id.clone());
        self.commit(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let after = registry.unfused(&entry);
            let changed = after.is_some();
            let unfused = |after: Entry| Event::Unfused { component: id, apart: after.fusion.is_some() };
            Ok((after.map(unfused).into_iter().collect(), changed))
        })
        .await
    }

    /// Returns the entry as it is when it is unfused, `None` if it is not fused.
    fn unfused(&self, entry: &Entry) -> Option<Entry> {
        let mut after = entry.clone();
        after.fusion = self.asks_to_be_fused(entry).then(Fusion::default);
        (after.fusion != entry.fusion).then_some(after)
    }
}

/// Makes what is to be said of a component.
fn wanted(id: &ComponentId, with: &[ComponentId], sharing: GrantSharing) -> Result<Fusion, RegistryError> {
    let with: BTreeSet<_> = with.iter().cloned().collect();
    if with.contains(id) || with.is_empty() {
        return Err(refused(id, FuseRefusal::Itself));
    }
    if with.len() > FUSED_MAX {
        return Err(refused(id, FuseRefusal::TooMany));
    }
    Ok(Fusion { with: with.into_iter().collect(), shares_grants: sharing == GrantSharing::Shared })
}

/// Says that `id` cannot be fused.
pub(crate) fn refused(id: &ComponentId, source: FuseRefusal) -> RegistryError {
    RegistryError::Fuse { component: id.clone(), source }
}
