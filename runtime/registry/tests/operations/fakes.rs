//! Stand-ins for the engine and the other adapters.

use std::any::Any;
use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use domain::call::{CallExpression, CallOutcome, CallRequest};
use domain::inspection::{ExternItem, ExternKind, FunctionSignature, Inspection};
use domain::ports::{
    Beside, BlobStore, BoxFuture, CallRecord, Clock, Drain, Drained, Engine, EngineError, EngineObserver, FusePart,
    GateUsage, GuestOutput, Handover, InstanceCount, InstanceState, OutputLine, OutputSink, SettingsStore, Settled,
    Slot, SourceError, Started, StateStore, StorageError, TakeOver, Unit, UnitSpec, Upkeep,
};
use domain::world::{Function, Interface, Item, Type, World as Types};
use domain::{Actor, ComponentId, Digest, Failure, FailureKind, Phase, Timestamp};
use registry::{RegisterRequest, Registry, Tracker};
use storage::MemoryStore;

use crate::machine::Machine;

/// A clock that moves a microsecond each time it is asked.
#[derive(Default)]
pub(crate) struct Ticking(AtomicI64);

impl Ticking {
    /// Lets time pass.
    pub(crate) fn move_on(&self, time: Duration) {
        self.0.fetch_add(i64::try_from(time.as_micros()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Ticking {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

#[derive(Default)]
pub(crate) struct Blobs(Mutex<HashMap<Digest, Arc<[u8]>>>);

impl BlobStore for Blobs {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StorageError> {
        let digest = Digest::of(bytes);
        self.0.lock().unwrap().insert(digest, bytes.into());
        Ok(digest)
    }

    fn get(&self, digest: &Digest) -> Result<Arc<[u8]>, StorageError> {
        self.0.lock().unwrap().get(digest).cloned().ok_or(StorageError::MissingBlob { digest: *digest })
    }
}

#[derive(Default)]
pub(crate) struct Settings(pub(crate) Mutex<Option<String>>);

impl SettingsStore for Settings {
    fn load_policy(&self) -> Result<(Option<String>, PathBuf), StorageError> {
        Ok((None, PathBuf::from("policy.toml")))
    }

    fn load(&self) -> Result<(Option<String>, PathBuf), StorageError> {
        Ok((self.0.lock().unwrap().clone(), PathBuf::from("registry.toml")))
    }

    fn save(&self, text: &str) -> Result<(), StorageError> {
        *self.0.lock().unwrap() = Some(text.to_owned());
        Ok(())
    }
}

struct NoOutput;

impl OutputSink for NoOutput {
    fn write(&self, _: &ComponentId, _: &[OutputLine]) {}
}

impl GuestOutput for NoOutput {
    fn read(&self, _: &ComponentId) -> Result<Vec<OutputLine>, StorageError> {
        Ok(Vec::new())
    }

    fn remove(&self, _: &ComponentId) -> Result<(), StorageError> {
        Ok(())
    }
}

/// An engine whose components are lines of text: `import NAME`, `export NAME`, `name N`, `version V`, and what goes wrong:
/// `fail-link`, `fail-start`, `fail-start-once`, `fail-call`, `unhealthy`, or `fail-call-while-ill` and so on for as long as the world says. The instance of one that says `busy` always serves a call. A line that starts with `#` only makes the bytes differ.
pub(crate) struct TextEngine {
    observer: Arc<Tracker>,
    /// What happened to units, in order: `start a:b`, `stop a:b`.
    pub(crate) steps: Arc<Mutex<Vec<String>>>,
    starts: Arc<AtomicUsize>,
    machine: Arc<Machine>,
    ill: Arc<AtomicBool>,
    clock: Arc<Ticking>,
}

impl Engine for TextEngine {
    fn inspect(&self, bytes: &[u8]) -> Result<Inspection, EngineError> {
        let text = text(bytes)?;
        let item = |name: &str| ExternItem {
            name: name.to_owned(),
            kind: if name.contains('/') { ExternKind::Interface } else { ExternKind::Function },
        };
        let after = |word: &str| text.lines().filter_map(|line| line.strip_prefix(word)).collect::<Vec<_>>();
        Ok(Inspection {
            digest: Digest::of(bytes),
            size: bytes.len() as u64,
            imports: after("import ").into_iter().map(item).collect(),
            exports: after("export ").into_iter().map(item).collect(),
            functions: vec![],
            name: after("name ").first().map(ToString::to_string),
            version: after("version ").first().and_then(|v| v.parse().ok()),
            description: None,
            metadata: BTreeMap::new(),
            counts: vec![],
        })
    }

    fn to_binary<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, EngineError> {
        text(bytes)?;
        Ok(Cow::Borrowed(bytes))
    }

    fn wit(&self, bytes: &[u8]) -> Result<String, EngineError> {
        text(bytes).map(str::to_owned)
    }

    /// `takes NAME f: A, B -> C` and `gives NAME f: A, B -> C` say what functions an interface has, of primitive types.
    fn world(&self, bytes: &[u8]) -> Result<Types, EngineError> {
        let mut world = Types::default();
        for name in self.inspect(bytes)?.imports {
            let functions = functions(&mut world, text(bytes)?, &format!("takes {} ", name.name));
            world.imports.insert(name.name, functions);
        }
        for name in self.inspect(bytes)?.exports {
            let functions = functions(&mut world, text(bytes)?, &format!("gives {} ", name.name));
            world.exports.insert(name.name, functions);
        }
        Ok(world)
    }

    /// What the first says, and after it in comments what the others are.
    fn compose(&self, root: &FusePart, parts: &[FusePart]) -> Result<Vec<u8>, EngineError> {
        let mut all = text(&root.bytes)?.to_owned();
        for part in parts {
            let own = text(&part.bytes)?;
            if own.lines().any(|line| line == "fail-compose") {
                return Err(EngineError::CannotCompose { reason: format!("{} does not fit", part.id) });
            }
            all.push_str(&format!("\n# with {}", own.replace('\n', "; ")));
        }
        Ok(all.into_bytes())
    }

    fn prepare(&self, spec: UnitSpec) -> BoxFuture<'_, Result<Arc<dyn Unit>, Failure>> {
        Box::pin(async move {
            let bytes = match spec.source.bytes(&spec.digest) {
                Ok(bytes) => bytes,
                Err(SourceError::Composition(error)) => {
                    let message = format!("it cannot be fused: {error}");
                    return Err(failure(&spec, Phase::Compile, FailureKind::TypeMismatch, &message));
                }
                Err(SourceError::Storage(error)) => panic!("{error}"),
            };
            let text = text(&bytes).unwrap().to_owned();
            if let Some(progress) = spec.progress.as_ref().and_then(std::sync::Weak::upgrade) {
                progress.started(&spec.id, spec.size);
            }
            let unit = TextUnit {
                spec,
                text,
                live: AtomicBool::new(false),
                is_retired: AtomicBool::new(false),
                beside: OnceLock::new(),
                last_used: Mutex::default(),
                machine: self.machine.clone(),
                observer: self.observer.clone(),
                steps: self.steps.clone(),
                starts: self.starts.clone(),
                ill: self.ill.clone(),
                clock: self.clock.clone(),
            };
            if unit.has("fail-link") {
                return Err(unit.failure(Phase::Link, FailureKind::Denied, "wasi:sockets/tcp is not granted"));
            }
            Ok(Arc::new(unit) as Arc<dyn Unit>)
        })
    }

    fn mapped(&self) -> u64 {
        10 * self.machine.live.load(Ordering::SeqCst)
    }

    fn take_usage(&self, _: &mut dyn FnMut(&GateUsage<'_>)) {}
}

fn functions(world: &mut Types, text: &str, before: &str) -> Item {
    const WORDS: [&str; 3] = ["u32", "string", "bool"];
    let mut interface = Interface::default();
    for line in text.lines().filter_map(|line| line.strip_prefix(before)) {
        let (name, signature) = line.split_once(": ").unwrap();
        let (params, result) = signature.split_once(" -> ").unwrap_or((signature, ""));
        let mut ty = |word: &str| {
            let word = WORDS.into_iter().find(|known| *known == word)?;
            Some(world.add(Type::Primitive(word)).unwrap())
        };
        let params = params.split(", ").filter_map(&mut ty).enumerate();
        let params = params.map(|(at, ty)| (format!("p{at}"), ty)).collect();
        let function = Function { is_async: false, params, result: ty(result) };
        interface.functions.insert(name.to_owned(), function);
    }
    Item::Interface(interface)
}

fn text(bytes: &[u8]) -> Result<&str, EngineError> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.starts_with("component") => Ok(text),
        _ => Err(EngineError::NotAComponent { reason: "not a component".to_owned() }),
    }
}

fn failure(spec: &UnitSpec, phase: Phase, kind: FailureKind, message: &str) -> Failure {
    Failure {
        component: spec.id.clone(),
        revision: spec.revision,
        at: Timestamp::default(),
        phase,
        kind,
        message: message.to_owned(),
        function: None,
        backtrace: vec![],
        fuel: None,
        callers: vec![],
        retry_after_ms: None,
        by_caller: false,
    }
}

struct TextUnit {
    spec: UnitSpec,
    text: String,
    live: AtomicBool,
    /// Whether another took its place.
    is_retired: AtomicBool,
    /// What it is since it was left beside another.
    beside: OnceLock<ComponentId>,
    last_used: Mutex<Option<Instant>>,
    machine: Arc<Machine>,
    observer: Arc<Tracker>,
    steps: Arc<Mutex<Vec<String>>>,
    starts: Arc<AtomicUsize>,
    ill: Arc<AtomicBool>,
    clock: Arc<Ticking>,
}

impl TextUnit {
    fn has(&self, word: &str) -> bool {
        let is_ill = self.ill.load(Ordering::SeqCst);
        let has = |line: &str| line == word || (is_ill && line.strip_suffix("-while-ill") == Some(word));
        self.text.lines().any(has)
    }

    fn failure(&self, phase: Phase, kind: FailureKind, message: &str) -> Failure {
        Failure { at: self.clock.now(), component: self.id().clone(), ..failure(&self.spec, phase, kind, message) }
    }

    /// Makes the instance or drops it, and returns whether there was one.
    fn set_live(&self, live: bool) -> bool {
        let was_live = self.live.swap(live, Ordering::SeqCst);
        match (was_live, live) {
            (false, true) => {
                self.machine.live.fetch_add(1, Ordering::SeqCst);
            }
            (true, false) => {
                self.machine.live.fetch_sub(1, Ordering::SeqCst);
            }
            _ => {}
        }
        *self.last_used.lock().unwrap() = live.then(Instant::now);
        was_live
    }

    fn step(&self, what: &str) {
        self.steps.lock().unwrap().push(format!("{what} {}", self.id()));
    }
}

/// A text that is ready to take another's place. What a text remembers is what a line `remembers X` says.
struct TextHandover<'a> {
    new: &'a TextUnit,
    old: Option<&'a TextUnit>,
    started: Started,
    state: Option<Arc<[u8]>>,
}

impl Handover for TextHandover<'_> {
    fn started(&self) -> Started {
        self.started
    }

    fn state(&self) -> Option<Arc<[u8]>> {
        self.state.clone()
    }

    fn settle(self: Box<Self>) -> Settled {
        self.new.step("settle");
        if let Some(old) = self.old {
            old.is_retired.store(true, Ordering::SeqCst);
        }
        Settled { running: 0, paused: Duration::ZERO }
    }

    fn leave_beside(self: Box<Self>, place: Beside) -> Settled {
        self.new.step("settle");
        if let Some(old) = self.old {
            old.step("leave");
            old.beside.set(place.id).unwrap();
        }
        Settled { running: 0, paused: Duration::ZERO }
    }
}

impl TextUnit {
    fn remembered(&self) -> Option<Arc<[u8]>> {
        let said = self.text.lines().find_map(|line| line.strip_prefix("remembers "))?;
        self.live.load(Ordering::SeqCst).then(|| said.as_bytes().into())
    }
}

impl Unit for TextUnit {
    fn id(&self) -> &ComponentId {
        self.beside.get().unwrap_or(&self.spec.id)
    }

    fn revision(&self) -> u32 {
        self.spec.revision
    }

    fn functions(&self) -> &[FunctionSignature] {
        &[]
    }

    fn start(&self) -> BoxFuture<'_, Result<Started, Failure>> {
        Box::pin(async move {
            self.step("start");
            let first = self.starts.fetch_add(1, Ordering::SeqCst) == 0;
            if self.has("fail-start") || (self.has("fail-start-once") && first) {
                return Err(self.failure(Phase::Activate, FailureKind::Err, "not today"));
            }
            self.set_live(true);
            Ok(Started { fuel: 7, duration: Duration::ZERO })
        })
    }

    fn take_over<'a>(
        &'a self,
        old: Option<&'a dyn Unit>,
        how: TakeOver,
    ) -> BoxFuture<'a, Result<Box<dyn Handover + 'a>, Failure>> {
        Box::pin(async move {
            let old = old.and_then(|old| old.as_any().downcast_ref::<Self>());
            let is_cold = old.is_none_or(|old| !old.live.load(Ordering::SeqCst));
            let started = if how.is_lazy && is_cold { Started::default() } else { self.start().await? };
            if self.has("unhealthy") {
                return Err(self.failure(Phase::Health, FailureKind::Err, "low on air"));
            }
            let state = old.and_then(Self::remembered);
            Ok(Box::new(TextHandover { new: self, old, started, state }) as Box<dyn Handover + 'a>)
        })
    }

    fn reroute(&self, import: &str, to: &Arc<Slot>) {
        self.step(&format!("lead {import} to {} of", to.id()));
    }

    fn lead(&self, from: &Arc<Slot>, to: &Arc<Slot>) {
        assert!(self.leads_to(from));
        self.step(&format!("lead {} to {} of", from.id(), to.id()));
    }

    /// As it was linked: what it was led to since is not kept in mind.
    fn leads_to(&self, place: &Arc<Slot>) -> bool {
        self.spec.links.iter().any(|link| Arc::ptr_eq(&link.provider, place))
    }

    fn retire(&self) {
        self.is_retired.store(true, Ordering::SeqCst);
    }

    fn drain(&self, _: Drain) -> BoxFuture<'_, Drained> {
        Box::pin(async move {
            if self.set_live(false) {
                self.step("drain");
            }
            Drained::default()
        })
    }

