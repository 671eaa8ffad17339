//! Pointing entries to the revisions that an activation names.

use domain::ComponentId;
use domain::ports::StateView;

use super::decide::{decide_selection, newest_of};
use crate::Registry;
use crate::error::RegistryError;
use crate::names::Target;
use crate::report::ActivateReport;

/// What becomes of the targets of an activation.
#[derive(Default)]
pub(super) struct Selected {
    /// Those whose entry points to what is to be activated.
    pub(super) current: Vec<Target>,
    /// Those that are active with another revision than the one that is wanted.
    pub(super) replacing: Vec<(ComponentId, u32)>,
    /// Plans of those whose wanted revision cannot be activated: nothing is in them that could be done.
    pub(super) refused: Vec<ActivateReport>,
    /// Those that are not there, or cannot be read.
    pub(super) failed: Vec<(ComponentId, RegistryError)>,
}

/// What becomes of one target.
pub(super) enum Selection {
    /// The entry points to the revision.
    Current,
    /// The entry is active with another revision, which this one is to replace.
    Replaces(u32),
    /// The revision cannot be activated.
    Refused(Box<ActivateReport>),
}

impl Registry {
    /// Lets entries point to the revisions that `targets` name, where those can be activated.
    pub(super) async fn select_all(&self, targets: &[Target]) -> Selected {
        let mut selected = Selected::default();
        let mut open: Vec<&Target> = targets.iter().collect();
        loop {
            let mut refused = Vec::new();
            let count = open.len();
            for target in std::mem::take(&mut open) {
                match self.select(target).await {
                    Ok(Selection::Current) => selected.current.push(target.clone()),
                    Ok(Selection::Replaces(revision)) => selected.replacing.push((target.id.clone(), revision)),
                    Ok(Selection::Refused(plan)) => {
                        open.push(target);
                        refused.push(*plan);
                    }
                    Err(error) => selected.failed.push((target.id.clone(), error)),
                }
            }
            // A revision may need that of another target, which is selected by now.
            if open.is_empty() || open.len() == count {
                selected.refused = refused;
                return selected;
            }
        }
    }

    /// Lets the entry point to the revision that `target` names, where it names a version.
    async fn select(&self, target: &Target) -> Result<Selection, RegistryError> {
        let Some(version) = target.version.clone() else { return Ok(Selection::Current) };
        let id = target.id.clone();
        self.commit(move |view: &dyn StateView| {
            let (entry, number) = newest_of(view, &id, &version)?;
            decide_selection(view, &entry, number)
        })
        .await
    }
}
