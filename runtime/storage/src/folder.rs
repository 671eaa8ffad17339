//! Opening and closing a data folder.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::ports::{AuditWindow, Clock, Compacted, Durability, Stop, StorageError, Verified};

use crate::backup::after_restore;
use crate::blobs::FileBlobs;
use crate::code_cache::{CACHE_BYTES_MAX, FileCodeCache};
use crate::files;
use crate::journal::SEGMENT_BYTES;
use crate::lock::{FolderLock, command_line};
use crate::meters::MeterFile;
use crate::output::FileOutput;
use crate::settings::SettingsFile;
use crate::state::JournaledState;
use crate::upkeep::{FolderUpkeep, OnDamage, ScrubOptions, ScrubStop, Scrubbed};

/// Size up to which the index's file may be as sparse as it likes, in bytes.
const INDEX_SLACK_BYTES: u64 = 32 << 20;

/// Hears what was found wrong and mended.
pub type OnWarning = dyn Fn(&Warning) + Send + Sync;

/// How a data folder is opened.
#[derive(Clone)]
pub struct OpenOptions {
    /// How long to wait for another process that holds the folder; 10 seconds by default.
    pub lock_timeout: Duration,
    /// What other processes are told of this one while it holds the folder; empty: its command line.
    pub command: String,
    /// Where this process answers, if it is a server: other processes are told. `None` by default.
    pub socket: Option<PathBuf>,
    /// Whether the process ends when it is done with the folder: what its end undoes, files, threads and the lock, is then left
    /// to it, which is faster, and this process cannot open the folder again. Off by default.
    pub process_ends: bool,
    /// What changes survive unless they ask for something else: a power cut by default.
    pub durability: Durability,
    /// Size from which no further records are put into a segment of the journal, in bytes; 8 MiB by default. Only tests have
    /// a reason to change it.
    pub segment_bytes: u64,
    /// Size from which the index's file is packed at opening if seven eighths of it are waste, in bytes; 32 MiB by default. Only
    /// tests have a reason to change it.
    pub index_slack_bytes: u64,
    /// Hears what is found wrong and mended after the opening, as when an index is needed that was not looked at before. What is
    /// found at opening is in [`Storage::warnings`].
    pub on_warning: Option<Arc<OnWarning>>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(10),
            command: String::new(),
            socket: None,
            process_ends: false,
            durability: Durability::Power,
            segment_bytes: SEGMENT_BYTES,
            index_slack_bytes: INDEX_SLACK_BYTES,
            on_warning: None,
        }
    }
}

impl fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenOptions")
            .field("lock_timeout", &self.lock_timeout)
            .field("command", &self.command)
            .field("socket", &self.socket)
            .field("process_ends", &self.process_ends)
            .finish_non_exhaustive()
    }
}

/// One data folder, open: the adapters of this crate over it. It stays locked until [`Storage::close`] or the last of its
/// parts is dropped.
pub struct Storage {
    /// Entries, edges, indexes, failures, use; and the journal. Implements `StateStore`.
    pub state: Arc<JournaledState>,
    /// Bytes by digest. Implements `BlobStore`.
    pub blobs: Arc<FileBlobs>,
    /// Compiled code. Implements `CodeCache`.
    pub code: Arc<FileCodeCache>,
    /// What guests printed last. Implements `GuestOutput`.
    pub output: Arc<FileOutput>,
    /// The file `registry.toml`. Implements `SettingsStore`.
    pub settings: Arc<SettingsFile>,
    /// How far quotas are used up.
    pub meters: Arc<MeterFile>,
    /// Looks after all of it. Implements `Upkeep`.
    pub upkeep: Arc<FolderUpkeep>,
    path: PathBuf,
    warnings: Vec<Warning>,
}

