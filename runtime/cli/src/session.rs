//! One run of the program: opens the registry when a verb first needs it, and closes it whatever happens.

mod drive;

pub(crate) use drive::{drive, run};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::Actor;
use domain::ports::{CompileProgress, Stop};
use embed::ScrubOptions;
use registry::{Breakable, Registry, RegistryError};
use tokio::sync::OnceCell;

use crate::args::Globals;
use crate::error::CliError;
use crate::guest_output::GuestPrinter;
use crate::output::{Output, human_duration};
use crate::progress::CompileDisplay;
use crate::screen::Screen;
use crate::serving::Audience;
use crate::terminal::Terminal;

/// After this long, people are told that a data folder is being waited for.
const WAIT_NOTE_AFTER: Duration = Duration::from_secs(1);
/// Journal records read at once.
const RECORDS_AT_ONCE: usize = 1_000;

/// What a verb works with.
pub(crate) struct Session {
    /// Standard output.
    pub(crate) out: Output,
    /// Standard error.
    pub(crate) terminal: Arc<Terminal>,
    globals: Globals,
    registry: OnceCell<Registry>,
    /// The journal's last record when the registry was opened, for the last words of an interrupted verb.
    opened_at_seq: AtomicU64,
    /// Of the process that asked, where this one is a server.
    asked_by: Option<AskedBy>,
    /// Work on the data folder itself, without a registry.
    breakable: Breakable,
    /// Shows the compilations of a verb that runs in a server, for as long as it runs.
    _compiling: Option<Arc<dyn CompileProgress>>,
}

/// What a verb that runs in a server has to know of the process that asked for it.
struct AskedBy {
    directory: PathBuf,
    input: Option<String>,
}

impl Session {
    fn new(globals: Globals) -> Self {
        let screen = Screen::of_process();
        Self {
            out: Output::new(globals.format(), screen.clone()),
            terminal: Arc::new(Terminal::new(globals.quiet, globals.verbose, screen)),
            globals,
            registry: OnceCell::new(),
            opened_at_seq: AtomicU64::new(0),
            asked_by: None,
            breakable: Breakable::default(),
            _compiling: None,
        }
    }

    /// Makes the session of a verb that another process asked this one for.
    pub(crate) fn served(
        globals: Globals,
        screen: Screen,
        registry: Registry,
        directory: PathBuf,
        input: Option<String>,
    ) -> Self {
        let terminal = Arc::new(Terminal::new(globals.quiet, globals.verbose, screen.clone()));
        let compiling: Arc<dyn CompileProgress> = Arc::new(CompileDisplay::new(terminal.clone()));
        Self {
            out: Output::new(globals.format(), screen),
            terminal,
            globals,
            opened_at_seq: AtomicU64::new(registry.last_seq()),
            registry: OnceCell::new_with(Some(registry.with_compile_progress(&compiling))),
            _compiling: Some(compiling),
            asked_by: Some(AskedBy { directory, input }),
            breakable: Breakable::default(),
        }
    }

    /// Returns a path of the command line as this process has to look it up.
    pub(crate) fn path(&self, typed: &Path) -> PathBuf {
        match &self.asked_by {
            Some(asked_by) => asked_by.directory.join(typed),
            None => typed.to_owned(),
        }
    }

    /// As [`Self::path`], for what has to be there.
    ///
    /// # Errors
    /// [`CliError`] if it is not.
    pub(crate) fn existing(&self, typed: &Path) -> Result<PathBuf, CliError> {
        let path = self.path(typed);
        match std::fs::metadata(&path) {
            Ok(_) => Ok(path),
            Err(error) => Err(CliError::file(typed, "read", &error)),
        }
    }

    /// Tells whether this process runs the verb for another one.
    pub(crate) fn is_served(&self) -> bool {
        self.asked_by.is_some()
    }

    /// Returns what was piped in.
    ///
    /// # Errors
    /// Those of reading it.
    pub(crate) fn input(&self) -> std::io::Result<String> {
        match &self.asked_by {
            Some(asked_by) => Ok(asked_by.input.clone().unwrap_or_default()),
            None => std::io::read_to_string(std::io::stdin()),
        }
    }

    /// Returns the folder that holds the registry.
    ///
    /// # Errors
    /// [`CliError`] if nothing names one.
    pub(crate) fn data_folder(&self) -> Result<PathBuf, CliError> {
        data_folder(&self.globals)
    }

    /// Returns how long another process that has the data folder is waited for.
    pub(crate) fn lock_timeout(&self) -> Duration {
        self.globals.lock_timeout
    }

    /// Returns the registry, opening it if this is the first need of it.
    ///
    /// # Errors
    /// [`CliError`] if the data folder cannot be used.
    pub(crate) async fn registry(&self) -> Result<&Registry, CliError> {
        self.registry.get_or_try_init(|| self.open_folder(true, None, None)).await
    }

    /// Opens the registry for a process that goes on; `audience` shows what guests print and what is being compiled.
    ///
    /// # Errors
    /// As [`Self::registry`].
    pub(crate) async fn open_to_serve(
        &self,
        audience: &Arc<Audience>,
        scrub: Option<ScrubOptions>,
    ) -> Result<&Registry, CliError> {
        self.registry.get_or_try_init(|| self.open_folder(false, Some(audience), scrub)).await
    }

    /// Opens the registry for a moment, for verbs that look again and again: nobody else is kept out in between.
    ///
    /// # Errors
    /// As [`Self::registry`]. The caller [leaves](Self::leave) it.
    pub(crate) async fn open(&self) -> Result<Registry, CliError> {
        match (&self.asked_by, self.registry.get()) {
            (Some(_), Some(registry)) => Ok(registry.clone()),
            _ => self.open_folder(false, None, None).await,
        }
    }

