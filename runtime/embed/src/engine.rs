//! The engine, started when something first needs it.
//!
//! Starting one costs as much as opening a small registry, and a short command that only reads never needs it.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use domain::inspection::Inspection;
use domain::ports::{
    BoxFuture, Clock, CodeCache, CompileProgress, Engine, EngineError, EngineObserver, FusePart, GateUsage, OutputSink,
    Unit, UnitSpec,
};
use domain::settings::CompileSettings;
use domain::world::World;
use domain::{Failure, FailureKind, Phase};
use engine::{CompileParts, CompileWith, EngineParts, EngineSettings, OnWarning, WasmtimeEngine};

/// What the engine is made of, and the engine once it was needed.
pub(crate) struct LazyEngine {
    pub(crate) settings: EngineSettings,
    pub(crate) code: Arc<dyn CodeCache>,
    pub(crate) observer: Arc<dyn EngineObserver>,
    pub(crate) output: Arc<dyn OutputSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) progress: Option<Arc<dyn CompileProgress>>,
    pub(crate) compile_with: CompileWith,
    pub(crate) compile: CompileSettings,
    pub(crate) on_warning: Option<Arc<OnWarning>>,
    pub(crate) started: OnceLock<Result<WasmtimeEngine, EngineError>>,
}

impl LazyEngine {
    fn engine(&self) -> Result<&WasmtimeEngine, EngineError> {
        let start = || {
            WasmtimeEngine::new(EngineParts {
                settings: self.settings,
                code: self.code.clone(),
                observer: self.observer.clone(),
                output: self.output.clone(),
                clock: self.clock.clone(),
                capabilities: capabilities::default_set(),
                progress: self.progress.clone(),
                compile: CompileParts {
                    with: self.compile_with.clone(),
                    settings: self.compile,
                    on_warning: self.on_warning.clone(),
                },
            })
            .map_err(|error| EngineError::Unusable { reason: error.to_string() })
        };
        self.started.get_or_init(start).as_ref().map_err(Clone::clone)
    }
}

impl Engine for LazyEngine {
    fn inspect(&self, bytes: &[u8]) -> Result<Inspection, EngineError> {
        self.engine()?.inspect(bytes)
    }

    fn to_binary<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, EngineError> {
        self.engine()?.to_binary(bytes)
    }

    fn wit(&self, bytes: &[u8]) -> Result<String, EngineError> {
        self.engine()?.wit(bytes)
    }

    fn world(&self, bytes: &[u8]) -> Result<World, EngineError> {
        self.engine()?.world(bytes)
    }

    fn compose(&self, root: &FusePart, parts: &[FusePart]) -> Result<Vec<u8>, EngineError> {
        self.engine()?.compose(root, parts)
    }

    fn prepare(&self, spec: UnitSpec) -> BoxFuture<'_, Result<Arc<dyn Unit>, Failure>> {
        match self.engine() {
            Ok(engine) => engine.prepare(spec),
            Err(error) => {
                let failure = Failure {
                    component: spec.id,
                    revision: spec.revision,
                    at: self.clock.now(),
                    phase: Phase::Compile,
                    kind: FailureKind::Host,
                    message: error.to_string(),
                    function: None,
                    backtrace: Vec::new(),
                    fuel: None,
                    callers: Vec::new(),
                    retry_after_ms: None,
                    by_caller: false,
                };
                Box::pin(std::future::ready(Err(failure)))
            }
        }
    }

    fn mapped(&self) -> u64 {
        // Without an engine nothing was loaded.
        self.started.get().and_then(|started| started.as_ref().ok()).map_or(0, Engine::mapped)
    }

    fn take_usage(&self, take: &mut dyn FnMut(&GateUsage<'_>)) {
        // Without an engine nothing was called.
        if let Some(Ok(engine)) = self.started.get() {
            engine.take_usage(take);
        }
    }
}
