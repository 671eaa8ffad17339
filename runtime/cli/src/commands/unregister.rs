use crate::commands::print_outcomes;
use crate::dto::OutcomesDoc;
use crate::error::{CliError, Done};
use crate::select::Selection;
use crate::session::Session;

/// Remove components
///
/// Refused while other components depend on one of them; `--cascade` takes those along, dependents first. Active components are
/// deactivated before they go. The journal keeps their history.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime unregister demo:greeter
  runtime unregister demo:log --cascade
  runtime unregister --where author=Acme")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: Selection,

    /// Remove what depends on them too
    #[arg(long)]
    pub(crate) cascade: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = args.selection.resolve(session, registry).await?;
    let outcomes = registry.unregister(&selected.ids(), args.cascade || args.selection.all).await;
    let document = OutcomesDoc::new(selected.failed, outcomes);
    print_outcomes(session, &document, |document, paint| {
        document.done.iter().map(|id| format!("unregistered {}\n", paint.bold(id.as_str()))).collect()
    })
}