    fn call(&self, request: CallRequest) -> BoxFuture<'_, Result<CallOutcome, EngineError>> {
        Box::pin(async move {
            if self.is_retired.load(Ordering::SeqCst) {
                return Err(EngineError::Replaced(Box::new(request)));
            }
            assert!(!request.caller.call_id.is_none(), "each call has an id");
            let CallExpression::Wave(wave) = request.expression else {
                return Err(EngineError::BadArguments { reason: "only WAVE here".to_owned(), signature: None });
            };
            let was_live = self.set_live(true);
            let ok = !self.has("fail-call");
            self.observer.called(CallRecord {
                component: self.id(),
                caller: None,
                ended: Instant::now(),
                duration: Duration::from_micros(5),
                fuel: 3,
                ok,
                instance_hit: Some(was_live),
            });
            if !ok {
                self.set_live(false);
                let failure = self.failure(Phase::Call, FailureKind::Trap, "unreachable");
                self.observer.failed(failure.clone());
                return Err(EngineError::Failed(Box::new(failure)));
            }
            Ok(CallOutcome {
                function: wave.as_str().into(),
                // How many others it is made of.
                json: self.text.matches("\n# with ").count().into(),
                wave: format!("{wave} by revision {}", self.spec.revision),
                fuel: 3,
                duration: Duration::from_micros(5),
            })
        })
    }

    fn check_health(&self, _: Option<Duration>) -> BoxFuture<'_, Result<Option<()>, Failure>> {
        Box::pin(async move {
            if !self.has("unhealthy") {
                return Ok(self.text.contains("registry:component/health").then_some(()));
            }
            let failure = self.failure(Phase::Health, FailureKind::Err, "low on air");
            self.observer.failed(failure.clone());
            Err(failure)
        })
    }

    fn stop(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.set_live(false) {
                self.step("stop");
            }
        })
    }

    fn shed(&self, idle: Duration) -> BoxFuture<'_, usize> {
        Box::pin(async move {
            let InstanceCount { live, busy: 0, last_used } = self.instances() else { return 0 };
            if live == 0 || last_used.is_some_and(|last| last.elapsed() < idle) {
                return 0;
            }
            self.stop().await;
            live
        })
    }

    fn instances(&self) -> InstanceCount {
        let live = usize::from(self.live.load(Ordering::SeqCst));
        let busy = if self.has("busy") { live } else { 0 };
        InstanceCount { live, busy, last_used: *self.last_used.lock().unwrap() }
    }

    fn instance_state(&self) -> InstanceState {
        if self.live.load(Ordering::SeqCst) { InstanceState::Live } else { InstanceState::Cold }
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync> {
        self
    }
}

