//! A verb that is run by the server of its data folder.

use std::cell::RefCell;
use std::ffi::OsString;
use std::hash::{BuildHasher as _, RandomState};
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use server::Client;
use server::protocol::{CommandRequest, Display, Frame};
use tokio::sync::Notify;

use crate::args::Verb;
use crate::error::{CliError, EXIT_INTERRUPTED, EXIT_OK};
use crate::interrupt::Signals;
use crate::screen::Screen;

/// How long an interrupted verb is waited for, so that it can say what was done.
const INTERRUPT_MAX: Duration = Duration::from_secs(60);

/// Has the server that listens at `socket` run the command line of this process. `None` if there is no server.
///
/// # Errors
/// [`CliError`] if there is one that cannot be asked, or that went away.
pub(crate) async fn run(socket: &Path, verb: &Verb) -> Result<Option<u8>, CliError> {
    let Some(mut client) = Client::connect(socket).await? else { return Ok(None) };
    let internal = |what: &str, error: std::io::Error| CliError::internal(format!("cannot {what}: {error}"));
    let mut signals = Signals::new().map_err(|error| internal("listen to signals", error))?;
    let request = CommandRequest {
        id: id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        args: std::env::args_os().collect(),
        directory: std::env::current_dir().map_err(|error| internal("tell the present folder", error))?,
        display: Screen::of_process().display(),
        input: if verb.reads_input() {
            let read = std::io::read_to_string(std::io::stdin());
            Some(read.map_err(|error| CliError::file(Path::new("standard input"), "read", &error))?)
        } else {
            None
        },
    };
    let interrupter = client.interrupter(&request.id);
    let unprinted = RefCell::new(None);
    let stopped = Notify::new();
    let running = client.run(&request, |frame| {
        if let Err(error) = print(&frame) {
            unprinted.borrow_mut().get_or_insert(error);
            stopped.notify_one();
        }
    });
    tokio::pin!(running);
    let ended = tokio::select! {
        code = &mut running => Ok(code?),
        interrupt = signals.next() => Err(interrupt),
        // What cannot be printed is not waited for.
        () = stopped.notified() => Ok(EXIT_OK),
    };
    let code = match ended {
        Ok(code) => code,
        Err(interrupt) => {
            interrupter.await;
            // The server ends the verb in order and says what was done; whoever is in a hurry asks again.
            tokio::select! {
                code = &mut running => match code? {
                    EXIT_INTERRUPTED => interrupt.exit_code(),
                    code => code,
                },
                again = signals.next() => again.exit_code(),
                () = tokio::time::sleep(INTERRUPT_MAX) => interrupt.exit_code(),
            }
        }
    };
    match unprinted.take() {
        // A reader that went away has seen enough.
        Some(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(CliError::stdout(&error)),
        _ => Ok(Some(code)),
    }
}

/// Has the server that listens at `socket` run other words than those of this process, and returns its standard output; `note` gets what
/// it prints on standard error. `None` if there is no server.
///
/// # Errors
/// As [`run`]. That the verb failed is none: its document says so.
pub(crate) async fn ask(
    socket: &Path,
    words: Vec<OsString>,
    display: Display,
    mut note: impl FnMut(&str),
) -> Result<Option<String>, CliError> {
    let Some(mut client) = Client::connect(socket).await? else { return Ok(None) };
    let directory = std::env::current_dir();
    let request = CommandRequest {
        id: id(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        args: words,
        directory: directory.map_err(|error| CliError::internal(format!("cannot tell the present folder: {error}")))?,
        display,
        input: None,
    };
    let mut answer = String::new();
    let running = client.run(&request, |frame| match frame {
        Frame::Out(text) => answer.push_str(&text),
        Frame::Err(text) => note(&text),
        Frame::Exit(_) => {}
    });
    running.await?;
    Ok(Some(answer))
}

/// Prints a frame.
///
/// # Errors
/// Those of standard output; a closed standard error is nobody's loss.
fn print(frame: &Frame) -> std::io::Result<()> {
    match frame {
        Frame::Out(text) => {
            let mut stdout = std::io::stdout().lock();
            stdout.write_all(text.as_bytes())?;
            stdout.flush()
        }
        Frame::Err(text) => {
            let _ = std::io::stderr().lock().write_all(text.as_bytes());
            Ok(())
        }
        Frame::Exit(_) => Ok(()),
    }
}

/// Returns a word that nobody guesses: the standard library's seeds are random.
fn id() -> String {
    let word = || RandomState::new().hash_one(std::process::id());
    format!("{:016x}{:016x}", word(), word())
}
