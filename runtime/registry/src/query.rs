//! Reading: entries by filter, kind, status, health, path and index; errors, journal, output, WIT.

use std::path::Path;
use std::sync::Arc;

use domain::capability::{HostAccess, host_access};
use domain::failure::LoggedFailure;
use domain::filter::Filter;
use domain::inspection::{ExternItem, ExternKind, FunctionSignature, Inspection};
use domain::limits::LimitsInForce;
use domain::manifest::{ComponentManifest, Kind};
use domain::ports::{OutputLine, StateView};
use domain::reduce::{self, index};
use domain::{ComponentId, Record, Status, Version};

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::names::{Target, unknown};
use crate::register::{Draft, RegisterRequest};
use crate::view::EntryView;

/// Ids read at once when the whole registry is walked.
const PAGE: usize = 1_024;

/// What is known of a component that is not registered.
#[derive(Clone, Debug)]
pub struct InspectReport {
    /// The id it would get.
    pub id: ComponentId,
    /// The version it would get.
    pub version: Version,
    /// Its manifest, with id, version and kind as they would be in force.
    pub manifest: ComponentManifest,
    /// What its binary says.
    pub inspection: Inspection,
    /// Each import and who would provide it here.
    pub imports: Vec<(ExternItem, ImportSource)>,
    /// The limits that its manifest asks for under this registry's ceilings.
    pub limits: LimitsInForce,
    /// What the caller should know, for instance that no version was given.
    pub warnings: Vec<String>,
}

/// Who would provide an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportSource {
    /// The host, to every component.
    Host,
    /// The host, but empty without a grant.
    HostEmpty,
    /// The host has it not, or not to give.
    Denied,
    /// These components of the registry; more than one needs a `[bind]`.
    Components(Vec<ComponentId>),
    /// Nobody.
    Nobody,
    /// Nobody has to: it only names types.
    TypesOnly,
}

