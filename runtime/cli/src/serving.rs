//! Runs verbs for other processes, on the registry that this one keeps live.

use std::sync::{Arc, Mutex, PoisonError};

use domain::ports::{CompileProgress, OutputLine, OutputSink};
use domain::{Actor, ComponentId};
use registry::Registry;
use server::protocol::{CommandRequest, Frame};
use server::{Frames, Interrupts, Peer, Runner, Work};
use tokio::sync::watch;
use tracing::debug;

use crate::args::{Args, Verb, parse_words};
use crate::commands;
use crate::error::{EXIT_INTERNAL, EXIT_INVALID};
use crate::guest_output::GuestPrinter;
use crate::interrupt;
use crate::screen::Screen;
use crate::session::{self, Session};
use crate::terminal::Terminal;

/// Runs verbs on one registry.
pub(crate) struct Verbs {
    pub(crate) registry: Registry,
    pub(crate) audience: Arc<Audience>,
    /// True once the server ends: verbs that go on until somebody ends them end then.
    pub(crate) ending: watch::Receiver<bool>,
}

impl Runner for Verbs {
    fn prepare(self: Arc<Self>, peer: Peer, request: CommandRequest, frames: Frames, interrupts: Interrupts) -> Work {
        let Args { globals, verb } = match parse_words(&request.args) {
            Ok(args) => args,
            Err(error) => {
                // The process that asked has parsed the same words: this is not reached by a program of ours.
                let _ = frames.print(Frame::Err(error.to_string()));
                return Work::Shared(Box::pin(std::future::ready(EXIT_INVALID)));
            }
        };
        let registry = self.registry.with_actor(Actor::Cli(session::user_name(peer.uid)));
        let screen = Screen::afar(request.display, frames);
        let session = Session::served(globals, screen, registry, request.directory, request.input);
        let interrupts = interrupt::Interrupts::Afar(interrupts);
        match verb {
            // What is called most often, and waits for nothing but guests.
            Verb::Call(args) => Work::Shared(Box::pin(async move {
                let _listening = self.audience.join(session.terminal.clone());
                session::drive(&session, false, commands::call::run(&session, args), interrupts).await
            })),
            verb => Work::Alone(Box::new(move || Box::pin(async move { self.run(&session, verb, interrupts).await }))),
        }
    }

    fn code_of_panic(&self) -> u8 {
        EXIT_INTERNAL
    }
}

impl Verbs {
    async fn run(&self, session: &Session, verb: Verb, interrupts: interrupt::Interrupts) -> u8 {
        let _listening = verb.runs_guests().then(|| self.audience.join(session.terminal.clone()));
        let streams = verb.streams();
        let mut ending = self.ending.clone();
        tokio::select! {
            code = session::drive(session, streams, commands::run(session, verb), interrupts) => code,
            _ = ending.wait_for(|ending| *ending), if streams => 0,
        }
    }
}

/// The verbs under way that show what guests print.
#[derive(Default)]
pub(crate) struct Audience(Mutex<Vec<Arc<GuestPrinter>>>);

/// Takes part until it is dropped.
pub(crate) struct Listening<'a> {
    audience: &'a Audience,
    listener: Arc<GuestPrinter>,
}

impl Audience {
    fn join(&self, terminal: Arc<Terminal>) -> Listening<'_> {
        let listener = Arc::new(GuestPrinter::new(terminal));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(listener.clone());
        Listening { audience: self, listener }
    }

    fn listeners(&self) -> Vec<Arc<GuestPrinter>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Listening<'_> {
    fn drop(&mut self) {
        let mut listeners = self.audience.0.lock().unwrap_or_else(PoisonError::into_inner);
        listeners.retain(|listener| !Arc::ptr_eq(listener, &self.listener));
    }
}

impl OutputSink for Audience {
    fn write(&self, component: &ComponentId, lines: &[OutputLine]) {
        for listener in self.listeners() {
            listener.write(component, lines);
        }
    }
}

/// All compilations go to the server's log; whoever asked for one hears of it through the registry that the verb was given.
impl CompileProgress for Audience {
    fn started(&self, component: &ComponentId, size: u64) {
        debug!(%component, size, "compiling");
    }

    fn finished(&self, component: &ComponentId) {
        debug!(%component, "compiled");
    }
}