impl Storage {
    /// Opens the data folder at `path`, making it (mode 0700) if it is not there.
    ///
    /// Reads the journal's last segment and brings the index up to it; an index that does not fit is made anew from the whole
    /// journal. What was found and mended is in [`Self::warnings`]. Blocks on the disk.
    ///
    /// # Errors
    /// [`StorageError::NotAFolder`], [`StorageError::Denied`] (read-only), [`StorageError::Held`] after `lock_timeout`,
    /// [`StorageError::Full`], [`StorageError::NewerFormat`], and [`StorageError::Damaged`] with file and place if the journal is
    /// damaged elsewhere than at its unsynced end.
    pub fn open(path: &Path, options: &OpenOptions, clock: Arc<dyn Clock>) -> Result<Self, StorageError> {
        files::create_folder(path)?;
        let command = match options.command.as_str() {
            "" => command_line(std::process::id()),
            given => given.to_owned(),
        };
        let lock = FolderLock::acquire(path, &command, options.lock_timeout)?;
        if let Some(socket) = &options.socket {
            lock.answers_at(socket);
        }
        let restored = after_restore(path, clock.now(), &command);
        let (state, mut warnings) = JournaledState::open(path, clock.clone(), lock, options)?;
        warnings.extend(restored);
        let state = Arc::new(state);
        let blobs = Arc::new(FileBlobs::new(path));
        Ok(Self {
            upkeep: Arc::new(FolderUpkeep::new(path, blobs.clone(), state.clone(), clock)),
            state,
            blobs,
            code: Arc::new(FileCodeCache::new(path, CACHE_BYTES_MAX)),
            output: Arc::new(FileOutput::new(path)),
            settings: Arc::new(SettingsFile::new(path)),
            meters: Arc::new(MeterFile::new(path)),
            path: path.to_owned(),
            warnings,
        })
    }

    /// Returns the data folder's path as it was given.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns what was found wrong at opening and mended, for people to read.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Writes a snapshot of the state as it is now, and removes the segments of the journal that it stands for, but for those
    /// that `keep` asks for.
    ///
    /// The registry may be changed meanwhile: changes only wait while the index is brought up to date and a fresh segment is
    /// begun. `progress` hears how many entries of how many are written; it must not close the folder. Memory is bounded, whatever the number of entries.
    /// Blocks on the disk; only one compaction or verification is at work at a time.
    ///
    /// # Errors
    /// [`StorageError`] of the disk, [`StorageError::Closed`] if the folder is being closed. Broken off at any place, it leaves
    /// a folder that opens with all that was acknowledged.
    pub fn compact(&self, keep: AuditWindow, progress: &dyn Fn(u64, u64)) -> Result<Compacted, StorageError> {
        self.state.compact(keep, progress, &Stop::default())
    }

    /// Checks every line of the journal and the chain between them, every snapshot, and the index against both, as of the moment
    /// of the call.
    ///
    /// Nothing is changed, and the registry may be changed meanwhile. Memory is bounded, whatever the number of entries. Blobs
    /// are not looked at. Blocks on the disk; only one compaction or verification is at work at a time.
    ///
    /// # Errors
    /// [`StorageError`] of the disk, [`StorageError::Closed`]. Damage is no error but a [`crate::Difference`].
    pub fn verify(&self) -> Result<Verified, StorageError> {
        self.state.verify(&self.path.join("index"), &Stop::default())
    }

    /// Reads all blobs, slowly and over and over, compares each with its digest, and tells `on_damage` once of each that is
    /// damaged, for as long as it stays so. Where `options` name a backup, damaged blobs are mended from it.
    ///
    /// Blocks until `stop` tells it to end or the folder is closed, so it needs a thread of its own; that thread is to be waited
    /// for before [`Self::close`], because a blob that is being mended is still written. Sweeps, backups and changes go on
    /// meanwhile. Memory is bounded, whatever the number and size of the blobs, but for those that are mended.
    ///
    /// # Errors
    /// [`StorageError`] if the folders of blobs cannot be listed. A damaged or unreadable blob is no error.
    pub fn scrub(
        &self,
        options: &ScrubOptions,
        stop: &ScrubStop,
        on_damage: &mut OnDamage<'_>,
    ) -> Result<Scrubbed, StorageError> {
        self.upkeep.scrub(options, stop, on_damage)
    }

