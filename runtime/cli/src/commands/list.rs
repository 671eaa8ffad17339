use std::path::PathBuf;

use domain::Status;
use domain::filter::Filter;
use domain::text::escape_line;
use serde::Serialize;

use crate::dto::EntryDoc;
use crate::error::{CliError, Done};
use crate::output::{human_count, plural};
use crate::select::{Filters, resolve_all};
use crate::session::Session;
use crate::style::Paint;
use crate::table::{Cell, Table};

/// List components
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime list
  runtime list --kind skill --status active
  runtime list --where author=Acme --where version=1.2.0
  runtime list --path build/greeter.wasm -o json")]
pub(crate) struct Args {
    /// Only these components
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,

    #[command(flatten)]
    pub(crate) filters: Filters,

    /// Only healthy components: not in error, last health check passed
    #[arg(long)]
    pub(crate) healthy: bool,

    /// Only the component that was registered from this file
    #[arg(long, value_name = "FILE")]
    pub(crate) path: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ListDoc {
    pub(crate) components: Vec<EntryDoc>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let filter = Filter {
        healthy: args.healthy.then_some(true),
        path: args.path.as_deref().map(|path| absolute(&session.path(path))),
        ..args.filters.filter()
    };
    let mut components: Vec<EntryDoc> = registry.list(&filter).await?.iter().map(EntryDoc::from).collect();
    if !args.ids.is_empty() {
        let selected = resolve_all(registry, &args.ids).await;
        if let Some(failed) = selected.failed.into_iter().next() {
            return Err(failed.error);
        }
        components.retain(|entry| selected.targets.iter().any(|target| target.id == entry.id));
    }
    session.out.result(&ListDoc { components }, |document, paint| text(&document.components, paint))?;
    Ok(Done::All)
}

/// Returns the path as revisions keep it; a file that is gone can still be asked for.
fn absolute(path: &std::path::Path) -> String {
    let path = std::fs::canonicalize(path).or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned());
    path.display().to_string()
}

/// Shows entries as a table.
pub(crate) fn text(entries: &[EntryDoc], paint: Paint) -> String {
    if entries.is_empty() {
        return format!("{}\n", paint.dim("no components"));
    }
    let mut table = Table::new(&["ID", "VERSION", "KIND", "STATUS", ">NEEDS", ">CALLS", "DESCRIPTION"]);
    for entry in entries {
        let status: Option<Status> = entry.status.parse().ok();
        let painted = status.map_or_else(|| entry.status.to_owned(), |status| paint.status(status));
        let (word, painted) = match mark(entry) {
            "" => (entry.status.to_owned(), painted),
            mark => (format!("{} {mark}", entry.status), format!("{painted} {}", paint.dim(mark))),
        };
        let description = entry.description.as_deref().unwrap_or_default();
        table.row(vec![
            Cell::painted(entry.id.as_str(), paint.bold(entry.id.as_str())),
            versions(entry).into(),
            entry.kind.clone().into(),
            Cell::painted(&word, painted),
            needs(entry).into(),
            human_count(entry.calls).into(),
            escape_line(&domain::text::truncate(description, 100)).into_owned().into(),
        ]);
    }
    let mut text = table.render();
    text.push_str(&paint.dim(&plural(entries.len(), "component")));
    text.push('\n');
    text
}

/// Says in a word what the status leaves out.
/// Returns the version in service, and those that are active beside it.
fn versions(entry: &EntryDoc) -> String {
    let active = entry.beside.iter().filter(|beside| beside.status == Status::Active.as_str());
    let beside: Vec<_> = active.map(|beside| beside.version.as_str()).collect();
    if beside.is_empty() {
        entry.version.clone()
    } else {
        format!("{}, beside it {}", entry.version, beside.join(", "))
    }
}

fn mark(entry: &EntryDoc) -> &'static str {
    match (&entry.supervision.quarantine, &entry.supervision.waits_for) {
        (Some(_), _) => "(quarantine)",
        (None, Some(_)) => "(waits)",
        (None, None) => "",
    }
}

/// The number of components that the entry needs, with a mark if something is unresolved.
fn needs(entry: &EntryDoc) -> String {
    let mut ids: Vec<_> = entry.dependencies.iter().map(|dependency| &dependency.id).collect();
    ids.sort();
    ids.dedup();
    if entry.unresolved.is_empty() { ids.len().to_string() } else { format!("{}!", ids.len() + entry.unresolved.len()) }
}
