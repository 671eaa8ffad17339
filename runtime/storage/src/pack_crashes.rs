//! Putting the index into a new file, ended at each point between two steps: everything is there, counters of use as well, which no
//! record has.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use domain::Digest;
use domain::event::Event;
use domain::ports::{StateStore, StateView};
use domain::usage::Usage;

use crate::fail::armed::{AT, PASSED};
use crate::fixtures::{Ticks, commit, failed, id, open, options, registered, setting, wait};
use crate::{AuditWindow, OpenOptions, Storage, Warning};

const FOLDER: &str = "STORAGE_PACK_FOLDER";
/// How many failures and revisions each component has.
const ROUNDS: u32 = 14;

const WHEN: &str = "STORAGE_PACK_WHEN";

/// A text of 3,008 bytes that cannot be shortened much.
fn noise(round: u32, number: u32) -> String {
    (0..47).map(|part| Digest::of(format!("{round} {number} {part}").as_bytes()).to_hex()).collect()
}

/// A folder whose index is mostly waste, without an image.
fn prepare(folder: &Path) {
    for round in 0..ROUNDS {
        // Sled gets each round: of what it gets together only the last is waste.
        let storage = open(folder);
        let events = (0..20).map(|number| failed(&format!("n-{number}"), &noise(round, number)));
        let registered = (0..20).map(|number| registered(&format!("n-{number}"), round + 1, &["base"]));
        commit(&*storage.state, registered.chain(events).collect());
        storage.close().unwrap();
    }
    let storage = open(folder);
    let gone = (1..20).map(|number| Event::Unregistered { component: id(&format!("n-{number}")) });
    commit(&*storage.state, gone.collect());
    wait(storage.state.add_usage(vec![(id("n-0"), Usage { calls: 3, ..Usage::default() })])).unwrap();
    storage.close().unwrap();
    std::fs::remove_file(folder.join("index/image")).unwrap();
}

/// Opens a folder and closes it, which packs the index.
fn pack(folder: &Path, when: &str) {
    let index_slack_bytes = if when == "opening" { 1 << 20 } else { u64::MAX };
    let storage = Storage::open(folder, &OpenOptions { index_slack_bytes, ..options() }, Ticks::new()).unwrap();
    // Not one of those that sled has when it is packed.
    wait(storage.state.add_usage(vec![(id("n-0"), Usage { calls: 1, ..Usage::default() })])).unwrap();
    commit(&*storage.state, vec![setting("again")]);
    if when == "compacting" {
        storage.compact(AuditWindow::default(), &|_, _| {}).unwrap();
    }
    storage.close().unwrap();
}

#[test]
fn packs_until_it_crashes() {
    let (Ok(folder), Ok(when)) = (std::env::var(FOLDER), std::env::var(WHEN)) else { return };
    pack(Path::new(&folder), &when);
    println!("@passed {};", PASSED.load(Ordering::SeqCst));
}

/// Lets another process pack until it passes the point `at`; returns what it said, and where it was.
fn child(folder: &Path, when: &str, at: u64) -> (String, String) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "pack_crashes::packs_until_it_crashes", "--nocapture", "--test-threads=1"]);
    command.env(FOLDER, folder).env(WHEN, when).env(AT, at.to_string());
    let output = command.stderr(Stdio::piped()).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (text(&output.stdout), text(&output.stderr))
}

fn bytes(folder: &Path) -> u64 {
    std::fs::metadata(folder.join("index/db")).unwrap().len()
}

/// Checks that everything is there, and returns the counter of calls.
fn check(folder: &Path, place: &str) -> u64 {
    let storage = open(folder);
    let state = &*storage.state;
    // Sled may have been ended anywhere. One that is made anew is as good, but it is not what a crash in here may lead to.
    let is_rebuilt = |warning: &Warning| matches!(warning, Warning::IndexRebuilt { .. });
    assert!(!storage.warnings().iter().any(is_rebuilt), "{place}: {:?}", storage.warnings());
    assert_eq!(state.ids(None, 99).unwrap(), [id("n-0")], "{place}");
    assert_eq!(state.failures(None, 999).unwrap().len(), ROUNDS as usize, "{place}");
    assert_eq!(state.revisions(&id("n-0")).unwrap().len(), ROUNDS as usize, "{place}");
    assert_eq!(state.dependents(&id("base")).unwrap(), [id("n-0")], "{place}");
    let calls = state.usage(&id("n-0")).unwrap().calls;
    assert_eq!(storage.verify().unwrap().differences, [], "{place}");
    storage.close().unwrap();
    calls
}

fn crash_everywhere(when: &str, expected: &[&str]) {
    let template = tempfile::tempdir().unwrap();
    let data = template.path().join("data");
    prepare(&data);
    let before = bytes(&data);
    let copy = || {
        let folder = tempfile::tempdir().unwrap();
        assert!(Command::new("cp").arg("-a").arg(&data).arg(folder.path()).status().unwrap().success());
        folder
    };
    let whole = copy();
    let (said, _) = child(&whole.path().join("data"), when, u64::MAX);
    let points = said.split_once("@passed ").unwrap().1.split_once(';').unwrap().0.parse::<u64>().unwrap();
    let after = bytes(&whole.path().join("data"));
    assert!(after < before / 2, "{after} of {before} bytes");
    let mut places = String::new();
    for at in 1..=points {
        let folder = copy();
        let data = folder.path().join("data");
        let (said, place) = child(&data, when, at);
        assert!(!said.contains("@passed"), "point {at} was not passed");
        let calls = check(&data, &format!("point {at}: {place}"));
        assert!((3..=4).contains(&calls), "point {at}: {calls} calls: {place}");
        let _ = std::fs::remove_file(data.join("index/image"));
        // What the crash left is put away by the next one who packs.
        pack(&data, when);
        assert_eq!(check(&data, &format!("packed again after point {at}: {place}")), calls + 1);
        assert!(bytes(&data) < before / 2, "point {at}: {place}");
        assert!(!data.join("index.packed").exists(), "point {at}: {place}");
        places.push_str(&place);
    }
    for place in expected {
        assert!(places.contains(place), "{place} was not tried");
    }
}

/// What packing does, step by step.
const STEPS: [&str; 7] =
    ["before pack", "after load", "after change", "after flush", "before copy", "before exchange", "after exchange"];

#[test]
fn a_crash_while_the_index_is_packed_at_opening_loses_nothing() {
    crash_everywhere("opening", &STEPS);
}

#[test]
fn a_crash_while_the_index_is_packed_after_a_compaction_loses_nothing() {
    crash_everywhere("compacting", &STEPS);
}
