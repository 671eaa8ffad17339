use std::sync::Arc;

use domain::ports::Clock;
use domain::text::escape_line;
use embed::{RepairOptions, Repaired, SystemClock};
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::session::Session;
use crate::style::Paint;

/// Keep what is whole of a damaged journal
///
/// Copies the damaged files aside, keeps the longest whole history, makes the index anew, and says exactly what is lost. For a data folder
/// that `runtime` refuses to open. No other process may have it open.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime repair --dry-run
  runtime repair")]
pub(crate) struct Args {
    /// Only say what would be kept and what would be lost
    #[arg(long)]
    pub(crate) dry_run: bool,
}

#[derive(Debug, Serialize)]
struct RepairDoc {
    dry_run: bool,
    first_kept: u64,
    last_kept: u64,
    snapshot: Option<u64>,
    lost: Vec<LostDoc>,
    /// Where the damaged files are now.
    set_aside: Option<String>,
    files: Vec<String>,
    warnings: Vec<String>,
}

#[derive(Debug, Serialize)]
struct LostDoc {
    file: String,
    offset: u64,
    reason: String,
    first: Option<u64>,
    last: Option<u64>,
}

impl RepairDoc {
    fn new(dry_run: bool, repaired: Repaired) -> Self {
        let lost = repaired.lost.into_iter().map(|lost| LostDoc {
            file: lost.file.display().to_string(),
            offset: lost.offset,
            reason: lost.reason,
            first: lost.first,
            last: lost.last,
        });
        Self {
            dry_run,
            first_kept: repaired.first_kept,
            last_kept: repaired.last_kept,
            snapshot: repaired.snapshot,
            lost: lost.collect(),
            set_aside: repaired.set_aside.map(|path| path.display().to_string()),
            files: repaired.files.iter().map(|path| path.display().to_string()).collect(),
            warnings: repaired.warnings.iter().map(ToString::to_string).collect(),
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let folder = session.data_folder()?;
    let mut options = RepairOptions { dry_run: args.dry_run, ..RepairOptions::default() };
    options.open.lock_timeout = session.lock_timeout();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let repaired = session.breakable(move |stop| {
        options.stop = stop.clone();
        embed::repair(&folder, &options, &clock)
    });
    let document = RepairDoc::new(args.dry_run, repaired.await?);
    session.out.result(&document, text)?;
    for warning in &document.warnings {
        session.terminal.warn(warning);
    }
    Ok(Done::All)
}

fn text(document: &RepairDoc, paint: Paint) -> String {
    let mut text = String::new();
    for lost in &document.lost {
        let records = match (lost.first, lost.last) {
            (Some(first), Some(last)) if first == last => format!("record {first}"),
            (Some(first), Some(last)) => format!("records {first} to {last}"),
            (Some(first), None) => format!("records from {first} on"),
            _ => "nothing that was acknowledged".to_owned(),
        };
        let lost_word = if document.dry_run { "would be lost:" } else { "lost:" };
        let place = format!("{} at byte {}", escape_line(&lost.file), lost.offset);
        text.push_str(&format!("{} {records}, {place}: {}\n", paint.red(lost_word), escape_line(&lost.reason)));
    }
    let kept = if document.last_kept == 0 {
        "nothing".to_owned()
    } else if document.first_kept > document.last_kept {
        "no record".to_owned()
    } else {
        format!("records {} to {}", document.first_kept, document.last_kept)
    };
    let snapshot = document.snapshot.map(|seq| format!(", with the snapshot at record {seq}")).unwrap_or_default();
    let verb = if document.dry_run { "would keep" } else { "kept" };
    match document.lost.is_empty() {
        true => text.push_str(&format!("nothing to repair; {kept}{snapshot}\n")),
        false => text.push_str(&format!("{verb} {}{snapshot}\n", paint.bold(&kept))),
    }
    if let Some(aside) = &document.set_aside {
        let verb = if document.dry_run { "would be put into" } else { "are in" };
        text.push_str(&format!("the damaged files {verb} {}\n", escape_line(aside)));
    }
    text
}
