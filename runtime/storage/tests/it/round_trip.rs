use std::os::unix::fs::PermissionsExt;

use domain::event::{Failing, HealthCount};
use domain::failure::FAILURES_MAX;
use domain::ports::{
    BlobStore, GuestOutput, OutputLine, OutputSink, OutputStream, SettingsStore, StateStore, StateView,
};
use domain::supervision::{Quarantine, Relapse};
use domain::usage::Usage;
use domain::{Event, Status, Timestamp};
use storage::MemoryStore;

use crate::fixtures::{Ticks, commit, failed, id, open, registered, revision, segments, setting, try_commit, wait};

/// Runs `check` on an empty store in memory and on one in a folder.
fn on_both(check: impl Fn(&dyn StateStore)) {
    check(&MemoryStore::new(Ticks::new()));
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    check(&*storage.state);
    storage.close().unwrap();
}

#[test]
fn answers_after_reopening_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/data");
    let storage = open(&path);
    assert_eq!(storage.warnings(), []);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    commit(&*storage.state, vec![registered("base", 1, &[]), registered("top", 1, &["base"])]);
    commit(&*storage.state, vec![registered("top", 2, &["base"]), failed("top", "boom")]);
    let usage = Usage { calls: 3, last_accessed: Some(Timestamp::from_micros(1)), ..Usage::default() };
    wait(storage.state.add_usage(vec![(id("top"), usage.clone()), (id("nobody"), usage.clone())])).unwrap();
    let digest = storage.blobs.put(b"bytes").unwrap();
    let line = OutputLine { at: Timestamp::from_micros(1), stream: OutputStream::Stderr, text: "hello".to_owned() };
    storage.output.write(&id("top"), std::slice::from_ref(&line));
    storage.settings.save("a = 1\n").unwrap();
    let entry = storage.state.entry(&id("top")).unwrap().unwrap();
    let records = storage.state.records(1, 100).unwrap();
    storage.close().unwrap();

    let storage = open(&path);
    assert_eq!(storage.warnings(), []);
    assert_eq!(storage.state.entry(&id("top")).unwrap().unwrap(), entry);
    assert_eq!((entry.status, entry.newest, entry.error_count, entry.changed_seq), (Status::Registered, 2, 1, 4));
    assert_eq!(*entry.revision, revision("top", 2));
    assert_eq!(*storage.state.revision(&id("top"), 1).unwrap().unwrap(), revision("top", 1));
    assert_eq!(storage.state.dependents(&id("base")).unwrap(), [id("top")]);
    assert_eq!(storage.state.failures(Some(&id("top")), 9).unwrap()[0].failure.message, "boom");
    assert_eq!(storage.state.usage(&id("top")).unwrap(), usage);
    assert_eq!(storage.state.usage(&id("nobody")).unwrap(), Usage::default());
    assert_eq!((storage.state.last_seq(), storage.state.records(1, 100).unwrap()), (4, records));
    assert_eq!(&*storage.blobs.get(&digest).unwrap(), b"bytes");
    assert_eq!(storage.output.read(&id("top")).unwrap(), [line]);
    assert_eq!(storage.settings.load().unwrap().0.as_deref(), Some("a = 1\n"));
}

#[test]
fn keeps_what_the_registry_watches_over() {
    on_both(|state| {
        commit(state, vec![registered("a", 1, &[]), registered("b", 1, &["a"]), failed("a", "boom")]);
        let quarantine = Quarantine {
            since: Timestamp::from_micros(1),
            probe_at: Timestamp::from_micros(2),
            round: 3,
            cause: "5 failures within 60s".to_owned(),
        };
        let (component, old_status, error) = (id("a"), Status::Active, "boom".to_owned());
        commit(
            state,
            vec![
                Event::Quarantined { component, old_status, error, quarantine: quarantine.clone(), refused: 0 },
                Event::Deactivated { component: id("b"), old_status, reason: None, lost: Some(id("a")) },
            ],
        );
        let entry = |name: &str| state.entry(&id(name)).unwrap().unwrap();
        assert_eq!((entry("a").status, entry("a").quarantine()), (Status::Error, Some(&quarantine)));
        assert_eq!(entry("b").lost(), Some(&id("a")));
        let relapse = Relapse { round: 3, until: Timestamp::from_micros(9), proven: false };
        let health = HealthCount { healthy: 1, total: 2 };
        let failing = vec![Failing { component: id("a"), error: "boom".to_owned() }];
        let events = vec![
            Event::Recovered { component: id("a"), old_status: Status::Error, relapse, refused: 7 },
            Event::Restarted { component: id("a"), restarts: 1, max_restarts: 5, duration_us: 3, fuel: 4 },
            Event::HealthDropped { health, threshold: 80.0, failing },
            Event::HealthRestored { health, threshold: 50.0 },
        ];
        commit(state, events.clone());
        let watch = entry("a").watch.clone().unwrap();
        assert_eq!(
            (entry("a").status, watch.relapse, watch.quarantine.as_ref()),
            (Status::Active, Some(relapse), None)
        );
        let records = state.records(6, 10).unwrap();
        assert!(records.iter().all(|record| record.version == 4), "a program that does not know them says so");
        assert_eq!(records.into_iter().map(|record| record.event).collect::<Vec<_>>(), events);
    });
}

