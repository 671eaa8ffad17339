use std::path::PathBuf;

use domain::ComponentId;
use domain::text::escape_line;
use registry::{Candidate, RegisterRequest};
use serde::Serialize;

use crate::commands::register;
use crate::error::{CliError, Done};
use crate::output::plural;
use crate::session::Session;
use crate::style::Paint;
use crate::table::{Cell, Table};

/// List what `register` would find in a folder
///
/// Every candidate is read and inspected, none is registered unless `--register` or `--activate` is given.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime scan components/
  runtime scan components/ --register
  runtime scan . -o json")]
pub(crate) struct Args {
    /// Folders to look in
    #[arg(required = true, value_name = "DIR")]
    pub(crate) folders: Vec<PathBuf>,

    /// Register what was found
    #[arg(long)]
    pub(crate) register: bool,

    /// Register what was found and activate it
    #[arg(long)]
    pub(crate) activate: bool,
}

#[derive(Debug, Serialize)]
struct ScanDoc {
    candidates: Vec<CandidateDoc>,
    #[serde(skip_serializing_if = "Option::is_none", flatten)]
    registration: Option<register::RegisterDoc>,
}

#[derive(Debug, Serialize)]
struct CandidateDoc {
    path: String,
    id: Option<ComponentId>,
    version: Option<String>,
    kind: String,
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CliError>,
}

impl From<&Candidate> for CandidateDoc {
    fn from(candidate: &Candidate) -> Self {
        Self {
            path: candidate.path.display().to_string(),
            id: candidate.id.clone(),
            version: candidate.version.as_ref().map(ToString::to_string),
            kind: candidate.kind.to_string(),
            status: domain::Status::Discovered.as_str(),
            error: candidate.error.as_ref().map(CliError::from),
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let mut candidates = Vec::new();
    for folder in &args.folders {
        candidates.extend(registry.discover(&session.path(folder)).await?);
    }
    let mut document = ScanDoc { candidates: candidates.iter().map(CandidateDoc::from).collect(), registration: None };
    if args.register || args.activate {
        let requests: Vec<RegisterRequest> = candidates.into_iter().map(|candidate| candidate.request).collect();
        document.registration = Some(register::register_found(session, registry, requests, args.activate).await);
    }
    match &document.registration {
        None => {
            session.out.result(&document, text)?;
            Ok(Done::All)
        }
        Some(_) if session.out.is_json() => {
            session.out.json(&document)?;
            Ok(Done::of(document.registration.as_ref().and_then(|registration| registration.error.as_ref())))
        }
        Some(registration) => register::finish(session, registration),
    }
}

fn text(document: &ScanDoc, paint: Paint) -> String {
    let mut table = Table::new(&["ID", "VERSION", "KIND", "PATH"]);
    let mut wrong = String::new();
    for candidate in &document.candidates {
        let path = escape_line(&candidate.path).into_owned();
        match (&candidate.id, &candidate.error) {
            (_, Some(error)) => wrong.push_str(&format!("{} {}\n", paint.red("cannot be registered:"), error.message)),
            (Some(id), None) => table.row(vec![
                Cell::painted(id.as_str(), paint.bold(id.as_str())),
                candidate.version.clone().unwrap_or_default().into(),
                candidate.kind.clone().into(),
                path.into(),
            ]),
            (None, None) => table.row(vec!["".into(), "".into(), candidate.kind.clone().into(), path.into()]),
        }
    }
    let mut text = if table.is_empty() { String::new() } else { table.render() };
    text.push_str(&wrong);
    text.push_str(&format!("{}\n", paint.dim(&format!("{} found", plural(document.candidates.len(), "component")))));
    text
}
