use std::path::PathBuf;
use std::sync::Arc;

use super::StorageError;
use crate::digest::Digest;

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

    /// Keeps `code` under `key` and returns its file.
    ///
    /// # Errors
    /// [`StorageError`] if the disk refuses.
    fn store(&self, key: &CodeKey, code: &[u8]) -> Result<PathBuf, StorageError>;

    /// Forgets the code for `key`, because the engine refused it.
    fn remove(&self, key: &CodeKey);
}
