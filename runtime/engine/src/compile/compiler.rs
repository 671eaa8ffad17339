//! The host's side of compilation: where it happens, under which bounds, and where the code goes.

use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use domain::ports::{CodeCache, CodeKey, CodeWriter, StorageError};
use domain::settings::CompileSettings;

use super::allowance::Allowance;
use super::job::{Job, PROTOCOL, Ready};
use super::outcome::Broken;
use super::places::{Place, Places};
use super::process::{self, Request};
use super::{CompileParts, CompileWith};
use crate::settings::{EngineSettings, OWN_THREADS_FROM};

/// Fewest compilations that run at once unless the settings say another number, so that a small one need not wait for a large one.
const PLACES_MIN: usize = 2;

/// Compiles for one engine.
pub(crate) struct Compiler {
    parts: CompileParts,
    places: Places,
    /// Whether people were told what this machine does not offer.
    has_warned: AtomicBool,
}

/// Where code goes as it comes.
pub(crate) enum Sink<'a> {
    /// To the cache.
    Cache(Box<dyn CodeWriter + 'a>),
    /// To this process alone, where there is no cache to put it.
    Memory(Vec<u8>),
}

/// Code that is whole.
pub(crate) enum Made {
    /// In a file of the cache.
    Cached(PathBuf),
    /// In this process.
    Loose(Vec<u8>),
}

impl<'a> Sink<'a> {
    /// Makes a sink into the cache.
    ///
    /// # Errors
    /// [`StorageError`] if the disk refuses.
    pub(crate) fn cache(cache: &'a dyn CodeCache, key: &CodeKey) -> Result<Self, StorageError> {
        cache.begin(key).map(Self::Cache)
    }

    fn write(&mut self, piece: &[u8]) -> Result<(), StorageError> {
        match self {
            Self::Cache(writer) => writer.write(piece),
            Self::Memory(code) => {
                code.extend_from_slice(piece);
                Ok(())
            }
        }
    }

    /// Says that the code is whole.
    ///
    /// # Errors
    /// [`StorageError`] if the disk refuses.
    pub(crate) fn finish(self) -> Result<Made, StorageError> {
        match self {
            Self::Cache(writer) => writer.finish().map(Made::Cached),
            Self::Memory(code) => Ok(Made::Loose(code)),
        }
    }
}

impl Compiler {
    /// Makes a compiler that has nothing to do yet.
    pub(crate) fn new(parts: CompileParts) -> Self {
        let count = parts.settings.workers.map_or_else(|| threads().max(PLACES_MIN), |count| count as usize);
        Self { places: Places::new(count), parts, has_warned: AtomicBool::new(false) }
    }

    /// Tells whether compilations run in this process.
    pub(crate) fn is_here(&self) -> bool {
        self.parts.with == CompileWith::ThisProcess
    }

    /// Returns the settings.
    pub(crate) fn settings(&self) -> &CompileSettings {
        &self.parts.settings
    }

    /// Returns what a component of `size` bytes may use.
    pub(crate) fn allowance(&self, size: u64) -> Allowance {
        Allowance::of(&self.parts.settings, size)
    }

    /// Returns the bounds as one word: what was refused under other bounds is tried again.
    pub(crate) fn limits_word(&self) -> String {
        let CompileSettings { memory_bytes, cpu_ms, wall_ms, .. } = self.parts.settings;
        format!("memory={memory_bytes},cpu={cpu_ms},wall={wall_ms}")
    }

    /// Waits until a component of `size` bytes may be compiled.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait.
    pub(crate) async fn place(&self, size: u64) -> Option<Place> {
        self.places.take(size).await
    }

    /// Has a worker compile `wasm`, and hands the code to `sink` as it comes. Returns the table of its source lines, if there is one. Blocks; ends soon after `cancelled` can be read, which it
    /// can be once its other end is dropped.
    ///
    /// # Errors
    /// [`Broken`]; what `sink` has got then is worth nothing.
    pub(crate) fn compile(&self, order: &Order<'_>, sink: &mut Sink<'_>) -> Result<Option<Vec<u8>>, Broken> {
        let program = self.program()?;
        let size = order.wasm.len() as u64;
        let allowance = self.allowance(size);
        let job = Job {
            protocol: PROTOCOL,
            engine: order.engine_key.to_owned(),
            memory64: order.settings.memory64,
            size,
            // A second thread costs a small component more than it saves.
            threads: if order.wasm.len() < OWN_THREADS_FROM { 1 } else { threads() },
            memory_bytes: allowance.memory_bytes,
            cpu_s: allowance.cpu.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX),
        };
        let cancelled = order.cancelled;
        let request = Request { program, job: &job, wasm: order.wasm, wall: allowance.wall, cancelled };
        let answered = process::run(&request, &mut |piece| sink.write(piece).map_err(Broken::Sink))?;
        self.warn(&answered.ready);
        Ok(answered.lines)
    }

    fn program(&self) -> Result<&Path, Broken> {
        match &self.parts.with {
            CompileWith::Worker { program } => Ok(program),
            CompileWith::Nowhere { reason } => Err(Broken::NoWorker { reason: reason.clone() }),
            // Asked for by nobody: this process compiles without a worker then.
            CompileWith::ThisProcess => Err(Broken::NoWorker { reason: "this process compiles by itself".to_owned() }),
        }
    }

    /// Says once what a worker could not be protected with.
    fn warn(&self, ready: &Ready) {
        let Some(on_warning) = self.parts.on_warning.as_ref().filter(|_| !ready.missing.is_empty()) else { return };
        if !self.has_warned.swap(true, Ordering::Relaxed) {
            let missing =
                domain::text::escape_line(&domain::text::truncate(&ready.missing.join("; "), 500)).into_owned();
            on_warning(&format!(
                "components are compiled with less protection than there could be: {missing}; memory and time are bounded"
            ));
        }
    }
}

/// What is to be compiled, and by what kind of engine.
pub(crate) struct Order<'a> {
    /// The key of compiled code: a worker that would make other code is none.
    pub(crate) engine_key: &'a str,
    /// The engine's settings.
    pub(crate) settings: EngineSettings,
    /// The component.
    pub(crate) wasm: &'a [u8],
    /// Readable once nobody wants the code any more.
    pub(crate) cancelled: &'a UnixStream,
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}
