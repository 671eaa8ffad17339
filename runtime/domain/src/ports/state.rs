use std::path::PathBuf;
use std::sync::Arc;

use super::BoxFuture;
use crate::digest::Digest;
use crate::entry::{Entry, Revision};
use crate::error::ErrorKind;
use crate::event::{Actor, Event, Record};
use crate::failure::LoggedFailure;
use crate::id::ComponentId;
use crate::time::Timestamp;
use crate::usage::Usage;

/// Reads the state that the events add up to. Calls block on the disk and see one consistent state each.
pub trait StateView: Send + Sync {
    /// Returns an entry.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be read, here and in every method below.
    fn entry(&self, id: &ComponentId) -> Result<Option<Arc<Entry>>, StorageError>;

    /// Returns one revision of an entry.
    ///
    /// # Errors
    /// As [`Self::entry`].
    fn revision(&self, id: &ComponentId, number: u32) -> Result<Option<Arc<Revision>>, StorageError>;

    /// Returns all revisions of an entry, oldest first.
    ///
    /// # Errors
    /// As [`Self::entry`].
    fn revisions(&self, id: &ComponentId) -> Result<Vec<Arc<Revision>>, StorageError>;

    /// Returns the ids of the entries that have an edge to `id`, ordered.
    ///
    /// # Errors
    /// As [`Self::entry`].
    fn dependents(&self, id: &ComponentId) -> Result<Vec<ComponentId>, StorageError>;

    /// Returns the ids found under a term of [`crate::reduce::terms`], ordered.
    ///
    /// # Errors
    /// As [`Self::entry`].
    fn find(&self, index: &str, key: &str) -> Result<Vec<ComponentId>, StorageError>;

    /// Returns how many ids are found under a term, without reading the entries.
    ///
    /// # Errors
    /// As [`Self::entry`].
    fn count(&self, index: &str, key: &str) -> Result<u64, StorageError>;

    /// Returns every key of an index with the number of entries under it, ordered.
    ///
    /// # Errors
    /// As [`Self::entry`].
    fn index_keys(&self, index: &str) -> Result<Vec<(String, u64)>, StorageError>;

    /// Returns up to `limit` ids after `after`, ordered; all ids are read page by page.
    ///
    /// # Errors
    /// As [`Self::entry`].
    fn ids(&self, after: Option<&ComponentId>, limit: usize) -> Result<Vec<ComponentId>, StorageError>;

    /// Returns the newest failures first, at most `limit`, of one component or of all.
    ///
    /// # Errors
    /// As [`Self::entry`].
    fn failures(&self, id: Option<&ComponentId>, limit: usize) -> Result<Vec<LoggedFailure>, StorageError>;

    /// Returns the counters of use of one component as last saved.
    ///
    /// # Errors
    /// As [`Self::entry`].
    fn usage(&self, id: &ComponentId) -> Result<Usage, StorageError>;

    /// Returns the metadata keys with a custom index, ordered.
    ///
    /// # Errors
    /// As [`Self::entry`].
    fn custom_indexes(&self) -> Result<Vec<String>, StorageError>;

    /// Returns the sequence number of the last record, 0 for an empty journal.
    fn last_seq(&self) -> u64;
}

/// One interface that an entry exports, as a candidate for an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// The entry.
    pub id: ComponentId,
    /// The export's name in its binary.
    pub export: String,
}

/// Decides on a change: looks at the newest state and returns the events to append, none to change nothing.
///
/// It runs on the committer's thread, one at a time, and sees the effects of every decision before it; so what it checks
/// still holds when its events are appended. It carries its own answer out through what it captured.
pub type Decision = Box<dyn FnOnce(&dyn StateView) -> Vec<Event> + Send>;

/// What a change survives once it is acknowledged, from the weakest to the strongest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// Nothing but this process's own doing: its records may be gathered in memory for a moment.
    None,
    /// The end of the process, whichever way, but not a power cut.
    Process,
    /// A power cut.
    #[default]
    Power,
}

/// The word is not a level of durability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a level of durability: use power, process or none")]
pub struct DurabilityError(String);

