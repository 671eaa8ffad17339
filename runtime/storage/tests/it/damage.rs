use std::io::Write;
use std::path::Path;

use domain::event::Event;
use domain::ports::{StateStore, StateView, StorageError};
use domain::usage::Usage;
use storage::{OpenOptions, Storage, Warning};

use crate::blocks;
use crate::fixtures::{
    Ticks, commit, failed, id, lines, open, options, registered, segments, setting, sled_of, try_open, wait,
};

/// A folder with five records in four groups, the last a decision of two; closed.
fn five_records(folder: &Path) {
    let storage = open(folder);
    for name in ["a", "b", "c"] {
        commit(&*storage.state, vec![registered(name, 1, &[])]);
    }
    commit(&*storage.state, vec![registered("d", 1, &["a"]), registered("e", 1, &["a"])]);
    storage.close().unwrap();
}

fn segment(folder: &Path) -> Vec<u8> {
    std::fs::read(&segments(folder)[0]).unwrap()
}

fn write_segment(folder: &Path, bytes: &[u8]) {
    std::fs::write(&segments(folder)[0], bytes).unwrap();
}

/// Offsets at which the lines of a segment begin, and its end.
fn offsets(bytes: &[u8]) -> Vec<usize> {
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    std::iter::once(0).chain(ends).collect()
}

fn delete_index(folder: &Path) {
    std::fs::remove_dir_all(folder.join("index")).unwrap();
}

/// Removes the copy of the rows that spares short commands the opening of sled.
fn delete_image(folder: &Path) {
    std::fs::remove_file(folder.join("index/image")).unwrap();
}

#[test]
fn an_unfinished_line_is_dropped_and_said() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let whole = segment(folder.path());
    for torn in [&b"{\"seq\":6,\"at\":"[..], b"\0\0\0\0\0", b"\0\0\0\n", b"{}\n\0\0"] {
        write_segment(folder.path(), &[&whole, torn].concat());
        let storage = open(folder.path());
        let file = segments(folder.path())[0].clone();
        let warning = Warning::TornTail { file, offset: whole.len() as u64, bytes: torn.len() as u64 };
        assert_eq!(storage.warnings(), [warning]);
        assert_eq!(storage.state.last_seq(), 5);
        storage.close().unwrap();
        assert_eq!(segment(folder.path()), whole);
        assert_eq!(open(folder.path()).warnings(), []);
    }
}

#[test]
fn half_a_decision_is_dropped_whole() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let whole = segment(folder.path());
    let at = offsets(&whole);
    let fourth = at[4];
    for cut in [at[5], at[5] + 10, whole.len() - 1] {
        write_segment(folder.path(), &whole[..cut]);
        // The process ended before the index heard of it.
        delete_index(folder.path());
        let storage = open(folder.path());
        assert!(
            matches!(storage.warnings(), [Warning::TornTail { offset, .. }, Warning::IndexRebuilt { records: 3, .. }]
            if *offset == fourth as u64),
            "{:?}",
            storage.warnings()
        );
        assert_eq!(storage.state.ids(None, 9).unwrap(), [id("a"), id("b"), id("c")]);
        commit(&*storage.state, vec![setting("goes on")]);
        storage.close().unwrap();
        assert_eq!(open(folder.path()).warnings(), []);
    }
}

#[test]
fn a_cut_of_what_was_acknowledged_is_never_taken_for_an_unfinished_write() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let whole = segment(folder.path());
    let at = offsets(&whole);
    for cut in at[5] - 20..at[5] {
        write_segment(folder.path(), &whole[..cut]);
        let error = try_open(folder.path()).unwrap_err();
        assert!(matches!(&error, StorageError::Damaged { offset, .. } if *offset == at[4] as u64), "{cut}: {error}");
    }
    write_segment(folder.path(), &whole);
    assert_eq!(open(folder.path()).warnings(), []);
}

