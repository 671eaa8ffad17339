//! Reading a backup: every file of the manifest, checked, into a folder.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use domain::ports::{BackupError, StorageError};

use super::copy::{CopyError, Said, copy};
use super::manifest::{Listed, MANIFEST_BYTES_MAX, Manifest};
use super::{MANIFEST, Watch, damaged};
use crate::archive::{Fault, Reader};
use crate::files;

/// Puts the files of the backup at `backup` into the empty folder `into` and returns its manifest.
pub(super) fn unpack(backup: &Path, into: &Path, watch: Watch<'_>) -> Result<Manifest, BackupError> {
    let not_one = |reason: &str| BackupError::NotABackup { path: backup.to_owned(), reason: reason.to_owned() };
    match std::fs::metadata(backup) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(not_one("there is no such file")),
        Err(error) => Err(StorageError::io(backup, error).into()),
        Ok(found) if found.is_dir() => unpack_folder(backup, into, watch),
        Ok(found) if found.is_file() => unpack_file(backup, into, watch),
        Ok(_) => Err(not_one("it is neither a file nor a folder")),
    }
}

fn unpack_file(backup: &Path, into: &Path, watch: Watch<'_>) -> Result<Manifest, BackupError> {
    let faulty = |fault: Fault| damaged(backup, &fault.place, fault.reason);
    let file = File::open(backup).map_err(files::at(backup))?;
    let mut archive = Reader::new(BufReader::with_capacity(256 << 10, file));
    let manifest = Manifest::read(&archive.first(MANIFEST, MANIFEST_BYTES_MAX).map_err(faulty)?, backup)?;
    let mut said = Said::new(manifest.bytes(), watch);
    for listed in &manifest.files {
        let name = listed.stored();
        let mut bytes = archive.file(&name, listed.size).map_err(faulty)?;
        put(backup, into, listed, &mut bytes, &mut said)?;
        archive.end_file(&name, listed.size).map_err(faulty)?;
    }
    archive.finish().map_err(faulty)?;
    Ok(manifest)
}

fn unpack_folder(backup: &Path, into: &Path, watch: Watch<'_>) -> Result<Manifest, BackupError> {
    let not_one = || BackupError::NotABackup { path: backup.to_owned(), reason: format!("it has no {MANIFEST}") };
    let path = backup.join(MANIFEST);
    let there = std::fs::symlink_metadata(&path).map_err(|_| not_one())?;
    if !there.is_file() || there.len() > MANIFEST_BYTES_MAX {
        return Err(damaged(backup, MANIFEST, "it is not a plain file of a possible size"));
    }
    let manifest = Manifest::read(&files::read_if_there(&path)?.ok_or_else(not_one)?, backup)?;
    let mut said = Said::new(manifest.bytes(), watch);
    for listed in &manifest.files {
        let mut file = open_plain(backup, listed)?;
        put(backup, into, listed, &mut file, &mut said)?;
    }
    Ok(manifest)
}

/// Opens a file of a backup's folder; links are not followed, since they can lead anywhere.
fn open_plain(backup: &Path, listed: &Listed) -> Result<File, BackupError> {
    let name = listed.stored();
    let wrong = |reason: &str| damaged(backup, &name, reason);
    let mut path = backup.to_owned();
    let mut parts = name.split('/').peekable();
    while let Some(part) = parts.next() {
        path.push(part);
        let found = match std::fs::symlink_metadata(&path) {
            Ok(found) => found,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Err(wrong("it is missing")),
            Err(error) => return Err(StorageError::io(path, error).into()),
        };
        let fits = if parts.peek().is_some() { found.is_dir() } else { found.is_file() };
        if !fits {
            return Err(wrong("it is not a plain file"));
        }
        if found.is_file() && found.len() != listed.size {
            return Err(wrong(&format!("it has {} bytes, not {}", found.len(), listed.size)));
        }
    }
    Ok(File::open(&path).map_err(files::at(&path))?)
}

fn put(
    backup: &Path,
    into: &Path,
    listed: &Listed,
    from: &mut dyn Read,
    said: &mut Said<'_>,
) -> Result<(), BackupError> {
    let path = into.join(&listed.path);
    if let Some(parent) = path.parent() {
        files::create_folder(parent)?;
    }
    let mut options = OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(0o600).open(&path).map_err(files::at(&path))?;
    match copy(from, &mut file, listed.size, &listed.digest, said) {
        Ok(()) => Ok(file.flush().map_err(files::at(&path))?),
        Err(CopyError::Write(error)) => Err(StorageError::io(path, error).into()),
        Err(CopyError::Stopped) => Err(StorageError::BrokenOff.into()),
        Err(CopyError::Read(error)) => Err(damaged(backup, &listed.stored(), error)),
        Err(CopyError::Other(reason)) => Err(damaged(backup, &listed.stored(), reason)),
    }
}
