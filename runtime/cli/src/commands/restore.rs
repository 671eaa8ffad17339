use std::path::PathBuf;
use std::sync::Arc;

use embed::{RestoreOptions, RestoreReport, SystemClock};
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::output::{human_count, human_size, plural};
use crate::progress;
use crate::session::Session;

/// Make the data folder from a backup
///
/// All of the backup is checked before the data folder is touched, which has to be empty or absent, or is moved aside with
/// `--replace`. Interrupted, it leaves the data folder as it was. No other process may have the data folder open.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime --data /srv/registry restore registry.tar
  runtime restore /mnt/backups/registry/ --replace")]
pub(crate) struct Args {
    /// What `runtime backup` wrote
    #[arg(value_name = "PLACE")]
    pub(crate) place: PathBuf,

    /// Move the registry that is there aside
    #[arg(long)]
    pub(crate) replace: bool,
}

#[derive(Debug, Serialize)]
struct RestoreDoc {
    folder: String,
    seq: u64,
    hash: String,
    created_at: String,
    files: u64,
    bytes: u64,
    moved_aside: Option<String>,
    missing: Vec<String>,
}

impl From<RestoreReport> for RestoreDoc {
    fn from(report: RestoreReport) -> Self {
        Self {
            folder: report.folder.display().to_string(),
            seq: report.seq,
            hash: report.hash,
            created_at: report.created_at.to_string(),
            files: report.files,
            bytes: report.bytes,
            moved_aside: report.moved_aside.map(|path| path.display().to_string()),
            missing: report.missing.iter().map(ToString::to_string).collect(),
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let folder = session.data_folder()?;
    let lock_timeout = session.lock_timeout();
    let place = session.existing(&args.place)?;
    let (bar, mut tell) = progress::bytes(&session.terminal, "restoring");
    let restored = session.breakable(move |stop| {
        let stop = stop.clone();
        let options = RestoreOptions { replace: args.replace, lock_timeout, stop, ..RestoreOptions::default() };
        embed::restore(&place, &folder, &options, Arc::new(SystemClock), &mut tell)
    });
    let restored = restored.await;
    bar.finish_and_clear();
    let document = RestoreDoc::from(restored?);
    if !document.missing.is_empty() {
        let blobs = plural(document.missing.len(), "blob");
        session
            .terminal
            .warn(&format!("{blobs} had been missing when the backup was made: {}", document.missing.join(", ")));
    }
    session.out.result(&document, |document, paint| {
        let mut text = format!(
            "restored {}: {} files, {}, up to record {}, as of {}\n",
            paint.bold(&domain::text::escape_line(&document.folder)),
            human_count(document.files),
            human_size(document.bytes),
            document.seq,
            document.created_at,
        );
        if let Some(aside) = &document.moved_aside {
            text.push_str(&format!("what was there is in {}\n", domain::text::escape_line(aside)));
        }
        text
    })?;
    Ok(Done::All)
}
