//! Statuses set by people, errors marked and cleared, dependencies validated, health asked for.

use std::time::Duration;

use domain::ports::StateView;
use domain::status::TransitionError;
use domain::{ComponentId, Entry, Event, Failure, FailureKind, Phase, Status, text};

use crate::Registry;
use crate::error::RegistryError;
use crate::names::{Target, unknown};
use crate::report::Outcomes;

/// What is wrong with one dependency of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DependencyProblem {
    /// The dependency, or the import that nobody serves.
    pub need: String,
    /// What is wrong with it.
    pub fault: DependencyFault,
    /// One sentence for people.
    pub message: String,
}

/// What can be wrong with a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DependencyFault {
    /// It is not registered, or not in the declared range, or not a single provider.
    Missing,
    /// It is in status `error`.
    InError,
    /// It is not active.
    NotActive,
}

impl DependencyFault {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::InError => "error",
            Self::NotActive => "not-active",
        }
    }
}

/// What a health probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Whether the component is well. One without the `health` export is, as long as it is active.
    pub healthy: bool,
    /// What it said, if it is not well.
    pub message: Option<String>,
    /// Whether the component exports `registry:component/health`.
    pub has_export: bool,
}

impl Registry {
    /// Brings a component to `status` by the operation that leads there: `active` activates, `inactive` deactivates,
    /// `error` marks with `message`, `registered` clears the errors.
    ///
    /// # Errors
    /// Those of the operation; [`RegistryError::Transition`] if none leads there.
    pub async fn set_status(
        &self,
        id: &ComponentId,
        status: Status,
        message: Option<String>,
    ) -> Result<(), RegistryError> {
        let current = self.get(id).await?.entry.status;
        let transition = |source| RegistryError::Transition { component: id.clone(), source };
        let result = match status {
            _ if status == current && status != Status::Error => Ok(()),
            Status::Active => {
                let report = self.activate(&[Target::from(id)]).await;
                return report.failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error));
            }
            Status::Inactive => match current.step_to(status) {
                Ok(_) => {
                    let outcomes = self.deactivate(std::slice::from_ref(id), false).await;
                    return outcomes.failed.into_iter().next().map_or(Ok(()), |(_, error)| Err(error));
                }
                Err(source) => Err(transition(source)),
            },
            Status::Error => {
                return self.mark_error(id, message.as_deref().unwrap_or("marked by an operator")).await;
            }
            Status::Registered => match current.step_to(status) {
                Ok(_) => return self.clear_errors(id).await,
                Err(source) => Err(transition(source)),
            },
            Status::Discovered => Err(transition(TransitionError { from: current, to: status })),
        };
        match result {
            Ok(()) => Ok(()),
            Err(error) => Err(self.refused("status", Some(id), error).await),
        }
    }

    /// Brings several components to statuses, one after the other in dependency order where it matters.
    pub async fn set_statuses(&self, wanted: Vec<(ComponentId, Status)>) -> Outcomes {
        let mut outcomes = Outcomes::default();
        // Activations first bring up what others need; deactivations last can count on dependents being gone.
        let rank = |status: Status| match status {
            Status::Error => 0,
            Status::Registered | Status::Discovered => 1,
            Status::Active => 2,
            Status::Inactive => 3,
        };
        let mut wanted = wanted;
        wanted.sort_by_key(|(_, status)| rank(*status));
        let inactive: Vec<_> =
            wanted.iter().filter(|(_, status)| *status == Status::Inactive).map(|(id, _)| id.clone()).collect();
        for (id, status) in wanted.into_iter().filter(|(_, status)| *status != Status::Inactive) {
            match self.set_status(&id, status, None).await {
                Ok(()) => outcomes.done.push(id),
                Err(error) => outcomes.failed.push((id, error)),
            }
        }
        if !inactive.is_empty() {
            let mut together = Vec::new();
            for id in inactive {
                match self.get(&id).await {
                    Ok(view) if matches!(view.entry.status, Status::Active | Status::Inactive) => together.push(id),
                    Ok(_) => match self.set_status(&id, Status::Inactive, None).await {
                        Ok(()) => outcomes.done.push(id),
                        Err(error) => outcomes.failed.push((id, error)),
                    },
                    Err(error) => outcomes.failed.push((id, error)),
                }
            }
            let stopped = self.deactivate(&together, false).await;
            outcomes.done.extend(stopped.done);
            outcomes.unchanged.extend(stopped.unchanged);
            outcomes.failed.extend(stopped.failed);
        }
        outcomes
    }

    /// Puts a component in status `error` with `message`, and takes it out of service if it was active; what needs it follows.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn mark_error(&self, id: &ComponentId, message: &str) -> Result<(), RegistryError> {
        let life = self.inner.life.lock(id).await;
        let at = self.inner.clock.now();
        let (key, message) = (id.clone(), text::guest_message(message));
        let marked = self.commit(move |view| {
            let entry = view.entry(&key)?.ok_or_else(|| unknown(&key))?;
            let failure = marked(&entry, at, message.clone());
            let failed = Event::Failed { component: key.clone(), failure: Box::new(failure), count: 1, keep: None };
            Ok((vec![failed, Event::Errored { component: key, old_status: entry.status, error: message }], ()))
        });
        marked.await?;
        self.out_of_service(id).await;
        drop(life);
        self.follow_now().await;
        Ok(())
    }

    /// Empties a component's failure history and, if it is in status `error`, brings it back to `registered`.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn clear_errors(&self, id: &ComponentId) -> Result<(), RegistryError> {
        self.flush_failures().await?;
        let id = id.clone();
        self.commit(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let nothing = entry.status != Status::Error && entry.error_count == 0 && entry.probe != Some(false);
            let cleared = Event::ErrorsCleared { component: id, old_status: entry.status, history: true };
            Ok((if nothing { vec![] } else { vec![cleared] }, ()))
        })
        .await
    }

    /// Checks each dependency of a component: missing, in error, not active. A component with a problem is marked with all of
    /// them; one without, or one that waits for a dependency that it lost, is left as it is.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn validate_dependencies(&self, id: &ComponentId) -> Result<Vec<DependencyProblem>, RegistryError> {
        let key = id.clone();
        let problems = self.read(move |view| problems(view, &key)).await?;
        // One that waits is out of service for that reason, and would not come back from an error by itself.
        let waits = self.entry_now(id)?.is_some_and(|entry| entry.lost().is_some());
        if !problems.is_empty() && !waits {
            let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
            self.mark_error(id, &messages.join("; ")).await?;
        }
        Ok(problems)
    }

    /// Asks an active component how it is, through `registry:component/health`, and keeps the answer.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::NotActive`]; an unhealthy answer is not an error.
    pub async fn check_health(&self, id: &ComponentId) -> Result<Probe, RegistryError> {
        self.check_health_within(id, None).await
    }

    /// As [`Registry::check_health`], of a component that may take no longer than `within`.
    pub(crate) async fn check_health_within(
        &self,
        id: &ComponentId,
        within: Option<Duration>,
    ) -> Result<Probe, RegistryError> {
        let unit = self.unit(id).await?;
        let probe = match unit.check_health(within).await {
            Ok(None) => return Ok(Probe { healthy: true, message: None, has_export: false }),
            Ok(Some(())) => Probe { healthy: true, message: None, has_export: true },
            Err(failure) => Probe { healthy: false, message: Some(failure.message), has_export: true },
        };
        let (id, healthy, message) = (id.clone(), probe.healthy, probe.message.clone());
        self.commit(move |view| {
            let changed = view.entry(&id)?.is_some_and(|entry| entry.probe != Some(healthy));
            let probed = Event::Probed { component: id, healthy, message };
            Ok((if changed { vec![probed] } else { vec![] }, ()))
        })
        .await?;
        self.flush_failures().await?;
        Ok(probe)
    }
}

