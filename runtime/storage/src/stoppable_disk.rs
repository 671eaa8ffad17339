//! A disk whose files can be read until somebody says stop, for what goes through a whole journal.

use std::io::{Error, Read, Result};
use std::path::Path;
use std::sync::Arc;

use domain::ports::{Stop, StorageError};

use crate::journal::{Disk, DiskFile, JournalFolder};

/// Returns the same journal, whose files can be read until `stop`.
pub(crate) fn stoppable(journal: &JournalFolder, stop: &Stop) -> JournalFolder {
    let disk = StoppableDisk { journal: journal.clone(), stop: stop.clone() };
    JournalFolder::on(Arc::new(disk), journal.path(), journal.segment_bytes())
}

/// Makes the error of work that may have failed because it was broken off.
pub(crate) fn broken_off(stop: &Stop, error: StorageError) -> StorageError {
    if stop.is_set() { StorageError::BrokenOff } else { error }
}

struct StoppableDisk {
    journal: JournalFolder,
    stop: Stop,
}

impl Disk for StoppableDisk {
    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        self.journal.disk().names(folder)
    }

    fn read(&self, path: &Path) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(Stoppable { from: self.journal.disk().read(path)?, stop: self.stop.clone() }))
    }

    fn len(&self, path: &Path) -> Result<u64> {
        self.journal.disk().len(path)
    }

    fn append(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        self.journal.disk().append(path)
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        self.journal.disk().create(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.journal.disk().rename(from, to)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.journal.disk().remove(path)
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        self.journal.disk().sync_folder(folder)
    }
}

/// Bytes that can be read until somebody says stop.
pub(crate) struct Stoppable<R> {
    pub(crate) from: R,
    pub(crate) stop: Stop,
}

impl<R: Read> Read for Stoppable<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        // Not `Interrupted`: whoever reads tries again after that.
        self.stop.check().map_err(Error::other)?;
        self.from.read(into)
    }
}
