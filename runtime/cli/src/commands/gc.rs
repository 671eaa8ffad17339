use std::time::Duration;

use domain::ports::BlobSweep;
use serde::Serialize;

use crate::args::duration;
use crate::error::{CliError, Done};
use crate::output::{human_count, human_size};
use crate::session::Session;

/// Remove bytes that no component names
///
/// Bytes of components that were unregistered, of states that were replaced, and unfinished writes. What was written within `--grace`
/// stays.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime gc --dry-run
  runtime gc
  runtime gc --grace 0s")]
pub(crate) struct Args {
    /// How old what goes has to be
    #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration)]
    pub(crate) grace: Duration,

    /// Only say what would go
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Serialize)]
struct GcDoc {
    dry_run: bool,
    removed: u64,
    removed_bytes: u64,
    spared: u64,
    kept: u64,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let BlobSweep { removed, removed_bytes, spared, kept } = registry.gc(args.grace, args.dry_run).await?;
    let document = GcDoc { dry_run: args.dry_run, removed, removed_bytes, spared, kept };
    session.out.result(&document, |document, paint| {
        let verb = if document.dry_run { "would remove" } else { "removed" };
        let spared = match document.spared {
            0 => String::new(),
            number => format!(", {} too young to go", human_count(number)),
        };
        format!(
            "{verb} {} ({}); {} stay{spared}\n",
            paint.bold(&human_count(document.removed)),
            human_size(document.removed_bytes),
            human_count(document.kept),
        )
    })?;
    Ok(Done::All)
}
