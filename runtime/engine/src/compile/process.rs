//! The host's side of one worker: starts it, feeds it, believes nothing it says, and ends it.

use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use domain::ports::LINES_BYTES_MAX;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::frame::{self, Decoder, Kind};
use super::job::{Done, Failed, Fault, Job, Ready};
use super::outcome::Broken;
use super::worker::WORKER_WORD;
use crate::epoch::Deadline;
use crate::lines::Table;

/// Bytes read at once from a worker.
const READ_BYTES: usize = 64 << 10;

/// Most bytes kept of what a worker writes on standard error; what comes later is thrown away.
const SAID_BYTES_MAX: usize = 4 << 10;

/// How long a worker may take for source lines, once the code is there.
const LINES_WITHIN: Duration = Duration::from_secs(10);

/// How long a worker that has closed its end may take to be gone.
const GONE_WITHIN: Duration = Duration::from_secs(2);

/// How long to wait before looking again whether it is gone.
const LOOK_AGAIN: Duration = Duration::from_millis(2);

/// Signals by which the limits of a process show themselves.
const SIGABRT: i32 = 6;
const SIGSEGV: i32 = 11;
const SIGXCPU: i32 = 24;

/// How the standard library begins its last words when there is no memory left.
const NO_MEMORY: &str = "memory allocation of";

/// One compilation, for a worker.
pub(super) struct Request<'a> {
    /// The worker's program.
    pub(super) program: &'a Path,
    /// What it is asked.
    pub(super) job: &'a Job,
    /// The component.
    pub(super) wasm: &'a [u8],
    /// How long it may take.
    pub(super) wall: Duration,
    /// Readable once nobody wants the code any more.
    pub(super) cancelled: &'a UnixStream,
}

/// What a worker answered beside the code.
pub(super) struct Answered {
    /// What it said of its confinement.
    pub(super) ready: Ready,
    /// The table of source lines, if it made one in time.
    pub(super) lines: Option<Vec<u8>>,
}

/// Has a worker compile, and hands each piece of code to `sink` as it comes.
///
/// Blocks, and must stay on one thread: the worker is killed with the thread that started it. No worker is left when it returns.
///
/// # Errors
/// [`Broken`]; what `sink` has got then is worth nothing.
pub(super) fn run(
    request: &Request<'_>,
    sink: &mut dyn FnMut(&[u8]) -> Result<(), Broken>,
) -> Result<Answered, Broken> {
    let head = head(request.job).map_err(|error| no_worker("cannot be asked", &error))?;
    let mut worker = Worker::start(request.program).map_err(|error| {
        let program = request.program.display();
        Broken::NoWorker { reason: format!("the worker's program {program} cannot be started: {error}") }
    })?;
    let mut outgoing: [&[u8]; 2] = [&head, request.wasm];
    let mut answer = Answer { code_bytes_max: request.job.memory_bytes, ..Answer::default() };
    let deadline = Deadline::after(request.wall);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        let events = worker.wait(request.cancelled, !outgoing.iter().all(|part| part.is_empty()), deadline)?;
        if events.said {
            worker.listen(&mut buffer);
        }
        if events.writable {
            worker.send(&mut outgoing).map_err(|error| no_worker("cannot be reached", &error))?;
        }
        if events.readable {
            match (&worker.socket).read(&mut buffer) {
                Ok(0) => return Err(worker.ended(&answer, &mut buffer)),
                Ok(count) => {
                    answer.decoder.push(buffer.get(..count).unwrap_or_default());
                    if let Some((ready, done)) = answer.take(sink)? {
                        let until = deadline.min(Deadline::after(LINES_WITHIN));
                        let lines =
                            done.lines.then(|| worker.lines(&mut answer.decoder, request.cancelled, until)).flatten();
                        return Ok(Answered { ready, lines });
                    }
                }
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return Err(worker.ended(&answer, &mut buffer)),
            }
        }
    }
}

fn no_worker(what: &str, error: &dyn std::fmt::Display) -> Broken {
    Broken::NoWorker { reason: format!("the worker {what}: {error}") }
}

fn head(job: &Job) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    frame::write(&mut head, Kind::Job, &serde_json::to_vec(job)?)?;
    Ok(head)
}

