//! Writing at the journal's end.

use std::path::PathBuf;
use std::sync::Arc;

use domain::Timestamp;
use domain::event::Record;
use domain::ports::StorageError;

use super::JournalFolder;
use super::disk::{DiskFile, replace};
use super::line::{Head, HeaderLine, RecordLine, hash};
use crate::files;

/// The end of the journal, where the committer writes.
pub(crate) struct Journal {
    folder: JournalFolder,
    path: PathBuf,
    /// First record of the segment.
    first: u64,
    file: Box<dyn DiskFile>,
    /// Length of the segment up to the last record that was synced.
    end: u64,
    head: Head,
    /// Set when the file's end could not be brought back: what is there is not known then.
    lost: bool,
}

/// Records that are to be synced together.
pub(crate) struct Group {
    bytes: Vec<u8>,
    head: Head,
    first: u64,
}

impl Journal {
    /// Begins the segment after `head`, whose line is on the disk for good.
    pub(crate) fn begin_segment(folder: &JournalFolder, head: &Head, now: Timestamp) -> Result<Self, StorageError> {
        let first = head.seq + 1;
        let path = folder.segment(first);
        let mut header = HeaderLine::write(head, now).map_err(|error| StorageError::io(&path, error.into()))?;
        let hash = hash(&header);
        header.push(b'\n');
        // In one step, so that there is never a segment with half a header.
        replace(folder.disk(), &path, &header).map_err(files::at(&path))?;
        Self::resume(folder, first, header.len() as u64, Head { seq: head.seq, hash })
    }

    /// Goes on at the end of the segment `first`, which was read.
    pub(crate) fn resume(folder: &JournalFolder, first: u64, end: u64, head: Head) -> Result<Self, StorageError> {
        let path = folder.segment(first);
        let file = folder.disk().append(&path).map_err(files::at(&path))?;
        Ok(Self { folder: folder.clone(), path, first, file, end, head, lost: false })
    }

    /// Begins another segment unless this one has no record yet.
    pub(crate) fn turn(&mut self, now: Timestamp) -> Result<(), StorageError> {
        if self.lost {
            return Err(StorageError::Closed);
        }
        if self.first <= self.head.seq {
            *self = Self::begin_segment(&self.folder, &self.head, now)?;
        }
        Ok(())
    }

    /// Returns what was written last.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Begins a group of records, in a new segment if this one is full.
    pub(crate) fn begin_group(&mut self, now: Timestamp) -> Result<Group, StorageError> {
        if self.lost {
            return Err(StorageError::Closed);
        }
        if self.end >= self.folder.segment_bytes() {
            self.turn(now)?;
        }
        Ok(Group { bytes: Vec::new(), head: self.head.clone(), first: self.head.seq + 1 })
    }

    /// Appends a group and returns once it survives a power cut.
    ///
    /// # Errors
    /// [`StorageError`] of the disk; the journal then ends where it ended before.
    pub(crate) fn append(&mut self, group: Group) -> Result<(), StorageError> {
        let Group { bytes, head, .. } = group;
        let written = self.file.write(&bytes).and_then(|()| self.file.sync());
        if let Err(error) = written {
            self.cut_back();
            return Err(StorageError::io(&self.path, error));
        }
        self.end += bytes.len() as u64;
        self.head = head;
        Ok(())
    }

    /// Takes back the group that was appended last; `end` and `head` are those before it.
    pub(crate) fn take_back(&mut self, end: u64, head: Head) {
        self.end = end;
        self.head = head;
        self.cut_back();
    }

    /// Returns the length of the segment.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    fn cut_back(&mut self) {
        let cut = self.file.cut(self.end).and_then(|()| self.file.sync());
        self.lost = cut.is_err();
    }
}

impl Group {
    /// Adds the records of one decision.
    pub(crate) fn add(&mut self, records: &[Arc<Record>]) -> Result<(), serde_json::Error> {
        let mut lines = Vec::new();
        let mut head = self.head.clone();
        for (rest, record) in (0..records.len()).rev().zip(records) {
            let line = RecordLine::write(record, self.first, rest, &head.hash)?;
            head = Head { seq: record.seq, hash: hash(&line) };
            lines.extend(line);
            lines.push(b'\n');
        }
        self.bytes.extend(lines);
        self.head = head;
        Ok(())
    }

    /// Returns the head that the journal will have.
    pub(crate) fn head(&self) -> &Head {
        &self.head
    }

    /// Tells whether there is nothing to write.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }
}