#[test]
fn a_journal_that_lost_whole_decisions_is_told_by_the_index() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let whole = segment(folder.path());
    write_segment(folder.path(), &whole[..offsets(&whole)[4]]);
    let storage = open(folder.path());
    let [Warning::IndexRebuilt { reason, records: 3, .. }] = storage.warnings() else {
        panic!("{:?}", storage.warnings())
    };
    assert!(reason.contains("up to record 5, but the journal ends at record 3"), "{reason}");
    assert_eq!(storage.state.ids(None, 9).unwrap(), [id("a"), id("b"), id("c")]);
}

#[test]
fn any_flipped_bit_in_the_middle_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let whole = segment(folder.path());
    let at = offsets(&whole);
    for with_index in [true, false] {
        if !with_index {
            delete_index(folder.path());
        }
        for position in (0..at[4]).step_by(7) {
            let mut bytes = whole.clone();
            bytes[position] ^= 1;
            write_segment(folder.path(), &bytes);
            let line = at.iter().rposition(|start| *start <= position).unwrap();
            match try_open(folder.path()) {
                Err(StorageError::Damaged { path, offset, .. }) => {
                    assert_eq!(path, segments(folder.path())[0]);
                    // A line feed that is gone makes one bad line of two, and one that comes makes two of one.
                    assert!(offset >= at[line] as u64 && offset <= position as u64, "{position}: {offset}");
                }
                other => panic!("bit {position}, index {with_index}: {:?}", other.map(|s| s.warnings().to_vec())),
            }
        }
    }
}

#[test]
fn a_line_taken_out_or_moved_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let whole = segment(folder.path());
    let at = offsets(&whole);
    let (header, second, third) = (&whole[..at[1]], &whole[at[1]..at[2]], &whole[at[2]..at[3]]);
    for (changed, place) in [
        ([header, third, second, &whole[at[3]..]].concat(), at[1]),
        ([header, &whole[at[2]..]].concat(), at[1]),
        ([&whole[..at[3]], &whole[at[2]..]].concat(), at[3]),
    ] {
        write_segment(folder.path(), &changed);
        delete_index(folder.path());
        let error = try_open(folder.path()).unwrap_err();
        assert!(matches!(&error, StorageError::Damaged { offset, .. } if *offset == place as u64), "{error}");
    }
}

#[test]
fn a_missing_segment_is_missed_when_it_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    for _ in 0..3 {
        commit(&*storage.state, vec![setting(&"x".repeat(9 << 20))]);
    }
    storage.close().unwrap();
    std::fs::remove_file(&segments(folder.path())[1]).unwrap();
    delete_index(folder.path());
    let error = try_open(folder.path()).unwrap_err();
    assert!(matches!(&error, StorageError::Damaged { reason, .. } if reason.contains("2 to 2 are missing")), "{error}");
}

#[test]
fn an_index_that_is_gone_or_damaged_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let expected = {
        let storage = open(folder.path());
        storage.state.entry(&id("d")).unwrap()
    };
    delete_image(folder.path());
    let db = folder.path().join("index/db");
    let good = std::fs::read(&db).unwrap();
    let used = good.iter().rposition(|byte| *byte != 0).unwrap();
    let mut rebuilt = 0;
    for round in 0..40 {
        match round {
            0 => delete_index(folder.path()),
            1 => std::fs::write(&db, &good[..used / 2]).unwrap(),
            2 => std::fs::write(&db, b"").unwrap(),
            round => {
                let mut bytes = std::fs::read(&db).unwrap();
                let last = bytes.iter().rposition(|byte| *byte != 0).unwrap();
                bytes[last * (round - 2) / 40] ^= 0x10;
                std::fs::write(&db, bytes).unwrap();
            }
        }
        let storage = open(folder.path());
        rebuilt += usize::from(!storage.warnings().is_empty());
        assert_eq!(storage.state.entry(&id("d")).unwrap(), expected, "round {round}: {:?}", storage.warnings());
        assert_eq!(storage.state.dependents(&id("a")).unwrap(), [id("d"), id("e")], "round {round}");
        assert_eq!(storage.state.count("status", "registered").unwrap(), 5, "round {round}");
        assert_eq!(storage.state.ids(None, 9).unwrap().len(), 5, "round {round}");
        storage.close().unwrap();
        delete_image(folder.path());
    }
    assert!(rebuilt >= 3, "{rebuilt}");
}