/// A registry on stand-ins, and what the tests look at beside it.
pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) steps: Arc<Mutex<Vec<String>>>,
    pub(crate) machine: Arc<Machine>,
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) ill: Arc<AtomicBool>,
    pub(crate) clock: Arc<Ticking>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with_settings("").await
    }

    pub(crate) async fn with_settings(settings: &str) -> Self {
        let clock = Arc::new(Ticking::default());
        let state = Arc::new(MemoryStore::new(clock.clone()));
        Self::on(state, clock, settings).await
    }

    /// A registry as another process would open it, on state that is there.
    pub(crate) async fn on(state: Arc<MemoryStore>, clock: Arc<Ticking>, settings: &str) -> Self {
        let settings = Settings(Mutex::new(Some(settings.to_owned())));
        Self::of(state, Arc::new(Blobs::default()), Arc::new(settings), None, clock).await
    }

    /// A registry in the data folder that `storage` has.
    pub(crate) async fn in_folder(storage: &storage::Storage) -> Self {
        let (state, blobs, settings) = (storage.state.clone(), storage.blobs.clone(), storage.settings.clone());
        Self::of(state, blobs, settings, Some(storage.upkeep.clone()), Arc::new(Ticking::default())).await
    }

    pub(crate) async fn of(
        state: Arc<dyn StateStore>,
        blobs: Arc<dyn BlobStore>,
        settings: Arc<dyn SettingsStore>,
        upkeep: Option<Arc<dyn Upkeep>>,
        clock: Arc<Ticking>,
    ) -> Self {
        let tracker = Arc::new(Tracker::new(clock.clone()));
        let steps = Arc::new(Mutex::new(Vec::new()));
        let machine = Arc::new(Machine::default());
        let ill = Arc::new(AtomicBool::new(false));
        let engine = TextEngine {
            observer: tracker.clone(),
            steps: steps.clone(),
            starts: Arc::default(),
            machine: machine.clone(),
            ill: ill.clone(),
            clock: clock.clone(),
        };
        // What is due is done when a test says so.
        let mut builder = Registry::builder().unsupervised();
        if let Some(upkeep) = upkeep {
            builder = builder.upkeep(upkeep);
        }
        let registry = builder
            .state(state)
            .blobs(blobs)
            .engine(Arc::new(engine))
            .clock(clock.clone())
            .settings(settings)
            .output(Arc::new(NoOutput))
            .tracker(tracker.clone())
            .process_limits(machine.clone())
            .actor(Actor::Api("test".to_owned()))
            .open()
            .await
            .unwrap();
        Self { registry, steps, machine, tracker, ill, clock }
    }

    /// Registers a component given as lines after `component`.
    pub(crate) async fn register(&self, lines: &str) -> Result<registry::Registered, registry::RegistryError> {
        self.registry.register(component(lines)).await
    }

    /// Registers and expects it to work.
    pub(crate) async fn have(&self, lines: &str) -> registry::Registered {
        self.register(lines).await.unwrap()
    }

    pub(crate) async fn activate(&self, text: &str) -> registry::ActivateReport {
        let target = self.registry.resolve(text).await.unwrap();
        self.registry.activate(&[target]).await
    }

    pub(crate) async fn status(&self, text: &str) -> domain::Status {
        self.registry.get(&id(text)).await.unwrap().entry.status
    }

    /// The names of all events in the journal.
    pub(crate) async fn events(&self) -> Vec<&'static str> {
        let records = self.registry.records(0, 10_000).await.unwrap();
        records.iter().map(|record| record.event.name()).collect()
    }
}

pub(crate) fn component(lines: &str) -> RegisterRequest {
    RegisterRequest::bytes("test", format!("component\n{lines}").into_bytes())
}

pub(crate) fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}
