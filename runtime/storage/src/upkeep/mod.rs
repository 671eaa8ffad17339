//! Looking after the data folder as a whole: sweeping blobs, checking them, measuring.

mod check;
mod sizes;
mod sweep;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::Digest;
use domain::ports::{BlobCheck, BlobSweep, BlobsInUse, BytesProgress, StorageError, Upkeep};
use domain::stats::FolderSizes;

use crate::blobs::FileBlobs;
use crate::files::{self, Found};

/// How old a blob that nothing names has to be before it is removed, if nobody says otherwise.
pub const SWEEP_GRACE: Duration = Duration::from_secs(24 * 60 * 60);

/// Looks after one open data folder.
#[derive(Debug)]
pub struct FolderUpkeep {
    folder: PathBuf,
    blobs: Arc<FileBlobs>,
}

impl FolderUpkeep {
    pub(crate) fn new(folder: &Path, blobs: Arc<FileBlobs>) -> Self {
        Self { folder: folder.to_owned(), blobs }
    }
}

impl Upkeep for FolderUpkeep {
    fn sweep_blobs(&self, in_use: &dyn BlobsInUse, grace: Duration, dry_run: bool) -> Result<BlobSweep, StorageError> {
        sweep::sweep(&self.blobs, in_use, grace, dry_run)
    }

    fn verify_blobs(
        &self,
        needed: &HashSet<Digest>,
        progress: &mut dyn FnMut(BytesProgress),
    ) -> Result<BlobCheck, StorageError> {
        check::check(&self.blobs, needed, progress)
    }

    fn sizes(&self) -> Result<FolderSizes, StorageError> {
        sizes::measure(&self.folder)
    }
}

/// What a file among the blobs is, by its name and place.
enum Kind {
    Blob(Digest),
    /// An unfinished write.
    Partial,
    /// Nothing that was put here by storage.
    Strange,
}

fn kind_of(file: &Found) -> Kind {
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
fn shelves(blobs: &FileBlobs) -> Result<Vec<PathBuf>, StorageError> {
    let found = files::list(blobs.folder())?;
    Ok(found.into_iter().filter(|found| found.is_folder && found.name().len() == 2).map(|found| found.path).collect())
}
