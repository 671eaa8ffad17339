//! Puts in service what `watch` built: through the server of the data folder, or in the folder itself.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::{ComponentId, ErrorKind, Version};
use serde::Deserialize;
use watch::{Outcome, Problem, RegistryService, RevisionName, Service};

use crate::error::CliError;
use crate::remote;
use crate::session::Session;

/// Registers and activates as `register --activate` does, wherever the registry is live at that moment.
pub(crate) struct Placing<'a> {
    pub(crate) session: &'a Session,
    pub(crate) force: bool,
    pub(crate) grant_requested: bool,
}

impl fmt::Display for CliError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Problem for CliError {
    fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl Service for Placing<'_> {
    type Problem = CliError;

    async fn place(&self, paths: &[PathBuf]) -> Result<Vec<Outcome<CliError>>, CliError> {
        let socket = server::socket_path(&self.session.data_folder()?);
        if socket.exists()
            && let Some(outcomes) = self.place_afar(&socket, paths).await?
        {
            return Ok(outcomes);
        }
        self.place_here(paths).await
    }
}

impl Placing<'_> {
    /// Opens the data folder for a moment, so that others can work in it while nothing changes.
    async fn place_here(&self, paths: &[PathBuf]) -> Result<Vec<Outcome<CliError>>, CliError> {
        let registry = self.session.open().await?;
        let service = RegistryService::new(registry.with_force(self.force)).granting_requested(self.grant_requested);
        let placed = service.place(paths).await;
        drop(service);
        self.session.leave(registry).await?;
        Ok(placed?.into_iter().map(|outcome| outcome.map_problem(CliError::from)).collect())
    }

    /// Has the server do it; `None` if there is none.
    async fn place_afar(&self, socket: &Path, paths: &[PathBuf]) -> Result<Option<Vec<Outcome<CliError>>>, CliError> {
        let mut words: Vec<OsString> = ["runtime", "-o", "json"].into_iter().map(OsString::from).collect();
        if self.session.terminal.is_quiet() {
            words.push("-q".into());
        }
        words.extend(["register", "--override", "--activate"].map(OsString::from));
        words.extend(self.force.then(|| "--force".into()));
        words.extend(self.grant_requested.then(|| "--grant-requested".into()));
        words.push("--".into());
        words.extend(paths.iter().map(|path| path.clone().into_os_string()));
        let display = self.session.out.display();
        let answer = remote::ask(socket, words, display, |text| self.session.terminal.print(text)).await?;
        answer.map(|answer| read(&answer, paths, self.session.out.is_json())).transpose()
    }
}

/// What of the document of `register --activate` is used here.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    registered: Vec<RegisteredHere>,
    #[serde(default)]
    failed: Vec<FailedHere>,
    activation: Option<ActivationHere>,
    error: Option<CliError>,
}

#[derive(Deserialize)]
struct RegisteredHere {
    id: ComponentId,
    outcome: String,
    registered_version: Version,
    registered_revision: u32,
    warnings: Vec<String>,
}

#[derive(Deserialize)]
struct FailedHere {
    path: String,
    error: CliError,
}

#[derive(Default, Deserialize)]
struct ActivationHere {
    activated: Vec<ActivatedHere>,
    failed: Vec<NotActivatedHere>,
    skipped: Vec<SkippedHere>,
}

#[derive(Deserialize)]
struct ActivatedHere {
    id: ComponentId,
    duration_us: u64,
    swapped: Option<SwappedHere>,
}

#[derive(Deserialize)]
struct SwappedHere {
    from: Version,
    from_revision: u32,
}

#[derive(Deserialize)]
struct NotActivatedHere {
    id: String,
    error: CliError,
}

#[derive(Deserialize)]
struct SkippedHere {
    id: ComponentId,
    because: ComponentId,
}

/// Finds in a server's answer what came of each path; warnings only where they are `wanted`: on standard error they have been printed.
fn read(answer: &str, paths: &[PathBuf], wanted: bool) -> Result<Vec<Outcome<CliError>>, CliError> {
    let odd = |why: &dyn fmt::Display| CliError::internal(format!("the server's answer means nothing: {why}"));
    let answer: Answer = serde_json::from_str(answer).map_err(|error| odd(&error))?;
    if answer.registered.len() + answer.failed.len() != paths.len() {
        return Err(answer.error.unwrap_or_else(|| odd(&"it is not about what was asked for")));
    }
    let activation = answer.activation.unwrap_or_default();
    let (mut registered, mut failed) = (answer.registered.into_iter(), answer.failed.into_iter().peekable());
    let outcomes = paths.iter().map(|path| {
        // Both lists are in the order of the paths.
        if let Some(failed) = failed.next_if(|failed| failed.path == path.display().to_string()) {
            return Ok(Outcome::Refused(failed.error));
        }
        let mut registered = registered.next().ok_or_else(|| odd(&"a path is missing"))?;
        if !wanted {
            registered.warnings.clear();
        }
        Ok(outcome(registered, &activation))
    });
    outcomes.collect()
}

fn outcome(registered: RegisteredHere, activation: &ActivationHere) -> Outcome<CliError> {
    let RegisteredHere { id, outcome, registered_version: version, registered_revision: number, warnings } = registered;
    let revision = RevisionName { id, version, number };
    let id = &revision.id;
    if let Some(failed) = activation.failed.iter().find(|failed| failed.id == id.as_str()) {
        return Outcome::NotActivated { problem: failed.error.clone(), revision, warnings };
    }
    if let Some(skipped) = activation.skipped.iter().find(|skipped| skipped.id == *id) {
        return Outcome::Skipped { because: skipped.because.clone(), revision };
    }
    match activation.activated.iter().find(|activated| activated.id == *id) {
        Some(activated) => {
            let took = Duration::from_micros(activated.duration_us);
            match &activated.swapped {
                Some(swapped) => {
                    Outcome::Swapped { from: (swapped.from.clone(), swapped.from_revision), revision, took, warnings }
                }
                None => Outcome::Activated { revision, took, warnings },
            }
        }
        None if outcome == "unchanged" => Outcome::Unchanged(revision),
        None => Outcome::Activated { revision, took: Duration::ZERO, warnings },
    }
}
