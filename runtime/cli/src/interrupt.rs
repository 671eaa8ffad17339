//! Ctrl-C and SIGTERM: the verb under way is dropped at its next step, the registry is closed in order.

use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::error::{EXIT_INTERRUPTED, EXIT_TERMINATED};

/// What ended the verb early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interrupt {
    /// Ctrl-C.
    Keyboard,
    /// SIGTERM.
    Terminate,
}

impl Interrupt {
    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::Keyboard => EXIT_INTERRUPTED,
            Self::Terminate => EXIT_TERMINATED,
        }
    }
}

/// Hears signals from the moment it is made.
pub(crate) struct Signals {
    keyboard: Signal,
    terminate: Signal,
}

impl Signals {
    /// Takes the signals over from the system.
    ///
    /// # Errors
    /// The system's error if it does not let us.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self { keyboard: signal(SignalKind::interrupt())?, terminate: signal(SignalKind::terminate())? })
    }

    /// Waits for the next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Interrupt {
        tokio::select! {
            _ = self.keyboard.recv() => Interrupt::Keyboard,
            _ = self.terminate.recv() => Interrupt::Terminate,
        }
    }
}

/// Who can interrupt a verb.
pub(crate) enum Interrupts {
    /// Signals to this process.
    Signals(Signals),
    /// The process that asked for the verb.
    Afar(server::Interrupts),
}

impl Interrupts {
    /// Waits for the next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Interrupt {
        match self {
            Self::Signals(signals) => signals.next().await,
            Self::Afar(interrupts) => {
                interrupts.next().await;
                Interrupt::Keyboard
            }
        }
    }
}
