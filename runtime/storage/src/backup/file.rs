//! Writing a backup as one archive.

use std::fs::File;
use std::io::{BufWriter, Read, Write};
use std::path::Path;

use domain::Timestamp;
use domain::ports::{BackupError, BackupReport, StorageError};

use super::contents::{Contents, Item, Origin};
use super::copy::{CopyError, Said, copy};
use super::manifest::{MANIFEST_BYTES_MAX, Manifest};
use super::{MANIFEST, Watch};
use crate::archive::{self, Reader, Writer};
use crate::files;

/// Writes `contents` to the archive at `path`, in place of a backup that is there.
pub(super) fn write(
    path: &Path,
    contents: Contents,
    now: Timestamp,
    watch: Watch<'_>,
) -> Result<BackupReport, BackupError> {
    check_place(path)?;
    let report = files::replace_with(path, |partial, file| write_new(partial, file, contents, now, watch))?;
    Ok(BackupReport { path: path.to_owned(), ..report })
}

/// Checks that nothing but a backup is written over.
fn check_place(path: &Path) -> Result<(), BackupError> {
    let Some(file) = archive::there(path)? else { return Ok(()) };
    let manifest = Reader::new(file).first(MANIFEST, MANIFEST_BYTES_MAX);
    let manifest = manifest.map_err(|_| archive::wrong(path, "a file that is no backup is not written over"))?;
    match Manifest::read(&manifest, path) {
        Ok(_) | Err(BackupError::Damaged { .. } | BackupError::Storage(_)) => Ok(()),
        Err(other) => Err(other),
    }
}

fn write_new(
    partial: &Path,
    file: File,
    contents: Contents,
    now: Timestamp,
    watch: Watch<'_>,
) -> Result<(BackupReport, File), BackupError> {
    let mut said = Said::new(contents.bytes(), watch);
    let manifest = Manifest::new(now, contents.seq, &contents.hash, contents.listed());
    let text = manifest.write()?;
    let mtime = u64::try_from(now.as_micros() / 1_000_000).unwrap_or(0);
    let mut archive = Writer::new(BufWriter::with_capacity(256 << 10, file), mtime);
    archive.file(MANIFEST, text.len() as u64, &mut &text[..]).map_err(files::at(partial))?;
    let count = contents.files.len() as u64;
    for Item { listed, origin } in contents.files {
        archive.begin_file(&listed.stored(), listed.size).map_err(files::at(partial))?;
        copy_item(&listed, origin, archive.bytes(), partial, &mut said)?;
        archive.end_file(listed.size).map_err(files::at(partial))?;
    }
    let out = archive.finish().map_err(files::at(partial))?;
    let file = out.into_inner().map_err(|error| StorageError::io(partial, error.into_error()))?;
    let report = BackupReport {
        path: partial.to_owned(),
        seq: contents.seq,
        hash: contents.hash,
        files: count,
        bytes: manifest.bytes(),
        copied: count,
        copied_bytes: manifest.bytes(),
        dropped: 0,
    };
    Ok((report, file))
}

/// Copies one file of the data folder to `to`, which is the file at `target`.
pub(super) fn copy_item(
    listed: &super::manifest::Listed,
    origin: Origin,
    to: &mut dyn Write,
    target: &Path,
    said: &mut Said<'_>,
) -> Result<(), StorageError> {
    let (mut from, path): (Box<dyn Read>, _) = match origin {
        Origin::Bytes(bytes) => (Box::new(std::io::Cursor::new(bytes)), Path::new(&listed.path).to_owned()),
        Origin::Open(file, path) => (Box::new(file), path),
        Origin::Closed(path) => (Box::new(File::open(&path).map_err(files::at(&path))?), path),
    };
    copy(&mut *from, to, listed.size, &listed.digest, said).map_err(|error| match error {
        CopyError::Read(error) => StorageError::io(path, error),
        CopyError::Write(error) => StorageError::io(target, error),
        CopyError::Stopped => StorageError::BrokenOff,
        // A damaged file is not kept for later: whoever restores it would have nothing.
        CopyError::Other(reason) => StorageError::Damaged { path, offset: 0, reason },
    })
}
