//! A folder of its own with a data folder in it, and the binary run there, cut short or not.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::harness::binary;

/// No command takes this long; one that does hangs.
const COMMAND_MAX: Duration = Duration::from_secs(120);
/// How often it is looked whether a process has ended.
const LOOK_EVERY: Duration = Duration::from_micros(300);

/// What goes wrong in a round, in words. The round's seed and folder are added to it where it is printed.
pub(crate) type Outcome<T> = Result<T, String>;

/// How a process is ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Cut {
    /// Not at all.
    Never,
    /// It aborts at its n-th step on the disk.
    At(u64),
    /// It is killed after so long.
    After(Duration),
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code, or the signal that ended it as a negative number.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Ran {
    /// Returns the first document on standard output. Where a process was ended after it had answered, that answer holds.
    pub(crate) fn document(&self) -> Option<Value> {
        serde_json::Deserializer::from_str(&self.stdout).into_iter().next()?.ok()
    }

    /// Tells whether a signal ended it.
    pub(crate) fn was_killed(&self) -> bool {
        self.code < 0
    }

    /// Complains if the program panicked.
    pub(crate) fn no_panic(&self) -> Outcome<()> {
        match self.code == 101 || self.stderr.contains("panicked") || self.stdout.contains("panicked") {
            true => Err(format!("it panicked: {self:#?}")),
            false => Ok(()),
        }
    }
}

/// Where the rounds of one data folder take place. It stays if a test fails.
pub(crate) struct Place {
    pub(crate) root: PathBuf,
}

impl Place {
    pub(crate) fn new(name: &str) -> Self {
        let root = tempfile::Builder::new().prefix(&format!("runtime-torture-{name}-")).tempdir().unwrap().keep();
        for folder in ["home", "work"] {
            std::fs::create_dir(root.join(folder)).unwrap();
        }
        Self { root }
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.root.join("work")
    }

    /// Makes the command, not started: an empty environment, this place's data folder, JSON.
    pub(crate) fn command(&self, args: &[impl AsRef<str>]) -> Command {
        self.command_on(&self.data(), args)
    }

    /// As [`Place::command`], for another data folder.
    pub(crate) fn command_on(&self, data: &Path, args: &[impl AsRef<str>]) -> Command {
        let mut command = Command::new(binary::path());
        command.args(["-o", "json"]).args(args.iter().map(AsRef::as_ref)).current_dir(self.work()).env_clear();
        command.env("HOME", self.root.join("home")).env("RUNTIME_DATA", data);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Runs what has to succeed, and returns its document.
    pub(crate) fn ok(&self, args: &[&str]) -> Outcome<Value> {
        self.ok_on(&self.data(), args)
    }

    /// As [`Place::ok`], for another data folder.
    pub(crate) fn ok_on(&self, data: &Path, args: &[&str]) -> Outcome<Value> {
        let ran = run(self.command_on(data, args), Cut::Never)?;
        match ran.document() {
            Some(document) if ran.code == 0 => Ok(document),
            _ => Err(format!("`runtime {}` fails: {ran:#?}", args.join(" "))),
        }
    }

    /// Adds a line to the file of what was acknowledged, for people who look into a failure.
    pub(crate) fn note(&self, line: &str) {
        let path = self.root.join("acknowledged.log");
        let mut file = std::fs::File::options().create(true).append(true).open(path).unwrap();
        writeln!(file, "{line}").unwrap();
    }

    /// Removes everything: the place was in order.
    pub(crate) fn remove(self) {
        std::fs::remove_dir_all(&self.root).unwrap();
    }
}

/// Runs a command until it ends or is ended.
pub(crate) fn run(mut command: Command, cut: Cut) -> Outcome<Ran> {
    if let Cut::At(step) = cut {
        command.env("RUNTIME_FAIL_AT", step.to_string());
    }
    let mut child = command.spawn().map_err(|error| format!("the binary does not start: {error}"))?;
    let (stdout, stderr) = (read_aside(child.stdout.take()), read_aside(child.stderr.take()));
    let begun = Instant::now();
    let mut kill_after = match cut {
        Cut::After(time) => Some(time),
        Cut::Never | Cut::At(_) => None,
    };
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if kill_after.is_some_and(|time| begun.elapsed() >= time) {
            kill_after = None;
            child.kill().unwrap();
        }
        if begun.elapsed() > COMMAND_MAX {
            child.kill().unwrap();
            let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy().into_owned()).collect();
            return Err(format!("`runtime {}` hangs", args.join(" ")));
        }
        std::thread::sleep(LOOK_EVERY);
    };
    let code = status.code().unwrap_or_else(|| -status.signal().unwrap());
    let ran = Ran { code, stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap() };
    ran.no_panic()?;
    Ok(ran)
}

fn read_aside(stream: Option<impl Read + Send + 'static>) -> JoinHandle<String> {
    let mut stream = stream.unwrap();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// A server of a place's data folder, killed with the test.
pub(crate) struct Server {
    child: Child,
    stderr: Option<JoinHandle<String>>,
    /// What it said when it was ready; `None` if it ended before.
    pub(crate) ready: Option<Value>,
}

impl Server {
    /// Starts one and waits until it serves, or has ended.
    pub(crate) fn start(place: &Place, cut: Cut) -> Self {
        let mut command = place.command(&["serve"]);
        if let Cut::At(step) = cut {
            command.env("RUNTIME_FAIL_AT", step.to_string());
        }
        let mut child = command.spawn().unwrap();
        let stderr = Some(read_aside(child.stderr.take()));
        let mut line = String::new();
        let _ = BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line);
        Self { child, stderr, ready: serde_json::from_str(&line).ok() }
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// Kills it, if it has not ended, and returns what it logged.
    pub(crate) fn kill(mut self) -> Outcome<String> {
        let _ = self.child.kill();
        let status = self.child.wait().unwrap();
        let log = self.stderr.take().map(|reading| reading.join().unwrap()).unwrap_or_default();
        match status.signal().is_none() || log.contains("panicked") {
            true => Err(format!("the server ended by itself: {status}\n{log}")),
            false => Ok(log),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
