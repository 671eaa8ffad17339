//! Runs a verb, here or in the server of the data folder, to its end or to an interrupt.

use std::time::{Duration, Instant};

use super::Session;
use crate::args::{Args, Verb};
use crate::commands;
use crate::error::{CliError, Done};
use crate::interrupt::{Interrupts, Signals};
use crate::output::human_duration;
use crate::remote;

/// Most threads that run guests for one verb.
const WORKERS_MAX: usize = 4;

/// Threads of a server beyond one for each processor: guests that compute give way only now and then, and clients are still heard.
const SPARE_WORKERS: usize = 2;

/// How long a thread that ran a verb for a client waits for the next. After a crowd of clients few threads are left that take turns,
/// and the memory that each keeps for itself is free again.
const KEEP_ALIVE: Duration = Duration::from_millis(200);

/// Runs one verb and returns the exit code.
pub(crate) fn run(args: Args) -> u8 {
    let started = Instant::now();
    let Args { globals, verb } = args;
    let session = Session::new(globals);
    if let Some(directory) = &session.globals.directory
        && let Err(error) = std::env::set_current_dir(directory)
    {
        let error = CliError::file(directory, "change to", &error);
        error.report(&session.out, &session.terminal);
        return crate::error::exit_code(error.kind);
    }
    let code = match threads(&verb) {
        Ok(threads) => {
            let code = threads.block_on(here_or_there(&session, verb));
            // A compilation that was interrupted goes on until the process ends: it is not waited for.
            threads.shutdown_background();
            code
        }
        Err(error) => {
            let error = CliError::internal(format!("cannot start threads: {error}"));
            error.report(&session.out, &session.terminal);
            crate::error::exit_code(error.kind)
        }
    };
    session.terminal.detail(&format!("took {}", human_duration(started.elapsed())));
    code
}

/// Makes as many threads as the verb can use: starting one costs time. Code is compiled on threads of its own in any case.
fn threads(verb: &Verb) -> std::io::Result<tokio::runtime::Runtime> {
    if verb.runs_many_guests() {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let workers = if let Verb::Serve(_) = verb { cores + SPARE_WORKERS } else { cores.min(WORKERS_MAX) };
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(workers)
            .thread_keep_alive(KEEP_ALIVE)
            .enable_all()
            .build()
    } else {
        tokio::runtime::Builder::new_current_thread().enable_all().build()
    }
}

/// Runs a verb in the server of the data folder, if there is one, else in this process.
async fn here_or_there(session: &Session, verb: Verb) -> u8 {
    // What is wrong with the data folder is found out, and said, by whoever opens it.
    let socket = session.data_folder().map(|folder| server::socket_path(&folder)).ok();
    if let Some(socket) = socket.filter(|socket| verb.can_be_served() && socket.exists()) {
        match remote::run(&socket, &verb).await {
            Ok(Some(code)) => return code,
            Ok(None) => {}
            Err(error) => {
                error.report(&session.out, &session.terminal);
                return crate::error::exit_code(error.kind);
            }
        }
    }
    if let Verb::Serve(_) = verb {
        // It hears signals itself: for it they are no interruption.
        return finish(session, commands::run(session, verb).await, Ok(()));
    }
    match Signals::new() {
        Ok(signals) => {
            let streams = verb.streams();
            drive(session, streams, commands::run(session, verb), Interrupts::Signals(signals)).await
        }
        Err(error) => {
            let error = CliError::internal(format!("cannot listen to signals: {error}"));
            error.report(&session.out, &session.terminal);
            crate::error::exit_code(error.kind)
        }
    }
}

/// Runs a verb to its end or to an interrupt, and closes what it opened. `streams` tells that only an interrupt ends it.
pub(crate) async fn drive(
    session: &Session,
    streams: bool,
    verb: impl Future<Output = Result<Done, CliError>>,
    mut interrupts: Interrupts,
) -> u8 {
    let ended = tokio::select! {
        result = verb => Ok(result),
        interrupt = interrupts.next() => Err(interrupt),
    };
    let closed = tokio::select! {
        closed = session.close() => closed,
        again = interrupts.next() => return again.exit_code(),
    };
    match ended {
        Ok(result) => finish(session, result, closed),
        Err(interrupt) if streams => interrupt.exit_code(),
        Err(interrupt) => {
            tokio::select! {
                () = last_words(session) => interrupt.exit_code(),
                again = interrupts.next() => again.exit_code(),
            }
        }
    }
}

fn finish(session: &Session, result: Result<Done, CliError>, closed: Result<(), CliError>) -> u8 {
    let code = match &result {
        Ok(done) => done.exit_code(),
        Err(error) => {
            error.report(&session.out, &session.terminal);
            crate::error::exit_code(error.kind)
        }
    };
    match closed {
        Ok(()) => code,
        Err(error) => {
            // The result is on standard output already, where there may be only one document.
            error.print(Some("closing the registry"), &session.terminal);
            if code == crate::error::EXIT_OK { crate::error::exit_code(error.kind) } else { code }
        }
    }
}

/// Says what an interrupted verb had done.
async fn last_words(session: &Session) {
    let (message, hint) = match session.changes().await {
        Ok(changes) if changes.is_empty() => ("interrupted before anything was changed".to_owned(), None),
        Ok(changes) => (
            format!("interrupted; what was done stays: {changes}"),
            Some("the same command again goes on where this one stopped"),
        ),
        Err(error) => (
            format!("interrupted; what was done cannot be read: {}", error.message),
            Some("`runtime log` shows what was done"),
        ),
    };
    let error = CliError::interrupted(message);
    let error = match hint {
        Some(hint) => error.hint(hint),
        None => error,
    };
    error.report(&session.out, &session.terminal);
}
