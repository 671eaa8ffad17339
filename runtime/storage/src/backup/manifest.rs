//! The manifest of a backup.

use std::path::Path;

use domain::ports::{BackupError, StorageError};
use domain::{Digest, Timestamp};
use serde::{Deserialize, Serialize};

use super::names;
use super::{MANIFEST, damaged};
use crate::archive::sealed;

/// Format of backups; a reader refuses those of a later one.
const FORMAT: u32 = 1;
/// Says what the manifest is of.
const KIND: &str = "runtime-backup";
/// Largest manifest that is read, in bytes: a million files.
pub(super) const MANIFEST_BYTES_MAX: u64 = 256 << 20;

/// What a backup has.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    kind: String,
    /// When it was made.
    pub(super) created_at: Timestamp,
    /// Sequence number of the last record.
    pub(super) seq: u64,
    /// Digest of that record's line.
    pub(super) hash: String,
    /// The files, ordered by path, each once.
    pub(super) files: Vec<Listed>,
}

/// One file of a backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Listed {
    /// Where it is in a data folder.
    pub(super) path: String,
    /// Its size in bytes.
    pub(super) size: u64,
    /// Digest of its bytes.
    pub(super) digest: Digest,
}

impl Listed {
    /// Returns its name in the backup.
    pub(super) fn stored(&self) -> String {
        names::stored(&self.path, &self.digest)
    }
}

impl Manifest {
    pub(super) fn new(created_at: Timestamp, seq: u64, hash: &str, files: Vec<Listed>) -> Self {
        Self { format: FORMAT, kind: KIND.to_owned(), created_at, seq, hash: hash.to_owned(), files }
    }

    /// Writes the manifest with its checksum.
    pub(super) fn write(&self) -> Result<Vec<u8>, StorageError> {
        let unwritable = |error: serde_json::Error| StorageError::io(MANIFEST, error.into());
        serde_json::to_vec(self).map(sealed::seal).map_err(unwritable)
    }

    /// Reads the manifest of the backup at `backup` and checks that it is one.
    pub(super) fn read(bytes: &[u8], backup: &Path) -> Result<Self, BackupError> {
        /// What must stay the same in every later format.
        #[derive(Deserialize)]
        struct Known {
            format: u32,
            kind: String,
        }
        let wrong = |reason: String| damaged(backup, MANIFEST, reason);
        sealed::check(bytes).map_err(|reason| wrong(reason.to_owned()))?;
        let known: Known = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        if known.kind != KIND {
            let reason = "its manifest is of something else".to_owned();
            return Err(BackupError::NotABackup { path: backup.to_owned(), reason });
        }
        if known.format > FORMAT {
            return Err(StorageError::NewerFormat { what: "backup", found: known.format, known: FORMAT }.into());
        }
        let manifest: Self = serde_json::from_slice(bytes).map_err(|error| wrong(error.to_string()))?;
        manifest.check_files(backup)?;
        Ok(manifest)
    }

    fn check_files(&self, backup: &Path) -> Result<(), BackupError> {
        let mut before = "";
        let mut bytes: u64 = 0;
        for file in &self.files {
            let wrong = |reason: &str| damaged(backup, MANIFEST, format!("`{}` {reason}", file.path));
            match names::kind_of(&file.path) {
                None => return Err(wrong("is no file of a registry")),
                Some(names::Kind::Blob(digest)) if digest != file.digest => {
                    return Err(wrong("is listed with another digest"));
                }
                Some(_) => {}
            }
            if file.path.as_str() <= before {
                return Err(wrong("is not in order"));
            }
            bytes = bytes.checked_add(file.size).ok_or_else(|| wrong("is larger than any disk"))?;
            before = &file.path;
        }
        Ok(())
    }

    /// Returns the size of all files in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size).fold(0, u64::saturating_add)
    }
}
