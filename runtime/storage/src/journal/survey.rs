//! A look at every segment of a journal, which changes nothing and goes on after what is damaged.

use std::path::PathBuf;

use domain::ports::StorageError;

use super::JournalFolder;
use super::line::{Head, HeaderLine, LineError, Position, RecordLine, broken, hash, is_intact};
use super::open::split;
use super::read::{check_header, refuse};

/// What one segment holds.
pub(crate) struct Surveyed {
    /// The file.
    pub(crate) path: PathBuf,
    /// Its first record, as its name says.
    pub(crate) first: u64,
    /// Digest of the last line of the segment before, as the header says; `None` if the header is damaged.
    pub(crate) prev: Option<String>,
    /// Length of what is whole: up to the end of the last decision that all of is there.
    pub(crate) whole_bytes: u64,
    /// The last record of that decision, or the header.
    pub(crate) end: Head,
    /// Digest of the last record's line, also if it is in the segment before.
    pub(crate) record_hash: String,
    /// Where and why the rest is not whole.
    pub(crate) bad: Option<Bad>,
}

/// The first place in a segment that is not whole.
pub(crate) struct Bad {
    /// Where, in bytes.
    pub(crate) offset: u64,
    /// Why.
    pub(crate) reason: String,
    /// The highest sequence number that can be read after it, 0 if none.
    pub(crate) last_seen: u64,
    /// Whether it can be a write that a crash ended: nothing after it shows that it had been synced.
    pub(crate) unfinished: bool,
}

impl Surveyed {
    /// Says why this segment does not follow one that ends in `before`; `None` if it does.
    pub(crate) fn misfit(&self, before: &Head) -> Option<String> {
        if self.first != before.seq + 1 {
            return Some(format!("the records {} to {} are missing", before.seq + 1, self.first.saturating_sub(1)));
        }
        let follows = self.prev.as_ref().is_none_or(|prev| *prev == before.hash);
        (!follows).then(|| "it does not follow the segment before it".to_owned())
    }
}

/// Looks at the segment `first`, up to the record `to` if that is given.
///
/// # Errors
/// [`StorageError`] of the disk, and [`StorageError::NewerFormat`]: nothing can be said of it then.
pub(crate) fn survey(folder: &JournalFolder, first: u64, to: Option<u64>) -> Result<Surveyed, StorageError> {
    let path = folder.segment(first);
    let bytes = folder.read_all(&path)?;
    let start = Head { seq: first.saturating_sub(1), hash: String::new() };
    let record_hash = String::new();
    let mut found = Surveyed { path, first, prev: None, whole_bytes: 0, end: start, record_hash, bad: None };
    let read = read(&mut found, &bytes, to);
    if let Err((offset, error)) = read {
        let LineError::Broken(reason) = error else { return Err(refuse(&found.path, offset as u64, error)) };
        let after = bytes.get(offset..).unwrap_or_default();
        let later =
            || split(after).filter_map(|(_, line)| line.filter(|line| is_intact(line))).filter_map(Position::read);
        let lost_first = found.end.seq + 1;
        found.bad = Some(Bad {
            offset: offset as u64,
            reason,
            last_seen: later().map(|line| line.seq).max().unwrap_or(0),
            unfinished: found.prev.is_some() && !later().any(|line| line.group > lost_first),
        });
    }
    Ok(found)
}

fn read(found: &mut Surveyed, bytes: &[u8], to: Option<u64>) -> Result<(), (usize, LineError)> {
    let mut lines = split(bytes);
    let Some((_, Some(line))) = lines.next() else { return Err((0, broken("the segment has no header"))) };
    let header = HeaderLine::read(line).map_err(|error| (0, error))?;
    check_header(&header, found.first, None).map_err(|error| (0, error))?;
    found.record_hash.clone_from(&header.prev);
    found.prev = Some(header.prev);
    found.end.hash = hash(line);
    found.whole_bytes = line.len() as u64 + 1;
    let mut head = found.end.clone();
    let mut decision = found.whole_bytes as usize;
    for (offset, line) in lines {
        if to.is_some_and(|to| head.seq >= to) {
            break;
        }
        let line = line.ok_or_else(|| (offset, broken("the last line is cut")))?;
        if !is_intact(line) {
            return Err((offset, broken("the line's checksum is wrong")));
        }
        let record = RecordLine::read(line).map_err(|error| (offset, error))?;
        record.position().check_link(&head).map_err(|error| (offset, error))?;
        head = Head { seq: head.seq + 1, hash: hash(line) };
        let is_last = record.position().rest == 0;
        record.into_record().map_err(|error| (offset, error))?;
        if is_last {
            decision = offset + line.len() + 1;
            found.whole_bytes = decision as u64;
            found.record_hash.clone_from(&head.hash);
            found.end = head.clone();
        }
    }
    if found.end.seq < head.seq {
        return Err((decision, broken("the records of a decision are not all there")));
    }
    Ok(())
}
