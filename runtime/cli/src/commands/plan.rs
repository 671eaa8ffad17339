use domain::ComponentId;
use domain::grant::Revocation;
use domain::text::escape_line;
use registry::{Change, ChangePlan, PlannedRevision, RegisterOutcome, Registry};
use serde::Serialize;

use crate::breaking::{BrokenDoc, ItemDoc, broken_text, items, items_text};
use crate::commands::register::{self, Found, Requested};
use crate::commands::{revoke, use_revision};
use crate::dto::{FailedDoc, GrantDoc, KeptDoc, SkippedDoc, UngrantedDoc};
use crate::error::{CliError, Done};
use crate::output::plural;
use crate::select::{ID_HELP, Selected, resolve_all, resolve_versions};
use crate::session::Session;
use crate::style::Paint;

/// Say what a change would do, and make none
///
/// What would be activated, re-linked and broken: each function that a dependent really imports is compared with what would be there.
/// Nothing is written, not even to the journal. Exit code 4 if something that is active would break, else 0; names and paths that
/// mean nothing are errors as ever.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime plan register build/log.wasm
  runtime plan activate demo:report
  runtime plan use demo:log@1.2.0
  runtime plan unregister demo:log --cascade
  runtime plan revoke demo:report env LANG")]
pub(crate) struct Args {
    #[command(subcommand)]
    pub(crate) change: Planned,
}

/// The change.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Planned {
    /// Registering components, and their coming into service
    Register {
        #[command(flatten)]
        requested: Requested,

        /// Activating them as well, and all that they need
        #[arg(long)]
        activate: bool,
    },
    /// Activating components and all that they need
    Activate {
        #[arg(required = true, value_name = "ID", help = ID_HELP)]
        ids: Vec<String>,
    },
    /// Choosing the revision of a component
    Use {
        /// Component and version: `namespace:name@1.2.0`, or `name@1.2.0` where that is unique
        #[arg(value_name = "ID@VERSION")]
        id: String,

        /// Revision by its number
        #[arg(long, value_name = "NUMBER")]
        revision: Option<u32>,
    },
    /// Going back to the revision before
    Rollback {
        #[arg(value_name = "ID", help = ID_HELP)]
        id: String,

        /// Revision to go back to
        #[arg(long, value_name = "NUMBER")]
        to: Option<u32>,
    },
    /// Taking components out of service
    Deactivate {
        #[arg(required = true, value_name = "ID", help = ID_HELP)]
        ids: Vec<String>,

        /// Along with what depends on them
        #[arg(long)]
        cascade: bool,
    },
    /// Removing components
    Unregister {
        #[arg(required = true, value_name = "ID", help = ID_HELP)]
        ids: Vec<String>,

        /// Along with what depends on them
        #[arg(long)]
        cascade: bool,
    },
    /// Taking authority back from a component
    Revoke {
        #[arg(value_name = "ID", help = ID_HELP)]
        id: String,

        /// Capability: env, folder or clocks; all of them if it is left out
        #[arg(value_name = "CAP")]
        capability: Option<String>,

        /// Name of a variable; a folder or its place
        #[arg(value_name = "SCOPE")]
        scope: Option<String>,
    },
}

/// What a change would do.
#[derive(Debug, Serialize)]
struct PlanDoc {
    operation: &'static str,
    /// Whether something that is active would break.
    breaks: bool,
    revisions: Vec<RevisionDoc>,
    waves: Vec<Vec<ComponentId>>,
    already_active: Vec<ComponentId>,
    stops: Vec<ComponentId>,
    relinked: Vec<RelinkedDoc>,
    /// Revisions that would stay active beside those that take their places.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    kept: Vec<KeptDoc>,
    /// Revisions beside those in service that would end.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ended: Vec<ComponentId>,
    renewed: Vec<ComponentId>,
    broken: Vec<BrokenDoc>,
    /// What would not be done, and why.
    refused: Vec<FailedDoc>,
    skipped: Vec<SkippedDoc>,
    ungranted: Vec<UngrantedDoc>,
    revoked: Vec<GrantDoc>,
    unread: Vec<UnreadDoc>,
    not_looked_at: usize,
    warnings: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CliError>,
}

#[derive(Debug, Serialize)]
struct RevisionDoc {
    id: ComponentId,
    version: String,
    revision: u32,
    /// What registering it would do; not there for one that is registered.
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replaces: Option<ReplacedDoc>,
    /// What it means to those who link with its exports.
    verdict: &'static str,
    exports: Vec<ItemDoc>,
    imports: Vec<ItemDoc>,
    asks_anew: Vec<GrantDoc>,
    ungranted: Vec<GrantDoc>,
}

#[derive(Debug, Serialize)]
struct ReplacedDoc {
    version: String,
    revision: u32,
}

#[derive(Debug, Serialize)]
struct RelinkedDoc {
    id: ComponentId,
    on: ComponentId,
    import: String,
    export: String,
}

