//! What guests print and log, on standard error while a verb runs.

use std::sync::Arc;

use domain::ComponentId;
use domain::ports::{OutputLine, OutputSink, OutputStream};

use crate::style::Paint;
use crate::terminal::Terminal;

/// Prints guests' lines as `demo:greeter | text`.
pub(crate) struct GuestPrinter {
    terminal: Arc<Terminal>,
}

impl GuestPrinter {
    /// Makes a printer to standard error.
    pub(crate) fn new(terminal: Arc<Terminal>) -> Self {
        Self { terminal }
    }
}

impl OutputSink for GuestPrinter {
    fn write(&self, component: &ComponentId, lines: &[OutputLine]) {
        if self.terminal.is_quiet() {
            return;
        }
        let mut text = String::new();
        for line in lines {
            text.push_str(&self.terminal.paint().dim(component.as_str()));
            text.push_str(" | ");
            text.push_str(&line_text(line, self.terminal.paint()));
            text.push('\n');
        }
        self.terminal.print(&text);
    }
}

/// Returns one line without its component: the text, for a log line with level and context before it.
pub(crate) fn line_text(line: &OutputLine, paint: Paint) -> String {
    match &line.stream {
        OutputStream::Stdout | OutputStream::Stderr => line.text.clone(),
        OutputStream::Log { level, context } => {
            let word = match level.as_str() {
                "error" | "critical" => paint.red(level),
                "warn" => paint.yellow(level),
                _ => paint.dim(level),
            };
            let context = if context.is_empty() { String::new() } else { format!(" {context}:") };
            format!("{word}{context} {}", line.text)
        }
    }
}
