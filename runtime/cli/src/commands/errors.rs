use domain::ComponentId;
use domain::failure::{FAILURES_MAX, LoggedFailure};
use domain::text::{escape_block, escape_line};
use registry::{Outcomes, Registry};
use serde::Serialize;

use crate::commands::print_outcomes;
use crate::dto::OutcomesDoc;
use crate::error::{CliError, Done};
use crate::output::{human_count, plural};
use crate::select::{Selected, resolve_all};
use crate::session::Session;
use crate::style::Paint;

/// Show or clear the history of failures, newest first
///
/// Clearing empties the history shown and leads a component in error back to `registered`; the journal keeps all of it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime errors
  runtime errors demo:flaky --limit 5
  runtime errors --clear demo:flaky")]
pub(crate) struct Args {
    /// Components [default: all]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,

    /// Clear the error status and the history shown
    #[arg(long)]
    pub(crate) clear: bool,

    /// With `--clear`: of all components that failed
    #[arg(long, requires = "clear", conflicts_with = "ids")]
    pub(crate) all: bool,

    /// Show at most this many
    #[arg(long, value_name = "NUMBER", default_value_t = FAILURES_MAX)]
    pub(crate) limit: usize,
}

#[derive(Debug, Serialize)]
struct ErrorsDoc {
    errors: Vec<FailureRow>,
}

#[derive(Debug, Serialize)]
struct FailureRow {
    id: ComponentId,
    seq: u64,
    at: String,
    phase: &'static str,
    kind: &'static str,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    function: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    backtrace: Vec<String>,
    revision: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    callers: Vec<ComponentId>,
    count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
    /// Whether a bound of the caller's was reached: it does not count against the component.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    by_caller: bool,
}

impl From<LoggedFailure> for FailureRow {
    fn from(logged: LoggedFailure) -> Self {
        let failure = logged.failure;
        Self {
            id: failure.component,
            seq: logged.seq,
            at: failure.at.to_string(),
            phase: failure.phase.as_str(),
            kind: failure.kind.as_str(),
            message: failure.message,
            function: failure.function,
            backtrace: failure.backtrace,
            revision: failure.revision,
            fuel: failure.fuel,
            callers: failure.callers,
            count: logged.count,
            retry_after_ms: failure.retry_after_ms,
            by_caller: failure.by_caller,
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    if args.clear && args.ids.is_empty() && !args.all {
        return Err(CliError::usage("`--clear` needs the components to clear, or `--all`"));
    }
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    if args.clear {
        return clear(session, registry, selected, args.all).await;
    }
    if let Some(failed) = selected.failed.into_iter().next() {
        return Err(failed.error);
    }
    let mut failures = Vec::new();
    if selected.targets.is_empty() {
        failures = registry.errors(None, args.limit).await?;
    }
    for target in &selected.targets {
        failures.extend(registry.errors(Some(&target.id), args.limit).await?);
    }
    failures.sort_by_key(|logged| std::cmp::Reverse(logged.seq));
    failures.truncate(args.limit);
    let document = ErrorsDoc { errors: failures.into_iter().map(FailureRow::from).collect() };
    session.out.result(&document, |document, paint| text(&document.errors, paint))?;
    Ok(Done::All)
}

async fn clear(session: &Session, registry: &Registry, selected: Selected, all: bool) -> Result<Done, CliError> {
    let mut ids = selected.ids();
    if all {
        let failed = |view: &&registry::EntryView| !view.entry.is_healthy() || view.entry.error_count > 0;
        let entries = registry.list(&domain::filter::Filter::default()).await?;
        ids = entries.iter().filter(failed).map(|view| view.entry.id.clone()).collect();
    }
    let mut outcomes = Outcomes::default();
    for id in ids {
        match registry.clear_errors(&id).await {
            Ok(()) => outcomes.done.push(id),
            Err(error) => outcomes.failed.push((id, error)),
        }
    }
    let document = OutcomesDoc::new(selected.failed, outcomes);
    print_outcomes(session, &document, |document, paint| match document.done.as_slice() {
        [] if document.failed.is_empty() => format!("{}\n", paint.dim("no failures")),
        done => done.iter().map(|id| format!("cleared {}\n", paint.bold(id.as_str()))).collect(),
    })
}

fn text(errors: &[FailureRow], paint: Paint) -> String {
    if errors.is_empty() {
        return format!("{}\n", paint.dim("no failures"));
    }
    let mut text = String::new();
    for row in errors {
        let function = row.function.as_ref().map(|name| format!(" in {}", escape_line(name))).unwrap_or_default();
        let times = if row.count > 1 { format!(", {} times", human_count(row.count)) } else { String::new() };
        let fuel = row.fuel.map(|fuel| format!(", {} fuel used", human_count(fuel))).unwrap_or_default();
        text.push_str(&format!(
            "{} {} {} during {}{function}\n",
            paint.dim(&row.at),
            paint.bold(row.id.as_str()),
            paint.red(row.kind),
            row.phase,
        ));
        for line in escape_block(&row.message).lines() {
            text.push_str(&format!("  {line}\n"));
        }
        for frame in &row.backtrace {
            text.push_str(&format!("{}\n", paint.dim(&format!("    at {}", escape_line(frame)))));
        }
        let callers: Vec<_> = row.callers.iter().map(ComponentId::as_str).collect();
        let route = if callers.is_empty() { String::new() } else { format!(", called by {}", callers.join(" → ")) };
        let whose = if row.by_caller { ", a bound of the caller's" } else { "" };
        let about = format!("  revision {}{fuel}{times}{route}{whose}, event {}", row.revision, row.seq);
        text.push_str(&format!("{}\n", paint.dim(&about)));
    }
    text.push_str(&format!("{}\n", paint.dim(&plural(errors.len(), "failure"))));
    text
}
