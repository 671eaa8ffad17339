use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::{ArchivedComponent, BackupError, BackupPlace, BackupReport, StorageError};
use crate::digest::Digest;
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

/// Looks after everything that is kept on the disk. Calls block on it, some for long.
pub trait Upkeep: Send + Sync {
    /// Removes the blobs that are not in use and were written longer ago than `grace`, and unfinished writes of that age.
    /// With `dry_run` nothing is removed.
    ///
    /// # Errors
    /// [`StorageError`] if the folder cannot be read or a file not be removed; what was removed before stays removed.
    fn sweep_blobs(&self, in_use: &dyn BlobsInUse, grace: Duration, dry_run: bool) -> Result<BlobSweep, StorageError>;

    /// Reads every blob and compares it with its digest; tells which of `needed` are not there.
    ///
    /// # Errors
    /// [`StorageError`] if the folder cannot be read. A file that cannot be read is damaged, not an error.
    fn verify_blobs(
        &self,
        needed: &HashSet<Digest>,
        progress: &mut dyn FnMut(BytesProgress),
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
    fn backup(&self, place: &BackupPlace, progress: &mut dyn FnMut(BytesProgress))
    -> Result<BackupReport, BackupError>;

    /// Writes components in their order, with their bytes, to the archive at `path`; returns its size.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`] if another file is at the path; [`BackupError::Storage`], with [`StorageError::MissingBlob`] or
    /// [`StorageError::Damaged`] if bytes are not good. What was at the path before is still there then.
    fn write_components(
        &self,
        path: &Path,
        components: &[ArchivedComponent],
        progress: &mut dyn FnMut(BytesProgress),
    ) -> Result<u64, BackupError>;

    /// Checks all of the archive at `path`, then hands its components to `take`, in their order, until that returns `false`. The
    /// second argument of `take` is how many there are.
    ///
    /// # Errors
    /// [`BackupError::NotABackup`]; [`BackupError::Damaged`], before the first component if the file does not change meanwhile.
    fn read_components(
        &self,
        path: &Path,
        take: &mut dyn FnMut(ArchivedComponent, usize, Arc<[u8]>) -> bool,
    ) -> Result<(), BackupError>;
}
