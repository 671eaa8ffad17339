//! Runs a component's build command: a group of processes of its own, with no input, its output line by line.

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use domain::manifest::BuildSettings;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process_group, waitid};
use tokio::sync::mpsc::Sender;

use crate::output::read_lines;

/// How long a build that is asked to end may take for it before it is ended.
const GRACE: Duration = Duration::from_millis(500);
/// How long output is waited for after the build has ended: something that it started may hold on to it.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Why a build has made nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BuildFailure {
    /// The command could not be started.
    #[error("its command cannot be started: {0}")]
    NotStarted(String),
    /// It ended with another exit code than 0.
    #[error("it ended with exit code {0}")]
    Code(i32),
    /// A signal ended it.
    #[error("signal {0} ended it")]
    Signal(i32),
    /// It took longer than it may.
    #[error("it took longer than {} s", .0.as_secs_f64())]
    TooLong(Duration),
    /// It ended well and left no component.
    #[error("it succeeded but left no {0}")]
    NoOutput(String),
    /// Its end could not be waited for.
    #[error("its end cannot be told: {0}")]
    Lost(String),
}

/// What a build says while it runs.
#[derive(Debug)]
pub(crate) enum Said {
    /// It printed a line.
    Line(String),
    /// It ended.
    Ended(Result<(), BuildFailure>),
}

/// A build that runs. Dropped, it is ended with all that it started.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) number: u64,
    pub(crate) begun: Instant,
    /// Why it was asked to end.
    ended_for: Option<BuildFailure>,
    group: Group,
}

/// The build's processes, until the first of them was waited for: from then on their number may be somebody else's.
#[derive(Clone, Debug)]
struct Group(Arc<Mutex<Option<Pid>>>);

impl Group {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = *self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            // One that has just ended needs no signal.
            let _ = kill_process_group(pid, signal);
        }
    }
}

impl Job {
    /// Starts the command of `build` in `folder`. What it says is sent with `number`.
    ///
    /// # Errors
    /// [`BuildFailure::NotStarted`].
    pub(crate) fn start(
        number: u64,
        build: &BuildSettings,
        folder: &Path,
        said: Sender<(u64, Said)>,
    ) -> Result<Self, BuildFailure> {
        let not_started = |error: std::io::Error| BuildFailure::NotStarted(error.to_string());
        let (reader, writer) = std::io::pipe().map_err(not_started)?;
        let mut command = Command::new("sh");
        command.arg("-c").arg(&build.command).current_dir(folder).process_group(0).stdin(Stdio::null());
        command.stdout(writer.try_clone().map_err(not_started)?).stderr(writer);
        let child = command.spawn().map_err(not_started)?;
        // The command's own copies of the pipe's end would keep it open.
        drop(command);
        let group = Group(Arc::new(Mutex::new(Some(Pid::from_child(&child)))));
        let job = Self { number, begun: Instant::now(), ended_for: None, group: group.clone() };
        let (read, all_read) = mpsc::channel::<()>();
        let lines = said.clone();
        thread::spawn(move || {
            // What cannot be read cannot be shown; the end of the build says how it went.
            let _ = read_lines(reader, |line| lines.blocking_send((number, Said::Line(line))).is_ok());
            drop(read);
        });
        thread::spawn(move || {
            let ended = wait(child, &group);
            // Ends when the reader does: nothing is ever sent.
            let _ = all_read.recv_timeout(LAST_WORDS);
            // Nobody asks any more once the watch is over.
            let _ = said.blocking_send((number, Said::Ended(ended)));
        });
        Ok(job)
    }

    /// Asks the build to end, and ends it if it does not. Its end is said as that of any build.
    pub(crate) fn end(&mut self, why: Option<BuildFailure>) {
        self.ended_for = why;
        self.group.signal(Signal::TERM);
        let group = self.group.clone();
        thread::spawn(move || {
            thread::sleep(GRACE);
            group.signal(Signal::KILL);
        });
    }

    /// Returns why the build was asked to end, if that was a failure.
    pub(crate) fn ended_for(&self) -> Option<BuildFailure> {
        self.ended_for.clone()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.group.signal(Signal::KILL);
    }
}

