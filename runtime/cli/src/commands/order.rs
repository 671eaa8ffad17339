use domain::ComponentId;
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::select::resolve_all;
use crate::session::Session;
use crate::style::Paint;

/// Show the activation order, in waves
///
/// Of the components named and all that they need, or of the whole registry. Dependencies stand before their dependents; the
/// components of one wave do not need each other.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime order
  runtime order demo:report -o json")]
pub(crate) struct Args {
    /// Components [default: all]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct OrderDoc {
    order: Vec<ComponentId>,
    waves: Vec<Vec<ComponentId>>,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    if let Some(failed) = selected.failed.into_iter().next() {
        return Err(failed.error);
    }
    let ids: Vec<_> = selected.targets.into_iter().map(|target| target.id).collect();
    let waves = registry.order(&ids).await?;
    let document = OrderDoc { order: waves.iter().flatten().cloned().collect(), waves };
    session.out.result(&document, |document, paint| text(&document.waves, paint))?;
    Ok(Done::All)
}

/// Shows waves, one or more lines each.
fn text(waves: &[Vec<ComponentId>], paint: Paint) -> String {
    if waves.is_empty() {
        return format!("{}\n", paint.dim("no components"));
    }
    let width = waves.len().to_string().len();
    let mut text = String::new();
    for (number, wave) in waves.iter().enumerate() {
        let ids: Vec<_> = wave.iter().map(|id| id.as_str()).collect();
        let head = format!("wave {:>width$}", number + 1);
        text.push_str(&format!("{}  {}\n", paint.dim(&head), ids.join("  ")));
    }
    text
}
