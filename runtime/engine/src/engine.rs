//! The engine itself: what all components share.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};

use domain::Failure;
use domain::inspection::Inspection;
use domain::ports::{
    BoxFuture, Clock, CodeCache, CompileProgress, Engine, EngineError, EngineObserver, FusePart, GateUsage, OutputSink,
    Unit, UnitSpec,
};
use domain::world::World;

use crate::capability::Capability;
use crate::compile::{CompileParts, Compiler};
use crate::epoch::Ticker;
use crate::ledger::Ledger;
use crate::lines::Room;
use crate::mapped::Mapped;
use crate::resource::Interner;
use crate::settings::EngineSettings;
use crate::{code, compose, config, inspect, link};

/// What an engine is made of.
pub struct EngineParts {
    /// What the operator chose.
    pub settings: EngineSettings,
    /// Keeps compiled code for the next process.
    pub code: Arc<dyn CodeCache>,
    /// Hears of failures and calls.
    pub observer: Arc<dyn EngineObserver>,
    /// Takes what guests print and log.
    pub output: Arc<dyn OutputSink>,
    /// Tells the time that failures and lines of output carry.
    pub clock: Arc<dyn Clock>,
    /// What guests may ask of the host.
    pub capabilities: Vec<Arc<dyn Capability>>,
    /// Hears of compilations, if anybody wants to.
    pub progress: Option<Arc<dyn CompileProgress>>,
    /// Where and under which bounds components are compiled.
    pub compile: CompileParts,
}

/// Runs components with wasmtime, each instance in a store of its own.
///
/// Its futures must be polled inside a tokio runtime with time enabled. A thread that moves the epoch begins with the
/// first instance and ends with the engine.
#[derive(Clone)]
pub struct WasmtimeEngine {
    shared: Arc<Shared>,
}

/// What the engine's parts have in common.
pub(crate) struct Shared {
    pub(crate) engine: wasmtime::Engine,
    /// Made when the first component is that wants it; `None` where the system has no room for its places.
    pooled: OnceLock<Option<wasmtime::Engine>>,
    pub(crate) settings: EngineSettings,
    pub(crate) code: Arc<dyn CodeCache>,
    pub(crate) observer: Arc<dyn EngineObserver>,
    pub(crate) output: Arc<dyn OutputSink>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) capabilities: Vec<Arc<dyn Capability>>,
    pub(crate) progress: Option<Arc<dyn CompileProgress>>,
    pub(crate) compiler: Compiler,
    /// Names everything about this engine that shapes native code.
    pub(crate) code_key: String,
    /// Memory for source lines.
    pub(crate) lines_room: Arc<Room>,
    /// Mappings of all code and instances.
    pub(crate) mapped: Mapped,
    pub(crate) ticker: Ticker,
    pub(crate) ledger: Ledger,
    /// Numbers of the resource types that components define.
    pub(crate) resources: Interner,
}

/// The engine could not be made.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// This machine or these settings do not suit the compiler.
    #[error("the engine cannot start: {reason}")]
    Unusable {
        /// What wasmtime said.
        reason: String,
    },
}

impl WasmtimeEngine {
    /// Makes an engine.
    ///
    /// # Errors
    /// [`StartError::Unusable`] on a machine for which the compiler cannot make code.
    pub fn new(parts: EngineParts) -> Result<Self, StartError> {
        let engine = wasmtime::Engine::new(&config::config(&parts.settings))
            .map_err(|error| StartError::Unusable { reason: format!("{error:#}") })?;
        let code_key = code::engine_key(&engine);
        Ok(Self {
            shared: Arc::new(Shared {
                engine,
                pooled: OnceLock::new(),
                settings: parts.settings,
                code: parts.code,
                observer: parts.observer,
                output: parts.output,
                clock: parts.clock,
                capabilities: parts.capabilities,
                progress: parts.progress,
                compiler: Compiler::new(parts.compile),
                code_key,
                lines_room: Arc::default(),
                mapped: Mapped::default(),
                ticker: Ticker::default(),
                ledger: Ledger::default(),
                resources: Interner::default(),
            }),
        })
    }

    /// Returns the word under which this engine's native code is kept; another engine with the same word can use it.
    pub fn code_key(&self) -> &str {
        &self.shared.code_key
    }
}

impl Shared {
    /// Returns the engine that has places ready for instances which serve one call each, if there can be one.
    pub(crate) fn pooled(&self) -> Option<&wasmtime::Engine> {
        let make = || {
            let engine = wasmtime::Engine::new(&config::pooled(&self.settings)).ok()?;
            self.ticker.add(&engine);
            Some(engine)
        };
        self.pooled.get_or_init(make).as_ref()
    }
}

impl Engine for WasmtimeEngine {
    fn inspect(&self, bytes: &[u8]) -> Result<Inspection, EngineError> {
        inspect::inspect(bytes, &self.shared.settings, self.shared.compiler.settings())
    }

    fn to_binary<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>, EngineError> {
        inspect::to_binary(bytes, self.shared.compiler.settings())
    }

    fn wit(&self, bytes: &[u8]) -> Result<String, EngineError> {
        inspect::wit(bytes, &self.shared.settings, self.shared.compiler.settings())
    }

    fn world(&self, bytes: &[u8]) -> Result<World, EngineError> {
        inspect::types(bytes, &self.shared.settings)
    }

    fn compose(&self, root: &FusePart, parts: &[FusePart]) -> Result<Vec<u8>, EngineError> {
        compose::compose(root, parts, self.shared.compiler.settings())
    }

    fn prepare(&self, spec: UnitSpec) -> BoxFuture<'_, Result<Arc<dyn Unit>, Failure>> {
        Box::pin(async move {
            let loaded = code::load(&self.shared, &spec).await?;
            let unit: Arc<dyn Unit> = Arc::new(link::prepare(&self.shared, spec, loaded).map_err(|failure| *failure)?);
            Ok(unit)
        })
    }

    fn mapped(&self) -> u64 {
        self.shared.mapped.count()
    }

    fn take_usage(&self, take: &mut dyn FnMut(&GateUsage<'_>)) {
        self.shared.ledger.take(take);
    }
}
