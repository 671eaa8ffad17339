//! An engine with everything around it in memory.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use domain::call::{CallExpression, CallOutcome, CallRequest};
use domain::ports::{
    BoxFuture, CallRecord, Clock, CodeCache, CodeKey, CodeWriter, CompileProgress, Engine, EngineError, EngineObserver,
    Link, OutputLine, OutputSink, Refusal, Slot, SourceError, StateKeeper, StorageError, Unit, UnitSource, UnitSpec,
};
use domain::settings::CompileSettings;
use domain::{ComponentId, Digest, Failure, Limits, Timestamp};
use engine::{Capability, CompileParts, CompileWith, EngineParts, EngineSettings, WasmtimeEngine};

/// Everything that the engine tells, and what it is given.
pub(crate) struct World {
    pub(crate) engine: WasmtimeEngine,
    pub(crate) heard: Arc<Heard>,
    pub(crate) code: Arc<Folder>,
}

#[derive(Default)]
pub(crate) struct Heard {
    pub(crate) failures: Mutex<Vec<Failure>>,
    pub(crate) calls: Mutex<Vec<HeardCall>>,
    pub(crate) lines: Mutex<Vec<(String, OutputLine)>>,
    pub(crate) compiled: Mutex<Vec<String>>,
}

/// A call as the observer heard of it.
pub(crate) struct HeardCall {
    pub(crate) component: String,
    pub(crate) caller: Option<String>,
    pub(crate) fuel: u64,
    pub(crate) ok: bool,
    pub(crate) hit: Option<bool>,
}

impl EngineObserver for Heard {
    fn failed(&self, failure: Failure) {
        self.failures.lock().unwrap().push(failure);
    }

    fn is_metered(&self) -> bool {
        false
    }

    fn called(&self, call: CallRecord<'_>) {
        self.calls.lock().unwrap().push(HeardCall {
            component: call.component.to_string(),
            caller: call.caller.map(ToString::to_string),
            fuel: call.fuel,
            ok: call.ok,
            hit: call.instance_hit,
        });
    }
}

impl OutputSink for Heard {
    fn write(&self, component: &ComponentId, lines: &[OutputLine]) {
        self.lines.lock().unwrap().extend(lines.iter().map(|line| (component.to_string(), line.clone())));
    }
}

impl CompileProgress for Heard {
    fn started(&self, component: &ComponentId, _: u64) {
        self.compiled.lock().unwrap().push(format!("{component} started"));
    }

    fn finished(&self, component: &ComponentId) {
        self.compiled.lock().unwrap().push(format!("{component} finished"));
    }
}

impl Heard {
    /// Returns the failures as `component phase kind: message`.
    pub(crate) fn failures(&self) -> Vec<String> {
        self.failures.lock().unwrap().iter().map(said).collect()
    }
}

/// Writes a failure in one line.
pub(crate) fn said(failure: &Failure) -> String {
    format!("{} {} {}: {}", failure.component, failure.phase, failure.kind, failure.message)
}

struct Noon;

impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(43_200_000_000)
    }
}

/// A code cache in a temporary folder.
pub(crate) struct Folder {
    pub(crate) path: tempfile::TempDir,
    pub(crate) full: bool,
    pub(crate) refusals: Mutex<HashMap<CodeKey, Refusal>>,
    /// How often source lines were asked for.
    pub(crate) lines_read: AtomicUsize,
}

impl Folder {
    pub(crate) fn new() -> Self {
        Self {
            path: tempfile::tempdir().unwrap(),
            full: false,
            refusals: Mutex::default(),
            lines_read: AtomicUsize::new(0),
        }
    }

    fn file(&self, key: &CodeKey) -> PathBuf {
        self.path.path().join(format!("{}-{}.cwasm", key.component.to_hex(), key.engine))
    }
}

impl CodeCache for Folder {
    fn find(&self, key: &CodeKey) -> Option<PathBuf> {
        Some(self.file(key)).filter(|path| path.exists())
    }

    fn begin(&self, key: &CodeKey) -> Result<Box<dyn CodeWriter + '_>, StorageError> {
        let path = self.file(key);
        if self.full {
            return Err(StorageError::io(path, std::io::ErrorKind::StorageFull.into()));
        }
        Ok(Box::new(Gathered { path, code: Vec::new() }))
    }

    fn remove(&self, key: &CodeKey) {
        std::fs::remove_file(self.file(key)).unwrap();
    }

    fn lines(&self, key: &CodeKey) -> Option<Vec<u8>> {
        self.lines_read.fetch_add(1, Ordering::Relaxed);
        std::fs::read(self.file(key).with_extension("lines")).ok()
    }

    fn keep_lines(&self, key: &CodeKey, lines: &[u8]) -> Result<(), StorageError> {
        let path = self.file(key).with_extension("lines");
        if self.full {
            return Err(StorageError::io(path, std::io::ErrorKind::StorageFull.into()));
        }
        std::fs::write(&path, lines).map_err(|e| StorageError::io(&path, e))
    }

    fn refusal(&self, key: &CodeKey, limits: &str, now: Timestamp) -> Option<Refusal> {
        self.refusals.lock().unwrap().get(key).filter(|refusal| refusal.holds(limits, now)).cloned()
    }

    fn refuse(&self, key: &CodeKey, refusal: &Refusal) {
        self.refusals.lock().unwrap().insert(key.clone(), refusal.clone());
    }
}

/// Code that is kept once it is whole.
struct Gathered {
    path: PathBuf,
    code: Vec<u8>,
}

