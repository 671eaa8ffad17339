//! Registering: from bytes and a manifest to an entry with edges.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use domain::entry::{Need, Unresolved};
use domain::inspection::{ExternItem, Inspection};
use domain::manifest::{ComponentManifest, Kind};
use domain::ports::{Engine, StateView};
use domain::resolve::{Expected, NOTHING_EXPECTED, Overlay, Resolution, closed_cycle, resolve};
use domain::{ComponentId, Digest, Entry, Event, Revision, Status, Timestamp, Version, reduce, text};
use futures::StreamExt as _;

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::pins::Pin;
use crate::source::{self, ComponentSource, ManifestSource};
use crate::view::EntryView;

/// Longest description kept, in bytes.
const DESCRIPTION_MAX: usize = 1_024;
/// Registrations of one batch that are read, inspected and written at once.
const BATCH_WIDTH: usize = 16;
/// Registrations of one batch that wait for the same sync.
const BATCH_COMMITS: usize = 256;

/// What to register.
#[derive(Clone, Debug)]
pub struct RegisterRequest {
    /// The bytes.
    pub source: ComponentSource,
    /// The component manifest, instead of the one beside the bytes.
    pub manifest: Option<ManifestSource>,
    /// The id, instead of what manifest and binary say.
    pub id: Option<ComponentId>,
    /// The version, instead of what manifest and binary say.
    pub version: Option<Version>,
    /// The kind, instead of what the manifest says.
    pub kind: Option<Kind>,
    /// Whether other bytes or another manifest may take a version that is registered already.
    pub override_version: bool,
}

impl RegisterRequest {
    /// Asks to register `source` as it describes itself.
    pub fn new(source: ComponentSource) -> Self {
        Self { source, manifest: None, id: None, version: None, kind: None, override_version: false }
    }

    /// Asks to register the file or folder at `path` as it describes itself.
    pub fn path(path: impl Into<PathBuf>) -> Self {
        Self::new(ComponentSource::Path(path.into()))
    }

    /// Asks to register bytes under a name that serves for messages and as the id of last resort.
    pub fn bytes(name: impl Into<String>, bytes: impl Into<Arc<[u8]>>) -> Self {
        Self::new(ComponentSource::Bytes { bytes: bytes.into(), name: name.into() })
    }
}

/// What registering did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegisterOutcome {
    /// The component was not known before.
    New,
    /// The entry has one more revision and points to it.
    NewRevision,
    /// The entry has one more revision; the active one stays until the new one is activated.
    Waiting,
    /// These bytes and this manifest were registered already.
    Unchanged,
}

/// A registered component.
#[derive(Clone, Debug)]
pub struct Registered {
    /// The entry as it is now.
    pub entry: EntryView,
    /// The revision that was registered, or that was there already.
    pub revision: u32,
    /// Its version.
    pub version: Version,
    /// What registering did.
    pub outcome: RegisterOutcome,
    /// What the caller should know, for instance that no version was given.
    pub warnings: Vec<String>,
}

/// A component that was read and inspected, not yet registered.
pub(crate) struct Draft {
    pub(crate) id: ComponentId,
    pub(crate) version: Version,
    pub(crate) bytes: Arc<[u8]>,
    /// With id, version and kind as they are in force.
    pub(crate) manifest: ComponentManifest,
    pub(crate) inspection: Inspection,
    pub(crate) warnings: Vec<String>,
    pub(crate) path: Option<PathBuf>,
    pub(crate) last_modified: Option<Timestamp>,
    override_version: bool,
    /// Keeps the bytes from being swept until they are registered.
    pin: Option<Arc<Pin>>,
}

impl Draft {
    /// Warns of imports that the host can never serve and that nothing is bound to.
    fn refused_imports(&self) -> Option<String> {
        let bind = &self.manifest.bind;
        let is_bound = |import: &str| {
            let unversioned = import.split('@').next().unwrap_or(import);
            bind.contains_key(import) || bind.contains_key(unversioned)
        };
        let refused = domain::capability::never_served(&self.inspection.imports, is_bound);
        let (_, why) = domain::capability::refusal(&refused);
        (!refused.is_empty()).then(|| format!("{} cannot be activated: {}", self.id, text::escape_line(&why)))
    }

