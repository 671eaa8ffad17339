//! Native code: from the cache, or made now and cached.

use std::hash::{Hash, Hasher};
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Weak};

use domain::call::Caller;
use domain::failure::FailureKind;
use domain::manifest::InstanceMode;
use domain::ports::{CodeKey, CompileProgress, EngineError, Refusal, SourceError, UnitSpec};
use domain::text::{escape_line, truncate};
use domain::units::format_duration;
use domain::{Failure, Phase};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::compile::{Broken, Made, Memorable, Order, Sink};
use crate::engine::Shared;
use crate::failure::Scene;
use crate::inspect;
use crate::layout::text_apart;
use crate::lines::{self, SourceLines};
use crate::settings::OWN_THREADS_FROM;

/// Returns a word that differs whenever the compiler, its settings or this crate's version do.
pub(crate) fn engine_key(engine: &wasmtime::Engine) -> String {
    let mut hasher = StableHasher(Sha256::new());
    env!("CARGO_PKG_VERSION").hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let digest = hasher.0.finalize();
    digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect()
}

/// Feeds everything that is hashed to SHA-256, so that the result is the same in every process.
struct StableHasher(Sha256);

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        let digest = self.0.clone().finalize();
        digest.iter().take(8).fold(0, |word, byte| (word << 8) | u64::from(*byte))
    }
}

/// A component's code, and where it comes from.
pub(crate) struct Loaded {
    pub(crate) component: Component,
    pub(crate) lines: SourceLines,
}

/// Returns the compiled component. What is cached is mapped right here, which costs less than a change of threads; compiling
/// happens in a worker, or on a thread that may block.
///
/// # Cancel safety
/// Dropping the future gives up the wait for a place, or ends the worker.
pub(crate) async fn load(shared: &Arc<Shared>, spec: &UnitSpec) -> Result<Loaded, Failure> {
    let nobody = Caller::default();
    let scene = Scene { shared, component: &spec.id, revision: spec.revision, caller: &nobody, lines: None };
    let failed = |(kind, message): (FailureKind, String)| scene.failure(Phase::Compile, kind, &message);
    let key = CodeKey { component: spec.digest, engine: shared.code_key.clone() };
    let mode = spec.instances.mode;
    if let Some(known) = known(shared, &key, mode) {
        return known.map_err(failed);
    }
    let place = shared.compiler.place(spec.size).await;
    // While this one waited, somebody else may have compiled the same bytes, or failed to.
    if let Some(known) = known(shared, &key, mode) {
        return known.map_err(failed);
    }
    // Dropped with this future, its other end wakes whoever waits for the worker.
    let (_wanted, cancelled) = UnixStream::pair()
        .map_err(|error| failed((FailureKind::Host, format!("the compile worker cannot be reached: {error}"))))?;
    let (job_shared, job_spec) = (Arc::clone(shared), spec.clone());
    let made = tokio::task::spawn_blocking(move || {
        let _place = place;
        make(&job_shared, &job_spec, &key, &cancelled)
    });
    if !shared.compiler.is_here() {
        return match made.await {
            Ok(made) => made.map_err(failed),
            Err(died) => Err(failed((FailureKind::Host, format!("waiting for the compile worker died: {died}")))),
        };
    }
    let wall = shared.compiler.settings().wall();
    match tokio::time::timeout(wall, made).await {
        Ok(Ok(made)) => made.map_err(failed),
        Ok(Err(panicked)) => Err(failed((FailureKind::Host, format!("the compiler broke off: {panicked}")))),
        // The thread cannot be stopped; what it makes is kept for the next time.
        Err(_) => {
            let message = format!("the component was not compiled after {}", format_duration(wall));
            Err(failed((FailureKind::Limit, message)))
        }
    }
}

