//! Looking after the data folder: blobs that nothing names, damaged ones, and how large everything is.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use domain::ports::{
    AuditWindow, BackupPlace, BackupReport, BlobSweep, BytesProgress, Compacted, StateView, Upkeep, Verified,
};
use domain::stats::RegistrySize;
use domain::{ComponentId, Digest};

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::query::each_page;

/// What a check of all blobs found.
#[derive(Clone, Debug, Default)]
pub struct BlobReport {
    /// Blobs that were read.
    pub blobs: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// What is wrong: damaged files ordered by path, then missing blobs ordered by digest.
    pub faults: Vec<BlobFault>,
}

/// A blob that is damaged or missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobFault {
    /// The digest, `None` of a file whose name says none.
    pub digest: Option<Digest>,
    /// The damaged file, `None` if there is none at all.
    pub path: Option<PathBuf>,
    /// What is wrong.
    pub reason: String,
    /// Who needs it, ordered; nobody if the blob is not in use.
    pub needed_by: Vec<BlobUse>,
}

/// What a blob is needed for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BlobUse {
    /// The component.
    pub component: ComponentId,
    /// The revision whose bytes it is; `None` if it is the component's saved state.
    pub revision: Option<u32>,
}

impl Registry {
    /// Removes blobs that no revision and no saved state names and that were written longer ago than `grace`, unfinished writes
    /// included; with `dry_run` it only says what would go. Safe beside registrations, with any grace period.
    ///
    /// # Errors
    /// [`RegistryError::Storage`]; [`RegistryError::Internal`] if the registry was built without upkeep.
    pub async fn gc(&self, grace: Duration, dry_run: bool) -> Result<BlobSweep, RegistryError> {
        let upkeep = self.upkeep()?;
        let mut sweep = self.inner.pins.begin_sweep();
        // Whatever was decided before the sweep began is visible after this; whatever is decided later is pinned.
        self.settle().await?;
        let state = self.inner.state.clone();
        self.breakable(move |stop| {
            each_use(&*state, |digest, _| {
                sweep.named.insert(digest);
            })?;
            Ok(upkeep.sweep_blobs(&sweep, grace, dry_run, stop)?)
        })
        .await
    }

    /// Reads every blob, compares it with its digest, and tells which are damaged or missing and who needs them.
    ///
    /// # Errors
    /// As [`Registry::gc`].
    pub async fn verify_blobs(
        &self,
        mut progress: impl FnMut(BytesProgress) + Send + 'static,
    ) -> Result<BlobReport, RegistryError> {
        let upkeep = self.upkeep()?;
        let state = self.inner.state.clone();
        self.breakable(move |stop| {
            let mut needed = HashSet::new();
            each_use(&*state, |digest, _| {
                needed.insert(digest);
            })?;
            let mut report = BlobReport::from(upkeep.verify_blobs(&needed, &mut progress, stop)?);
            name_users(&*state, &mut report.faults)?;
            Ok(report)
        })
        .await
    }

