use std::path::Path;
use std::sync::Arc;

use domain::entry::{DeclaredBy, EdgeKind};
use domain::ports::{ArchivePart, ArchivedComponent, ArchivedRegistry};
use domain::settings::Settings;
use domain::{ComponentId, Edge, VersionReq};
use tokio::sync::mpsc;

use super::{ImportReport, Relinked, TakeSettings};
use crate::Registry;
use crate::error::RegistryError;
use crate::fuse::GrantSharing;
use crate::register::{RegisterOutcome, RegisterRequest, Registered};
use crate::source::ManifestSource;

/// Most components of an archive that are in memory at once, besides those that are being inspected.
const READ_AHEAD: usize = 2;
/// Most components that are inspected at once.
const INSPECTED_AT_ONCE: usize = 2;

/// What an archive says of a component, besides its manifest.
struct Carried {
    id: ComponentId,
    declared: Vec<(ComponentId, VersionReq)>,
    providers: Vec<(String, ComponentId)>,
    fused_with: Option<Vec<ComponentId>>,
}

impl Carried {
    fn edges(&self) -> Vec<Edge> {
        let declared = self.declared.iter().map(|(on, range)| Edge {
            on: on.clone(),
            kind: EdgeKind::Declared { range: range.clone(), origin: DeclaredBy::Operator },
        });
        // Which of the provider's exports serves is found anew.
        let imports = self.providers.iter().map(|(import, on)| Edge {
            on: on.clone(),
            kind: EdgeKind::Import { import: import.clone(), export: import.clone() },
        });
        declared.chain(imports).collect()
    }
}

impl Registry {
    /// Registers the components of an archive that [`Registry::export`] wrote, as if all had been given to
    /// [`Registry::register_many`]; nothing is activated. All of the archive is checked before the first is registered. Imports keep
    /// the providers that they had, where those serve here, and dependencies that operators declared are declared again. What operators
    /// fused is fused again as [`GrantSharing::Equal`] says, whatever was said there, unless something was said of it here. Of a whole
    /// registry, custom indexes are made, and `settings` says what becomes of its settings. Calls `progress` after each component
    /// with how many are finished, and how many there are.
    ///
    /// # Errors
    /// [`RegistryError::Backup`] if the archive is none or is damaged; what keeps one component out is in the report.
    pub async fn import(
        &self,
        path: &Path,
        settings: TakeSettings,
        mut progress: impl FnMut(usize, usize),
    ) -> Result<ImportReport, RegistryError> {
        let upkeep = self.upkeep()?;
        let is_empty = self.all_ids().await?.is_empty() && *self.settings() == Settings::default();
        let is_taken = match settings {
            TakeSettings::IfEmpty => is_empty,
            TakeSettings::Always => true,
            TakeSettings::Never => false,
        };
        let (send, mut receive) = mpsc::channel(READ_AHEAD);
        let archive = path.to_owned();
        let reading = self.breakable(move |stop| {
            // Whoever imports may have gone away: then nothing more is read.
            Ok(upkeep.read_components(&archive, &mut |part| send.blocking_send(part).is_ok(), stop)?)
        });
        let mut carried = Vec::new();
        let mut registry = None;
        let requests = futures::stream::poll_fn(|context| {
            loop {
                match std::task::ready!(receive.poll_recv(context)) {
                    None => return std::task::Poll::Ready(None),
                    Some(ArchivePart::Contents { registry: found, .. }) => registry = found,
                    Some(ArchivePart::Component(component, bytes)) => {
                        let (carries, request) = request(*component, bytes);
                        carried.push(carries);
                        return std::task::Poll::Ready(Some(request));
                    }
                }
            }
        });
        let (mut drafts, read) = tokio::join!(self.draft_all(requests, INSPECTED_AT_ONCE), reading);
        read?;
        for (draft, carried) in drafts.drafts.iter_mut().zip(&carried) {
            if let Ok(draft) = draft {
                draft.carried = carried.edges();
            }
        }
        self.refuse_breaking(&mut drafts.drafts).await;
        let count = carried.len();
        // The archive's order has dependencies first.
        let (results, unsettled) = self.commit_drafts(drafts, (0..count).collect(), |done| progress(done, count)).await;
        if let Some(error) = unsettled {
            return Err(error);
        }
        let mut report = ImportReport::default();
        let mut here = Vec::with_capacity(count);
        for (carried, result) in carried.into_iter().zip(results) {
            match result {
                Ok(registered) => here.push((carried, registered)),
                Err(error) => {
                    self.record_refusal("register", None, &error).await;
                    report.failed.push((carried.id, error));
                }
            }
        }
        // A binding may name what came later.
        self.settle_unresolved(here.iter().map(|(carried, _)| carried.id.clone()).collect()).await?;
        let mut fusions = Vec::new();
        for (carried, registered) in here {
            self.declare(&carried, registered, &mut report).await?;
            fusions.extend(carried.fused_with.map(|with| (carried.id, with)));
        }
        if let Some(registry) = registry {
            self.take_over(registry, is_taken, &mut report).await?;
        }
        // The settings say which kinds ask to be fused, and what is too large for it.
        for (id, with) in fusions {
            self.fuse_again(id, with, &mut report).await?;
        }
        self.secure().await?;
        Ok(report)
    }