#[test]
fn reads_records_from_any_place_across_segments() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let long = "x".repeat(1 << 20);
    for number in 1..=20 {
        commit(&*storage.state, vec![setting(&format!("{number} {long}"))]);
    }
    assert_eq!(segments(folder.path()).len(), 3);
    let seqs = |from, limit| -> Vec<u64> {
        storage.state.records(from, limit).unwrap().iter().map(|record| record.seq).collect()
    };
    assert_eq!(seqs(0, 100), (1..=20).collect::<Vec<_>>());
    assert_eq!(seqs(7, 5), [7, 8, 9, 10, 11]);
    assert_eq!(seqs(20, 5), [20]);
    assert_eq!(seqs(21, 5), Vec::<u64>::new());
    assert_eq!(seqs(1, 0), Vec::<u64>::new());
    storage.close().unwrap();
    std::fs::remove_dir_all(folder.path().join("index")).unwrap();
    let storage = open(folder.path());
    commit(&*storage.state, vec![setting("after")]);
    let last = storage.state.records(20, 9).unwrap();
    assert_eq!((last.len(), last[1].seq), (2, 21));
}

#[test]
fn goes_on_after_a_segment_that_has_no_record_yet() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    commit(&*storage.state, vec![setting(&"x".repeat(9 << 20))]);
    // The next group begins a segment, and ends without a record.
    commit(&*storage.state, vec![]);
    assert_eq!(segments(folder.path()).len(), 2);
    storage.close().unwrap();
    let storage = open(folder.path());
    assert_eq!((storage.warnings(), storage.state.last_seq()), (&[][..], 1));
    commit(&*storage.state, vec![setting("two")]);
    storage.close().unwrap();
    let storage = open(folder.path());
    assert_eq!((storage.warnings(), storage.state.records(1, 9).unwrap().len()), (&[][..], 2));
}

#[test]
fn keeps_the_newest_failures_of_each_component_and_of_all() {
    on_both(|state| {
        commit(state, vec![registered("a", 1, &[]), registered("b", 1, &[])]);
        for number in 0..FAILURES_MAX + 5 {
            commit(state, vec![failed("a", &format!("a {number}"))]);
        }
        commit(state, vec![failed("b", "b 0")]);
        let of_a = state.failures(Some(&id("a")), 1_000).unwrap();
        assert_eq!((of_a.len(), of_a[0].failure.message.as_str()), (FAILURES_MAX, "a 104"));
        assert_eq!(of_a.last().unwrap().failure.message, "a 5");
        let all = state.failures(None, 1_000).unwrap();
        assert_eq!((all.len(), all[0].failure.message.as_str()), (FAILURES_MAX + 1, "b 0"));
        assert_eq!(state.failures(None, 2).unwrap(), all[..2]);
        let clear = |history| Event::ErrorsCleared { component: id("a"), old_status: Status::Registered, history };
        commit(state, vec![clear(false)]);
        assert_eq!(state.failures(Some(&id("a")), 1_000).unwrap().len(), FAILURES_MAX);
        commit(state, vec![clear(true)]);
        assert_eq!(state.failures(Some(&id("a")), 1_000).unwrap(), []);
        assert_eq!(state.failures(None, 1_000).unwrap().len(), 1);
    });
}

