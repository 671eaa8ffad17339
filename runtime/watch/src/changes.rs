//! Who says that files have changed: the system, or looking again and again.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

#[cfg(target_os = "linux")]
use crate::kernel::Kernel;
use crate::polling::Polling;

/// How often is looked where the system cannot tell.
pub(crate) const POLL_EVERY: Duration = Duration::from_secs(1);
/// More changed paths than these at once are told as [`Changed::All`].
pub(crate) const PATHS_MAX: usize = 10_000;

/// What has changed in folders that are watched.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    /// These files and folders.
    Paths(BTreeSet<PathBuf>),
    /// Nobody knows: everything has to be looked at.
    All,
}

impl Changed {
    pub(crate) fn of(paths: BTreeSet<PathBuf>) -> Self {
        if paths.len() > PATHS_MAX { Self::All } else { Self::Paths(paths) }
    }
}

/// Watches folders, not what is in their subfolders.
pub(crate) enum Changes {
    #[cfg(target_os = "linux")]
    Told(Kernel),
    Looked(Polling),
}

impl Changes {
    /// Begins to watch nothing yet; `poll` says how often to look instead of being told.
    ///
    /// # Errors
    /// The system's, where it tells nobody (any more).
    pub(crate) fn open(poll: Option<Duration>) -> io::Result<Self> {
        match poll {
            Some(every) => Ok(Self::Looked(Polling::new(every))),
            #[cfg(target_os = "linux")]
            None => Kernel::open().map(Self::Told),
            #[cfg(not(target_os = "linux"))]
            None => Ok(Self::Looked(Polling::new(POLL_EVERY))),
        }
    }

    /// Watches `folder` as well; `true` if it was not watched yet. A folder that is gone is none.
    ///
    /// # Errors
    /// The system's, where it watches no more folders.
    pub(crate) fn watch(&mut self, folder: &Path) -> io::Result<bool> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Told(kernel) => kernel.watch(folder),
            Self::Looked(polling) => Ok(polling.watch(folder)),
        }
    }

    /// Goes on by looking at the same folders.
    pub(crate) fn look_instead(&mut self) {
        match self {
            #[cfg(target_os = "linux")]
            Self::Told(kernel) => {
                let mut polling = Polling::new(POLL_EVERY);
                for folder in kernel.folders() {
                    polling.watch(folder);
                }
                *self = Self::Looked(polling);
            }
            Self::Looked(_) => {}
        }
    }

    /// Returns how often is looked, `None` if the system tells.
    pub(crate) fn polls(&self) -> Option<Duration> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Told(_) => None,
            Self::Looked(polling) => Some(polling.every()),
        }
    }

    /// Waits for a change.
    ///
    /// # Errors
    /// The system's.
    /// # Cancel safety
    /// What was not returned is returned next time.
    pub(crate) async fn next(&mut self) -> io::Result<Changed> {
        match self {
            #[cfg(target_os = "linux")]
            Self::Told(kernel) => kernel.next().await,
            Self::Looked(polling) => polling.next().await,
        }
    }
}