impl Registry {
    /// Tells whether there is such a component.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn contains(&self, id: &ComponentId) -> Result<bool, RegistryError> {
        let id = id.clone();
        self.read(move |view| Ok(view.entry(&id)?.is_some())).await
    }

    /// Returns the entries that `filter` admits, ordered by id. Uses an index where the filter names a kind, status, path, version
    /// or digest; otherwise it walks the registry page by page.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn list(&self, filter: &Filter) -> Result<Vec<EntryView>, RegistryError> {
        self.take_gate_usage();
        let filter = filter.clone();
        let registry = self.clone();
        self.read(move |view| {
            let mut found = Vec::new();
            let mut take = |ids: Vec<ComponentId>| -> Result<(), RegistryError> {
                for id in ids {
                    if let Some(entry) = view.entry(&id)?
                        && filter.matches(&entry)
                    {
                        found.push(registry.view_of(view, entry)?);
                    }
                }
                Ok(())
            };
            match indexed(&filter) {
                Some((index, key)) => take(view.find(index, &key)?)?,
                None => each_page(view, take)?,
            }
            Ok(found)
        })
        .await
    }

    /// Returns all ids, ordered.
    pub(crate) async fn all_ids(&self) -> Result<Vec<ComponentId>, RegistryError> {
        self.read(|view| {
            let mut all = Vec::new();
            each_page(view, |ids| {
                all.extend(ids);
                Ok(())
            })?;
            Ok(all)
        })
        .await
    }

    /// Returns the entries of one kind.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn by_kind(&self, kind: &Kind) -> Result<Vec<EntryView>, RegistryError> {
        self.list(&Filter { kind: Some(kind.clone()), ..Filter::default() }).await
    }

    /// Returns the entries in one status.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn by_status(&self, status: Status) -> Result<Vec<EntryView>, RegistryError> {
        self.list(&Filter { status: Some(status), ..Filter::default() }).await
    }

    /// Returns the healthy entries: not in error, and not failed by their last probe.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn healthy(&self) -> Result<Vec<EntryView>, RegistryError> {
        self.list(&Filter { healthy: Some(true), ..Filter::default() }).await
    }

    /// Returns the entries registered from the file or component folder at `path`.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn find_by_path(&self, path: &Path) -> Result<Vec<EntryView>, RegistryError> {
        let path = Self::path_key(path).display().to_string();
        self.list(&Filter { path: Some(path), ..Filter::default() }).await
    }

    /// Returns the function that each active or inactive component exports, read from its binary.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], and what reading the binary can meet.
    pub async fn functions(&self, id: &ComponentId) -> Result<Vec<FunctionSignature>, RegistryError> {
        if let Some(unit) = self.unit_in_service(id) {
            return Ok(unit.functions().to_vec());
        }
        let (name, digest) = (id.to_string(), self.get(id).await?.entry.revision.digest);
        self.with_bytes(digest, move |engine, bytes| {
            let wrong = |source| RegistryError::Binary { name, source };
            Ok(engine.inspect(bytes).map_err(wrong)?.functions)
        })
        .await
    }

    /// Returns the component's world as WIT text.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], and what reading the binary can meet.
    pub async fn wit(&self, target: &Target) -> Result<String, RegistryError> {
        let (name, digest) = (target.id.to_string(), self.get_target(target).await?.entry.revision.digest);
        self.with_bytes(digest, move |engine, bytes| {
            engine.wit(bytes).map_err(|source| RegistryError::Binary { name, source })
        })
        .await
    }

    /// Inspects a component without registering it: what it is, and which of its imports this registry could satisfy.
    ///
    /// # Errors
    /// As [`Registry::register`], as far as it reads.
    pub async fn inspect(&self, request: RegisterRequest) -> Result<InspectReport, RegistryError> {
        let registry = self.clone();
        blocking(move || {
            let draft = Draft::make(&*registry.inner.engine, &request)?;
            let view: &dyn StateView = &*registry.inner.state;
            let mut imports = Vec::new();
            for import in &draft.inspection.imports {
                imports.push((import.clone(), import_source(view, &draft, import)?));
            }
            let limits = registry.limits_for(&draft.manifest);
            let mut warnings = draft.warnings;
            warnings.extend(registry.lowered_limits(&draft.id, &draft.manifest));
            Ok(InspectReport {
                id: draft.id,
                version: draft.version,
                manifest: draft.manifest,
                inspection: draft.inspection,
                imports,
                limits,
                warnings,
            })
        })
        .await
    }

    /// Returns the newest failures first, at most `limit`, of one component or of all.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn errors(&self, id: Option<&ComponentId>, limit: usize) -> Result<Vec<LoggedFailure>, RegistryError> {
        self.flush_failures().await?;
        let id = id.cloned();
        self.read(move |view| {
            if let Some(id) = &id {
                view.entry(id)?.ok_or_else(|| unknown(id))?;
            }
            let mut failures = view.failures(id.as_ref(), limit)?;
            if let Some(id) = id.as_ref().filter(|id| !id.is_beside()) {
                // A revision beside the one in service has a history of its own.
                for beside in view.find(index::BESIDE, id.as_str())? {
                    failures.extend(view.failures(Some(&beside), limit)?);
                }
                failures.sort_by_key(|logged| std::cmp::Reverse(logged.seq));
                failures.truncate(limit);
            }
            Ok(failures)
        })
        .await
    }

    /// Returns the sequence number of the journal's last record, 0 if there is none.
    pub fn last_seq(&self) -> u64 {
        self.inner.state.last_seq()
    }

    /// Waits until every change that was asked for so far is in the journal or refused, also those whose callers went away.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn settle(&self) -> Result<(), RegistryError> {
        // Decisions are carried out in the order in which they were asked for; this one changes nothing.
        self.commit(|_| Ok((vec![], ()))).await
    }

    /// Returns up to `limit` journal records from sequence number `from` on.
    ///
    /// # Errors
    /// [`RegistryError::Storage`].
    pub async fn records(&self, from: u64, limit: usize) -> Result<Vec<Record>, RegistryError> {
        let state = self.inner.state.clone();
        blocking(move || Ok(state.records(from, limit)?)).await
    }

    /// Returns what a component printed and logged last, oldest first.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn output(&self, id: &ComponentId) -> Result<Vec<OutputLine>, RegistryError> {
        if !self.contains(id).await? {
            return Err(unknown(id));
        }
        let (output, id) = (self.inner.output.clone(), id.clone());
        blocking(move || Ok(output.read(&id)?)).await
    }

    /// Returns all revisions of a component, oldest first.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn revisions(&self, id: &ComponentId) -> Result<Vec<Arc<domain::Revision>>, RegistryError> {
        let id = id.clone();
        self.read(move |view| {
            view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            Ok(view.revisions(&id)?)
        })
        .await
    }
}

