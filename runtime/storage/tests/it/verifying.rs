//! Checks that change nothing, and repairs that say what they cost.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::ports::{Clock, StateStore, StateView};
use domain::usage::Usage;
use storage::{AuditWindow, OpenOptions, RepairOptions, Repaired, Stop, Storage, Verified, verify};

use crate::blocks;
use crate::fixtures::{Ticks, commit, failed, id, options, registered, setting, sled_of, wait};
use crate::model::Model;

const NOTHING: AuditWindow = AuditWindow { age: Duration::ZERO, records: 0 };

fn small_segments() -> OpenOptions {
    OpenOptions { segment_bytes: 4_000, ..options() }
}

fn open(folder: &Path) -> Storage {
    Storage::open(folder, &small_segments(), Ticks::new()).unwrap()
}

fn checked(folder: &Path) -> Verified {
    let before = contents(folder);
    let found = verify(folder, Duration::from_secs(5), &Stop::default()).unwrap();
    assert_eq!(contents(folder), before, "nothing is changed by looking");
    found
}

fn repaired(folder: &Path, dry_run: bool) -> Repaired {
    let clock: Arc<dyn Clock> = Ticks::new();
    storage::repair(folder, &RepairOptions { dry_run, open: small_segments(), stop: Stop::default() }, &clock).unwrap()
}

/// All files but the lock, which names its holder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else if !path.ends_with("LOCK") {
            found.insert(path.clone(), std::fs::read(&path).unwrap());
        }
    }
    found
}

/// Several segments, with a snapshot in the middle if that is wanted; closed. Returns all records.
fn history(folder: &Path, compacted: bool) -> Vec<domain::Record> {
    let storage = open(folder);
    let mut records = Vec::new();
    for round in 0..40 {
        let name = ["a", "b", "c"][round % 3];
        let done = commit(&*storage.state, vec![registered(name, round as u32 + 1, &["a"]), failed(name, "boom")]);
        records.extend(done.iter().map(|record| (**record).clone()));
        if round == 20 && compacted {
            storage.compact(AuditWindow::default(), &|_, _| {}).unwrap();
        }
    }
    wait(storage.state.add_usage(vec![(id("a"), Usage { calls: 2, ..Usage::default() })])).unwrap();
    let found = storage.verify().unwrap();
    assert_eq!((found.differences, found.records, found.last_seq), (vec![], 80, 80));
    assert!(found.segments > 4 && found.rows > 80, "{}", found.rows);
    storage.close().unwrap();
    records
}

fn journal(folder: &Path, suffix: &str) -> Vec<PathBuf> {
    let names = std::fs::read_dir(folder.join("journal")).unwrap().map(|file| file.unwrap().path());
    let mut found: Vec<PathBuf> = names.filter(|path| path.to_str().unwrap().ends_with(suffix)).collect();
    found.sort();
    found
}

fn flip(file: &Path, at: usize) {
    let mut bytes = std::fs::read(file).unwrap();
    bytes[at] ^= 1;
    std::fs::write(file, bytes).unwrap();
}

fn check_prefix(storage: &Storage, records: &[domain::Record], last: u64) {
    let mut model = Model::default();
    records.iter().take(last as usize).for_each(|record| model.apply(record));
    model.check(&*storage.state);
}

#[test]
fn a_whole_folder_has_no_differences_open_or_closed() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(checked(folder.path()), Verified { first_seq: 1, ..Verified::default() });
    history(folder.path(), true);
    let found = checked(folder.path());
    assert_eq!((found.differences, found.snapshots, found.first_seq, found.last_seq), (vec![], 1, 1, 80));
    assert_eq!(repaired(folder.path(), false).lost, []);
    let storage = open(folder.path());
    storage.compact(NOTHING, &|_, _| {}).unwrap();
    commit(&*storage.state, vec![setting("after")]);
    let found = storage.verify().unwrap();
    assert_eq!((found.differences, found.records, found.first_seq, found.last_seq), (vec![], 1, 81, 81));
    storage.close().unwrap();
    assert_eq!(checked(folder.path()).differences, []);
}

#[test]
fn it_can_be_checked_while_it_is_changed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for number in 0..300 {
                commit(&*storage.state, vec![registered(&format!("c-{}", number % 50), number + 1, &["base"])]);
            }
        });
        while !writer.is_finished() {
            let found = storage.verify().unwrap();
            assert_eq!(found.differences, []);
        }
    });
}