#[test]
fn a_damaged_image_is_as_good_as_none() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let image = folder.path().join("index/image");
    for round in 0..20 {
        let mut bytes = std::fs::read(&image).unwrap();
        let at = bytes.len() * round / 20;
        match round % 2 {
            0 => bytes[at] ^= 4,
            _ => bytes.truncate(at),
        }
        std::fs::write(&image, bytes).unwrap();
        let storage = open(folder.path());
        assert_eq!(storage.warnings(), []);
        assert_eq!(storage.state.dependents(&id("a")).unwrap(), [id("d"), id("e")], "round {round}");
        storage.close().unwrap();
    }
}

#[test]
fn an_image_answers_until_so_much_changes_that_a_damaged_index_is_found_and_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    std::fs::write(folder.path().join("index/db"), b"damaged").unwrap();
    let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let mut options = options();
    let telling = heard.clone();
    options.on_warning = Some(std::sync::Arc::new(move |warning: &Warning| {
        telling.lock().unwrap().push(warning.to_string());
    }));
    let storage = Storage::open(folder.path(), &options, Ticks::new()).unwrap();
    wait(storage.state.add_usage(vec![(id("a"), Usage { calls: 3, ..Usage::default() })])).unwrap();
    for number in 0..40 {
        commit(&*storage.state, vec![setting(&number.to_string())]);
        assert_eq!(storage.state.ids(None, 9).unwrap().len(), 5);
    }
    assert_eq!(storage.warnings(), []);
    let heard = heard.lock().unwrap().concat();
    assert!(heard.starts_with("rebuilt the index from "), "{heard}");
    storage.close().unwrap();
    let storage = open(folder.path());
    assert_eq!(storage.warnings(), []);
    assert_eq!(storage.state.usage(&id("a")).unwrap().calls, 3);
    assert_eq!(storage.state.last_seq(), 45);
}

#[test]
fn an_index_behind_the_journal_catches_up_without_a_word() {
    let folder = tempfile::tempdir().unwrap();
    let before = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let copied = before.path().join("index");
    copy(&folder.path().join("index"), &copied);
    let storage = open(folder.path());
    commit(&*storage.state, vec![registered("f", 1, &["a"]), setting("x")]);
    wait(storage.state.add_usage(vec![(id("a"), Usage { calls: 1, ..Usage::default() })])).unwrap();
    storage.close().unwrap();
    delete_index(folder.path());
    copy(&copied, &folder.path().join("index"));
    let storage = open(folder.path());
    assert_eq!(storage.warnings(), []);
    assert_eq!(storage.state.dependents(&id("a")).unwrap(), [id("d"), id("e"), id("f")]);
    assert_eq!(storage.state.last_seq(), 7);
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        let target = to.join(file.file_name());
        if file.file_type().unwrap().is_dir() {
            copy(&file.path(), &target);
        } else {
            std::fs::copy(file.path(), target).unwrap();
        }
    }
}

#[test]
fn the_index_of_another_folder_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let other = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let storage = open(other.path());
    for number in 0..5 {
        commit(&*storage.state, vec![registered(&format!("other-{number}"), 1, &[])]);
    }
    storage.close().unwrap();
    delete_index(folder.path());
    copy(&other.path().join("index"), &folder.path().join("index"));
    let storage = open(folder.path());
    assert!(matches!(storage.warnings(), [Warning::IndexRebuilt { .. }]), "{:?}", storage.warnings());
    assert_eq!(storage.state.ids(None, 1).unwrap(), [id("a")]);
}

#[test]
fn a_rebuilt_index_keeps_what_can_be_read_of_the_use() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let storage = open(folder.path());
    wait(storage.state.add_usage(vec![(id("a"), Usage { calls: 3, ..Usage::default() })])).unwrap();
    storage.close().unwrap();
    let whole = segment(folder.path());
    write_segment(folder.path(), &whole[..offsets(&whole)[4]]);
    let storage = open(folder.path());
    assert_eq!(storage.warnings().len(), 1);
    assert_eq!(storage.state.usage(&id("a")).unwrap().calls, 3);
}

