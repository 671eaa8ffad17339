//! Removing blobs that nothing names.

use std::path::Path;
use std::sync::PoisonError;
use std::time::{Duration, SystemTime};

use domain::ports::{BlobSweep, BlobsInUse, Stop, StorageError};

use super::{Kind, kind_of, shelves};
use crate::blobs::FileBlobs;
use crate::files::{self, Found};

/// Removes what is neither in use nor younger than `grace`.
pub(super) fn sweep(
    blobs: &FileBlobs,
    in_use: &dyn BlobsInUse,
    grace: Duration,
    dry_run: bool,
    stop: &Stop,
) -> Result<BlobSweep, StorageError> {
    let _upkeep = blobs.upkeep.lock().unwrap_or_else(PoisonError::into_inner);
    let mut done = BlobSweep::default();
    let now = SystemTime::now();
    // A file from the future counts as new: a clock was wrong then, or is now.
    let is_old = |file: &Found| now.duration_since(file.modified).unwrap_or_default() >= grace;
    for shelf in shelves(blobs)? {
        for file in files::list(&shelf)? {
            stop.check()?;
            let Kind::Blob(digest) = kind_of(&file) else { continue };
            let mut unused = false;
            let mut removed = Ok(());
            in_use.unless_used(&digest, &mut || {
                unused = true;
                if is_old(&file) && !dry_run {
                    removed = files::remove_if_there(&file.path);
                }
            });
            removed?;
            let goes = unused && is_old(&file);
            done.removed += u64::from(goes);
            done.removed_bytes += if goes { file.bytes } else { 0 };
            done.spared += u64::from(unused && !goes);
            done.kept += u64::from(!goes);
        }
        sweep_unfinished(blobs, &shelf, &is_old, dry_run, &mut done)?;
    }
    Ok(done)
}

fn sweep_unfinished(
    blobs: &FileBlobs,
    shelf: &Path,
    is_old: &dyn Fn(&Found) -> bool,
    dry_run: bool,
    done: &mut BlobSweep,
) -> Result<(), StorageError> {
    // With nobody writing, every unfinished write is one that a crash left: the folder has no other process.
    let _nobody_writes = blobs.writing.write().unwrap_or_else(PoisonError::into_inner);
    for file in files::list(shelf)? {
        if !matches!(kind_of(&file), Kind::Partial) {
            continue;
        }
        if !is_old(&file) {
            done.kept += 1;
            continue;
        }
        if !dry_run {
            files::remove_if_there(&file.path)?;
        }
        done.removed += 1;
        done.removed_bytes += file.bytes;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use domain::Digest;
    use domain::ports::BlobStore;

    use super::*;

    fn blobs() -> (tempfile::TempDir, FileBlobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::new(folder.path());
        (folder, blobs)
    }

    fn age(path: &Path, age: Duration) {
        std::fs::File::options().write(true).open(path).unwrap().set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn removes_what_nothing_names_and_is_old_enough() {
        let (_folder, blobs) = blobs();
        let [used, old, young] = [&b"used"[..], b"old one", b"young"].map(|bytes| blobs.put(bytes).unwrap());
        let day = Duration::from_secs(24 * 60 * 60);
        for digest in [used, old] {
            age(&blobs.path(&digest), 2 * day);
        }
        let in_use = HashSet::from([used]);
        let expected = BlobSweep { removed: 1, removed_bytes: 7, spared: 1, kept: 2 };
        assert_eq!(sweep(&blobs, &in_use, day, true, &Stop::default()).unwrap(), expected);
        assert!(blobs.get(&old).is_ok(), "a dry run removes nothing");
        assert_eq!(sweep(&blobs, &in_use, day, false, &Stop::default()).unwrap(), expected);
        assert!(matches!(blobs.get(&old), Err(StorageError::MissingBlob { .. })));
        assert!(blobs.get(&used).is_ok() && blobs.get(&young).is_ok());
        let rest = BlobSweep { removed: 1, removed_bytes: 5, spared: 0, kept: 1 };
        assert_eq!(sweep(&blobs, &in_use, Duration::ZERO, false, &Stop::default()).unwrap(), rest);
    }

    #[test]
    fn removes_unfinished_writes_and_leaves_what_is_not_ours() {
        let (folder, blobs) = blobs();
        let digest = blobs.put(b"some bytes").unwrap();
        let shelf = blobs.path(&digest).parent().unwrap().to_owned();
        std::fs::write(shelf.join("x.77-0.partial"), b"half").unwrap();
        std::fs::write(shelf.join("notes.txt"), b"mine").unwrap();
        std::fs::write(folder.path().join("blobs/sha256/README"), b"mine").unwrap();
        let in_use = HashSet::from([digest]);
        let hour = Duration::from_secs(3_600);
        assert_eq!(
            sweep(&blobs, &in_use, hour, false, &Stop::default()).unwrap(),
            BlobSweep { kept: 2, ..BlobSweep::default() }
        );
        let expected = BlobSweep { removed: 1, removed_bytes: 4, spared: 0, kept: 1 };
        assert_eq!(sweep(&blobs, &in_use, Duration::ZERO, false, &Stop::default()).unwrap(), expected);
        assert!(shelf.join("notes.txt").exists() && folder.path().join("blobs/sha256/README").exists());
    }

    #[test]
    fn a_folder_without_blobs_has_nothing_to_sweep() {
        let (_folder, blobs) = blobs();
        let nothing: HashSet<Digest> = HashSet::new();
        assert_eq!(sweep(&blobs, &nothing, Duration::ZERO, false, &Stop::default()).unwrap(), BlobSweep::default());
    }

    #[test]
    fn writers_are_not_disturbed_by_sweeps_without_a_grace_period() {
        let (_folder, blobs) = blobs();
        let bytes: Vec<Vec<u8>> = (0..60_u8).map(|n| vec![n; 5_000]).collect();
        let in_use: HashSet<Digest> = bytes.iter().map(|bytes| Digest::of(bytes)).collect();
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| bytes.iter().all(|bytes| blobs.put(bytes).is_ok()));
            while !writer.is_finished() {
                assert_eq!(sweep(&blobs, &in_use, Duration::ZERO, false, &Stop::default()).unwrap().removed, 0);
            }
        });
        assert!(in_use.iter().all(|digest| blobs.get(digest).is_ok()));
    }
}
