//! A disk that is full, or fails, at one step or a few, at every step there is: the journal goes on by itself afterwards.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use domain::Timestamp;
use domain::event::{Actor, EVENT_VERSION, Record};
use domain::ports::{Durability, StorageError};

use crate::fixtures::setting;
use crate::forgetful_disk::{Dice, ForgetfulDisk};
use crate::journal::{self, Head, Journal, JournalFolder};

/// Records that are written, over several segments.
const RECORDS: u64 = 14;

fn record(seq: u64) -> Record {
    let (at, actor) = (Timestamp::from_micros(7), Actor::System);
    Record { seq, at, actor, version: EVENT_VERSION, event: setting(&"x".repeat(300)) }
}

fn append(journal: &mut Journal, seq: u64) -> Result<(), StorageError> {
    let mut group = journal.begin_group(Timestamp::from_micros(8))?;
    group.add(&[Arc::new(record(seq))]).unwrap();
    let durability = [Durability::Power, Durability::Process, Durability::None, Durability::Power][seq as usize % 4];
    journal.append(group, durability)
}

/// Writes all records on a disk that fails at some steps; returns how many steps there were.
fn live(folder: &Path, failing: std::ops::Range<u64>, error: ErrorKind) -> u64 {
    let disk = ForgetfulDisk::default();
    disk.contents().steps = u64::MAX;
    let journal_folder = JournalFolder::on(Arc::new(disk.clone()), &folder.join("journal"), 1_500);
    let opened = journal::open(&journal_folder, &Head::start(), Timestamp::from_micros(1)).unwrap();
    let mut journal = opened.journal;
    disk.contents().taken = 0;
    disk.contents().failing = failing.clone();
    disk.contents().error = Some(error);
    let mut refused = 0;
    for seq in 1..=RECORDS {
        while let Err(failed) = append(&mut journal, seq) {
            refused += 1;
            assert!(refused < 20, "{failing:?}: it does not go on");
            assert_eq!(journal.head().seq, seq - 1, "{failing:?}");
            match (error, failed) {
                (ErrorKind::StorageFull, StorageError::Full { .. }) | (_, StorageError::ReadOnly { .. }) => {}
                (_, other) => panic!("{failing:?}: {other:?}"),
            }
            // What is written can be read all the while.
            if !journal.is_gathering() {
                let read = journal::records(&journal_folder, 1, seq - 1, usize::MAX).unwrap();
                assert_eq!(read.len() as u64, seq - 1, "{failing:?}");
            }
        }
    }
    disk.contents().error = None;
    append(&mut journal, RECORDS + 1).unwrap();
    append(&mut journal, RECORDS + 2).unwrap();
    let taken = disk.contents().taken;
    // The last was synced, and everything before it with it.
    for seed in 0..4 {
        let after = ForgetfulDisk::default();
        *after.contents() = disk.contents().clone();
        after.contents().crash(&mut Dice(seed));
        let folder = JournalFolder::on(Arc::new(after), &folder.join("journal"), 1_500);
        let opened = journal::open(&folder, &Head::start(), Timestamp::from_micros(9)).unwrap();
        assert_eq!((opened.journal.head().seq, opened.warning), (RECORDS + 2, None), "{failing:?}");
        let read = journal::records(&folder, 1, RECORDS + 2, usize::MAX).unwrap();
        assert_eq!(read, (1..=RECORDS + 2).map(record).collect::<Vec<_>>(), "{failing:?}");
    }
    taken
}

#[test]
fn goes_on_by_itself_after_a_failure_at_any_step() {
    let folder = tempfile::tempdir().unwrap();
    let steps = live(folder.path(), 0..0, ErrorKind::Other);
    assert!(steps > 40, "{steps}");
    for error in [ErrorKind::StorageFull, ErrorKind::Other] {
        for from in 1..=steps {
            for length in [1, 2, 3, 5] {
                live(folder.path(), from..from + length, error);
            }
        }
    }
}

/// Fails at the step `first`, at the `second` one after the first refusal, and the process ends with the next refusal. Returns
/// whether there was one of each.
fn leave(folder: &Path, first: u64, second: u64) -> bool {
    let disk = ForgetfulDisk::default();
    disk.contents().steps = u64::MAX;
    let open = |disk: &ForgetfulDisk| {
        let folder = JournalFolder::on(Arc::new(disk.clone()), &folder.join("journal"), 1_500);
        let opened = journal::open(&folder, &Head::start(), Timestamp::from_micros(1)).unwrap();
        (opened.journal, folder)
    };
    let append = |journal: &mut Journal| {
        let seq = journal.head().seq + 1;
        let mut group = journal.begin_group(Timestamp::from_micros(8))?;
        group.add(&[Arc::new(record(seq))]).unwrap();
        journal.append(group, Durability::Power)
    };
    let (mut journal, _) = open(&disk);
    disk.contents().taken = 0;
    disk.contents().failing = first..first + 1;
    disk.contents().error = Some(ErrorKind::Other);
    let mut refused = 0;
    while refused < 2 && journal.head().seq < RECORDS {
        if append(&mut journal).is_err() {
            refused += 1;
            let mut disk = disk.contents();
            let from = disk.taken + second;
            disk.failing = from..from + 1;
        }
    }
    // The disk works again, and the next process relies on what it finds.
    drop(journal);
    disk.contents().error = None;
    let (mut journal, _) = open(&disk);
    append(&mut journal).unwrap();
    for seed in 0..16 {
        let after = ForgetfulDisk::default();
        *after.contents() = disk.contents().clone();
        after.contents().crash(&mut Dice(seed));
        let (found, folder) = open(&after);
        assert_eq!(found.head().seq, journal.head().seq, "{first} {second} {seed}");
        let read = journal::records(&folder, 1, found.head().seq, usize::MAX).unwrap();
        assert_eq!(read, (1..=found.head().seq).map(record).collect::<Vec<_>>(), "{first} {second} {seed}");
    }
    refused == 2
}

#[test]
fn the_next_process_makes_durable_what_one_left_that_could_not_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut left = 0;
    for first in 1..60 {
        for second in 1..14 {
            left += u64::from(leave(folder.path(), first, second));
        }
    }
    assert!(left > 200, "{left}");
}
