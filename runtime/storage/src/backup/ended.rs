//! What a restore says of itself in the folders that it works on, for whoever comes after one that was killed.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::Timestamp;
use domain::ports::StorageError;

use super::swap::move_aside;
use crate::files::{self, Durability};
use crate::folder::Warning;
use crate::lock::FolderLock;

/// Is in a workplace until it has taken the place it was made for: a folder with this file and the name of a workplace is nobody's data.
/// Names the workplace; where all is in place, that is where the registry is that was replaced.
pub(super) const UNFINISHED: &str = "RESTORING";
/// Is in a folder while a restore prepares what shall take its place, and names the workplace.
const REPLACED_SOON: &str = "RESTORED-SOON";

/// Writes into `folder` that it will be replaced by `work`.
pub(super) fn announce(folder: &Path, work: &Path) -> Result<(), StorageError> {
    files::replace(&folder.join(REPLACED_SOON), work.as_os_str().as_encoded_bytes(), Durability::Process)
}

/// Takes [`announce`] back.
pub(super) fn take_back(folder: &Path) {
    // One that stays is removed when the folder is opened.
    let _ = files::remove_if_there(&folder.join(REPLACED_SOON));
}

/// Says what a restore left that was killed while it worked on the folder at `path`, whose lock the caller has, and completes one that
/// was in place already. What cannot be done now is done at the next opening.
pub(crate) fn after_restore(path: &Path, now: Timestamp, command: &str) -> Option<Warning> {
    if let Some(work) = named(path, REPLACED_SOON) {
        if work.is_dir() {
            return Some(Warning::RestoreEnded { left: work });
        }
        take_back(path);
    }
    let replaced = named(path, UNFINISHED)?;
    // A workplace has the file as well: what has it not, and has a journal, is what was replaced.
    let is_registry = replaced != path && !replaced.join(UNFINISHED).exists() && replaced.join("journal").is_dir();
    let aside = is_registry.then(|| {
        take_back(&replaced);
        let _lock = FolderLock::acquire(&replaced, command, Duration::ZERO).ok()?;
        let folder = std::fs::canonicalize(path).ok()?;
        Some(move_aside(&replaced, &folder, now))
    });
    files::remove_if_there(&path.join(UNFINISHED)).ok()?;
    aside.flatten().map(|aside| Warning::RestoreCompleted { replaced: aside })
}

/// Returns the folder that a file names, `None` if there is no such file.
fn named(folder: &Path, file: &str) -> Option<PathBuf> {
    let bytes = files::read_if_there(&folder.join(file)).ok()??;
    Some(PathBuf::from(<std::ffi::OsString as std::os::unix::ffi::OsStringExt>::from_vec(bytes)))
}
