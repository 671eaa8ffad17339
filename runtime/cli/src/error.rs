//! Errors at the command line: exit codes, the JSON document, what people read.

use std::borrow::Cow;

use domain::failure::Failure;
use domain::text::{escape_block, escape_line};
use domain::{ComponentId, ErrorKind};
use registry::RegistryError;
use serde::{Deserialize, Serialize};

use crate::breaking::{BrokenDoc, broken_text};
use crate::output::Output;
use crate::terminal::Terminal;

/// Success.
pub(crate) const EXIT_OK: u8 = 0;
/// Invalid input or usage.
pub(crate) const EXIT_INVALID: u8 = 2;
/// A component, function, file or provider does not exist.
pub(crate) const EXIT_NOT_FOUND: u8 = 3;
/// The request contradicts the present state: a cycle, several providers, dependents in the way.
pub(crate) const EXIT_CONFLICT: u8 = 4;
/// A grant or a file permission is missing.
pub(crate) const EXIT_DENIED: u8 = 5;
/// Host capacity, a quota or the disk is used up.
pub(crate) const EXIT_EXHAUSTED: u8 = 6;
/// The guest trapped, ran into a limit, or answered `err` from a lifecycle export.
pub(crate) const EXIT_GUEST: u8 = 7;
/// Another process holds the data folder.
pub(crate) const EXIT_UNAVAILABLE: u8 = 8;
/// A fault of the product.
pub(crate) const EXIT_INTERNAL: u8 = 70;
/// Interrupted with Ctrl-C: 128 and the signal's number, as shells have it.
pub(crate) const EXIT_INTERRUPTED: u8 = 130;
/// Ended by SIGTERM: 128 and the signal's number.
pub(crate) const EXIT_TERMINATED: u8 = 143;

/// Returns the exit code of a kind of error. The table is public API.
pub(crate) fn exit_code(kind: ErrorKind) -> u8 {
    match kind {
        ErrorKind::Invalid => EXIT_INVALID,
        ErrorKind::NotFound => EXIT_NOT_FOUND,
        ErrorKind::Conflict => EXIT_CONFLICT,
        ErrorKind::Denied => EXIT_DENIED,
        ErrorKind::Exhausted => EXIT_EXHAUSTED,
        ErrorKind::Guest => EXIT_GUEST,
        ErrorKind::Unavailable => EXIT_UNAVAILABLE,
        ErrorKind::Internal => EXIT_INTERNAL,
    }
}

/// Whether a verb did all that it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Done {
    /// It did.
    All,
    /// Some of many failed; the first of them with this kind. The result was printed.
    Partly(ErrorKind),
}

impl Done {
    /// Returns the worst that can be said: the kind of the first error, if there is one.
    pub(crate) fn of(first: Option<&CliError>) -> Self {
        first.map_or(Self::All, |error| Self::Partly(error.kind))
    }

    pub(crate) fn exit_code(self) -> u8 {
        match self {
            Self::All => EXIT_OK,
            Self::Partly(kind) => exit_code(kind),
        }
    }
}

/// An error as people and scripts get it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct CliError {
    /// Whose turn it is; decides the exit code.
    pub(crate) kind: ErrorKind,
    /// Tells errors of one kind apart.
    pub(crate) code: Box<str>,
    /// One sentence.
    pub(crate) message: String,
    /// What to do next.
    pub(crate) hints: Vec<String>,
    /// The component it is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) component: Option<Box<str>>,
    /// What there is to say beyond the message.
    #[serde(flatten)]
    pub(crate) detail: Option<Box<DetailDoc>>,
    /// What caused it, outermost first; shown with `-v`.
    #[serde(skip)]
    causes: Vec<String>,
}

/// What an error says beyond its message, under a field of its own.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum DetailDoc {
    /// The failure of the component.
    Failure(FailureDoc),
    /// Who would break.
    Broken(Vec<BrokenDoc>),
}

impl DetailDoc {
    fn of(error: &RegistryError) -> Option<Box<Self>> {
        let detail = match error {
            RegistryError::Breaking { broken, .. } => Self::Broken(broken.iter().map(BrokenDoc::from).collect()),
            other => Self::Failure(other.failure()?.into()),
        };
        Some(Box::new(detail))
    }
}

