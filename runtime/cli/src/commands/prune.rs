use std::time::Duration;

use domain::ComponentId;
use registry::PruneReport;
use serde::Serialize;

use crate::args::duration;
use crate::commands::print_failed;
use crate::dto::FailedDoc;
use crate::error::{CliError, Done};
use crate::output::plural;
use crate::session::Session;

/// Unregister components that nobody has used for long
///
/// Those that are not active, that were registered, changed and called last longer ago than `--unused-for`, and that nothing needs which
/// stays. `runtime gc` then removes their bytes.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime prune --unused-for 90d --dry-run
  runtime prune --unused-for 90d")]
pub(crate) struct Args {
    /// How long they must not have been used
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) unused_for: Duration,

    /// Only say which would go
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Serialize)]
struct PruneDoc {
    dry_run: bool,
    pruned: Vec<UnusedDoc>,
    /// Unused ones that something else needs.
    needed: Vec<NeededDoc>,
    failed: Vec<FailedDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CliError>,
}

#[derive(Debug, Serialize)]
struct UnusedDoc {
    id: ComponentId,
    status: &'static str,
    last_used: String,
    last_accessed: Option<String>,
}

#[derive(Debug, Serialize)]
struct NeededDoc {
    id: ComponentId,
    by: ComponentId,
}

impl PruneDoc {
    fn new(dry_run: bool, report: PruneReport) -> Self {
        let failed: Vec<_> = report.failed.iter().map(|(id, error)| FailedDoc::new(id.as_str(), error)).collect();
        Self {
            dry_run,
            pruned: report
                .pruned
                .into_iter()
                .map(|unused| UnusedDoc {
                    id: unused.id,
                    status: unused.status.as_str(),
                    last_used: unused.last_used.to_string(),
                    last_accessed: unused.last_accessed.map(|at| at.to_string()),
                })
                .collect(),
            needed: report.needed.into_iter().map(|(id, by)| NeededDoc { id, by }).collect(),
            error: failed.first().map(|failed| failed.error.clone()),
            failed,
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let document = PruneDoc::new(args.dry_run, registry.prune(args.unused_for, args.dry_run).await?);
    session.out.result(&document, |document, paint| {
        let verb = if document.dry_run { "would unregister" } else { "unregistered" };
        let mut text = String::new();
        for unused in &document.pruned {
            text.push_str(&format!("{verb} {}, last used {}\n", paint.bold(unused.id.as_str()), unused.last_used));
        }
        for needed in &document.needed {
            text.push_str(&paint.dim(&format!("{} stays: {} needs it\n", needed.id, needed.by)));
        }
        if document.pruned.is_empty() {
            text.push_str(&format!("{}\n", paint.dim("nothing to prune")));
        } else {
            text.push_str(&format!("{}\n", paint.dim(&plural(document.pruned.len(), "component"))));
        }
        text
    })?;
    print_failed(session, &document.failed);
    Ok(Done::of(document.error.as_ref()))
}
