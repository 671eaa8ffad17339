//! What differs between two revisions of a component.

use std::sync::Arc;

use domain::grant;
use domain::manifest::{FieldChange, changed_fields};
use domain::world::{Diff, Side, diff};
use domain::{ComponentId, Grant, Revision};

use crate::Registry;
use crate::activate::no_revision;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::names::unknown;

/// What differs between two revisions.
#[derive(Clone, Debug)]
pub struct RevisionDiff {
    /// The component.
    pub id: ComponentId,
    /// The one that is compared.
    pub old: Arc<Revision>,
    /// The one that it is compared with.
    pub new: Arc<Revision>,
    /// What it needs otherwise.
    pub imports: Diff,
    /// What it offers otherwise.
    pub exports: Diff,
    /// What the new one asks for and the old one did not.
    pub asks_anew: Vec<Grant>,
    /// What the old one asked for and the new one does not.
    pub asks_no_more: Vec<Grant>,
    /// What else of the component manifest differs, ordered by key; grants, id and version aside.
    pub fields: Vec<FieldChange>,
}

impl Registry {
    /// Says what differs between revisions `old` and `new` of a component: types of what they import and export, what they ask for, and
    /// the rest of their manifests.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::RevisionNotFound`], and what reading the binaries can meet.
    pub async fn diff(&self, id: &ComponentId, old: u32, new: u32) -> Result<RevisionDiff, RegistryError> {
        let (registry, id) = (self.clone(), id.clone());
        blocking(move || {
            let view = &*registry.inner.state;
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let revision = |number| match view.revision(&id, number) {
                Ok(Some(revision)) => Ok(revision),
                Ok(None) => Err(no_revision(&entry, number)),
                Err(error) => Err(error.into()),
            };
            let (old, new) = (revision(old)?, revision(new)?);
            let (before, after) = (registry.world(&old.digest)?, registry.world(&new.digest)?);
            let (asked, asks) = (registry.requests_of(&old.manifest), registry.requests_of(&new.manifest));
            Ok(RevisionDiff {
                imports: diff(&before, &after, Side::Imports),
                exports: diff(&before, &after, Side::Exports),
                asks_anew: grant::asked_anew(&asked, &asks),
                asks_no_more: grant::asked_anew(&asks, &asked),
                fields: changed_fields(&old.manifest, &new.manifest),
                id,
                old,
                new,
            })
        })
        .await
    }
}
