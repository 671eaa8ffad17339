//! A folder for what is only needed for a while.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use domain::ports::{Stop, StorageError};

use crate::files;
use crate::stoppable_disk::Stoppable;

/// A folder of its own in the system's folder for temporary files; gone when this is dropped.
pub(crate) struct Scratch(PathBuf);

impl Scratch {
    /// Makes an empty folder.
    pub(crate) fn new() -> Result<Self, StorageError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let name = format!("runtime-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        let _ = std::fs::remove_dir_all(&path);
        files::create_folder(&path)?;
        Ok(Self(path))
    }

    /// Returns the folder.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What stays behind is in the way of nobody.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Copies a folder with all that is in it, until `stop` says so.
pub(crate) fn copy_folder(from: &Path, to: &Path, stop: &Stop) -> Result<(), StorageError> {
    files::create_folder(to)?;
    for file in std::fs::read_dir(from).map_err(files::at(from))? {
        let file = file.map_err(files::at(from))?;
        let (path, target) = (file.path(), to.join(file.file_name()));
        match file.file_type().map_err(files::at(&path))?.is_dir() {
            true => copy_folder(&path, &target, stop)?,
            false => {
                let mut from = Stoppable { from: File::open(&path).map_err(files::at(&path))?, stop: stop.clone() };
                let mut to = File::create(&target).map_err(files::at(&target))?;
                std::io::copy(&mut from, &mut to).map(drop).map_err(files::at(&path))?;
            }
        }
    }
    Ok(())
}