    /// Reads and inspects what `request` names. Blocks.
    pub(crate) fn make(engine: &dyn Engine, request: &RegisterRequest) -> Result<Self, RegistryError> {
        let loaded = source::load(&request.source, request.manifest.as_ref())?;
        let wrong = |source| RegistryError::Binary { name: text::escape_line(&loaded.name).into_owned(), source };
        let bytes = match engine.to_binary(&loaded.bytes).map_err(wrong)? {
            std::borrow::Cow::Borrowed(_) => loaded.bytes.clone(),
            std::borrow::Cow::Owned(binary) => binary.into(),
        };
        let inspection = engine.inspect(&bytes).map_err(wrong)?;
        let mut manifest = loaded.manifest;
        let mut warnings = Vec::new();
        let own_id = || inspection.name.as_deref().and_then(|name| name.parse().ok());
        let id = request.id.clone().or_else(|| manifest.id.clone()).or_else(own_id).unwrap_or(loaded.fallback_id);
        let own_version = || inspection.version.clone();
        let version = request.version.clone().or_else(|| manifest.version.clone()).or_else(own_version);
        let version = version.unwrap_or_else(|| {
            warnings.push(format!("`{id}` has no version: 0.0.0 is assumed"));
            Version::new(0, 0, 0)
        });
        warnings.extend(useless_bindings(&manifest, &inspection));
        manifest.id = Some(id.clone());
        manifest.version = Some(version.clone());
        manifest.kind = request.kind.clone().or(manifest.kind);
        Ok(Self {
            id,
            version,
            bytes,
            manifest,
            inspection,
            warnings,
            path: loaded.path,
            last_modified: loaded.last_modified,
            override_version: request.override_version,
            pin: None,
        })
    }

    /// Returns the revision that this becomes.
    fn revision(&self, number: u32, now: Timestamp) -> Revision {
        let description = self.manifest.description.as_ref().or(self.inspection.description.as_ref());
        Revision {
            number,
            version: self.version.clone(),
            digest: self.inspection.digest,
            size: self.inspection.size,
            description: description
                .map(|d| text::escape_line(&text::truncate(d, DESCRIPTION_MAX)).into_owned())
                .filter(|d| !d.is_empty()),
            manifest: self.manifest.clone(),
            imports: self.inspection.imports.clone(),
            exports: self.inspection.exports.clone(),
            path: self.path.as_ref().map(|path| path.display().to_string()),
            last_modified: self.last_modified,
            registered_at: now,
        }
    }
}

/// Returns a warning for each `[bind]` key that is no import of the component.
fn useless_bindings(manifest: &ComponentManifest, inspection: &Inspection) -> Vec<String> {
    let mut names = BTreeSet::new();
    for import in &inspection.imports {
        names.extend(import.interface().map(|interface| interface.unversioned()));
        names.insert(import.name.clone());
    }
    let useless = manifest.bind.keys().filter(|key| !names.contains(*key));
    let said = useless.map(|key| {
        let near = domain::suggest::nearest(key, names.iter().map(String::as_str));
        let near = near.map(|near| format!(": did you mean `{near}`?")).unwrap_or_default();
        format!("`[bind]` names `{}`, which the component does not import{near}", text::escape_line(key))
    });
    said.collect()
}

impl Registry {
    /// Registers one component: reads and inspects it, keeps its bytes, derives its edges.
    ///
    /// A version that is new to the entry becomes its newest revision; the entry points to it unless it is active. The same
    /// bytes with the same manifest change nothing. Imports that nobody or several could provide are accepted and listed as
    /// unresolved; other components that waited for its exports are linked to it.
    ///
    /// # Errors
    /// [`RegistryError::Binary`], [`RegistryError::Manifest`], [`RegistryError::VersionTaken`],
    /// [`RegistryError::MissingExports`], [`RegistryError::Cycle`], and what reading and storing can meet.
    pub async fn register(&self, request: RegisterRequest) -> Result<Registered, RegistryError> {
        let result = match self.draft(request).await {
            Ok(draft) => self.commit_draft(draft, Arc::new(Expected::new())).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(registered) => Ok(registered),
            Err(error) => Err(self.refused("register", None, error).await),
        }
    }

    /// Registers many components; results stand in the order of the requests, and one that fails does not keep the others.
    ///
    /// They count as registered together: an import that two of them could provide is ambiguous, whichever comes first.
    pub async fn register_many(&self, requests: Vec<RegisterRequest>) -> Vec<Result<Registered, RegistryError>> {
        self.register_many_with(requests, |_| {}).await
    }

    /// As [`Registry::register_many`], and calls `done` after each with how many are finished.
    pub async fn register_many_with(
        &self,
        requests: Vec<RegisterRequest>,
        done: impl FnMut(usize),
    ) -> Vec<Result<Registered, RegistryError>> {
        let (mut results, unsettled) = self.register_batch(requests, done).await;
        if let Err(RegistryError::Storage(error)) = self.secure().await {
            // What was registered is there, but nobody can count on it.
            results.iter_mut().filter(|result| result.is_ok()).for_each(|result| *result = Err(error.again().into()));
        }
        for error in results.iter().filter_map(|result| result.as_ref().err()).chain(&unsettled) {
            self.record_refusal("register", None, error).await;
        }
        results
    }

