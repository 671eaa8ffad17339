use domain::ComponentId;
use registry::{Registry, RegistryError};

use crate::commands::deps::{EdgesDoc, edges_doc, text};
use crate::commands::graph::tree_of;
use crate::commands::print_each;
use crate::dto::FailedDoc;
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
    let mut failed = selected.failed;
    let mut documents = Vec::new();
    for target in selected.targets {
        match edges_of(session, registry, &target.id, &args).await {
            Ok(document) => documents.push(document),
            Err(error) => failed.push(FailedDoc::new(&target.id, &error)),
        }
    }
    print_each(session, "components", args.ids.len(), documents, failed, |document, paint| {
        text(document, paint, |edge| &edge.to)
    })
}

async fn edges_of(
    session: &Session,
    registry: &Registry,
    id: &ComponentId,
    args: &Args,
) -> Result<EdgesDoc, RegistryError> {
    let edges = registry.dependents(id, args.transitive || args.tree).await?;
    let tree = match args.tree && !session.out.is_json() {
        // The tree grows from the component to those that need it.
        true => Some(tree_of(registry, id, &edges, |edge| (&edge.to, &edge.from), session.out.paint()).await?),
        false => None,
    };
    Ok(edges_doc(id, &edges, tree))
}
