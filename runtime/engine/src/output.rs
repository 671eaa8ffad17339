//! What a guest prints and logs: cut into lines, escaped, bounded per second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::ComponentId;
use domain::ports::{Clock, OutputLine, OutputSink, OutputStream, UnitSpec};
use domain::text::{escape_line, truncate};

/// Time after which a component may print as much again.
const WINDOW: Duration = Duration::from_secs(1);

/// Longest line kept, in bytes before escaping; a longer one is cut into several.
pub const LINE_BYTES_MAX: usize = 4 << 10;

/// Longest context word of a log message, in bytes.
const LOG_CONTEXT_MAX: usize = 120;

/// Which of the two standard streams.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// Takes the output of one component and hands it on as lines.
pub struct Output {
    component: ComponentId,
    bytes_max: u64,
    lines_max: u64,
    sink: Arc<dyn OutputSink>,
    clock: Arc<dyn Clock>,
    pending: Mutex<Pending>,
    /// Whether anything may be pending: most calls print nothing.
    is_used: AtomicBool,
}

#[derive(Default)]
struct Pending {
    out: Vec<u8>,
    err: Vec<u8>,
    window: Window,
    lost_bytes: u64,
    lost_lines: u64,
}

/// What was printed in the second that is running.
#[derive(Default)]
struct Window {
    began: Option<Instant>,
    lines: u64,
    bytes: u64,
    /// Whether it was said that something was left out: once is enough.
    is_said: bool,
}

impl Output {
    /// Tells whether `bytes` more bytes in one more line are within the bounds of this second, and counts them.
    fn admit(&self, pending: &mut Pending, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let now = Instant::now();
        if pending.window.began.is_none_or(|began| now.saturating_duration_since(began) >= WINDOW) {
            pending.window = Window { began: Some(now), ..Window::default() };
        }
        let window = &mut pending.window;
        let fits = window.lines < self.lines_max && window.bytes.saturating_add(bytes) <= self.bytes_max;
        if fits {
            window.lines += 1;
            window.bytes += bytes;
        } else {
            pending.lost_lines += 1;
            pending.lost_bytes = pending.lost_bytes.saturating_add(bytes);
        }
        fits
    }
}

impl Output {
    pub(crate) fn new(spec: &UnitSpec, sink: Arc<dyn OutputSink>, clock: Arc<dyn Clock>) -> Self {
        let (bytes_max, lines_max) = (spec.limits.output_bytes, spec.limits.output_lines);
        Self {
            component: spec.id.clone(),
            bytes_max,
            lines_max,
            sink,
            clock,
            pending: Mutex::default(),
            is_used: AtomicBool::new(false),
        }
    }

    /// Takes bytes that the guest wrote to a standard stream; a line is handed on when its line feed comes, at
    /// [`LINE_BYTES_MAX`], or at the end of the call.
    pub fn write(&self, stdio: Stdio, bytes: &[u8]) {
        let mut lines = Vec::new();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_used.store(true, Ordering::Release);
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (text, ends) = match piece.strip_suffix(b"\n") {
                Some(text) => (text, true),
                None => (piece, false),
            };
            self.append(&mut pending, stdio, text, &mut lines);
            if ends {
                self.end_line(&mut pending, stdio, &mut lines);
            }
        }
        drop(pending);
        self.hand_on(&lines);
    }

    /// Takes one log message; line feeds in it stay, escaped.
    pub fn log(&self, level: &str, context: &str, message: &str) {
        let message = truncate(message, LINE_BYTES_MAX);
        let context = truncate(context, LOG_CONTEXT_MAX);
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        self.is_used.store(true, Ordering::Release);
        if !self.admit(&mut pending, message.len() + context.len()) {
            return;
        }
        drop(pending);
        let stream = OutputStream::Log { level: level.to_owned(), context: escape_line(&context).into_owned() };
        self.hand_on(&[self.line(stream, &message)]);
    }

    /// Ends the call: hands on unfinished lines, and says how much was left out, at most once a second.
    #[inline]
    pub(crate) fn end_call(&self) {
        if self.is_used.load(Ordering::Acquire) {
            self.end_used_call();
        }
    }

    #[cold]
    fn end_used_call(&self) {
        let mut lines = Vec::new();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for stdio in [Stdio::Out, Stdio::Err] {
            if !pending.buffer(stdio).is_empty() {
                self.end_line(&mut pending, stdio, &mut lines);
            }
        }
        if pending.lost_lines > 0 && !pending.window.is_said {
            pending.window.is_said = true;
            lines.push(self.left_out(&mut pending));
        }
        if pending.lost_lines == 0 {
            self.is_used.store(false, Ordering::Release);
        }
        drop(pending);
        self.hand_on(&lines);
    }

    /// Makes the line that says what was left out, and forgets it.
    fn left_out(&self, pending: &mut Pending) -> OutputLine {
        let (count, bytes) = (std::mem::take(&mut pending.lost_lines), std::mem::take(&mut pending.lost_bytes));
        let noun = if count == 1 { "line" } else { "lines" };
        self.line(OutputStream::Stderr, &format!("… {count} {noun} ({bytes} bytes) left out"))
    }

    fn append(&self, pending: &mut Pending, stdio: Stdio, mut text: &[u8], lines: &mut Vec<OutputLine>) {
        loop {
            let buffer = pending.buffer(stdio);
            let room = LINE_BYTES_MAX.saturating_sub(buffer.len());
            let Some((head, rest)) = text.split_at_checked(room) else {
                buffer.extend_from_slice(text);
                return;
            };
            buffer.extend_from_slice(head);
            if rest.is_empty() {
                return;
            }
            self.end_line(pending, stdio, lines);
            text = rest;
        }
    }

    fn end_line(&self, pending: &mut Pending, stdio: Stdio, lines: &mut Vec<OutputLine>) {
        let text = std::mem::take(pending.buffer(stdio));
        if !self.admit(pending, text.len()) {
            return;
        }
        let text = String::from_utf8_lossy(&text);
        let stream = match stdio {
            Stdio::Out => OutputStream::Stdout,
            Stdio::Err => OutputStream::Stderr,
        };
        lines.push(self.line(stream, text.strip_suffix('\r').unwrap_or(&text)));
    }

    fn line(&self, stream: OutputStream, text: &str) -> OutputLine {
        OutputLine { at: self.clock.now(), stream, text: escape_line(text).into_owned() }
    }

    fn hand_on(&self, lines: &[OutputLine]) {
        if !lines.is_empty() {
            self.sink.write(&self.component, lines);
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        let lost = self.pending.get_mut().unwrap_or_else(PoisonError::into_inner).lost_lines > 0;
        if lost {
            let mut pending = std::mem::take(self.pending.get_mut().unwrap_or_else(PoisonError::into_inner));
            let line = self.left_out(&mut pending);
            self.hand_on(&[line]);
        }
    }
}

impl Pending {
    fn buffer(&mut self, stdio: Stdio) -> &mut Vec<u8> {
        match stdio {
            Stdio::Out => &mut self.out,
            Stdio::Err => &mut self.err,
        }
    }
}