/// Returns what is known of the component: its code, or why there is none.
fn known(shared: &Shared, key: &CodeKey, mode: InstanceMode) -> Option<Result<Loaded, (FailureKind, String)>> {
    if let Some(component) = cached(shared, key, mode) {
        return Some(Ok(Loaded { component, lines: SourceLines::cached(key.clone()) }));
    }
    if shared.compiler.is_here() {
        // Whoever trusts the components wants them tried.
        return None;
    }
    let refusal = shared.code.refusal(key, &shared.compiler.limits_word(), shared.clock.now())?;
    let again = match refusal.until {
        Some(until) => format!("refused before, at {}, and not tried again until {until}", refusal.at),
        None => format!("refused before, at {}, and not tried again under the same limits", refusal.at),
    };
    Some(Err((refusal.kind, format!("{} ({again})", refusal.reason))))
}

fn cached(shared: &Shared, key: &CodeKey, mode: InstanceMode) -> Option<Component> {
    let path = shared.code.find(key)?;
    let loaded = load_with(shared, mode, |engine| deserialize_file(engine, &path));
    if loaded.is_err() {
        // Made by another build, or damaged: it is only a cache.
        shared.code.remove(key);
    }
    loaded.ok()
}

/// Loads code into the engine that suits `mode`; one that does not fit the places of the pooled engine, into the other.
fn load_with(
    shared: &Shared,
    mode: InstanceMode,
    load: impl Fn(&wasmtime::Engine) -> wasmtime::Result<Component>,
) -> wasmtime::Result<Component> {
    if mode == InstanceMode::PerCall
        && let Some(engine) = shared.pooled()
        && let Ok(component) = load(engine)
    {
        return Ok(component);
    }
    load(&shared.engine)
}

fn make(
    shared: &Shared,
    spec: &UnitSpec,
    key: &CodeKey,
    cancelled: &UnixStream,
) -> Result<Loaded, (FailureKind, String)> {
    let bytes = spec.source.bytes(&spec.digest).map_err(|error| match error {
        SourceError::Storage(error) => (FailureKind::Host, format!("the component's bytes cannot be read: {error}")),
        SourceError::Composition(error) => (FailureKind::TypeMismatch, not_composed(&error)),
    })?;
    inspect::precheck(&bytes, shared.compiler.settings()).map_err(|error| invalid(&error.to_string()))?;
    let _reported = Reported::begin(shared, spec);
    let (made, lines) = if shared.compiler.is_here() {
        make_here(shared, &bytes, key)?
    } else {
        let order = Order { engine_key: &shared.code_key, settings: shared.settings, wasm: &bytes, cancelled };
        make_apart(shared, &order, key)?
    };
    let loaded = load_with(shared, spec.instances.mode, |engine| match &made {
        Made::Cached(path) => deserialize_file(engine, path),
        Made::Loose(code) => deserialize(engine, code),
    });
    let component = loaded.map_err(|error| {
        if let Made::Cached(_) = made {
            shared.code.remove(key);
        }
        (FailureKind::Host, format!("freshly compiled code was refused: {error:#}"))
    })?;
    let lines = match made {
        Made::Cached(_) => SourceLines::cached(key.clone()),
        Made::Loose(_) => SourceLines::loose(key.clone(), lines, &shared.lines_room),
    };
    Ok(Loaded { component, lines })
}

/// Has a worker compile. Where the cache cannot be written, code is made for this process alone.
fn make_apart(shared: &Shared, order: &Order<'_>, key: &CodeKey) -> Result<Compiled, (FailureKind, String)> {
    let into = |mut sink: Sink<'_>| {
        let lines = shared.compiler.compile(order, &mut sink)?;
        keep_lines(shared, key, lines.as_deref());
        Ok((sink.finish().map_err(Broken::Sink)?, lines))
    };
    let made = match Sink::cache(&*shared.code, key).map_err(Broken::Sink).and_then(into) {
        // Without a cache the next process compiles again: slower, not wrong.
        Err(Broken::Sink(_)) => into(Sink::Memory(Vec::new())),
        made => made,
    };
    made.map_err(|broken| {
        let size = order.wasm.len() as u64;
        let (kind, reason) = broken.said(&shared.compiler.allowance(size), size);
        let at = shared.clock.now();
        let until = match broken.memorable() {
            Memorable::No => return (kind, reason),
            Memorable::Always => None,
            Memorable::For(time) => Some(at.after(time)),
        };
        let limits = shared.compiler.limits_word();
        shared.code.refuse(key, &Refusal { kind, reason: reason.clone(), limits, at, until });
        (kind, reason)
    })
}

