//! Why authority cannot be granted or revoked.

use std::path::PathBuf;

use domain::ErrorKind;
use domain::grant::{GRANTS_MAX, Revocation};

/// Why authority cannot be granted or revoked.
#[derive(Debug, thiserror::Error)]
pub enum GrantRefusal {
    /// The folder does not exist, or cannot be looked at.
    #[error("the folder {} cannot be granted: {source}", path.display())]
    Unreadable {
        /// The folder.
        path: PathBuf,
        /// The system's error.
        #[source]
        source: std::io::Error,
    },
    /// The path leads to something else than a folder.
    #[error("{} is not a folder", path.display())]
    NotAFolder {
        /// The path.
        path: PathBuf,
    },
    /// The path is not UTF-8 text, which it has to be to stand in the journal.
    #[error("the path {} is not text", path.display())]
    NotText {
        /// The path.
        path: PathBuf,
    },
    /// The folder is the registry's own, lies in it or holds it.
    #[error("the folder {} cannot be granted: {}", path.display(), if *holds { "the registry's data is in it" } else { "it is the registry's own" })]
    OwnData {
        /// The folder.
        path: PathBuf,
        /// Whether the registry's folder lies in it.
        holds: bool,
    },
    /// The folder shows the host itself rather than files.
    #[error("the folder {} cannot be granted: it is the system's own", path.display())]
    System {
        /// The folder.
        path: PathBuf,
    },
    /// The component asks for a folder by a relative path, and was not registered from a folder.
    #[error("it asks for the folder `{path}`, and from where that is meant is not known")]
    NoBase {
        /// The path as it was asked for, escaped.
        path: String,
    },
    /// There would be more grants than a component may have.
    #[error("a component may have {GRANTS_MAX} grants")]
    TooMany,
    /// There is nothing of the sort to revoke.
    #[error("it has no such grant: {what}")]
    NotGranted {
        /// What was to be revoked.
        what: Revocation,
        /// What it has, as it would be typed.
        has: Vec<String>,
    },
}

impl GrantRefusal {
    /// Says whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Unreadable { source, .. } => match source.kind() {
                std::io::ErrorKind::NotFound => ErrorKind::NotFound,
                std::io::ErrorKind::PermissionDenied => ErrorKind::Denied,
                _ => ErrorKind::Invalid,
            },
            Self::NotAFolder { .. } | Self::NotText { .. } | Self::NoBase { .. } => ErrorKind::Invalid,
            Self::OwnData { .. } | Self::System { .. } => ErrorKind::Denied,
            Self::TooMany => ErrorKind::Exhausted,
            Self::NotGranted { .. } => ErrorKind::NotFound,
        }
    }

    /// Tells the error apart from others of its kind.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } | Self::NotAFolder { .. } | Self::NotText { .. } | Self::NoBase { .. } => {
                "invalid-folder"
            }
            Self::OwnData { .. } => "own-data",
            Self::System { .. } => "system-folder",
            Self::TooMany => "too-many-grants",
            Self::NotGranted { .. } => "not-granted",
        }
    }

    /// Returns what to do next; `id` is the component.
    pub fn hints(&self, id: &domain::ComponentId) -> Vec<String> {
        match self {
            Self::Unreadable { .. } | Self::NotAFolder { .. } => {
                vec!["make the folder first: a component is never given one that is not there".to_owned()]
            }
            Self::System { .. } => vec!["whoever can use it controls the host's processes".to_owned()],
            Self::OwnData { .. } => {
                vec!["whoever can write it can grant itself anything; choose another folder".to_owned()]
            }
            Self::NoBase { .. } => vec![format!("name the folder: `runtime grant {id} folder PATH --at PLACE`")],
            Self::NotGranted { has, .. } if has.is_empty() => vec![format!("nothing is granted to `{id}`")],
            Self::NotGranted { has, .. } => vec![format!("granted: {}", has.join("; "))],
            Self::NotText { .. } | Self::TooMany => Vec::new(),
        }
    }
}
