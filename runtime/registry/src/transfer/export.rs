use std::path::Path;
use std::sync::Arc;

use domain::entry::{DeclaredBy, EdgeKind};
use domain::plan::{Closure, load_all, load_closure};
use domain::ports::{ArchivedComponent, ArchivedComponents, ArchivedRegistry, BytesProgress, StateView, StorageError};
use domain::{ComponentId, Entry, Status};

use super::{ExportReport, LeftOut};
use crate::Registry;
use crate::error::RegistryError;
use crate::fuse::Recipe;
use crate::names::unknown;

impl Registry {
    /// Writes components and all that they need, or the whole registry if `ids` is empty, to an archive at `path`: of each the
    /// revision that its entry points to, and none beside it, with its bytes and its manifest, who provides its imports, and the dependencies and fusions that
    /// operators declared; of the whole registry also its custom indexes and its settings.
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
        let settings = self.inner.settings_store.clone();
        self.breakable(move |stop| {
            let (components, left_out) = to_export(&*state, &ids)?;
            let registry = match ids.is_empty() {
                true => Some(ArchivedRegistry {
                    indexes: state.custom_indexes()?,
                    settings: settings.load()?.0.unwrap_or_default(),
                }),
                false => None,
            };
            let archived = ArchivedComponents { components, registry };
            let bytes = upkeep.write_components(&path, &archived, &mut progress, stop)?;
            Ok(ExportReport {
                path,
                bytes,
                components: archived
                    .components
                    .into_iter()
                    .map(|component| (component.id, component.version))
                    .collect(),
                settings: archived.registry.is_some(),
                indexes: archived.registry.map(|registry| registry.indexes).unwrap_or_default(),
                left_out,
            })
        })
        .await
    }
}

/// Returns what an archive of `ids` has, dependencies first, and what it has not.
fn to_export(view: &dyn StateView, ids: &[ComponentId]) -> Result<(Vec<ArchivedComponent>, LeftOut), RegistryError> {
    let closure = if ids.is_empty() { load_all(view)? } else { with_entries(view, ids)? };
    if let Some(missing) = closure.missing.first() {
        return Err(unknown(missing));
    }
    let waves = closure.graph.waves().map_err(|cycle| RegistryError::Cycle { cycle: cycle.path })?;
    let mut components = Vec::with_capacity(closure.entries.len());
    let mut left_out = LeftOut::default();
    for entry in waves.iter().flatten().filter(|id| !id.is_beside()).filter_map(|id| closure.entries.get(id)) {
        // Revisions count from 1, and all of them are kept.
        left_out.revisions += u64::from(entry.newest.saturating_sub(1));
        left_out.active += u64::from(entry.status == Status::Active);
        left_out.states += u64::from(entry.state.is_some());
        left_out.grants += entry.grants.len() as u64;
        components.push(archived(view, entry)?);
    }
    Ok((components, left_out))
}

/// Loads the closure of `ids`; where a revision beside the one in service is needed, with its entry: that is what an archive has.
fn with_entries(view: &dyn StateView, ids: &[ComponentId]) -> Result<Closure, StorageError> {
    let mut ids = ids.to_vec();
    loop {
        let closure = load_closure(view, &ids)?;
        let known = ids.len();
        let beside = closure.entries.keys().filter(|id| id.is_beside()).map(ComponentId::entry);
        ids.extend(beside.filter(|entry| !closure.entries.contains_key(entry)));
        if ids.len() == known {
            return Ok(closure);
        }
    }
}

fn archived(view: &dyn StateView, entry: &Arc<Entry>) -> Result<ArchivedComponent, StorageError> {
    let revision = &entry.revision;
    let (mut declared, mut providers) = (Vec::new(), Vec::new());
    for edge in entry.dependencies.iter() {
        match &edge.kind {
            EdgeKind::Declared { range, origin: DeclaredBy::Operator } => {
                declared.push((edge.on.entry(), range.clone()));
            }
            // It comes back with the manifest.
            EdgeKind::Declared { origin: DeclaredBy::Manifest, .. } => {}
            EdgeKind::Import { import, .. } => providers.push((import.clone(), edge.on.entry())),
        }
    }
    Ok(ArchivedComponent {
        id: entry.id.clone(),
        version: revision.version.clone(),
        kind: revision.kind(),
        digest: revision.digest,
        size: revision.size,
        manifest: revision.manifest.clone(),
        declared,
        providers,
        fused_with: fused_with(view, entry)?,
    })
}

/// Returns whom `entry` was fused with, without those that it does not call any more: they need not be in the archive.
fn fused_with(view: &dyn StateView, entry: &Arc<Entry>) -> Result<Option<Vec<ComponentId>>, StorageError> {
    let Some(fusion) = &entry.fusion else { return Ok(None) };
    if fusion.with.is_empty() {
        return Ok(Some(Vec::new()));
    }
    let recipe = Recipe::collect(view, entry, &fusion.with.iter().cloned().collect())?;
    Ok(recipe.map(|recipe| recipe.parts().iter().map(|part| part.id.clone()).collect()))
}
