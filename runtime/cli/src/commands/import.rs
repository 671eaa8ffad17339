use std::path::PathBuf;

use domain::ComponentId;
use domain::ports::Durability;
use registry::ImportReport;
use serde::Serialize;

use crate::commands::print_failed;
use crate::commands::register::RegisteredDoc;
use crate::dto::FailedDoc;
use crate::error::{CliError, Done};
use crate::output::plural;
use crate::progress;
use crate::session::Session;

/// Register the components of an archive
///
/// What `runtime export` wrote: all of it is checked before the first component is registered, dependencies first. Nothing is activated.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime import report.tar
  runtime import everything.tar && runtime activate --all")]
pub(crate) struct Args {
    /// Archive to read
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// What each change survives until the end, when all is as safe as the settings say: power, process or none
    #[arg(long, value_name = "LEVEL")]
    pub(crate) durability: Option<Durability>,
}

#[derive(Debug, Serialize)]
struct ImportDoc {
    registered: Vec<RegisteredDoc>,
    failed: Vec<FailedDoc>,
    declared: Vec<DeclaredDoc>,
    undeclared: Vec<FailedDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CliError>,
}

#[derive(Debug, Serialize)]
struct DeclaredDoc {
    id: ComponentId,
    on: ComponentId,
}

impl From<ImportReport> for ImportDoc {
    fn from(report: ImportReport) -> Self {
        let failed: Vec<_> = report.failed.iter().map(|(id, error)| FailedDoc::new(id.as_str(), error)).collect();
        let undeclared: Vec<_> =
            report.undeclared.iter().map(|(id, _, error)| FailedDoc::new(id.as_str(), error)).collect();
        Self {
            registered: report.registered.into_iter().map(RegisteredDoc::from).collect(),
            declared: report.declared.into_iter().map(|(id, on)| DeclaredDoc { id, on }).collect(),
            error: failed.first().or(undeclared.first()).map(|failed| failed.error.clone()),
            failed,
            undeclared,
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let mut bar = None;
    let imported = registry
        .with_durability(args.durability)
        .import(&session.existing(&args.file)?, |done, count| {
            bar.get_or_insert_with(|| progress::counter(&session.terminal, "importing", count))
                .set_position(done as u64);
        })
        .await;
    if let Some(bar) = bar {
        bar.finish_and_clear();
    }
    let document = ImportDoc::from(imported?);
    session.out.result(&document, |document, paint| {
        let mut text: String = document.registered.iter().map(|registered| registered.line(paint)).collect();
        for declared in &document.declared {
            text.push_str(&format!("{} depends on {}\n", paint.bold(declared.id.as_str()), declared.on));
        }
        text + &format!("{}\n", paint.dim(&plural(document.registered.len(), "component")))
    })?;
    print_failed(session, &document.failed);
    print_failed(session, &document.undeclared);
    Ok(Done::of(document.error.as_ref()))
}
