//! Writing at the journal's end.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Timestamp;
use domain::event::Record;
use domain::ports::{Durability, StorageError};

use super::JournalFolder;
use super::disk::{DiskFile, replace};
use super::line::{Head, HeaderLine, RecordLine, hash, seal};
use crate::files;

/// Most bytes of records that are gathered in memory where nothing has to last.
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// The end of the journal, where the committer writes.
pub(crate) struct Journal {
    pub(super) folder: JournalFolder,
    pub(super) path: PathBuf,
    /// First record of the segment.
    pub(super) first: u64,
    pub(super) file: Box<dyn DiskFile>,
    /// Length of the segment up to the last record that was written.
    pub(super) written: u64,
    /// Records that are not written yet.
    pub(super) gathered: Vec<u8>,
    /// Whether it is written down that records may get lost.
    pub(super) is_marked: bool,
    pub(super) head: Head,
    /// Set when it is not known what of the file is on the disk; nothing more is written to it then.
    pub(super) is_doubtful: bool,
    /// Set when a segment could not be begun that may be there all the same: it comes before any other record.
    must_turn: bool,
}

/// Records that are to be written together.
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
        replace(folder.disk(), &path, &header).map_err(|error| refusal(&path, error))?;
        Self::resume(folder, first, header.len() as u64, Head { seq: head.seq, hash })
    }

    /// Goes on at the end of the segment `first`, which was read.
    pub(crate) fn resume(folder: &JournalFolder, first: u64, end: u64, head: Head) -> Result<Self, StorageError> {
        let path = folder.segment(first);
        let file = folder.disk().append(&path).map_err(files::at(&path))?;
        Ok(Self {
            folder: folder.clone(),
            path,
            first,
            file,
            written: end,
            gathered: Vec::new(),
            is_marked: false,
            head,
            is_doubtful: false,
            must_turn: false,
        })
    }

    /// Begins another segment unless this one has no record yet.
    pub(crate) fn turn(&mut self, now: Timestamp) -> Result<(), StorageError> {
        self.mend()?;
        if self.first <= self.head.seq {
            // A segment that lasts must not follow one that may not.
            self.sync()?;
            // Should it fail half-way, the segment may be there: no record may go into this one any more.
            self.must_turn = true;
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
        self.mend()?;
        if self.must_turn || self.end() >= self.folder.segment_bytes() {
            self.turn(now)?;
        }
        // Its memory is used over and over.
        let bytes = if self.gathered.is_empty() { std::mem::take(&mut self.gathered) } else { Vec::new() };
        Ok(Group { bytes, head: self.head.clone(), first: self.head.seq + 1 })
    }

    /// Appends a group and returns once it survives what `durability` says.
    ///
    /// # Errors
    /// [`StorageError`] of the disk; the journal then ends where it ended before.
    pub(crate) fn append(&mut self, group: Group, durability: Durability) -> Result<(), StorageError> {
        let Group { bytes, head, first } = group;
        if durability < Durability::Power {
            // Before anything that may get lost is written: whoever opens the journal then knows that it is no damage.
            self.mark(first)?;
        }
        let before = self.end();
        if self.gathered.is_empty() {
            self.gathered = bytes;
        } else {
            self.gathered.extend(bytes);
        }
        let done = match durability {
            Durability::None if self.gathered.len() < GATHERED_BYTES_MAX => Ok(()),
            Durability::None | Durability::Process => self.write(),
            Durability::Power => self.sync(),
        };
        match done {
            Ok(()) => self.head = head,
            Err(_) => self.cut_back(before),
        }
        done
    }

    /// Writes what is gathered in memory.
    ///
    /// # Errors
    /// [`StorageError`] of the disk; it is still gathered then.
    pub(crate) fn write(&mut self) -> Result<(), StorageError> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        self.mend()?;
        if let Err(error) = self.file.write(&self.gathered) {
            // What was written of it must not be followed by anything, nor be found at the next opening.
            self.is_doubtful = self.file.cut(self.written).is_err();
            return Err(refusal(&self.path, error));
        }
        self.written += self.gathered.len() as u64;
        self.gathered.clear();
        Ok(())
    }

    /// Sees to it that all records survive what `durability` says.
    ///
    /// # Errors
    /// [`StorageError`] of the disk.
    pub(crate) fn secure(&mut self, durability: Durability) -> Result<(), StorageError> {
        match durability {
            Durability::None => Ok(()),
            Durability::Process => self.write(),
            Durability::Power => {
                self.mend()?;
                // What is not marked was synced.
                if self.is_marked { self.sync() } else { Ok(()) }
            }
        }
    }

    /// Writes down that records which are still to come may get lost.
    ///
    /// # Errors
    /// [`StorageError`] of the disk.
    pub(crate) fn relax(&mut self) -> Result<(), StorageError> {
        self.mend()?;
        self.mark(self.head.seq + 1)
    }

    fn sync(&mut self) -> Result<(), StorageError> {
        self.write()?;
        if let Err(error) = self.file.sync() {
            // The system may count as written what never was, so that another sync would succeed without being one.
            self.is_doubtful = true;
            return Err(refusal(&self.path, error));
        }
        self.unmark();
        Ok(())
    }

    /// Writes down that the records from `first` on may get lost, unless that of earlier ones is.
    pub(super) fn mark(&mut self, first: u64) -> Result<(), StorageError> {
        if !self.is_marked {
            mark_unsynced(&self.folder, first)?;
            self.is_marked = true;
        }
        Ok(())
    }

    /// Takes back that records may get lost: all of them are synced.
    pub(super) fn unmark(&mut self) {
        if self.is_marked {
            // Should a power cut bring it back, it says of records that are there that they may be missing.
            self.is_marked = self.folder.disk().remove(&unsynced_path(&self.folder)).is_err();
        }
    }

    /// Returns the lines that are gathered in memory.
    pub(crate) fn gathered(&self) -> &[u8] {
        &self.gathered
    }

    /// Tells whether records are gathered in memory.
    pub(crate) fn is_gathering(&self) -> bool {
        !self.gathered.is_empty()
    }

    /// Takes back the group that was appended last; `end` and `head` are those before it.
    pub(crate) fn take_back(&mut self, end: u64, head: Head) {
        self.head = head;
        self.cut_back(end);
    }

    /// Returns the length of the segment, with what is gathered.
    pub(crate) fn end(&self) -> u64 {
        self.written + self.gathered.len() as u64
    }

    fn cut_back(&mut self, end: u64) {
        if let Some(gathered) = end.checked_sub(self.written) {
            self.gathered.truncate(usize::try_from(gathered).unwrap_or(usize::MAX));
        } else {
            self.gathered.clear();
            self.written = end;
        }
        let cut = self.file.cut(self.written).and_then(|()| self.file.sync());
        self.is_doubtful |= cut.is_err();
    }
}

