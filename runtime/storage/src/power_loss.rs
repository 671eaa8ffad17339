//! What a power cut leaves, also of a registry on a disk that was full or failed for a while before.
//!
//! `STORAGE_SEEDS=100000 cargo test -p storage power_loss` tries as many histories instead of 10,000; a failure names its seed,
//! and `STORAGE_SEED=N` runs that one alone.

use std::io::ErrorKind;
use std::num::NonZero;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use domain::event::{Actor, EVENT_VERSION, Event, Record};
use domain::ports::{Durability, StateView, Stop, StorageError};
use domain::{Status, Timestamp};

use crate::AuditWindow;
use crate::compact::compact;
use crate::fixtures::{failed, id, registered, setting};
use crate::forgetful_disk::{Dice, ForgetfulDisk};
use crate::index::{Frozen, MapRows, Mark, Overlay, RowsView, apply, compare, made_from_journal, page};
use crate::journal::{self, Disk, Head, JournalFolder};

/// A registry on such a disk, with all that was ever decided.
struct Life {
    disk: ForgetfulDisk,
    folder: JournalFolder,
    /// Every decision, by its records.
    decisions: Vec<Vec<Record>>,
    /// The decisions that were refused last: nobody was promised that they are not there after a power cut.
    refused: Vec<Vec<Record>>,
    /// The last record that must never be missing, as the index may know it.
    safe: Head,
    /// The rows up to a record that was safe when they were asked for, so that they need not be made from the beginning each time.
    made: (u64, Arc<MapRows>),
}

fn event(dice: &mut Dice) -> Event {
    let name = ["a", "b", "c", "d"][dice.roll(4) as usize];
    let component = id(name);
    match dice.roll(9) {
        0..=2 => registered(name, 1 + dice.roll(4) as u32, &["a"]),
        3 => Event::Unregistered { component },
        4 => Event::Activated {
            component,
            old_status: Status::Registered,
            revision: 1,
            duration_us: 1,
            fuel: 2,
            asked: None,
            lock: vec![],
        },
        5 => failed(name, &"x".repeat(dice.roll(900) as usize)),
        6 => Event::IndexCreated { key: "author".to_owned() },
        _ => setting(&"x".repeat(dice.roll(1_500) as usize)),
    }
}

impl Life {
    fn last(&self) -> u64 {
        self.decisions.last().and_then(|decision| decision.last()).map_or(0, |record| record.seq)
    }

    /// The rows that the decisions up to a record add up to.
    fn rows(&mut self, to: u64) -> Arc<MapRows> {
        let (from, rows) = self.made.clone();
        assert!(from <= to, "rows of safe records are asked for in order");
        let mut overlay = Overlay::over(&*rows);
        for record in self.decisions.iter().flatten().filter(|record| record.seq > from && record.seq <= to) {
            apply(&mut overlay, record).unwrap();
        }
        let changes = overlay.into_changes();
        rows.change(&changes).unwrap();
        self.made.0 = to;
        rows
    }

    /// Opens the journal, changes the registry and compacts until the power goes.
    fn live(&mut self, dice: &mut Dice, weak: bool) -> std::result::Result<(), StorageError> {
        let known = if dice.roll(2) == 0 { self.safe.clone() } else { Head::start() };
        let opened = journal::open(&self.folder, &known, Timestamp::from_micros(1))?;
        let mut journal = opened.journal;
        let end = journal.head().seq;
        let mark = if end == 0 { Mark::default() } else { Mark { seq: end, hash: opened.record_hash.clone() } };
        if end > self.last() {
            self.decisions.append(&mut self.refused);
        }
        self.check(&mark);
        self.decisions.retain(|decision| decision.iter().all(|record| record.seq <= end));
        self.safe = Head { seq: end, hash: opened.record_hash };
        loop {
            if dice.roll(12) == 0 && self.goes_on(journal.turn(Timestamp::from_micros(2)))? {
                let seq = journal.head().seq;
                if seq > 0 {
                    let hash = self.last_hash(&journal);
                    self.safe = Head { seq, hash: hash.clone() };
                    let rows = self.rows(seq);
                    let entries = RowsView { rows: &*rows, last_seq: seq }.ids(None, 99)?.len() as u64;
                    let frozen = Frozen::of(rows, Mark { seq, hash }, entries);
                    let keep = AuditWindow { age: Duration::ZERO, records: dice.roll(20) };
                    let compacted =
                        compact(&self.folder, frozen, Timestamp::from_micros(3), keep, &|_| true, &Stop::default());
                    self.goes_on(compacted.map(drop))?;
                }
            }
            let durability = match dice.roll(3) {
                0 if weak => Durability::None,
                1 if weak => Durability::Process,
                _ => Durability::Power,
            };
            if dice.roll(4) == 0 {
                self.goes_on(journal.relax())?;
            }
            let mut group = match journal.begin_group(Timestamp::from_micros(4)) {
                Ok(group) => group,
                Err(error) => {
                    self.goes_on(Err(error))?;
                    continue;
                }
            };
            let before = self.decisions.len();
            for _ in 0..=dice.roll(3) {
                let first = self.last() + 1;
                let events = (0..=dice.roll(2)).map(|_| event(dice));
                let (at, actor) = (Timestamp::from_micros(5), Actor::System);
                let record = |(seq, event)| Record { seq, at, actor: actor.clone(), version: EVENT_VERSION, event };
                let records: Vec<Record> = (first..).zip(events).map(record).collect();
                group.add(&records.iter().cloned().map(Arc::new).collect::<Vec<_>>()).unwrap();
                self.decisions.push(records);
            }
            let head = group.head().clone();
            let appended = journal.append(group, durability);
            let is_refused = appended.is_err();
            if !self.goes_on(appended)? {
                assert!(is_refused && journal.head().seq == self.decisions[..before].iter().flatten().count() as u64);
                self.refused = self.decisions.split_off(before);
                continue;
            }
            self.refused.clear();
            let is_secured = dice.roll(4) == 0 && self.goes_on(journal.secure(Durability::Power))?;
            if durability == Durability::Power || is_secured {
                self.safe = head;
            }
        }
    }

