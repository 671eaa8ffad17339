//! The command line of the registry: reads arguments, calls one operation, renders its answer, picks the exit code.
//!
//! The binary knows no adapter and changes no state itself: every verb is one file in [`commands`] with its arguments and
//! one function that calls `registry`. Texts that came from a guest are escaped before they are printed. Start reading at
//! [`args`], then [`session`] and any file of [`commands`].

mod allocator;
mod args;
mod breaking;
mod commands;
mod dto;
mod error;
mod graph;
mod groups;
mod guest_output;
mod instances;
mod interrupt;
mod limits;
mod lock;
mod output;
mod placing;
mod progress;
#[cfg(test)]
mod reference;
mod remote;
mod screen;
mod select;
mod serving;
mod session;
mod style;
mod supervision;
mod table;
mod terminal;

fn main() -> std::process::ExitCode {
    // Before anything is opened or started: a worker gives up what it does not need.
    embed::run_compile_worker_if_asked();
    let code = run();
    // Everything that had to be closed is closed; dropping the engine piece by piece would only cost time.
    std::process::exit(i32::from(code))
}

fn run() -> u8 {
    let args = match args::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    session::run(args)
}
