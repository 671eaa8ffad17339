use std::path::PathBuf;

use domain::ports::{BackupPlace, BackupReport};
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::output::{human_count, human_size};
use crate::progress;
use crate::session::Session;

/// Copy the registry to a file or a folder
///
/// Journal, bytes of components and settings, as they are at one moment, while everything goes on. A folder that is there, or a PLACE that
/// ends in `/`, gets a copy to which the next backup adds only what changed; any other PLACE becomes one archive.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime backup registry.tar
  runtime backup /mnt/backups/registry/
  runtime backup registry.tar && runtime --data /tmp/copy restore registry.tar")]
pub(crate) struct Args {
    /// Archive to write, or folder to bring up to date
    #[arg(value_name = "PLACE")]
    pub(crate) place: PathBuf,
}

#[derive(Debug, Serialize)]
struct BackupDoc {
    path: String,
    seq: u64,
    hash: String,
    files: u64,
    bytes: u64,
    copied: u64,
    copied_bytes: u64,
    dropped: u64,
}

impl From<BackupReport> for BackupDoc {
    fn from(report: BackupReport) -> Self {
        Self {
            path: report.path.display().to_string(),
            seq: report.seq,
            hash: report.hash,
            files: report.files,
            bytes: report.bytes,
            copied: report.copied,
            copied_bytes: report.copied_bytes,
            dropped: report.dropped,
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let place = session.path(&args.place);
    let is_folder = place.is_dir() || args.place.as_os_str().as_encoded_bytes().ends_with(b"/");
    let place = if is_folder { BackupPlace::Folder(place) } else { BackupPlace::File(place) };
    let (bar, tell) = progress::bytes(&session.terminal, "copying");
    let backed_up = registry.backup(place, tell).await;
    bar.finish_and_clear();
    session.out.result(&BackupDoc::from(backed_up?), |document, paint| {
        let copied = match document.copied {
            0 => "nothing new".to_owned(),
            number => format!("{} copied ({})", human_count(number), human_size(document.copied_bytes)),
        };
        format!(
            "backed up to {}: {} files, {}, up to record {}; {copied}\n",
            paint.bold(&domain::text::escape_line(&document.path)),
            human_count(document.files),
            human_size(document.bytes),
            document.seq,
        )
    })?;
    Ok(Done::All)
}
