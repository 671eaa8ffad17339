//! What a crash at each point between two steps leaves: a process of its own aborts there, and this one looks.
//!
//! `STORAGE_CRASHES=N` tries about N points instead of 24; as many as there are if N is large.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::event::Event;
use domain::ports::StateView;

use crate::fail::armed::{AT, PASSED};
use crate::fixtures::{Ticks, commit, failed, id, options, registered};
use crate::{AuditWindow, OpenOptions, Storage};

const FOLDER: &str = "STORAGE_CRASH_FOLDER";

fn open(folder: &Path) -> Storage {
    let options = OpenOptions { segment_bytes: 3_000, ..options() };
    Storage::open(folder, &options, Ticks::new()).unwrap()
}

/// Opens a folder whose index is gone, changes the registry over several segments, compacts twice, and closes.
fn work(folder: &Path) {
    let storage = open(folder);
    let state = &*storage.state;
    for round in 0..24u32 {
        let name = format!("c-{}", state.last_seq());
        let twin = format!("{name}-twin");
        let done = commit(state, vec![registered(&name, 1, &["base"]), registered(&twin, 1, &[&name])]);
        println!("@{} {name};", done[1].seq);
        if round % 10 == 9 {
            let keep = AuditWindow { age: Duration::ZERO, records: 0 };
            storage.compact(keep, &|_, _| {}).unwrap();
        }
        if round == 15 {
            // Much at once goes to sled.
            commit(state, (0..60).map(|_| failed(&name, "boom")).collect());
        }
    }
    storage.close().unwrap();
}

#[test]
fn works_until_it_crashes() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    work(Path::new(&folder));
    println!("@passed {};", PASSED.load(Ordering::SeqCst));
}

/// Lets another process work until it passes the point `at`; returns what it said.
fn child(folder: &Path, at: u64) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "crashes::works_until_it_crashes", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(AT, at.to_string()).stderr(Stdio::null());
    let output = command.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.lines().filter_map(|line| Some(line.split_once('@')?.1.strip_suffix(';')?.to_owned())).collect()
}

/// A folder with a history, a snapshot and no index.
fn prepare(folder: &Path) {
    let storage = open(folder);
    commit(&*storage.state, (0..40).map(|n| registered(&format!("old-{n}"), 1, &[])).collect());
    storage.compact(AuditWindow::default(), &|_, _| {}).unwrap();
    commit(&*storage.state, vec![Event::Unregistered { component: id("old-7") }]);
    storage.close().unwrap();
    std::fs::remove_dir_all(folder.join("index")).unwrap();
}

fn check(folder: &Path, at: u64, said: &[String]) {
    let storage = open(folder);
    for line in said {
        let (seq, name) = line.split_once(' ').unwrap();
        assert!(storage.state.last_seq() >= seq.parse().unwrap(), "point {at}: {line} is lost");
        for name in [name.to_owned(), format!("{name}-twin")] {
            let entry = storage.state.entry(&id(&name)).unwrap();
            assert!(entry.is_some(), "point {at}: {name} is lost");
        }
    }
    let old = storage.state.ids(None, 999).unwrap().iter().filter(|id| id.as_str().contains("old-")).count();
    assert_eq!(old, 39, "point {at}");
    assert_eq!(storage.verify().unwrap().differences, [], "point {at}");
    commit(&*storage.state, vec![registered("after", 1, &[])]);
    storage.close().unwrap();
    let storage = open(folder);
    assert_eq!(storage.warnings(), [], "point {at}");
    assert_eq!(storage.verify().unwrap().differences, [], "point {at}");
}

#[test]
fn a_crash_at_any_point_loses_nothing_acknowledged() {
    let whole = tempfile::tempdir().unwrap();
    prepare(whole.path());
    let mut said = child(whole.path(), u64::MAX);
    let last = said.pop().unwrap();
    let points: u64 = last.strip_prefix("passed ").unwrap().parse().unwrap();
    assert!(points > 150, "{points}");
    check(whole.path(), u64::MAX, &said);
    let wanted = std::env::var("STORAGE_CRASHES").ok().and_then(|number| number.parse().ok()).unwrap_or(24u64);
    let step = (points / wanted.max(1)).max(1) as usize;
    for at in (1..=points).step_by(step) {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let said = child(folder.path(), at);
        assert!(!said.iter().any(|line| line.starts_with("passed")), "point {at} was not passed");
        check(folder.path(), at, &said);
    }
}
