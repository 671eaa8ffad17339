//! Reading segments, line by line, checked.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use domain::Timestamp;
use domain::event::Record;
use domain::ports::StorageError;

use super::JournalFolder;
use super::line::{Head, HeaderLine, LineError, Position, RecordLine, hash, is_intact};
use super::open::split;
use crate::files;

/// Makes the error for a bad line.
pub(crate) fn refuse(path: &Path, offset: u64, error: LineError) -> StorageError {
    match error {
        LineError::Broken(reason) => StorageError::Damaged { path: path.to_owned(), offset, reason },
        LineError::Newer { what, found, known } => StorageError::NewerFormat { what, found, known },
    }
}

/// The lines of one segment or snapshot, in order.
pub(crate) struct Lines {
    path: PathBuf,
    reader: BufReader<Box<dyn Read + Send>>,
    offset: u64,
    line: Vec<u8>,
}

impl Lines {
    /// Opens a file of the journal.
    pub(crate) fn open(folder: &JournalFolder, path: PathBuf) -> Result<Self, StorageError> {
        let file = folder.disk().read(&path).map_err(files::at(&path))?;
        Ok(Self { path, reader: BufReader::with_capacity(1 << 16, file), offset: 0, line: Vec::new() })
    }

    /// Returns how much was read, in bytes.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// Returns the next line without its line feed and its place; `None` at the end.
    ///
    /// # Errors
    /// [`StorageError::Damaged`] if it is cut or its checksum is wrong.
    pub(crate) fn next(&mut self) -> Result<Option<(u64, &[u8])>, StorageError> {
        self.line.clear();
        let read = self.reader.read_until(b'\n', &mut self.line).map_err(files::at(&self.path))?;
        if read == 0 {
            return Ok(None);
        }
        let offset = self.offset;
        self.offset += read as u64;
        if self.line.pop_if(|last| *last == b'\n').is_none() {
            let reason = "the last line is cut".to_owned();
            return Err(StorageError::Damaged { path: self.path.clone(), offset, reason });
        }
        if !is_intact(&self.line) {
            let reason = "the line's checksum is wrong".to_owned();
            return Err(StorageError::Damaged { path: self.path.clone(), offset, reason });
        }
        Ok(Some((offset, &self.line)))
    }
}

/// Hands every record after `from` up to `to` to `take`, in order, and checks every line and the chain between them.
///
/// `from` is a place in the journal: the records after it are read, and the first must follow it. [`Head::start`] reads all.
///
/// # Errors
/// [`StorageError::Damaged`] with file and offset, [`StorageError::NewerFormat`], and the errors of `take`.
pub(crate) fn replay(
    folder: &JournalFolder,
    from: &Head,
    to: u64,
    take: &mut dyn FnMut(Record, &Head) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let firsts = folder.segments()?;
    let begin = firsts.partition_point(|first| *first <= from.seq + 1).saturating_sub(1);
    // The segment after `from` says itself whether it follows it; one that begins later leaves a gap.
    let mut chain = (from.seq == 0 || firsts.get(begin).is_none_or(|first| *first > from.seq)).then(|| from.clone());
    // What was begun after `to` is none of the caller's business; it may be written to right now.
    for first in firsts.into_iter().skip(begin).take_while(|first| *first <= to) {
        let path = folder.segment(first);
        let mut lines = Lines::open(folder, path.clone())?;
        let mut head = read_header(&mut lines, first, chain.as_ref())?;
        while head.seq < to
            && let Some((offset, line)) = lines.next()?
        {
            let record = RecordLine::read(line).map_err(|error| refuse(&path, offset, error))?;
            record.position().check_link(&head).map_err(|error| refuse(&path, offset, error))?;
            head = Head { seq: head.seq + 1, hash: hash(line) };
            if head.seq > from.seq {
                let record = record.into_record().map_err(|error| refuse(&path, offset, error))?;
                take(record, &head)?;
            } else if head.seq == from.seq && head.hash != from.hash {
                let reason = "it is another record than the index has".to_owned();
                return Err(refuse(&path, offset, LineError::Broken(reason)));
            }
        }
        chain = Some(head);
    }
    match chain {
        Some(head) if head.seq < to => {
            let path = folder.segment(head.seq + 1);
            Err(refuse(&path, 0, LineError::Broken(format!("the records {} to {to} are missing", head.seq + 1))))
        }
        _ => Ok(()),
    }
}