/// Turns an error of the disk into one that says what it means for the journal.
pub(super) fn refusal(path: &Path, error: std::io::Error) -> StorageError {
    match StorageError::io(path, error) {
        StorageError::Io { path, source } => StorageError::ReadOnly { path, source },
        named => named,
    }
}

/// Where it is written down that records were appended without a sync.
pub(super) fn unsynced_path(folder: &JournalFolder) -> PathBuf {
    folder.path().join("unsynced")
}

/// Writes down that the records from `first` on may get lost in a power cut.
fn mark_unsynced(folder: &JournalFolder, first: u64) -> Result<(), StorageError> {
    let path = unsynced_path(folder);
    let mut line = seal(format!(r#"{{"format":1,"kind":"unsynced","first":{first}}}"#).into_bytes());
    line.push(b'\n');
    replace(folder.disk(), &path, &line).map_err(|error| refusal(&path, error))
}

impl Group {
    /// Adds the records of one decision.
    pub(crate) fn add(&mut self, records: &[Arc<Record>]) -> Result<(), serde_json::Error> {
        let before = self.bytes.len();
        let mut head = self.head.clone();
        for (rest, record) in (0..records.len()).rev().zip(records) {
            let start = self.bytes.len();
            if let Err(error) = RecordLine::write(&mut self.bytes, record, self.first, rest, &head.hash) {
                self.bytes.truncate(before);
                return Err(error);
            }
            head = Head { seq: record.seq, hash: hash(self.bytes.get(start..).unwrap_or_default()) };
            self.bytes.push(b'\n');
        }
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