impl CodeWriter for Gathered {
    fn write(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        self.code.extend_from_slice(piece);
        Ok(())
    }

    fn finish(self: Box<Self>) -> Result<PathBuf, StorageError> {
        std::fs::write(&self.path, self.code).map_err(|e| StorageError::io(&self.path, e))?;
        Ok(self.path)
    }
}

struct Bytes(Arc<[u8]>);

impl UnitSource for Bytes {
    fn bytes(&self, _: &Digest) -> Result<Arc<[u8]>, SourceError> {
        Ok(Arc::clone(&self.0))
    }
}

/// Keeps state in memory.
#[derive(Default)]
pub(crate) struct Kept(pub(crate) Mutex<Option<Arc<[u8]>>>);

impl StateKeeper for Kept {
    fn load(&self) -> Result<Option<Arc<[u8]>>, StorageError> {
        Ok(self.0.lock().unwrap().clone())
    }

    fn save(&self, state: Vec<u8>) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(async move {
            *self.0.lock().unwrap() = Some(state.into());
            Ok(())
        })
    }
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(Vec::new(), EngineSettings::default())
    }

    pub(crate) fn with(capabilities: Vec<Arc<dyn Capability>>, settings: EngineSettings) -> Self {
        Self::on(Arc::new(Folder::new()), capabilities, settings)
    }

    pub(crate) fn on(code: Arc<Folder>, capabilities: Vec<Arc<dyn Capability>>, settings: EngineSettings) -> Self {
        // Tests have a `main` of their own, which is no compile worker.
        let compile =
            CompileParts { with: CompileWith::ThisProcess, settings: CompileSettings::default(), on_warning: None };
        Self::compiling(code, capabilities, settings, compile)
    }

    pub(crate) fn compiling(
        code: Arc<Folder>,
        capabilities: Vec<Arc<dyn Capability>>,
        settings: EngineSettings,
        compile: CompileParts,
    ) -> Self {
        let heard = Arc::new(Heard::default());
        let parts = EngineParts {
            settings,
            code: Arc::clone(&code) as Arc<dyn CodeCache>,
            observer: Arc::clone(&heard) as Arc<dyn EngineObserver>,
            output: Arc::clone(&heard) as Arc<dyn OutputSink>,
            clock: Arc::new(Noon),
            capabilities,
            progress: Some(Arc::clone(&heard) as Arc<dyn CompileProgress>),
            compile,
        };
        Self { engine: WasmtimeEngine::new(parts).unwrap(), heard, code }
    }

    /// Makes the spec of a component given as text.
    pub(crate) fn spec(&self, id: &str, wat: &str) -> UnitSpec {
        self.spec_of(id, self.engine.to_binary(wat.as_bytes()).unwrap().into_owned())
    }

    /// Makes the spec of a component given as a binary.
    pub(crate) fn spec_of(&self, id: &str, bytes: Vec<u8>) -> UnitSpec {
        UnitSpec {
            id: id.parse().unwrap(),
            revision: 1,
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            source: Arc::new(Bytes(bytes.into())),
            limits: Limits::DEFAULT,
            grants: domain::GrantSet::default(),
            callers: domain::callers::Callers::default(),
            config: BTreeMap::new(),
            links: Vec::new(),
            state: None,
            progress: None,
            instances: domain::ports::InstancePolicy::default(),
        }
    }

    pub(crate) async fn unit(&self, id: &str, wat: &str) -> Arc<dyn Unit> {
        self.prepare(self.spec(id, wat)).await
    }

    pub(crate) async fn prepare(&self, spec: UnitSpec) -> Arc<dyn Unit> {
        self.engine.prepare(spec).await.map_err(|f| said(&f)).unwrap()
    }

    /// Returns why a component cannot be prepared.
    pub(crate) async fn refusal(&self, spec: UnitSpec) -> String {
        match self.engine.prepare(spec).await {
            Ok(_) => panic!("it was prepared"),
            Err(failure) => said(&failure),
        }
    }

    /// Prepares a component whose imports others provide, given as `(import, export, provider)`.
    pub(crate) async fn linked(&self, id: &str, wat: &str, links: &[(&str, &str, &Arc<Slot>)]) -> Arc<dyn Unit> {
        let spec = UnitSpec { links: links_of(links), ..self.spec(id, wat) };
        self.prepare(spec).await
    }
}

pub(crate) fn links_of(links: &[(&str, &str, &Arc<Slot>)]) -> Vec<Link> {
    links
        .iter()
        .map(|(import, export, provider)| Link {
            import: (*import).to_owned(),
            export: (*export).to_owned(),
            provider: Arc::clone(provider),
        })
        .collect()
}

pub(crate) fn slot(unit: &Arc<dyn Unit>) -> Arc<Slot> {
    let slot = Slot::new(unit.id().clone());
    slot.turn(Some(Arc::clone(unit)));
    Arc::new(slot)
}

pub(crate) fn wave(expression: &str) -> CallRequest {
    CallRequest { expression: CallExpression::Wave(expression.to_owned()), ..CallRequest::default() }
}

pub(crate) async fn call(unit: &Arc<dyn Unit>, expression: &str) -> CallOutcome {
    unit.call(wave(expression)).await.map_err(|e| e.to_string()).unwrap()
}

/// Returns the failure that a call ends in.
pub(crate) async fn failure(unit: &Arc<dyn Unit>, request: CallRequest) -> Failure {
    match unit.call(request).await {
        Err(EngineError::Failed(failure)) => *failure,
        other => panic!("{other:?}"),
    }
}
