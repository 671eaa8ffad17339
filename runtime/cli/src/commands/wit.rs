use domain::ComponentId;
use domain::text::escape_block;
use serde::Serialize;

use crate::commands::print_each;
use crate::error::{CliError, Done};
use crate::select::{ID_HELP, resolve_versions};
use crate::session::Session;

/// Print a component's interfaces as WIT
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime wit demo:greeter
  runtime wit demo:greeter > greeter.wit")]
pub(crate) struct Args {
    #[arg(required = true, value_name = "ID", help = ID_HELP)]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct WitDoc {
    id: ComponentId,
    wit: String,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_versions(registry, &args.ids).await;
    let made =
        selected.documents(async |target| Ok(WitDoc { id: target.id.clone(), wit: registry.wit(target).await? }));
    let (documents, failed) = made.await;
    // Guest-controlled: doc comments travel in the binary.
    print_each(session, "components", args.ids.len(), documents, failed, |document, _| {
        let wit = escape_block(document.wit.trim_end());
        format!("{wit}\n")
    })
}
