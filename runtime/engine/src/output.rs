//! What a guest prints and logs: cut into lines, escaped, bounded per call.

use std::sync::{Arc, Mutex, PoisonError};

use domain::ComponentId;
use domain::ports::{Clock, OutputLine, OutputSink, OutputStream};
use domain::text::{escape_line, truncate};

/// Most lines that one call may print and log; the rest is counted.
pub const LINES_PER_CALL_MAX: u64 = 2_000;

/// Most bytes that one call may print and log; the rest is counted.
pub const BYTES_PER_CALL_MAX: u64 = 256 << 10;

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

/// Takes the output of one instance and hands it on as lines.
pub struct Output {
    component: ComponentId,
    sink: Arc<dyn OutputSink>,
    clock: Arc<dyn Clock>,
    pending: Mutex<Pending>,
}

#[derive(Default)]
struct Pending {
    out: Vec<u8>,
    err: Vec<u8>,
    lines: u64,
    bytes: u64,
    lost_bytes: u64,
    lost_lines: u64,
}

impl Pending {
    /// Tells whether `bytes` more bytes in one more line are within the call's bounds, and counts them.
    fn admit(&mut self, bytes: usize) -> bool {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        let fits = self.lines < LINES_PER_CALL_MAX && self.bytes.saturating_add(bytes) <= BYTES_PER_CALL_MAX;
        if fits {
            self.lines += 1;
            self.bytes += bytes;
        } else {
            self.lost_lines += 1;
            self.lost_bytes = self.lost_bytes.saturating_add(bytes);
        }
        fits
    }
}

impl Output {
    pub(crate) fn new(component: ComponentId, sink: Arc<dyn OutputSink>, clock: Arc<dyn Clock>) -> Self {
        Self { component, sink, clock, pending: Mutex::default() }
    }

    /// Takes bytes that the guest wrote to a standard stream; a line is handed on when its line feed comes, at
    /// [`LINE_BYTES_MAX`], or at the end of the call.
    pub fn write(&self, stdio: Stdio, bytes: &[u8]) {
        let mut lines = Vec::new();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
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
        if !pending.admit(message.len() + context.len()) {
            return;
        }
        drop(pending);
        let stream = OutputStream::Log { level: level.to_owned(), context: escape_line(&context).into_owned() };
        self.hand_on(&[self.line(stream, &message)]);
    }

    /// Ends the call: hands on unfinished lines, says how much was left out, and starts counting anew.
    pub(crate) fn end_call(&self) {
        let mut lines = Vec::new();
        let mut pending = self.pending.lock().unwrap_or_else(PoisonError::into_inner);
        for stdio in [Stdio::Out, Stdio::Err] {
            if !pending.buffer(stdio).is_empty() {
                self.end_line(&mut pending, stdio, &mut lines);
            }
        }
        if pending.lost_lines > 0 {
            let (count, bytes) = (pending.lost_lines, pending.lost_bytes);
            let noun = if count == 1 { "line" } else { "lines" };
            lines.push(self.line(OutputStream::Stderr, &format!("… {count} {noun} ({bytes} bytes) left out")));
        }
        *pending = Pending::default();
        drop(pending);
        self.hand_on(&lines);
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
        if !pending.admit(text.len()) {
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

impl Pending {
    fn buffer(&mut self, stdio: Stdio) -> &mut Vec<u8> {
        match stdio {
            Stdio::Out => &mut self.out,
            Stdio::Err => &mut self.err,
        }
    }
}
