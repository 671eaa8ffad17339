//! Snapshots: what they stand for, what is kept beside them, and what a damaged one costs.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::event::Event;
use domain::ports::{StateStore, StateView, StorageError};
use domain::usage::Usage;
use storage::{AuditWindow, Compacted, OpenOptions, Storage, Warning};

use crate::fixtures::{Ticks, commit, failed, id, options, registered, setting, wait};
use crate::model::Model;

/// Keeps nothing for people to look back at.
const NOTHING: AuditWindow = AuditWindow { age: Duration::ZERO, records: 0 };

fn small_segments() -> OpenOptions {
    OpenOptions { segment_bytes: 4_000, ..options() }
}

fn try_open(folder: &Path) -> Result<Storage, StorageError> {
    Storage::open(folder, &small_segments(), Ticks::new())
}

fn open(folder: &Path) -> Storage {
    try_open(folder).unwrap()
}

fn compact(storage: &Storage, keep: AuditWindow) -> Compacted {
    storage.compact(keep, &|_, _| {}).unwrap()
}

fn files(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let names = std::fs::read_dir(folder.join("journal")).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<PathBuf> = names.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
    found.sort();
    found
}

/// Changes of all sorts, enough for several segments.
fn change(storage: &Storage, model: &mut Model, rounds: std::ops::Range<usize>) {
    for round in rounds {
        let name = ["a", "a-b", "b", "c"][round % 4];
        let events = match round % 7 {
            0 => vec![Event::IndexCreated { key: "author".to_owned() }],
            5 => vec![Event::Unregistered { component: id(name) }],
            6 => vec![failed(name, "boom"), setting(name)],
            _ => vec![registered(name, round as u32 + 1, &["b"]), failed(name, "bang")],
        };
        for record in commit(&*storage.state, events) {
            model.apply(&record);
        }
    }
    let usage = Usage { calls: 2, ..Usage::default() };
    wait(storage.state.add_usage(vec![(id("a"), usage)])).unwrap();
}

#[test]
fn a_snapshot_stands_for_the_records_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let mut storage = open(folder.path());
    assert_eq!(
        compact(&storage, NOTHING),
        Compacted { first_seq: 1, bytes_before: 166, bytes_after: 166, ..Compacted::default() }
    );
    for round in 0..5 {
        change(&storage, &mut model, round * 20..round * 20 + 20);
        let calls = storage.state.usage(&id("a")).unwrap().calls;
        let seen = AtomicU64::new(0);
        let done = storage.compact(NOTHING, &|written, of| {
            assert!(written <= of);
            seen.store(written, Ordering::Relaxed);
        });
        let done = done.unwrap();
        let last = storage.state.last_seq();
        assert_eq!((done.seq, done.first_seq), (last, last + 1));
        assert_eq!(
            (done.entries, seen.into_inner()),
            (storage.state.ids(None, 99).unwrap().len() as u64, done.entries)
        );
        assert_eq!(done.snapshots_removed, u64::from(round > 0));
        assert!(done.segments_removed > 0 && done.bytes_after < done.bytes_before, "{done:?}");
        assert_eq!((files(folder.path(), ".snapshot").len(), files(folder.path(), ".jsonl").len()), (1, 1));
        assert_eq!(storage.state.records(1, 99).unwrap(), []);
        model.check(&*storage.state);
        if round % 2 == 0 {
            for record in commit(&*storage.state, vec![registered("d", round as u32 + 1, &["c"])]) {
                model.apply(&record);
            }
            assert_eq!(storage.state.records(1, 99).unwrap().len(), 1);
        }
        storage.close().unwrap();
        let index = folder.path().join("index");
        if round > 1 {
            std::fs::remove_dir_all(&index).unwrap();
        } else if round == 1 {
            std::fs::remove_file(index.join("image")).unwrap();
        }
        storage = open(folder.path());
        let ([] | [Warning::IndexRebuilt { snapshot: Some(_), .. }]) = storage.warnings() else {
            panic!("{:?}", storage.warnings());
        };
        assert_eq!(storage.warnings().len(), usize::from(round > 1));
        assert_eq!(storage.state.usage(&id("a")).unwrap().calls, calls, "round {round}");
        model.check(&*storage.state);
    }
}