/// Hands all ids to `take`, page by page.
pub(crate) fn each_page(
    view: &dyn StateView,
    mut take: impl FnMut(Vec<ComponentId>) -> Result<(), RegistryError>,
) -> Result<(), RegistryError> {
    let mut last: Option<ComponentId> = None;
    loop {
        let page = view.ids(last.as_ref(), PAGE)?;
        match page.last() {
            None => return Ok(()),
            Some(id) => last = Some(id.clone()),
        }
        take(page)?;
    }
}

/// Returns the index that narrows `filter` down best.
fn indexed(filter: &Filter) -> Option<(&'static str, String)> {
    if let Some(path) = &filter.path {
        return Some((index::PATH, path.clone()));
    }
    for condition in &filter.conditions {
        match condition.key.as_str() {
            // The index knows whole digests; a shortened one is looked for entry by entry.
            "digest" if condition.value.parse::<domain::Digest>().is_ok() => {
                return Some((index::DIGEST, condition.value.clone()));
            }
            "version" => return Some((index::VERSION, condition.value.clone())),
            _ => {}
        }
    }
    if let Some(status) = filter.status {
        return Some((index::STATUS, status.to_string()));
    }
    if filter.healthy == Some(false) {
        return Some((index::HEALTH, "unhealthy".to_owned()));
    }
    filter.kind.as_ref().map(|kind| (index::KIND, kind.to_string()))
}

fn import_source(view: &dyn StateView, draft: &Draft, import: &ExternItem) -> Result<ImportSource, RegistryError> {
    let interface = import.interface();
    let bind = &draft.manifest.bind;
    let bound =
        bind.get(&import.name).or_else(|| interface.as_ref().and_then(|interface| bind.get(&interface.unversioned())));
    if let Some(to) = bound {
        let serves =
            view.entry(to)?.is_some_and(|entry| domain::resolve::serving_export(&entry.revision, import).is_some());
        return Ok(if serves { ImportSource::Components(vec![to.clone()]) } else { ImportSource::Nobody });
    }
    if import.kind == ExternKind::TypesOnly {
        return Ok(ImportSource::TypesOnly);
    }
    if let Some(interface) = interface.as_ref().filter(|interface| interface.is_host()) {
        return Ok(match host_access(interface) {
            HostAccess::Default => ImportSource::Host,
            HostAccess::EmptyWithoutGrant => ImportSource::HostEmpty,
            HostAccess::Absent => ImportSource::Denied,
        });
    }
    if interface.is_none() {
        return Ok(ImportSource::Nobody);
    }
    let key = reduce::wanted_key(&domain::entry::Need::Import(import.name.clone()));
    let mut candidates = Vec::new();
    for id in view.find(index::PROVIDES, &key)? {
        let serves =
            view.entry(&id)?.is_some_and(|entry| domain::resolve::serving_export(&entry.revision, import).is_some());
        if serves && id != draft.id {
            candidates.push(id);
        }
    }
    Ok(if candidates.is_empty() { ImportSource::Nobody } else { ImportSource::Components(candidates) })
}
