//! Backups: journal, blobs and settings as they are at one sequence number, in one archive or in a folder that only takes what
//! changed; and back from there.
//!
//! Both forms have the same files under the same names, and a manifest that lists every file with size and digest and has a
//! checksum of its own. What the manifest does not list is not part of the backup. An archive is a plain tar, its manifest first.

mod contents;
mod copy;
#[cfg(test)]
mod crashes;
mod ended;
mod file;
mod folder;
mod manifest;
mod names;
mod restore;
mod source;
mod swap;

use std::path::Path;

use domain::Timestamp;
use domain::ports::{BackupError, BackupPlace, BackupReport, BytesProgress, Stop};

use crate::blobs::FileBlobs;

pub(crate) use ended::after_restore;
pub use restore::{RestoreOptions, RestoreReport, restore};

/// Name of the manifest in a backup.
const MANIFEST: &str = "manifest.json";

/// Hears how far a copy is.
type OnProgress<'a> = &'a mut dyn FnMut(BytesProgress);

/// Whoever waits for a copy: hears how far it is, and may not wait any more.
pub(crate) struct Watch<'a> {
    pub(crate) progress: OnProgress<'a>,
    pub(crate) stop: &'a Stop,
}

/// Copies the data folder `folder`, whose records up to `last_seq()` are durable, to `place`.
pub(crate) fn take(
    folder: &Path,
    blobs: &FileBlobs,
    last_seq: &dyn Fn() -> u64,
    now: Timestamp,
    place: &BackupPlace,
    watch: Watch<'_>,
) -> Result<BackupReport, BackupError> {
    // No blob may be swept while it waits to be copied.
    let _upkeep = blobs.upkeep.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let contents = contents::gather(folder, blobs, last_seq, watch.stop)?;
    match place {
        BackupPlace::File(path) => file::write(path, contents, now, watch),
        BackupPlace::Folder(path) => folder::write(path, contents, now, watch),
    }
}

/// Makes the error for damage in the backup or archive at `path`.
pub(crate) fn damaged(path: &Path, place: &str, reason: impl std::fmt::Display) -> BackupError {
    let bounded = |text: &str| domain::text::escape_line(&domain::text::truncate(text, REASON_BYTES_MAX)).into_owned();
    BackupError::Damaged { path: path.to_owned(), place: bounded(place), reason: bounded(&reason.to_string()) }
}

/// Longest place and reason in an error, in bytes: both can come from a damaged file.
const REASON_BYTES_MAX: usize = 300;
