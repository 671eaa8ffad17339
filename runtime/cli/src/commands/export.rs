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
/// Bytes, manifests, configuration, who provides each import, declared dependencies and what is fused, for `runtime import` into another registry; of the
/// whole registry also its custom indexes and settings. Of each component the revision that its entry points to. What a backup has beside
/// that, the archive has not: other revisions, statuses, saved states, failures, the journal.
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
    indexes: Vec<String>,
    settings: bool,
    left_out: LeftOutDoc,
}

/// What the components have and the archive has not.
#[derive(Debug, Serialize)]
struct LeftOutDoc {
    revisions: u64,
    active: u64,
    states: u64,
    grants: u64,
}

impl LeftOutDoc {
    /// Says in words what would be missed; `None` if that is nothing. That nothing comes active goes without saying.
    fn text(&self) -> Option<String> {
        let counts =
            [(self.revisions, "other revision"), (self.states, "saved state"), (self.grants, "grant")].into_iter();
        let counts = counts.filter(|(count, _)| *count > 0);
        let parts: Vec<_> =
            counts.map(|(count, word)| plural(usize::try_from(count).unwrap_or(usize::MAX), word)).collect();
        (!parts.is_empty()).then(|| format!("not in the archive: {}", parts.join(", ")))
    }
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
        indexes: report.indexes,
        settings: report.settings,
        left_out: LeftOutDoc {
            revisions: report.left_out.revisions,
            active: report.left_out.active,
            states: report.left_out.states,
            grants: report.left_out.grants,
        },
    };
    session.out.result(&document, |document, paint| {
        let mut text = String::new();
        for component in &document.components {
            text.push_str(&format!("exported {} {}\n", paint.bold(component.id.as_str()), component.version));
        }
        let (count, size) = (plural(document.components.len(), "component"), human_size(document.bytes));
        text + &format!("{}\n", paint.dim(&format!("{count}, {size} in {}", domain::text::escape_line(&document.path))))
    })?;
    if let Some(text) = document.left_out.text() {
        session.terminal.note(&text);
        session.terminal.hint("`runtime backup` copies everything");
    }
    Ok(Done::All)
}
