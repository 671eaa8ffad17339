//! Keeps a registry in one data folder: a journal that is the truth, a sled index that answers questions, blobs by digest,
//! compiled code, guests' output and the settings file.
//!
//! The crate implements `domain::ports` and knows nothing of engines, operations or the command line. Start reading at
//! [`Storage`], then `committer`, `journal` and `index`. Nothing is acknowledged before the journal is synced; the index can
//! be deleted at any moment and is made anew from the journal.

// The tests here use the same fixtures as those outside.
#[cfg(test)]
extern crate self as storage;

#[macro_use]
mod answers;

mod archive;
mod backup;
mod blobs;
mod code_cache;
mod committer;
mod compact;
mod components;
#[cfg(test)]
mod crashes;
mod fail;
#[cfg(test)]
mod failing_disk;
mod files;
#[cfg(test)]
#[path = "../tests/it/fixtures.rs"]
#[allow(dead_code, reason = "not every fixture is needed here")]
mod fixtures;
mod folder;
#[cfg(test)]
mod forgetful_disk;
#[cfg(test)]
mod full_index;
mod group;
mod index;
mod journal;
mod lock;
mod memory;
mod meters;
mod output;
#[cfg(test)]
mod pack_crashes;
#[cfg(test)]
mod power_loss;
mod repair;
mod scratch;
mod settings;
mod state;
mod stoppable_disk;
mod upkeep;
mod verify;

pub use backup::{RestoreOptions, RestoreReport, restore};
pub use blobs::FileBlobs;
pub use code_cache::{CACHE_BYTES_MAX, FileCodeCache};
pub use domain::ports::{AuditWindow, Compacted, DIFFERENCES_MAX, Difference, Stop, Verified};
pub use folder::{OnWarning, OpenOptions, Storage, Warning};
pub use memory::MemoryStore;
pub use meters::MeterFile;
pub use output::{FileOutput, Lost, OUTPUT_BYTES_MAX};
pub use repair::{Lost as LostRecords, RepairOptions, Repaired, repair};
pub use settings::SettingsFile;
pub use state::JournaledState;
pub use upkeep::{
    FolderUpkeep, Mended, OnDamage, SCRUB_BYTES_PER_SECOND, SCRUB_PAUSE, SWEEP_GRACE, ScrubOptions, ScrubStop, Scrubbed,
};
pub use verify::{verify, verify_blobs};
