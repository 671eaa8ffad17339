//! The revisions of a component side by side.

use std::sync::Arc;

use domain::grant;
use domain::{Activation, ComponentId, Entry, Grant, Revision, Status};

use crate::Registry;
use crate::error::RegistryError;
use crate::names::unknown;
use crate::view::BesideView;

/// All revisions of a component.
#[derive(Clone, Debug)]
pub struct VersionsView {
    /// The entry.
    pub entry: Arc<Entry>,
    /// Its revisions, oldest first.
    pub revisions: Vec<RevisionView>,
    /// The revision to which a rollback goes, if there is one.
    pub rollback_to: Option<u32>,
}

/// One revision of a component.
#[derive(Clone, Debug)]
pub struct RevisionView {
    /// The revision.
    pub revision: Arc<Revision>,
    /// Whether the entry points to it.
    pub is_current: bool,
    /// Whether it is in service.
    pub is_active: bool,
    /// Whether it is beside the one in service, and for whom.
    pub beside: Option<BesideView>,
    /// Whether it waits for its activation.
    pub is_waiting: bool,
    /// What it asks for beyond the default set, on behalf of its kind included.
    pub asks: Vec<Grant>,
    /// What of that is not granted.
    pub missing: Vec<Grant>,
    /// How it was activated, where it is the one that was activated last.
    pub activation: Option<Arc<Activation>>,
}

impl Registry {
    /// Returns all revisions of a component, oldest first, with what each asks for and which is in service.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn versions(&self, id: &ComponentId) -> Result<VersionsView, RegistryError> {
        let (registry, id) = (self.clone(), id.clone());
        self.read(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let beside = registry.beside_of(view, &entry)?;
            let revisions = view.revisions(&id)?.into_iter();
            let revisions = revisions.map(|revision| registry.revision_view(&entry, &beside, revision));
            Ok(VersionsView { revisions: revisions.collect(), rollback_to: entry.trail.last().copied(), entry })
        })
        .await
    }

    fn revision_view(&self, entry: &Entry, beside: &[BesideView], revision: Arc<Revision>) -> RevisionView {
        let number = revision.number;
        let beside = beside.iter().find(|beside| beside.entry.revision.number == number).cloned();
        let requests = self.requests_of(&revision.manifest);
        let is_current = number == entry.revision.number;
        let activation = match &beside {
            Some(beside) => beside.entry.activation.clone(),
            None => entry.activation.clone().filter(|activation| activation.revision == number),
        };
        RevisionView {
            is_current,
            is_active: is_current && entry.status == Status::Active,
            is_waiting: entry.waiting == Some(number),
            beside,
            asks: requests.grants(),
            missing: grant::missing(&requests, &entry.grants),
            activation,
            revision,
        }
    }
}