    /// Closes what [`Self::open`] gave.
    ///
    /// # Errors
    /// [`CliError`] if it could not be closed in order.
    pub(crate) async fn leave(&self, registry: Registry) -> Result<(), CliError> {
        if self.asked_by.is_none() {
            registry.close().await?;
        }
        Ok(())
    }

    async fn open_folder(
        &self,
        process_ends: bool,
        audience: Option<&Arc<Audience>>,
        scrub: Option<ScrubOptions>,
    ) -> Result<Registry, CliError> {
        let folder = self.data_folder()?;
        let started = Instant::now();
        let terminal = self.terminal.clone();
        let options = embed::OpenOptions {
            on_warning: Some(Arc::new(move |text: &str| terminal.warn(text))),
            lock_timeout: self.globals.lock_timeout,
            process_ends,
            scrub,
            socket: audience.is_some().then(|| server::socket_path(&folder)),
            actor: Actor::Cli(user_name(rustix::process::getuid().as_raw())),
            output: Some(match audience {
                Some(audience) => audience.clone(),
                None => Arc::new(GuestPrinter::new(self.terminal.clone())),
            }),
            compile_progress: Some(match audience {
                Some(audience) => audience.clone(),
                None => Arc::new(CompileDisplay::new(self.terminal.clone())),
            }),
            ..embed::OpenOptions::default()
        };
        let opening = embed::open(&folder, options);
        tokio::pin!(opening);
        let opened = tokio::select! {
            opened = &mut opening => opened,
            () = tokio::time::sleep(WAIT_NOTE_AFTER) => {
                self.terminal.note(&format!("waiting for the data folder {} …", folder.display()));
                opening.await
            }
        };
        let registry = opened?;
        self.terminal.detail(&format!("opened {} in {}", folder.display(), human_duration(started.elapsed())));
        self.opened_at_seq.store(registry.last_seq(), Ordering::Relaxed);
        Ok(registry)
    }

    /// Runs work that blocks, on the data folder itself. Where the verb is interrupted it is told to stop, and waited for.
    ///
    /// # Errors
    /// Those of the work.
    pub(crate) async fn breakable<T, E>(
        &self,
        work: impl FnOnce(&Stop) -> Result<T, E> + Send + 'static,
    ) -> Result<T, CliError>
    where
        T: Send + 'static,
        RegistryError: From<E>,
    {
        Ok(self.breakable.run(move |stop| Ok(work(stop)?)).await?)
    }

    /// Closes the registry if it was opened: guests end in order, usage is written. What was broken off puts away what it had begun.
    async fn close(&self) -> Result<(), CliError> {
        self.breakable.end().await;
        match (&self.asked_by, self.registry.get()) {
            (None, Some(registry)) => registry.close().await.map_err(CliError::from),
            // The server's registry stays open.
            (Some(_), _) | (None, None) => Ok(()),
        }
    }

    /// Counts the changes made, for instance `37 registered, 2 activated`.
    async fn changes(&self) -> Result<String, CliError> {
        let Some(registry) = self.registry.get() else { return Ok(String::new()) };
        // What was on its way to the journal when the verb was dropped still gets there.
        registry.settle().await?;
        let last = registry.last_seq();
        let mut counts: Vec<(&'static str, u64)> = Vec::new();
        let mut next = self.opened_at_seq.load(Ordering::Relaxed) + 1;
        while next <= last {
            let records = registry.records(next, RECORDS_AT_ONCE).await?;
            let Some(end) = records.last() else { break };
            next = end.seq + 1;
            for record in &records {
                let name = record.event.name();
                match counts.iter_mut().find(|(known, _)| *known == name) {
                    Some((_, count)) => *count += 1,
                    None => counts.push((name, 1)),
                }
            }
        }
        Ok(counts.iter().map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", "))
    }
}

/// Returns the folder that holds the registry.
fn data_folder(globals: &Globals) -> Result<PathBuf, CliError> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    if let Some(folder) = &globals.data {
        return Ok(folder.clone());
    }
    // An empty variable is as good as none.
    if let Some(folder) = std::env::var_os("RUNTIME_DATA").filter(|folder| !folder.is_empty()) {
        return Ok(folder.into());
    }
    if let Some(folder) = absolute("XDG_DATA_HOME") {
        return Ok(folder.join("runtime"));
    }
    if let Some(home) = absolute("HOME") {
        return Ok(home.join(".local").join("share").join("runtime"));
    }
    let is_set = |name: &&str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let relative: Vec<_> = ["HOME", "XDG_DATA_HOME"].into_iter().filter(is_set).collect();
    let why = match *relative {
        [] => "neither HOME nor XDG_DATA_HOME is set".to_owned(),
        [name] => format!("{name} is not an absolute path"),
        _ => format!("{} are not absolute paths", relative.join(" and ")),
    };
    let hint = "name one with `--data DIR` or RUNTIME_DATA";
    Err(CliError::usage(format!("there is no data folder: {why}")).hint(hint))
}

/// Returns the name of a user by the user's id rather than by a variable that anybody can set.
pub(crate) fn user_name(uid: u32) -> String {
    let uid = uid.to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut lines = users.lines().map(|line| line.split(':'));
    lines
        .find_map(|mut fields| {
            let name = fields.next()?;
            (fields.nth(1) == Some(uid.as_str())).then(|| name.to_owned())
        })
        .unwrap_or(uid)
}
