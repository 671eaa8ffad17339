use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use super::{BoxFuture, StorageError};
use crate::entry::{Entry, Revision};
use crate::event::{Actor, Event, Record};
use crate::failure::LoggedFailure;
use crate::id::ComponentId;
use crate::quota::Meter;
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

    /// Sees to it that changes below [`Durability::Power`] do not wait for the disk, until one is made that has to survive a power cut.
    /// Without this the first of them waits for a note on the disk that records may get lost. Stores that have no choice have nothing to do.
    ///
    /// # Errors
    /// [`StorageError`] of the disk.
    fn relax(&self) -> BoxFuture<'static, Result<(), StorageError>> {
        Box::pin(std::future::ready(Ok(())))
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

/// Reads and writes the text of the registry's settings file, and reads that of its policy. Calls block on the disk.
pub trait SettingsStore: Send + Sync {
    /// Returns the folder in which the registry keeps everything, `None` if it has none: no guest is ever given it.
    fn folder(&self) -> Option<PathBuf> {
        None
    }

    /// Returns the text of the policy file, `None` if there is no file, and the file's path for messages.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be read.
    fn load_policy(&self) -> Result<(Option<String>, PathBuf), StorageError>;

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

/// Keeps how far quotas are used up, so that the next process goes on from there. Calls block on the disk.
pub trait MeterStore: Send + Sync {
    /// Returns what was saved last, by component or namespace; nothing if that cannot be read any more.
    fn load(&self) -> BTreeMap<String, Meter>;

    /// Replaces what was saved.
    ///
    /// # Errors
    /// [`StorageError`] if it cannot be written.
    fn save(&self, meters: &BTreeMap<String, Meter>) -> Result<(), StorageError>;
}
