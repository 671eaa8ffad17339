//! Checks a data folder from beginning to end, and changes nothing in it.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use domain::ports::{BlobCheck, BytesProgress, DIFFERENCES_MAX, Difference, Stop, StorageError, Verified};

use crate::blobs::FileBlobs;
use crate::index::{Frozen, Looked, Mark, Page, check_snapshot, compare, look, made_from_journal, page};
use crate::journal::{Head, JournalFolder, SEGMENT_BYTES, Surveyed, survey, unsynced};
use crate::lock::FolderLock;
use crate::scratch::{Scratch, copy_folder};
use crate::stoppable_disk::{broken_off, stoppable};

/// What a check does with what it finds.
trait Findings {
    fn differs(&mut self, file: &Path, offset: Option<u64>, what: impl Into<String>);

    /// Takes an error for a difference where it is one.
    fn error(&mut self, error: StorageError) -> Result<(), StorageError>;
}

impl Findings for Verified {
    fn differs(&mut self, file: &Path, offset: Option<u64>, what: impl Into<String>) {
        self.add(Difference { file: file.to_owned(), offset, what: what.into(), component: None });
    }

    fn error(&mut self, error: StorageError) -> Result<(), StorageError> {
        match error {
            StorageError::Damaged { path, offset, reason } => self.differs(&path, Some(offset), reason),
            other => return Err(other),
        }
        Ok(())
    }
}

/// Checks the data folder at `path`, which nobody else may hold: every line of the journal and the chain between them, every
/// snapshot, and the index against both.
///
/// Nothing is repaired, cut or made: the index is looked at in a copy, in the system's folder for temporary files. Memory is
/// bounded, whatever the number of entries. Blobs are not looked at. Blocks on the disk, until `stop` says so.
///
/// # Errors
/// [`StorageError::BrokenOff`] after `stop`, [`StorageError::Held`] after `lock_timeout`, [`StorageError::NewerFormat`], and errors of the disk. Damage is no error but a
/// [`Difference`].
pub fn verify(path: &Path, lock_timeout: Duration, stop: &Stop) -> Result<Verified, StorageError> {
    if !path.is_dir() {
        return Err(StorageError::NotAFolder { path: path.to_owned() });
    }
    verify_closed(path, lock_timeout, stop).map_err(|error| broken_off(stop, error))
}

fn verify_closed(path: &Path, lock_timeout: Duration, stop: &Stop) -> Result<Verified, StorageError> {
    let _lock = FolderLock::acquire(path, "a verification", lock_timeout)?;
    let journal = stoppable(&JournalFolder::of(path, SEGMENT_BYTES), stop);
    let mut found = Verified { first_seq: 1, ..Verified::default() };
    if !journal.path().is_dir() {
        return Ok(found);
    }
    let end = check_journal(&journal, None, &mut found)?;
    let index = path.join("index");
    if let Some(end) = end
        && index.is_dir()
    {
        let copy = Scratch::new()?;
        let expected = made_from_journal(&journal, &end)?;
        for (file, with_image) in [("image", true), ("db", false)] {
            if !index.join(file).is_file() {
                continue;
            }
            let copied = copy.path().join(file);
            copy_folder(&index, &copied, stop)?;
            let file = index.join(file);
            match look(&copied, &journal, &end, with_image)? {
                Looked::Rows(layers, misfit) => {
                    let before = found.differences.len();
                    let page_of = |tree, from: &[u8]| stop.check().and_then(|()| page(&*layers, tree, from));
                    compare_rows(&file, &*expected, &page_of, &mut found)?;
                    // Which rows says more, where the journal has them.
                    if let Some(reason) = misfit.filter(|_| found.differences.len() == before) {
                        found.differs(&file, None, format!("the index is not what was written: {reason}"));
                    }
                }
                Looked::Unfit(reason) => {
                    found.differs(&file, None, format!("the index does not fit the journal: {reason}"))
                }
            }
        }
    }
    Ok(found)
}

/// Reads every blob of a closed folder and compares it with its digest, whether the rest of the folder is whole or not; which blobs
/// are missing only an open registry can tell. Blocks on the disk.
///
/// # Errors
/// As [`verify`]. A blob that cannot be read is damaged, not an error.
pub fn verify_blobs(
    path: &Path,
    lock_timeout: Duration,
    progress: &mut dyn FnMut(BytesProgress),
    stop: &Stop,
) -> Result<BlobCheck, StorageError> {
    let _lock = FolderLock::acquire(path, "a verification", lock_timeout)?;
    crate::upkeep::check_blobs(&FileBlobs::new(path), &HashSet::new(), progress, stop)
}

/// Checks the journal up to the moment of `frozen`, and the index as it was then.
pub(crate) fn verify_open(
    journal: &JournalFolder,
    index: &Path,
    frozen: &Frozen,
    stop: &Stop,
) -> Result<Verified, StorageError> {
    let journal = stoppable(journal, stop);
    verify_frozen(&journal, index, frozen, stop).map_err(|error| broken_off(stop, error))
}