#[derive(Debug, Serialize)]
struct UnreadDoc {
    id: ComponentId,
    message: String,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let (change, failed) = change(session, registry, args.change).await?;
    let operation = change.operation();
    let document = PlanDoc::new(operation, failed, registry.plan_change(change).await?);
    session.out.result(&document, text)?;
    for warning in &document.warnings {
        session.terminal.warn(warning);
    }
    for UnreadDoc { id, message } in &document.unread {
        session.terminal.warn(&format!("{id} was not compared: {message}"));
    }
    if document.not_looked_at > 0 {
        let number = document.not_looked_at;
        session.terminal.warn(&format!("{number} more dependents that are not active were not looked at"));
    }
    if let Some(error) = document.error.as_ref().filter(|_| !session.out.is_json()) {
        error.print(None, &session.terminal);
    }
    Ok(Done::of(document.error.as_ref()))
}

/// Reads what was typed; beside the change stand paths that lead to nothing.
async fn change(
    session: &Session,
    registry: &Registry,
    planned: Planned,
) -> Result<(Change, Vec<FailedDoc>), CliError> {
    let change = match planned {
        Planned::Register { requested, activate } => {
            let requested = requested.here(session)?;
            let mut requests = Vec::new();
            let mut failed = Vec::new();
            for found in register::find(session, registry, &requested).await? {
                match found {
                    Found::Request(request) => requests.push(requested.applied_to(session, *request)),
                    Found::Failed(path, error) => failed.push(FailedDoc::new(path.display(), &error)),
                }
            }
            let change = match activate {
                true => Change::RegisterAndActivate(requests),
                false => Change::Register(requests),
            };
            return Ok((change, failed));
        }
        Planned::Activate { ids } => Change::Activate(all(resolve_versions(registry, &ids).await)?.targets),
        Planned::Use { id, revision } => {
            let (id, revision) = use_revision::meant(registry, &id, revision).await?;
            Change::Use { id, revision }
        }
        Planned::Rollback { id, to } => {
            let id = registry.resolve_current(&id).await?.id;
            let revision = registry.rollback_target(&id, to).await?;
            Change::Use { id, revision }
        }
        Planned::Deactivate { ids, cascade } => {
            Change::Deactivate { ids: all(resolve_all(registry, &ids).await)?.ids(), cascade }
        }
        Planned::Unregister { ids, cascade } => {
            Change::Unregister { ids: all(resolve_all(registry, &ids).await)?.ids(), cascade }
        }
        Planned::Revoke { id, capability, scope } => {
            let id = registry.resolve_current(&id).await?.id;
            let what = match capability {
                None => Revocation::All,
                Some(capability) => revoke::meant_here(session, Revocation::parse(&capability, scope.as_deref())?),
            };
            Change::Revoke { id, what }
        }
    };
    Ok((change, Vec::new()))
}

/// Takes names that all mean something: a plan of half of what was asked would mislead.
fn all(selected: Selected) -> Result<Selected, CliError> {
    match selected.failed.into_iter().next() {
        Some(failed) => Err(failed.error),
        None => Ok(Selected { failed: Vec::new(), ..selected }),
    }
}

impl PlanDoc {
    fn new(operation: &'static str, failed: Vec<FailedDoc>, plan: ChangePlan) -> Self {
        let broken = plan.broken_active().count();
        let unfound = failed.first().map(|failed| failed.error.clone());
        let error = match broken {
            0 => unfound,
            broken => Some(breaks(operation, broken)),
        };
        let mut refused = failed;
        refused.extend(plan.refused.iter().map(|(id, error)| FailedDoc::new(id, error)));
        Self {
            operation,
            breaks: broken > 0,
            broken: plan.broken.iter().map(BrokenDoc::from).collect(),
            revisions: plan.revisions.iter().map(RevisionDoc::from).collect(),
            relinked: plan
                .relinked
                .into_iter()
                .map(|edge| RelinkedDoc { id: edge.component, on: edge.on, import: edge.import, export: edge.export })
                .collect(),
            skipped: plan.skipped.into_iter().map(|(id, because)| SkippedDoc { id, because }).collect(),
            ungranted: plan
                .ungranted
                .into_iter()
                .map(|(id, missing)| UngrantedDoc { id, missing: missing.iter().map(GrantDoc::from).collect() })
                .collect(),
            unread: plan.unread.into_iter().map(|(id, message)| UnreadDoc { id, message }).collect(),
            revoked: plan.revoked.iter().map(GrantDoc::from).collect(),
            waves: plan.waves,
            already_active: plan.already_active,
            stops: plan.stops,
            kept: plan.kept.into_iter().map(|kept| KeptDoc { id: kept.id, needed_by: kept.needed_by }).collect(),
            ended: plan.ended,
            renewed: plan.renewed,
            refused,
            not_looked_at: plan.not_looked_at,
            warnings: plan.warnings,
            error,
        }
    }
}

fn breaks(operation: &str, broken: usize) -> CliError {
    let would = if broken == 1 { "component would break" } else { "components would break" };
    CliError::found(domain::ErrorKind::Conflict, "breaking", format!("{operation}: {broken} active {would}"))
}

