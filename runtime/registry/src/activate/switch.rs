//! Choosing another revision of a component: by number, or back on the way that the entry came.

use domain::ports::StateView;
use domain::{ComponentId, Entry, Event, Status, Version};

use super::decide::{decide_revision, leaves_nobody_behind};
use crate::Registry;
use crate::error::RegistryError;
use crate::names::unknown;
use crate::report::ActivateReport;

/// How a component got to another revision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Switch {
    /// It pointed to that revision already.
    Unchanged,
    /// It is not active, and points to that revision now.
    Selected,
    /// It is active, and that revision is in service now.
    Replaced,
}

impl Switch {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unchanged => "unchanged",
            Self::Selected => "selected",
            Self::Replaced => "replaced",
        }
    }
}

/// What choosing another revision did.
#[derive(Debug)]
pub struct SwitchReport {
    /// The component.
    pub id: ComponentId,
    /// Number and version of the revision before.
    pub from: (u32, Version),
    /// Number and version of the revision now.
    pub to: (u32, Version),
    /// How it got there.
    pub switch: Switch,
    /// Where an active revision was replaced: what was activated for it, and it.
    pub activation: Option<ActivateReport>,
}

/// What has to be done for a component to get to a revision.
enum Step {
    Done(Switch),
    Replace,
}

impl Registry {
    /// Returns the number of the newest revision of a version.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::VersionNotFound`].
    pub async fn revision_of(&self, id: &ComponentId, version: &Version) -> Result<u32, RegistryError> {
        let (id, version) = (id.clone(), version.clone());
        self.read(move |view| Ok(super::decide::newest_of(view, &id, &version)?.1)).await
    }

    /// Lets a component point to its revision `number`. Where another one is active, that is replaced while it is called; what the new
    /// one needs is activated first, and on any failure the old one stays. A component that is not active stays so.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::RevisionNotFound`]; [`RegistryError::Breaking`] if active components would break,
    /// unless [`Registry::with_force`] accepts that; what an activation can meet.
    pub async fn use_revision(&self, id: &ComponentId, number: u32) -> Result<SwitchReport, RegistryError> {
        match self.switch(id, number).await {
            Ok(report) => Ok(report),
            Err(error) => Err(self.refused("use", Some(id), error).await),
        }
    }

    /// Lets a component point to the revision that it came from, or to `to`, as [`Registry::use_revision`] does.
    ///
    /// An entry remembers its way: each revision that it pointed to before it went on to the next. Going back forgets what lies
    /// ahead, so a second rollback goes one further back, never forward again: that is for [`Registry::use_revision`].
    ///
    /// # Errors
    /// Those of [`Registry::use_revision`]; [`RegistryError::NoEarlierRevision`] if it has not come from any.
    pub async fn rollback(&self, id: &ComponentId, to: Option<u32>) -> Result<SwitchReport, RegistryError> {
        let result = match self.rollback_target(id, to).await {
            Ok(number) => self.switch(id, number).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(report) => Ok(report),
            Err(error) => Err(self.refused("rollback", Some(id), error).await),
        }
    }

    /// Returns the number of the revision that a rollback goes to.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::NoEarlierRevision`].
    pub async fn rollback_target(&self, id: &ComponentId, to: Option<u32>) -> Result<u32, RegistryError> {
        let id = id.clone();
        self.read(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let number = to.or_else(|| entry.trail.last().copied());
            number.ok_or_else(|| RegistryError::NoEarlierRevision { component: id, current: entry.revision.number })
        })
        .await
    }

    async fn switch(&self, id: &ComponentId, number: u32) -> Result<SwitchReport, RegistryError> {
        let key = id.clone();
        let (from, to) = self
            .read(move |view| {
                let entry = view.entry(&key)?.ok_or_else(|| unknown(&key))?;
                let revision = view.revision(&key, number)?.ok_or_else(|| no_revision(&entry, number))?;
                let from = (entry.revision.number, entry.revision.version.clone());
                Ok((from, (number, revision.version.clone())))
            })
            .await?;
        if !self.force && from.0 != number {
            self.refuse_breaking_switch(id, number).await?;
        }
        let key = id.clone();
        let step = self.commit(move |view: &dyn StateView| decide_switch(view, &key, number)).await?;
        let (switch, activation) = match step {
            Step::Done(switch) => (switch, None),
            Step::Replace => (Switch::Replaced, Some(self.replace_by(id, number).await?)),
        };
        Ok(SwitchReport { id: id.clone(), from, to, switch, activation })
    }

    async fn replace_by(&self, id: &ComponentId, number: u32) -> Result<ActivateReport, RegistryError> {
        let mut report = ActivateReport::default();
        // Which revision is in service says nothing of whether any is wanted.
        self.asked_for(std::iter::empty()).replace_active(id, number, &mut report).await;
        if let Err(error) = self.flush_failures().await {
            self.inner.tracker.note_lost(&error);
        }
        if let Some((_, error)) = report.failed.pop() {
            return Err(error);
        }
        self.secure().await?;
        Ok(report)
    }
}

/// Makes the error for a revision that an entry does not have.
pub(crate) fn no_revision(entry: &Entry, number: u32) -> RegistryError {
    RegistryError::RevisionNotFound { component: entry.id.clone(), number, newest: entry.newest }
}

fn decide_switch(view: &dyn StateView, id: &ComponentId, number: u32) -> Result<(Vec<Event>, Step), RegistryError> {
    let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
    if entry.revision.number == number {
        return Ok((Vec::new(), Step::Done(Switch::Unchanged)));
    }
    if entry.status == Status::Active {
        return Ok((Vec::new(), Step::Replace));
    }
    let revision = view.revision(id, number)?.ok_or_else(|| no_revision(&entry, number))?;
    let events = decide_revision(view, &entry, number)?;
    // One in error may have dependents that are active.
    leaves_nobody_behind(view, id, &revision.version, &events)?;
    Ok((events, Step::Done(Switch::Selected)))
}
