//! Registering: from bytes and a manifest to an entry with edges.

mod authority;
mod batch;
mod decide;
mod draft;

use std::path::PathBuf;
use std::sync::Arc;

use domain::manifest::Kind;
use domain::resolve::Expected;
use domain::{ComponentId, Grant, Version};

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::quotas::refuse_beyond;
use crate::source::{ComponentSource, ManifestSource};
use crate::view::EntryView;

pub(crate) use decide::{
    Numbered, entry_after, numbered, resolve_again, resolve_dependents, resolve_waiting, touched_keys, without_circles,
};
pub(crate) use draft::Draft;

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
    /// What an operator grants along with the registration.
    pub grants: Vec<Grant>,
    /// Whether an operator grants all that the manifest asks for.
    pub grant_requested: bool,
}

impl RegisterRequest {
    /// Asks to register `source` as it describes itself.
    pub fn new(source: ComponentSource) -> Self {
        Self {
            source,
            manifest: None,
            id: None,
            version: None,
            kind: None,
            override_version: false,
            grants: Vec::new(),
            grant_requested: false,
        }
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

impl RegisterOutcome {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::NewRevision => "new-revision",
            Self::Waiting => "waiting",
            Self::Unchanged => "unchanged",
        }
    }
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
    /// What the revision asks for and the one registered before did not; empty for a component's first.
    pub asks_anew: Vec<Grant>,
    /// What was granted along with it, by the request or by the policy.
    pub granted: Vec<Grant>,
    /// What the revision asks for and is not granted: it runs without it.
    pub missing: Vec<Grant>,
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
    /// [`RegistryError::MissingExports`], [`RegistryError::StateNotKept`], [`RegistryError::Cycle`]; [`RegistryError::Breaking`] for a new
    /// revision of an active component by which active components would break, unless [`Registry::with_force`] accepts that; and what
    /// reading and storing can meet.
    pub async fn register(&self, request: RegisterRequest) -> Result<Registered, RegistryError> {
        let result = match self.draft(request).await {
            Ok(draft) => self.register_draft(draft).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(registered) => Ok(registered),
            Err(error) => Err(self.refused("register", None, error).await),
        }
    }

    async fn register_draft(&self, draft: Draft) -> Result<Registered, RegistryError> {
        let mut drafts = [Ok(draft)];
        self.refuse_breaking(&mut drafts).await;
        let [draft] = drafts;
        self.commit_draft(draft?, Arc::new(Expected::new())).await
    }

    /// Reads and inspects what one request names, and keeps nothing of it. Blocks.
    pub(crate) fn prepare_draft(&self, request: &RegisterRequest) -> Result<Draft, RegistryError> {
        let mut draft = Draft::make(&*self.inner.engine, request)?;
        draft.warnings.extend(self.lowered_limits(&draft.id, &draft.manifest));
        draft.warnings.extend(draft.refused_imports());
        draft.warnings.extend(self.look_alike(&draft.id)?);
        draft.authority = self.authority_for(&draft, request)?;
        draft.override_version |= self.settings().allow_override;
        self.check_world(&draft)?;
        self.check_state(&draft.id, &draft.manifest, draft.has_state())?;
        Ok(draft)
    }

    /// Reads, inspects and stores the bytes of one request.
    async fn draft(&self, request: RegisterRequest) -> Result<Draft, RegistryError> {
        let registry = self.clone();
        blocking(move || {
            let mut draft = registry.prepare_draft(&request)?;
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
        let quota = self.settings().quotas.of_namespace(id.namespace());
        let requests = draft.authority.requests.clone();
        let committing = self.commit(move |view| {
            let (events, decided) = decide::decide(view, &draft, &expected, now)?;
            refuse_beyond(view, &quota, &draft, decided.outcome)?;
            Ok((events, decided))
        });
        async move {
            let decided = committing.await?;
            drop(pin);
            let entry = registry.get(&id).await?;
            let missing = domain::grant::missing(&requests, &entry.entry.grants);
            let mut warnings = warnings;
            warnings.extend(decided.warnings);
            if !missing.is_empty() {
                let texts: Vec<_> = missing.iter().map(|grant| format!("`{grant}`")).collect();
                let texts = domain::text::escape_line(&texts.join(", ")).into_owned();
                warnings.push(format!(
                    "`{id}` asks for {texts}, which is not granted: `runtime grant {id} --requested` grants what it asks for"
                ));
            }
            Ok(Registered {
                entry,
                revision: decided.number,
                version,
                outcome: decided.outcome,
                asks_anew: decided.asks_anew,
                granted: decided.granted,
                missing,
                warnings,
            })
        }
    }
}
