//! Registering: from bytes and a manifest to an entry with edges.

mod decide;
mod draft;

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;

use domain::entry::Need;
use domain::manifest::Kind;
use domain::resolve::{Expected, NOTHING_EXPECTED, Overlay};
use domain::{ComponentId, Version, reduce};
use futures::StreamExt as _;

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::source::{ComponentSource, ManifestSource};
use crate::view::EntryView;

pub(crate) use decide::{entry_after, refuse_cycles, resolve_dependents, resolve_waiting, touched_keys};
pub(crate) use draft::Draft;

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
        let committing = self.commit(move |view| decide::decide(view, &draft, &expected, now));
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