    /// Tells whether something was done; what could not be is an error only if the power is gone.
    fn goes_on(&self, done: std::result::Result<(), StorageError>) -> std::result::Result<bool, StorageError> {
        match done {
            Ok(()) => Ok(true),
            Err(error) if self.disk.contents().is_gone => Err(error),
            Err(StorageError::Full { .. } | StorageError::ReadOnly { .. } | StorageError::Io { .. }) => Ok(false),
            Err(other) => panic!("{other:?}"),
        }
    }

    fn last_hash(&self, journal: &journal::Journal) -> String {
        // A segment that was just begun says which line it follows.
        let path = self.folder.segment(journal.head().seq + 1);
        let mut text = String::new();
        self.disk.read(&path).unwrap().read_to_string(&mut text).unwrap();
        let header: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        header["prev"].as_str().unwrap().to_owned()
    }

    /// The state is that of a run of whole decisions from the beginning, with all that was acknowledged.
    fn check(&mut self, mark: &Mark) {
        assert!(mark.seq >= self.safe.seq, "record {} was acknowledged, {} is the last", self.safe.seq, mark.seq);
        let ends = self.decisions.iter().filter_map(|decision| decision.last()).any(|record| record.seq == mark.seq);
        assert!(ends || mark.seq == 0, "a decision is half there");
        // What is left for people to look back at has no gap.
        journal::records(&self.folder, 1, mark.seq, usize::MAX).unwrap();
        let (found, expected) = (made_from_journal(&self.folder, mark).unwrap(), self.rows(mark.seq));
        let page_of = |tree, from: &[u8]| page(&*found, tree, from);
        compare(&*expected, &page_of, &mut |what, component| panic!("{what}: {component:?}")).unwrap();
    }
}

fn try_seed(seed: u64, path: &Path) {
    let dice = &mut Dice(seed);
    let disk = ForgetfulDisk::default();
    let folder = JournalFolder::on(Arc::new(disk.clone()), path, 1_000 + dice.roll(6_000));
    let mut life = Life {
        disk,
        folder,
        decisions: Vec::new(),
        refused: Vec::new(),
        safe: Head::start(),
        made: (0, Arc::default()),
    };
    let weak = dice.roll(3) == 0;
    let failing = dice.roll(2) == 0;
    for _ in 0..3 {
        {
            let mut disk = life.disk.contents();
            disk.steps = dice.roll(60);
            if failing {
                let from = disk.taken + dice.roll(40);
                disk.failing = from..from + 1 + dice.roll(12);
                disk.error = Some(if dice.roll(2) == 0 { ErrorKind::StorageFull } else { ErrorKind::Other });
            }
        }
        loop {
            let error = life.live(dice, weak).unwrap_err();
            assert!(
                matches!(&error, StorageError::Io { .. } | StorageError::ReadOnly { .. } | StorageError::Full { .. }),
                "{error}: {error:?}"
            );
            // A journal that cannot be opened now is opened again.
            if life.disk.contents().is_gone {
                break;
            }
        }
        life.disk.contents().crash(dice);
    }
    life.disk.contents().steps = u64::MAX;
    life.disk.contents().error = None;
    let opened = journal::open(&life.folder, &Head::start(), Timestamp::from_micros(9)).unwrap();
    let seq = opened.journal.head().seq;
    if seq > life.last() {
        life.decisions.append(&mut life.refused);
    }
    life.check(&if seq == 0 { Mark::default() } else { Mark { seq, hash: opened.record_hash } });
}

/// Tries the seeds on all processors, in order, and returns the first one that fails.
fn first_failure(seeds: Range<u64>) -> Option<u64> {
    let (next, has_failed) = (AtomicU64::new(seeds.start), AtomicBool::new(false));
    let try_them = || {
        let folder = tempfile::tempdir().unwrap();
        while !has_failed.load(Ordering::Acquire) {
            let seed = next.fetch_add(1, Ordering::AcqRel);
            if seed >= seeds.end {
                break;
            }
            if std::panic::catch_unwind(|| try_seed(seed, &folder.path().join("journal"))).is_err() {
                has_failed.store(true, Ordering::Release);
                return Some(seed);
            }
        }
        None
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, NonZero::get);
        let trying: Vec<_> = (0..threads).map(|_| scope.spawn(try_them)).collect();
        // Every seed before one that was taken was taken as well and is tried to its end, so the first one is always the same.
        trying.into_iter().filter_map(|thread| thread.join().unwrap()).min()
    })
}

#[test]
fn power_loss_leaves_a_run_of_whole_decisions_with_all_that_was_acknowledged() {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("STORAGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STORAGE_SEEDS").unwrap_or(10_000),
    };
    let failed = first_failure(seeds);
    assert!(failed.is_none(), "seed {0}: run it alone with STORAGE_SEED={0}", failed.unwrap_or_default());
}
