//! Removing what a crash left unfinished outside of the blobs: in the journal, the index, the code cache, the output, the settings.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use domain::ports::{BlobSweep, StorageError};

use crate::files;

/// Folders of the data folder with files that are replaced, and how many levels of folders are in them.
const FOLDERS: [(&str, u32); 5] = [("", 0), ("journal", 0), ("index", 0), ("output", 1), ("cache", 1)];
/// The system may date a file a little earlier than the clock says.
const CLOCK_STEP: Duration = Duration::from_millis(100);

/// Removes unfinished writes that are older than `grace` and were there when this process opened the folder: it alone writes there,
/// so that nobody is at work on them.
pub(super) fn sweep_strays(
    folder: &Path,
    opened: SystemTime,
    grace: Duration,
    dry_run: bool,
) -> Result<BlobSweep, StorageError> {
    let mut done = BlobSweep::default();
    let now = SystemTime::now();
    let mut open: Vec<(PathBuf, u32)> = FOLDERS.iter().map(|(name, levels)| (folder.join(name), *levels)).collect();
    while let Some((folder, levels)) = open.pop() {
        for found in files::list(&folder)? {
            if found.is_folder {
                open.extend(levels.checked_sub(1).map(|levels| (found.path, levels)));
                continue;
            }
            let is_stray = found.modified + CLOCK_STEP < opened;
            let is_old = now.duration_since(found.modified).unwrap_or_default() >= grace;
            if !(found.name().ends_with(files::PARTIAL) && is_stray && is_old) {
                continue;
            }
            if !dry_run {
                files::remove_if_there(&found.path)?;
            }
            done.removed += 1;
            done.removed_bytes += found.bytes;
        }
    }
    Ok(done)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(path: &Path, age: Duration) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"half").unwrap();
        std::fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn removes_what_was_unfinished_when_the_folder_was_opened_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let hour = Duration::from_secs(3_600);
        let strays = [
            "registry.toml.1-0.partial",
            "journal/00000000000000000087.snapshot.partial",
            "index/image.1-3.partial",
            "output/some.jsonl.77-1.partial",
            "cache/ab/abcd-e1.cwasm.77-0.partial",
        ];
        let whole = ["registry.toml", "journal/00000000000000000001.jsonl", "cache/ab/abcd-e1.cwasm"];
        for name in strays.iter().chain(&whole) {
            write(&folder.path().join(name), hour);
        }
        let being_written = folder.path().join("registry.toml.1-1.partial");
        write(&being_written, Duration::ZERO);
        let opened = SystemTime::now();
        let sweep = |grace, dry_run| sweep_strays(folder.path(), opened, grace, dry_run).unwrap();
        assert_eq!(sweep(2 * hour, false), BlobSweep::default());
        let expected = BlobSweep { removed: 5, removed_bytes: 20, ..BlobSweep::default() };
        assert_eq!(sweep(Duration::ZERO, true), expected);
        assert_eq!(sweep(Duration::ZERO, false), expected);
        assert_eq!(sweep(Duration::ZERO, false), BlobSweep::default());
        assert!(strays.iter().all(|name| !folder.path().join(name).exists()));
        assert!(whole.iter().all(|name| folder.path().join(name).exists()) && being_written.exists());
    }
}