    /// Declares the dependencies of a component, and tells which of its imports are served by others than before. All that could be
    /// registered is here by now.
    async fn declare(
        &self,
        carried: &Carried,
        mut registered: Registered,
        report: &mut ImportReport,
    ) -> Result<(), RegistryError> {
        for (on, range) in &carried.declared {
            let kind = EdgeKind::Declared { range: range.clone(), origin: DeclaredBy::Operator };
            let edge = Edge { on: on.clone(), kind };
            let came_along =
                registered.outcome == RegisterOutcome::New && registered.entry.entry.dependencies.contains(&edge);
            let added = match came_along {
                true => Ok(true),
                false => self.add_dependency(&carried.id, on, Some(range.clone())).await,
            };
            match added {
                Ok(true) => report.declared.push((carried.id.clone(), on.clone())),
                Ok(false) => {}
                Err(error) => report.undeclared.push((carried.id.clone(), on.clone(), error)),
            }
        }
        // What came after it may have changed its edges.
        registered.entry = self.get(&carried.id).await?;
        if registered.entry.entry.revision.number == registered.revision {
            report.relinked.extend(relinked(carried, &registered.entry.entry.dependencies));
        }
        report.registered.push(registered);
        Ok(())
    }

    /// Fuses a component with those that it was fused with, or keeps it apart as it was, unless somebody has said what it is to be here.
    async fn fuse_again(
        &self,
        id: ComponentId,
        with: Vec<ComponentId>,
        report: &mut ImportReport,
    ) -> Result<(), RegistryError> {
        if self.get(&id).await?.entry.fusion.is_some() {
            return Ok(());
        }
        let fused = match with.is_empty() {
            true => self.unfuse(&id).await,
            false => self.fuse(&id, &with, GrantSharing::Equal).await,
        };
        match fused {
            Ok(change) if change.changed => report.fused.push((id, change.with)),
            Ok(_) => {}
            Err(error) => report.not_fused.push((id, error)),
        }
        Ok(())
    }

    /// Makes the custom indexes of another registry, and takes over its settings if `is_taken`.
    async fn take_over(
        &self,
        registry: ArchivedRegistry,
        is_taken: bool,
        report: &mut ImportReport,
    ) -> Result<(), RegistryError> {
        for key in registry.indexes {
            match self.create_metadata_index(&key).await {
                Ok(true) => report.indexes.push(key),
                Ok(false) => {}
                Err(error) => report.unindexed.push((key, error)),
            }
        }
        report.settings = self.compare_settings(&registry.settings)?;
        if is_taken && !report.settings.is_empty() {
            match self.replace_settings(registry.settings).await {
                Ok(()) => report.settings_taken = true,
                Err(error) => report.settings_failed = Some(error),
            }
        }
        Ok(())
    }
}

fn request(component: ArchivedComponent, bytes: Arc<[u8]>) -> (Carried, RegisterRequest) {
    let ArchivedComponent { id, manifest, declared, providers, fused_with, .. } = component;
    let mut request = RegisterRequest::bytes(id.to_string(), bytes);
    request.manifest = Some(ManifestSource::Given(Box::new(manifest)));
    (Carried { id, declared, providers, fused_with }, request)
}

/// Returns the imports that are served by others than where the archive was made.
fn relinked(carried: &Carried, edges: &[Edge]) -> Vec<Relinked> {
    let mut relinked = Vec::new();
    for (import, before) in &carried.providers {
        let is_it = |edge: &&Edge| matches!(&edge.kind, EdgeKind::Import { import: name, .. } if name == import);
        let now = edges.iter().find(is_it).map(|edge| edge.on.clone());
        if now.as_ref() != Some(before) {
            let (component, import) = (carried.id.clone(), import.clone());
            relinked.push(Relinked { component, import, before: before.clone(), now });
        }
    }
    relinked
}
