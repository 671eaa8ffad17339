use std::path::PathBuf;
use std::sync::Arc;

use super::StorageError;
use crate::digest::Digest;
use crate::failure::FailureKind;
use crate::time::Timestamp;

/// Bytes by digest. Calls block on the disk: an async caller moves them to a blocking thread.
pub trait BlobStore: Send + Sync {
    /// Keeps `bytes` durably and returns their digest; keeping them twice is the same as once.
    ///
    /// # Errors
    /// [`StorageError`] if the disk refuses; nothing half-written is left under the digest.
    fn put(&self, bytes: &[u8]) -> Result<Digest, StorageError>;

    /// Returns the bytes of `digest`, after checking that they still have it.
    ///
    /// # Errors
    /// [`StorageError::MissingBlob`] if there are none, [`StorageError::Damaged`] if they changed.
    fn get(&self, digest: &Digest) -> Result<Arc<[u8]>, StorageError>;
}

/// Identifies native code: the component's bytes and everything about the engine that shaped the code.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CodeKey {
    /// Digest of the component's bytes.
    pub component: Digest,
    /// A word of letters and digits that differs whenever the engine's version or settings do.
    pub engine: String,
}

/// Compiled native code, kept for the next process; safe to lose at any moment. Calls block on the disk.
pub trait CodeCache: Send + Sync {
    /// Returns the private file that holds the code for `key`, if there is one.
    fn find(&self, key: &CodeKey) -> Option<PathBuf>;

    /// Begins to keep code under `key`, piece by piece. Until it is finished, nobody finds it; dropped, it is gone.
    ///
    /// # Errors
    /// [`StorageError`] if the disk refuses.
    fn begin(&self, key: &CodeKey) -> Result<Box<dyn CodeWriter + '_>, StorageError>;

    /// Keeps `code` under `key` and returns its file.
    ///
    /// # Errors
    /// [`StorageError`] if the disk refuses.
    fn store(&self, key: &CodeKey, code: &[u8]) -> Result<PathBuf, StorageError> {
        let mut writer = self.begin(key)?;
        writer.write(code)?;
        writer.finish()
    }

    /// Forgets the code for `key`, because the engine refused it, and its source lines.
    fn remove(&self, key: &CodeKey);

    /// Returns what was kept of the source lines of the code for `key`, as it was kept; `None` also where it was damaged.
    fn lines(&self, key: &CodeKey) -> Option<Vec<u8>>;

    /// Keeps a table of source lines, of at most [`LINES_BYTES_MAX`] bytes, beside the code for `key`.
    ///
    /// # Errors
    /// [`StorageError`] if the disk refuses.
    fn keep_lines(&self, key: &CodeKey, lines: &[u8]) -> Result<(), StorageError>;

    /// Returns why no code could be made for `key` under these `limits`, if that was remembered and still holds at `now`.
    fn refusal(&self, key: &CodeKey, limits: &str, now: Timestamp) -> Option<Refusal>;

    /// Remembers that no code can be made for `key`, in place of what was remembered of it. A disk that refuses costs no more than
    /// another try.
    fn refuse(&self, key: &CodeKey, refusal: &Refusal);
}

/// Code on its way into the cache.
pub trait CodeWriter {
    /// Adds a piece.
    ///
    /// # Errors
    /// [`StorageError`] if the disk refuses; nothing more can be added then.
    fn write(&mut self, piece: &[u8]) -> Result<(), StorageError>;

    /// Says that it is whole, and returns its file.
    ///
    /// # Errors
    /// [`StorageError`] if the disk refuses; nothing is kept then.
    fn finish(self: Box<Self>) -> Result<PathBuf, StorageError>;
}

/// Largest table of source lines, in bytes.
pub const LINES_BYTES_MAX: usize = 16 << 20;

/// Longest word for limits in a [`Refusal`], in bytes.
pub const REFUSAL_LIMITS_BYTES_MAX: usize = 200;

/// Why no native code could be made of a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What sort of failure it was.
    pub kind: FailureKind,
    /// One sentence, escaped and bounded.
    pub reason: String,
    /// The limits that were in force, as one word: under others it is tried again.
    pub limits: String,
    /// When it was tried.
    pub at: Timestamp,
    /// Until when that holds, `None` for as long as the limits stay.
    pub until: Option<Timestamp>,
}

impl Refusal {
    /// Tells whether it still holds at `now`, under `limits`.
    pub fn holds(&self, limits: &str, now: Timestamp) -> bool {
        // A clock that was set back must not make it hold for longer than it was meant to.
        self.limits == limits && self.until.is_none_or(|until| now < until && now >= self.at)
    }
}
