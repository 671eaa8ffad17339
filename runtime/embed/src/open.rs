//! Puts a registry together on a folder.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use domain::ports::{Clock, CompileProgress, OutputSink, SettingsStore as _, StorageError};
use domain::settings::Settings;
use domain::{Actor, ErrorKind};
use engine::EngineSettings;
use registry::{OnWarning, Registry, RegistryError, Tracker};
use storage::{Mended, ScrubOptions, ScrubStop, Storage};

use crate::clock::SystemClock;
use crate::compile::CompileIn;
use crate::engine::LazyEngine;
use crate::output::Tee;
use crate::process::ThisProcess;

/// How a registry is opened. The default waits 10 seconds for another process that holds the folder and acts as an embedding
/// program without a name.
#[derive(Clone)]
pub struct OpenOptions {
    /// How long to wait for another process that holds the folder.
    pub lock_timeout: Duration,
    /// What other processes are told of this one while it holds the folder; empty: its command line.
    pub command: String,
    /// Where this process answers, if it is a server: other processes are told. `None` by default.
    pub socket: Option<PathBuf>,
    /// Whether the process ends when it is done with the folder, as a command does: what its end undoes is then left to it,
    /// which is faster, and this process cannot open the folder again. Off by default.
    pub process_ends: bool,
    /// Who acts through the registry.
    pub actor: Actor,
    /// Gets the lines that components print and log, besides the data folder.
    pub output: Option<Arc<dyn OutputSink>>,
    /// Where components are compiled; by default in processes of this program, which then has to call
    /// [`run_compile_worker_if_asked`](crate::run_compile_worker_if_asked) first of all. The setting `compile.trusted` goes before it.
    pub compile: CompileIn,
    /// Hears of compilations.
    pub compile_progress: Option<Arc<dyn CompileProgress>>,
    /// Hears what was found wrong with the folder and mended, and what `auto_discover` could not register.
    pub on_warning: Option<Arc<OnWarning>>,
    /// Whether a thread reads all blobs slowly, over and over, until the registry is closed, and warns of those that are damaged; `None`,
    /// the default, for none.
    pub scrub: Option<ScrubOptions>,
}

impl Default for OpenOptions {
    fn default() -> Self {
        Self {
            lock_timeout: Duration::from_secs(10),
            command: String::new(),
            socket: None,
            process_ends: false,
            actor: Actor::Api("embedded".to_owned()),
            output: None,
            compile: CompileIn::default(),
            compile_progress: None,
            on_warning: None,
            scrub: None,
        }
    }
}

impl std::fmt::Debug for OpenOptions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenOptions")
            .field("lock_timeout", &self.lock_timeout)
            .field("actor", &self.actor)
            .finish_non_exhaustive()
    }
}

/// A registry could not be opened.
#[derive(Debug, thiserror::Error)]
#[error("{source}")]
pub struct OpenError {
    #[source]
    source: RegistryError,
}

impl OpenError {
    /// Says whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        self.source.kind()
    }

    /// Tells the error apart from others of its kind.
    pub fn code(&self) -> &'static str {
        self.source.code()
    }

    /// Returns what to do next.
    pub fn hints(&self) -> Vec<String> {
        self.source.hints()
    }
}

impl<E: Into<RegistryError>> From<E> for OpenError {
    fn from(source: E) -> Self {
        Self { source: source.into() }
    }
}

