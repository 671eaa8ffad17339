use crate::commands::deps::{Shown, Way, edges_of, text};
use crate::commands::print_each;
use crate::error::{CliError, Done};
use crate::select::{ID_HELP, resolve_all};
use crate::session::Session;

/// Show what needs a component
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime dependents demo:log
  runtime dependents demo:log --transitive
  runtime dependents demo:log --tree")]
pub(crate) struct Args {
    #[arg(required = true, value_name = "ID", help = ID_HELP)]
    pub(crate) ids: Vec<String>,

    /// Follow the edges of dependents too
    #[arg(long)]
    pub(crate) transitive: bool,

    /// Draw a tree
    #[arg(long)]
    pub(crate) tree: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    let shown = Shown { way: Way::ToDependents, transitive: args.transitive, tree: args.tree };
    let made = selected.documents(async |target| edges_of(session, registry, &target.id, shown).await);
    let (documents, failed) = made.await;
    print_each(session, "components", args.ids.len(), documents, failed, |document, paint| {
        text(document, paint, shown.way)
    })
}