/// Waits for the first process, ends what it left behind, and lets the system forget it, in this order: its number is nobody else's
/// until then.
fn wait(mut child: Child, group: &Group) -> Result<(), BuildFailure> {
    let lost = |error: std::io::Error| BuildFailure::Lost(error.to_string());
    let pid = Pid::from_child(&child);
    while let Err(error) = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::NOWAIT) {
        if error != rustix::io::Errno::INTR {
            return Err(lost(error.into()));
        }
    }
    let mut alive = group.0.lock().unwrap_or_else(PoisonError::into_inner);
    // Mostly there is nobody left.
    let _ = kill_process_group(pid, Signal::KILL);
    let status = child.wait().map_err(lost);
    *alive = None;
    drop(alive);
    verdict(status?)
}

fn verdict(status: ExitStatus) -> Result<(), BuildFailure> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(BuildFailure::Code(code)),
        (None, signal) => Err(BuildFailure::Signal(signal.unwrap_or_default())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn run(command: &str, folder: &Path) -> (Vec<String>, Result<(), BuildFailure>) {
        let build = BuildSettings { command: command.to_owned(), output: None, inputs: vec![] };
        let (said, mut hears) = tokio::sync::mpsc::channel(16);
        let _job = Job::start(7, &build, folder, said).unwrap();
        let mut lines = Vec::new();
        loop {
            match hears.recv().await.unwrap() {
                (7, Said::Line(line)) => lines.push(line),
                (7, Said::Ended(ended)) => return (lines, ended),
                other => panic!("{other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn runs_in_the_folder_and_shows_both_streams_in_order() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("here"), "").unwrap();
        let (lines, ended) = run("ls; echo bad >&2; echo good; exit 3", folder.path()).await;
        assert_eq!((lines, ended), (vec!["here".into(), "bad".into(), "good".into()], Err(BuildFailure::Code(3))));
        assert_eq!(run("cat", folder.path()).await, (vec![], Ok(())), "there is no input");
    }

    #[tokio::test]
    async fn what_it_leaves_behind_is_ended_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let (lines, ended) = run("sleep 600 & echo $!", folder.path()).await;
        assert_eq!(ended, Ok(()));
        let pid = Pid::from_raw(lines[0].parse().unwrap()).unwrap();
        gone(pid).await;
    }

    #[tokio::test]
    async fn one_that_never_ends_is_ended_with_its_children() {
        let folder = tempfile::tempdir().unwrap();
        let command = "trap '' TERM; sleep 600 & echo $!; while :; do wait; done";
        let build = BuildSettings { command: command.to_owned(), output: None, inputs: vec![] };
        let (said, mut hears) = tokio::sync::mpsc::channel(16);
        let mut job = Job::start(1, &build, folder.path(), said).unwrap();
        let Some((1, Said::Line(line))) = hears.recv().await else { panic!("it says its child") };
        job.end(None);
        let Some((1, Said::Ended(ended))) = hears.recv().await else { panic!("it ends") };
        assert_eq!(ended, Err(BuildFailure::Signal(9)));
        gone(Pid::from_raw(line.parse().unwrap()).unwrap()).await;
    }

    #[tokio::test]
    async fn dropping_it_ends_it() {
        let folder = tempfile::tempdir().unwrap();
        let build = BuildSettings { command: "echo $$; sleep 600".to_owned(), output: None, inputs: vec![] };
        let (said, mut hears) = tokio::sync::mpsc::channel(16);
        let job = Job::start(1, &build, folder.path(), said).unwrap();
        let Some((1, Said::Line(line))) = hears.recv().await else { panic!("it says its number") };
        drop(job);
        gone(Pid::from_raw(line.parse().unwrap()).unwrap()).await;
    }

    /// Waits until a process is gone, or is only still to be waited for by whoever inherited it.
    async fn gone(pid: Pid) {
        let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
        for _ in 0..1_000 {
            match std::fs::read_to_string(&stat) {
                Ok(text) if !text.contains(") Z ") => tokio::time::sleep(Duration::from_millis(10)).await,
                _ => return,
            }
        }
        panic!("process {pid:?} is still there");
    }
}