#[test]
fn what_the_audit_window_asks_for_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    change(&storage, &mut Model::default(), 0..60);
    let last = storage.state.last_seq();
    let before = files(folder.path(), ".jsonl").len();
    assert!(before > 4, "{before}");
    assert_eq!(compact(&storage, AuditWindow::default()).segments_removed, 0);
    assert_eq!(compact(&storage, AuditWindow { records: last, ..NOTHING }).segments_removed, 0);
    let done = compact(&storage, AuditWindow { records: last / 2, ..NOTHING });
    assert!(done.segments_removed > 0 && done.first_seq <= last - last / 2 + 1, "{done:?}");
    assert_eq!(storage.state.first_seq().unwrap(), done.first_seq);
    let records = storage.state.records(1, 1_000).unwrap();
    assert_eq!(
        records.iter().map(|record| record.seq).collect::<Vec<_>>(),
        (done.first_seq..=last).collect::<Vec<_>>()
    );
    // The clock goes on by a second at each look, also for what was compacted since the last record.
    let age = storage.state.records(last, 1).unwrap()[0].at.since(records[records.len() / 2].at);
    let done = compact(&storage, AuditWindow { age: age + Duration::from_secs(20), records: 0 });
    assert!(done.segments_removed > 0 && done.first_seq <= records[records.len() / 2].seq, "{done:?}");
    assert!(compact(&storage, NOTHING).first_seq > last);
}

#[test]
fn it_runs_while_the_registry_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let names: Vec<String> = (0..300).map(|number| format!("c-{number}")).collect();
    commit(&*storage.state, names.iter().map(|name| registered(name, 1, &["base"])).collect());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for (number, name) in names.iter().enumerate() {
                let event = match number % 3 {
                    0 => Event::Unregistered { component: id(name) },
                    1 => registered(name, 2, &[]),
                    _ => registered(&format!("new-{name}"), 1, &["base"]),
                };
                commit(&*storage.state, vec![event]);
            }
        });
        while !writer.is_finished() {
            compact(&storage, NOTHING);
        }
    });
    let found =
        |storage: &Storage| (storage.state.ids(None, 999).unwrap(), storage.state.dependents(&id("base")).unwrap());
    let expected = found(&storage);
    assert_eq!((expected.0.len(), expected.1.len()), (300, 200));
    storage.close().unwrap();
    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
    assert_eq!(found(&open(folder.path())), expected);
}

#[test]
fn the_state_is_that_of_the_moment_whatever_happens_while_it_is_written() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let names: Vec<String> = (0..200).map(|number| format!("c-{number:03}")).collect();
    commit(&*storage.state, names.iter().map(|name| registered(name, 1, &[])).collect());
    let entries = |_: u64, of: u64| {
        assert_eq!(of, 200);
        // Entries that were written already and entries that were not yet, so many that sled gets them.
        let unregister = |name: &String| Event::Unregistered { component: id(name) };
        commit(&*storage.state, names.iter().map(unregister).collect());
        commit(&*storage.state, names.iter().map(|name| registered(name, 2, &[])).collect());
    };
    let done = storage.compact(AuditWindow::default(), &entries).unwrap();
    assert_eq!((done.seq, done.entries), (200, 200));
    let text = std::fs::read_to_string(&files(folder.path(), ".snapshot")[0]).unwrap();
    let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines.len(), &lines[0]["kind"], &lines[0]["entries"]), (203, &"snapshot".into(), &200.into()));
    for (line, name) in lines[2..202].iter().zip(&names) {
        assert_eq!((&line["component"], &line["entry"]["newest"]), (&format!("demo:{name}").into(), &1.into()));
    }
}