    /// Returns how large the registry is; walks it page by page. Without upkeep the bytes are 0.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn size(&self) -> Result<RegistrySize, RegistryError> {
        let upkeep = self.inner.upkeep.clone();
        let state = self.inner.state.clone();
        blocking(move || {
            let mut size = RegistrySize::default();
            each_page(&*state, |ids| {
                for id in ids {
                    let Some(entry) = state.entry(&id)? else { continue };
                    size.entries += 1;
                    size.edges += entry.dependencies.len() as u64;
                }
                Ok(())
            })?;
            if let Some(upkeep) = upkeep {
                size.folder = upkeep.sizes()?;
            }
            Ok(size)
        })
        .await
    }

    /// Writes a snapshot of the state and removes the records that it stands for, but for those that `keep` asks for, while everything
    /// goes on. `progress` hears how many entries of how many are written.
    ///
    /// # Errors
    /// As [`Registry::gc`].
    pub async fn compact(
        &self,
        keep: AuditWindow,
        progress: impl Fn(u64, u64) + Send + 'static,
    ) -> Result<Compacted, RegistryError> {
        let upkeep = self.upkeep()?;
        self.breakable(move |stop| Ok(upkeep.compact(keep, &progress, stop)?)).await
    }

    /// Checks the journal, its snapshots and the index against them, as of now, while everything goes on. Blobs are not looked at:
    /// [`Registry::verify_blobs`].
    ///
    /// # Errors
    /// As [`Registry::gc`].
    pub async fn verify(&self) -> Result<Verified, RegistryError> {
        let upkeep = self.upkeep()?;
        self.settle().await?;
        self.breakable(move |stop| Ok(upkeep.verify(stop)?)).await
    }

    /// Copies journal, blobs and settings to `place`, as they are at one sequence number, while everything goes on. Counters of
    /// use, compiled code and what components printed are not part of it.
    ///
    /// # Errors
    /// [`RegistryError::Backup`] if something else is at the place, [`RegistryError::Storage`], also for a blob that is damaged;
    /// [`RegistryError::Internal`] if the registry was built without upkeep.
    pub async fn backup(
        &self,
        place: BackupPlace,
        mut progress: impl FnMut(BytesProgress) + Send + 'static,
    ) -> Result<BackupReport, RegistryError> {
        let upkeep = self.upkeep()?;
        self.flush_failures().await?;
        self.flush_refusals().await?;
        self.breakable(move |stop| Ok(upkeep.backup(&place, &mut progress, stop)?)).await
    }

    pub(crate) fn upkeep(&self) -> Result<Arc<dyn Upkeep>, RegistryError> {
        let missing = || RegistryError::Internal("the registry was built without upkeep".to_owned());
        self.inner.upkeep.clone().ok_or_else(missing)
    }
}

impl From<domain::ports::BlobCheck> for BlobReport {
    fn from(checked: domain::ports::BlobCheck) -> Self {
        let missing = checked.missing.into_iter().map(|digest| BlobFault {
            digest: Some(digest),
            path: None,
            reason: "it is not in the data folder".to_owned(),
            needed_by: Vec::new(),
        });
        let damaged = checked.damaged.into_iter().map(BlobFault::from);
        Self { blobs: checked.blobs, bytes: checked.bytes, faults: damaged.chain(missing).collect() }
    }
}

impl From<domain::ports::DamagedBlob> for BlobFault {
    fn from(damaged: domain::ports::DamagedBlob) -> Self {
        let domain::ports::DamagedBlob { digest, path, reason } = damaged;
        Self { digest, path: Some(path), reason, needed_by: Vec::new() }
    }
}

/// Hands every blob that an entry names to `take`, with what it is needed for.
fn each_use(view: &dyn StateView, mut take: impl FnMut(Digest, BlobUse)) -> Result<(), RegistryError> {
    each_page(view, |ids| {
        for id in ids {
            for revision in view.revisions(&id)? {
                take(revision.digest, BlobUse { component: id.clone(), revision: Some(revision.number) });
            }
            if let Some(state) = view.entry(&id)?.and_then(|entry| entry.state.clone()) {
                take(state.digest, BlobUse { component: id, revision: None });
            }
        }
        Ok(())
    })
}

fn name_users(view: &dyn StateView, faults: &mut [BlobFault]) -> Result<(), RegistryError> {
    if faults.is_empty() {
        return Ok(());
    }
    let mut users: HashMap<Digest, Vec<BlobUse>> =
        faults.iter().filter_map(|fault| fault.digest).map(|digest| (digest, Vec::new())).collect();
    each_use(view, |digest, used| {
        if let Some(users) = users.get_mut(&digest) {
            users.push(used);
        }
    })?;
    for fault in faults {
        fault.needed_by = fault.digest.and_then(|digest| users.get(&digest).cloned()).unwrap_or_default();
        fault.needed_by.sort();
    }
    Ok(())
}
