//! The server under test and what is asked of it through its socket.

use std::cell::Cell;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value;
use server::Client;
use server::protocol::{CommandRequest, Display, Frame};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use crate::harness::binary;

/// No command takes this long; one that does hangs.
const COMMAND_MAX: Duration = Duration::from_secs(60);

/// How often open files are looked at to find out how many stay open, and how long apart: often enough that some looks fall between
/// two calls of the neighbours, each of which is a connection.
const LOOKS: usize = 300;
const LOOK_EVERY: Duration = Duration::from_millis(3);

/// How often resident memory is looked at until it is taken to have settled, and how long apart.
const SETTLE_LOOKS: usize = 20;
const SETTLE_EVERY: Duration = Duration::from_millis(100);

/// The id of the neighbour that is called after each case.
const NEIGHBOUR: &str = "neighbour:plain";

/// Answers 42.
pub(crate) const NEIGHBOUR_WAT: &str = r#"(component
  (core module $m (func (export "answer") (result i32) (i32.const 42)))
  (core instance $i (instantiate $m))
  (func (export "answer") (result u32) (canon lift (core func $i "answer"))))"#;

/// A server on a data folder of its own; ended with the test.
pub(crate) struct Host {
    place: TempDir,
    child: Child,
    log: Option<JoinHandle<String>>,
    tokio: Runtime,
    /// The first record of the journal that was not looked at.
    unseen: Cell<u64>,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u8,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) took: Duration,
}

/// Where a server can be asked.
#[derive(Clone)]
pub(crate) struct Socket {
    path: PathBuf,
    directory: PathBuf,
}

impl Host {
    /// Starts a server with a neighbour in service.
    pub(crate) fn start() -> Self {
        let place = tempfile::Builder::new().prefix("runtime-hostile-").tempdir().unwrap();
        for folder in ["home", "work", "data"] {
            std::fs::create_dir(place.path().join(folder)).unwrap();
        }
        let (child, log) = serve(place.path());
        let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let host = Self { place, child, log: Some(log), tokio, unseen: Cell::new(1) };
        host.register_neighbour(NEIGHBOUR);
        host
    }

    /// The folder that commands start in.
    pub(crate) fn work(&self) -> PathBuf {
        self.place.path().join("work")
    }

    pub(crate) fn socket(&self) -> Socket {
        Socket { path: self.place.path().join("data/runtime.sock"), directory: self.place.path().join("work") }
    }

    /// Registers and activates a well-behaved component.
    pub(crate) fn register_neighbour(&self, id: &str) {
        let file = self.place.path().join("neighbour.wat");
        std::fs::write(&file, NEIGHBOUR_WAT).unwrap();
        for words in [vec!["register", file.to_str().unwrap(), "--id", id, "--version", "1.0.0"], vec!["activate", id]]
        {
            let answer = self.ask(&words).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!(answer.code, 0, "{answer:?}");
        }
    }

    /// Has a command run.
    pub(crate) fn ask(&self, words: &[&str]) -> Result<Answer, String> {
        self.tokio.block_on(self.socket().ask(words, true))
    }

    /// Has the same command run several times at once.
    pub(crate) fn ask_at_once(&self, words: &[&str], times: u64) -> Result<Vec<Answer>, String> {
        let socket = self.socket();
        self.tokio.block_on(async {
            let mut asked = tokio::task::JoinSet::new();
            for _ in 0..times {
                let (socket, words) = (socket.clone(), words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>());
                asked.spawn(async move {
                    let words: Vec<_> = words.iter().map(String::as_str).collect();
                    socket.ask(&words, true).await
                });
            }
            asked.join_all().await.into_iter().collect()
        })
    }

    /// As [`Host::ask`], with an answer for people.
    pub(crate) fn ask_text(&self, words: &[&str]) -> Result<Answer, String> {
        self.tokio.block_on(self.socket().ask(words, false))
    }