    /// Registers many components without a record of those that are refused. Beside the results stands why those that waited for
    /// a choice between components of the batch could not be linked anew, if they could not.
    pub(crate) async fn register_batch(
        &self,
        requests: Vec<RegisterRequest>,
        mut done: impl FnMut(usize),
    ) -> (Vec<Result<Registered, RegistryError>>, Option<RegistryError>) {
        let width = BATCH_WIDTH.min(std::thread::available_parallelism().map_or(4, |n| n.get() * 4));
        let mut expected = Expected::new();
        let mut drafts = Vec::with_capacity(requests.len());
        let mut reading = futures::stream::iter(requests).map(|request| self.draft(request)).buffered(width);
        while let Some(draft) = reading.next().await {
            if let Ok(draft) = &draft {
                for key in draft.inspection.exports.iter().filter_map(reduce::provided_key) {
                    expected.entry(key).or_default().insert(draft.id.clone());
                }
            }
            drafts.push(draft);
        }
        let order = providers_first(&drafts, &expected);
        // Only keys with rivals matter from here on.
        expected.retain(|_, ids| ids.len() > 1);
        let expected = Arc::new(expected);
        let mut drafts: Vec<_> = drafts.into_iter().map(Some).collect();
        let mut results: Vec<_> = drafts.iter().map(|_| None).collect();
        let ordered: Vec<_> = order.into_iter().filter_map(|at| Some((at, drafts.get_mut(at)?.take()?))).collect();
        let mut commits = futures::stream::iter(ordered)
            .map(|(at, draft)| {
                let committing = draft.map(|draft| self.commit_draft(draft, expected.clone()));
                async move {
                    match committing {
                        Ok(committing) => (at, committing.await),
                        Err(error) => (at, Err(error)),
                    }
                }
            })
            .buffered(BATCH_COMMITS);
        let mut count = 0;
        while let Some((at, result)) = commits.next().await {
            if let Some(slot) = results.get_mut(at) {
                *slot = Some(result);
            }
            count += 1;
            done(count);
        }
        let results: Vec<_> = results.into_iter().flatten().collect();
        drop(commits);
        let unsettled = match !expected.is_empty() && results.iter().any(Result::is_err) {
            true => self.settle_expected(expected).await.err(),
            false => None,
        };
        (results, unsettled)
    }

    /// Reads, inspects and stores the bytes of one request.
    async fn draft(&self, request: RegisterRequest) -> Result<Draft, RegistryError> {
        let registry = self.clone();
        blocking(move || {
            let mut draft = Draft::make(&*registry.inner.engine, &request)?;
            draft.warnings.extend(registry.lowered_limits(&draft.id, &draft.manifest));
            draft.warnings.extend(draft.refused_imports());
            draft.override_version |= registry.settings().allow_override;
            registry.check_world(&draft)?;
            draft.pin = Some(Arc::new(registry.inner.pins.pin(draft.inspection.digest)));
            registry.inner.blobs.put(&draft.bytes)?;
            // The bytes are in their file; a batch must not keep them all in memory.
            draft.bytes = Arc::from(Vec::new());
            Ok(draft)
        })
        .await
    }

