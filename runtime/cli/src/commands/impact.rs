use domain::ComponentId;
use registry::ImpactReport;
use serde::Serialize;

use domain::text::escape_line;

use crate::commands::print_each;
use crate::dto::DependencyDoc;
use crate::error::{CliError, Done};
use crate::output::plural;
use crate::select::{ID_HELP, resolve_all};
use crate::session::Session;
use crate::style::Paint;
use crate::table::{Cell, Table};

/// Show who depends on a component, directly or not
///
/// Nearest first, with what each needs and where it stands; those that are active would stop if the component went away.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime impact demo:log
  runtime impact demo:log -o json")]
pub(crate) struct Args {
    #[arg(required = true, value_name = "ID", help = ID_HELP)]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct ImpactDoc {
    id: ComponentId,
    status: &'static str,
    total: usize,
    active: usize,
    /// Those that would stop if it went away.
    stops: Vec<ComponentId>,
    dependents: Vec<ImpactedDoc>,
}

#[derive(Debug, Serialize)]
struct ImpactedDoc {
    id: ComponentId,
    status: &'static str,
    /// Edges between both; 1 for a direct one.
    distance: usize,
    /// What it needs of those that are nearer.
    needs: Vec<DependencyDoc>,
}

impl From<&ImpactReport> for ImpactDoc {
    fn from(report: &ImpactReport) -> Self {
        let dependents = report.dependents.iter().map(|impacted| ImpactedDoc {
            id: impacted.id.clone(),
            status: impacted.status.as_str(),
            distance: impacted.distance,
            needs: impacted.edges.iter().map(DependencyDoc::from).collect(),
        });
        let stops: Vec<_> = report.active().map(|impacted| impacted.id.clone()).collect();
        Self {
            id: report.entry.id.clone(),
            status: report.entry.status.as_str(),
            total: report.dependents.len(),
            active: stops.len(),
            stops,
            dependents: dependents.collect(),
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    let made = selected.documents(async |target| Ok(ImpactDoc::from(&registry.impact(&target.id).await?)));
    let (documents, failed) = made.await;
    print_each(session, "components", args.ids.len(), documents, failed, text)
}

fn text(document: &ImpactDoc, paint: Paint) -> String {
    let id = paint.bold(document.id.as_str());
    if document.dependents.is_empty() {
        return format!("{id} ({}): nobody depends on it\n", document.status);
    }
    let (total, active) = (plural(document.total, "component"), document.active);
    let depend = if document.total == 1 { "depends" } else { "depend" };
    let mut text = format!("{id} ({}): {total} {depend} on it, {active} would stop with it\n", document.status);
    let mut table = Table::new(&[">DISTANCE", "COMPONENT", "STATUS", "NEEDS"]);
    for impacted in &document.dependents {
        let need = |need: &DependencyDoc| match (&need.interface, &need.range) {
            (Some(interface), _) => format!("{} from {}", escape_line(interface), need.id),
            (None, Some(range)) => format!("{} {range}", need.id),
            (None, None) => need.id.to_string(),
        };
        let needs: Vec<_> = impacted.needs.iter().map(need).collect();
        table.row(vec![
            impacted.distance.to_string().into(),
            Cell::painted(impacted.id.as_str(), paint.bold(impacted.id.as_str())),
            impacted.status.into(),
            needs.join(", ").into(),
        ]);
    }
    text.push_str(&table.render());
    text
}
