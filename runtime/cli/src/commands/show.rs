use domain::Status;
use domain::text::{escape_block, escape_line};

use crate::commands::print_each;
use crate::dto::{BesideDoc, DependencyDoc, EntryDoc, FusedDoc, GrantDoc};
use crate::error::{CliError, Done};
use crate::limits;
use crate::lock::BoundDoc;
use crate::output::{human_count, human_size};
use crate::select::{ID_HELP, resolve_versions};
use crate::session::Session;
use crate::style::Paint;

/// Show everything about a component
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime show demo:greeter
  runtime show demo:greeter -o json")]
pub(crate) struct Args {
    #[arg(required = true, value_name = "ID", help = ID_HELP)]
    pub(crate) ids: Vec<String>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_versions(registry, &args.ids).await;
    let made = selected.documents(async |target| Ok(EntryDoc::from(&registry.get_target(target).await?)));
    let (documents, failed) = made.await;
    print_each(session, "components", args.ids.len(), documents, failed, text)
}

/// Collects lines of a name and a value, aligned.
struct Sheet {
    text: String,
    paint: Paint,
}

impl Sheet {
    fn line(&mut self, name: &str, value: &str) {
        self.text.push_str(&format!("  {} {}\n", self.paint.dim(&format!("{name:<14}")), value));
    }

    fn lines(&mut self, name: &str, values: impl IntoIterator<Item = String>) {
        let mut name = name;
        for value in values {
            self.line(name, &value);
            name = "";
        }
    }
}

fn text(entry: &EntryDoc, paint: Paint) -> String {
    let status = entry.status.parse::<Status>().map_or_else(|_| entry.status.to_owned(), |status| paint.status(status));
    let mut sheet = Sheet { text: format!("{} {}\n", paint.bold(entry.id.as_str()), entry.version), paint };
    if let Some(description) = &entry.description {
        sheet.text.push_str(&format!("  {}\n", escape_line(description)));
    }
    sheet.line(
        "status",
        &if entry.healthy || entry.status == "error" { status } else { format!("{status}, unhealthy") },
    );
    if let Some(error) = &entry.last_error {
        sheet.lines("last error", escape_block(error).lines().map(str::to_owned));
    }
    sheet.line("kind", &entry.kind);
    sheet.line("instance", entry.instance);
    sheet.line("instances", &entry.instances.words());
    sheet.lines("supervision", supervision(entry));
    sheet.line("revision", &revision(entry));
    sheet.lines("beside it", entry.beside.iter().map(beside));
    sheet.line("digest", &entry.digest);
    sheet.line("size", &human_size(entry.size));
    sheet.lines("imports", entry.imports.iter().map(|name| escape_line(name).into_owned()));
    sheet.lines("exports", entry.exports.iter().map(|name| escape_line(name).into_owned()));
    sheet.lines("needs", entry.dependencies.iter().map(dependency));
    sheet.lines("bound to", entry.lock.iter().map(bound));
    sheet.lines("fused with", entry.fused.iter().flat_map(fused));
    sheet.lines(
        "unresolved",
        entry.unresolved_reasons.iter().map(|unresolved| escape_line(&unresolved.message).into_owned()),
    );
    sheet.lines("needed by", entry.dependents.iter().map(ToString::to_string));
    show_limits(&mut sheet, entry);
    sheet.lines("granted", granted(entry));
    sheet.lines("asks for", asked(entry));
    sheet
        .lines("config", entry.config.iter().map(|(key, value)| escape_line(&format!("{key} = {value}")).into_owned()));
    sheet.lines(
        "metadata",
        entry.metadata.iter().map(|(key, value)| escape_line(&format!("{key} = {value}")).into_owned()),
    );
    sheet.lines("path", entry.path.iter().map(|path| escape_line(path).into_owned()));
    sheet.line("registered", &entry.registered_at);
    sheet.line("used", &used(entry));
    sheet.text
}

/// Returns what holds, then what is going on.
fn supervision(entry: &EntryDoc) -> Vec<String> {
    let supervision = &entry.supervision;
    let mut lines = vec![format!("restart {}, breaker {}", supervision.restart, supervision.breaker)];
    lines.extend(supervision.words());
    lines
}

fn revision(entry: &EntryDoc) -> String {
    match entry.waiting_revision {
        Some(waiting) => format!("{} (revision {waiting} waits for its activation)", entry.revision),
        None => entry.revision.to_string(),
    }
}

fn beside(beside: &BesideDoc) -> String {
    let needed_by: Vec<_> = beside.needed_by.iter().map(|id| id.as_str()).collect();
    let error = beside.last_error.as_ref().map(|error| format!(": {}", escape_line(error))).unwrap_or_default();
    format!("{} (revision {}), {}, for {}{error}", beside.id, beside.revision, beside.status, needed_by.join(", "))
}

fn dependency(edge: &DependencyDoc) -> String {
    match (&edge.interface, &edge.range) {
        (Some(interface), _) => format!("{} for {}", edge.id, escape_line(interface)),
        (None, Some(range)) => format!("{} {range} declared by {}", edge.id, edge.declared_by.unwrap_or_default()),
        (None, None) => edge.id.to_string(),
    }
}

fn bound(bound: &BoundDoc) -> String {
    format!("{} {} (revision {}) for {}", bound.on(), bound.version, bound.revision, bound.need_text())
}

/// Returns those that it is fused with, then what is to be said of that.
fn fused(fused: &FusedDoc) -> Vec<String> {
    let mut lines: Vec<_> = fused.with.iter().map(ToString::to_string).collect();
    if fused.shares_grants {
        lines.push("(their code has its grants)".to_owned());
    }
    lines.extend(fused.problem.iter().map(|problem| format!("but {}", escape_line(problem))));
    lines
}

fn show_limits(sheet: &mut Sheet, entry: &EntryDoc) {
    let (set, by_default) = limits::lines(&entry.limits, &entry.limit_sources);
    sheet.lines("limits", set);
    sheet.lines("default limits", by_default);
}

fn granted(entry: &EntryDoc) -> Vec<String> {
    entry.grants.granted.iter().map(|granted| escape_line(&granted.grant.text).into_owned()).collect()
}

/// Returns what is asked for, marked where it was not granted.
fn asked(entry: &EntryDoc) -> Vec<String> {
    let is_missing = |asked: &GrantDoc| entry.grants.missing.iter().any(|missing| missing.is_of(asked));
    let line = |asked: &GrantDoc| {
        let missing = if is_missing(asked) { ", not granted" } else { "" };
        format!("{}{missing}", escape_line(&asked.text))
    };
    entry.grants.requested.iter().map(line).collect()
}

fn used(entry: &EntryDoc) -> String {
    let last = entry.last_accessed.as_ref().map(|at| format!(", last at {at}")).unwrap_or_default();
    format!("{} accesses, {} errors{last}", human_count(entry.access_count), human_count(entry.error_count))
}