/// Where and how a component failed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FailureDoc {
    pub(crate) phase: Cow<'static, str>,
    pub(crate) kind: Cow<'static, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) function: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) backtrace: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) fuel: Option<u64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) callers: Vec<ComponentId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) retry_after_ms: Option<u64>,
}

impl From<&Failure> for FailureDoc {
    fn from(failure: &Failure) -> Self {
        Self {
            phase: failure.phase.as_str().into(),
            kind: failure.kind.as_str().into(),
            function: failure.function.clone(),
            backtrace: failure.backtrace.clone(),
            fuel: failure.fuel,
            callers: failure.callers.clone(),
            retry_after_ms: failure.retry_after_ms,
        }
    }
}

/// The document on standard output of a verb that failed as a whole.
#[derive(Serialize)]
pub(crate) struct ErrorDoc<'a> {
    error: &'a CliError,
}

impl CliError {
    fn new(kind: ErrorKind, code: &'static str, message: String) -> Self {
        Self { kind, code: code.into(), message, hints: vec![], component: None, detail: None, causes: vec![] }
    }

    /// The arguments are wrong in a way that clap does not see.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, "usage", message.into())
    }

    /// Something does not exist.
    pub(crate) fn not_found(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, code, message.into())
    }

    /// A file given on the command line cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, doing: &str, error: &std::io::Error) -> Self {
        let (kind, code) = match error.kind() {
            std::io::ErrorKind::NotFound => (ErrorKind::NotFound, "path-not-found"),
            std::io::ErrorKind::PermissionDenied | std::io::ErrorKind::ReadOnlyFilesystem => {
                (ErrorKind::Denied, "path-denied")
            }
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => (ErrorKind::Exhausted, "disk-full"),
            _ => (ErrorKind::Invalid, "invalid-path"),
        };
        Self::new(kind, code, format!("cannot {doing} {}: {error}", path.display()))
    }

    /// Standard output cannot be written.
    pub(crate) fn stdout(error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => ErrorKind::Exhausted,
            _ => ErrorKind::Internal,
        };
        Self::new(kind, "stdout", format!("cannot write the result: {error}"))
    }

    /// Somebody stopped the verb.
    pub(crate) fn interrupted(message: String) -> Self {
        Self::new(ErrorKind::Unavailable, "interrupted", message)
    }

    /// A fault of the product.
    pub(crate) fn internal(message: String) -> Self {
        Self::new(ErrorKind::Internal, "internal", message)
    }

    /// A component or one of its dependencies is not as it should be; found by a check, not by an operation.
    pub(crate) fn found(kind: ErrorKind, code: &'static str, message: String) -> Self {
        Self::new(kind, code, message)
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    pub(crate) fn about(mut self, component: &ComponentId) -> Self {
        self.component = Some(component.as_str().into());
        self
    }

    /// Adds the causes of `error` that its own text does not name.
    fn caused_by(mut self, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut source = error.source();
        while let Some(cause) = source {
            let text = cause.to_string();
            if !self.message.contains(&text) {
                self.causes.push(text);
            }
            source = cause.source();
        }
        self
    }

    /// Prints the error: as the JSON document on standard output, or as text on standard error.
    pub(crate) fn report(&self, out: &Output, terminal: &Terminal) {
        if out.is_json() {
            // There is nowhere left to say that the error could not be said.
            let _ = out.json(&ErrorDoc { error: self });
        } else {
            self.print(None, terminal);
        }
    }

    /// Prints the error as text on standard error, after the name of the item it is about.
    pub(crate) fn print(&self, item: Option<&str>, terminal: &Terminal) {
        let mut message = escape_block(&self.message).into_owned();
        if let Some(item) = item
            && !message.contains(item)
        {
            message = format!("{}: {message}", escape_line(item));
        }
        terminal.print(&format!("{} {message}\n", terminal.paint().red("error:")));
        self.print_more(terminal);
    }

    /// Prints what there is to say beyond the message, as text on standard error.
    pub(crate) fn print_more(&self, terminal: &Terminal) {
        if let Some(DetailDoc::Broken(broken)) = self.detail.as_deref() {
            terminal.print(&broken_text(broken, terminal.paint()));
        }
        if terminal.is_verbose() {
            for cause in &self.causes {
                terminal.detail(&format!("  caused by: {cause}"));
            }
            if let Some(DetailDoc::Failure(failure)) = self.detail.as_deref() {
                for frame in &failure.backtrace {
                    terminal.detail(&format!("  at {frame}"));
                }
            }
        }
        for hint in &self.hints {
            terminal.hint(hint);
        }
    }
}

