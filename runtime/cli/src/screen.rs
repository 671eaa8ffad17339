//! Where a command prints: this process's streams, or those of a process that asked a server.

use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressDrawTarget, TermLike};
use server::protocol::{Display, Frame};
use server::{Frames, FramesClosed};

use crate::style;

/// Columns where there is no terminal to ask.
const WIDTH_DEFAULT: u16 = 80;
/// How often bars are drawn for another process, per second.
const DRAWN_AFAR: u8 = 10;

/// Standard output and standard error of a command.
#[derive(Clone, Debug)]
pub(crate) struct Screen {
    display: Display,
    /// `None`: this process's own streams.
    frames: Option<FrameWriter>,
}

impl Screen {
    /// The streams of this process.
    pub(crate) fn of_process() -> Self {
        let display = Display {
            out_is_terminal: io::stdout().is_terminal(),
            err_is_terminal: io::stderr().is_terminal(),
            colours: style::wanted(),
            width: terminal_width(),
        };
        Self { display, frames: None }
    }

    /// The streams of a process that asked this one.
    pub(crate) fn afar(display: Display, frames: Frames) -> Self {
        Self { display, frames: Some(FrameWriter { frames, width: display.width.max(20) }) }
    }

    /// What can be printed.
    pub(crate) fn display(&self) -> Display {
        self.display
    }

    /// Prints on standard output.
    ///
    /// # Errors
    /// Those of the stream; `BrokenPipe` if nobody reads any more.
    pub(crate) fn out(&self, text: &str) -> io::Result<()> {
        match &self.frames {
            Some(frames) => frames.print(Frame::Out(text.to_owned())),
            None => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(text.as_bytes())?;
                stdout.flush()
            }
        }
    }

    /// Prints on standard error.
    ///
    /// # Errors
    /// As [`Self::out`].
    pub(crate) fn err(&self, text: &str) -> io::Result<()> {
        match &self.frames {
            Some(frames) => frames.write_str(text),
            None => {
                let mut stderr = io::stderr().lock();
                stderr.write_all(text.as_bytes())?;
                stderr.flush()
            }
        }
    }

    /// Where bars are drawn.
    pub(crate) fn bars(&self) -> ProgressDrawTarget {
        match &self.frames {
            Some(frames) => ProgressDrawTarget::term_like_with_hz(Box::new(frames.clone()), DRAWN_AFAR),
            None => ProgressDrawTarget::stderr(),
        }
    }
}

/// Standard error of another process, on which bars can be drawn.
#[derive(Clone)]
struct FrameWriter {
    frames: Frames,
    width: u16,
}

impl std::fmt::Debug for FrameWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrameWriter").field("width", &self.width).finish_non_exhaustive()
    }
}

impl FrameWriter {
    fn print(&self, frame: Frame) -> io::Result<()> {
        self.frames.print(frame).map_err(|gone: FramesClosed| io::Error::new(io::ErrorKind::BrokenPipe, gone))
    }

    /// Moves the cursor, by the letter of its control sequence.
    fn go(&self, steps: usize, letter: char) -> io::Result<()> {
        if steps == 0 { Ok(()) } else { self.write_str(&format!("\u{1b}[{steps}{letter}")) }
    }
}

impl TermLike for FrameWriter {
    fn width(&self) -> u16 {
        self.width
    }

    fn move_cursor_up(&self, n: usize) -> io::Result<()> {
        self.go(n, 'A')
    }

    fn move_cursor_down(&self, n: usize) -> io::Result<()> {
        self.go(n, 'B')
    }

    fn move_cursor_right(&self, n: usize) -> io::Result<()> {
        self.go(n, 'C')
    }

    fn move_cursor_left(&self, n: usize) -> io::Result<()> {
        self.go(n, 'D')
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(&format!("{line}\r\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.print(Frame::Err(text.to_owned()))
    }

    fn clear_line(&self) -> io::Result<()> {
        self.write_str("\r\u{1b}[2K")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

fn terminal_width() -> u16 {
    #[cfg(unix)]
    {
        let width = rustix::termios::tcgetwinsize(io::stderr()).map_or(0, |size| size.ws_col);
        if width == 0 { WIDTH_DEFAULT } else { width }
    }
    #[cfg(not(unix))]
    {
        WIDTH_DEFAULT
    }
}
