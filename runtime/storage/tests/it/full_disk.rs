//! Backups and restores on a disk that is full at any point, by a limit on the size of files.

use std::path::{Path, PathBuf};
use std::process::Command;

use domain::ports::{BackupError, BackupPlace, BlobStore, StorageError};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::backups::{back_up, fill, tree, try_restore};
use crate::fixtures::{commit, open, setting};

const FOLDER: &str = "STORAGE_FULL_DISK_FOLDER";

/// The largest file: every limit below it ends a backup.
const LARGEST: usize = 900_000;

fn limited<T>(bytes: Option<u64>, work: impl FnOnce() -> T) -> T {
    let limit = |current| setrlimit(Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    limit(bytes);
    let done = work();
    limit(None);
    done
}

fn is_full(error: &BackupError) -> bool {
    matches!(error, BackupError::Storage(StorageError::Full { .. }))
}

#[test]
fn runs_out_of_room_for_another_test() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let folder = PathBuf::from(folder);
    let data = folder.join("data");
    let storage = open(&data);
    fill(&storage, &["a", "b"]);
    let places = [BackupPlace::File(folder.join("backup.tar")), BackupPlace::Folder(folder.join("backup"))];
    for place in &places {
        back_up(&storage, place).unwrap();
    }
    let long = "x".repeat(100_000);
    for _ in 0..4 {
        commit(&*storage.state, vec![setting(&long)]);
    }
    storage.blobs.put(&vec![7; LARGEST]).unwrap();
    let limits = || (0..LARGEST as u64).step_by(60_001).chain([1, 511, 512, 513, 600, 1_024, 4_096]);
    let good =
        [folder.join("backup.tar"), folder.join("backup/manifest.json")].map(|path| std::fs::read(path).unwrap());
    for bytes in limits() {
        for place in &places {
            let error = limited(Some(bytes), || back_up(&storage, place)).unwrap_err();
            assert!(is_full(&error), "{bytes}: {error:?}");
        }
        let left =
            [folder.join("backup.tar"), folder.join("backup/manifest.json")].map(|path| std::fs::read(path).unwrap());
        assert!(left == good, "{bytes}: a backup was changed");
        assert_eq!(names(&folder), ["backup", "backup.tar", "data"], "{bytes}");
    }
    for backup in ["backup.tar", "backup"] {
        let target = folder.join("restored");
        assert_eq!(try_restore(&folder.join(backup), &target, false).unwrap().seq, 4);
        std::fs::remove_dir_all(&target).unwrap();
    }
    for place in &places {
        assert_eq!(back_up(&storage, place).unwrap().seq, 8);
    }
    storage.close().unwrap();
    let before = tree(&data);
    for bytes in limits() {
        for backup in ["backup.tar", "backup"] {
            let error = limited(Some(bytes), || try_restore(&folder.join(backup), &data, true)).unwrap_err();
            assert!(is_full(&error), "{bytes}: {error:?}");
            assert!(tree(&data) == before, "{bytes}: the target was touched");
            assert_eq!(names(&folder), ["backup", "backup.tar", "data"], "{bytes}");
        }
    }
    assert_eq!(try_restore(&folder.join("backup"), &data, true).unwrap().seq, 8);
}

fn names(folder: &Path) -> Vec<String> {
    let files = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn backups_and_targets_are_as_before_when_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    // Without the trap the system ends a process that passes its limit.
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", "full_disk::runs_out_of_room_for_another_test", "--nocapture"]);
    assert!(command.env(FOLDER, folder.path()).status().unwrap().success());
}
