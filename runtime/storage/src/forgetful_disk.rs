//! A disk in memory that forgets, reorders and tears whatever was not synced, and that fails for a while.

use std::collections::BTreeMap;
use std::io::{Error, ErrorKind, Read, Result};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::journal::{Disk, DiskFile};

/// What is written to a disk at once.
const SECTOR: usize = 512;

/// Numbers that look random, the same for the same seed.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
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
    /// From and to, and the file: it is that one which gets the name, whatever else was called so before.
    Rename(PathBuf, PathBuf, usize),
}

/// What is on the disk, and what of it would be left.
#[derive(Clone, Default)]
pub(crate) struct Contents {
    files: Vec<File>,
    durable: BTreeMap<PathBuf, usize>,
    now: BTreeMap<PathBuf, usize>,
    since: Vec<Name>,
    /// How many more steps there are before the power goes.
    pub(crate) steps: u64,
    /// Whether it went.
    pub(crate) is_gone: bool,
    /// How many steps were taken.
    pub(crate) taken: u64,
    /// Which steps fail without the power being gone, and how.
    pub(crate) failing: Range<u64>,
    pub(crate) error: Option<ErrorKind>,
}

fn change_name(names: &mut BTreeMap<PathBuf, usize>, change: &Name) {
    match change {
        Name::Put(path, file) => drop(names.insert(path.clone(), *file)),
        Name::Remove(path) => drop(names.remove(path)),
        Name::Rename(from, to, file) => {
            if names.get(from) == Some(file) {
                names.remove(from);
            }
            names.insert(to.clone(), *file);
        }
    }
}

impl Contents {
    fn step(&mut self) -> Result<()> {
        match self.steps.checked_sub(1) {
            Some(left) => self.steps = left,
            None => {
                self.is_gone = true;
                return Err(Error::other("the power is gone"));
            }
        }
        self.taken += 1;
        match self.error {
            Some(error) if self.failing.contains(&self.taken) => Err(error.into()),
            _ => Ok(()),
        }
    }

    fn change(&mut self, change: Name) {
        change_name(&mut self.now, &change);
        self.since.push(change);
    }

    fn find(&self, path: &Path) -> Result<usize> {
        self.now.get(path).copied().ok_or_else(|| ErrorKind::NotFound.into())
    }

    /// Keeps what was synced, and of the rest what the dice say.
    pub(crate) fn crash(&mut self, dice: &mut Dice) {
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
        self.is_gone = false;
    }
}

#[derive(Clone, Default)]
pub(crate) struct ForgetfulDisk(Arc<Mutex<Contents>>);

impl ForgetfulDisk {
    pub(crate) fn contents(&self) -> MutexGuard<'_, Contents> {
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
        let synced = disk.step();
        let is_gone = disk.is_gone;
        let file = &mut disk.files[self.1];
        if is_gone {
            return synced;
        }
        let since = std::mem::take(&mut file.since);
        if synced.is_err() {
            // What a sync could not write is counted as written all the same, and no later one tries it again; a length stays
            // to be written.
            file.since = since.into_iter().filter(|(_, bytes)| bytes.is_empty()).collect();
            return synced;
        }
        for (from, bytes) in since {
            if bytes.is_empty() {
                file.durable.truncate(from);
            } else {
                file.durable.resize(file.durable.len().max(from + bytes.len()), 0);
                file.durable[from..from + bytes.len()].copy_from_slice(&bytes);
            }
        }
        synced
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
        let file = disk.find(from)?;
        disk.change(Name::Rename(from.to_owned(), to.to_owned(), file));
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