/// A running worker; dropped, it is killed.
struct Worker {
    child: Child,
    socket: UnixStream,
    stderr: Option<ChildStderr>,
    /// What it wrote on standard error.
    said: Vec<u8>,
}

/// What there is to do.
struct Events {
    readable: bool,
    writable: bool,
    said: bool,
}

impl Worker {
    /// Starts it with nothing of this process but one end of a socket and of a pipe.
    fn start(program: &Path) -> io::Result<Self> {
        // A socket rather than pipes: writing to one whose reader died must not raise a signal, which could end this process.
        let (socket, theirs) = UnixStream::pair()?;
        socket.set_nonblocking(true)?;
        let mut child = Command::new(program)
            .arg(WORKER_WORD)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::from(OwnedFd::from(theirs.try_clone()?)))
            .stdout(Stdio::from(OwnedFd::from(theirs)))
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take();
        let worker = Self { child, socket, stderr, said: Vec::new() };
        if let Some(stderr) = &worker.stderr {
            rustix::io::ioctl_fionbio(stderr, true)?;
        }
        Ok(worker)
    }

    /// Waits until there is something to do.
    fn wait(&self, cancelled: &UnixStream, has_more: bool, deadline: Deadline) -> Result<Events, Broken> {
        let left = deadline.left();
        if left.is_zero() {
            return Err(Broken::Wall);
        }
        let wanted = if has_more { PollFlags::IN | PollFlags::OUT } else { PollFlags::IN };
        let mut fds = vec![PollFd::new(cancelled, PollFlags::IN), PollFd::new(&self.socket, wanted)];
        fds.extend(self.stderr.as_ref().map(|stderr| PollFd::new(stderr, PollFlags::IN)));
        // No time that a setting can ask for is longer than the system can wait.
        let timeout = Timespec::try_from(left).ok();
        match poll(&mut fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(no_worker("cannot be waited for", &error)),
        }
        let events = |position: usize| fds.get(position).map_or(PollFlags::empty(), PollFd::revents);
        if !events(0).is_empty() {
            return Err(Broken::Cancelled);
        }
        let writable = has_more && events(1).contains(PollFlags::OUT);
        Ok(Events { readable: !(events(1) - PollFlags::OUT).is_empty(), writable, said: !events(2).is_empty() })
    }

    /// Sends as much as it takes now.
    fn send(&self, outgoing: &mut [&[u8]; 2]) -> io::Result<()> {
        let Some(part) = outgoing.iter_mut().find(|part| !part.is_empty()) else { return Ok(()) };
        match rustix::net::send(&self.socket, part, SendFlags::NOSIGNAL) {
            Ok(count) => *part = part.get(count..).unwrap_or_default(),
            Err(Errno::AGAIN | Errno::INTR) => {}
            // It has ended, or does not want to hear more: what it says last tells.
            Err(Errno::PIPE | Errno::CONNRESET) => *outgoing = [&[], &[]],
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Takes what it wrote on standard error, without waiting.
    fn listen(&mut self, buffer: &mut [u8]) {
        let Some(stderr) = &mut self.stderr else { return };
        match stderr.read(buffer) {
            Ok(0) => self.stderr = None,
            Ok(count) => {
                let room = SAID_BYTES_MAX.saturating_sub(self.said.len());
                self.said.extend_from_slice(buffer.get(..count.min(room)).unwrap_or_default());
            }
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => self.stderr = None,
        }
    }

    /// Takes the source lines that follow the code. Whatever it does instead, there are none.
    fn lines(&mut self, decoder: &mut Decoder, cancelled: &UnixStream, until: Deadline) -> Option<Vec<u8>> {
        let (mut lines, mut buffer) = (Vec::new(), vec![0; READ_BYTES]);
        loop {
            while let Some((kind, piece)) = decoder.next().ok()? {
                lines.extend_from_slice(&piece);
                if kind != Kind::Lines || lines.len() > LINES_BYTES_MAX {
                    return None;
                }
            }
            let events = self.wait(cancelled, false, until).ok()?;
            if events.said {
                self.listen(&mut buffer);
            }
            if !events.readable {
                continue;
            }
            match (&self.socket).read(&mut buffer) {
                // What is cut is no table.
                Ok(0) => return Table::read(lines.clone()).map(|_| lines),
                Ok(count) => decoder.push(buffer.get(..count).unwrap_or_default()),
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
                Err(_) => return None,
            }
        }
    }

    /// Says why it ended before it was done.
    fn ended(&mut self, answer: &Answer, buffer: &mut [u8]) -> Broken {
        let status = self.gone();
        // What it wrote before it ended is in the pipe: a bounded number of looks empties it.
        for _ in 0..SAID_BYTES_MAX {
            let before = self.said.len();
            self.listen(buffer);
            if self.stderr.is_none() || self.said.len() == before {
                break;
            }
        }
        let said = String::from_utf8_lossy(&self.said).into_owned();
        let reason = match status {
            None => "closed its end and went on".to_owned(),
            Some(status) => match status.signal() {
                Some(SIGXCPU) => return Broken::Cpu,
                // It aborts then, unless there is not even a stack left to do that on.
                Some(SIGABRT | SIGSEGV) if said.contains(NO_MEMORY) => return Broken::Memory,
                Some(number) => return Broken::Signal { number, said },
                None => {
                    let code = status.code().unwrap_or_default();
                    let cut = if answer.decoder.is_cut() { "in the middle of a word" } else { "before it was done" };
                    format!("ended {cut}, with exit code {code}")
                }
            },
        };
        Broken::Garbled { reason, said }
    }

    /// Waits a moment for its end.
    fn gone(&mut self) -> Option<ExitStatus> {
        let deadline = Deadline::after(GONE_WITHIN);
        loop {
            match self.child.try_wait() {
                Ok(Some(status)) => return Some(status),
                Ok(None) if !deadline.passed() => std::thread::sleep(LOOK_AGAIN),
                Ok(None) | Err(_) => return None,
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may be gone already; either way there is none afterwards, not even as an unreaped entry of the system's table.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the worker has said so far.
#[derive(Default)]
struct Answer {
    decoder: Decoder,
    ready: Option<Ready>,
    code_bytes: u64,
    /// More code than the worker may have memory is no code.
    code_bytes_max: u64,
}

impl Answer {
    /// Takes the whole frames that are there; returns once the code is whole.
    fn take(&mut self, sink: &mut dyn FnMut(&[u8]) -> Result<(), Broken>) -> Result<Option<(Ready, Done)>, Broken> {
        while let Some((kind, payload)) = self.decoder.next().map_err(|error| garbled(&error))? {
            match (kind, &mut self.ready) {
                (Kind::Ready, ready @ None) => *ready = Some(parse(&payload)?),
                (Kind::Code, Some(_)) => {
                    self.code_bytes = self.code_bytes.saturating_add(payload.len() as u64);
                    if self.code_bytes > self.code_bytes_max {
                        return Err(garbled(&"more code than it has memory"));
                    }
                    sink(&payload)?;
                }
                (Kind::Done, ready @ Some(_)) => {
                    let done: Done = parse(&payload)?;
                    if done.bytes != self.code_bytes {
                        return Err(garbled(&format_args!("{} bytes of {}", self.code_bytes, done.bytes)));
                    }
                    return Ok(ready.take().map(|ready| (ready, done)));
                }
                (Kind::Failed, _) => return Err(failed(parse(&payload)?)),
                (Kind::Ready | Kind::Code | Kind::Done | Kind::Lines | Kind::Job, _) => {
                    return Err(garbled(&format_args!("{kind:?} out of turn")));
                }
            }
        }
        Ok(None)
    }
}

fn failed(failed: Failed) -> Broken {
    match failed.fault {
        Fault::Component => Broken::Invalid { reason: failed.reason },
        Fault::Memory => Broken::Memory,
        Fault::Compiler => Broken::Panicked { reason: failed.reason },
        Fault::Worker => Broken::NoWorker { reason: failed.reason },
    }
}

fn parse<'a, T: serde::Deserialize<'a>>(payload: &'a [u8]) -> Result<T, Broken> {
    serde_json::from_slice(payload).map_err(|error| garbled(&error))
}

fn garbled(what: &dyn std::fmt::Display) -> Broken {
    Broken::Garbled { reason: format!("answered what makes no sense: {what}"), said: String::new() }
}
