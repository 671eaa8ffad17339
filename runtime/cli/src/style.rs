//! Colours, on a terminal alone and never against `NO_COLOR`.

use domain::Status;

/// Colours text, or leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Paint {
    on: bool,
}

impl Paint {
    /// Colours where they can be seen and are welcome.
    pub(crate) fn new(on: bool) -> Self {
        Self { on }
    }

    /// Tells whether colours are used.
    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    pub(crate) fn red(self, text: &str) -> String {
        self.wrap("1;31", text)
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    pub(crate) fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    pub(crate) fn cyan(self, text: &str) -> String {
        self.wrap("36", text)
    }

    /// Colours a status word the way the drawn graph does.
    pub(crate) fn status(self, status: Status) -> String {
        let word = status.as_str();
        match status {
            Status::Active => self.green(word),
            Status::Error => self.red(word),
            Status::Inactive => self.yellow(word),
            Status::Registered => self.cyan(word),
            Status::Discovered => self.dim(word),
        }
    }
}

/// Tells whether this process's user wants colours on a terminal.
pub(crate) fn wanted() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
        && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
}