#[test]
fn counters_of_use_survive_a_new_form_of_the_index() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    let storage = open(folder.path());
    wait(storage.state.add_usage(vec![(id("a"), Usage { calls: 3, ..Usage::default() })])).unwrap();
    storage.close().unwrap();
    delete_image(folder.path());
    meddle(folder.path(), |db| {
        db.open_tree("meta").unwrap().insert("schema", "2").unwrap();
    });
    let storage = open(folder.path());
    let [Warning::IndexRebuilt { reason, .. }] = storage.warnings() else { panic!("{:?}", storage.warnings()) };
    assert_eq!(reason, "its schema is 2, this version writes 6");
    assert_eq!(storage.state.usage(&id("a")).unwrap().calls, 3);
}

#[test]
fn later_formats_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    delete_image(folder.path());
    let db = sled_of(folder.path());
    let meta = db.open_tree("meta").unwrap();
    meta.insert("schema", "7").unwrap();
    drop((meta, db));
    let error = try_open(folder.path()).unwrap_err();
    assert!(matches!(error, StorageError::NewerFormat { what: "index", found: 7, known: 6 }), "{error}");
    delete_index(folder.path());

    let whole = segment(folder.path());
    let mut header = lines(folder.path())[0].clone();
    header["format"] = 2.into();
    header.as_object_mut().unwrap().remove("crc");
    let mut line = header.to_string();
    line.pop();
    let checksum = crc32c::crc32c(line.as_bytes());
    line.push_str(&format!(",\"crc\":\"{checksum:08x}\"}}"));
    write_segment(folder.path(), &[line.as_bytes(), &whole[offsets(&whole)[1] - 1..]].concat());
    let error = try_open(folder.path()).unwrap_err();
    assert!(matches!(error, StorageError::NewerFormat { what: "journal", found: 2, known: 1 }), "{error}");
}

#[test]
fn an_older_schema_is_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    five_records(folder.path());
    delete_image(folder.path());
    let db = sled_of(folder.path());
    let meta = db.open_tree("meta").unwrap();
    meta.insert("schema", "0").unwrap();
    drop((meta, db));
    let storage = open(folder.path());
    assert!(matches!(storage.warnings(), [Warning::IndexRebuilt { records: 5, .. }]), "{:?}", storage.warnings());
}

#[test]
fn a_folder_that_is_a_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data");
    std::fs::File::create(&path).unwrap().write_all(b"text").unwrap();
    assert!(matches!(try_open(&path), Err(StorageError::NotAFolder { .. })));
    assert!(matches!(try_open(&path.join("below")), Err(StorageError::NotAFolder { .. })));
}

/// A closed folder that has so many entries that no image of its rows is kept.
fn many_entries(folder: &Path) {
    let storage = open(folder);
    let names: Vec<_> = (0..1_600).map(|number| format!("n-{number}")).collect();
    for names in names.chunks(800) {
        commit(&*storage.state, names.iter().map(|name| registered(name, 1, &["base"])).collect());
        wait(storage.state.add_usage(vec![(id("n-7"), Usage { calls: 3, ..Usage::default() })])).unwrap();
    }
    storage.close().unwrap();
    assert!(!folder.join("index/image").exists());
}

/// What is said of a change behind the registry's back, and the change.
type Meddling<'a> = (&'a str, &'a dyn Fn(&sled::Db));

/// Changes rows behind the registry's back.
fn meddle(folder: &Path, change: impl FnOnce(&sled::Db)) {
    let db = sled_of(folder);
    change(&db);
    db.flush().unwrap();
}

