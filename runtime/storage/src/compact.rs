//! Writing down the state at a moment, so that the records before it need not be kept.

use std::path::Path;

use domain::Timestamp;
use domain::ports::{AuditWindow, Compacted, Stop, StorageError};

use crate::files;
use crate::index::{Frozen, check_snapshot, write_snapshot};
use crate::journal::{JournalFolder, header_time};
use crate::stoppable_disk::broken_off;

/// Writes the snapshot of `frozen`, and once it is durable and was read back removes what it stands for. `goes_on` hears how
/// many entries are written, and says whether to write more; `stop` is looked at between two files.
///
/// Ended at any place, it leaves a folder that opens: files are removed one by one, the oldest first, each for good before the
/// next.
///
/// # Errors
/// [`StorageError`] of the disk; [`StorageError::Closed`] and [`StorageError::BrokenOff`] if it was broken off. Nothing is removed that is not covered.
pub(crate) fn compact(
    folder: &JournalFolder,
    frozen: Frozen,
    now: Timestamp,
    keep: AuditWindow,
    goes_on: &dyn Fn(u64) -> bool,
    stop: &Stop,
) -> Result<Compacted, StorageError> {
    let seq = frozen.mark.seq;
    let mut done = Compacted { seq, entries: frozen.entries, bytes_before: folder.bytes()?, ..Compacted::default() };
    if seq > 0 {
        let written = write_snapshot(folder, &frozen, now, &|written| goes_on(written) && !stop.is_set());
        done.snapshot_bytes = written.map_err(|error| {
            // Nobody else writes a snapshot now. The first error is the one to report: what is left is of no account.
            let mut partial = folder.snapshot(seq).into_os_string();
            partial.push(files::PARTIAL);
            let _ = folder.disk().remove(Path::new(&partial));
            broken_off(stop, error)
        })?;
        let hash = frozen.mark.hash.clone();
        drop(frozen);
        let written = check_snapshot(folder, seq)?;
        if (written.hash, written.entries) != (hash, done.entries) {
            return Err(StorageError::Index { reason: "the snapshot that was written is not the state".to_owned() });
        }
        stop.check()?;
        for old in folder.snapshots()?.into_iter().filter(|old| *old < seq) {
            folder.remove(&folder.snapshot(old))?;
            done.snapshots_removed += 1;
        }
        remove_segments(folder, now, keep, &mut done, stop)?;
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
    stop: &Stop,
) -> Result<(), StorageError> {
    let firsts = folder.segments()?;
    // The last segment has no next one, so it always stays.
    for (first, next) in firsts.iter().zip(firsts.iter().skip(1)) {
        let last = next - 1;
        let is_old = keep.age.is_zero() || now.since(header_time(folder, *next)?) >= keep.age;
        if last > done.seq || done.seq - last < keep.records || !is_old {
            return Ok(());
        }
        stop.check()?;
        folder.remove(&folder.segment(*first))?;
        done.segments_removed += 1;
        done.records_removed += next - first;
    }
    Ok(())
}
