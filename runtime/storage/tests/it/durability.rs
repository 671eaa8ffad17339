//! What is acknowledged at each level, and what is left of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::Timestamp;
use domain::event::Actor;
use domain::ports::{Clock, Durability, StateStore, StateView, StorageError};
use storage::{OpenOptions, Storage, Warning};

use crate::fixtures::{Ticks, commit, id, open, options, registered, segments, setting, try_commit, wait};

fn journal_files(folder: &std::path::Path) -> Vec<String> {
    segments(folder).iter().map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()).collect()
}

fn length(folder: &std::path::Path) -> u64 {
    std::fs::metadata(&segments(folder)[0]).unwrap().len()
}

fn commit_with(storage: &Storage, name: &str, durability: Durability) {
    let events = vec![registered(name, 1, &[])];
    wait(storage.state.commit_with(Actor::System, Box::new(|_| events), durability)).unwrap();
}

#[test]
fn weaker_levels_are_written_later_and_marked() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions { durability: Durability::None, ..options() };
    let storage = Storage::open(folder.path(), &options, Ticks::new()).unwrap();
    let empty = length(folder.path());
    commit(&*storage.state, vec![registered("a", 1, &[])]);
    assert!(storage.state.entry(&id("a")).unwrap().is_some());
    assert_eq!(journal_files(folder.path()), ["00000000000000000001.jsonl", "unsynced"]);
    // Whoever reads records gets those that are not written yet, too.
    assert_eq!(storage.state.records(1, 9).unwrap().len(), 1);
    let one = length(folder.path());
    assert!(one > empty);
    commit_with(&storage, "b", Durability::Process);
    assert!(length(folder.path()) > one);
    commit_with(&storage, "c", Durability::None);
    commit_with(&storage, "d", Durability::Power);
    assert_eq!(journal_files(folder.path()), ["00000000000000000001.jsonl"], "all of it is synced");
    commit_with(&storage, "e", Durability::None);
    let found = storage.verify().unwrap();
    assert_eq!((found.differences, found.last_seq), (vec![], 5));
    commit_with(&storage, "f", Durability::None);
    storage.close().unwrap();
    let storage = open(folder.path());
    assert_eq!((storage.warnings(), storage.state.last_seq()), (&[][..], 6));
    assert_eq!(journal_files(folder.path()), ["00000000000000000001.jsonl"], "what was found counts from now on");
}

#[test]
fn what_is_gathered_is_written_soon_and_when_there_is_much() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let empty = length(folder.path());
    commit_with(&storage, "a", Durability::None);
    let begun = std::time::Instant::now();
    while length(folder.path()) == empty {
        assert!(begun.elapsed() < Duration::from_secs(20), "it is never written");
        std::thread::yield_now();
    }
    for number in 0..100 {
        let events = vec![setting(&"x".repeat(50_000)), registered(&format!("c-{number}"), 1, &[])];
        wait(storage.state.commit_with(Actor::System, Box::new(|_| events), Durability::None)).unwrap();
    }
    assert!(length(folder.path()) > 3 << 20, "so much is not kept in memory");
    storage.close().unwrap();
    let storage = open(folder.path());
    assert_eq!((storage.warnings(), storage.state.last_seq()), (&[][..], 201));
}

#[test]
fn only_what_was_not_synced_may_be_missing_without_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    commit_with(&storage, "a", Durability::Power);
    let synced = length(folder.path());
    for name in ["b", "c", "d"] {
        commit_with(&storage, name, Durability::Process);
    }
    storage.close().unwrap();
    let file = segments(folder.path())[0].clone();
    let whole = std::fs::read(&file).unwrap();
    // Zeros where a page was lost, with later pages that were not.
    let mut torn = whole.clone();
    torn[synced as usize + 10..synced as usize + 600].fill(0);
    std::fs::write(&file, &torn).unwrap();
    let storage = open(folder.path());
    assert!(
        matches!(storage.warnings(), [Warning::UnsyncedLost { first: 2, .. }, Warning::IndexRebuilt { .. }]),
        "{:?}",
        storage.warnings()
    );
    assert_eq!(storage.state.ids(None, 9).unwrap(), [id("a")]);
    storage.close().unwrap();
    // The same loss without the mark is damage.
    std::fs::write(&file, &torn).unwrap();
    assert!(crate::fixtures::try_open(folder.path()).is_err());
}

