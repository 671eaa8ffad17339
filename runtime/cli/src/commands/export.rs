use std::path::PathBuf;

use domain::ComponentId;
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::output::{human_size, plural};
use crate::progress;
use crate::select::resolve_all;
use crate::session::Session;

/// Write components and all that they need to one archive
///
/// Bytes, manifests, configuration and declared dependencies, for `runtime import` into another registry. Of each component the revision
/// that its entry points to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime export everything.tar
  runtime export report.tar demo:report")]
pub(crate) struct Args {
    /// Archive to write
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,

    /// Components [default: all]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ExportDoc {
    path: String,
    bytes: u64,
    components: Vec<ExportedDoc>,
}

#[derive(Debug, Serialize)]
struct ExportedDoc {
    id: ComponentId,
    version: String,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    let ids = selected.ids();
    if let Some(failed) = selected.failed.into_iter().next() {
        return Err(failed.error);
    }
    let (bar, tell) = progress::bytes(&session.terminal, "exporting");
    let exported = registry.export(&ids, &session.path(&args.file), tell).await;
    bar.finish_and_clear();
    let report = exported?;
    let components = report.components.into_iter();
    let document = ExportDoc {
        path: report.path.display().to_string(),
        bytes: report.bytes,
        components: components.map(|(id, version)| ExportedDoc { id, version: version.to_string() }).collect(),
    };
    session.out.result(&document, |document, paint| {
        let mut text = String::new();
        for component in &document.components {
            text.push_str(&format!("exported {} {}\n", paint.bold(component.id.as_str()), component.version));
        }
        let (count, size) = (plural(document.components.len(), "component"), human_size(document.bytes));
        text + &format!("{}\n", paint.dim(&format!("{count}, {size} in {}", domain::text::escape_line(&document.path))))
    })?;
    Ok(Done::All)
}
