//! A restore that is ended at each point between two steps: the folder before it or the folder after it, and no data lost.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use domain::ports::{BackupPlace, BlobStore, StateView, Stop, Upkeep};

use super::{RestoreOptions, restore};
use crate::Storage;
use crate::fail::armed::{AT, PASSED};
use crate::fixtures::{Ticks, commit, open, registered};

const FOLDER: &str = "STORAGE_RESTORE_FOLDER";

/// Makes the folder `data` with entries of these names.
fn fill(data: &Path, names: &[&str]) -> Storage {
    let storage = open(data);
    for name in names {
        storage.blobs.put(format!("{name} 1").as_bytes()).unwrap();
        commit(&*storage.state, vec![registered(name, 1, &[])]);
    }
    storage
}

fn restore_here(folder: &Path) {
    let options = RestoreOptions { replace: true, ..RestoreOptions::default() };
    restore(&folder.join("backup.tar"), &folder.join("data"), &options, Ticks::new(), &mut |_| {}).unwrap();
}

#[test]
fn restores_until_it_crashes() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    restore_here(Path::new(&folder));
    println!("@passed {};", PASSED.load(Ordering::SeqCst));
}

/// Lets another process restore until it passes the point `at`; returns what it printed.
fn child(folder: &Path, at: u64) -> String {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "backup::crashes::restores_until_it_crashes", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(AT, at.to_string()).stderr(Stdio::null());
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

/// How many records the registry in `folder` has, once it was checked.
fn records(folder: &Path, at: u64) -> u64 {
    let storage = open(folder);
    assert_eq!(storage.verify().unwrap().differences, [], "point {at}");
    let last = storage.state.last_seq();
    storage.close().unwrap();
    last
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(parent).unwrap().map(|file| file.unwrap().path());
    found.filter(|path| path.is_dir()).collect()
}

/// Restores three records over one, or to where nothing is, with a crash at every point.
fn crash_everywhere(is_filled: bool) {
    let prepare = || {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let storage = fill(&data, &["new-1", "new-2", "new-3"]);
        storage
            .upkeep
            .backup(&BackupPlace::File(folder.path().join("backup.tar")), &mut |_| {}, &Stop::default())
            .unwrap();
        storage.close().unwrap();
        std::fs::remove_dir_all(&data).unwrap();
        if is_filled {
            fill(&data, &["old"]).close().unwrap();
        }
        folder
    };
    let whole = prepare();
    let said = child(whole.path(), u64::MAX);
    let points = said.split_once("@passed ").unwrap().1.split_once(';').unwrap().0.parse::<u64>().unwrap();
    assert!(points > 8, "{points}");
    let (mut before, mut after) = (0, 0);
    for at in 1..=points {
        let folder = prepare();
        let data = folder.path().join("data");
        assert!(!child(folder.path(), at).contains("@passed"), "point {at} was not passed");
        match data.exists().then(|| records(&data, at)) {
            Some(1) if is_filled => before += 1,
            None if !is_filled => before += 1,
            Some(3) => after += 1,
            other => panic!("point {at}: {other:?} records"),
        }
        // What the crash left is put away by the next restore, and the registries that were replaced stay.
        restore_here(folder.path());
        assert_eq!(records(&data, at), 3);
        let mut left: Vec<_> = folders(folder.path()).iter().map(|path| records(path, at)).collect();
        left.sort_unstable();
        let replaced = data.join("RESTORING").exists();
        assert!(!replaced, "point {at}");
        let olds = left.iter().filter(|records| **records == 1).count();
        assert_eq!(olds, usize::from(is_filled), "point {at}: {left:?}");
        assert!(left.iter().all(|records| [1, 3].contains(records)), "point {at}: {left:?}");
    }
    assert!(before > 0 && after > 0, "{before} before, {after} after");
}

#[test]
fn a_crash_leaves_what_was_there_or_what_was_restored() {
    crash_everywhere(true);
}

#[test]
fn a_crash_leaves_nothing_or_what_was_restored() {
    crash_everywhere(false);
}