#[test]
fn what_may_get_lost_is_noted_before_the_change_that_does_not_wait_for_that() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let marked = ["00000000000000000001.jsonl", "unsynced"];
    commit_with(&storage, "a", Durability::Power);
    wait(storage.state.relax()).unwrap();
    assert_eq!(journal_files(folder.path()), marked);
    commit_with(&storage, "b", Durability::Process);
    assert_eq!(
        (crate::fixtures::lines(folder.path()).len(), journal_files(folder.path())),
        (3, marked.map(String::from).to_vec())
    );
    wait(storage.state.secure(Durability::Power)).unwrap();
    assert_eq!(journal_files(folder.path()), marked[..1]);
    // Where nothing came after it, the next change that has to survive takes it back.
    wait(storage.state.relax()).unwrap();
    wait(storage.state.relax()).unwrap();
    commit_with(&storage, "c", Durability::Power);
    assert_eq!(journal_files(folder.path()), marked[..1]);
    storage.close().unwrap();
}

#[test]
fn what_is_there_can_be_made_as_safe_as_is_wanted_later() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let secure = |level| wait(storage.state.secure(level)).unwrap();
    secure(Durability::Power);
    commit_with(&storage, "a", Durability::None);
    commit_with(&storage, "b", Durability::None);
    secure(Durability::None);
    secure(Durability::Process);
    assert_eq!(crate::fixtures::lines(folder.path()).len(), 3);
    assert_eq!(journal_files(folder.path()), ["00000000000000000001.jsonl", "unsynced"]);
    secure(Durability::Power);
    assert_eq!(journal_files(folder.path()), ["00000000000000000001.jsonl"]);
    commit_with(&storage, "c", Durability::None);
    secure(Durability::Power);
    assert_eq!(crate::fixtures::lines(folder.path()).len(), 4);
    assert_eq!(journal_files(folder.path()), ["00000000000000000001.jsonl"]);
    storage.close().unwrap();
}

/// A clock that panics once it is told to.
struct Bomb(Arc<Ticks>, AtomicBool);

impl Clock for Bomb {
    fn now(&self) -> Timestamp {
        assert!(!self.1.load(Ordering::Acquire), "told to");
        self.0.now()
    }
}

#[test]
fn who_waits_and_who_closes_hear_that_the_committer_panicked() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(Bomb(Ticks::new(), AtomicBool::new(false)));
    let options = OpenOptions { durability: Durability::None, ..options() };
    let storage = Storage::open(folder.path(), &options, clock.clone()).unwrap();
    commit(&*storage.state, vec![registered("a", 1, &[])]);
    clock.1.store(true, Ordering::Release);
    for _ in 0..2 {
        let refused = try_commit(&*storage.state, vec![registered("b", 1, &[])]);
        assert!(matches!(refused, Err(StorageError::Defect { .. })), "{refused:?}");
    }
    assert!(matches!(wait(storage.state.secure(Durability::Power)), Err(StorageError::Defect { .. })));
    assert!(matches!(storage.verify(), Err(StorageError::Defect { .. })));
    assert!(storage.state.entry(&id("a")).unwrap().is_some());
    // Nobody knows whether the first one was written.
    assert!(matches!(storage.close(), Err(StorageError::Defect { .. })));
    let storage = open(folder.path());
    assert!(storage.state.last_seq() <= 1);
    commit(&*storage.state, vec![registered("c", 1, &[])]);
    assert_eq!(storage.verify().unwrap().differences, []);
}