impl From<&PlannedRevision> for RevisionDoc {
    fn from(planned: &PlannedRevision) -> Self {
        let replaces = planned.replaces.as_ref();
        Self {
            id: planned.id.clone(),
            version: planned.version.to_string(),
            revision: planned.revision,
            outcome: planned.outcome.map(RegisterOutcome::as_str),
            replaces: replaces
                .map(|(revision, version)| ReplacedDoc { version: version.to_string(), revision: *revision }),
            verdict: planned.exports.verdict().as_str(),
            exports: items(&planned.exports, true),
            imports: items(&planned.imports, false),
            asks_anew: planned.asks_anew.iter().map(GrantDoc::from).collect(),
            ungranted: planned.missing.iter().map(GrantDoc::from).collect(),
        }
    }
}

fn text(document: &PlanDoc, paint: Paint) -> String {
    let mut text = String::new();
    for revision in &document.revisions {
        text.push_str(&revision_text(revision, paint));
    }
    for (wave, ids) in document.waves.iter().enumerate() {
        let ids: Vec<_> = ids.iter().map(|id| id.as_str()).collect();
        text.push_str(&format!("activates, wave {}: {}\n", wave + 1, ids.join(" ")));
    }
    for id in &document.already_active {
        text.push_str(&format!("already active: {}\n", paint.bold(id.as_str())));
    }
    for id in &document.stops {
        let verb = if document.operation == "unregister" { "removes" } else { "stops" };
        text.push_str(&format!("{verb} {}\n", paint.bold(id.as_str())));
    }
    for edge in &document.relinked {
        let import = escape_line(&edge.import);
        text.push_str(&format!("re-links {} for {import} from {}\n", paint.bold(edge.id.as_str()), edge.on));
    }
    for kept in &document.kept {
        let needed_by: Vec<_> = kept.needed_by.iter().map(|id| id.as_str()).collect();
        text.push_str(&format!(
            "keeps {} active beside it for {}\n",
            paint.bold(kept.id.as_str()),
            needed_by.join(", ")
        ));
    }
    for id in &document.ended {
        text.push_str(&format!("ends {}, which nothing active would need any more\n", paint.bold(id.as_str())));
    }
    for grant in &document.revoked {
        text.push_str(&format!("revokes {}\n", escape_line(&grant.text)));
    }
    for id in &document.renewed {
        text.push_str(&format!("makes the instances of {} anew\n", paint.bold(id.as_str())));
    }
    for ungranted in &document.ungranted {
        let missing: Vec<_> = ungranted.missing.iter().map(|grant| grant.text.as_str()).collect();
        let missing = escape_line(&missing.join(", ")).into_owned();
        text.push_str(&format!("{} would run without {missing}\n", paint.bold(ungranted.id.as_str())));
    }
    for refused in &document.refused {
        let message = escape_line(&refused.error.message).into_owned();
        text.push_str(&format!("{} {}: {message}\n", paint.red("refuses"), paint.bold(&escape_line(&refused.id))));
    }
    for skipped in &document.skipped {
        text.push_str(&format!("leaves out {}: it needs {}\n", paint.bold(skipped.id.as_str()), skipped.because));
    }
    text.push_str(&broken_text(&document.broken, paint));
    if text.is_empty() {
        text.push_str("changes nothing\n");
    } else if !document.breaks {
        let idle = document.broken.len();
        let beside = if idle > 0 {
            format!(" ({} of what is not active would)", plural(idle, "component"))
        } else {
            String::new()
        };
        text.push_str(&format!("nothing that is active would break{beside}\n"));
    }
    text
}

fn revision_text(revision: &RevisionDoc, paint: Paint) -> String {
    let id = paint.bold(revision.id.as_str());
    let RevisionDoc { version, revision: number, .. } = revision;
    let mut text = match (revision.outcome, &revision.replaces) {
        (Some("unchanged"), _) => return format!("unchanged {id} {version}\n"),
        (Some("new"), _) => format!("registers {id} {version}\n"),
        (outcome, Some(old)) => {
            let verb = if outcome.is_some() { "registers" } else { "uses" };
            let old = format!("{} (revision {})", old.version, old.revision);
            let verdict = verdict(revision.verdict);
            format!("{verb} {id} {version} (revision {number}) in the place of {old}: {verdict}\n")
        }
        (_, None) => format!("registers {id} {version} (revision {number})\n"),
    };
    for line in items_text("export", &revision.exports, paint).lines() {
        text.push_str(&format!("  {line}\n"));
    }
    for line in items_text("import", &revision.imports, paint).lines() {
        text.push_str(&format!("  {line}\n"));
    }
    for grant in &revision.asks_anew {
        text.push_str(&format!("  asks anew: {}\n", escape_line(&grant.text)));
    }
    for grant in &revision.ungranted {
        text.push_str(&format!("  not granted: {}\n", escape_line(&grant.text)));
    }
    text
}

fn verdict(word: &str) -> &'static str {
    match word {
        "same" => "the same in types",
        "additive" => "additive",
        _ => "breaking",
    }
}
