use domain::ComponentId;
use registry::{RevisionView, VersionsView};
use serde::Serialize;

use domain::text::escape_line;

use crate::commands::print_each;
use crate::dto::{BesideDoc, GrantDoc};
use crate::error::{CliError, Done};
use crate::lock::{BoundDoc, LastActivationDoc};
use crate::output::human_size;
use crate::select::{ID_HELP, resolve_all};
use crate::session::Session;
use crate::style::Paint;
use crate::table::Table;

/// List all revisions of a component
///
/// Oldest first: which is in service, which waits for its activation, what each asks for. Below stands what the needs of the revision
/// that was activated last were bound to.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime versions demo:log
  runtime versions demo:log -o json")]
pub(crate) struct Args {
    #[arg(required = true, value_name = "ID", help = ID_HELP)]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct VersionsDoc {
    id: ComponentId,
    status: &'static str,
    current: u32,
    newest: u32,
    /// The revision to which a rollback goes.
    rollback_to: Option<u32>,
    revisions: Vec<RevisionDoc>,
}

#[derive(Debug, Serialize)]
struct RevisionDoc {
    revision: u32,
    version: String,
    digest: String,
    size: u64,
    registered_at: String,
    /// Whether the entry points to it.
    current: bool,
    /// Whether it is in service.
    active: bool,
    /// What it is beside the one in service, where it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<BesideDoc>,
    /// Whether it waits for its activation.
    waiting: bool,
    asks: Vec<GrantDoc>,
    ungranted: Vec<GrantDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    activation: Option<LastActivationDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<Vec<BoundDoc>>,
}

impl From<&VersionsView> for VersionsDoc {
    fn from(view: &VersionsView) -> Self {
        Self {
            id: view.entry.id.clone(),
            status: view.entry.status.as_str(),
            current: view.entry.revision.number,
            newest: view.entry.newest,
            rollback_to: view.rollback_to,
            revisions: view.revisions.iter().map(RevisionDoc::from).collect(),
        }
    }
}

impl From<&RevisionView> for RevisionDoc {
    fn from(view: &RevisionView) -> Self {
        let revision = &*view.revision;
        let activation = view.activation.as_deref();
        Self {
            revision: revision.number,
            version: revision.version.to_string(),
            digest: revision.digest.to_string(),
            size: revision.size,
            registered_at: revision.registered_at.to_string(),
            current: view.is_current,
            active: view.is_active,
            beside: view.beside.as_ref().map(BesideDoc::from),
            waiting: view.is_waiting,
            asks: view.asks.iter().map(GrantDoc::from).collect(),
            ungranted: view.missing.iter().map(GrantDoc::from).collect(),
            description: revision.description.clone(),
            path: revision.path.clone(),
            activation: activation.map(LastActivationDoc::from),
            lock: activation.map(|activation| activation.lock.iter().map(BoundDoc::from).collect()),
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    let made = selected.documents(async |target| Ok(VersionsDoc::from(&registry.versions(&target.id).await?)));
    let (documents, failed) = made.await;
    print_each(session, "components", args.ids.len(), documents, failed, text)
}

/// Shortened digests have so many digits.
const DIGEST_SHOWN: usize = "sha256:".len() + 12;

fn text(document: &VersionsDoc, paint: Paint) -> String {
    let mut text = format!("{} {}\n", paint.bold(document.id.as_str()), document.status);
    let mut table = Table::new(&[">REVISION", "VERSION", "STATE", "DIGEST", ">SIZE", "REGISTERED", "ASKS FOR"]);
    for revision in &document.revisions {
        let asks: Vec<_> = revision.asks.iter().map(|grant| escape_line(&grant.text).into_owned()).collect();
        table.row(vec![
            revision.revision.to_string().into(),
            revision.version.clone().into(),
            state(document, revision).into(),
            revision.digest.get(..DIGEST_SHOWN).unwrap_or(&revision.digest).into(),
            human_size(revision.size).into(),
            seconds(&revision.registered_at).into(),
            asks.join(", ").into(),
        ]);
    }
    text.push_str(&table.render());
    for beside in document.revisions.iter().filter_map(|revision| revision.beside.as_ref()) {
        text.push_str(&format!("  {}\n", beside.words()));
    }
    for revision in &document.revisions {
        for bound in revision.lock.iter().flatten() {
            let (need, on) = (bound.need_text(), bound.on());
            text.push_str(&format!("  {need} → {on} {} (revision {})\n", bound.version, bound.revision));
        }
    }
    text
}

/// Leaves the fraction of a second out of a time.
fn seconds(at: &str) -> String {
    match at.split_once('.') {
        Some((seconds, _)) => format!("{seconds}Z"),
        None => at.to_owned(),
    }
}

fn state(document: &VersionsDoc, revision: &RevisionDoc) -> &'static str {
    match (revision.active, revision.current, revision.waiting) {
        (true, _, _) => "active",
        _ if revision.beside.as_ref().is_some_and(|beside| beside.status == "active") => "beside",
        (_, true, _) => "current",
        (_, _, true) => "waiting",
        _ if document.rollback_to == Some(revision.revision) => "before",
        _ => "",
    }
}