#[test]
fn damage_is_found_with_its_place_and_repaired_up_to_there() {
    for compacted in [false, true] {
        for which in [0, 1, 10] {
            let folder = tempfile::tempdir().unwrap();
            let records = history(folder.path(), compacted);
            let segment = journal(folder.path(), ".jsonl").remove(which);
            let middle = std::fs::metadata(&segment).unwrap().len() as usize / 2;
            flip(&segment, middle);
            let found = checked(folder.path());
            let place = found.differences.iter().find(|difference| difference.file == segment).unwrap();
            assert!(place.offset.unwrap() <= middle as u64, "{place:?}");
            let planned = repaired(folder.path(), true);
            let done = repaired(folder.path(), false);
            assert_eq!(Repaired { warnings: vec![], ..done.clone() }, planned);
            let lost = done.lost.iter().find(|lost| lost.file == segment).unwrap();
            assert_eq!(lost.offset, place.offset.unwrap());
            let aside = done.set_aside.unwrap();
            assert_eq!(std::fs::read_dir(&aside).unwrap().count(), done.files.len());
            // With a snapshot only history is lost.
            let all_kept = compacted && which < 3;
            assert_eq!(done.last_kept == 80, all_kept, "{}", done.last_kept);
            assert_eq!(lost.first, (!all_kept).then_some(done.last_kept + 1));
            assert_eq!(done.lost.iter().filter_map(|lost| lost.last).max(), (!all_kept).then_some(80));
            let storage = open(folder.path());
            assert_eq!((storage.warnings(), storage.state.last_seq()), (&[][..], done.last_kept));
            assert_eq!(storage.state.first_seq().unwrap(), done.first_kept);
            check_prefix(&storage, &records, done.last_kept);
            assert_eq!(storage.state.usage(&id("a")).unwrap().calls, 2);
            commit(&*storage.state, vec![setting("goes on")]);
            assert_eq!(storage.verify().unwrap().differences, []);
        }
    }
}

#[test]
fn all_that_can_be_lost_is_said() {
    // All segments, then a segment in the middle, then the snapshot that nothing else stands for.
    for case in 0..3 {
        let folder = tempfile::tempdir().unwrap();
        let records = history(folder.path(), true);
        let segments = journal(folder.path(), ".jsonl");
        let mut kept = 42;
        match case {
            0 => segments.iter().for_each(|segment| std::fs::remove_file(segment).unwrap()),
            1 => {
                let last = segments.len() - 2;
                std::fs::remove_file(&segments[last]).unwrap();
                let first: u64 = segments[last].file_stem().unwrap().to_str().unwrap().parse().unwrap();
                kept = first - 1;
            }
            _ => {
                open(folder.path()).compact(NOTHING, &|_, _| {}).unwrap();
                flip(&journal(folder.path(), ".snapshot")[0], 500);
                kept = 0;
            }
        }
        assert!(!checked(folder.path()).differences.is_empty(), "case {case}");
        let done = repaired(folder.path(), false);
        assert_eq!(done.last_kept, kept, "case {case}: {done:?}");
        check_prefix(&open(folder.path()), &records, kept);
        assert_eq!(checked(folder.path()).differences, [], "case {case}");
    }
}

#[test]
fn an_index_that_is_not_what_the_journal_says_is_found() {
    let folder = tempfile::tempdir().unwrap();
    history(folder.path(), false);
    std::fs::remove_file(folder.path().join("index/image")).unwrap();
    let db = sled_of(folder.path());
    let edges = db.open_tree("edges").unwrap();
    blocks::change_last(&edges, |rows| {
        rows.remove(0);
        rows.push((b"demo:a\0demo:z".into(), vec![]));
        rows.sort_unstable();
    });
    drop((edges, db));
    let found = checked(folder.path());
    let what: Vec<_> = found.differences.iter().map(|found| (found.what.as_str(), found.component.clone())).collect();
    assert_eq!(
        what,
        [("a row of `edges` is missing", Some(id("a"))), ("a row of `edges` should not be there", Some(id("z")))]
    );
    flip(&folder.path().join("index/db"), 200);
    std::fs::write(folder.path().join("index/image"), "damaged").unwrap();
    assert!(!checked(folder.path()).differences.is_empty());
    assert_eq!(open(folder.path()).state.ids(None, 9).unwrap().len(), 3);
}