fn marked(entry: &Entry, at: domain::Timestamp, message: String) -> Failure {
    Failure {
        component: entry.id.clone(),
        revision: entry.revision.number,
        at,
        phase: Phase::Mark,
        kind: FailureKind::Marked,
        message,
        function: None,
        backtrace: Vec::new(),
        fuel: None,
        callers: Vec::new(),
        retry_after_ms: None,
        by_caller: false,
    }
}

fn problems(view: &dyn StateView, id: &ComponentId) -> Result<Vec<DependencyProblem>, RegistryError> {
    let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
    let mut problems = Vec::new();
    for unresolved in &entry.unresolved {
        let error = domain::plan::PlanError::of_unresolved(id, unresolved, &[]);
        problems.push(DependencyProblem {
            need: unresolved.need.to_string(),
            fault: DependencyFault::Missing,
            message: error.to_string(),
        });
    }
    for on in entry.dependency_ids() {
        let (fault, message) = match view.entry(&on)?.map(|dependency| dependency.status) {
            None => (DependencyFault::Missing, format!("missing dependency: {on}")),
            Some(Status::Error) => (DependencyFault::InError, format!("dependency in error: {on}")),
            Some(Status::Active) => continue,
            Some(Status::Discovered | Status::Registered | Status::Inactive) => {
                (DependencyFault::NotActive, format!("dependency not active: {on}"))
            }
        };
        problems.push(DependencyProblem { need: on.to_string(), fault, message });
    }
    Ok(problems)
}
