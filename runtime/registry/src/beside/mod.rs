//! Revisions beside the one in service.
//!
//! An entry has one revision in service. Further ones are active *beside* it, each because somebody active needs it that cannot live with
//! the one in service: `domain::resolve` finds that out. Each goes by an id of its own, and is everything that a component is: it has a
//! status, edges, a place, instances, a history. `follow.rs` decides when one comes and goes, along with the decision that leads to it;
//! `place.rs` lets a unit go on in a place of its own, and ends it once nobody calls it any more.

mod follow;
mod place;

use domain::ComponentId;
use domain::reduce::index;

use crate::Registry;
use crate::error::RegistryError;
use crate::report::ActivateReport;
use crate::view::EntryView;
pub(crate) use follow::follow;
pub(crate) use place::{besides, dependents_of_all};

impl Registry {
    /// Sets revisions beside those in service for somebody who is about to need them; [`Self::settle_beside`] takes them away if nobody
    /// does in the end.
    pub(crate) async fn set_beside(&self, ids: &[ComponentId]) -> Result<(), RegistryError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        self.commit(move |view| Ok((follow::set(view, &ids)?, ()))).await
    }

    /// Takes revisions beside those in service out of it that an activation brought up for somebody who was not activated in the end.
    pub(crate) async fn settle_activated(&self, report: &ActivateReport) {
        let beside = report.activated.iter().map(|activated| &activated.id).filter(|id| id.is_beside());
        let beside: Vec<_> = beside.cloned().collect();
        if let Err(error) = self.settle_beside(&beside).await {
            self.inner.tracker.note_lost(&error);
        }
    }

    /// Takes those of `ids` away, or out of service, that nobody needs.
    pub(crate) async fn settle_beside(&self, ids: &[ComponentId]) -> Result<(), RegistryError> {
        if ids.is_empty() {
            return Ok(());
        }
        let ids = ids.to_vec();
        self.commit(move |view| Ok((follow::settle(view, &ids)?, ()))).await
    }

    /// Returns all revisions beside those in service, ordered by id, whatever their status.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn all_beside(&self) -> Result<Vec<EntryView>, RegistryError> {
        let registry = self.clone();
        self.read(move |view| {
            let mut found = Vec::new();
            for (entry, _) in view.index_keys(index::BESIDE)? {
                for id in view.find(index::BESIDE, &entry)? {
                    if let Some(beside) = view.entry(&id)? {
                        found.push(registry.view_of(view, beside)?);
                    }
                }
            }
            Ok(found)
        })
        .await
    }

    /// Takes those away, or out of service, that nobody needs: a process ended before it could.
    pub(crate) async fn settle_left_beside(&self) -> Result<(), RegistryError> {
        let left = self.read(|view| {
            let mut left = Vec::new();
            for (entry, _) in view.index_keys(index::BESIDE)? {
                left.extend(view.find(index::BESIDE, &entry)?);
            }
            // Most often there is nothing to write.
            Ok(if follow::settle(view, &left)?.is_empty() { Vec::new() } else { left })
        });
        self.settle_beside(&left.await?).await
    }
}
