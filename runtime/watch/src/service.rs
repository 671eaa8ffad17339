//! Who registers and activates what was built.

use std::fmt::Display;
use std::path::PathBuf;
use std::time::Duration;

use domain::{ComponentId, ErrorKind, Version};
use registry::{ActivateReport, RegisterOutcome, RegisterRequest, Registered, Registry, RegistryError, Target};

/// One revision of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionName {
    /// The component.
    pub id: ComponentId,
    /// The revision's version.
    pub version: Version,
    /// Its number.
    pub number: u32,
}

/// What came of a component that was handed over.
#[derive(Debug)]
pub enum Outcome<P> {
    /// It is in service as it was.
    Unchanged(RevisionName),
    /// It is in service, and was not before.
    Activated {
        /// What is in service.
        revision: RevisionName,
        /// How long it took.
        took: Duration,
        /// What people should know.
        warnings: Vec<String>,
    },
    /// It took the place of another revision.
    Swapped {
        /// What is in service.
        revision: RevisionName,
        /// The version and number that were.
        from: (Version, u32),
        /// How long it took.
        took: Duration,
        /// What people should know.
        warnings: Vec<String>,
    },
    /// It was registered and did not come into service: what was stays.
    NotActivated {
        /// What was registered.
        revision: RevisionName,
        /// Why.
        problem: P,
        /// What people should know.
        warnings: Vec<String>,
    },
    /// It was registered and not activated, since it needs a component that could not be.
    Skipped {
        /// What was registered.
        revision: RevisionName,
        /// What it needs.
        because: ComponentId,
    },
    /// It was not registered: what was in service stays.
    Refused(P),
}

impl<P> Outcome<P> {
    /// Returns the revision that it was registered as.
    pub fn revision(&self) -> Option<&RevisionName> {
        match self {
            Self::Unchanged(revision)
            | Self::Activated { revision, .. }
            | Self::Swapped { revision, .. }
            | Self::NotActivated { revision, .. }
            | Self::Skipped { revision, .. } => Some(revision),
            Self::Refused(_) => None,
        }
    }

    /// Returns the same with another form of problem.
    pub fn map_problem<Q>(self, map: impl FnOnce(P) -> Q) -> Outcome<Q> {
        match self {
            Self::Unchanged(revision) => Outcome::Unchanged(revision),
            Self::Activated { revision, took, warnings } => Outcome::Activated { revision, took, warnings },
            Self::Swapped { revision, from, took, warnings } => Outcome::Swapped { revision, from, took, warnings },
            Self::NotActivated { revision, problem, warnings } => {
                Outcome::NotActivated { revision, problem: map(problem), warnings }
            }
            Self::Skipped { revision, because } => Outcome::Skipped { revision, because },
            Self::Refused(problem) => Outcome::Refused(map(problem)),
        }
    }

    /// Tells whether it is in service.
    pub fn is_in_service(&self) -> bool {
        match self {
            Self::Unchanged(_) | Self::Activated { .. } | Self::Swapped { .. } => true,
            Self::NotActivated { .. } | Self::Skipped { .. } | Self::Refused(_) => false,
        }
    }
}

/// What a service could not do.
pub trait Problem: Display {
    /// Says whose turn it is.
    fn kind(&self) -> ErrorKind;
}

impl Problem for RegistryError {
    fn kind(&self) -> ErrorKind {
        Self::kind(self)
    }
}

/// Registers and activates components, wherever their registry lives.
pub trait Service {
    /// What it cannot do.
    type Problem: Problem;

    /// Registers what lies at `paths`, as if at once, and activates it; a revision takes the place of an active one while that is
    /// called. Outcomes stand in the order of the paths.
    ///
    /// A version that is registered already may have other bytes: sources change more often than versions.
    ///
    /// # Errors
    /// Where the registry itself cannot be used.
    fn place(&self, paths: &[PathBuf]) -> impl Future<Output = Result<Vec<Outcome<Self::Problem>>, Self::Problem>>;
}

/// The service of a registry in this process.
#[derive(Clone)]
pub struct RegistryService {
    registry: Registry,
    grant_requested: bool,
}

impl RegistryService {
    /// Makes one that registers as [`Registry::register_many`] and activates as [`Registry::activate`]. With
    /// [`Registry::with_force`], also what breaks active components.
    pub fn new(registry: Registry) -> Self {
        Self { registry, grant_requested: false }
    }

    /// Grants each component all that its manifest asks for, whenever it is registered.
    pub fn granting_requested(self, grant_requested: bool) -> Self {
        Self { grant_requested, ..self }
    }
}

impl Service for RegistryService {
    type Problem = RegistryError;

    async fn place(&self, paths: &[PathBuf]) -> Result<Vec<Outcome<RegistryError>>, RegistryError> {
        let request = |path: &PathBuf| RegisterRequest {
            override_version: true,
            grant_requested: self.grant_requested,
            ..RegisterRequest::path(path)
        };
        let registered = self.registry.register_many(paths.iter().map(request).collect()).await;
        let known = registered.iter().filter_map(|result| result.as_ref().ok());
        let targets: Vec<_> = known
            .map(|known| Target { id: known.entry.entry.id.clone(), version: Some(known.version.clone()) })
            .collect();
        let mut report = match targets.is_empty() {
            true => ActivateReport::default(),
            false => self.registry.activate(&targets).await,
        };
        Ok(registered
            .into_iter()
            .map(|result| match result {
                Ok(registered) => outcome(registered, &mut report),
                Err(error) => Outcome::Refused(error),
            })
            .collect())
    }
}

/// Finds what became of one component in the report of all.
fn outcome(registered: Registered, report: &mut ActivateReport) -> Outcome<RegistryError> {
    let id = registered.entry.entry.id.clone();
    let revision = RevisionName { id: id.clone(), version: registered.version, number: registered.revision };
    let warnings = registered.warnings;
    if let Some(at) = report.failed.iter().position(|(failed, _)| *failed == id) {
        let (_, problem) = report.failed.swap_remove(at);
        return Outcome::NotActivated { revision, problem, warnings };
    }
    if let Some(because) = report.skipped.iter().find(|(skipped, _)| *skipped == id).map(|(_, because)| because) {
        return Outcome::Skipped { revision, because: because.clone() };
    }
    match report.activated.iter().find(|activated| activated.id == id) {
        Some(activated) => match &activated.swapped {
            Some(swapped) => Outcome::Swapped {
                revision,
                from: (swapped.from.clone(), swapped.from_revision),
                took: activated.duration,
                warnings,
            },
            None => Outcome::Activated { revision, took: activated.duration, warnings },
        },
        None if registered.outcome == RegisterOutcome::Unchanged => Outcome::Unchanged(revision),
        // Somebody else has put it in service meanwhile.
        None => Outcome::Activated { revision, took: Duration::ZERO, warnings },
    }
}
