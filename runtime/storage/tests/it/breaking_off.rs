//! Long work that is broken off leaves nothing behind, and can be done again.

use std::path::Path;
use std::time::Duration;

use domain::ports::{BackupError, BackupPlace, BlobStore, StateView, Stop, StorageError, Upkeep};
use storage::{AuditWindow, RepairOptions, RestoreOptions, Storage, repair, restore, verify, verify_blobs};

use crate::fixtures::{Ticks, commit, open, registered};

/// Compacting keeps nothing that it need not.
const NOTHING: AuditWindow = AuditWindow { age: Duration::ZERO, records: 0 };

/// Makes a folder with some records and blobs.
fn filled(folder: &Path) -> Storage {
    let storage = open(folder);
    for number in 0..200 {
        commit(&*storage.state, vec![registered(&format!("c-{number}"), 1, &[])]);
    }
    for number in 0..5_u8 {
        storage.blobs.put(&vec![number; 200_000]).unwrap();
    }
    storage
}

/// Returns a stop that is set already.
fn stopped() -> Stop {
    let stop = Stop::default();
    stop.stop();
    stop
}

/// Returns the names of all files below a folder, ordered.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path.display().to_string()),
        }
    }
    found.sort();
    found
}

fn is_broken_off(error: &StorageError) -> bool {
    matches!(error, StorageError::BrokenOff)
}

#[test]
fn what_looks_after_an_open_folder_breaks_off() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let storage = filled(&data);
    let before = files(folder.path());
    let (stop, upkeep) = (stopped(), &storage.upkeep);
    let nothing = std::collections::HashSet::new();
    assert!(is_broken_off(&upkeep.verify(&stop).unwrap_err()));
    assert!(is_broken_off(&upkeep.verify_blobs(&nothing, &mut |_| {}, &stop).unwrap_err()));
    assert!(is_broken_off(&upkeep.sweep_blobs(&nothing, Duration::ZERO, false, &stop).unwrap_err()));
    let during = Stop::default();
    assert!(is_broken_off(&upkeep.compact(NOTHING, &|_, _| during.stop(), &during).unwrap_err()));
    // Compacting begins a segment; all else is as it was.
    let now = files(folder.path());
    assert!(before.iter().all(|file| now.contains(file)), "{now:?}");
    assert!(now.iter().all(|file| before.contains(file) || file.ends_with(".jsonl")), "{now:?}");
    let stop = Stop::default();
    assert_eq!(upkeep.verify(&stop).unwrap().differences, []);
    assert_eq!(upkeep.verify_blobs(&nothing, &mut |_| {}, &stop).unwrap().blobs, 5);
    assert_eq!(upkeep.compact(NOTHING, &|_, _| {}, &stop).unwrap().entries, 200);
    assert_eq!(upkeep.sweep_blobs(&nothing, Duration::ZERO, false, &stop).unwrap().removed, 5);
}

#[test]
fn backup_and_restore_break_off_at_every_piece() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let storage = filled(&data);
    let file = BackupPlace::File(folder.path().join("backup.tar"));
    let copy = BackupPlace::Folder(folder.path().join("copy"));
    let mut pieces = 0;
    storage.upkeep.backup(&file, &mut |_| pieces += 1, &Stop::default()).unwrap();
    assert!(pieces > 10, "{pieces}");
    std::fs::remove_file(folder.path().join("backup.tar")).unwrap();
    for after in 1..pieces {
        // A folder keeps what it has: the next backup takes less.
        let _ = std::fs::remove_dir_all(folder.path().join("copy"));
        for place in [&file, &copy] {
            let (stop, mut heard) = (Stop::default(), 0);
            let mut progress = |_| {
                heard += 1;
                if heard == after {
                    stop.stop();
                }
            };
            let error = storage.upkeep.backup(place, &mut progress, &stop).unwrap_err();
            assert!(matches!(&error, BackupError::Storage(error) if is_broken_off(error)), "{error}");
            assert_eq!(heard, after, "nothing is copied after that");
        }
        assert!(!folder.path().join("backup.tar").exists());
        assert!(files(folder.path()).iter().all(|file| !file.ends_with(".partial")));
    }
    storage.upkeep.backup(&copy, &mut |_| {}, &Stop::default()).unwrap();
    storage.upkeep.backup(&file, &mut |_| {}, &Stop::default()).unwrap();
    let last = storage.state.last_seq();
    storage.close().unwrap();
    let before = files(folder.path());
    let again = || {
        let options =
            RestoreOptions { replace: true, lock_timeout: Duration::from_secs(5), ..RestoreOptions::default() };
        (options.stop.clone(), options)
    };
    let archive = folder.path().join("backup.tar");
    for after in 1..pieces {
        let ((stop, options), mut heard) = (again(), 0);
        let mut progress = |_| {
            heard += 1;
            if heard == after {
                stop.stop();
            }
        };
        let error = restore(&archive, &data, &options, Ticks::new(), &mut progress).unwrap_err();
        assert!(matches!(&error, BackupError::Storage(error) if is_broken_off(error)), "{error}");
        assert_eq!((heard, files(folder.path())), (after, before.clone()));
    }
    let restored = restore(&archive, &data, &again().1, Ticks::new(), &mut |_| {}).unwrap();
    assert_eq!((restored.seq, open(&data).state.last_seq()), (last, last));
}

#[test]
fn what_looks_after_a_closed_folder_breaks_off() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path()).close().unwrap();
    let before = files(folder.path());
    let patience = Duration::from_secs(5);
    assert!(is_broken_off(&verify(folder.path(), patience, &stopped()).unwrap_err()));
    assert!(is_broken_off(&verify_blobs(folder.path(), patience, &mut |_| {}, &stopped()).unwrap_err()));
    let options = RepairOptions { stop: stopped(), ..RepairOptions::default() };
    let clock: std::sync::Arc<dyn domain::ports::Clock> = Ticks::new();
    assert!(is_broken_off(&repair(folder.path(), &options, &clock).unwrap_err()));
    assert_eq!(files(folder.path()), before);
    assert_eq!(verify(folder.path(), patience, &Stop::default()).unwrap().differences, []);
}