    fn check_world(&self, draft: &Draft) -> Result<(), RegistryError> {
        let kind = draft.manifest.kind();
        let has = |wanted: &String| {
            draft.inspection.exports.iter().any(|export| {
                export.name == *wanted || export.interface().is_some_and(|name| name.unversioned() == *wanted)
            })
        };
        let missing: Vec<_> = self.required_world(&kind).into_iter().filter(|wanted| !has(wanted)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        Err(RegistryError::MissingExports { component: draft.id.clone(), kind: kind.to_string(), missing })
    }

    /// Queues the registration of `draft` at once; the future waits for it to be durable.
    fn commit_draft(
        &self,
        draft: Draft,
        expected: Arc<Expected>,
    ) -> impl Future<Output = Result<Registered, RegistryError>> + Send + use<> {
        let now = self.inner.clock.now();
        let registry = self.clone();
        let warnings = draft.warnings.clone();
        // The decision drops its draft before what it decided is visible.
        let pin = draft.pin.clone();
        let (id, version) = (draft.id.clone(), draft.version.clone());
        let committing = self.commit(move |view| decide(view, &draft, &expected, now));
        async move {
            let (outcome, revision) = committing.await?;
            drop(pin);
            let entry = registry.get(&id).await?;
            Ok(Registered { entry, revision, version, outcome, warnings })
        }
    }

    /// Resolves again what waited for a choice between components of a batch, some of which were not registered after all.
    async fn settle_expected(&self, expected: Arc<Expected>) -> Result<(), RegistryError> {
        let keys: Vec<_> = expected.keys().cloned().collect();
        self.commit(move |view| {
            let mut overlay = Overlay::new(view, &NOTHING_EXPECTED);
            let events = resolve_waiting(view, &mut overlay, &keys)?;
            refuse_cycles(&overlay, &events)?;
            Ok((events, ()))
        })
        .await
    }
}

/// Returns the places of `drafts` so that those that provide what others import come first, otherwise as given.
///
/// An importer then finds its providers there, and nothing has to be resolved a second time. Drafts in a circle keep their order.
fn providers_first(drafts: &[Result<Draft, RegistryError>], provided: &Expected) -> Vec<usize> {
    let places: HashMap<&ComponentId, usize> =
        drafts.iter().enumerate().filter_map(|(at, draft)| Some((&draft.as_ref().ok()?.id, at))).collect();
    let providers = |draft: &Draft| -> BTreeSet<usize> {
        let keys = draft.inspection.imports.iter().map(|import| reduce::wanted_key(&Need::Import(import.name.clone())));
        let ids = keys.filter_map(|key| provided.get(&key)).flatten().chain(draft.manifest.dependencies.keys());
        ids.filter_map(|id| places.get(id).copied()).collect()
    };
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); drafts.len()];
    let mut missing = vec![0_usize; drafts.len()];
    for (at, draft) in drafts.iter().enumerate() {
        let Ok(draft) = draft else { continue };
        for provider in providers(draft).into_iter().filter(|provider| *provider != at) {
            if let (Some(users), Some(missing)) = (users.get_mut(provider), missing.get_mut(at)) {
                users.push(at);
                *missing += 1;
            }
        }
    }
    let mut ready: BinaryHeap<_> =
        missing.iter().enumerate().filter(|(_, missing)| **missing == 0).map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(drafts.len());
    let mut placed = vec![false; drafts.len()];
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        placed.get_mut(at).into_iter().for_each(|placed| *placed = true);
        for user in users.get(at).into_iter().flatten() {
            if let Some(missing) = missing.get_mut(*user) {
                *missing -= 1;
                if *missing == 0 {
                    ready.push(Reverse(*user));
                }
            }
        }
    }
    order.extend(placed.iter().enumerate().filter(|(_, placed)| !**placed).map(|(at, _)| at));
    order
}

/// Decides what registering `draft` changes.
fn decide(
    view: &dyn StateView,
    draft: &Draft,
    expected: &Expected,
    now: Timestamp,
) -> Result<(Vec<Event>, (RegisterOutcome, u32)), RegistryError> {
    let entry = view.entry(&draft.id)?;
    let number = match &entry {
        None => 1,
        Some(entry) => {
            let revisions = view.revisions(&draft.id)?;
            if let Some(same) = revisions.iter().rev().find(|revision| revision.version == draft.version) {
                if same.is_same(&draft.inspection.digest, &draft.manifest) {
                    return Ok((Vec::new(), (RegisterOutcome::Unchanged, same.number)));
                }
                if !draft.override_version {
                    return Err(version_taken(draft, same.digest));
                }
            }
            entry.newest + 1
        }
    };
    let revision = draft.revision(number, now);
    let (outcome, current) = match &entry {
        None => (RegisterOutcome::New, true),
        Some(entry) if entry.status == Status::Active => (RegisterOutcome::Waiting, false),
        Some(_) => (RegisterOutcome::NewRevision, true),
    };
    let (previous, kept) = match &entry {
        Some(entry) if !current => (entry.dependencies.clone(), Some(entry.unresolved.clone())),
        Some(entry) => (entry.dependencies.clone(), None),
        None => (Vec::new(), None),
    };
    if let Some(unresolved) = kept {
        let event = registered(draft, revision, false, Resolution { dependencies: previous, unresolved });
        return Ok((vec![event], (outcome, number)));
    }
    let mut overlay = Overlay::new(view, expected);
    let resolution = resolve(&overlay, &draft.id, &revision, &previous)?;
    overlay.put(entry_after(entry.as_deref(), &draft.id, &revision, &resolution));
    let old_exports = entry.iter().flat_map(|entry| entry.revision.exports.iter());
    let keys = touched_keys(&draft.id, revision.exports.iter().chain(old_exports));
    let mut events = vec![registered(draft, revision, true, resolution)];
    events.extend(resolve_dependents(view, &mut overlay, &draft.id)?);
    events.extend(resolve_waiting(view, &mut overlay, &keys)?);
    refuse_cycles(&overlay, &events)?;
    Ok((events, (outcome, number)))
}

