//! Whatever is written besides the journal, on a disk that is full at any point, by a limit on the size of files.

use std::path::{Path, PathBuf};
use std::process::Command;

use domain::ports::{
    BackupError, BackupPlace, BlobStore, CodeCache, CodeKey, Durability, GuestOutput, OutputLine, OutputSink,
    OutputStream, SettingsStore, StateStore, StorageError,
};
use domain::{Digest, Timestamp};
use rustix::process::{Resource, Rlimit, setrlimit};
use storage::{OpenOptions, Storage};

use crate::backups::{back_up, fill, tree, try_restore};
use crate::fixtures::{Ticks, commit, id, open, options, segments, setting};

const FOLDER: &str = "STORAGE_FULL_DISK_FOLDER";
const OTHERS: &str = "STORAGE_FULL_DISK_OTHERS";
const GATHERED: &str = "STORAGE_FULL_DISK_GATHERED";

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

/// Every sort of file but the journal, which `children` tries.
#[test]
fn writes_everything_else_for_another_test() {
    let Ok(folder) = std::env::var(OTHERS) else { return };
    let folder = PathBuf::from(folder);
    // A registry that was closed answers from memory, so that no thread of sled's writes at the same time.
    let storage = open(&folder);
    commit(&*storage.state, vec![setting("before")]);
    storage.close().unwrap();
    let storage = open(&folder);
    assert!(storage.state.is_in_memory());
    let (id, key) = (id("a"), CodeKey { component: Digest::of(b"a"), engine: "e".to_owned() });
    let line =
        |text: &str| OutputLine { at: Timestamp::from_micros(1), stream: OutputStream::Stdout, text: text.to_owned() };
    let long = "x".repeat(20_000);
    storage.settings.save("# before\n").unwrap();
    storage.output.write(&id, &[line("before")]);
    let before = tree(&folder);
    for bytes in [0, 1, 7, 200, 4_096, 19_999] {
        let full = |result: Result<(), StorageError>| {
            assert!(matches!(result, Err(StorageError::Full { .. })), "{bytes}: {result:?}");
        };
        limited(Some(bytes), || {
            full(storage.blobs.put(long.as_bytes()).map(drop));
            full(storage.code.store(&key, long.as_bytes()).map(drop));
            full(storage.settings.save(&format!("# {long}\n")));
            storage.output.write(&id, &[line(&long), line("more")]);
        });
        let after = tree(&folder);
        let changed: Vec<_> = after.iter().filter(|file| !before.contains(file)).map(|(path, _)| path).collect();
        assert!(after == before, "{bytes}: {changed:?} was left");
        assert!(storage.code.find(&key).is_none());
        assert_eq!(storage.settings.load().unwrap().0.as_deref(), Some("# before\n"));
    }
    assert_eq!(storage.output.lost().lines, 12);
    storage.output.write(&id, &[line("after")]);
    assert_eq!(storage.output.read(&id).unwrap(), [line("before"), line("after")]);
    let digest = storage.blobs.put(long.as_bytes()).unwrap();
    assert_eq!(storage.blobs.get(&digest).unwrap().len(), 20_000);
    storage.code.store(&key, long.as_bytes()).unwrap();
    storage.settings.save("# after\n").unwrap();
}

#[test]
fn nothing_is_half_written_when_the_disk_is_full() {
    let folder = tempfile::tempdir().unwrap();
    run("full_disk::writes_everything_else_for_another_test", OTHERS, folder.path());
}

/// Changes at the level `none` are only in memory while the disk is full.
#[test]
fn gathers_records_for_another_test() {
    let Ok(folder) = std::env::var(GATHERED) else { return };
    let folder = PathBuf::from(folder);
    let options = OpenOptions { durability: Durability::None, ..options() };
    let storage = Storage::open(&folder, &options, Ticks::new()).unwrap();
    let state = &*storage.state;
    commit(state, (0..3).map(|_| setting("written")).collect());
    assert_eq!(state.records(1, 9).unwrap().len(), 3);
    let written = std::fs::metadata(&segments(&folder)[0]).unwrap().len();
    limited(Some(written + 10), || {
        for _ in 0..4 {
            commit(state, vec![setting("gathered")]);
        }
        let seqs = |from, limit| {
            let records = state.records(from, limit).unwrap();
            records.iter().map(|record| record.seq).collect::<Vec<_>>()
        };
        assert_eq!(seqs(1, 99), [1, 2, 3, 4, 5, 6, 7]);
        assert_eq!(seqs(3, 2), [3, 4]);
        assert_eq!(seqs(5, 2), [5, 6]);
        assert_eq!(seqs(8, 2), Vec::<u64>::new());
        assert_eq!(state.records(4, 1).unwrap()[0].event, setting("gathered"));
        assert_eq!(std::fs::metadata(&segments(&folder)[0]).unwrap().len(), written, "they are only in memory");
    });
    assert_eq!(state.records(1, 99).unwrap().len(), 7);
    assert!(std::fs::metadata(&segments(&folder)[0]).unwrap().len() > written);
    storage.close().unwrap();
    assert_eq!(open(&folder).state.records(1, 99).unwrap().len(), 7);
}

#[test]
fn records_that_cannot_be_written_yet_are_read_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    run("full_disk::gathers_records_for_another_test", GATHERED, folder.path());
}

/// Runs a test in a process that survives reaching its limit: without the trap the system ends it.
fn run(test: &str, variable: &str, folder: &Path) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"]).arg(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]);
    // Into pipes: what it says may go to a file otherwise, which has the limit as well.
    let output = command.env(variable, folder).output().unwrap();
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{:?}: {said}", output.status);
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
    run("full_disk::runs_out_of_room_for_another_test", FOLDER, folder.path());
}
