//! Finding the journal's end: whole, or cut back to what was whole.

use std::path::{Path, PathBuf};

use domain::Timestamp;
use domain::ports::StorageError;
use serde::Deserialize;

use super::JournalFolder;
use super::append::{Journal, unsynced_path};
use super::line::{Head, HeaderLine, LineError, Position, hash, is_intact};
use super::read::{check_header, refuse};
use crate::files;
use crate::folder::Warning;

/// The journal with its end known.
pub(crate) struct OpenedJournal {
    /// Ready to be written to.
    pub(crate) journal: Journal,
    /// Digest of the last record's line, which is not the head's if the last segment has no record yet.
    pub(crate) record_hash: String,
    /// What was cut off its end.
    pub(crate) warning: Option<Warning>,
}

/// Opens the journal in `folder`, or begins one.
///
/// Checks every line of the last segment: the checksums of all, and the chain from `applied` on, the last record that the index
/// has. A bad end that was never acknowledged is cut off: nothing in it was synced, and the index knows nothing of it.
///
/// # Errors
/// [`StorageError::Damaged`] with the place, if what is bad had been synced, or if a snapshot has records that the segments
/// lack; [`StorageError::NewerFormat`].
pub(crate) fn open(folder: &JournalFolder, applied: &Head, now: Timestamp) -> Result<OpenedJournal, StorageError> {
    files::create_folder(folder.path())?;
    let covered = folder.snapshots()?.pop().unwrap_or(0);
    let Some(first) = folder.segments()?.pop() else {
        if covered > 0 {
            let reason = format!("the records after {covered} are missing, which a snapshot does not have");
            return Err(refuse(&folder.segment(covered + 1), 0, LineError::Broken(reason)));
        }
        let journal = Journal::begin_segment(folder, &Head::start(), now)?;
        if let Some(parent) = folder.path().parent() {
            folder.disk().sync_folder(parent).map_err(files::at(parent))?;
        }
        return Ok(OpenedJournal { journal, record_hash: Head::start().hash, warning: None });
    };
    let path = folder.segment(first);
    let bytes = folder.read_all(&path)?;
    let mut end = match read_segment(&path, &bytes, first, Some(applied))? {
        Some(end) => end,
        None => read_segment(&path, &bytes, first, None)?.ok_or(StorageError::Closed)?,
    };
    let bad = end.bad.take();
    let may_be_lost = unsynced(folder)?;
    let was_synced = |bad: &&BadLine| may_be_lost.is_none_or(|first| bad.seq < first);
    if let Some(bad) = bad.as_ref().filter(was_synced) {
        judge(&path, &bytes, bad, applied.seq)?;
    }
    if end.head.seq < covered {
        let reason =
            format!("the segments end at record {}, but there is a snapshot at record {covered}", end.head.seq);
        return Err(refuse(&path, end.offset, LineError::Broken(reason)));
    }
    if end.head.seq < first {
        // Whoever began it may have ended before its name was durable, and what is put into it will have to last.
        for folder_path in [Some(folder.path()), folder.path().parent()].into_iter().flatten() {
            folder.disk().sync_folder(folder_path).map_err(files::at(folder_path))?;
        }
    }
    let mut warning = None;
    if let Some(bad) = &bad {
        cut(folder, &path, end.offset)?;
        let (file, offset, bytes) = (path, end.offset, bytes.len() as u64 - end.offset);
        warning = Some(match was_synced(&bad) {
            true => Warning::TornTail { file, offset, bytes },
            false => Warning::UnsyncedLost { file, offset, bytes, first: bad.seq },
        });
    } else if end.head.seq > applied.seq || may_be_lost.is_some() {
        // Written by a process that may have ended before its sync: from now on it counts, so it has to last.
        folder.disk().append(&path).and_then(|mut file| file.sync()).map_err(files::at(&path))?;
    }
    if may_be_lost.is_some() {
        folder.remove(&unsynced_path(folder))?;
    }
    let journal = Journal::resume(folder, first, end.offset, end.head)?;
    Ok(OpenedJournal { journal, record_hash: end.record_hash, warning })
}

