//! Where components are compiled: strangers' bytes not in this process, unless it says so.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::settings::CompileSettings;
use engine::{CompileWith, WORKER_WORD};

/// Whether this program can be its own worker.
static IS_WORKER: AtomicBool = AtomicBool::new(false);

/// Where components are compiled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum CompileIn {
    /// In processes of this program. Its `main` has to begin with [`run_compile_worker_if_asked`]; else nothing can be compiled.
    #[default]
    OwnWorker,
    /// In processes of another program of the same version: `runtime`, or one whose `main` begins so.
    Worker {
        /// The program.
        program: PathBuf,
    },
    /// In this process, without any bound on memory and processor time: for components whose makers are trusted.
    ThisProcess,
}

impl CompileIn {
    pub(crate) fn resolve(&self, settings: &CompileSettings) -> CompileWith {
        match self {
            _ if settings.trusted => CompileWith::ThisProcess,
            Self::ThisProcess => CompileWith::ThisProcess,
            Self::Worker { program } => CompileWith::Worker { program: program.clone() },
            Self::OwnWorker if IS_WORKER.load(Ordering::Relaxed) => match own_program() {
                Ok(program) => CompileWith::Worker { program },
                Err(error) => CompileWith::Nowhere { reason: format!("this program cannot be found: {error}") },
            },
            Self::OwnWorker => CompileWith::Nowhere {
                reason: "this program has no compile worker; call `embed::run_compile_worker_if_asked()` first in `main`, or set \
                         `OpenOptions::compile`"
                    .to_owned(),
            },
        }
    }
}

/// Returns what starts this very program again, also after its file was replaced by another version.
#[cfg(target_os = "linux")]
fn own_program() -> std::io::Result<PathBuf> {
    Ok(PathBuf::from("/proc/self/exe"))
}

#[cfg(not(target_os = "linux"))]
fn own_program() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

/// Makes this program its own compile worker: where it was started as one, compiles the component that it is given and ends the process;
/// else returns at once.
///
/// Call it as the first thing of `main`, before threads are started and arguments are read. A worker gives up files, network and most
/// of what the system offers, which has to hold for the whole process. It is started with the one argument `compile-worker`. The guide
/// to embedding has a `main` that does it.
pub fn run_compile_worker_if_asked() {
    if std::env::args_os().nth(1).is_some_and(|word| word == WORKER_WORD) {
        std::process::exit(i32::from(engine::run_worker()));
    }
    IS_WORKER.store(true, Ordering::Relaxed);
}
