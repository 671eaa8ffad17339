//! What is said over the socket.
//!
//! `POST /v1/command` takes a [`CommandRequest`] and answers with lines of JSON, each a [`Frame`], the last one [`Frame::Exit`].
//! `POST /v1/command/{id}/interrupt` is Ctrl-C. `GET /v1/about` answers with [`About`].

use std::ffi::OsString;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Largest request, in bytes: the words of one command line and what was piped into it.
pub const REQUEST_BYTES_MAX: usize = 16 << 20;

/// A command that another process asks for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CommandRequest {
    /// Names the command for an interrupt; chosen by who asks, hard to guess.
    pub id: String,
    /// Version of the program that asks. A server of another version refuses.
    pub version: String,
    /// The words of the command line, the program's own name first.
    pub args: Vec<OsString>,
    /// Folder from which relative paths are looked up, absolute.
    pub directory: PathBuf,
    /// What can be printed where the output goes.
    pub display: Display,
    /// What was piped in, where the command reads it.
    pub input: Option<String>,
}

/// What can be printed where the output goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Display {
    /// Whether standard output is a terminal.
    pub out_is_terminal: bool,
    /// Whether standard error is a terminal, so that bars can be drawn.
    pub err_is_terminal: bool,
    /// Whether colours are welcome on terminals.
    pub colours: bool,
    /// Columns of the terminal, 80 where there is none.
    pub width: u16,
}

/// A piece of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Frame {
    /// For standard output.
    Out(String),
    /// For standard error.
    Err(String),
    /// The command is over, with this exit code. Nothing follows.
    Exit(u8),
}

impl Frame {
    /// Returns the length of its text, in bytes.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Out(text) | Self::Err(text) => text.len(),
            Self::Exit(_) => 0,
        }
    }
}

/// What a server says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// Its version.
    pub version: String,
    /// Its process id.
    pub pid: u32,
}

/// An error of the server itself, before a command ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// One sentence.
    pub error: String,
}