#[test]
fn a_custom_index_finds_what_was_there_before_it_and_goes_when_dropped() {
    on_both(|state| {
        commit(state, vec![registered("a", 1, &[]), registered("b", 2, &[])]);
        commit(state, vec![Event::IndexCreated { key: "author".to_owned() }]);
        commit(state, vec![registered("c", 3, &[])]);
        assert_eq!(state.custom_indexes().unwrap(), ["author"]);
        assert_eq!(state.find("meta:author", "Ada").unwrap(), [id("a"), id("c")]);
        assert_eq!(state.find("meta:author", "Bo").unwrap(), []);
        let keys = [("Ada".to_owned(), 2), ("Bo\u{0}b".to_owned(), 1)];
        assert_eq!(state.index_keys("meta:author").unwrap(), keys);
        commit(state, vec![Event::IndexDropped { key: "author".to_owned() }]);
        assert_eq!(state.index_keys("meta:author").unwrap(), []);
        assert_eq!(state.count("meta:author", "Ada").unwrap(), 0);
    });
}

#[test]
fn what_was_unregistered_leaves_nothing_behind() {
    on_both(|state| {
        commit(
            state,
            vec![registered("base", 1, &[]), registered("top", 1, &["base"]), registered("top", 2, &["base"])],
        );
        commit(state, vec![failed("top", "boom")]);
        wait(state.add_usage(vec![(id("top"), Usage { calls: 1, ..Usage::default() })])).unwrap();
        commit(state, vec![Event::Unregistered { component: id("top") }]);
        assert_eq!(state.entry(&id("top")).unwrap(), None);
        assert_eq!(state.revisions(&id("top")).unwrap(), []);
        assert_eq!(state.dependents(&id("base")).unwrap(), []);
        assert_eq!(state.failures(None, 9).unwrap(), []);
        assert_eq!(state.usage(&id("top")).unwrap(), Usage::default());
        assert_eq!(state.find("status", "registered").unwrap(), [id("base")]);
        assert_eq!(state.ids(None, 9).unwrap(), [id("base")]);
    });
}

#[test]
fn pages_through_ids() {
    on_both(|state| {
        commit(state, ["d", "a", "c", "b"].map(|name| registered(name, 1, &[])).to_vec());
        assert_eq!(state.ids(None, 3).unwrap(), [id("a"), id("b"), id("c")]);
        assert_eq!(state.ids(Some(&id("c")), 3).unwrap(), [id("d")]);
        assert_eq!(state.ids(Some(&id("d")), 3).unwrap(), []);
        assert_eq!(state.ids(None, 0).unwrap(), []);
    });
}

#[test]
fn a_closed_folder_says_so_to_whoever_still_holds_it() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    let state = storage.state.clone();
    let queued = state.commit(domain::Actor::System, Box::new(|_| vec![setting("in time")]));
    storage.close().unwrap();
    assert_eq!(wait(queued).unwrap().len(), 1, "what was queued is carried out");
    let is_closed = |error| matches!(error, domain::ports::StorageError::Closed);
    assert!(is_closed(state.entry(&id("a")).unwrap_err()));
    assert!(is_closed(try_commit(&*state, vec![]).unwrap_err()));
    assert!(is_closed(state.records(1, 1).unwrap_err()));
    // The folder is free although the handle is still there.
    assert_eq!(open(folder.path()).state.last_seq(), 1);
}

#[test]
fn counters_survive_whatever_the_rows_on_disk_lack() {
    let folder = tempfile::tempdir().unwrap();
    let add = |calls: u64| {
        let storage = open(folder.path());
        wait(storage.state.add_usage(vec![(id("a"), Usage { calls, ..Usage::default() })])).unwrap();
        storage.close().unwrap();
    };
    let calls = || {
        let storage = open(folder.path());
        let calls = storage.state.usage(&id("a")).unwrap().calls;
        storage.close().unwrap();
        calls
    };
    let storage = open(folder.path());
    commit(&*storage.state, vec![registered("a", 1, &[])]);
    storage.close().unwrap();
    add(2);
    add(3);
    assert_eq!(calls(), 5);
    // So many changes reach the disk, the counters with them.
    let storage = open(folder.path());
    for n in 0..100 {
        commit(&*storage.state, vec![registered(&format!("b-{n}"), 1, &[])]);
    }
    storage.close().unwrap();
    assert_eq!(calls(), 5);
    add(7);
    assert_eq!(calls(), 12);
    // Counters of what is gone do not come back with a later component of that name.
    let storage = open(folder.path());
    commit(&*storage.state, vec![Event::Unregistered { component: id("a") }]);
    commit(&*storage.state, vec![registered("a", 1, &[])]);
    storage.close().unwrap();
    assert_eq!(calls(), 0);
}
