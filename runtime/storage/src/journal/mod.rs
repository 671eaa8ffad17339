//! The journal: every event since the beginning, or since a snapshot, in segment files of JSON lines.
//!
//! A segment `journal/<first sequence number, 20 digits>.jsonl` begins with a header line and holds records until it is
//! [`SEGMENT_BYTES`] long. Every line ends in a checksum of its bytes and carries the digest of the line before it, the header
//! that of the last line of the segment before, so nothing can be changed, dropped or put in unnoticed. Records of one group
//! were synced together, and `rest` counts the records of the same decision that follow: so an unfinished write at the end can
//! be told from damage, and half a decision is never taken for a whole one. A snapshot `journal/<sequence number>.snapshot`
//! holds the state that all records up to that one add up to, and stands for them where their segments were removed.

mod append;
mod disk;
mod line;
mod mend;
mod open;
mod read;
mod snapshot;
mod survey;

pub(crate) use append::Journal;
pub(crate) use disk::{Disk, DiskFile, SystemDisk};
pub(crate) use line::{CHECKSUM_FIELD, Head, LineError, is_intact, seal};
pub(crate) use open::{OpenedJournal, open, unsynced};
pub(crate) use read::{header_time, records, records_in, refuse, replay};
pub(crate) use snapshot::{SnapshotHeader, SnapshotWriter, read_snapshot};
pub(crate) use survey::{Surveyed, survey};

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::ports::StorageError;

use crate::files;

/// Format of the segments; a reader refuses those of a later one.
pub(crate) const FORMAT: u32 = 1;

/// Size from which no further group is put into a segment, in bytes.
pub(crate) const SEGMENT_BYTES: u64 = 8 << 20;

/// Ends the names of segments.
const SEGMENT: &str = ".jsonl";
/// Ends the names of snapshots.
const SNAPSHOT: &str = ".snapshot";

/// The folder of a journal, and the disk that it is on.
#[derive(Clone)]
pub(crate) struct JournalFolder {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    segment_bytes: u64,
}

impl JournalFolder {
    /// Makes the journal of the data folder `folder`, on the system's disk.
    pub(crate) fn of(folder: &Path, segment_bytes: u64) -> Self {
        Self { path: folder.join("journal"), disk: Arc::new(SystemDisk), segment_bytes }
    }

    /// Makes a journal on another disk.
    pub(crate) fn on(disk: Arc<dyn Disk>, path: &Path, segment_bytes: u64) -> Self {
        Self { path: path.to_owned(), disk, segment_bytes }
    }

    /// Returns the folder's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the disk that the folder is on.
    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    /// Returns the size from which no further group is put into a segment, in bytes.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Returns the file of the segment whose first record is `first`.
    pub(crate) fn segment(&self, first: u64) -> PathBuf {
        self.path.join(format!("{first:020}{SEGMENT}"))
    }

    /// Returns the file of the snapshot at record `seq`.
    pub(crate) fn snapshot(&self, seq: u64) -> PathBuf {
        self.path.join(format!("{seq:020}{SNAPSHOT}"))
    }

    /// Returns the first sequence numbers of all segments, in order.
    pub(crate) fn segments(&self) -> Result<Vec<u64>, StorageError> {
        self.numbers(SEGMENT)
    }

    /// Returns the sequence numbers of all snapshots, in order.
    pub(crate) fn snapshots(&self) -> Result<Vec<u64>, StorageError> {
        self.numbers(SNAPSHOT)
    }

    fn numbers(&self, suffix: &str) -> Result<Vec<u64>, StorageError> {
        let mut found = Vec::new();
        for name in self.disk.names(&self.path).map_err(files::at(&self.path))? {
            let Some(digits) = name.strip_suffix(suffix) else { continue };
            if digits.len() == 20
                && let Ok(number) = digits.parse()
            {
                found.push(number);
            }
        }
        found.sort_unstable();
        Ok(found)
    }

    /// Removes a file of the journal, and returns once it stays removed.
    pub(crate) fn remove(&self, path: &Path) -> Result<(), StorageError> {
        let removed = self.disk.remove(path).and_then(|()| self.disk.sync_folder(&self.path));
        removed.map_err(files::at(path))
    }

    /// Returns the length of all segments and snapshots together, in bytes.
    pub(crate) fn bytes(&self) -> Result<u64, StorageError> {
        let segments = self.segments()?.into_iter().map(|first| self.segment(first));
        let snapshots = self.snapshots()?.into_iter().map(|seq| self.snapshot(seq));
        segments.chain(snapshots).map(|path| self.disk.len(&path).map_err(files::at(&path))).sum()
    }

    /// Reads a whole file.
    fn read_all(&self, path: &Path) -> Result<Vec<u8>, StorageError> {
        let mut bytes = Vec::new();
        let read = self.disk.read(path).and_then(|mut file| std::io::Read::read_to_end(&mut file, &mut bytes));
        read.map(|_| bytes).map_err(files::at(path))
    }
}