impl std::fmt::Display for Durability {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Durability {
    type Err = DurabilityError;

    fn from_str(text: &str) -> Result<Self, DurabilityError> {
        let same = |level: &Self| level.as_str() == text;
        Self::ALL.into_iter().find(same).ok_or_else(|| DurabilityError(crate::text::escape_line(text).into_owned()))
    }
}

impl Durability {
    /// All levels, the strongest first.
    pub const ALL: [Self; 3] = [Self::Power, Self::Process, Self::None];

    /// Returns the word used on the wire, for instance `power`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Process => "process",
            Self::Power => "power",
        }
    }
}

/// The registry's state: a journal that is the truth, and an index that answers questions.
pub trait StateStore: StateView {
    /// Runs `decide`, appends its events and returns their records once they are durable and visible to readers.
    ///
    /// All events of one decision are appended together or not at all. Decisions of many callers share one sync.
    ///
    /// # Errors
    /// [`StorageError`] if they could not be made durable; the state is then as before.
    ///
    /// The decision is queued when this is called, not when the future is first polled, so decisions run in the order of
    /// the calls.
    ///
    /// # Cancel safety
    /// A decision whose future is dropped before its turn is not run; one that was run stands.
    fn commit(&self, actor: Actor, decide: Decision) -> BoxFuture<'static, Result<Committed, StorageError>>;

    /// Does what [`Self::commit`] does, and returns once the records survive what `durability` says; decisions that share a
    /// sync get the strongest that any of them asks for. Stores that have no choice do as in [`Self::commit`].
    ///
    /// # Errors
    /// As [`Self::commit`].
    ///
    /// # Cancel safety
    /// As [`Self::commit`].
    fn commit_with(
        &self,
        actor: Actor,
        decide: Decision,
        durability: Durability,
    ) -> BoxFuture<'static, Result<Committed, StorageError>> {
        let _ = durability;
        self.commit(actor, decide)
    }

    /// Returns once every change that was asked for so far survives what `durability` says, or was refused. Stores that have no
    /// choice have nothing to do.
    ///
    /// # Errors
    /// [`StorageError`] if that cannot be; the changes stand all the same, at the level at which they were acknowledged.
    fn secure(&self, durability: Durability) -> BoxFuture<'static, Result<(), StorageError>> {
        let _ = durability;
        Box::pin(std::future::ready(Ok(())))
    }

    /// Adds to the saved counters of use: soft state, not in the journal.
    ///
    /// # Errors
    /// [`StorageError`] if they cannot be written.
    ///
    /// # Cancel safety
    /// They are queued when this is called, and added even if the future is dropped.
    fn add_usage(&self, usage: Vec<(ComponentId, Usage)>) -> BoxFuture<'static, Result<(), StorageError>>;

    /// Tells whether questions are answered from memory now, so that asking one never waits for a disk.
    fn is_in_memory(&self) -> bool;

    /// Returns the sequence number of the first record that [`Self::records`] can return, or will once it is there: above 1
    /// where older ones were compacted away.
    ///
    /// # Errors
    /// [`StorageError`] if the journal cannot be read.
    fn first_seq(&self) -> Result<u64, StorageError> {
        Ok(1)
    }

    /// Returns up to `limit` records with a sequence number of at least `from`, in order. Blocks on the disk.
    ///
    /// Of records that were compacted away it returns none: the first is then that of [`Self::first_seq`].
    ///
    /// # Errors
    /// [`StorageError`] if the journal cannot be read.
    fn records(&self, from: u64, limit: usize) -> Result<Vec<Record>, StorageError>;
}

/// The records that a decision led to, in order; empty if it changed nothing.
pub type Committed = Vec<Arc<Record>>;

/// Reads and writes the text of the registry's settings file. Calls block on the disk.
pub trait SettingsStore: Send + Sync {
    /// Returns the text, `None` if there is no file, and the file's path for messages.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be read.
    fn load(&self) -> Result<(Option<String>, PathBuf), StorageError>;

    /// Replaces the file durably.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be written; the old file is then still there.
    fn save(&self, text: &str) -> Result<(), StorageError>;
}

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
