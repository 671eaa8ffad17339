use crate::commands::print_outcomes;
use crate::dto::OutcomesDoc;
use crate::error::{CliError, Done};
use crate::select::Selection;
use crate::session::Session;

/// Take components out of service
///
/// Refused while active components depend on one of them; `--cascade` takes those along, dependents first. State that a component
/// keeps is saved.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime deactivate demo:greeter
  runtime deactivate demo:log --cascade
  runtime deactivate --all")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: Selection,

    /// Take out of service what depends on them too
    #[arg(long)]
    pub(crate) cascade: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let mut selection = args.selection;
    if selection.all && selection.filters.status.is_none() {
        // All that can be taken out of service, which is not the same as all.
        selection.filters.status = Some(domain::Status::Active);
    }
    let selected = selection.resolve(session, registry).await?;
    let outcomes = registry.deactivate(&selected.ids(), args.cascade || selection.all).await;
    let document = OutcomesDoc::new(selected.failed, outcomes);
    print_outcomes(session, &document, |document, paint| {
        let done = document.done.iter().map(|id| format!("deactivated {}\n", paint.bold(id.as_str())));
        let unchanged = document.unchanged.iter().map(|id| format!("{} is not active\n", paint.bold(id.as_str())));
        done.chain(unchanged).collect()
    })
}