/// Returns the first record that was written without a sync after it, as far as that was written down.
pub(crate) fn unsynced(folder: &JournalFolder) -> Result<Option<u64>, StorageError> {
    #[derive(Deserialize)]
    struct Unsynced {
        first: u64,
    }
    let path = unsynced_path(folder);
    let bytes = match folder.read_all(&path) {
        Ok(bytes) => bytes,
        Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let line = bytes.strip_suffix(b"\n").filter(|line| is_intact(line));
    match line.and_then(|line| serde_json::from_slice::<Unsynced>(line).ok()) {
        Some(Unsynced { first }) => Ok(Some(first)),
        // It is put in place whole: this one was damaged later, and nothing may be cut on its word.
        None => Err(refuse(&path, 0, LineError::Broken("its checksum is wrong".to_owned()))),
    }
}

fn cut(folder: &JournalFolder, path: &Path, end: u64) -> Result<(), StorageError> {
    let file = folder.disk().append(path);
    file.and_then(|mut file| file.cut(end).and_then(|()| file.sync())).map_err(files::at(path))
}

/// How far a segment is good.
struct End {
    /// Where the last whole decision ends.
    offset: u64,
    /// Its last record.
    head: Head,
    /// Digest of that record's line.
    record_hash: String,
    /// The first bad line, if there is one.
    bad: Option<BadLine>,
}

struct BadLine {
    offset: usize,
    /// Sequence number of the first record that is not good.
    seq: u64,
    reason: String,
}

/// Checks the lines of a segment up to the first bad one.
///
/// Of the lines before the record `known` the checksums alone are checked: whoever knows that record has read them. `None` if
/// the segment does not have it.
fn read_segment(path: &Path, bytes: &[u8], first: u64, known: Option<&Head>) -> Result<Option<End>, StorageError> {
    let mut lines = split(bytes);
    let header = match lines.next() {
        Some((_, Some(line))) => line,
        _ => return Err(refuse(path, 0, LineError::Broken("the segment has no header".to_owned()))),
    };
    let parsed = HeaderLine::read(header).map_err(|error| refuse(path, 0, error))?;
    check_header(&parsed, first, None).map_err(|error| refuse(path, 0, error))?;
    let mut head = Head { seq: first - 1, hash: hash(header) };
    let mut good = End { offset: header.len() as u64 + 1, head: head.clone(), record_hash: parsed.prev, bad: None };
    let mut decision_offset = header.len() + 1;
    let known = known.filter(|known| known.seq >= first);
    for (offset, line) in lines {
        let seq = head.seq + 1;
        let Some(line) = line.filter(|line| is_intact(line)) else {
            if known.is_some_and(|known| known.seq > head.seq) {
                return Ok(None);
            }
            let reason = "the line's checksum is wrong".to_owned();
            good.bad = Some(BadLine { offset, seq, reason });
            return Ok(Some(good));
        };
        if known.is_some_and(|known| known.seq > seq) {
            head.seq = seq;
            continue;
        }
        let last_known = known.filter(|known| known.seq == seq);
        let Some(place) = Position::read(line) else {
            return Err(refuse(path, offset as u64, LineError::Broken("it is not a record".to_owned())));
        };
        if last_known.is_none() {
            // A whole line that does not fit was not torn but put there.
            place.check_link(&head).map_err(|error| refuse(path, offset as u64, error))?;
        }
        head = Head { seq, hash: hash(line) };
        if last_known.is_some_and(|known| *known != head) {
            return Ok(None);
        }
        if place.rest == 0 {
            decision_offset = offset + line.len() + 1;
            good.offset = decision_offset as u64;
            good.head = head.clone();
            good.record_hash.clone_from(&head.hash);
        }
    }
    if known.is_some_and(|known| known.seq > head.seq) {
        return Ok(None);
    }
    if good.head.seq < head.seq {
        let reason = "the records of a decision are not all there".to_owned();
        good.bad = Some(BadLine { offset: decision_offset, seq: good.head.seq + 1, reason });
    }
    Ok(Some(good))
}

/// Tells whether the bytes of a segment are whole and end with the record `head`.
pub(super) fn ends_with(path: &Path, bytes: &[u8], first: u64, head: &Head) -> Result<bool, StorageError> {
    let end = read_segment(path, bytes, first, None)?;
    Ok(end.is_some_and(|end| end.bad.is_none() && end.offset == bytes.len() as u64 && end.head == *head))
}

/// Tells an unfinished write from damage: the bad line, or one of a later group, must never have been synced.
fn judge(path: &Path, bytes: &[u8], bad: &BadLine, applied: u64) -> Result<(), StorageError> {
    let after = bytes.get(bad.offset..).unwrap_or_default();
    let synced_later = split(after)
        .filter_map(|(_, line)| line.filter(|line| is_intact(line)))
        .filter_map(Position::read)
        // Only when a group was synced is the next one written.
        .any(|line| line.group > bad.seq);
    if synced_later || applied >= bad.seq {
        let reason = format!("{}, and record {} had been acknowledged", bad.reason, bad.seq);
        return Err(StorageError::Damaged { path: PathBuf::from(path), offset: bad.offset as u64, reason });
    }
    Ok(())
}

/// Splits into lines with their places; a last line without line feed is `None`.
pub(super) fn split(bytes: &[u8]) -> impl Iterator<Item = (usize, Option<&[u8]>)> {
    let mut offset = 0;
    bytes.split_inclusive(|byte| *byte == b'\n').map(move |line| {
        let at = offset;
        offset += line.len();
        (at, line.strip_suffix(b"\n"))
    })
}