#[test]
fn a_row_of_a_large_index_that_is_missing_changed_or_too_much_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    many_entries(folder.path());
    let remove = |db: &sled::Db, tree: &str, choose: fn(&[u8]) -> bool| {
        let tree = db.open_tree(tree).unwrap();
        let mut keys = tree.iter().keys().map(Result::unwrap).filter(|key| choose(key));
        tree.remove(keys.nth(tree.len() / 4).unwrap()).unwrap();
    };
    let meddlings: [Meddling<'_>; 9] = [
        // An entry's revisions are in the same tree, with a zero byte in their keys.
        ("1599 rows of `entries` instead of 1600", &|db| remove(db, "entries", |key| !key.contains(&0))),
        ("1599 rows of `revisions` instead of 1600", &|db| remove(db, "entries", |key| key.contains(&0))),
        ("rows of `terms` instead of", &|db| remove(db, "terms", |_| true)),
        ("0 rows of `usage` instead of 1", &|db| {
            db.open_tree("usage").unwrap().clear().unwrap();
        }),
        ("1601 rows of `edges` instead of 1600", &|db| {
            blocks::change_last(&db.open_tree("edges").unwrap(), |rows| {
                rows.push((b"demo:base\0demo:z".into(), vec![]))
            });
        }),
        ("not those that were written", &|db| {
            let tree = db.open_tree("entries").unwrap();
            let (key, value) = tree.last().unwrap().unwrap();
            assert!(key.contains(&0), "it is a revision");
            assert_ne!(value[0], 0, "it is shortened");
            tree.insert(key, b"\0{}").unwrap();
        }),
        ("not those that were written", &|db| {
            // As many rows as before.
            blocks::change_last(&db.open_tree("edges").unwrap(), |rows| rows.last_mut().unwrap().0.push(b'z'));
        }),
        ("a row of `terms` is damaged: its block cannot be read", &|db| {
            let tree = db.open_tree("terms").unwrap();
            let (key, block) = tree.last().unwrap().unwrap();
            tree.insert(key, &block[..block.len() - 1]).unwrap();
        }),
        ("not those that were written", &|db| {
            db.open_tree("meta").unwrap().insert("generation", "77").unwrap();
        }),
    ];
    for (expected, meddling) in meddlings {
        meddle(folder.path(), meddling);
        let storage = open(folder.path());
        let [Warning::IndexRebuilt { reason, records: 1_600, .. }] = storage.warnings() else {
            panic!("{expected}: {:?}", storage.warnings())
        };
        assert!(reason.contains(expected), "{reason}");
        assert_eq!(storage.state.dependents(&id("base")).unwrap().len(), 1_600);
        assert_eq!(storage.state.count("status", "registered").unwrap(), 1_600);
        storage.close().unwrap();
        let storage = open(folder.path());
        assert_eq!(storage.warnings(), [], "{expected}");
        storage.close().unwrap();
    }
}

#[test]
fn a_file_that_is_mostly_waste_is_packed() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let long = "x".repeat(3_000);
    for round in 0..60 {
        let events = (0..40).map(|number| failed(&format!("n-{number}"), &format!("{round} {long}")));
        let registered = (0..40).map(|number| registered(&format!("n-{number}"), round + 1, &[]));
        commit(&*storage.state, registered.chain(events).collect());
    }
    commit(
        &*storage.state,
        (1..40).map(|number| Event::Unregistered { component: id(&format!("n-{number}")) }).collect(),
    );
    wait(storage.state.add_usage(vec![(id("n-0"), Usage { calls: 3, ..Usage::default() })])).unwrap();
    storage.close().unwrap();
    let bytes = || std::fs::metadata(folder.path().join("index/db")).unwrap().len();
    let before = bytes();
    let open_with = |index_slack_bytes| {
        delete_image(folder.path());
        let storage =
            Storage::open(folder.path(), &OpenOptions { index_slack_bytes, ..options() }, Ticks::new()).unwrap();
        assert_eq!(storage.state.usage(&id("n-0")).unwrap().calls, 3);
        assert_eq!(storage.state.failures(None, 1_000).unwrap().len(), 60);
        let said: Vec<_> = storage.warnings().iter().map(ToString::to_string).collect();
        storage.close().unwrap();
        said.concat()
    };
    assert_eq!(open_with(u64::MAX), "");
    let said = open_with(1 << 20);
    assert!(said.starts_with("packed the index, of which most was waste, from "), "{said}");
    assert!(bytes() < before / 2, "{} of {before}", bytes());
    assert_eq!(open_with(1 << 20), "");
}
