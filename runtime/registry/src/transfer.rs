//! Handing components to another registry, and taking them from one.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::entry::{DeclaredBy, EdgeKind};
use domain::plan::{load_all, load_closure};
use domain::ports::{ArchivedComponent, BytesProgress, StateView};
use domain::{ComponentId, Entry, Version, VersionReq};
use tokio::sync::mpsc;

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::names::unknown;
use crate::register::{RegisterRequest, Registered};
use crate::source::ManifestSource;

/// Most components of an archive that are in memory at once, besides the one that is being registered.
const READ_AHEAD: usize = 2;

/// What was exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExportReport {
    /// The archive.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// The components in it with their versions, dependencies first.
    pub components: Vec<(ComponentId, Version)>,
}

/// What was imported.
#[derive(Debug, Default)]
pub struct ImportReport {
    /// What was registered or there already, in the order of the archive.
    pub registered: Vec<Registered>,
    /// What could not be registered.
    pub failed: Vec<(ComponentId, RegistryError)>,
    /// Declared dependencies that were added: the dependent and the dependency.
    pub declared: Vec<(ComponentId, ComponentId)>,
    /// Declared dependencies that could not be added.
    pub undeclared: Vec<(ComponentId, ComponentId, RegistryError)>,
}

impl Registry {
    /// Writes components and all that they need, or the whole registry if `ids` is empty, to an archive at `path`: of each the
    /// revision that its entry points to, with its bytes and its manifest, and the dependencies that operators declared.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::Cycle`]; [`RegistryError::Backup`] if another file is at the path;
    /// [`RegistryError::Storage`], also for bytes that are missing or damaged.
    pub async fn export(
        &self,
        ids: &[ComponentId],
        path: &Path,
        mut progress: impl FnMut(BytesProgress) + Send + 'static,
    ) -> Result<ExportReport, RegistryError> {
        let upkeep = self.upkeep()?;
        let (ids, path) = (ids.to_vec(), path.to_owned());
        let state = self.inner.state.clone();
        blocking(move || {
            let components = to_export(&*state, &ids)?;
            let bytes = upkeep.write_components(&path, &components, &mut progress)?;
            let components = components.into_iter().map(|component| (component.id, component.version)).collect();
            Ok(ExportReport { path, bytes, components })
        })
        .await
    }

    /// Registers the components of an archive that [`Registry::export`] wrote, dependencies first, as if each had been given to
    /// [`Registry::register`]; nothing is activated. All of the archive is checked before the first is registered. Calls
    /// `progress` after each with how many are finished, and how many there are.
    ///
    /// # Errors
    /// [`RegistryError::Backup`] if the archive is none or is damaged; what keeps one component out is in the report.
    pub async fn import(
        &self,
        path: &Path,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<ImportReport, RegistryError> {
        let upkeep = self.upkeep()?;
        let path = path.to_owned();
        let (send, mut receive) = mpsc::channel(READ_AHEAD);
        let reading = tokio::task::spawn_blocking(move || {
            upkeep.read_components(&path, &mut |component, count, bytes| {
                // Whoever imports may have gone away: then nothing more is read.
                send.blocking_send((component, count, bytes)).is_ok()
            })
        });
        let mut report = ImportReport::default();
        let mut declared = BTreeMap::new();
        let mut done = 0;
        while let Some((component, count, bytes)) = receive.recv().await {
            let id = component.id.clone();
            if !component.declared.is_empty() {
                declared.insert(id.clone(), component.declared.clone());
            }
            match self.register(request(component, bytes)).await {
                Ok(registered) => report.registered.push(registered),
                Err(error) => report.failed.push((id, error)),
            }
            done += 1;
            progress(done, count);
        }
        let read = reading.await.map_err(|died| RegistryError::Internal(format!("a blocking task died: {died}")))?;
        self.declare(declared, &mut report).await;
        read?;
        self.secure().await?;
        Ok(report)
    }

    /// Declares the dependencies of those components that are here now.
    async fn declare(
        &self,
        declared: BTreeMap<ComponentId, Vec<(ComponentId, VersionReq)>>,
        report: &mut ImportReport,
    ) {
        for (id, dependencies) in declared {
            if report.failed.iter().any(|(failed, _)| *failed == id) {
                continue;
            }
            for (on, range) in dependencies {
                match self.add_dependency(&id, &on, Some(range)).await {
                    Ok(true) => report.declared.push((id.clone(), on)),
                    Ok(false) => {}
                    Err(error) => report.undeclared.push((id.clone(), on, error)),
                }
            }
        }
    }
}

fn request(component: ArchivedComponent, bytes: Arc<[u8]>) -> RegisterRequest {
    let mut request = RegisterRequest::bytes(component.id.to_string(), bytes);
    request.manifest = Some(ManifestSource::Given(Box::new(component.manifest)));
    request
}

/// Returns what an archive of `ids` has, dependencies first.
fn to_export(view: &dyn StateView, ids: &[ComponentId]) -> Result<Vec<ArchivedComponent>, RegistryError> {
    let closure = if ids.is_empty() { load_all(view)? } else { load_closure(view, ids)? };
    if let Some(missing) = closure.missing.first() {
        return Err(unknown(missing));
    }
    let waves = closure.graph.waves().map_err(|cycle| RegistryError::Cycle { cycle: cycle.path })?;
    let entries = waves.iter().flatten().filter_map(|id| closure.entries.get(id));
    Ok(entries.map(|entry| archived(entry)).collect())
}

fn archived(entry: &Entry) -> ArchivedComponent {
    let revision = &entry.revision;
    let declared = entry.dependencies.iter().filter_map(|edge| match &edge.kind {
        EdgeKind::Declared { range, origin: DeclaredBy::Operator } => Some((edge.on.clone(), range.clone())),
        EdgeKind::Declared { origin: DeclaredBy::Manifest, .. } | EdgeKind::Import { .. } => None,
    });
    ArchivedComponent {
        id: entry.id.clone(),
        version: revision.version.clone(),
        kind: revision.kind(),
        digest: revision.digest,
        size: revision.size,
        manifest: revision.manifest.clone(),
        declared: declared.collect(),
    }
}
