use std::time::Duration;

use domain::ports::{AuditWindow, Compacted};
use serde::Serialize;

use crate::args::duration;
use crate::error::{CliError, Done};
use crate::output::{human_count, human_size};
use crate::progress;
use crate::session::Session;

/// Replace old records of the journal by a snapshot
///
/// Writes down the state as it is now and removes the segments of the journal that it stands for. Records of the last `--keep`, and the
/// newest `--keep-records`, stay for people to look back at. Commands go on meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime compact
  runtime compact --keep 30d --keep-records 10000
  runtime compact --keep 0s")]
pub(crate) struct Args {
    /// How young a record has to be to stay
    #[arg(long, value_name = "TIME", default_value = "90d", value_parser = duration)]
    pub(crate) keep: Duration,

    /// How many of the newest records stay at least
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    pub(crate) keep_records: u64,
}

#[derive(Debug, Serialize)]
struct CompactDoc {
    seq: u64,
    entries: u64,
    snapshot_bytes: u64,
    records_removed: u64,
    segments_removed: u64,
    snapshots_removed: u64,
    first_seq: u64,
    bytes_before: u64,
    bytes_after: u64,
}

impl From<Compacted> for CompactDoc {
    fn from(done: Compacted) -> Self {
        Self {
            seq: done.seq,
            entries: done.entries,
            snapshot_bytes: done.snapshot_bytes,
            records_removed: done.records_removed,
            segments_removed: done.segments_removed,
            snapshots_removed: done.snapshots_removed,
            first_seq: done.first_seq,
            bytes_before: done.bytes_before,
            bytes_after: done.bytes_after,
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let bar = progress::counter(&session.terminal, "writing entries", 2);
    let told = bar.clone();
    let keep = AuditWindow { age: args.keep, records: args.keep_records };
    let compacted = registry.compact(keep, move |done, count| {
        told.set_length(count);
        told.set_position(done);
    });
    let compacted = compacted.await;
    bar.finish_and_clear();
    session.out.result(&CompactDoc::from(compacted?), |document, paint| {
        format!(
            "snapshot of {} entries at record {} ({}); {} records removed, the journal begins with {}: {} before, {} now\n",
            human_count(document.entries),
            paint.bold(&document.seq.to_string()),
            human_size(document.snapshot_bytes),
            human_count(document.records_removed),
            document.first_seq,
            human_size(document.bytes_before),
            human_size(document.bytes_after),
        )
    })?;
    Ok(Done::All)
}
