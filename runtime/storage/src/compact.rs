//! Writing down the state at a moment, so that the records before it need not be kept.

use std::time::Duration;

use domain::Timestamp;
use domain::ports::StorageError;

use crate::index::{Frozen, check_snapshot, write_snapshot};
use crate::journal::{JournalFolder, header_time};

/// How many records stay in the journal for people to look back at, although a snapshot covers them. Whatever either of the
/// two asks for is kept, in whole segments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuditWindow {
    /// Records younger than this are kept; 90 days by default.
    pub age: Duration,
    /// At least so many of the newest records are kept; none by default.
    pub records: u64,
}

impl Default for AuditWindow {
    fn default() -> Self {
        Self { age: Duration::from_secs(90 * 24 * 60 * 60), records: 0 }
    }
}

/// What compacting a journal did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compacted {
    /// The last record that the new snapshot covers; 0 and no snapshot if there was no record.
    pub seq: u64,
    /// How many entries the snapshot has.
    pub entries: u64,
    /// Length of the snapshot, in bytes.
    pub snapshot_bytes: u64,
    /// How many records were removed: all of them are in the snapshot's state.
    pub records_removed: u64,
    /// How many segments were removed.
    pub segments_removed: u64,
    /// How many older snapshots were removed.
    pub snapshots_removed: u64,
    /// Sequence number of the first record that is left, or that will come if there is none.
    pub first_seq: u64,
    /// Length of all segments and snapshots before, in bytes.
    pub bytes_before: u64,
    /// Length of all segments and snapshots after, in bytes.
    pub bytes_after: u64,
}

/// Writes the snapshot of `frozen`, and once it is durable and was read back removes what it stands for. `goes_on` hears how
/// many entries are written, and says whether to write more.
///
/// Ended at any place, it leaves a folder that opens: files are removed one by one, the oldest first, each for good before the
/// next.
///
/// # Errors
/// [`StorageError`] of the disk; [`StorageError::Closed`] if it was broken off. Nothing is removed that is not covered.
pub(crate) fn compact(
    folder: &JournalFolder,
    frozen: Frozen,
    now: Timestamp,
    keep: AuditWindow,
    goes_on: &dyn Fn(u64) -> bool,
) -> Result<Compacted, StorageError> {
    let seq = frozen.mark.seq;
    let mut done = Compacted { seq, entries: frozen.entries, bytes_before: folder.bytes()?, ..Compacted::default() };
    if seq > 0 {
        done.snapshot_bytes = write_snapshot(folder, &frozen, now, goes_on)?;
        let hash = frozen.mark.hash.clone();
        drop(frozen);
        let written = check_snapshot(folder, seq)?;
        if (written.hash, written.entries) != (hash, done.entries) {
            return Err(StorageError::Index { reason: "the snapshot that was written is not the state".to_owned() });
        }
        for old in folder.snapshots()?.into_iter().filter(|old| *old < seq) {
            folder.remove(&folder.snapshot(old))?;
            done.snapshots_removed += 1;
        }
        remove_segments(folder, now, keep, &mut done)?;
    }
    done.first_seq = folder.segments()?.first().copied().unwrap_or(1);
    done.bytes_after = folder.bytes()?;
    Ok(done)
}

fn remove_segments(
    folder: &JournalFolder,
    now: Timestamp,
    keep: AuditWindow,
    done: &mut Compacted,
) -> Result<(), StorageError> {
    let firsts = folder.segments()?;
    // The last segment has no next one, so it always stays.
    for (first, next) in firsts.iter().zip(firsts.iter().skip(1)) {
        let last = next - 1;
        let is_old = keep.age.is_zero() || now.since(header_time(folder, *next)?) >= keep.age;
        if last > done.seq || done.seq - last < keep.records || !is_old {
            return Ok(());
        }
        folder.remove(&folder.segment(*first))?;
        done.segments_removed += 1;
        done.records_removed += next - first;
    }
    Ok(())
}
