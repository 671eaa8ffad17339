use std::collections::BTreeMap;

use domain::ports::{Mappings, TIGHT_PERCENT};
use domain::{ComponentId, ErrorKind, Status};
use registry::Registry;
use serde::Serialize;

use crate::commands::print_failed;
use crate::dto::FailedDoc;
use crate::error::{CliError, Done};
use crate::output::human_count;
use crate::select::resolve_all;
use crate::session::Session;
use crate::style::Paint;
use crate::supervision::{QuarantineDoc, SupervisionDoc};

/// Count healthy components, or ask components how they are
///
/// Healthy is what is not in error and did not fail its last health check. With names, or `--check` for all active components, each
/// is asked through `registry:component/health` first; one that is not well gives exit code 7. Where the system bounds how much a
/// process may map, it is said how far this one is from that: idle instances are dropped before, and then no more are made.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime health
  runtime health demo:greeter
  runtime health --check")]
pub(crate) struct Args {
    /// Components to ask
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,

    /// Ask all active components
    #[arg(long, conflicts_with = "ids")]
    pub(crate) check: bool,
}

#[derive(Debug, Serialize)]
struct HealthDoc {
    total: u64,
    by_status: BTreeMap<&'static str, u64>,
    healthy_count: u64,
    error_count: u64,
    health_percentage: f64,
    /// Below which percentage a live registry warns, and whether it is.
    threshold: u64,
    is_low: bool,
    /// Components in quarantine, with the time at which each is tried again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    quarantined: Vec<QuarantinedDoc>,
    /// Of the process that has the registry open; not where the system does not say.
    #[serde(flatten)]
    mappings: Option<MappingsDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    probes: Option<Vec<ProbeDoc>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    failed: Vec<FailedDoc>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<CliError>,
}

/// How far the process is from the number of mappings that the system allows.
#[derive(Debug, Serialize)]
struct MappingsDoc {
    mappings: u64,
    mappings_limit: u64,
    /// Those that there are of a hundred that there may be.
    mappings_percentage: f64,
}

impl From<Mappings> for MappingsDoc {
    fn from(mappings: Mappings) -> Self {
        Self { mappings: mappings.count, mappings_limit: mappings.limit, mappings_percentage: mappings.percentage() }
    }
}

/// A component in quarantine.
#[derive(Debug, Serialize)]
struct QuarantinedDoc {
    id: ComponentId,
    #[serde(flatten)]
    quarantine: QuarantineDoc,
}

#[derive(Debug, Serialize)]
struct ProbeDoc {
    id: ComponentId,
    healthy: bool,
    message: Option<String>,
    has_export: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    let mut failed = selected.failed;
    let mut ids: Vec<_> = selected.targets.into_iter().map(|target| target.id).collect();
    if args.check {
        ids = registry.by_status(Status::Active).await?.iter().map(|view| view.entry.id.clone()).collect();
    }
    let mut probes = Vec::new();
    for id in ids {
        match registry.check_health(&id).await {
            Ok(probe) => probes.push(ProbeDoc {
                id,
                healthy: probe.healthy,
                message: probe.message,
                has_export: probe.has_export,
            }),
            Err(error) => failed.push(FailedDoc::new(&id, &error)),
        }
    }
    let asked = args.check || !args.ids.is_empty();
    let document = document(registry, asked.then_some(probes), failed).await?;
    session.out.result(&document, text)?;
    print_failed(session, &document.failed);
    Ok(Done::of(document.error.as_ref()))
}

async fn document(
    registry: &Registry,
    probes: Option<Vec<ProbeDoc>>,
    failed: Vec<FailedDoc>,
) -> Result<HealthDoc, CliError> {
    let report = registry.health().await?;
    let threshold = registry.settings().health.threshold;
    let mut in_error = registry.by_status(Status::Error).await?;
    // One beside the one in service has a quarantine of its own.
    in_error.extend(registry.all_beside().await?.into_iter().filter(|view| view.entry.status == Status::Error));
    let quarantined = in_error.iter().filter_map(|view| {
        let quarantine = SupervisionDoc::from(view).quarantine?;
        Some(QuarantinedDoc { id: view.entry.id.clone(), quarantine })
    });
    let sick = probes.iter().flatten().find(|probe| !probe.healthy).map(|probe| {
        let message = match &probe.message {
            Some(message) => format!("`{}` is not well: {message}", probe.id),
            None => format!("`{}` is not well", probe.id),
        };
        CliError::found(ErrorKind::Guest, "unhealthy", message).about(&probe.id)
    });
    Ok(HealthDoc {
        total: report.total,
        by_status: report.by_status.iter().map(|(status, count)| (status.as_str(), *count)).collect(),
        healthy_count: report.healthy_count,
        error_count: report.error_count,
        health_percentage: report.health_percentage,
        threshold,
        is_low: report.health_percentage < registry.settings().health.threshold_percentage(),
        quarantined: quarantined.collect(),
        mappings: registry.mappings().await?.map(MappingsDoc::from),
        error: failed.first().map(|failed| failed.error.clone()).or(sick),
        probes,
        failed,
    })
}

fn text(document: &HealthDoc, paint: Paint) -> String {
    let mut text = String::new();
    for probe in document.probes.iter().flatten() {
        let word = match (probe.healthy, probe.has_export) {
            (true, true) => paint.green("well"),
            (true, false) => paint.dim("active, has no health check"),
            (false, _) => paint.red("not well"),
        };
        let message = probe.message.as_ref().map(|m| format!(": {}", domain::text::escape_line(m))).unwrap_or_default();
        text.push_str(&format!("{} {word}{message}\n", probe.id));
    }
    let percentage = format!("{:.1}%", document.health_percentage);
    let percentage =
        if document.health_percentage < 100.0 { paint.yellow(&percentage) } else { paint.green(&percentage) };
    text.push_str(&format!("{percentage} healthy: {} of {}\n", document.healthy_count, document.total));
    for status in Status::ALL {
        let count = document.by_status.get(status.as_str()).copied().unwrap_or(0);
        if count > 0 {
            text.push_str(&format!("  {count:>6} {}\n", paint.status(status)));
        }
    }
    if document.is_low {
        text.push_str(&format!("{}\n", paint.red(&format!("below {}%, the threshold", document.threshold))));
    }
    for QuarantinedDoc { id, quarantine } in &document.quarantined {
        let QuarantineDoc { cause, next_probe, .. } = quarantine;
        text.push_str(&format!("{id} is {}: {cause}, tried again at {next_probe}\n", paint.red("in quarantine")));
    }
    if let Some(mappings) = &document.mappings {
        let percentage = format!("{:.1}%", mappings.mappings_percentage);
        text.push_str(&format!(
            "mappings: {} of the {} that the system allows, {}\n",
            human_count(mappings.mappings),
            human_count(mappings.mappings_limit),
            if mappings.mappings_percentage > TIGHT_PERCENT as f64 { paint.yellow(&percentage) } else { percentage },
        ));
    }
    text
}
