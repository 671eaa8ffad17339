//! Code that comes in pieces, written to a file that is found once it is whole.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use domain::ports::{CodeWriter, StorageError};

use super::{FileCodeCache, SEAL_BYTES, seal};
use crate::fail;
use crate::files;

/// A file of compiled code that is being written beside the place it is for.
pub(super) struct FileWriter<'a> {
    cache: &'a FileCodeCache,
    path: PathBuf,
    partial: PathBuf,
    /// `None` once it has its name.
    file: Option<File>,
    checksum: u32,
    bytes: u64,
}

impl<'a> FileWriter<'a> {
    /// Begins a file for `path`, whose folder exists.
    pub(super) fn begin(cache: &'a FileCodeCache, path: PathBuf) -> Result<Self, StorageError> {
        fail::point("before replace", &path);
        let (partial, file) = files::create_partial(&path)?;
        Ok(Self { cache, path, partial, file: Some(file), checksum: 0, bytes: 0 })
    }

    fn append(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        // Only `finish` takes the file, and it takes all of this.
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(bytes).map_err(files::at(&self.partial))
    }
}

impl CodeWriter for FileWriter<'_> {
    fn write(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        self.append(piece)?;
        fail::point("half written", &self.path);
        self.checksum = crc32c::crc32c_append(self.checksum, piece);
        self.bytes += piece.len() as u64;
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<PathBuf, StorageError> {
        self.append(&seal(self.checksum))?;
        fail::point("before rename", &self.path);
        std::fs::rename(&self.partial, &self.path).map_err(files::at(&self.path))?;
        self.file = None;
        fail::point("after rename", &self.path);
        self.cache.bound(self.bytes + SEAL_BYTES as u64, &self.path)?;
        Ok(self.path.clone())
    }
}

impl Drop for FileWriter<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // A partial file left behind is harmless, and swept with others.
            let _ = std::fs::remove_file(&self.partial);
        }
    }
}
