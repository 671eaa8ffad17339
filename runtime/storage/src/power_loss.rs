//! What a power cut leaves: a disk that forgets, reorders and tears whatever was not synced.
//!
//! `STORAGE_SEEDS=10000 cargo test -p storage power_loss` tries as many histories; a failure names its seed, and
//! `STORAGE_SEED=N` runs that one alone.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use domain::event::{Actor, EVENT_VERSION, Event, Record};
use domain::ports::{Durability, StateView, StorageError};
use domain::{Status, Timestamp};

use crate::AuditWindow;
use crate::compact::compact;
use crate::fixtures::{failed, id, registered, setting};
use crate::index::{Frozen, MapRows, Mark, Overlay, RowsView, apply, compare, made_from_journal, page};
use crate::journal::{self, Disk, DiskFile, Head, JournalFolder};

/// What is written to a disk at once.
const SECTOR: usize = 512;

/// Numbers that look random, the same for the same seed.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % sides
    }
}

#[derive(Clone, Default)]
struct File {
    durable: Vec<u8>,
    now: Vec<u8>,
    /// Changes since the last sync: from where on which bytes; a cut has none.
    since: Vec<(usize, Vec<u8>)>,
}

#[derive(Clone)]
enum Name {
    Put(PathBuf, usize),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

#[derive(Default)]
struct Contents {
    files: Vec<File>,
    durable: BTreeMap<PathBuf, usize>,
    now: BTreeMap<PathBuf, usize>,
    since: Vec<Name>,
    /// How many more steps there are before the power goes.
    steps: u64,
}

fn change_name(names: &mut BTreeMap<PathBuf, usize>, change: &Name) {
    match change {
        Name::Put(path, file) => drop(names.insert(path.clone(), *file)),
        Name::Remove(path) => drop(names.remove(path)),
        Name::Rename(from, to) => {
            if let Some(file) = names.remove(from) {
                names.insert(to.clone(), file);
            }
        }
    }
}

impl Contents {
    fn step(&mut self) -> Result<()> {
        self.steps = self.steps.checked_sub(1).ok_or_else(|| Error::other("the power is gone"))?;
        Ok(())
    }

    fn change(&mut self, change: Name) {
        change_name(&mut self.now, &change);
        self.since.push(change);
    }

    fn find(&self, path: &Path) -> Result<usize> {
        self.now.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Keeps what was synced, and of the rest what the dice say.
    fn crash(&mut self, dice: &mut Dice) {
        let in_order = dice.roll(2) == 0;
        let kept = |dice: &mut Dice, stopped: &mut bool| {
            let keep = dice.roll(2) == 0;
            *stopped |= !keep;
            if in_order { !*stopped } else { keep }
        };
        let mut stopped = false;
        for change in std::mem::take(&mut self.since) {
            if kept(dice, &mut stopped) {
                change_name(&mut self.durable, &change);
            }
        }
        for file in &mut self.files {
            let mut stopped = false;
            for (from, bytes) in std::mem::take(&mut file.since) {
                if bytes.is_empty() {
                    if kept(dice, &mut stopped) {
                        file.durable.truncate(from);
                    }
                    continue;
                }
                let mut at = 0;
                while at < bytes.len() {
                    let end = bytes.len().min(at + SECTOR - (from + at) % SECTOR);
                    if kept(dice, &mut stopped) {
                        let torn = if dice.roll(8) == 0 { dice.roll((end - at) as u64) as usize } else { end - at };
                        file.durable.resize(file.durable.len().max(from + at + torn), 0);
                        file.durable[from + at..from + at + torn].copy_from_slice(&bytes[at..at + torn]);
                    } else if dice.roll(2) == 0 {
                        // The length may be known while the bytes are not.
                        file.durable.resize(file.durable.len().max(from + end), 0);
                    }
                    at = end;
                }
            }
            file.now.clone_from(&file.durable);
        }
        self.now.clone_from(&self.durable);
    }
}

#[derive(Clone, Default)]
struct ForgetfulDisk(Arc<Mutex<Contents>>);

impl ForgetfulDisk {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap()
    }
}

struct OpenFile(ForgetfulDisk, usize);

impl DiskFile for OpenFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let mut disk = self.0.contents();
        // A write may be half done when the power goes.
        let goes = disk.step();
        let bytes = if goes.is_ok() { bytes } else { &bytes[..bytes.len() / 2] };
        let file = &mut disk.files[self.1];
        let from = file.now.len();
        file.now.extend(bytes);
        if !bytes.is_empty() {
            file.since.push((from, bytes.to_vec()));
        }
        goes
    }

    fn sync(&mut self) -> Result<()> {
        let mut disk = self.0.contents();
        disk.step()?;
        let file = &mut disk.files[self.1];
        file.durable.clone_from(&file.now);
        file.since.clear();
        Ok(())
    }

    fn cut(&mut self, len: u64) -> Result<()> {
        let mut disk = self.0.contents();
        disk.step()?;
        let file = &mut disk.files[self.1];
        file.now.truncate(len as usize);
        file.since.push((len as usize, Vec::new()));
        Ok(())
    }
}

