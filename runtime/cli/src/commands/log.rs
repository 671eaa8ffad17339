use std::time::Duration;

use clap::builder::PossibleValuesParser;
use domain::event::{Event, Record};
use domain::text::escape_line;
use domain::{ComponentId, Grant, Status, Timestamp};
use registry::Registry;
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::lock::BoundDoc;
use crate::output::{human_count, human_us};
use crate::session::Session;
use crate::style::Paint;
use crate::supervision::refused_calls;

/// How often the journal is looked at for new records.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Records read at once.
const PAGE: usize = 1_000;

/// Read the journal: who did what when
///
/// Prints one record per line, oldest first; with `-o json` one document per line.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime log
  runtime log --since 120
  runtime log --component demo:greeter --event failed
  runtime log --follow -o json")]
pub(crate) struct Args {
    /// Go on with new records until Ctrl-C
    #[arg(long, short)]
    pub(crate) follow: bool,

    /// Begin with this sequence number
    #[arg(long, value_name = "SEQ", default_value_t = 1, hide_default_value = true)]
    pub(crate) since: u64,

    /// End after this many records
    #[arg(long, value_name = "NUMBER")]
    pub(crate) limit: Option<usize>,

    /// Only records about these components
    #[arg(long, value_name = "ID")]
    pub(crate) component: Vec<ComponentId>,

    /// Only records of these events, such as `failed`
    #[arg(long, value_name = "EVENT", value_parser = PossibleValuesParser::new(Event::NAMES), hide_possible_values = true)]
    pub(crate) event: Vec<String>,

    /// Only what these actors did, such as `cli:ada`; `ada` alone is meant as well
    #[arg(long, value_name = "ACTOR")]
    pub(crate) actor: Vec<String>,

    /// Only records from this time on, such as `2026-11-21T10:00:00Z`
    #[arg(long, value_name = "TIME")]
    pub(crate) after: Option<Timestamp>,

    /// Only records up to this time
    #[arg(long, value_name = "TIME")]
    pub(crate) before: Option<Timestamp>,
}

impl Args {
    /// Tells whether a record is one of those that were asked for.
    fn wants(&self, record: &Record) -> bool {
        let about = record.event.component();
        let actor = record.actor.to_string();
        let by = |wanted: &String| actor == *wanted || actor.split_once(':').is_some_and(|(_, name)| name == *wanted);
        (self.component.is_empty() || self.component.iter().any(|id| about == Some(id)))
            && (self.event.is_empty() || self.event.iter().any(|event| event == record.event.name()))
            && (self.actor.is_empty() || self.actor.iter().any(by))
            && self.after.is_none_or(|after| record.at >= after)
            && self.before.is_none_or(|before| record.at <= before)
    }
}

