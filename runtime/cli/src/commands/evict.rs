use domain::ComponentId;
use serde::Serialize;

use crate::commands::print_each;
use crate::dto::FailedDoc;
use crate::error::{CliError, Done};
use crate::select::Selection;
use crate::session::Session;

/// Drop the live instance, keep the status
///
/// The next call makes a new instance. State that the component keeps is saved first.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime evict demo:greeter
  runtime evict --all")]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) selection: Selection,
}

#[derive(Debug, Serialize)]
struct EvictDoc {
    id: ComponentId,
    evicted: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = args.selection.resolve(session, registry).await?;
    let asked = args.selection.ids.len();
    let ids = selected.ids();
    let mut failed = selected.failed;
    let mut documents = Vec::new();
    for id in ids {
        match registry.evict_instance(&id).await {
            Ok(evicted) => documents.push(EvictDoc { id, evicted }),
            Err(error) => failed.push(FailedDoc::new(&id, &error)),
        }
    }
    print_each(session, "components", asked, documents, failed, |document, paint| {
        let id = paint.bold(document.id.as_str());
        if document.evicted { format!("evicted {id}\n") } else { format!("{id} had no live instance\n") }
    })
}
