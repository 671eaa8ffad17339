use crate::commands::fuse::FuseDoc;
use crate::error::{CliError, Done};
use crate::select::ID_HELP;
use crate::session::Session;

/// Link a component through gates again
///
/// From its next call on, all that it calls has instances, limits and grants of its own. One whose manifest asks to be fused stays
/// apart until `fuse` names somebody.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime unfuse demo:report")]
pub(crate) struct Args {
    #[arg(value_name = "ID", help = ID_HELP)]
    pub(crate) id: String,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let id = registry.resolve_current(&args.id).await?.id;
    let change = registry.unfuse(&id).await?;
    let changed = change.changed;
    session.out.result(&FuseDoc::new(id.clone(), change, false), |_, paint| {
        let id = paint.bold(id.as_str());
        if changed { format!("unfused {id}\n") } else { format!("unchanged: {id} is not fused\n") }
    })?;
    Ok(Done::All)
}
