//! What ends a watch.

use std::path::PathBuf;

use domain::ErrorKind;
use registry::RegistryError;

/// Watching cannot begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum WatchError<P> {
    /// A path that is to be watched cannot be.
    #[error("{source}")]
    Folder {
        /// The path.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<RegistryError>,
    },
    /// The system does not tell of changes.
    #[error("the system does not tell of changes: {0}")]
    Changes(#[source] std::io::Error),
    /// The registry cannot be reached, and could not from the beginning.
    #[error("the registry cannot be reached")]
    Service(P),
    /// A fault of the product.
    #[error("{0}")]
    Internal(String),
}

impl<P> WatchError<P> {
    /// Says whose turn it is; `None` where the service's own error says it.
    pub fn kind(&self) -> Option<ErrorKind> {
        match self {
            Self::Folder { source, .. } => Some(source.kind()),
            Self::Changes(_) => Some(ErrorKind::Exhausted),
            Self::Service(_) => None,
            Self::Internal(_) => Some(ErrorKind::Internal),
        }
    }
}