fn verify_frozen(
    journal: &JournalFolder,
    index: &Path,
    frozen: &Frozen,
    stop: &Stop,
) -> Result<Verified, StorageError> {
    let mut found = Verified::default();
    if let Some(end) = check_journal(journal, Some(frozen.mark.seq), &mut found)? {
        if end != frozen.mark {
            found.differs(index, None, format!("the index is at another record {} than the journal", frozen.mark.seq));
        }
        let expected = made_from_journal(journal, &end)?;
        let page_of = |tree, from: &[u8]| stop.check().and_then(|()| frozen.ask(|rows| page(rows, tree, from)));
        compare_rows(&index.join("db"), &*expected, &page_of, &mut found)?;
    }
    Ok(found)
}

fn compare_rows(
    file: &Path,
    expected: &dyn crate::index::Rows,
    page_of: &Page<'_>,
    found: &mut Verified,
) -> Result<(), StorageError> {
    let mut differences = Vec::new();
    found.rows += compare(expected, page_of, &mut |what, component| {
        differences.push(Difference { file: file.to_owned(), offset: None, what, component });
        differences.len() <= DIFFERENCES_MAX
    })?;
    differences.into_iter().for_each(|difference| found.add(difference));
    Ok(())
}

/// Checks segments and snapshots up to the record `to`, and returns the last whole record; `None` if the state cannot be told.
fn check_journal(journal: &JournalFolder, to: Option<u64>, found: &mut Verified) -> Result<Option<Mark>, StorageError> {
    // One that was just begun has no record yet, but says which it follows.
    let is_asked_for = |first: &u64| to.is_none_or(|to| *first <= to + 1);
    let firsts: Vec<u64> = journal.segments()?.into_iter().filter(is_asked_for).collect();
    let snapshots: Vec<u64> = journal.snapshots()?.into_iter().filter(|seq| to.is_none_or(|to| *seq <= to)).collect();
    let covered = check_snapshots(journal, &snapshots, &firsts, found)?;
    found.first_seq = firsts.first().copied().unwrap_or(covered + 1);
    if found.first_seq > covered + 1 {
        let path = journal.segment(covered + 1);
        let what = format!("the records {} to {} are missing", covered + 1, found.first_seq - 1);
        found.differs(&path, None, what);
    }
    if to.is_none()
        && let Err(error) = unsynced(journal)
    {
        found.error(error)?;
    }
    let damaged_before = found.differences.len();
    let mut before: Option<Surveyed> = None;
    let last = firsts.last().copied();
    for first in firsts {
        let segment = survey(journal, first, to)?;
        found.segments += 1;
        found.records += (segment.end.seq + 1).saturating_sub(first);
        if let Some(misfit) = before.as_ref().and_then(|before| segment.misfit(&before.end)) {
            found.differs(&segment.path, Some(0), misfit);
        }
        if let Some(bad) = &segment.bad {
            let what = match bad.unfinished && Some(first) == last {
                true => format!("{}: an unfinished write, which the next opening drops", bad.reason),
                false => bad.reason.clone(),
            };
            found.differs(&segment.path, Some(bad.offset), what);
        }
        before = Some(segment);
    }
    let Some(end) = before else {
        found.last_seq = covered;
        if covered > 0 {
            let what = format!("the records after {covered} are missing, which a snapshot does not have");
            found.differs(&journal.segment(covered + 1), None, what);
        }
        return Ok(None);
    };
    found.last_seq = end.end.seq;
    let is_torn = end.bad.as_ref().is_some_and(|bad| bad.unfinished);
    let is_whole = found.differences.len() == damaged_before + usize::from(is_torn);
    if end.end.seq < covered {
        let what = format!("the segments end at record {}, but there is a snapshot at record {covered}", end.end.seq);
        found.differs(&end.path, Some(end.whole_bytes), what);
    }
    let mark = match end.end.seq {
        0 => Mark::default(),
        seq => Mark { seq, hash: end.record_hash },
    };
    Ok((is_whole && found.first_seq <= covered + 1 && mark.seq >= covered).then_some(mark))
}

/// Checks every snapshot, and returns the last record that a whole one covers.
fn check_snapshots(
    journal: &JournalFolder,
    snapshots: &[u64],
    firsts: &[u64],
    found: &mut Verified,
) -> Result<u64, StorageError> {
    let mut covered = 0;
    for seq in snapshots {
        found.snapshots += 1;
        let header = match check_snapshot(journal, *seq) {
            Ok(header) => header,
            Err(error) => {
                found.error(error)?;
                continue;
            }
        };
        covered = *seq;
        // A snapshot is taken where a segment begins, and that says which record it follows.
        if firsts.contains(&(seq + 1)) {
            let next = survey(journal, seq + 1, Some(*seq))?;
            let end = Head { seq: *seq, hash: header.hash };
            if let Some(misfit) = next.misfit(&end) {
                found.differs(&journal.snapshot(*seq), Some(0), format!("the segment after it says: {misfit}"));
            }
        }
    }
    Ok(covered)
}