    /// Carries out the decisions that wait, ends the committer and lets go of the folder.
    ///
    /// Every later use of [`Self::state`] ends in [`StorageError::Closed`], whoever still holds it. Dropping the last handle does
    /// the same.
    ///
    /// # Errors
    /// [`StorageError`] if the counters of use could not be written; the journal has no part in that.
    pub fn close(self) -> Result<(), StorageError> {
        self.state.close()
    }
}

impl fmt::Debug for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Storage").field("path", &self.path).finish_non_exhaustive()
    }
}

/// Something that was found wrong at opening and mended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The journal's end was not whole, as after a power cut or kill in the middle of a write; it was never acknowledged.
    TornTail {
        /// The segment.
        file: PathBuf,
        /// Where it was cut, in bytes.
        offset: u64,
        /// How many bytes were dropped.
        bytes: u64,
    },
    /// Records that were written without a sync, as was asked for, did not survive a power cut.
    UnsyncedLost {
        /// The segment.
        file: PathBuf,
        /// Where it was cut, in bytes.
        offset: u64,
        /// How many bytes were dropped.
        bytes: u64,
        /// The first record that is lost.
        first: u64,
    },
    /// A snapshot cannot be used; segments or an older snapshot took its place.
    SnapshotDamaged {
        /// The snapshot.
        file: PathBuf,
        /// Where in it, in bytes.
        offset: u64,
        /// What is wrong.
        reason: String,
    },
    /// The index did not fit the journal and was made anew from it.
    IndexRebuilt {
        /// Why.
        reason: String,
        /// The snapshot that it was made from, by the last record in it; `None` if from records alone.
        snapshot: Option<u64>,
        /// How many records were applied.
        records: u64,
        /// How long it took.
        took: Duration,
    },
    /// A restore was ended before it changed anything.
    RestoreEnded {
        /// The copy that it was making.
        left: PathBuf,
    },
    /// A restore was ended when this folder was in place, and was completed.
    RestoreCompleted {
        /// The registry that it replaced.
        replaced: PathBuf,
    },
    /// The index's file was mostly waste, and the rows were put into a new one.
    IndexPacked {
        /// The length of the file before, in bytes.
        before: u64,
        /// The length of the new file, in bytes.
        after: u64,
        /// How long it took.
        took: Duration,
    },
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TornTail { file, offset, bytes } => write!(
                f,
                "dropped the {bytes} bytes of an unfinished write from {} at byte {offset}; nothing acknowledged was in them",
                file.display()
            ),
            Self::UnsyncedLost { file, offset, bytes, first } => write!(
                f,
                "lost the records from {first} on, which had been written without a sync: dropped {bytes} bytes from {} at byte {offset}",
                file.display()
            ),
            Self::SnapshotDamaged { file, offset, reason } => write!(
                f,
                "the snapshot {} is damaged at byte {offset}: {reason}; older records were used in its place, and \
                 `runtime compact` writes a new one",
                file.display()
            ),
            Self::IndexRebuilt { reason, snapshot, records, took } => {
                let base = snapshot.map(|seq| format!("the snapshot at record {seq} and ")).unwrap_or_default();
                let seconds = took.as_secs_f64();
                write!(f, "rebuilt the index from {base}{records} journal records in {seconds:.1} s, because {reason}")
            }
            Self::RestoreEnded { left } => write!(
                f,
                "a restore was ended before it changed anything; `runtime restore --replace` again completes it, or remove what it left: {}",
                left.display()
            ),
            Self::RestoreCompleted { replaced } => write!(
                f,
                "a restore was ended when all was in place; the registry that it replaced is in {}",
                replaced.display()
            ),
            Self::IndexPacked { before, after, took } => {
                let seconds = took.as_secs_f64();
                write!(f, "packed the index, of which most was waste, from {before} to {after} bytes in {seconds:.1} s")
            }
        }
    }
}
