//! Whether there is room for what sled is about to write: an error that its files meet once is one that it keeps for ever.

use std::fs::File;
use std::io::Result;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use domain::ports::StorageError;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

use super::overlay::Changes;
use crate::files;

/// What sled may write besides the rows, in bytes: a few segments and its list of pages.
const SPARE_BYTES: u64 = 1 << 20;
/// How many times the rows' bytes sled may write: rows are put into pages, and those are written again.
const TIMES: u64 = 4;
/// How much is written at once where room cannot just be asked for.
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Before what room is looked for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Before {
    /// Before sled is changed.
    Changing,
    /// Before it is closed and opened again.
    Opening,
}

/// Up to what tests want nothing to be looked for, so that sled meets the error.
#[cfg(test)]
pub(crate) static UNSEEN: std::sync::Mutex<Option<Before>> = std::sync::Mutex::new(None);

/// Makes sure that sled's file in `folder` could take `changes`, by taking as much room for a moment.
///
/// # Errors
/// [`StorageError::Full`], and other errors of the disk.
pub(super) fn look_for_room(folder: &Path, changes: &Changes, before: Before) -> std::result::Result<(), StorageError> {
    #[cfg(test)]
    if UNSEEN.lock().unwrap().is_some_and(|unseen| before <= unseen) {
        return Ok(());
    }
    // Only tests tell the two apart.
    let _ = before;
    let mut rows = 0;
    for (_, key, value) in changes.rows() {
        rows += key.len() as u64;
        if let Some(value) = value {
            rows += value.bytes()?.len() as u64;
        }
    }
    // From where sled's file ends, so that a limit on the length of files is met as well.
    let end = std::fs::metadata(folder.join("db")).map_or(0, |file| file.len());
    let path = folder.join(format!("room{}", files::PARTIAL));
    let file = File::options().create(true).truncate(true).write(true).mode(0o600).open(&path);
    let taken = file.and_then(|file| take(&file, end, SPARE_BYTES + TIMES * rows));
    // Should it stay, it is made empty by the next look.
    let _ = std::fs::remove_file(&path);
    taken.map_err(files::at(folder))
}

fn take(file: &File, from: u64, bytes: u64) -> Result<()> {
    match fallocate(file, FallocateFlags::empty(), from, bytes) {
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => write(file, from, bytes),
        taken => taken.map_err(Into::into),
    }
}

fn write(file: &File, mut from: u64, bytes: u64) -> Result<()> {
    let end = from + bytes;
    while from < end {
        let length = usize::try_from(end - from).unwrap_or(usize::MAX).min(ZEROS.len());
        file.write_all_at(ZEROS.get(..length).unwrap_or(&ZEROS), from)?;
        from += length as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::index::rows::Tree;

    #[test]
    fn takes_room_and_gives_it_back() {
        let folder = tempfile::tempdir().unwrap();
        let mut changes = Changes::default();
        changes.put(Tree::Entries, vec![1], vec![2; 100_000]);
        look_for_room(folder.path(), &changes, Before::Changing).unwrap();
        assert_eq!(files::list(folder.path()).unwrap().len(), 0);
        let path = folder.path().join("written");
        let file = File::create(&path).unwrap();
        write(&file, 1_000_000, 200_001).unwrap();
        assert_eq!(file.metadata().unwrap().len(), 1_200_001);
        let missing = look_for_room(&folder.path().join("missing"), &changes, Before::Changing);
        assert!(matches!(missing, Err(StorageError::Io { .. })));
    }
}