impl Disk for ForgetfulDisk {
    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        let disk = self.contents();
        let inside = disk.now.keys().filter(|path| path.parent() == Some(folder));
        Ok(inside.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
    }

    fn read(&self, path: &Path) -> Result<Box<dyn Read + Send>> {
        let disk = self.contents();
        Ok(Box::new(std::io::Cursor::new(disk.files[disk.find(path)?].now.clone())))
    }

    fn len(&self, path: &Path) -> Result<u64> {
        let disk = self.contents();
        Ok(disk.files[disk.find(path)?].now.len() as u64)
    }

    fn append(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let file = self.contents().find(path)?;
        Ok(Box::new(OpenFile(self.clone(), file)))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let mut disk = self.contents();
        disk.step()?;
        disk.files.push(File::default());
        let file = disk.files.len() - 1;
        disk.change(Name::Put(path.to_owned(), file));
        Ok(Box::new(OpenFile(self.clone(), file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        let mut disk = self.contents();
        disk.step()?;
        disk.find(from)?;
        disk.change(Name::Rename(from.to_owned(), to.to_owned()));
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let mut disk = self.contents();
        disk.step()?;
        disk.find(path)?;
        disk.change(Name::Remove(path.to_owned()));
        Ok(())
    }

    fn sync_folder(&self, _folder: &Path) -> Result<()> {
        let mut disk = self.contents();
        disk.step()?;
        let now = disk.now.clone();
        disk.durable = now;
        disk.since.clear();
        Ok(())
    }
}

/// A registry on such a disk, with all that was ever decided.
struct Life {
    disk: ForgetfulDisk,
    folder: JournalFolder,
    /// Every decision, by its records.
    decisions: Vec<Vec<Record>>,
    /// The last record that must never be missing, as the index may know it.
    safe: Head,
}

fn event(dice: &mut Dice) -> Event {
    let name = ["a", "b", "c", "d"][dice.roll(4) as usize];
    let component = id(name);
    match dice.roll(9) {
        0..=2 => registered(name, 1 + dice.roll(4) as u32, &["a"]),
        3 => Event::Unregistered { component },
        4 => Event::Activated { component, old_status: Status::Registered, revision: 1, duration_us: 1, fuel: 2 },
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
    fn rows(&self, to: u64) -> MapRows {
        let rows = MapRows::default();
        let mut overlay = Overlay::over(&rows);
        for record in self.decisions.iter().flatten().filter(|record| record.seq <= to) {
            apply(&mut overlay, record).unwrap();
        }
        let changes = overlay.into_changes();
        rows.change(changes);
        rows
    }

    /// Opens the journal, changes the registry and compacts until the power goes.
    fn live(&mut self, dice: &mut Dice, weak: bool) -> std::result::Result<(), StorageError> {
        let known = if dice.roll(2) == 0 { self.safe.clone() } else { Head::start() };
        let opened = journal::open(&self.folder, &known, Timestamp::from_micros(1))?;
        let mut journal = opened.journal;
        let end = journal.head().seq;
        let mark = if end == 0 { Mark::default() } else { Mark { seq: end, hash: opened.record_hash.clone() } };
        self.check(&mark);
        self.decisions.retain(|decision| decision.iter().all(|record| record.seq <= end));
        self.safe = Head { seq: end, hash: opened.record_hash };
        loop {
            if dice.roll(12) == 0 {
                journal.turn(Timestamp::from_micros(2))?;
                let seq = journal.head().seq;
                if seq > 0 {
                    let hash = self.last_hash(&journal);
                    self.safe = Head { seq, hash: hash.clone() };
                    let rows = self.rows(seq);
                    let entries = RowsView { rows: &rows, last_seq: seq }.ids(None, 99)?.len() as u64;
                    let frozen = Frozen::of(Arc::new(rows), Mark { seq, hash }, entries);
                    let keep = AuditWindow { age: Duration::ZERO, records: dice.roll(20) };
                    compact(&self.folder, frozen, Timestamp::from_micros(3), keep, &|_| true)?;
                }
            }
            let durability = match dice.roll(3) {
                0 if weak => Durability::None,
                1 if weak => Durability::Process,
                _ => Durability::Power,
            };
            let mut group = journal.begin_group(Timestamp::from_micros(4))?;
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
            journal.append(group, durability)?;
            if durability == Durability::Power {
                self.safe = head;
            }
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
    fn check(&self, mark: &Mark) {
        assert!(mark.seq >= self.safe.seq, "record {} was acknowledged, {} is the last", self.safe.seq, mark.seq);
        let ends = self.decisions.iter().filter_map(|decision| decision.last()).any(|record| record.seq == mark.seq);
        assert!(ends || mark.seq == 0, "a decision is half there");
        // What is left for people to look back at has no gap.
        journal::records(&self.folder, 1, mark.seq, usize::MAX).unwrap();
        let (found, expected) = (made_from_journal(&self.folder, mark).unwrap(), self.rows(mark.seq));
        let page_of = |tree, from: &[u8]| page(&*found, tree, from);
        compare(&expected, &page_of, &mut |what, component| panic!("{what}: {component:?}")).unwrap();
    }
}

fn try_seed(seed: u64, path: &Path) {
    let dice = &mut Dice(seed);
    let disk = ForgetfulDisk::default();
    let folder = JournalFolder::on(Arc::new(disk.clone()), path, 1_000 + dice.roll(6_000));
    let mut life = Life { disk, folder, decisions: Vec::new(), safe: Head::start() };
    let weak = dice.roll(3) == 0;
    for _ in 0..3 {
        life.disk.contents().steps = dice.roll(60);
        let error = life.live(dice, weak).unwrap_err();
        assert!(matches!(&error, StorageError::Io { .. }), "{error}: {error:?}");
        life.disk.contents().crash(dice);
    }
    life.disk.contents().steps = u64::MAX;
    let opened = journal::open(&life.folder, &Head::start(), Timestamp::from_micros(9)).unwrap();
    let seq = opened.journal.head().seq;
    life.check(&if seq == 0 { Mark::default() } else { Mark { seq, hash: opened.record_hash } });
}

#[test]
fn power_loss_leaves_a_run_of_whole_decisions_with_all_that_was_acknowledged() {
    let number = |name| std::env::var(name).ok().and_then(|number| number.parse::<u64>().ok());
    let seeds = match number("STORAGE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("STORAGE_SEEDS").unwrap_or(300),
    };
    let folder = tempfile::tempdir().unwrap();
    for seed in seeds {
        let tried = std::panic::catch_unwind(|| try_seed(seed, &folder.path().join("journal")));
        assert!(tried.is_ok(), "seed {seed}: run it alone with STORAGE_SEED={seed}");
    }
}
