use crate::commands::use_revision;
use crate::error::{CliError, Done};
use crate::select::ID_HELP;
use crate::session::Session;

/// Go back to the revision before
///
/// A component remembers the revisions that it came by. A rollback goes one back and forgets what lies ahead; the next one goes one
/// further, never forward again: that is for `runtime use`. An active component is replaced while it is called, as by `use`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime rollback demo:log
  runtime rollback demo:log --to 1")]
pub(crate) struct Args {
    #[arg(value_name = "ID", help = ID_HELP)]
    pub(crate) id: String,

    /// Revision to go back to, by its number in `runtime versions`
    #[arg(long, value_name = "NUMBER")]
    pub(crate) to: Option<u32>,

    /// Do it although active components break
    #[arg(long)]
    pub(crate) force: bool,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let id = registry.resolve_current(&args.id).await?.id;
    let report = registry.with_force(args.force).rollback(&id, args.to).await?;
    use_revision::print(session, &report.into())
}