impl From<RegistryError> for CliError {
    fn from(error: RegistryError) -> Self {
        Self::from(&error)
    }
}

impl From<&RegistryError> for CliError {
    fn from(error: &RegistryError) -> Self {
        Self {
            kind: error.kind(),
            code: error.code().into(),
            message: error.to_string(),
            hints: error.hints(),
            component: error.component().map(|id| id.as_str().into()),
            detail: DetailDoc::of(error),
            causes: vec![],
        }
        .caused_by(error)
    }
}

impl From<domain::grant::GrantError> for CliError {
    fn from(error: domain::grant::GrantError) -> Self {
        error.hints().into_iter().fold(Self::usage(error.to_string()), Self::hint)
    }
}

impl From<server::ClientError> for CliError {
    fn from(error: server::ClientError) -> Self {
        use server::ClientError as E;
        let (kind, code, hint) = match &error {
            E::Denied { .. } => (ErrorKind::Denied, "server-denied", "work as the user that it runs as"),
            E::Refused(_) => (ErrorKind::Internal, "server-refused", "`runtime serve` says more where it logs"),
            E::OtherVersion(_) => (
                ErrorKind::Conflict,
                "server-version",
                "restart `runtime serve` with this program, or use the server's",
            ),
            E::Lost(_) => (
                ErrorKind::Unavailable,
                "server-lost",
                "`runtime log` shows what was done; the same command again does the rest",
            ),
        };
        Self::new(kind, code, error.to_string()).hint(hint)
    }
}

impl From<server::BindError> for CliError {
    fn from(error: server::BindError) -> Self {
        use server::BindError as E;
        let (kind, code, hint) = match &error {
            E::TooLong { .. } => (ErrorKind::Invalid, "socket-path", "use a data folder with a shorter path"),
            E::HandedOver(_) => (ErrorKind::Invalid, "socket", "the unit needs `ListenStream=` with a path"),
            E::Refused { .. } => {
                (ErrorKind::Denied, "socket", "the data folder has to be on a file system with sockets")
            }
        };
        Self::new(kind, code, error.to_string()).hint(hint).caused_by(&error)
    }
}

impl From<embed::OpenError> for CliError {
    fn from(error: embed::OpenError) -> Self {
        Self {
            kind: error.kind(),
            code: error.code().into(),
            message: error.to_string(),
            hints: error.hints(),
            component: None,
            detail: None,
            causes: vec![],
        }
        .caused_by(&error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_what_scripts_rely_on() {
        let table: Vec<_> = [
            ErrorKind::Invalid,
            ErrorKind::NotFound,
            ErrorKind::Conflict,
            ErrorKind::Denied,
            ErrorKind::Exhausted,
            ErrorKind::Guest,
            ErrorKind::Unavailable,
            ErrorKind::Internal,
        ]
        .into_iter()
        .map(|kind| format!("{kind} {}", exit_code(kind)))
        .collect();
        insta::assert_snapshot!(table.join("\n"), @r"
        invalid 2
        not-found 3
        conflict 4
        denied 5
        exhausted 6
        guest 7
        unavailable 8
        internal 70
        ");
    }

    #[test]
    fn the_error_document_has_the_promised_fields() {
        let error = CliError::not_found("component-not-found", "no component `demo:lag` is registered")
            .hint("did you mean demo:log?")
            .about(&"demo:log".parse().unwrap());
        insta::assert_snapshot!(serde_json::to_string(&ErrorDoc { error: &error }).unwrap(), @r#"{"error":{"kind":"not-found","code":"component-not-found","message":"no component `demo:lag` is registered","hints":["did you mean demo:log?"],"component":"demo:log"}}"#);
    }
}
