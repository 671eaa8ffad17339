use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{ArchivePart, ArchivedComponents, BackupError, BackupPlace, BackupReport, Stop, StorageError};
use crate::digest::Digest;
use crate::id::ComponentId;
use crate::stats::FolderSizes;

/// Knows which blobs must stay while others are removed.
pub trait BlobsInUse: Send + Sync {
    /// Calls `remove` unless the blob of `digest` is in use. Until it returns, nobody begins to use it.
    fn unless_used(&self, digest: &Digest, remove: &mut dyn FnMut());
}

/// A set of digests that nobody adds to.
impl BlobsInUse for HashSet<Digest> {
    fn unless_used(&self, digest: &Digest, remove: &mut dyn FnMut()) {
        if !self.contains(digest) {
            remove();
        }
    }
}

/// What a sweep of the blobs removed, or would remove.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BlobSweep {
    /// Removed files, unfinished writes included.
    pub removed: u64,
    /// Their size in bytes.
    pub removed_bytes: u64,
    /// Blobs that nothing names, but that are younger than the grace period.
    pub spared: u64,
    /// Files that stay, those that were spared included.
    pub kept: u64,
}

/// How far the reading of many files is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BytesProgress {
    /// Bytes that are done.
    pub done: u64,
    /// Bytes there are.
    pub total: u64,
}

/// What a check of the blobs found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BlobCheck {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Files that are not what their names say, ordered by path.
    pub damaged: Vec<DamagedBlob>,
    /// Digests that are needed and not there, ordered.
    pub missing: Vec<Digest>,
}

/// A file among the blobs that is not what its name says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DamagedBlob {
    /// The digest that its name says, `None` if it says none.
    pub digest: Option<Digest>,
    /// The file.
    pub path: PathBuf,
    /// What is wrong.
    pub reason: String,
}

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

/// Most differences that are listed; the rest is counted.
pub const DIFFERENCES_MAX: usize = 1_000;

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The file or folder.
    pub file: PathBuf,
    /// Where in it, in bytes, where that can be said.
    pub offset: Option<u64>,
    /// What is wrong, a fragment for people.
    pub what: String,
    /// The component that it is about, where that can be said.
    pub component: Option<ComponentId>,
}

/// What a check of a data folder found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is wrong, at most [`DIFFERENCES_MAX`]; empty if all is well.
    pub differences: Vec<Difference>,
    /// How many more differences there are.
    pub more: u64,
    /// How many segments of the journal were checked.
    pub segments: u64,
    /// How many records.
    pub records: u64,
    /// How many snapshots.
    pub snapshots: u64,
    /// How many rows of the index were compared with the journal.
    pub rows: u64,
    /// How many blobs were checked. Storage leaves it 0 here: whoever checks blobs adds them, and their differences.
    pub blobs: u64,
    /// The first record that there is, or that will come.
    pub first_seq: u64,
    /// The last record, 0 if there is none.
    pub last_seq: u64,
}

impl Verified {
    /// Adds a difference, or counts it if there are many.
    pub fn add(&mut self, difference: Difference) {
        match self.differences.len() < DIFFERENCES_MAX {
            true => self.differences.push(difference),
            false => self.more += 1,
        }
    }
}

/// Looks after everything that is kept on the disk. Calls block on it, some for long: those end soon after `stop` says so, with
/// [`StorageError::BrokenOff`], leave nothing unfinished behind, and can be made again.
pub trait Upkeep: Send + Sync {
    /// Removes the blobs that are not in use and were written longer ago than `grace`, and unfinished writes of that age.
    /// With `dry_run` nothing is removed.
    ///
    /// # Errors
    /// [`StorageError`] if the folder cannot be read or a file not be removed; what was removed before stays removed.
    fn sweep_blobs(
        &self,
        in_use: &dyn BlobsInUse,
        grace: Duration,
        dry_run: bool,
        stop: &Stop,
    ) -> Result<BlobSweep, StorageError>;

    /// Reads every blob and compares it with its digest; tells which of `needed` are not there.
    ///
    /// # Errors
    /// [`StorageError`] if the folder cannot be read. A file that cannot be read is damaged, not an error.
    fn verify_blobs(
        &self,
        needed: &HashSet<Digest>,
        progress: &mut dyn FnMut(BytesProgress),
        stop: &Stop,
    ) -> Result<BlobCheck, StorageError>;

    /// Returns how much there is on the disk.
    ///
    /// # Errors
    /// [`StorageError`] if a folder cannot be read.
    fn sizes(&self) -> Result<FolderSizes, StorageError>;

    /// Copies journal, blobs and settings to `place`, as they are at one sequence number, while others go on. The index,
    /// compiled code, counters of use and guests' output are not part of a backup.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`] if something else is at the place; [`BackupError::Storage`], with
    /// [`StorageError::Damaged`] for a blob that has changed. What was at the place before is still good then.
    fn backup(
        &self,
        place: &BackupPlace,
        progress: &mut dyn FnMut(BytesProgress),
        stop: &Stop,
    ) -> Result<BackupReport, BackupError>;

    /// Writes components in their order, with their bytes, and what belongs to the registry, to the archive at `path`; returns its size.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`] if another file is at the path; [`BackupError::Storage`], with [`StorageError::MissingBlob`] or
    /// [`StorageError::Damaged`] if bytes are not good. What was at the path before is still there then.
    fn write_components(
        &self,
        path: &Path,
        archived: &ArchivedComponents,
        progress: &mut dyn FnMut(BytesProgress),
        stop: &Stop,
    ) -> Result<u64, BackupError>;

    /// Checks all of the archive at `path`, then hands its parts to `take`, in their order, until that returns `false`.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`]; [`BackupError::Damaged`], before the first part if the file does not change meanwhile.
    fn read_components(
        &self,
        path: &Path,
        take: &mut dyn FnMut(ArchivePart) -> bool,
        stop: &Stop,
    ) -> Result<(), BackupError>;

    /// Writes a snapshot of the state as it is now, and removes the segments of the journal that it stands for, but for those that `keep`
    /// asks for. Changes go on meanwhile. `progress` hears how many entries of how many are written.
    ///
    /// # Errors
    /// [`StorageError`] of the disk. Broken off at any place, it leaves a folder that opens with all that was acknowledged.
    fn compact(&self, keep: AuditWindow, progress: &dyn Fn(u64, u64), stop: &Stop) -> Result<Compacted, StorageError>;

    /// Checks every line of the journal and the chain between them, every snapshot, and the index against both, as of the moment of the
    /// call. Changes go on meanwhile. Blobs are not looked at.
    ///
    /// # Errors
    /// [`StorageError`] of the disk. Damage is no error but a [`Difference`].
    fn verify(&self, stop: &Stop) -> Result<Verified, StorageError>;
}
