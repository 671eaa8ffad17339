//! The one classification of what can go wrong, shared by every edge.

use serde::{Deserialize, Serialize};

/// Says whose turn it is when an operation fails; an edge maps it once to its exit code or HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ErrorKind {
    /// The input is wrong; the caller must change it.
    Invalid,
    /// A component, function, file or provider does not exist.
    NotFound,
    /// The request contradicts the present state.
    Conflict,
    /// A grant or a file permission is missing.
    Denied,
    /// Host capacity is used up: disk, queue, quota.
    Exhausted,
    /// The guest trapped, ran into a limit, or answered `err` from a lifecycle export.
    Guest,
    /// The registry cannot be reached now, for instance because another process holds its folder.
    Unavailable,
    /// A fault of the product itself.
    Internal,
}

impl ErrorKind {
    /// Returns the word used on the wire, for instance `not-found`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::Denied => "denied",
            Self::Exhausted => "exhausted",
            Self::Guest => "guest",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
        }
    }

    /// Tells whether the same request may succeed later without being changed.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::Exhausted | Self::Unavailable => true,
            Self::Invalid | Self::NotFound | Self::Conflict | Self::Denied | Self::Guest | Self::Internal => false,
        }
    }
}

impl std::fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
