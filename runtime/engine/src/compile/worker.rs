//! The worker's side: a process that compiles one component and ends.

use std::any::Any;
use std::io::{self, IsTerminal as _, Read as _, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmtime::Engine;

use super::confine::{self, Bounds};
use super::frame::{self, Kind};
use super::job::{Done, Failed, Fault, Job, PROTOCOL, Ready};
use crate::layout::text_apart;
use crate::settings::EngineSettings;
use crate::{code, config, lines};

/// The argument with which a program is asked to be a worker.
pub const WORKER_WORD: &str = "compile-worker";

/// A second argument, for tests: the worker says what it can still do, instead of compiling.
pub const SELF_TEST_WORD: &str = "--self-test";

/// Bounds of a self-test: of no importance, as long as it can run in them.
const SELF_TEST: Bounds = Bounds { memory_bytes: 256 << 20, cpu_s: 10 };

/// Compiles the one component that comes through standard input, and writes its code to standard output. The process gives up files,
/// network, other processes and most of what the system offers before it reads the component, so it can do nothing else afterwards.
///
/// Call it as the first thing of `main`, before any thread is started, when the program's one argument is [`WORKER_WORD`], and end the
/// process with the exit code that it returns.
pub fn run_worker() -> u8 {
    let is_test = std::env::args_os().nth(2).is_some_and(|word| word == SELF_TEST_WORD);
    if !is_test && io::stdin().is_terminal() {
        let _ = writeln!(
            io::stderr(),
            "error: `{WORKER_WORD}` is for the program itself, which speaks to it through a pipe"
        );
        return 2;
    }
    confine::leave_behind();
    let done = if is_test { self_test() } else { serve() };
    match done {
        Ok(()) => 0,
        Err(error) => {
            // The host reads this where it hears nothing else.
            let _ = writeln!(io::stderr(), "{error}");
            1
        }
    }
}

fn serve() -> io::Result<()> {
    let (kind, payload) = frame::read(&mut io::stdin().lock())?;
    if kind != Kind::Job {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the first frame is no job"));
    }
    match prepare(&payload) {
        Ok(prepared) => prepared.work(),
        Err(reason) => answer(Kind::Failed, &Failed { fault: Fault::Worker, reason }),
    }
}

/// A worker that is confined and has everything it will ever need.
struct Prepared {
    engine: Engine,
    threads: rayon::ThreadPool,
    size: usize,
    ready: Ready,
}

/// Makes everything ready that needs the system, and gives the rest of it up.
fn prepare(payload: &[u8]) -> Result<Prepared, String> {
    let job: Job = serde_json::from_slice(payload).map_err(|error| format!("the job cannot be read: {error}"))?;
    if job.protocol != PROTOCOL {
        return Err(format!("the worker speaks version {PROTOCOL} of the protocol, the host version {}", job.protocol));
    }
    let engine = Engine::new(&config::config(&EngineSettings { memory64: job.memory64, ..EngineSettings::default() }))
        .map_err(|error| format!("the compiler cannot start: {error:#}"))?;
    if code::engine_key(&engine) != job.engine {
        return Err("the worker's program is of another version than the host, and would make other code".to_owned());
    }
    let size = usize::try_from(job.size).map_err(|_too_large| "the component is too large".to_owned())?;
    let bounds = Bounds { memory_bytes: job.memory_bytes, cpu_s: job.cpu_s };
    let (threads, missing) = give_up(job.threads, &bounds)?;
    Ok(Prepared { engine, threads, size, ready: Ready { missing } })
}

/// Takes from this process what it does not need for compiling, and returns the threads that it has from now on, and what protection
/// the machine does not offer.
fn give_up(threads: usize, bounds: &Bounds) -> Result<(rayon::ThreadPool, Vec<String>), String> {
    // Asked now: afterwards the system's own files are out of reach as well.
    let mapped = confine::mapped_bytes();
    // Before the threads begin, for it holds for the thread that asks and those that it starts.
    let mut missing: Vec<String> = confine::close_files().err().into_iter().collect();
    let threads = threads.max(1);
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(threads)
        .thread_name(|_| "compile".to_owned())
        .build()
        .map_err(|error| format!("the compiler has no threads: {error}"))?;
    confine::set_bounds(bounds, mapped, threads).map_err(|error| format!("the limits cannot be set: {error}"))?;
    missing.extend(confine::close_system().err());
    Ok((pool, missing))
}

impl Prepared {
    fn work(self) -> io::Result<()> {
        answer(Kind::Ready, &self.ready)?;
        let mut wasm = vec![0; self.size];
        io::stdin().lock().read_exact(&mut wasm)?;
        let compiled =
            catch_unwind(AssertUnwindSafe(|| self.threads.install(|| self.engine.precompile_component(&wasm))));
        let failed = match compiled {
            Ok(Ok(code)) => {
                let code = text_apart(code);
                frame::write(&mut io::stdout().lock(), Kind::Code, &code)?;
                let lines = lines::are_there(&wasm);
                answer(Kind::Done, &Done { bytes: code.len() as u64, lines })?;
                drop(code);
                // Last of all: the host has the code, whatever becomes of this process now.
                return match lines.then(|| lines::make(&wasm)).flatten() {
                    Some(lines) => frame::write(&mut io::stdout().lock(), Kind::Lines, &lines),
                    None => Ok(()),
                };
            }
            Ok(Err(error)) if error.is::<wasmtime::error::OutOfMemory>() => {
                Failed { fault: Fault::Memory, reason: String::new() }
            }
            Ok(Err(error)) => Failed { fault: Fault::Component, reason: bounded(&format!("{error:#}")) },
            Err(panic) => Failed { fault: Fault::Compiler, reason: bounded(words_of(&*panic)) },
        };
        answer(Kind::Failed, &failed)
    }
}

fn answer(kind: Kind, document: &impl serde::Serialize) -> io::Result<()> {
    frame::write(&mut io::stdout().lock(), kind, &serde_json::to_vec(document)?)
}

/// The text of an error names what is in the component, in whatever length.
fn bounded(text: &str) -> String {
    domain::text::truncate(text, 4 << 10).into_owned()
}

fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// Tries what a worker must not be able to do, and writes a line for each attempt: what was tried, and what came of it.
fn self_test() -> io::Result<()> {
    let place = std::env::temp_dir().join(format!("worker-self-test-{}", std::process::id()));
    let variables = std::env::vars_os().count();
    let (_threads, missing) = give_up(2, &SELF_TEST).map_err(io::Error::other)?;
    let tried: [(&str, io::Result<()>); 8] = [
        ("read a file", std::fs::File::open("/etc/passwd").map(drop)),
        ("list a folder", std::fs::read_dir("/").map(drop)),
        ("write a file", std::fs::write(place, "x")),
        ("connect", std::net::TcpStream::connect("127.0.0.1:9").map(drop)),
        ("bind", std::net::UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("start a program", std::process::Command::new("/bin/true").spawn().map(drop)),
        ("start a thread", std::thread::Builder::new().spawn(|| ()).map(drop)),
        ("make an unnamed socket", std::os::unix::net::UnixStream::pair().map(drop)),
    ];
    let mut out = io::stdout().lock();
    for (what, outcome) in tried {
        match outcome {
            Ok(()) => writeln!(out, "{what}: done")?,
            Err(error) => writeln!(out, "{what}: {}", error.kind())?,
        }
    }
    writeln!(out, "variables: {variables}")?;
    writeln!(out, "missing: {}", if missing.is_empty() { "nothing".to_owned() } else { missing.join("; ") })
}