#[derive(Debug, Serialize)]
struct RecordDoc {
    seq: u64,
    at: String,
    actor: String,
    event: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    component: Option<ComponentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    old_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    new_status: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    #[serde(flatten)]
    extra: serde_json::Map<String, serde_json::Value>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let mut next = args.since.max(1);
    let mut left = args.limit.unwrap_or(usize::MAX);
    if !args.follow {
        let registry = session.registry().await?;
        print_from(session, registry, &args, &mut next, &mut left).await?;
        return Ok(Done::All);
    }
    loop {
        // Opened for a moment each time, so that others can work in between.
        let registry = session.open().await?;
        let goes_on = print_from(session, &registry, &args, &mut next, &mut left).await;
        session.leave(registry).await?;
        if !goes_on? {
            return Ok(Done::All);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Prints what is in the journal from `next` on; `false` once nobody reads any more or the limit is reached.
async fn print_from(
    session: &Session,
    registry: &Registry,
    args: &Args,
    next: &mut u64,
    left: &mut usize,
) -> Result<bool, CliError> {
    while *left > 0 {
        let records = registry.records(*next, PAGE).await?;
        if records.is_empty() {
            return Ok(true);
        }
        for record in &records {
            *next = record.seq + 1;
            if !args.wants(record) {
                continue;
            }
            if *left == 0 {
                return Ok(false);
            }
            *left -= 1;
            if !session.out.line(&RecordDoc::from(record), |paint| text(record, paint))? {
                return Ok(false);
            }
        }
    }
    Ok(false)
}

impl From<&Record> for RecordDoc {
    fn from(record: &Record) -> Self {
        let statuses = record.event.statuses();
        Self {
            seq: record.seq,
            at: record.at.to_string(),
            actor: record.actor.to_string(),
            event: record.event.name(),
            component: record.event.component().cloned(),
            // A first registration is a beginning, not a change.
            old_status: statuses.map(|(old, _)| old).filter(|old| *old != Status::Discovered).map(Status::as_str),
            new_status: statuses.map(|(_, new)| new.as_str()),
            error: error(&record.event),
            extra: extra(&record.event),
        }
    }
}

fn error(event: &Event) -> Option<String> {
    match event {
        Event::Errored { error, .. } | Event::Quarantined { error, .. } | Event::Refused { error, .. } => {
            Some(error.clone())
        }
        Event::Failed { failure, .. } => Some(failure.message.clone()),
        Event::Probed { healthy: false, message, .. } => Some(message.clone().unwrap_or_default()),
        _ => None,
    }
}

/// Returns what else an event says, in few words: the journal has it in full.
fn extra(event: &Event) -> serde_json::Map<String, serde_json::Value> {
    let value = match event {
        Event::Registered { revision, current, .. } => serde_json::json!({
            "version": revision.version, "revision": revision.number, "digest": revision.digest, "current": current,
        }),
        Event::RevisionSelected { revision, .. } => {
            serde_json::json!({ "version": revision.version, "revision": revision.number, "digest": revision.digest })
        }
        Event::SetBeside { revision, kept, .. } => serde_json::json!({
            "version": revision.version, "revision": revision.number, "kept": kept.is_some(),
        }),
        Event::EdgesResolved { dependencies, unresolved, .. } => serde_json::json!({
            "dependencies": dependencies.iter().map(|edge| &edge.on).collect::<Vec<_>>(),
            "unresolved": unresolved.iter().map(|need| need.need.to_string()).collect::<Vec<_>>(),
        }),
        Event::EdgeAdded { edge, .. } => serde_json::json!({ "on": edge.on, "label": edge.label() }),
        Event::EdgeRemoved { on, .. } => serde_json::json!({ "on": on }),
        Event::Activated { revision, duration_us, fuel, asked, lock, .. } => serde_json::json!({
            "revision": revision, "duration_us": duration_us, "fuel": fuel, "asked": asked,
            "lock": lock.iter().map(BoundDoc::from).collect::<Vec<_>>(),
        }),
        Event::Deactivated { reason: Some(reason), lost: Some(lost), .. } => {
            serde_json::json!({ "reason": reason, "waits_for": lost })
        }
        Event::Deactivated { reason: Some(reason), .. } => serde_json::json!({ "reason": reason }),
        Event::Quarantined { quarantine, refused, .. } => serde_json::json!({
            "cause": quarantine.cause, "round": quarantine.round, "next_probe": quarantine.probe_at, "refused": refused,
        }),
        Event::Recovered { relapse, refused, .. } => {
            serde_json::json!({ "round": relapse.round, "proven": relapse.proven, "refused": refused })
        }
        Event::Restarted { restarts, max_restarts, duration_us, fuel, .. } => serde_json::json!({
            "restarts": restarts, "max_restarts": max_restarts, "duration_us": duration_us, "fuel": fuel,
        }),
        Event::HealthDropped { health, threshold, failing } => serde_json::json!({
            "healthy_count": health.healthy, "total": health.total, "threshold": threshold, "failing": failing,
        }),
        Event::HealthRestored { health, threshold } => serde_json::json!({
            "healthy_count": health.healthy, "total": health.total, "threshold": threshold,
        }),
        Event::Failed { failure, count, .. } => serde_json::json!({
            "phase": failure.phase, "kind": failure.kind, "function": failure.function, "count": count,
        }),
        Event::StateSaved { state, .. } => serde_json::json!({ "size": state.as_ref().map(|state| state.size) }),
        Event::Probed { healthy, .. } => serde_json::json!({ "healthy": healthy }),
        Event::Refused { operation, kind, count, .. } => {
            serde_json::json!({ "operation": operation, "kind": kind, "count": count })
        }
        // Without the values of variables, which may be secrets.
        Event::Granted { grants, rule, .. } => serde_json::json!({ "grants": texts(grants), "rule": rule }),
        Event::Revoked { grants, .. } => serde_json::json!({ "grants": texts(grants) }),
        Event::Fused { with, shares_grants, .. } => {
            serde_json::json!({ "with": with, "shares_grants": shares_grants })
        }
        Event::Unfused { apart, .. } => serde_json::json!({ "apart": apart }),
        Event::IndexCreated { key } | Event::IndexDropped { key } => serde_json::json!({ "key": key }),
        Event::ConfigSet { key, old, new } => serde_json::json!({ "key": key, "old": old, "new": new }),
        Event::Unregistered { .. }
        | Event::LeftBeside { .. }
        | Event::Deactivated { reason: None, .. }
        | Event::Errored { .. }
        | Event::ErrorsCleared { .. } => serde_json::Value::Null,
    };
    match value {
        serde_json::Value::Object(extra) => extra,
        _ => serde_json::Map::new(),
    }
}

fn texts(grants: &[Grant]) -> Vec<String> {
    grants.iter().map(ToString::to_string).collect()
}

fn text(record: &Record, paint: Paint) -> String {
    let event = record.event.name();
    let word = match record.event {
        Event::Failed { .. }
        | Event::Errored { .. }
        | Event::Quarantined { .. }
        | Event::HealthDropped { .. }
        | Event::Refused { .. } => paint.red(event),
        _ => paint.green(event),
    };
    let component = record.event.component().map(|id| format!(" {}", paint.bold(id.as_str()))).unwrap_or_default();
    let detail = detail(&record.event);
    // The first line says what it is; what follows points into an argument.
    let detail = detail.lines().next().unwrap_or_default().to_owned();
    let detail = if detail.is_empty() { detail } else { format!(" {}", escape_line(&detail)) };
    let at = record.at.to_string();
    format!("{:>6} {} {} {word}{component}{detail}", record.seq, paint.dim(&at), paint.dim(&record.actor.to_string()))
}

fn detail(event: &Event) -> String {
    match event {
        Event::Registered { revision, current, .. } => {
            let waits = if *current { "" } else { ", waits for its activation" };
            format!("{} revision {}{waits}", revision.version, revision.number)
        }
        Event::RevisionSelected { revision, .. } => format!("{} revision {}", revision.version, revision.number),
        Event::SetBeside { revision, kept, .. } => {
            let kept = if kept.is_some() { ", still active" } else { "" };
            format!("revision {}{kept}", revision.number)
        }
        Event::EdgesResolved { dependencies, unresolved, .. } => {
            format!("{} dependencies, {} unresolved", dependencies.len(), unresolved.len())
        }
        Event::EdgeAdded { edge, .. } => format!("needs {}", edge.on),
        Event::EdgeRemoved { on, .. } => format!("no longer needs {on}"),
        Event::Activated { old_status, duration_us, fuel, .. } => {
            format!("from {old_status} in {}, {} fuel", human_us(*duration_us), human_count(*fuel))
        }
        Event::Deactivated { old_status, reason, .. } => {
            let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("from {old_status}{reason}")
        }
        Event::Errored { old_status, error, .. } => format!("from {old_status}: {error}"),
        Event::Quarantined { old_status, error, quarantine, refused, .. } => {
            let refused = refused_calls(*refused);
            format!("from {old_status} until {}: {}{refused}: {error}", quarantine.probe_at, quarantine.cause)
        }
        Event::Recovered { old_status, relapse, refused, .. } => {
            let refused = refused_calls(*refused);
            format!("from {old_status}, {}{refused}", if relapse.proven { "it works" } else { "on probation" })
        }
        Event::Restarted { restarts, max_restarts, duration_us, fuel, .. } => format!(
            "{restarts} of {max_restarts} times of late, in {}, {} fuel",
            human_us(*duration_us),
            human_count(*fuel)
        ),
        Event::HealthDropped { health, threshold, failing } => {
            let failing: Vec<_> =
                failing.iter().map(|failing| format!("{}: {}", failing.component, failing.error)).collect();
            format!("{} of {} healthy, below {threshold}%: {}", health.healthy, health.total, failing.join("; "))
        }
        Event::HealthRestored { health, threshold } => {
            format!("{} of {} healthy, at least {threshold}%", health.healthy, health.total)
        }
        Event::ErrorsCleared { old_status, .. } => format!("from {old_status}"),
        Event::Failed { failure, count, .. } => {
            let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
            format!("{} during {}{times}: {}", failure.kind, failure.phase, failure.message)
        }
        Event::StateSaved { state, .. } => {
            state.as_ref().map_or_else(|| "dropped".to_owned(), |state| format!("{} bytes", state.size))
        }
        Event::Probed { healthy, message, .. } => {
            let message = message.as_ref().map(|message| format!(": {message}")).unwrap_or_default();
            format!("{}{message}", if *healthy { "well" } else { "not well" })
        }
        Event::Refused { operation, error, count, .. } => {
            let times = if *count > 1 { format!(" ({count} times)") } else { String::new() };
            format!("{operation}{times}: {error}")
        }
        Event::Granted { grants, rule, .. } => {
            let rule = rule.as_ref().map(|rule| format!(" by rule {rule}")).unwrap_or_default();
            format!("{}{rule}", texts(grants).join(", "))
        }
        Event::Revoked { grants, .. } => texts(grants).join(", "),
        Event::Fused { with, shares_grants, .. } => {
            let with: Vec<_> = with.iter().map(domain::ComponentId::as_str).collect();
            format!("with {}{}", with.join(", "), if *shares_grants { ", sharing grants" } else { "" })
        }
        Event::Unfused { apart, .. } => (if *apart { "although it asks to be fused" } else { "" }).to_owned(),
        Event::IndexCreated { key } | Event::IndexDropped { key } => key.clone(),
        Event::ConfigSet { key, new, .. } => format!("{key} = {}", new.as_deref().unwrap_or("default")),
        Event::Unregistered { .. } | Event::LeftBeside { .. } => String::new(),
    }
}
