//! The watch itself: one loop that hears of changes, of builds and of time.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use domain::ErrorKind;
use registry::{RegistryError, components_below};
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::build::{BuildFailure, Job, Said};
use crate::changes::{Changed, Changes, POLL_EVERY};
use crate::component::{Phase, Watched};
use crate::debounce::Debounce;
use crate::error::WatchError;
use crate::event::{Event, Watching};
use crate::service::{Outcome, Problem, Service};
use crate::snapshot::{MANIFEST_FILE, Need, Snapshot};

/// Lines of builds that wait to be told; builds wait where there are more.
const SAID_MAX: usize = 1_024;
/// How long after a registry could not be reached it is tried again.
const RETRY_IN: Duration = Duration::from_secs(2);
/// How often something is looked at again since folders were not watched yet when it was.
const LOOKS_MAX: usize = 4;

/// How to watch.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long nothing may change before something is done.
    pub debounce: Duration,
    /// How often to look for changes, where the system is not to tell of them.
    pub poll: Option<Duration>,
    /// Longest time of one build.
    pub build_timeout: Duration,
    /// Most builds at once.
    pub builds: usize,
    /// Whether the first pass is all.
    pub once: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            debounce: Duration::from_millis(100),
            poll: None,
            build_timeout: Duration::from_secs(600),
            builds: std::thread::available_parallelism().map_or(2, usize::from),
            once: false,
        }
    }
}

/// How a first pass came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// How many components there are.
    pub components: usize,
    /// What kind of problem the first one was that is not in service as it is: a build that fails is [`ErrorKind::Invalid`].
    pub failed: Option<ErrorKind>,
}

/// Watches components: builds, registers and activates what is at or below `paths`, and does so again with what changes, until the
/// future is dropped; with [`Options::once`] only the first pass.
///
/// A component is built where its manifest says how and a source has other content than before; it is handed to `service` where the
/// manifest or the component itself has. Several that change at the same time are handed over together. What fails stays as it was in
/// the registry, and is handed over again with whatever comes next.
///
/// # Errors
/// [`WatchError`]; what is wrong with single components is told as an [`Event`].
/// # Cancel safety
/// Dropping the future ends the builds that run, with all that they started. What was handed to the service goes its way.
pub async fn watch<S: Service>(
    paths: &[PathBuf],
    service: &S,
    options: &Options,
    tell: impl FnMut(Event<'_, S::Problem>),
) -> Result<Summary, WatchError<S::Problem>> {
    let mut watcher = Watcher::new(paths, service, options, tell)?;
    watcher.discover()?;
    let first = watcher.components.keys().cloned().collect();
    watcher.consider_all(first).await?;
    watcher.run().await
}

struct Watcher<'a, S: Service, T> {
    service: &'a S,
    options: &'a Options,
    tell: T,
    /// As they were named, and as they really are.
    roots: Vec<(PathBuf, PathBuf)>,
    changes: Changes,
    debounce: Debounce,
    /// Whether there may be components that are not known, or known ones that are gone.
    discovers: bool,
    components: BTreeMap<PathBuf, Watched>,
    /// Counts bursts of changes, and builds.
    bursts: u64,
    jobs: u64,
    say: Sender<(u64, Said)>,
    said: Receiver<(u64, Said)>,
    retry_at: Option<Instant>,
    /// Whether the first pass is over.
    is_watching: bool,
    failed: Option<ErrorKind>,
}

/// What woke the loop.
enum Woken {
    Changed(io::Result<Changed>),
    Said(u64, Said),
    Time,
}

