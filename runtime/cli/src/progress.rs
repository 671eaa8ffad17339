//! Long work shown on standard error: bars on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::{Duration, Instant};

use domain::ComponentId;
use domain::ports::{BytesProgress, CompileProgress};
use indicatif::{ProgressBar, ProgressStyle};

use crate::output::{human_duration, human_size};
use crate::terminal::Terminal;

/// How long a compilation may take before a terminal shows it.
const SPINNER_AFTER: Duration = Duration::from_millis(200);
/// How long a compilation may take before a plain line tells of it.
const LINE_AFTER: Duration = Duration::from_secs(1);

/// Shows compilations that take a while.
pub(crate) struct CompileDisplay {
    terminal: Arc<Terminal>,
    running: Mutex<BTreeMap<ComponentId, Running>>,
}

struct Running {
    since: Instant,
    /// Dropped at the end, which wakes the thread that waits to show the compilation.
    _done: mpsc::Sender<()>,
    shown: Arc<Mutex<Shown>>,
}

enum Shown {
    NotYet,
    Line,
    Spinner(ProgressBar),
    Over,
}

impl CompileDisplay {
    /// Makes a display on standard error.
    pub(crate) fn new(terminal: Arc<Terminal>) -> Self {
        Self { terminal, running: Mutex::new(BTreeMap::new()) }
    }
}

impl CompileProgress for CompileDisplay {
    fn started(&self, component: &ComponentId, size: u64) {
        if self.terminal.is_quiet() {
            return;
        }
        let (done, waits) = mpsc::channel::<()>();
        let shown = Arc::new(Mutex::new(Shown::NotYet));
        let running = Running { since: Instant::now(), _done: done, shown: shown.clone() };
        self.running.lock().unwrap_or_else(PoisonError::into_inner).insert(component.clone(), running);
        let terminal = self.terminal.clone();
        let text = format!("compiling {component} ({})", human_size(size));
        // The thread ends when the compilation does, or once it has shown it.
        std::thread::spawn(move || {
            let delay = if terminal.is_interactive() { SPINNER_AFTER } else { LINE_AFTER };
            if waits.recv_timeout(delay) != Err(mpsc::RecvTimeoutError::Timeout) {
                return;
            }
            let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
            if !matches!(*shown, Shown::NotYet) {
                return;
            }
            *shown = if terminal.is_interactive() {
                Shown::Spinner(spinner(&terminal, &text))
            } else {
                terminal.note(&format!("{text} …"));
                Shown::Line
            };
        });
    }

    fn finished(&self, component: &ComponentId) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).remove(component);
        let Some(running) = running else { return };
        let shown = std::mem::replace(&mut *running.shown.lock().unwrap_or_else(PoisonError::into_inner), Shown::Over);
        match shown {
            Shown::Spinner(bar) => bar.finish_and_clear(),
            Shown::Line => {
                self.terminal.note(&format!("compiled {component} in {}", human_duration(running.since.elapsed())));
            }
            Shown::NotYet | Shown::Over => {}
        }
    }
}

/// Shows a moving sign with `text` until the bar is finished.
pub(crate) fn spinner(terminal: &Terminal, text: &str) -> ProgressBar {
    let bar = terminal.bars().add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
        bar.set_style(style);
    }
    bar.set_message(text.to_owned());
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// Shows bytes going by: the bar, and what tells it how far it is. Hidden where there is no terminal.
pub(crate) fn bytes(terminal: &Terminal, what: &str) -> (ProgressBar, impl FnMut(BytesProgress) + Send + use<>) {
    let bar = if terminal.is_interactive() { terminal.bars().add(ProgressBar::new(0)) } else { ProgressBar::hidden() };
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {bytes}/{total_bytes}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    let told = bar.clone();
    (bar, move |progress: BytesProgress| {
        told.set_length(progress.total);
        told.set_position(progress.done);
    })
}

/// Counts `total` steps of `what`; hidden where there is no terminal.
pub(crate) fn counter(terminal: &Terminal, what: &str, total: usize) -> ProgressBar {
    if !terminal.is_interactive() || total < 2 {
        return ProgressBar::hidden();
    }
    let bar = terminal.bars().add(ProgressBar::new(total as u64));
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len}") {
        bar.set_style(style);
    }
    bar.set_message(what.to_owned());
    bar
}
