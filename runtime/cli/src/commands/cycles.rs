use domain::graph::Cycle;
use domain::{ComponentId, text::escape_line};
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::session::Session;

/// Show all cycles, each with the edge to cut
///
/// The registry refuses changes that would close a cycle, so there are none unless data was imported or damaged.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime cycles
  runtime cycles -o json")]
pub(crate) struct Args {}

#[derive(Debug, Serialize)]
struct CyclesDoc {
    cycles: Vec<CycleDoc>,
}

#[derive(Debug, Serialize)]
struct CycleDoc {
    /// Each component needs the next; the first stands at the end again.
    path: Vec<ComponentId>,
    cut: CutDoc,
}

/// The edge whose removal breaks the cycle, from dependency to dependent as everywhere.
#[derive(Debug, Serialize)]
struct CutDoc {
    from: ComponentId,
    to: ComponentId,
    label: String,
    kind: &'static str,
}

impl From<&Cycle> for CycleDoc {
    fn from(cycle: &Cycle) -> Self {
        Self {
            path: cycle.path.clone(),
            cut: CutDoc {
                from: cycle.cut.dependency.clone(),
                to: cycle.cut.dependent.clone(),
                label: cycle.cut.label.to_string(),
                kind: if cycle.cut.declared { "declared" } else { "import" },
            },
        }
    }
}

pub(crate) async fn run(session: &Session, _: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let document = CyclesDoc { cycles: registry.cycles().await?.iter().map(CycleDoc::from).collect() };
    session.out.result(&document, |document, paint| {
        if document.cycles.is_empty() {
            return format!("{}\n", paint.dim("no cycles"));
        }
        let line = |cycle: &CycleDoc| {
            let path = domain::graph::path_text(&cycle.path);
            let cut = &cycle.cut;
            let hint = match cut.kind {
                "declared" => format!("cut with `runtime undepend {} --on {}`", cut.to, cut.from),
                _ => format!("cut where {} imports {} from {}", cut.to, escape_line(&cut.label), cut.from),
            };
            format!("{path}\n  {}\n", paint.dim(&hint))
        };
        document.cycles.iter().map(line).collect()
    })?;
    Ok(Done::All)
}