/// Opens the registry in `folder`, making the folder if it is not there. The folder belongs to this process until the last
/// handle is dropped. Call [`Registry::close`] before that, so that components end in order.
///
/// Must be called inside a tokio runtime with time enabled.
///
/// # Errors
/// [`OpenError`] of kind `unavailable` if another process holds the folder for longer than the lock timeout, `invalid` if it is not a
/// folder or its settings are wrong, `denied` if it cannot be written, `internal` if it is damaged.
pub async fn open(folder: &Path, options: OpenOptions) -> Result<Registry, OpenError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let storage = open_storage(folder.to_owned(), &options, clock.clone()).await?;
    if let Some(on_warning) = &options.on_warning {
        for warning in storage.warnings() {
            on_warning(&warning.to_string());
        }
    }
    let (text, path) = storage.settings.load()?;
    let settings = match text {
        Some(text) => Settings::parse(&text).map_err(|source| RegistryError::Settings { path: Some(path), source })?,
        None => Settings::default(),
    };
    storage.output.keep(settings.output.keep_bytes);
    let tracker = Arc::new(Tracker::new(clock.clone()));
    let mut sinks: Vec<Arc<dyn OutputSink>> = vec![storage.output.clone()];
    sinks.extend(options.output.clone());
    let engine = LazyEngine {
        settings: EngineSettings {
            memory64: settings.engine.memory64,
            gates_by_value: false,
            stack_bytes: usize::try_from(settings.engine.stack_bytes).unwrap_or(usize::MAX),
        },
        code: storage.code.clone(),
        observer: tracker.clone(),
        output: Arc::new(Tee(sinks)),
        clock: clock.clone(),
        progress: options.compile_progress.clone(),
        compile_with: options.compile.resolve(&settings.compile),
        compile: settings.compile,
        on_warning: options.on_warning.clone(),
        started: OnceLock::new(),
    };
    if let Some(scrub) = options.scrub {
        start_scrub(&storage, scrub, options.on_warning.clone());
    }
    let mut builder = Registry::builder();
    if options.process_ends {
        builder = builder.unsupervised();
    }
    if let Some(on_warning) = options.on_warning {
        builder = builder.on_warning(on_warning);
    }
    let registry = builder
        .state(storage.state.clone())
        .blobs(storage.blobs.clone())
        .output(storage.output.clone())
        .settings(storage.settings.clone())
        .upkeep(storage.upkeep.clone())
        .meters(storage.meters.clone())
        .process_limits(Arc::new(ThisProcess))
        .engine(Arc::new(engine))
        .clock(clock)
        .tracker(tracker)
        .actor(options.actor)
        .open()
        .await?;
    Ok(registry)
}

/// Starts the thread that looks for damaged blobs; it ends when the folder is closed.
fn start_scrub(storage: &Storage, options: ScrubOptions, on_warning: Option<Arc<OnWarning>>) {
    let upkeep = storage.upkeep.clone();
    let warn = move |text: &str| on_warning.iter().for_each(|hear| hear(text));
    let scrub = move || {
        let scrubbed = upkeep.scrub(&options, &ScrubStop::default(), &mut |damaged, mended| {
            let become_of = match mended {
                Mended::FromBackup => "; it was mended from the backup".to_owned(),
                Mended::NotTried => "; `runtime verify` says who needs it".to_owned(),
                Mended::Failed(reason) => format!("; it could not be mended: {reason}"),
            };
            warn(&format!("{} is damaged: {}{become_of}", damaged.path.display(), damaged.reason));
        });
        if let Err(error) = scrubbed {
            warn(&format!("damaged blobs are not looked for any more: {error}"));
        }
    };
    // Without a thread nothing is lost but the early notice.
    let _ = std::thread::Builder::new().name("scrub".to_owned()).spawn(scrub);
}

async fn open_storage(folder: PathBuf, options: &OpenOptions, clock: Arc<dyn Clock>) -> Result<Storage, RegistryError> {
    let storage_options = storage::OpenOptions {
        lock_timeout: options.lock_timeout,
        command: options.command.clone(),
        socket: options.socket.clone(),
        process_ends: options.process_ends,
        on_warning: options
            .on_warning
            .clone()
            .map(|heard| -> Arc<storage::OnWarning> { Arc::new(move |warning| heard(&warning.to_string())) }),
        ..storage::OpenOptions::default()
    };
    let opening = move || Storage::open(&folder, &storage_options, clock);
    if options.process_ends {
        // A command has nothing else to do meanwhile, and is spared a thread.
        return Ok(opening()?);
    }
    match tokio::task::spawn_blocking(opening).await {
        Ok(opened) => Ok(opened.map_err(|error: StorageError| RegistryError::from(error))?),
        Err(died) => Err(RegistryError::Internal(format!("opening the data folder died: {died}"))),
    }
}