fn read_header(lines: &mut Lines, first: u64, before: Option<&Head>) -> Result<Head, StorageError> {
    let path = lines.path.clone();
    let Some((_, line)) = lines.next()? else {
        return Err(refuse(&path, 0, LineError::Broken("the segment is empty".to_owned())));
    };
    let header = HeaderLine::read(line).map_err(|error| refuse(&path, 0, error))?;
    check_header(&header, first, before).map_err(|error| refuse(&path, 0, error))?;
    Ok(Head { seq: first.saturating_sub(1), hash: hash(line) })
}

/// Checks that a header is that of the segment `first`, and follows `before` if that is known.
pub(crate) fn check_header(header: &HeaderLine, first: u64, before: Option<&Head>) -> Result<(), LineError> {
    if header.first != first || first == 0 {
        return Err(LineError::Broken(format!("the header says that record {} comes first", header.first)));
    }
    match before {
        Some(before) if before.seq + 1 != first => {
            Err(LineError::Broken(format!("the records {} to {} are missing", before.seq + 1, first - 1)))
        }
        Some(before) if before.hash != header.prev => {
            Err(LineError::Broken("it does not follow the segment before it".to_owned()))
        }
        _ => Ok(()),
    }
}

/// Returns when the segment `first` was begun: no earlier than any record before it was written.
///
/// # Errors
/// [`StorageError::Damaged`] and [`StorageError::NewerFormat`].
pub(crate) fn header_time(folder: &JournalFolder, first: u64) -> Result<Timestamp, StorageError> {
    let path = folder.segment(first);
    let mut lines = Lines::open(folder, path.clone())?;
    let line = lines.next()?.map(|(_, line)| HeaderLine::read(line));
    match line {
        Some(header) => header.map(|header| header.at).map_err(|error| refuse(&path, 0, error)),
        None => Err(refuse(&path, 0, LineError::Broken("the segment is empty".to_owned()))),
    }
}

/// Returns up to `limit` records from `from` up to `to`, in order. Costs the reading of the segment in which `from` is.
///
/// # Errors
/// As [`replay`].
pub(crate) fn records(folder: &JournalFolder, from: u64, to: u64, limit: usize) -> Result<Vec<Record>, StorageError> {
    let mut found = Vec::new();
    let firsts = folder.segments()?;
    let begin = firsts.partition_point(|first| *first <= from).saturating_sub(1);
    let mut expected = firsts.get(begin).copied().unwrap_or(from);
    for first in firsts.into_iter().skip(begin) {
        if found.len() >= limit || expected > to {
            break;
        }
        let path = folder.segment(first);
        let mut lines = Lines::open(folder, path.clone())?;
        read_header(&mut lines, first, None)?;
        if first != expected {
            let reason = format!("the records {expected} to {} are missing", first - 1);
            return Err(refuse(&path, 0, LineError::Broken(reason)));
        }
        while expected <= to
            && found.len() < limit
            && let Some((offset, line)) = lines.next()?
        {
            let broken = |reason: String| refuse(&path, offset, LineError::Broken(reason));
            let seq = Position::read(line).map(|at| at.seq).ok_or_else(|| broken("it is not a record".to_owned()))?;
            if seq != expected {
                return Err(broken(format!("record {seq} is in the place of record {expected}")));
            }
            expected += 1;
            if seq >= from {
                let record = RecordLine::read(line).and_then(RecordLine::into_record);
                found.push(record.map_err(|error| refuse(&path, offset, error))?);
            }
        }
    }
    Ok(found)
}

/// Returns the records of lines that are in no file yet, in order.
///
/// # Errors
/// [`StorageError::Damaged`] if they are no records.
pub(crate) fn records_in(folder: &JournalFolder, lines: &[u8]) -> Result<Vec<Record>, StorageError> {
    let records = split(lines).map(|(offset, line)| {
        let line = line.ok_or_else(|| LineError::Broken("the line is cut".to_owned()));
        let record = line.and_then(RecordLine::read).and_then(RecordLine::into_record);
        record.map_err(|error| refuse(folder.path(), offset as u64, error))
    });
    records.collect()
}
