//! Data folders as earlier versions left them are still read.
//!
//! `tests/fixtures/format-1` is the first format. Its files are never changed: a later format gets a folder of its own beside it,
//! made with `BLESS=1`, and the comparison of what is written moves on to that one.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Timestamp;
use domain::event::{Event, Record};
use domain::ports::{BlobStore, Clock, SettingsStore, StateStore, StateView};
use domain::status::Status;
use serde_json::{Value, json};
use storage::{Storage, Warning};

use crate::backups::tree;
use crate::fixtures::{commit, edge, failed, id, options, registered, revision, setting};

/// A clock that stands still.
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_700_000_000_123_456)
    }
}

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/format-{format}"))
}

fn open(folder: &Path) -> Storage {
    Storage::open(folder, &options(), Arc::new(Still)).unwrap()
}

/// Something of everything that the journal of the first format can hold.
fn write_first_format(folder: &Path) {
    let storage = open(folder);
    for (name, number) in [("a", 1), ("a", 2), ("b", 1), ("gone", 1)] {
        storage.blobs.put(format!("{name} {number}").as_bytes()).unwrap();
    }
    storage.settings.save("allow_override = true\n").unwrap();
    let state = &*storage.state;
    commit(state, vec![registered("a", 1, &[]), registered("b", 1, &["a"])]);
    commit(state, vec![registered("gone", 1, &["a", "b"])]);
    commit(state, vec![Event::Unregistered { component: id("gone") }]);
    let activated = |name: &str| Event::Activated {
        component: id(name),
        old_status: Status::Registered,
        revision: 1,
        duration_us: 12,
        fuel: 34,
        asked: None,
        lock: vec![],
    };
    commit(state, vec![activated("a"), activated("b")]);
    let waiting = Event::Registered {
        component: id("a"),
        revision: Arc::new(revision("a", 2)),
        current: false,
        dependencies: vec![],
        unresolved: vec![],
    };
    commit(state, vec![waiting]);
    commit(state, vec![failed("b", "unreachable \u{1b}[31m \"quoted\" ä")]);
    commit(state, vec![Event::EdgeRemoved { component: id("b"), on: id("a") }]);
    commit(state, vec![Event::EdgeAdded { component: id("b"), edge: edge("a") }]);
    commit(state, vec![Event::Errored { component: id("b"), old_status: Status::Active, error: "broke".to_owned() }]);
    commit(state, vec![Event::Probed { component: id("a"), healthy: false, message: Some("low on air".to_owned()) }]);
    let digest = storage.blobs.put(b"a saved state").unwrap();
    let saved = Some(domain::entry::StateRef { digest, size: 13 });
    commit(state, vec![Event::StateSaved { component: id("a"), state: saved }]);
    commit(state, vec![Event::IndexCreated { key: "author".to_owned() }, setting("a value")]);
    commit(
        state,
        vec![Event::Deactivated {
            component: id("a"),
            old_status: Status::Active,
            reason: Some("enough".to_owned()),
            lost: None,
        }],
    );
    storage.close().unwrap();
}

/// Everything that the registry in a folder says, as text that shows differences well.
fn all_of(storage: &Storage) -> String {
    let state = &*storage.state;
    let mut entries = Vec::new();
    for id in state.ids(None, 1_000).unwrap() {
        let revisions: Vec<Value> =
            state.revisions(&id).unwrap().iter().map(|revision| serde_json::to_value(&**revision).unwrap()).collect();
        let failures = state.failures(Some(&id), 100).unwrap();
        let failures: Vec<Value> =
            failures.iter().map(|logged| serde_json::to_value(&logged.failure).unwrap()).collect();
        entries.push(json!({
            "entry": serde_json::to_value(&*state.entry(&id).unwrap().unwrap()).unwrap(),
            "revisions": revisions,
            "failures": failures,
            "dependents": state.dependents(&id).unwrap(),
        }));
    }
    let records: Vec<Record> = state.records(1, 1_000).unwrap();
    let all = json!({
        "last_seq": state.last_seq(),
        "custom_indexes": state.custom_indexes().unwrap(),
        "by_author": state.index_keys("author").unwrap(),
        "settings": storage.settings.load().unwrap().0,
        "entries": entries,
        "records": records,
    });
    format!("{all:#}\n")
}

/// The files of a data folder that last: without the index, the lock and what says what is in it.
fn lasting(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = tree(folder).into_iter().map(|(path, bytes)| (path.strip_prefix(folder).unwrap().to_owned(), bytes));
    files.filter(|(path, _)| !path.starts_with("index") && !path.ends_with("state.json")).collect()
}

fn copy(files: &[(PathBuf, Vec<u8>)], to: &Path) {
    for (path, bytes) in files {
        let path = to.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
    }
}

#[test]
fn the_first_format_is_still_read() {
    let folder = tempfile::tempdir().unwrap();
    let files = lasting(&fixture(1));
    copy(&files, folder.path());
    let storage = open(folder.path());
    assert!(matches!(storage.warnings(), [Warning::IndexRebuilt { .. }]), "{:?}", storage.warnings());
    let expected = std::fs::read_to_string(fixture(1).join("state.json")).unwrap();
    assert_eq!(all_of(&storage), expected);
    for revision in storage.state.revisions(&id("a")).unwrap() {
        storage.blobs.get(&revision.digest).unwrap();
    }
    let last = storage.state.last_seq();
    assert_eq!(commit(&*storage.state, vec![setting("goes on")])[0].seq, last + 1);
    storage.close().unwrap();
    assert_eq!(open(folder.path()).state.last_seq(), last + 1);
}

#[test]
fn the_first_format_is_what_is_written_up_to_the_order_of_fields() {
    let folder = tempfile::tempdir().unwrap();
    write_first_format(folder.path());
    if std::env::var_os("BLESS").is_some() {
        copy(&lasting(folder.path()), &fixture(1));
        std::fs::write(fixture(1).join("state.json"), all_of(&open(folder.path()))).unwrap();
    }
    let (written, kept) = (lasting(folder.path()), lasting(&fixture(1)));
    let names = |files: &[(PathBuf, Vec<u8>)]| files.iter().map(|(path, _)| path.clone()).collect::<Vec<_>>();
    assert_eq!(names(&written), names(&kept));
    for ((path, written), (_, kept)) in written.iter().zip(&kept) {
        let (written, kept) = (String::from_utf8_lossy(written), String::from_utf8_lossy(kept));
        assert_eq!(meaning(&written), meaning(&kept), "{}", path.display());
    }
}

/// What the lines of a file say: fields may come in another order, and what is computed from the bytes changes with them.
fn meaning(text: &str) -> Vec<serde_json::Value> {
    let read = |line: &str| {
        let mut value = serde_json::from_str(line).unwrap_or_else(|_| serde_json::Value::from(line));
        if let Some(fields) = value.as_object_mut() {
            fields.retain(|name, _| !["prev", "crc", "hash", "sha256"].contains(&name.as_str()));
        }
        value
    };
    text.lines().map(read).collect()
}