impl<'a, S: Service, T: FnMut(Event<'_, S::Problem>)> Watcher<'a, S, T> {
    fn new(paths: &[PathBuf], service: &'a S, options: &'a Options, tell: T) -> Result<Self, WatchError<S::Problem>> {
        let mut roots = Vec::new();
        for path in paths {
            let real = std::fs::canonicalize(path).map_err(|source| WatchError::Folder {
                path: path.clone(),
                source: Box::new(match source.kind() {
                    io::ErrorKind::NotFound => RegistryError::NoSuchPath { path: path.clone() },
                    _ => RegistryError::Read { path: path.clone(), source },
                }),
            })?;
            roots.push((path.clone(), real));
        }
        let (changes, trouble) = match Changes::open(options.poll) {
            Ok(changes) => (changes, None),
            Err(error) => (Changes::open(Some(POLL_EVERY)).map_err(WatchError::Changes)?, Some(error)),
        };
        let (say, said) = channel(SAID_MAX);
        let mut watcher = Self {
            service,
            options,
            tell,
            roots,
            changes,
            debounce: Debounce::new(options.debounce),
            discovers: false,
            components: BTreeMap::new(),
            bursts: 0,
            jobs: 0,
            say,
            said,
            retry_at: None,
            is_watching: false,
            failed: None,
        };
        if let Some(error) = trouble {
            watcher.warn_of_polling(&error);
        }
        Ok(watcher)
    }

    async fn run(&mut self) -> Result<Summary, WatchError<S::Problem>> {
        loop {
            self.start_builds();
            self.place_ready().await?;
            if !self.is_watching && self.retry_at.is_none() && self.is_idle() {
                self.is_watching = true;
                let paths = self.roots.iter().map(|(named, _)| named.clone()).collect();
                let (components, polls) = (self.components.len(), self.changes.polls());
                if self.options.once {
                    return Ok(Summary { components, failed: self.failed });
                }
                (self.tell)(Event::Watching(&Watching { components, paths, polls }));
            }
            match self.wait().await {
                Woken::Changed(Ok(changed)) => self.changed(changed),
                Woken::Changed(Err(error)) => self.look_instead(&error)?,
                Woken::Said(job, said) => self.said(job, said).await?,
                Woken::Time => self.time(Instant::now()).await?,
            }
        }
    }

    async fn wait(&mut self) -> Woken {
        let wake_at = self.wake_at();
        tokio::select! {
            changed = self.changes.next() => Woken::Changed(changed),
            Some((job, said)) = self.said.recv() => Woken::Said(job, said),
            () = sleep_until(wake_at) => Woken::Time,
        }
    }

    /// Returns when something is due, if nothing comes before.
    fn wake_at(&self) -> Option<Instant> {
        let jobs = self.components.values().filter_map(|watched| match &watched.phase {
            Phase::Building { job, again: false } if job.ended_for().is_none() => Some(job.begun),
            _ => None,
        });
        let too_long = jobs.min().map(|begun| begun + self.options.build_timeout);
        [self.debounce.due_at(), self.retry_at, too_long].into_iter().flatten().min()
    }

    async fn time(&mut self, now: Instant) -> Result<(), WatchError<S::Problem>> {
        if self.retry_at.is_some_and(|at| at <= now) {
            self.retry_at = None;
        }
        let longest = self.options.build_timeout;
        for watched in self.components.values_mut() {
            if let Phase::Building { job, again: false } = &mut watched.phase
                && job.ended_for().is_none()
                && now.duration_since(job.begun) >= longest
            {
                job.end(Some(BuildFailure::TooLong(longest)));
            }
        }
        match self.debounce.take(now) {
            Some(changed) => self.consider_all(changed).await,
            None => Ok(()),
        }
    }

    fn is_idle(&self) -> bool {
        self.components.values().all(|watched| matches!(watched.phase, Phase::Idle))
    }

    /// Takes down whom changes concern.
    fn changed(&mut self, changed: Changed) {
        let now = Instant::now();
        let Changed::Paths(paths) = changed else {
            self.discovers = true;
            for path in self.components.keys() {
                self.debounce.mark(path.clone(), now);
            }
            self.debounce.stir(now);
            return;
        };
        for path in paths {
            let mut is_inside = false;
            for watched in self.components.values_mut() {
                is_inside |= path.starts_with(&watched.path) && path != watched.path;
                if watched.is_met_by(&path) {
                    watched.place.iter_mut().for_each(|place| place.forget(&path));
                    self.debounce.mark(watched.path.clone(), now);
                }
            }
            let is_manifest = path.file_name().is_some_and(|name| name == MANIFEST_FILE);
            let is_below = self.roots.iter().any(|(_, root)| path.starts_with(root));
            if is_below && (is_manifest || !is_inside) {
                self.discovers = true;
                self.debounce.stir(now);
            }
        }
    }

    /// Looks at components that may have changed, all of one burst.
    async fn consider_all(&mut self, mut changed: BTreeSet<PathBuf>) -> Result<(), WatchError<S::Problem>> {
        if std::mem::take(&mut self.discovers) {
            changed.extend(self.discover()?);
        }
        self.bursts += 1;
        for path in changed {
            self.consider(&path).await?;
        }
        Ok(())
    }

    /// Finds out which components there are; returns those that were not known.
    fn discover(&mut self) -> Result<Vec<PathBuf>, WatchError<S::Problem>> {
        let mut found = BTreeSet::new();
        for (named, root) in self.roots.clone() {
            let below = self.look_below(&named, &root)?;
            found.extend(below);
        }
        let gone: Vec<_> = self.components.keys().filter(|path| !found.contains(*path)).cloned().collect();
        for path in gone {
            self.remove(&path);
        }
        let new: Vec<_> = found.into_iter().filter(|path| !self.components.contains_key(path)).collect();
        for path in &new {
            let watched = Watched::new(path.clone());
            if self.is_watching {
                (self.tell)(Event::Found { name: &watched.name, path });
            }
            self.components.insert(path.clone(), watched);
        }
        Ok(new)
    }

    /// Returns the components at or below a root, after all folders are watched in which there could be more.
    fn look_below(&mut self, named: &Path, root: &Path) -> Result<Vec<PathBuf>, WatchError<S::Problem>> {
        // The root itself can go and come back.
        let mut folders: Vec<_> = root.parent().map(Path::to_owned).into_iter().collect();
        let mut components = Vec::new();
        for _ in 0..LOOKS_MAX {
            match components_below(root) {
                Ok(below) => {
                    folders.extend(below.folders);
                    components = below.components;
                }
                // It may come back; what was there before the first pass is over has to be there.
                Err(_) if self.is_watching => components.clear(),
                Err(source) => return Err(WatchError::Folder { path: named.to_owned(), source: Box::new(source) }),
            }
            if !self.watch_folders(&std::mem::take(&mut folders))? {
                break;
            }
        }
        Ok(components)
    }

    fn remove(&mut self, path: &Path) {
        if let Some(watched) = self.components.remove(path) {
            (self.tell)(Event::Removed { name: &watched.name, path });
        }
    }

    /// Watches folders; `true` if one was not watched before, so that something may have changed in it unseen.
    fn watch_folders(&mut self, folders: &[PathBuf]) -> Result<bool, WatchError<S::Problem>> {
        let mut is_new = false;
        for folder in folders {
            match self.changes.watch(folder) {
                Ok(new) => is_new |= new,
                Err(error) => {
                    self.look_instead(&error)?;
                    is_new |= self.changes.watch(folder).map_err(WatchError::Changes)?;
                }
            }
        }
        Ok(is_new)
    }

    /// Goes on without being told of changes.
    fn look_instead(&mut self, error: &io::Error) -> Result<(), WatchError<S::Problem>> {
        if self.changes.polls().is_some() {
            return Err(WatchError::Internal(format!("folders cannot be looked at: {error}")));
        }
        self.changes.look_instead();
        self.warn_of_polling(error);
        Ok(())
    }

    fn warn_of_polling(&mut self, error: &io::Error) {
        let why = match error.kind() {
            io::ErrorKind::StorageFull => {
                "it watches no more folders for this user (the sysctl fs.inotify.max_user_watches says how many)"
                    .to_owned()
            }
            _ if error.raw_os_error() == Some(rustix::io::Errno::MFILE.raw_os_error()) => {
                "too many programs of this user are told of changes (the sysctl fs.inotify.max_user_instances)"
                    .to_owned()
            }
            _ => error.to_string(),
        };
        let every = POLL_EVERY.as_secs();
        let text =
            format!("the system does not tell of changes: {why}; looking every {every} s instead, or as `--poll` says");
        (self.tell)(Event::Warning { name: None, text: &text });
    }

    /// Looks at a component as it is now, after all folders are watched that it is made from.
    async fn look(&mut self, path: &Path) -> Result<Option<Snapshot>, WatchError<S::Problem>> {
        for _ in 0..LOOKS_MAX {
            let Some(watched) = self.components.get_mut(path) else { return Ok(None) };
            let Some(mut place) = watched.place.take() else { return Ok(None) };
            let looking = tokio::task::spawn_blocking(move || {
                let looked = place.look();
                (place, looked)
            });
            let (place, looked) =
                looking.await.map_err(|died| WatchError::Internal(format!("looking at files died: {died}")))?;
            watched.place = Some(place);
            match looked {
                Ok(None) => {
                    self.remove(path);
                    return Ok(None);
                }
                Ok(Some(snapshot)) => {
                    if let Some(id) = &snapshot.id {
                        watched.name.clone_from(id);
                    }
                    if !self.watch_folders(&snapshot.folders)? {
                        return Ok(Some(snapshot));
                    }
                }
                Err(error) => {
                    (self.tell)(Event::Warning { name: Some(&watched.name), text: &error.to_string() });
                    return Ok(None);
                }
            }
        }
        // Folders come faster than they are looked at: the next change tells.
        self.debounce.mark(path.to_owned(), Instant::now());
        Ok(None)
    }

    /// Looks at one component and decides what to do.
    async fn consider(&mut self, path: &Path) -> Result<(), WatchError<S::Problem>> {
        let Some(now) = self.look(path).await? else { return Ok(()) };
        let Some(watched) = self.components.get_mut(path) else { return Ok(()) };
        match &mut watched.phase {
            Phase::Building { again: true, .. } => watched.wanted = Some(now),
            Phase::Building { .. } => {
                if watched.is_built_in_vain(&now)
                    && let Phase::Building { job, again } = &mut watched.phase
                {
                    *again = true;
                    job.end(None);
                    watched.wanted = Some(now);
                    watched.burst = self.bursts;
                    (self.tell)(Event::BrokenOff { name: &watched.name });
                }
            }
            Phase::Idle | Phase::Queued | Phase::Ready => match watched.need(&now) {
                Need::Nothing if matches!(watched.phase, Phase::Queued) => watched.phase = Phase::Idle,
                Need::Nothing => {}
                Need::Build => {
                    watched.wanted = Some(now);
                    watched.burst = self.bursts;
                    watched.phase = Phase::Queued;
                }
                Need::Place => {
                    watched.done = Some(now);
                    watched.burst = self.bursts;
                    watched.phase = Phase::Ready;
                }
            },
        }
        Ok(())
    }

    /// Starts builds that wait, as many as may run, those first that wait longest.
    fn start_builds(&mut self) {
        let is_building = |watched: &&Watched| matches!(watched.phase, Phase::Building { .. });
        let free = self.options.builds.max(1).saturating_sub(self.components.values().filter(is_building).count());
        let mut queued: Vec<_> =
            self.components.values_mut().filter(|watched| matches!(watched.phase, Phase::Queued)).collect();
        queued.sort_by_key(|watched| watched.burst);
        for watched in queued.into_iter().take(free) {
            let build = watched.wanted.as_ref().and_then(|wanted| wanted.build.clone());
            let Some(build) = build else {
                watched.phase = Phase::Idle;
                continue;
            };
            (self.tell)(Event::Building { name: &watched.name, command: &build.command });
            self.jobs += 1;
            watched.output.clear();
            match Job::start(self.jobs, &build, &watched.path, self.say.clone()) {
                Ok(job) => watched.phase = Phase::Building { job, again: false },
                Err(failure) => {
                    let (took, kept) = (Duration::ZERO, watched.in_service.as_ref());
                    let name = watched.name.as_str();
                    (self.tell)(Event::BuildFailed { name, failure: &failure, took, output: &[], kept });
                    self.failed.get_or_insert(ErrorKind::Unavailable);
                    watched.failed();
                    watched.phase = Phase::Idle;
                }
            }
        }
    }

    async fn said(&mut self, number: u64, said: Said) -> Result<(), WatchError<S::Problem>> {
        let is_its =
            |watched: &&mut Watched| matches!(&watched.phase, Phase::Building { job, .. } if job.number == number);
        // One that was removed has nobody to speak for.
        let Some(watched) = self.components.values_mut().find(is_its) else { return Ok(()) };
        let ended = match said {
            Said::Line(line) => {
                (self.tell)(Event::Output { name: &watched.name, line: &line });
                watched.keep_line(line);
                return Ok(());
            }
            Said::Ended(ended) => ended,
        };
        let path = watched.path.clone();
        let Phase::Building { job, again } = std::mem::replace(&mut watched.phase, Phase::Idle) else { return Ok(()) };
        if again {
            watched.phase = Phase::Queued;
            return Ok(());
        }
        let took = job.begun.elapsed();
        match job.ended_for().map_or(ended, Err) {
            Ok(()) => self.built(&path, took).await,
            Err(failure) => {
                self.build_failed(&path, &failure, took);
                Ok(())
            }
        }
    }

    fn build_failed(&mut self, path: &Path, failure: &BuildFailure, took: Duration) {
        let Some(watched) = self.components.get_mut(path) else { return };
        watched.failed();
        let output: Vec<_> = watched.output.drain(..).collect();
        let (name, kept) = (watched.name.as_str(), watched.in_service.as_ref());
        (self.tell)(Event::BuildFailed { name, failure, took, output: &output, kept });
        self.failed.get_or_insert(ErrorKind::Invalid);
        // What changed while it ran could not break it off any more.
        self.debounce.mark(path.to_owned(), Instant::now());
    }

    /// A build has ended well: looks at what it made.
    async fn built(&mut self, path: &Path, took: Duration) -> Result<(), WatchError<S::Problem>> {
        let Some(now) = self.look(path).await? else { return Ok(()) };
        if now.made.is_none() {
            let output = now.outputs.first().map_or_else(|| "component".to_owned(), |path| path.display().to_string());
            self.build_failed(path, &BuildFailure::NoOutput(output), took);
            return Ok(());
        }
        let Some(watched) = self.components.get_mut(path) else { return Ok(()) };
        watched.output.clear();
        (self.tell)(Event::Built { name: &watched.name, took });
        if watched.built(now) {
            self.debounce.mark(path.to_owned(), Instant::now());
        } else if watched.takes_its_own_changes() {
            let text = "its build changes its own sources: name what it makes in a `.gitignore`";
            (self.tell)(Event::Warning { name: Some(&watched.name), text });
        }
        if watched.is_placed() {
            (self.tell)(Event::SameBytes { name: &watched.name, revision: watched.revision.as_ref() });
        } else {
            watched.phase = Phase::Ready;
        }
        Ok(())
    }

    /// Places what is ready, once nothing of the same burst is still being built.
    async fn place_ready(&mut self) -> Result<(), WatchError<S::Problem>> {
        if self.retry_at.is_some() {
            return Ok(());
        }
        let is_busy = |watched: &&Watched| matches!(watched.phase, Phase::Queued | Phase::Building { .. });
        let busy: BTreeSet<_> = self.components.values().filter(is_busy).map(|watched| watched.burst).collect();
        let is_ready = |watched: &Watched| matches!(watched.phase, Phase::Ready) && !busy.contains(&watched.burst);
        if !self.components.values().any(is_ready) {
            return Ok(());
        }
        // What could not be placed may fit now: somebody that it needs, or that needs it, has changed.
        let is_waiting = |watched: &Watched| matches!(watched.phase, Phase::Idle) && watched.problem.is_some();
        let chosen = self.components.values().filter(|watched| is_ready(watched) || is_waiting(watched));
        let paths: Vec<_> = chosen.map(|watched| watched.path.clone()).collect();
        match self.service.place(&paths).await {
            Ok(outcomes) => {
                for (path, outcome) in paths.iter().zip(outcomes) {
                    self.placed(path, &outcome);
                }
                Ok(())
            }
            Err(problem) if self.is_watching && problem.kind().is_retryable() => {
                self.retry_at = Some(Instant::now() + RETRY_IN);
                (self.tell)(Event::Unreachable { problem: &problem, retry_in: RETRY_IN });
                Ok(())
            }
            Err(problem) => Err(WatchError::Service(problem)),
        }
    }

    fn placed(&mut self, path: &Path, outcome: &Outcome<S::Problem>) {
        let Some(watched) = self.components.get_mut(path) else { return };
        watched.phase = Phase::Idle;
        let (problem, kind) = match outcome {
            Outcome::Refused(problem) | Outcome::NotActivated { problem, .. } => {
                (Some(problem.to_string()), Some(problem.kind()))
            }
            Outcome::Skipped { because, .. } => (Some(format!("it needs {because}")), None),
            Outcome::Unchanged(_) | Outcome::Activated { .. } | Outcome::Swapped { .. } => (None, None),
        };
        if self.failed.is_none() {
            self.failed = kind;
        }
        if let Some(revision) = outcome.revision() {
            watched.name = revision.id.to_string();
            watched.revision = Some(revision.clone());
        }
        let is_known = problem.is_some() && problem == watched.problem;
        watched.placed(problem);
        if !is_known {
            let (name, before) = (watched.name.as_str(), watched.in_service.as_ref());
            (self.tell)(Event::Placed { name, outcome, before });
        }
        if outcome.is_in_service() {
            watched.in_service = outcome.revision().cloned();
        }
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
