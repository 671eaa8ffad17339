use std::path::PathBuf;

use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::time::Timestamp;

/// Why storage could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The disk or a quota is full.
    #[error("no space left on the device at {}", path.display())]
    Full {
        /// The file that was being written.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The journal cannot be written or synced: nothing is changed until it can be, which the next change finds out.
    #[error("{} cannot be written, nothing is changed until it can be", path.display())]
    ReadOnly {
        /// The journal's file.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The folder or a file in it cannot be written or read by this user.
    #[error("permission denied at {}", path.display())]
    Denied {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The data folder's path is taken by something that is not a folder.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// Another process holds the data folder.
    #[error(
        "the data folder {} is held by process {pid} (`{command}`){}", path.display(),
        since.map(|since| format!(" since {since}")).unwrap_or_default()
    )]
    Held {
        /// The data folder.
        path: PathBuf,
        /// The process that holds it.
        pid: u32,
        /// Its command line, escaped and bounded; empty if it cannot be read.
        command: String,
        /// When it took the folder, if it says so.
        since: Option<Timestamp>,
        /// The socket at which it answers, if it is a server.
        socket: Option<PathBuf>,
    },
    /// A newer version of the product wrote the data folder.
    #[error("the {what} has format {found}, this version reads up to {known}")]
    NewerFormat {
        /// What was read, for instance `journal`.
        what: &'static str,
        /// The format that was found.
        found: u32,
        /// The newest format this version reads.
        known: u32,
    },
    /// A file is damaged.
    #[error("{} is damaged at byte {offset}: {reason}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// A file that a person writes is not text.
    #[error("{} is not UTF-8 text at byte {offset}", path.display())]
    NotText {
        /// The file.
        path: PathBuf,
        /// The first byte that is none, counted from 0.
        offset: u64,
    },
    /// There are no bytes of this digest.
    #[error("the bytes of {digest} are not in the data folder")]
    MissingBlob {
        /// The digest.
        digest: Digest,
    },
    /// The index failed.
    #[error("the index failed: {reason}")]
    Index {
        /// What it said.
        reason: String,
    },
    /// The store was closed.
    #[error("the data folder was closed")]
    Closed,
    /// A fault of the program itself: what makes the changes has ended, so that none can be made until the folder is opened again.
    #[error("no changes can be made until the data folder is opened again: {reason}")]
    Defect {
        /// What is known of it.
        reason: String,
    },
    /// Whoever asked for the work does not wait for it any more.
    #[error("it was broken off")]
    BrokenOff,
    /// Another error of the system.
    #[error("cannot access {}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
}

impl StorageError {
    /// Says whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Full { .. } => ErrorKind::Exhausted,
            Self::Denied { .. } => ErrorKind::Denied,
            Self::NotAFolder { .. } | Self::NewerFormat { .. } | Self::NotText { .. } => ErrorKind::Invalid,
            Self::Held { .. } | Self::ReadOnly { .. } | Self::Closed | Self::BrokenOff => ErrorKind::Unavailable,
            Self::Damaged { .. }
            | Self::MissingBlob { .. }
            | Self::Index { .. }
            | Self::Defect { .. }
            | Self::Io { .. } => ErrorKind::Internal,
        }
    }

    /// Makes the error once more: where several wait for the same thing, all of them get the one that was met.
    #[must_use]
    pub fn again(&self) -> Self {
        let source = |source: &std::io::Error| match source.raw_os_error() {
            Some(code) => std::io::Error::from_raw_os_error(code),
            None => std::io::Error::new(source.kind(), source.to_string()),
        };
        match self {
            Self::Full { path, source: s } => Self::Full { path: path.clone(), source: source(s) },
            Self::ReadOnly { path, source: s } => Self::ReadOnly { path: path.clone(), source: source(s) },
            Self::Denied { path, source: s } => Self::Denied { path: path.clone(), source: source(s) },
            Self::Io { path, source: s } => Self::Io { path: path.clone(), source: source(s) },
            Self::NotAFolder { path } => Self::NotAFolder { path: path.clone() },
            Self::Held { path, pid, command, since, socket } => Self::Held {
                path: path.clone(),
                pid: *pid,
                command: command.clone(),
                since: *since,
                socket: socket.clone(),
            },
            Self::NewerFormat { what, found, known } => Self::NewerFormat { what, found: *found, known: *known },
            Self::Damaged { path, offset, reason } => {
                Self::Damaged { path: path.clone(), offset: *offset, reason: reason.clone() }
            }
            Self::NotText { path, offset } => Self::NotText { path: path.clone(), offset: *offset },
            Self::MissingBlob { digest } => Self::MissingBlob { digest: *digest },
            Self::Index { reason } => Self::Index { reason: reason.clone() },
            Self::Closed => Self::Closed,
            Self::Defect { reason } => Self::Defect { reason: reason.clone() },
            Self::BrokenOff => Self::BrokenOff,
        }
    }

    /// Makes the error for a failed system call on `path`.
    pub fn io(path: impl Into<PathBuf>, source: std::io::Error) -> Self {
        use std::io::ErrorKind as Io;
        let path = path.into();
        match source.kind() {
            Io::StorageFull | Io::QuotaExceeded | Io::FileTooLarge => Self::Full { path, source },
            Io::PermissionDenied | Io::ReadOnlyFilesystem => Self::Denied { path, source },
            Io::NotADirectory => Self::NotAFolder { path },
            _ => Self::Io { path, source },
        }
    }
}
