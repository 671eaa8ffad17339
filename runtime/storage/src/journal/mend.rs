//! Going on after a write, a cut or a sync that failed.
//!
//! After a failed sync the system may throw away what it could not write and count it as written: the next sync succeeds, and the
//! bytes are on no disk. So such a file is never synced again. Its end is read and checked, all of it is written to a new file,
//! and that one is synced and put in its place; what cannot be written then is tried again at the next change, and nothing is
//! acknowledged before. Meanwhile the journal is marked as one that may lose records, so that whoever opens it syncs file and
//! folder.

use domain::ports::StorageError;

use super::append::{Journal, refusal};
use super::disk::replace;
use super::line::LineError;
use super::open::ends_with;
use super::read::refuse;
use crate::files;

impl Journal {
    /// Puts a new file in the place of one that cannot be relied on; does nothing where it can.
    ///
    /// # Errors
    /// [`StorageError`] of the disk; [`StorageError::Damaged`] if what was written cannot be read back.
    pub(super) fn mend(&mut self) -> Result<(), StorageError> {
        if !self.is_doubtful {
            return Ok(());
        }
        let mut bytes = self.folder.read_all(&self.path)?;
        // What follows was taken back.
        bytes.truncate(usize::try_from(self.written).unwrap_or(usize::MAX));
        bytes.extend(&self.gathered);
        if !ends_with(&self.path, &bytes, self.first, &self.head)? {
            let reason = "its end is not what was written, after the disk failed".to_owned();
            return Err(refuse(&self.path, self.written, LineError::Broken(reason)));
        }
        // Should the new file be there and its name not be durable, the next process has to see to that before it relies on it.
        self.mark(self.head.seq + 1)?;
        replace(self.folder.disk(), &self.path, &bytes).map_err(|error| refusal(&self.path, error))?;
        self.file = self.folder.disk().append(&self.path).map_err(files::at(&self.path))?;
        self.written = bytes.len() as u64;
        self.gathered.clear();
        self.is_doubtful = false;
        self.unmark();
        Ok(())
    }
}
