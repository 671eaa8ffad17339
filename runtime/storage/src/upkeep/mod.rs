//! Looking after the data folder as a whole: sweeping blobs, checking them, measuring, copying.

mod check;
mod scrub;
mod sizes;
mod strays;
mod sweep;

use std::collections::HashSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use domain::Digest;
use domain::ports::{
    ArchivePart, ArchivedComponents, AuditWindow, BackupError, BackupPlace, BackupReport, BlobCheck, BlobSweep,
    BlobsInUse, BytesProgress, Clock, Compacted, StateView, Stop, StorageError, Upkeep, Verified,
};
use domain::stats::FolderSizes;

use crate::backup::{self, Watch};
use crate::blobs::FileBlobs;
use crate::components;
use crate::files::{self, Found};
use crate::state::JournaledState;

pub(crate) use check::check as check_blobs;
pub use scrub::{Mended, OnDamage, SCRUB_BYTES_PER_SECOND, SCRUB_PAUSE, ScrubOptions, ScrubStop, Scrubbed};

/// How old a blob that nothing names has to be before it is removed, if nobody says otherwise.
pub const SWEEP_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks after one open data folder.
pub struct FolderUpkeep {
    folder: PathBuf,
    blobs: Arc<FileBlobs>,
    state: Arc<JournaledState>,
    clock: Arc<dyn Clock>,
    /// When the folder was opened, by the clock that files are dated with.
    opened: SystemTime,
}

impl fmt::Debug for FolderUpkeep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FolderUpkeep").field("folder", &self.folder).finish_non_exhaustive()
    }
}

impl FolderUpkeep {
    pub(crate) fn new(folder: &Path, blobs: Arc<FileBlobs>, state: Arc<JournaledState>, clock: Arc<dyn Clock>) -> Self {
        Self { folder: folder.to_owned(), blobs, state, clock, opened: SystemTime::now() }
    }

    /// Does what [`crate::Storage::scrub`] says.
    ///
    /// # Errors
    /// As there.
    pub fn scrub(
        &self,
        options: &ScrubOptions,
        stop: &ScrubStop,
        on_damage: &mut OnDamage<'_>,
    ) -> Result<Scrubbed, StorageError> {
        scrub::scrub(&self.blobs, options, stop, &|| self.state.is_closed(), on_damage)
    }
}

impl Upkeep for FolderUpkeep {
    fn sweep_blobs(
        &self,
        in_use: &dyn BlobsInUse,
        grace: Duration,
        dry_run: bool,
        stop: &Stop,
    ) -> Result<BlobSweep, StorageError> {
        let mut done = sweep::sweep(&self.blobs, in_use, grace, dry_run, stop)?;
        let strays = strays::sweep_strays(&self.folder, self.opened, grace, dry_run)?;
        done.removed += strays.removed;
        done.removed_bytes += strays.removed_bytes;
        Ok(done)
    }

    fn verify_blobs(
        &self,
        needed: &HashSet<Digest>,
        progress: &mut dyn FnMut(BytesProgress),
        stop: &Stop,
    ) -> Result<BlobCheck, StorageError> {
        check::check(&self.blobs, needed, progress, stop)
    }

    fn sizes(&self) -> Result<FolderSizes, StorageError> {
        sizes::measure(&self.folder)
    }

    fn backup(
        &self,
        place: &BackupPlace,
        progress: &mut dyn FnMut(BytesProgress),
        stop: &Stop,
    ) -> Result<BackupReport, BackupError> {
        let last_seq = || self.state.last_seq();
        backup::take(&self.folder, &self.blobs, &last_seq, self.clock.now(), place, Watch { progress, stop })
    }

    fn write_components(
        &self,
        path: &Path,
        archived: &ArchivedComponents,
        progress: &mut dyn FnMut(BytesProgress),
        stop: &Stop,
    ) -> Result<u64, BackupError> {
        components::write(&self.blobs, self.clock.now(), path, archived, Watch { progress, stop })
    }

    fn read_components(
        &self,
        path: &Path,
        take: &mut dyn FnMut(ArchivePart) -> bool,
        stop: &Stop,
    ) -> Result<(), BackupError> {
        components::read(path, take, stop)
    }

    fn compact(&self, keep: AuditWindow, progress: &dyn Fn(u64, u64), stop: &Stop) -> Result<Compacted, StorageError> {
        // Whoever tidies up wants what was refused to be tried anew.
        crate::code_cache::forget_refusals(&self.folder)?;
        self.state.compact(keep, progress, stop)
    }

    fn verify(&self, stop: &Stop) -> Result<Verified, StorageError> {
        self.state.verify(&self.folder.join("index"), stop)
    }
}

/// What a file among the blobs is, by its name and place.
pub(crate) enum Kind {
    Blob(Digest),
    /// An unfinished write.
    Partial,
    /// Nothing that was put here by storage.
    Strange,
}

pub(crate) fn kind_of(file: &Found) -> Kind {
    let name = file.name();
    let parent = file.path.parent().and_then(Path::file_name).and_then(|name| name.to_str()).unwrap_or_default();
    let digest = |hex: &str| format!("sha256:{hex}").parse::<Digest>().ok().filter(|_| hex.starts_with(parent));
    if file.is_folder || parent.len() != 2 {
        return Kind::Strange;
    }
    if let Some(digest) = digest(name) {
        return Kind::Blob(digest);
    }
    match name.ends_with(files::PARTIAL) {
        true => Kind::Partial,
        false => Kind::Strange,
    }
}

/// Returns the folders that blobs are in, ordered.
pub(crate) fn shelves(blobs: &FileBlobs) -> Result<Vec<PathBuf>, StorageError> {
    let found = files::list(blobs.folder())?;
    Ok(found.into_iter().filter(|found| found.is_folder && found.name().len() == 2).map(|found| found.path).collect())
}
