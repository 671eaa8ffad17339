//! Code that comes in pieces, written to a file that is found once it is whole.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::PathBuf;

use domain::ports::{CodeWriter, StorageError};

use super::{FileCodeCache, seal};
use crate::fail;
use crate::files;

/// As many zeros are left out of the file, so that they take no room on the disk: a page, the least that a disk has.
const HOLE: usize = 4_096;

/// A file of compiled code that is being written beside the place it is for.
pub(super) struct FileWriter<'a> {
    cache: &'a FileCodeCache,
    path: PathBuf,
    partial: PathBuf,
    /// `None` once it has its name.
    file: Option<File>,
    checksum: u32,
    /// Bytes that take room.
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
        let mut rest = bytes;
        while !rest.is_empty() {
            let (hole, after) = rest.split_at(leading(rest, is_hole));
            let (data, after) = after.split_at(leading(after, |piece| !is_hole(piece)));
            file.seek_relative(i64::try_from(hole.len()).unwrap_or(i64::MAX)).map_err(files::at(&self.partial))?;
            file.write_all(data).map_err(files::at(&self.partial))?;
            self.bytes += data.len() as u64;
            rest = after;
        }
        Ok(())
    }
}

fn is_hole(piece: &[u8]) -> bool {
    piece.len() == HOLE && piece.iter().all(|byte| *byte == 0)
}

/// Returns how many bytes the pieces have with which `bytes` begins and which are all of that kind.
fn leading(bytes: &[u8], is_kind: impl Fn(&[u8]) -> bool) -> usize {
    bytes.chunks(HOLE).take_while(|piece| is_kind(piece)).map(<[u8]>::len).sum()
}

impl CodeWriter for FileWriter<'_> {
    fn write(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        self.append(piece)?;
        fail::point("half written", &self.path);
        self.checksum = crc32c::crc32c_append(self.checksum, piece);
        Ok(())
    }

    fn finish(mut self: Box<Self>) -> Result<PathBuf, StorageError> {
        self.append(&seal(self.checksum))?;
        fail::point("before rename", &self.path);
        std::fs::rename(&self.partial, &self.path).map_err(files::at(&self.path))?;
        self.file = None;
        fail::point("after rename", &self.path);
        self.cache.bound(self.bytes, &self.path)?;
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