#[test]
fn a_damaged_snapshot_is_replaced_by_records_or_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let storage = open(folder.path());
    change(&storage, &mut model, 0..30);
    compact(&storage, AuditWindow::default());
    storage.close().unwrap();
    let snapshot = files(folder.path(), ".snapshot").remove(0);
    let whole = std::fs::read(&snapshot).unwrap();
    let without_index = || {
        std::fs::remove_dir_all(folder.path().join("index")).unwrap();
        try_open(folder.path())
    };
    for at in (0..whole.len()).step_by(whole.len() / 9) {
        let mut bytes = whole.clone();
        match at % 2 {
            0 => bytes[at] ^= 1,
            _ => bytes.truncate(at),
        }
        std::fs::write(&snapshot, bytes).unwrap();
        let storage = without_index().unwrap();
        let [Warning::SnapshotDamaged { file, offset, .. }, Warning::IndexRebuilt { snapshot: None, .. }] =
            storage.warnings()
        else {
            panic!("byte {at}: {:?}", storage.warnings())
        };
        assert!(*file == snapshot && *offset <= at as u64, "byte {at}: {offset}");
        model.check(&*storage.state);
    }
    // A line that was left out, and all its lines in order.
    let lines: Vec<&[u8]> = whole.split_inclusive(|byte| *byte == b'\n').collect();
    std::fs::write(&snapshot, [&lines[..2], &lines[3..]].concat().concat()).unwrap();
    let storage = without_index().unwrap();
    assert_eq!(storage.warnings().len(), 2);
    compact(&storage, NOTHING);
    storage.close().unwrap();
    let mut bytes = std::fs::read(&snapshot).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&snapshot, bytes).unwrap();
    let error = without_index().unwrap_err();
    assert!(matches!(&error, StorageError::Damaged { path, .. } if *path == snapshot), "{error}");
}

#[test]
fn a_segment_that_no_snapshot_stands_for_is_missed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    change(&storage, &mut Model::default(), 0..20);
    compact(&storage, NOTHING);
    change(&storage, &mut Model::default(), 20..60);
    storage.close().unwrap();
    let segments = files(folder.path(), ".jsonl");
    assert!(segments.len() > 2);
    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
    let whole = std::fs::read(&segments[0]).unwrap();
    std::fs::remove_file(&segments[0]).unwrap();
    let error = try_open(folder.path()).unwrap_err();
    assert!(matches!(&error, StorageError::Damaged { reason, .. } if reason.contains("are missing")), "{error}");
    std::fs::write(&segments[0], whole).unwrap();
    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
    assert_eq!(open(folder.path()).warnings().len(), 1);
    for segment in files(folder.path(), ".jsonl") {
        std::fs::remove_file(segment).unwrap();
    }
    let error = try_open(folder.path()).unwrap_err();
    assert!(matches!(&error, StorageError::Damaged { reason, .. } if reason.contains("are missing")), "{error}");
}

#[test]
fn closing_breaks_off_what_is_being_written_and_leaves_a_folder_that_opens() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let names: Vec<String> = (0..400).map(|number| format!("c-{number:03}")).collect();
    commit(&*storage.state, names.iter().map(|name| registered(name, 1, &[])).collect());
    let state = storage.state.clone();
    let (begun, has_begun) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        let compacting = scope.spawn(|| storage.compact(NOTHING, &|_, _| begun.send(()).unwrap()));
        has_begun.recv().unwrap();
        state.close().unwrap();
        // It may have been faster.
        let written = match compacting.join().unwrap() {
            Ok(_) => 1,
            Err(StorageError::Closed) => 0,
            Err(error) => panic!("{error}"),
        };
        assert_eq!(files(folder.path(), ".snapshot").len(), written);
    });
    drop(storage);
    let storage = open(folder.path());
    assert_eq!((storage.warnings(), storage.state.ids(None, 999).unwrap().len()), (&[][..], 400));
    assert_eq!(compact(&storage, NOTHING).entries, 400);
    assert_eq!(files(folder.path(), ".partial").len(), 0);
}