fn make_here(shared: &Shared, bytes: &[u8], key: &CodeKey) -> Result<Compiled, (FailureKind, String)> {
    let code = compile(shared, bytes)?;
    let make = || lines::are_there(bytes).then(|| lines::make(bytes)).flatten();
    // They are worth less than the code, whatever befalls whoever reads them.
    let lines = catch_unwind(AssertUnwindSafe(make)).ok().flatten();
    keep_lines(shared, key, lines.as_deref());
    // Without a cache the next process compiles again: slower, not wrong.
    Ok((shared.code.store(key, &code).map_or_else(|_| Made::Loose(code), Made::Cached), lines))
}

/// Code, and the table of its source lines if there is one.
type Compiled = (Made, Option<Vec<u8>>);

/// Keeps source lines before the code they are of, so that code which is found has its lines.
fn keep_lines(shared: &Shared, key: &CodeKey, lines: Option<&[u8]>) {
    if let Some(lines) = lines {
        // Without them backtraces say less; nothing else is lost.
        let _ = shared.code.keep_lines(key, lines);
    }
}

/// Says that a compilation is over, however it ends.
struct Reported<'a> {
    shared: &'a Shared,
    spec: &'a UnitSpec,
}

impl<'a> Reported<'a> {
    fn begin(shared: &'a Shared, spec: &'a UnitSpec) -> Self {
        let reported = Self { shared, spec };
        reported.tell(|progress| progress.started(&spec.id, spec.size));
        reported
    }

    /// Tells everything to the engine's own listener, and what somebody waits for to whoever still does.
    fn tell(&self, say: impl Fn(&dyn CompileProgress)) {
        if let Some(progress) = &self.shared.progress {
            say(&**progress);
        }
        if let Some(progress) = self.spec.progress.as_ref().and_then(Weak::upgrade) {
            say(&*progress);
        }
    }
}

impl Drop for Reported<'_> {
    fn drop(&mut self) {
        self.tell(|progress| progress.finished(&self.spec.id));
    }
}

fn not_composed(error: &EngineError) -> String {
    format!("it cannot be fused: {error}")
}

fn invalid(reason: &str) -> (FailureKind, String) {
    let reason = escape_line(&truncate(reason, 1_000)).into_owned();
    (FailureKind::InvalidBinary, format!("the component cannot be compiled: {reason}"))
}

/// Compiles in this process.
fn compile(shared: &Shared, bytes: &[u8]) -> Result<Vec<u8>, (FailureKind, String)> {
    let compile = || shared.engine.precompile_component(bytes).map_err(|error| invalid(&format!("{error:#}")));
    let work = || compile().map(text_apart);
    if bytes.len() < OWN_THREADS_FROM {
        return work();
    }
    // Else the functions of a small component would wait until those of a large one are done.
    match rayon::ThreadPoolBuilder::new().thread_name(|_| "compile".to_owned()).build() {
        Ok(threads) => threads.install(work),
        Err(_) => work(),
    }
}

/// Maps a file of the code cache.
#[expect(unsafe_code, reason = "native code can only be loaded by trusting its file")]
fn deserialize_file(engine: &wasmtime::Engine, path: &Path) -> wasmtime::Result<Component> {
    // SAFETY: the file comes from the code cache, whose folder only this user can write and into which only `store`
    // and `begin` put files, each made by this engine's compiler, here or in a worker, from validated bytes. Nothing from outside ever gets there, and
    // files are replaced whole, never changed in place while mapped.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Loads code that was compiled a moment ago.
#[expect(unsafe_code, reason = "native code can only be loaded by trusting its bytes")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what `precompile_component` of the same engine has just returned, in this process or in a worker
    // that this process has started, with the parts of it in another order.
    unsafe { Component::deserialize(engine, code) }
}
