use domain::graph::path_text;
use domain::{ComponentId, ErrorKind, VersionReq};
use serde::Serialize;

use crate::commands::print_failed;
use crate::dto::FailedDoc;
use crate::error::{CliError, Done};
use crate::select::{ID_HELP, resolve_all};
use crate::session::Session;
use crate::style::Paint;

/// Declare that a component needs others
///
/// Declared dependencies stand beside those that imports give; they order activation and guard against removal. One that would close
/// a cycle is refused, and the cycle is printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime depend demo:report --on demo:clock
  runtime depend demo:report --on demo:clock demo:log --range '^1.2'
  runtime depend demo:log --on demo:report --dry-run")]
pub(crate) struct Args {
    #[arg(value_name = "ID", help = ID_HELP)]
    pub(crate) id: String,

    /// Components that it needs
    #[arg(long, required = true, num_args = 1.., value_name = "ID")]
    pub(crate) on: Vec<String>,

    /// Versions that will do [default: any]
    #[arg(long, value_name = "RANGE")]
    pub(crate) range: Option<VersionReq>,

    /// Say whether a cycle would close, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Serialize)]
struct DependDoc {
    id: ComponentId,
    done: Vec<ComponentId>,
    unchanged: Vec<ComponentId>,
    failed: Vec<FailedDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dry_run: Option<Vec<CheckedDoc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CliError>,
}

/// Whether one edge would close a cycle.
#[derive(Debug, Serialize)]
struct CheckedDoc {
    on: ComponentId,
    would_cycle: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    cycle: Option<Vec<ComponentId>>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let id = registry.resolve_current(&args.id).await?.id;
    let selected = resolve_all(registry, &args.on).await;
    let mut document = DependDoc {
        id: id.clone(),
        done: vec![],
        unchanged: vec![],
        failed: selected.failed,
        dry_run: args.dry_run.then(Vec::new),
        error: None,
    };
    for target in selected.targets {
        if let Some(checked) = &mut document.dry_run {
            match registry.would_cycle(&id, &target.id).await {
                Ok(cycle) => checked.push(CheckedDoc { on: target.id, would_cycle: cycle.is_some(), cycle }),
                Err(error) => document.failed.push(FailedDoc::new(&target.id, &error)),
            }
            continue;
        }
        match registry.add_dependency(&id, &target.id, args.range.clone()).await {
            Ok(true) => document.done.push(target.id),
            Ok(false) => document.unchanged.push(target.id),
            Err(error) => document.failed.push(FailedDoc::new(&target.id, &error)),
        }
    }
    let cycle = document.dry_run.iter().flatten().find_map(|checked| checked.cycle.as_deref());
    let cycle = cycle.map(|cycle| {
        let message = format!("the dependency would close a cycle: {}", path_text(cycle));
        CliError::found(ErrorKind::Conflict, "circular-dependency", message).about(&id)
    });
    document.error = document.failed.first().map(|failed| failed.error.clone()).or_else(|| cycle.clone());
    session.out.result(&document, text)?;
    print_failed(session, &document.failed);
    if let (Some(cycle), false) = (&cycle, session.out.is_json()) {
        cycle.print(None, &session.terminal);
    }
    Ok(Done::of(document.error.as_ref()))
}

fn text(document: &DependDoc, paint: Paint) -> String {
    let id = paint.bold(document.id.as_str());
    let done = document.done.iter().map(|on| format!("{id} needs {on}\n"));
    let unchanged = document.unchanged.iter().map(|on| format!("unchanged: {id} needs {on}\n"));
    let checked = document.dry_run.iter().flatten().filter(|checked| !checked.would_cycle);
    let checked = checked.map(|checked| format!("{id} could need {}: no cycle\n", checked.on));
    done.chain(unchanged).chain(checked).collect()
}
