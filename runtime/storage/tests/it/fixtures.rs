//! Events, clocks and folders for the tests.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use domain::entry::{DeclaredBy, Edge, EdgeKind, Revision, Unresolved, UnresolvedReason};
use domain::event::{Actor, Event};
use domain::failure::{Failure, FailureKind, Phase};
use domain::inspection::{ExternItem, ExternKind};
use domain::manifest::ComponentManifest;
use domain::ports::{Clock, Committed, StateStore, StorageError};
use domain::{ComponentId, Digest, Timestamp};
use storage::{OpenOptions, Storage};

/// A clock that goes on by a second at each look.
pub(crate) struct Ticks(AtomicI64);

impl Ticks {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(1_700_000_000_000_000)))
    }
}

impl Clock for Ticks {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.fetch_add(1_000_000, Ordering::Relaxed))
    }
}

/// Waits a little for the folder: a child that another test is starting holds a copy of the lock until it runs its program.
pub(crate) fn options() -> OpenOptions {
    OpenOptions { lock_timeout: Duration::from_secs(5), command: "a test".to_owned(), ..OpenOptions::default() }
}

pub(crate) fn open(folder: &Path) -> Storage {
    try_open(folder).unwrap()
}

pub(crate) fn try_open(folder: &Path) -> Result<Storage, StorageError> {
    Storage::open(folder, &options(), Ticks::new())
}

pub(crate) fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

pub(crate) fn try_commit(state: &dyn StateStore, events: Vec<Event>) -> Result<Committed, StorageError> {
    wait(state.commit(Actor::Cli("tester".to_owned()), Box::new(move |_| events)))
}

pub(crate) fn commit(state: &dyn StateStore, events: Vec<Event>) -> Committed {
    try_commit(state, events).unwrap()
}

pub(crate) fn id(name: &str) -> ComponentId {
    ComponentId::new("demo", name).unwrap()
}

pub(crate) fn revision(name: &str, number: u32) -> Revision {
    let mut manifest = ComponentManifest::default();
    let odd = number % 2 == 1;
    manifest.metadata.insert("author".to_owned(), serde_json::json!(if odd { "Ada" } else { "Bo\u{0}b" }));
    manifest.metadata.insert("weight".to_owned(), serde_json::json!(0.1 + f64::from(number)));
    manifest.kind = odd.then(|| "skill".parse().unwrap());
    let interface = |name: String| ExternItem { name, kind: ExternKind::Interface };
    Revision {
        number,
        version: format!("1.{number}.0").parse().unwrap(),
        digest: Digest::of(format!("{name} {number}").as_bytes()),
        size: 10,
        description: Some("for tests".to_owned()),
        manifest,
        imports: vec![interface("demo:base/base@1.0.0".to_owned())],
        exports: vec![interface(format!("demo:{name}/api@1.{number}.0"))],
        path: Some(format!("/somewhere/{name}.wasm")),
        last_modified: None,
        folder: None,
        registered_at: Timestamp::from_micros(7),
    }
}

pub(crate) fn edge(on: &str) -> Edge {
    Edge { on: id(on), kind: EdgeKind::Declared { range: "^1".parse().unwrap(), origin: DeclaredBy::Operator } }
}

pub(crate) fn unresolved() -> Unresolved {
    let need = domain::entry::Need::Import("demo:base/base@1.0.0".to_owned());
    Unresolved { need, reason: UnresolvedReason::Missing }
}

pub(crate) fn registered(name: &str, number: u32, dependencies: &[&str]) -> Event {
    Event::Registered {
        component: id(name),
        revision: Arc::new(revision(name, number)),
        current: true,
        dependencies: dependencies.iter().map(|on| edge(on)).collect(),
        unresolved: vec![unresolved()],
    }
}

pub(crate) fn failed(name: &str, message: &str) -> Event {
    Event::Failed {
        component: id(name),
        failure: Box::new(Failure {
            component: id(name),
            revision: 1,
            at: Timestamp::from_micros(9),
            phase: Phase::Call,
            kind: FailureKind::Trap,
            message: message.to_owned(),
            function: Some("run".to_owned()),
            backtrace: vec!["run at lib.rs:1".to_owned()],
            fuel: Some(12),
            callers: vec![id("top")],
            retry_after_ms: None,
            by_caller: false,
        }),
        count: 1,
        keep: None,
    }
}

pub(crate) fn setting(value: &str) -> Event {
    Event::ConfigSet { key: "note".to_owned(), old: None, new: Some(value.to_owned()) }
}

/// The segments of the journal, in order.
pub(crate) fn segments(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(folder.join("journal")).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files
}

/// Lines of the journal's only segment, the header first.
pub(crate) fn lines(folder: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(&segments(folder)[0]).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Opens the index behind the registry's back, once the threads that closed it have let it go.
pub(crate) fn sled_of(folder: &Path) -> sled::Db {
    for _ in 0..200 {
        match sled::Config::new().path(folder.join("index")).segment_size(64 << 10).open() {
            Err(sled::Error::Io(error)) if error.to_string().contains("could not acquire lock") => {
                std::thread::sleep(Duration::from_millis(50));
            }
            opened => return opened.unwrap(),
        }
    }
    panic!("the index of {} stays locked", folder.display());
}
