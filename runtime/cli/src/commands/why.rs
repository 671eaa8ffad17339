use domain::ComponentId;
use domain::text::escape_line;
use registry::WhyReport;
use serde::Serialize;

use crate::commands::print_each;
use crate::dto::EdgeDoc;
use crate::error::{CliError, Done};
use crate::lock::LastActivationDoc;
use crate::select::{ID_HELP, resolve_all};
use crate::session::Session;
use crate::style::Paint;

/// Say why a component is active
///
/// Who asked for it and when, which active components need it, and the way from each that was asked for.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime why demo:log
  runtime why demo:log -o json")]
pub(crate) struct Args {
    #[arg(required = true, value_name = "ID", help = ID_HELP)]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct WhyDoc {
    id: ComponentId,
    status: &'static str,
    /// How it was activated last; `null` if it never was.
    activation: Option<LastActivationDoc>,
    /// Edges to the active components that need it.
    needed_by: Vec<EdgeDoc>,
    chains: Vec<ChainDoc>,
    /// Chains that are not told.
    more: usize,
}

/// The way from a component to one that was asked for and needs it.
#[derive(Debug, Serialize)]
struct ChainDoc {
    root: ComponentId,
    path: Vec<ComponentId>,
    activation: Option<LastActivationDoc>,
}

impl From<&WhyReport> for WhyDoc {
    fn from(report: &WhyReport) -> Self {
        let entry = &report.entry;
        let chains = report.chains.iter().map(|chain| ChainDoc {
            root: chain.root.id.clone(),
            path: chain.path.clone(),
            activation: chain.root.activation.as_deref().map(LastActivationDoc::from),
        });
        Self {
            id: entry.id.clone(),
            status: entry.status.as_str(),
            activation: entry.activation.as_deref().map(LastActivationDoc::from),
            needed_by: report.needed_by.iter().map(EdgeDoc::from).collect(),
            chains: chains.collect(),
            more: report.more,
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    let made = selected.documents(async |target| Ok(WhyDoc::from(&registry.why(&target.id).await?)));
    let (documents, failed) = made.await;
    print_each(session, "components", args.ids.len(), documents, failed, text)
}

fn text(document: &WhyDoc, paint: Paint) -> String {
    let mut text = format!("{} is {}\n", paint.bold(document.id.as_str()), document.status);
    let is_active = document.status == "active";
    match (&document.activation, is_active) {
        (Some(activation), true) => text.push_str(&format!("  {}\n", asked(activation))),
        (Some(activation), false) => text.push_str(&format!("  was activated last at {}\n", when(activation))),
        (None, _) => text.push_str("  was never activated\n"),
    }
    for edge in &document.needed_by {
        let interface = edge.interface.as_ref().map(|name| format!(" for {}", escape_line(name))).unwrap_or_default();
        let it = if edge.from == document.id { "it" } else { edge.from.as_str() };
        text.push_str(&format!("  {} needs {it}{interface}\n", paint.bold(edge.to.as_str())));
    }
    for chain in &document.chains {
        let path: Vec<_> = chain.path.iter().map(|id| id.as_str()).collect();
        let why = chain.activation.as_ref().map(asked).unwrap_or_default();
        text.push_str(&format!("  {}, which {why}\n", path.join(" ← ")));
    }
    if document.more > 0 {
        text.push_str(&format!("  and {} more that were asked for\n", document.more));
    }
    if is_active && document.needed_by.is_empty() {
        text.push_str("  nobody active needs it\n");
    }
    text
}

fn asked(activation: &LastActivationDoc) -> String {
    match activation.asked {
        Some(true) => format!("was asked for at {}", when(activation)),
        Some(false) => format!("was activated because others needed it at {}", when(activation)),
        None => format!("was activated at {}", when(activation)),
    }
}

fn when(activation: &LastActivationDoc) -> String {
    format!("{} by {} (record {})", activation.at, escape_line(&activation.by), activation.seq)
}
