//! Ctrl-C and SIGTERM: the verb under way is dropped at its next step, the registry is closed in order.

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
    #[cfg(unix)]
    keyboard: tokio::signal::unix::Signal,
    #[cfg(unix)]
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Takes the signals over from the system.
    ///
    /// # Errors
    /// The system's error if it does not let us.
    pub(crate) fn new() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
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

#[cfg(not(unix))]
impl Signals {
    /// Takes the signals over from the system.
    ///
    /// # Errors
    /// None here.
    pub(crate) fn new() -> std::io::Result<Self> {
        Ok(Self {})
    }

    /// Waits for the next one. Cancel safe.
    pub(crate) async fn next(&mut self) -> Interrupt {
        match tokio::signal::ctrl_c().await {
            Ok(()) => Interrupt::Keyboard,
            Err(_) => std::future::pending().await,
        }
    }
}
