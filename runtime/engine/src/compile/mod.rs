//! Makes native code of strangers' bytes, in a process of its own that can be killed.
//!
//! Nothing bounds what a compiler does with a hostile component, so it runs where memory, processor time and wall-clock time are
//! bounded from outside, without files, network and other processes: in a *worker*, one process for each compilation. [`Compiler`]
//! is the host's side: `places` says who may compile now, `process` starts a worker and listens to it. [`run_worker`] is the
//! worker's side, `confine` what it takes from itself before it reads a byte of the component. `frame` and `job` are what they say
//! to each other.

mod allowance;
mod compiler;
mod confine;
mod frame;
mod job;
mod outcome;
mod places;
mod process;
mod worker;

pub(crate) use compiler::{Compiler, Made, Order, Sink};
pub(crate) use outcome::{Broken, Memorable};

use std::path::PathBuf;
use std::sync::Arc;

use domain::settings::CompileSettings;

pub use worker::{SELF_TEST_WORD, WORKER_WORD, run_worker};

/// Where compilations run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileWith {
    /// In processes of this program, which is started with the one argument [`WORKER_WORD`] and then calls [`run_worker`].
    Worker {
        /// The program.
        program: PathBuf,
    },
    /// In this process, which then trusts whoever made the components not to exhaust it.
    ThisProcess,
    /// Nowhere: what is not in the code cache cannot be run, for this reason.
    Nowhere {
        /// Why, as one sentence for people.
        reason: String,
    },
}

/// Hears once what protection this machine does not offer.
pub type OnWarning = dyn Fn(&str) + Send + Sync;

/// How components are compiled.
pub struct CompileParts {
    /// Where.
    pub with: CompileWith,
    /// The bounds, and how many compilations run at once.
    pub settings: CompileSettings,
    /// Hears once what protection this machine does not offer, if anybody wants to.
    pub on_warning: Option<Arc<OnWarning>>,
}
