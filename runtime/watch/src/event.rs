//! What happens while folders are watched.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::build::BuildFailure;
use crate::service::{Outcome, RevisionName};

/// Something that happened. Texts of build commands are as they were printed: whoever shows them escapes them.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event<'a, P> {
    /// The first pass is over: from here on, changes are waited for.
    Watching(&'a Watching),
    /// A component that was not there before.
    Found {
        /// What it is called as long as it is not registered.
        name: &'a str,
        /// Its file or folder.
        path: &'a Path,
    },
    /// Its build command was started.
    Building {
        /// The component.
        name: &'a str,
        /// The command.
        command: &'a str,
    },
    /// Its build printed a line.
    Output {
        /// The component.
        name: &'a str,
        /// The line, at most 4 KiB.
        line: &'a str,
    },
    /// Its build was ended, since its sources have changed again.
    BrokenOff {
        /// The component.
        name: &'a str,
    },
    /// Its build is over and has left a component.
    Built {
        /// The component.
        name: &'a str,
        /// How long it took.
        took: Duration,
    },
    /// Its build has made nothing. What was in service stays.
    BuildFailed {
        /// The component.
        name: &'a str,
        /// Why.
        failure: &'a BuildFailure,
        /// How long it took.
        took: Duration,
        /// What it printed last.
        output: &'a [String],
        /// The revision in service, as far as this watch has seen one.
        kept: Option<&'a RevisionName>,
    },
    /// What was built is what was registered before: there was nothing to do.
    SameBytes {
        /// The component.
        name: &'a str,
        /// What is registered.
        revision: Option<&'a RevisionName>,
    },
    /// It was handed to the registry.
    Placed {
        /// The component.
        name: &'a str,
        /// What came of it.
        outcome: &'a Outcome<P>,
        /// The revision that was in service before, as far as this watch has seen one.
        before: Option<&'a RevisionName>,
    },
    /// The registry cannot be reached; it is tried again.
    Unreachable {
        /// Why.
        problem: &'a P,
        /// In how long it is tried again.
        retry_in: Duration,
    },
    /// Its file or folder is gone. In the registry it stays as it is.
    Removed {
        /// The component.
        name: &'a str,
        /// Where it was.
        path: &'a Path,
    },
    /// Something that whoever watches should know.
    Warning {
        /// The component, if it is about one.
        name: Option<&'a str>,
        /// One sentence.
        text: &'a str,
    },
}

/// What is watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Watching {
    /// How many components there are.
    pub components: usize,
    /// The folders and files, as they were named.
    pub paths: Vec<PathBuf>,
    /// How often is looked for changes; `None` if the system tells of them.
    pub polls: Option<Duration>,
}
