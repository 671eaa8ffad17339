use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use domain::{ComponentId, Status};
use registry::{Outcomes, Registry};
use serde::Serialize;

use crate::commands::{print_each, print_outcomes};
use crate::dto::{BesideDoc, FailedDoc, OutcomesDoc};
use crate::error::{CliError, Done};
use crate::instances::InstancesDoc;
use crate::select::{Selected, resolve_all};
use crate::session::Session;
use crate::style::Paint;
use crate::supervision::SupervisionDoc;

/// Show or set the status of components
///
/// Setting a status carries out the operation that leads there: `active` activates, `inactive` deactivates, `error` marks with
/// `--message`, `registered` clears an error.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime status demo:greeter
  runtime status demo:greeter --set inactive
  runtime status demo:greeter --set error --message 'answers are wrong'
  echo '{\"demo:log\": \"active\", \"demo:text\": \"inactive\"}' | runtime status --set-from -")]
pub(crate) struct Args {
    /// Components: `namespace:name`, or bare names that are unique
    #[arg(value_name = "ID", required_unless_present = "set_from")]
    pub(crate) ids: Vec<String>,

    /// Status to bring them to
    #[arg(long, value_name = "STATUS")]
    pub(crate) set: Option<Status>,

    /// Why, for `--set error`
    #[arg(long, value_name = "TEXT", requires = "set")]
    pub(crate) message: Option<String>,

    /// JSON object of ids and statuses, `-` for standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["ids", "set"])]
    pub(crate) set_from: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct StatusDoc {
    id: ComponentId,
    status: &'static str,
    healthy: bool,
    instance: &'static str,
    instances: InstancesDoc,
    supervision: SupervisionDoc,
    error_count: u64,
    last_error: Option<String>,
    /// Revisions beside the one in service.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    beside: Vec<BesideDoc>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    if args.message.is_some() && args.set != Some(Status::Error) {
        return Err(CliError::usage("`--message` goes with `--set error`"));
    }
    if let Some(file) = &args.set_from {
        let wanted = read_wanted(session, file)?;
        return set_many(session, wanted).await;
    }
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    match args.set {
        None => show(session, registry, args.ids.len(), selected).await,
        Some(status) => set_all(session, registry, selected, status, args.message).await,
    }
}

async fn show(session: &Session, registry: &Registry, asked: usize, selected: Selected) -> Result<Done, CliError> {
    let made = selected.documents(async |target| {
        let view = registry.get(&target.id).await?;
        Ok(StatusDoc {
            id: target.id.clone(),
            status: view.entry.status.as_str(),
            healthy: view.entry.is_healthy(),
            instance: view.instance.as_str(),
            instances: InstancesDoc::from(&view),
            supervision: SupervisionDoc::from(&view),
            error_count: view.entry.error_count,
            last_error: view.entry.last_error.clone(),
            beside: view.beside.iter().map(BesideDoc::from).collect(),
        })
    });
    let (documents, failed) = made.await;
    print_each(session, "components", asked, documents, failed, |document, paint| {
        let status = document.status.parse::<Status>();
        let status = status.map_or_else(|_| document.status.to_owned(), |status| paint.status(status));
        let health = if document.healthy || document.status == "error" { "" } else { ", unhealthy" };
        let error = document.last_error.as_ref().map(|e| format!(": {}", domain::text::escape_line(e)));
        let instances = match document.status == Status::Active.as_str() {
            true => format!(" ({})", document.instances.words()),
            false => String::new(),
        };
        let watched: String =
            document.supervision.words().iter().map(|line| format!("  {}\n", paint.dim(line))).collect();
        let beside: String = document.beside.iter().map(|beside| format!("  {}\n", beside.words())).collect();
        format!("{} {status}{health}{instances}{}\n{watched}{beside}", document.id, error.unwrap_or_default())
    })
}

async fn set_all(
    session: &Session,
    registry: &Registry,
    selected: Selected,
    status: Status,
    message: Option<String>,
) -> Result<Done, CliError> {
    let mut outcomes = Outcomes::default();
    for id in selected.ids() {
        match registry.set_status(&id, status, message.clone()).await {
            Ok(()) => outcomes.done.push(id),
            Err(error) => outcomes.failed.push((id, error)),
        }
    }
    let document = OutcomesDoc::new(selected.failed, outcomes);
    finish(session, &document, |_, paint| paint.status(status))
}

async fn set_many(session: &Session, wanted: BTreeMap<String, Status>) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let mut failed = Vec::new();
    let mut statuses = Vec::new();
    for (name, status) in wanted {
        match registry.resolve(&name).await {
            Ok(target) => statuses.push((target.id, status)),
            Err(error) => failed.push(FailedDoc::new(&name, &error)),
        }
    }
    let word: BTreeMap<_, _> = statuses.iter().cloned().collect();
    let document = OutcomesDoc::new(failed, registry.set_statuses(statuses).await);
    finish(session, &document, |id, paint| word.get(id).map(|status| paint.status(*status)).unwrap_or_default())
}

fn finish(
    session: &Session,
    document: &OutcomesDoc,
    status: impl Fn(&ComponentId, Paint) -> String,
) -> Result<Done, CliError> {
    print_outcomes(session, document, |document, paint| {
        let same = document.unchanged.iter();
        document.done.iter().chain(same).map(|id| format!("{id} {}\n", status(id, paint))).collect()
    })
}

/// Reads an object of ids and statuses.
fn read_wanted(session: &Session, file: &Path) -> Result<BTreeMap<String, Status>, CliError> {
    let text = if file == Path::new("-") { session.input() } else { std::fs::read_to_string(session.path(file)) };
    let text = text.map_err(|error| CliError::file(file, "read", &error))?;
    serde_json::from_str(&text).map_err(|error| {
        CliError::usage(format!("{} is not an object of ids and statuses: {error}", file.display()))
            .hint("for instance {\"demo:log\": \"active\", \"demo:text\": \"inactive\"}")
    })
}
