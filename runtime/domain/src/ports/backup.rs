use std::path::PathBuf;
use std::sync::Arc;

use semver::{Version, VersionReq};

use super::StorageError;
use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::id::ComponentId;
use crate::manifest::{ComponentManifest, Kind};

/// Where a backup is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BackupPlace {
    /// One archive, written anew each time.
    File(PathBuf),
    /// A folder to which only what changed is copied.
    Folder(PathBuf),
}

/// What a backup did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BackupReport {
    /// The archive or the folder.
    pub path: PathBuf,
    /// Sequence number of the last record in it.
    pub seq: u64,
    /// Digest of that record's line, as 64 hexadecimal digits.
    pub hash: String,
    /// Files in the backup.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Files that had to be copied; all of an archive.
    pub copied: u64,
    /// Their size in bytes.
    pub copied_bytes: u64,
    /// Files of the backup before that are not needed any more and were removed.
    pub dropped: u64,
}

/// One component of an archive of components.
#[derive(Clone, Debug, PartialEq)]
pub struct ArchivedComponent {
    /// Its id.
    pub id: ComponentId,
    /// Its version.
    pub version: Version,
    /// What sort of component it is.
    pub kind: Kind,
    /// The identity of its bytes.
    pub digest: Digest,
    /// Their size.
    pub size: u64,
    /// Its manifest, with id, version and kind.
    pub manifest: ComponentManifest,
    /// Dependencies that an operator declared, with the versions that will do.
    pub declared: Vec<(ComponentId, VersionReq)>,
    /// Who provides its imports: the import's name, and the component.
    pub providers: Vec<(String, ComponentId)>,
    /// Those that an operator fused it with, nobody if it is kept apart; `None` if nothing was said.
    pub fused_with: Option<Vec<ComponentId>>,
}

/// What an archive of components has besides their bytes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ArchivedComponents {
    /// The components, dependencies first.
    pub components: Vec<ArchivedComponent>,
    /// What belongs to the registry as a whole, if all its components are in the archive.
    pub registry: Option<ArchivedRegistry>,
}

/// What a registry has besides its components.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchivedRegistry {
    /// The metadata keys that are indexed.
    pub indexes: Vec<String>,
    /// The text of its settings file, empty if there is none.
    pub settings: String,
}

/// A piece of an archive that is read.
#[derive(Clone, Debug, PartialEq)]
pub enum ArchivePart {
    /// Comes first.
    Contents {
        /// How many components there are.
        components: usize,
        /// What belongs to the registry as a whole, of an archive that has it.
        registry: Option<ArchivedRegistry>,
    },
    /// A component and its bytes.
    Component(Box<ArchivedComponent>, Arc<[u8]>),
}

/// Why a backup or an archive could not be made or used.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// What is at the path is no backup or archive of the kind that is meant, or no place for one.
    #[error("{} cannot be used: {reason}", path.display())]
    NotABackup {
        /// The path.
        path: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The backup or archive is damaged; nothing of it was used.
    #[error("{} is damaged in {place}: {reason}", path.display())]
    Damaged {
        /// The archive or the folder.
        path: PathBuf,
        /// The file in it, escaped, or the place in the archive.
        place: String,
        /// What is wrong, escaped.
        reason: String,
    },
    /// There is something in the folder that is to be restored.
    #[error("the folder {} is not empty", path.display())]
    NotEmpty {
        /// The folder.
        path: PathBuf,
    },
    /// The folder that is to be replaced has something else than a registry in it.
    #[error("the folder {} is not empty and holds no registry", path.display())]
    NotADataFolder {
        /// The folder.
        path: PathBuf,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl BackupError {
    /// Says whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotABackup { .. } | Self::Damaged { .. } => ErrorKind::Invalid,
            Self::NotEmpty { .. } | Self::NotADataFolder { .. } => ErrorKind::Conflict,
            Self::Storage(error) => error.kind(),
        }
    }
}
