//! Standard error: notes, hints, warnings, guest lines and progress, one writer at a time.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use domain::text::escape_block;
use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::style::Paint;

/// The one writer to standard error.
pub(crate) struct Terminal {
    bars: MultiProgress,
    paint: Paint,
    interactive: bool,
    quiet: bool,
    verbose: bool,
    writing: Mutex<()>,
}

impl Terminal {
    /// Makes the writer; `quiet` silences notes, warnings and guest lines, never errors.
    pub(crate) fn new(quiet: bool, verbose: bool) -> Self {
        let interactive = std::io::stderr().is_terminal() && !quiet;
        let target = if interactive { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Self {
            bars: MultiProgress::with_draw_target(target),
            paint: Paint::stderr(),
            interactive,
            quiet,
            verbose,
            writing: Mutex::new(()),
        }
    }

    pub(crate) fn paint(&self) -> Paint {
        self.paint
    }

    pub(crate) fn is_quiet(&self) -> bool {
        self.quiet
    }

    pub(crate) fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// Tells whether bars can be drawn.
    pub(crate) fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// The place where bars are drawn.
    pub(crate) fn bars(&self) -> &MultiProgress {
        &self.bars
    }

    /// Prints lines above any bar. A closed standard error is nobody's loss.
    pub(crate) fn print(&self, text: &str) {
        let write = || {
            let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut stderr = std::io::stderr().lock();
            let _ = stderr.write_all(text.as_bytes());
            let _ = stderr.flush();
        };
        if self.interactive { self.bars.suspend(write) } else { write() }
    }

    /// Prints one line of what is going on, unless `-q`.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet {
            self.print(&format!("{}\n", escape_block(text)));
        }
    }

    /// Prints one line of detail with `-v`.
    pub(crate) fn detail(&self, text: &str) {
        if self.verbose {
            self.print(&format!("{}\n", self.paint.dim(&escape_block(text))));
        }
    }

    /// Prints a warning, unless `-q`.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet {
            self.print(&format!("{} {}\n", self.paint.yellow("warning:"), escape_block(text)));
        }
    }

    /// Prints a hint, unless `-q`.
    pub(crate) fn hint(&self, text: &str) {
        if !self.quiet {
            self.print(&format!("{} {}\n", self.paint.cyan("hint:"), escape_block(text)));
        }
    }
}
