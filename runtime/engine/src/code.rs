//! Native code: from the cache, or made now and cached.

use std::hash::{Hash, Hasher};
use std::path::Path;
use std::sync::{Arc, Weak};

use domain::call::Caller;
use domain::failure::FailureKind;
use domain::ports::{CodeKey, CompileProgress, UnitSpec};
use domain::text::{escape_line, truncate};
use domain::{Failure, Phase};
use sha2::{Digest as _, Sha256};
use wasmtime::component::Component;

use crate::engine::Shared;
use crate::failure::Scene;
use crate::inspect;
use crate::settings::{COMPILE_TIME_MAX, OWN_THREADS_FROM};

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

/// Returns the compiled component. What is cached is mapped right here, which costs less than a change of threads; compiling
/// happens on a thread that may block.
pub(crate) async fn load(shared: &Arc<Shared>, spec: &UnitSpec) -> Result<Component, Failure> {
    let key = CodeKey { component: spec.digest, engine: shared.code_key.clone() };
    if let Some(component) = cached(shared, &key) {
        return Ok(component);
    }
    let (job_shared, job_spec) = (Arc::clone(shared), spec.clone());
    let made = tokio::task::spawn_blocking(move || make(&job_shared, &job_spec, &key));
    let loaded = tokio::time::timeout(COMPILE_TIME_MAX, made).await;
    let nobody = Caller::default();
    let scene = Scene { shared, component: &spec.id, revision: spec.revision, caller: &nobody };
    match loaded {
        Ok(Ok(Ok(component))) => Ok(component),
        Ok(Ok(Err((kind, message)))) => Err(scene.failure(Phase::Compile, kind, &message)),
        Ok(Err(panicked)) => {
            Err(scene.failure(Phase::Compile, FailureKind::Host, &format!("the compiler broke off: {panicked}")))
        }
        // The thread cannot be stopped; what it makes is kept for the next time.
        Err(_) => {
            let message = format!("the component was not compiled after {} s", COMPILE_TIME_MAX.as_secs());
            Err(scene.failure(Phase::Compile, FailureKind::Limit, &message))
        }
    }
}

fn cached(shared: &Shared, key: &CodeKey) -> Option<Component> {
    let path = shared.code.find(key)?;
    let loaded = deserialize_file(&shared.engine, &path);
    if loaded.is_err() {
        // Made by another build, or damaged: it is only a cache.
        shared.code.remove(key);
    }
    loaded.ok()
}

fn make(shared: &Shared, spec: &UnitSpec, key: &CodeKey) -> Result<Component, (FailureKind, String)> {
    let bytes = spec
        .source
        .bytes(&spec.digest)
        .map_err(|error| (FailureKind::Host, format!("the component's bytes cannot be read: {error}")))?;
    let _reported = Reported::begin(shared, spec);
    let code = compile(shared, &bytes)?;
    // Without a cache the next process compiles again: slower, not wrong.
    if let Ok(path) = shared.code.store(key, &code)
        && let Ok(component) = deserialize_file(&shared.engine, &path)
    {
        return Ok(component);
    }
    deserialize(&shared.engine, &code)
        .map_err(|error| (FailureKind::Host, format!("freshly compiled code was refused: {error:#}")))
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

fn compile(shared: &Shared, bytes: &[u8]) -> Result<Vec<u8>, (FailureKind, String)> {
    let invalid = |reason: &str| {
        let reason = escape_line(&truncate(reason, 1_000)).into_owned();
        (FailureKind::InvalidBinary, format!("the component cannot be compiled: {reason}"))
    };
    inspect::precheck(bytes).map_err(|error| invalid(&error.to_string()))?;
    let work = || shared.engine.precompile_component(bytes).map_err(|error| invalid(&format!("{error:#}")));
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
    // puts files, each made by this engine's compiler from validated bytes. Nothing from outside ever gets there, and
    // files are replaced whole, never changed in place while mapped.
    unsafe { Component::deserialize_file(engine, path) }
}

/// Loads code that was compiled a moment ago.
#[expect(unsafe_code, reason = "native code can only be loaded by trusting its bytes")]
fn deserialize(engine: &wasmtime::Engine, code: &[u8]) -> wasmtime::Result<Component> {
    // SAFETY: the bytes are what `precompile_component` of the same engine has just returned, in this process.
    unsafe { Component::deserialize(engine, code) }
}
