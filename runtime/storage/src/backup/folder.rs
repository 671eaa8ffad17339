//! Writing a backup into a folder, which takes only what it has not.

use std::collections::HashSet;
use std::fs::File;
use std::path::Path;
use std::time::Duration;

use domain::Timestamp;
use domain::ports::{BackupError, BackupReport, StorageError};

use super::contents::{Contents, Item, Origin};
use super::copy::{Said, digest_of};
use super::file::copy_item;
use super::manifest::{Listed, Manifest};
use super::{MANIFEST, Watch, names};
use crate::files::{self, Durability};
use crate::lock::{FolderLock, command_line};

/// How long to wait for another backup into the same folder.
const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// Brings the backup in `folder` to `contents`. Until the end, what the manifest there lists is untouched.
pub(super) fn write(
    folder: &Path,
    contents: Contents,
    now: Timestamp,
    watch: Watch<'_>,
) -> Result<BackupReport, BackupError> {
    check_place(folder)?;
    files::create_folder(folder)?;
    let _lock = FolderLock::acquire(folder, &command_line(std::process::id()), LOCK_TIMEOUT)?;
    let known = files_there(folder)?;
    let mut said = Said::new(contents.bytes(), watch);
    let manifest = Manifest::new(now, contents.seq, &contents.hash, contents.listed());
    let mut report = BackupReport {
        path: folder.to_owned(),
        seq: contents.seq,
        hash: contents.hash,
        files: manifest.files.len() as u64,
        bytes: manifest.bytes(),
        copied: 0,
        copied_bytes: 0,
        dropped: 0,
    };
    for Item { listed, origin } in contents.files {
        said.check()?;
        if is_there(folder, &listed, &known)? {
            said.add(listed.size);
            continue;
        }
        put(folder, &listed, origin, &mut said)?;
        report.copied += 1;
        report.copied_bytes += listed.size;
    }
    // One sync for all, before anything says that they are there.
    let opened = File::open(folder).map_err(files::at(folder))?;
    rustix::fs::syncfs(&opened).map_err(|error| StorageError::io(folder, error.into()))?;
    files::replace(&folder.join(MANIFEST), &manifest.write()?, Durability::Power)?;
    report.dropped = drop_others(folder, &manifest)?;
    Ok(report)
}

/// Checks that the folder is a backup, or has nothing in it but the beginning of one.
fn check_place(folder: &Path) -> Result<(), BackupError> {
    for found in files::list(folder)? {
        let name = found.name();
        let is_ours = match found.is_folder {
            true => matches!(name, "journal" | "blobs"),
            false => matches!(name, "LOCK" | MANIFEST) || name.ends_with(files::PARTIAL) || names::is_stored(name),
        };
        if !is_ours {
            let shown = domain::text::escape_line(name).into_owned();
            let reason = format!("the folder has something else in it: `{shown}`");
            return Err(BackupError::NotABackup { path: folder.to_owned(), reason });
        }
    }
    Ok(())
}

/// Returns the files of the backup that is there, none if there is none or its manifest is damaged.
fn files_there(folder: &Path) -> Result<HashSet<(String, u64)>, BackupError> {
    let Some(bytes) = files::read_if_there(&folder.join(MANIFEST))? else { return Ok(HashSet::new()) };
    match Manifest::read(&bytes, folder) {
        Ok(manifest) => Ok(manifest.files.iter().map(|file| (file.stored(), file.size)).collect()),
        Err(BackupError::Damaged { .. }) => Ok(HashSet::new()),
        Err(other) => Err(other),
    }
}

/// Tells whether a file need not be copied. One that no manifest vouches for is read.
fn is_there(folder: &Path, listed: &Listed, known: &HashSet<(String, u64)>) -> Result<bool, StorageError> {
    let name = listed.stored();
    let path = folder.join(&name);
    match std::fs::symlink_metadata(&path) {
        Ok(found) if !found.is_file() || found.len() != listed.size => return Ok(false),
        Ok(_) if known.contains(&(name, listed.size)) => return Ok(true),
        Ok(_) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(StorageError::io(path, error)),
    }
    let mut file = File::open(&path).map_err(files::at(&path))?;
    let digest = digest_of(&mut file, listed.size).map_err(files::at(&path))?;
    Ok(digest == Some(listed.digest))
}

fn put(folder: &Path, listed: &Listed, origin: Origin, said: &mut Said<'_>) -> Result<(), StorageError> {
    let path = folder.join(listed.stored());
    if let Some(parent) = path.parent() {
        files::create_folder(parent)?;
    }
    let (partial, mut file) = files::create_partial(&path)?;
    let written = copy_item(listed, origin, &mut file, &path, said)
        .and_then(|()| std::fs::rename(&partial, &path).map_err(files::at(&path)));
    if written.is_err() {
        let _ = std::fs::remove_file(&partial);
    }
    written
}

/// Removes files of earlier backups, and unfinished ones, that the manifest does not list; returns how many.
fn drop_others(folder: &Path, manifest: &Manifest) -> Result<u64, StorageError> {
    let kept: HashSet<String> = manifest.files.iter().map(Listed::stored).collect();
    let mut dropped = 0;
    let mut drop_in = |below: &str| -> Result<(), StorageError> {
        for found in files::list(&folder.join(below))? {
            let name = format!("{below}{}", found.name());
            let is_old = names::is_stored(&name) || name.ends_with(files::PARTIAL);
            if !found.is_folder && is_old && !kept.contains(&name) {
                files::remove_if_there(&found.path)?;
                dropped += 1;
            }
        }
        Ok(())
    };
    drop_in("")?;
    drop_in("journal/")?;
    for shelf in files::list(&folder.join("blobs/sha256"))? {
        drop_in(&format!("blobs/sha256/{}/", shelf.name()))?;
    }
    Ok(dropped)
}
