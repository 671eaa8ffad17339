//! Copying files piece by piece while their digest is computed.

use std::fs::File;
use std::io::{Read, Write};

use domain::Digest;
use domain::ports::{BytesProgress, StorageError};
use sha2::Digest as _;

use super::Watch;

/// How much is copied at once.
const PIECE_BYTES: usize = 64 << 10;

/// Why a copy is not whole.
#[derive(Debug)]
pub(super) enum CopyError {
    /// The bytes cannot be read.
    Read(std::io::Error),
    /// The copy cannot be written.
    Write(std::io::Error),
    /// Nobody waits for it any more.
    Stopped,
    /// The bytes are not those that were expected.
    Other(String),
}

/// Copies exactly `size` bytes and checks that they have the digest.
pub(super) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    size: u64,
    digest: &Digest,
    said: &mut Said<'_>,
) -> Result<(), CopyError> {
    let mut hasher = sha2::Sha256::new();
    let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(size).unwrap_or(PIECE_BYTES)).max(1)];
    let mut left = size;
    while left > 0 {
        if said.watch.stop.is_set() {
            return Err(CopyError::Stopped);
        }
        let wanted = piece.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        let room = piece.get_mut(..wanted).unwrap_or_default();
        let read = match from.read(room) {
            Ok(0) => return Err(CopyError::Other(format!("it has {left} bytes less than {size}"))),
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(CopyError::Read(error)),
        };
        let read = room.get(..read).unwrap_or_default();
        hasher.update(read);
        to.write_all(read).map_err(CopyError::Write)?;
        left -= read.len() as u64;
        said.add(read.len() as u64);
    }
    let actual = Digest::from_bytes(hasher.finalize().into());
    match actual == *digest {
        true => Ok(()),
        false => Err(CopyError::Other(format!("its bytes have the digest {actual}"))),
    }
}

/// Returns the digest of the next `size` bytes of a file, `None` if there are fewer.
pub(super) fn digest_of(file: &mut File, size: u64) -> std::io::Result<Option<Digest>> {
    let mut hasher = sha2::Sha256::new();
    let mut from = file.take(size);
    let mut piece = vec![0; PIECE_BYTES];
    let mut read_bytes = 0;
    loop {
        let read = from.read(&mut piece)?;
        if read == 0 {
            let digest = Digest::from_bytes(hasher.finalize().into());
            return Ok((read_bytes == size).then_some(digest));
        }
        read_bytes += read as u64;
        hasher.update(piece.get(..read).unwrap_or_default());
    }
}

/// Says how far all copies together are.
pub(super) struct Said<'a> {
    watch: Watch<'a>,
    so_far: BytesProgress,
}

impl<'a> Said<'a> {
    pub(super) fn new(total: u64, watch: Watch<'a>) -> Self {
        Self { watch, so_far: BytesProgress { done: 0, total } }
    }

    /// Stands between two files.
    pub(super) fn check(&self) -> Result<(), StorageError> {
        self.watch.stop.check()
    }

    /// Adds bytes that are done.
    pub(super) fn add(&mut self, bytes: u64) {
        self.so_far.done += bytes;
        (self.watch.progress)(self.so_far);
    }
}