    /// Returns what people are shown of the records that were not looked at before.
    pub(crate) fn new_records(&self) -> Result<Answer, String> {
        let since = self.unseen.get().to_string();
        let documents = self.ask(&["log", "--since", &since])?;
        let last = documents.stdout.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok());
        let text = self.ask_text(&["log", "--since", &since])?;
        if let Some(seq) = last.and_then(|record| record["seq"].as_u64()) {
            self.unseen.set(seq + 1);
        }
        Ok(text)
    }

    /// Calls the neighbour, which must answer.
    pub(crate) fn neighbour_answers(&self) -> Result<(), String> {
        let answer = self.ask(&["call", NEIGHBOUR, "answer()"])?;
        match answer.document()["result"] == 42 {
            true => Ok(()),
            false => Err(format!("the neighbour does not answer: {answer:?}")),
        }
    }

    /// Tells whether the process still runs.
    pub(crate) fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Starts another server in place of one that has ended or hangs, and returns what that one logged.
    pub(crate) fn restart(&mut self) -> String {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let said = self.log.take().map(|log| log.join().unwrap()).unwrap_or_default();
        let (child, log) = serve(self.place.path());
        (self.child, self.log) = (child, Some(log));
        said
    }

    /// Resident memory once it has settled, in bytes: the allocator gives what was freed back to the system within a second or two.
    pub(crate) fn settled_memory(&self) -> u64 {
        let look = |_| {
            std::thread::sleep(SETTLE_EVERY);
            self.memory()
        };
        (0..SETTLE_LOOKS).map(look).min().unwrap_or(0)
    }

    /// Resident memory, in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) << 10
    }

    /// Open files, without those of calls that are just under way: the least of several looks.
    pub(crate) fn files(&self) -> usize {
        let count = || std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).map_or(0, Iterator::count);
        let look = |_| {
            std::thread::sleep(LOOK_EVERY);
            count()
        };
        (0..LOOKS).map(look).min().unwrap_or(0)
    }

    /// Ends the server in order; it must not have panicked.
    pub(crate) fn stop(mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        let status = self.child.wait().unwrap();
        let log = self.log.take().map(|log| log.join().unwrap()).unwrap_or_default();
        assert!(!log.contains("panicked"), "the host panicked:\n{log}");
        assert!(status.success(), "the host ended with {status}:\n{log}");
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn serve(place: &Path) -> (Child, JoinHandle<String>) {
    let mut command = Command::new(binary::path());
    command.arg("serve").current_dir(place.join("work")).env_clear().stdin(Stdio::null());
    command.env("HOME", place.join("home")).env("RUNTIME_DATA", place.join("data"));
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the server starts");
    let mut stderr = child.stderr.take().unwrap();
    let log = std::thread::spawn(move || {
        let mut log = Vec::new();
        let _ = stderr.read_to_end(&mut log);
        String::from_utf8_lossy(&log).into_owned()
    });
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).expect("it says that it serves");
    assert!(line.starts_with("serving "), "{line}");
    (child, log)
}

impl Socket {
    /// Has a command run: as JSON or as text for people.
    pub(crate) async fn ask(&self, words: &[&str], as_json: bool) -> Result<Answer, String> {
        static IDS: AtomicU64 = AtomicU64::new(0);
        let form: &[&str] = if as_json { &["-o", "json"] } else { &[] };
        let words_all = ["runtime"].iter().chain(form).chain(words);
        let request = CommandRequest {
            id: format!("{:032}", IDS.fetch_add(1, Ordering::Relaxed)),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            args: words_all.map(Into::into).collect(),
            directory: self.directory.clone(),
            display: Display { width: 80, ..Display::default() },
            input: None,
        };
        let (mut stdout, mut stderr) = (String::new(), String::new());
        let begun = Instant::now();
        let asked = async {
            let mut client = Client::connect(&self.path).await.map_err(|error| error.to_string())?;
            let client = client.as_mut().ok_or("no server listens")?;
            let printed = client.run(&request, |frame| match frame {
                Frame::Out(text) => stdout.push_str(&text),
                Frame::Err(text) => stderr.push_str(&text),
                Frame::Exit(_) => {}
            });
            printed.await.map_err(|error| error.to_string())
        };
        let asked = tokio::time::timeout(COMMAND_MAX, asked).await;
        let took = begun.elapsed();
        match asked {
            Err(_) => Err(format!("`{}` hangs", words.join(" "))),
            Ok(Err(error)) => Err(format!("`{}`: {error}", words.join(" "))),
            Ok(Ok(code)) => Ok(Answer { code, stdout, stderr, took }),
        }
    }
}

impl Answer {
    /// Returns the JSON document.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or(Value::Null)
    }
}