fn version_taken(draft: &Draft, registered: Digest) -> RegistryError {
    RegistryError::VersionTaken {
        component: draft.id.clone(),
        version: draft.version.clone(),
        registered,
        same_bytes: registered == draft.inspection.digest,
    }
}

fn registered(draft: &Draft, revision: Revision, current: bool, resolution: Resolution) -> Event {
    Event::Registered {
        component: draft.id.clone(),
        revision: Box::new(revision),
        current,
        dependencies: resolution.dependencies,
        unresolved: resolution.unresolved,
    }
}

/// Returns the entry as it will be once it points to `revision`.
pub(crate) fn entry_after(
    entry: Option<&Entry>,
    id: &ComponentId,
    revision: &Revision,
    resolution: &Resolution,
) -> Entry {
    let mut after = match entry {
        Some(entry) => entry.clone(),
        None => Entry {
            id: id.clone(),
            status: Status::Registered,
            revision: revision.clone(),
            newest: revision.number,
            dependencies: Vec::new(),
            unresolved: Vec::new(),
            registered_at: revision.registered_at,
            changed_at: revision.registered_at,
            changed_seq: 0,
            last_error: None,
            error_count: 0,
            state: None,
            probe: None,
        },
    };
    after.revision = revision.clone();
    after.dependencies.clone_from(&resolution.dependencies);
    after.unresolved.clone_from(&resolution.unresolved);
    after
}

/// Returns the keys under which entries may wait for `id` or one of `exports`.
pub(crate) fn touched_keys<'a>(id: &ComponentId, exports: impl Iterator<Item = &'a ExternItem>) -> Vec<String> {
    let mut keys: Vec<_> = exports.filter_map(reduce::provided_key).collect();
    keys.push(id.to_string());
    keys.sort();
    keys.dedup();
    keys
}

/// Refuses events that close a cycle, looking at the state that they all lead to, which `overlay` shows: an edge that closes one
/// may stand before the event that cuts it open.
///
/// # Errors
/// [`RegistryError::Cycle`].
pub(crate) fn refuse_cycles(overlay: &Overlay<'_>, events: &[Event]) -> Result<(), RegistryError> {
    let changed: BTreeSet<_> = events.iter().filter_map(Event::component).collect();
    for id in changed {
        let Some(entry) = overlay.entry(id)? else { continue };
        if let Some(cycle) = closed_cycle(overlay, id, &entry.dependencies)? {
            return Err(RegistryError::Cycle { cycle });
        }
    }
    Ok(())
}

/// Resolves the needs of everybody who waits under one of `keys`, in the state that `overlay` shows. Whether that closes a cycle is
/// for [`refuse_cycles`] to say when all is resolved.
pub(crate) fn resolve_waiting(
    view: &dyn StateView,
    overlay: &mut Overlay<'_>,
    keys: &[String],
) -> Result<Vec<Event>, RegistryError> {
    let mut events = Vec::new();
    for key in keys {
        for waiting in view.find(reduce::index::WANTS, key)? {
            events.extend(resolve_again(overlay, &waiting)?);
        }
    }
    Ok(events)
}

/// Resolves the needs of everybody who depends on `id`, as [`resolve_waiting`] does.
pub(crate) fn resolve_dependents(
    view: &dyn StateView,
    overlay: &mut Overlay<'_>,
    id: &ComponentId,
) -> Result<Vec<Event>, RegistryError> {
    let mut events = Vec::new();
    for dependent in view.dependents(id)? {
        events.extend(resolve_again(overlay, &dependent)?);
    }
    Ok(events)
}

/// Resolves the needs of `id` again; `None` if nothing changes.
fn resolve_again(overlay: &mut Overlay<'_>, id: &ComponentId) -> Result<Option<Event>, RegistryError> {
    let Some(entry) = overlay.entry(id)? else { return Ok(None) };
    let resolution = resolve(overlay, id, &entry.revision, &entry.dependencies)?;
    let unchanged: (&[_], &[Unresolved]) = (&entry.dependencies, &entry.unresolved);
    if unchanged == (&resolution.dependencies, &resolution.unresolved) {
        return Ok(None);
    }
    overlay.put(entry_after(Some(&entry), id, &entry.revision, &resolution));
    Ok(Some(Event::EdgesResolved {
        component: id.clone(),
        dependencies: resolution.dependencies,
        unresolved: resolution.unresolved,
    }))
}
