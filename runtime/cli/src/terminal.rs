//! Standard error: notes, hints, warnings, guest lines and progress, one writer at a time.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use domain::text::escape_block;
use indicatif::{MultiProgress, ProgressDrawTarget};

use crate::screen::Screen;
use crate::style::Paint;

/// Most warnings that are remembered, so as not to be printed again.
const WARNINGS_REMEMBERED: usize = 256;

/// The one writer to standard error.
pub(crate) struct Terminal {
    bars: MultiProgress,
    paint: Paint,
    screen: Screen,
    interactive: bool,
    quiet: bool,
    verbose: bool,
    writing: Mutex<()>,
    warned: Mutex<HashSet<String>>,
}

impl Terminal {
    /// Makes the writer; `quiet` silences notes, warnings and guest lines, never errors.
    pub(crate) fn new(quiet: bool, verbose: bool, screen: Screen) -> Self {
        let display = screen.display();
        let interactive = display.err_is_terminal && !quiet;
        let target = if interactive { screen.bars() } else { ProgressDrawTarget::hidden() };
        Self {
            bars: MultiProgress::with_draw_target(target),
            paint: Paint::new(display.err_is_terminal && display.colours),
            screen,
            interactive,
            quiet,
            verbose,
            writing: Mutex::new(()),
            warned: Mutex::default(),
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
            let _ = self.screen.err(text);
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

    /// Prints a warning, unless `-q`; the same one only once: a verb that looks again and again opens the registry each time.
    pub(crate) fn warn(&self, text: &str) {
        if !self.quiet && self.is_new(text) {
            self.print(&format!("{} {}\n", self.paint.yellow("warning:"), escape_block(text)));
        }
    }

    /// Tells whether a warning has not been printed yet, as far as that is remembered.
    fn is_new(&self, text: &str) -> bool {
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if warned.len() >= WARNINGS_REMEMBERED {
            return !warned.contains(text);
        }
        warned.insert(text.to_owned())
    }

    /// Prints a hint, unless `-q`.
    pub(crate) fn hint(&self, text: &str) {
        if !self.quiet {
            self.print(&format!("{} {}\n", self.paint.cyan("hint:"), escape_block(text)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_is_new_once_and_what_is_remembered_is_bounded() {
        let terminal = Terminal::new(true, false, Screen::of_process());
        assert!(terminal.is_new("the folder is gone"));
        assert!(!terminal.is_new("the folder is gone"));
        for number in 0..2 * WARNINGS_REMEMBERED {
            assert!(terminal.is_new(&number.to_string()));
        }
        assert!(!terminal.is_new("the folder is gone"));
        assert_eq!(terminal.warned.lock().unwrap().len(), WARNINGS_REMEMBERED);
    }
}
