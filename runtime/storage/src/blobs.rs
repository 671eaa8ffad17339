//! Bytes by digest, in files `blobs/sha256/ab/<hex>`.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use domain::Digest;
use domain::ports::{BlobStore, StorageError};

use crate::files::{self, Durability};

/// Bytes by digest in the folder `blobs` of the data folder.
#[derive(Debug)]
pub struct FileBlobs {
    folder: PathBuf,
    /// Held while folders are made, so that nobody takes one for durable that is not yet.
    making_folders: Mutex<()>,
    /// Shared by those who write; whoever has it alone finds no unfinished write that is not a stray.
    pub(crate) writing: RwLock<()>,
    /// Held by what needs all blobs to stay, and by what removes some.
    pub(crate) upkeep: Mutex<()>,
}

impl FileBlobs {
    pub(crate) fn new(folder: &Path) -> Self {
        let folder = folder.join("blobs/sha256");
        Self { folder, making_folders: Mutex::default(), writing: RwLock::default(), upkeep: Mutex::default() }
    }

    /// Returns the folder that has a folder for each first pair of digits.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the file that holds, or would hold, the bytes of `digest`.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        let hex = digest.to_hex();
        self.folder.join(hex.get(..2).unwrap_or_default()).join(hex)
    }

    /// Makes the folder of a blob; names of new folders are durable before anything is written into them.
    fn create_parent(&self, path: &Path) -> Result<(), StorageError> {
        let Some(parent) = path.parent() else { return Ok(()) };
        let _making = self.making_folders.lock().unwrap_or_else(PoisonError::into_inner);
        if parent.is_dir() {
            return Ok(());
        }
        files::create_folder(parent)?;
        for folder in self.folder.ancestors().take(3) {
            files::sync_folder(folder)?;
        }
        Ok(())
    }
}

impl BlobStore for FileBlobs {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StorageError> {
        let digest = Digest::of(bytes);
        let path = self.path(&digest);
        // A file that is there but damaged is written anew: the bytes at hand are good.
        if files::read_if_there(&path)?.is_some_and(|there| there == bytes) {
            // Whoever put it there may have ended, or failed, before its name was durable.
            path.parent().map_or(Ok(()), files::sync_folder)?;
            return Ok(digest);
        }
        self.create_parent(&path)?;
        let _writing = self.writing.read().unwrap_or_else(PoisonError::into_inner);
        files::replace(&path, bytes, Durability::Power)?;
        Ok(digest)
    }

    fn get(&self, digest: &Digest) -> Result<Arc<[u8]>, StorageError> {
        let path = self.path(digest);
        let bytes = files::read_if_there(&path)?.ok_or(StorageError::MissingBlob { digest: *digest })?;
        if Digest::of(&bytes) != *digest {
            let reason = "its bytes do not have the digest that its name says".to_owned();
            return Err(StorageError::Damaged { path, offset: 0, reason });
        }
        Ok(bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn blobs() -> (tempfile::TempDir, FileBlobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::new(folder.path());
        (folder, blobs)
    }

    #[test]
    fn gives_back_bytes_by_digest() {
        let (_folder, blobs) = blobs();
        let digest = blobs.put(b"some bytes").unwrap();
        assert_eq!(digest, Digest::of(b"some bytes"));
        assert_eq!(blobs.put(b"some bytes").unwrap(), digest);
        assert_eq!(&*blobs.get(&digest).unwrap(), b"some bytes");
        let path = blobs.path(&digest);
        assert!(path.ends_with(format!("blobs/sha256/{}/{}", &digest.to_hex()[..2], digest.to_hex())));
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no partial file is left");
    }

    #[test]
    fn names_the_digest_that_is_missing() {
        let (_folder, blobs) = blobs();
        let digest = Digest::of(b"never put");
        assert!(matches!(blobs.get(&digest), Err(StorageError::MissingBlob { digest: named }) if named == digest));
    }

    #[test]
    fn never_gives_out_changed_bytes_and_repairs_them_when_they_are_put_again() {
        let (_folder, blobs) = blobs();
        let digest = blobs.put(b"some bytes").unwrap();
        std::fs::write(blobs.path(&digest), b"other bytes").unwrap();
        assert!(matches!(blobs.get(&digest), Err(StorageError::Damaged { .. })));
        blobs.put(b"some bytes").unwrap();
        assert_eq!(&*blobs.get(&digest).unwrap(), b"some bytes");
    }

    #[test]
    fn many_threads_may_put_the_same_bytes() {
        let (_folder, blobs) = blobs();
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| blobs.put(&[7; 100_000]).unwrap());
            }
        });
        assert_eq!(blobs.get(&Digest::of(&[7; 100_000])).unwrap().len(), 100_000);
    }
}
