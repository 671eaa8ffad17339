//! The index as everybody sees it: the rows on disk, and over them the newest changes, which are only in memory.
//!
//! Bringing sled's file up to date costs several syncs, in this process and in the next one that opens it, and the journal makes
//! them unnecessary: whoever opens the folder replays its last records. So the rows on disk may stay a few records behind.
//! Counters of use are in no record; they go to a file of their own until sled has them. Of a small registry the rows on disk
//! are an image, until there is so much to change that sled is worth its opening.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use domain::ComponentId;
use domain::entry::Entry;
use domain::ports::StorageError;
use domain::usage::Usage;

use super::apply::add_usage;
use super::frozen::{Frozen, OldRows};
use super::head::HeadFile;
use super::image::{self, Image};
use super::overlay::{Changes, Over, Overlay, merged_get, merged_scan};
use super::pack::Slack;
use super::recover::{Followed, Truth, over_sled};
use super::reopen::{SledState, let_go};
use super::room::{Before, look_for_room};
use super::rows::{Known, Rows, Tree, Visit};
use super::sled::{Mark, SledRows};
use super::usage_file::{UsageFile, UsageLine};
use crate::folder::OnWarning;
use crate::journal::JournalFolder;

/// Most changed rows that the rows on disk do not have: each change copies them.
pub(super) const ROWS_MAX: usize = 256;
/// Most records that the rows on disk do not have: each opening replays them.
pub(super) const RECORDS_MAX: u64 = 32;

/// How many groups' worth of rows and records sled may lack while many changes come at once: it then gets them together, and of rows
/// that are changed over and over only the last.
const GROUPS_MAX: usize = 64;
/// Most rows that sled may lack even then, until the folder is closed: each group copies references to them.
const BUSY_ROWS_MAX: usize = 8_192;
/// Most records.
const BUSY_RECORDS_MAX: u64 = 16_384;

/// Most entries that are kept as values after the rows on disk got them.
const SETTLED_MAX: usize = 4_096;

/// Rows of a data folder.
pub(crate) struct Index {
    pub(super) folder: PathBuf,
    pub(super) journal: JournalFolder,
    pub(super) slack: Slack,
    layers: RwLock<Arc<Layers>>,
    /// What sled's rows were at a moment that somebody looks at.
    pub(super) old: Arc<OldRows>,
    /// Even while the rows on disk are at rest, odd while they are being changed.
    pub(super) changing: AtomicU64,
    /// Held while rows are changed, so that changes come one after the other.
    files: Mutex<Files>,
    /// Hears what is mended after the opening.
    on_warning: Option<Arc<OnWarning>>,
}

/// What is written beside the rows, and how the rows on disk are.
pub(super) struct Files {
    usage: UsageFile,
    head: HeadFile,
    pub(super) sled: SledState,
    /// How many changes come at once.
    pace: Group,
}

/// The rows on disk.
pub(super) enum Below {
    /// A copy of all of them, read at opening.
    Image(Image),
    /// Sled's.
    Sled(SledRows),
    /// None, because sled could not be opened again.
    Gone(StorageError),
}

impl Rows for Below {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        match self {
            Self::Image(image) => image.get(tree, key),
            Self::Sled(sled) => sled.get(tree, key),
            Self::Gone(error) => Err(error.again()),
        }
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        match self {
            Self::Image(image) => image.scan(tree, from, visit),
            Self::Sled(sled) => sled.scan(tree, from, visit),
            Self::Gone(error) => Err(error.again()),
        }
    }
}

/// How much one group changes.
#[derive(Clone, Copy, Default)]
pub(super) struct Group {
    rows: usize,
    records: u64,
}

impl Group {
    /// Returns the pace at which changes come after this group, where it was `self` before: a small group now and then does not
    /// mean that few come.
    fn then(self, next: Self) -> Self {
        Self {
            rows: next.rows.max(self.rows - self.rows / 8),
            records: next.records.max(self.records - self.records / 8),
        }
    }

    /// Tells whether so many rows and records may stay in memory after this group. Copying them costs each group, so a small group
    /// puts up with few, a large one with more.
    fn leaves_room(&self, below: &Below, rows: usize, records: u64) -> bool {
        let (mut rows_max, mut records_max) = (ROWS_MAX, RECORDS_MAX);
        if let Below::Sled(_) = below {
            rows_max = rows_max.max(self.rows.saturating_mul(GROUPS_MAX).min(BUSY_ROWS_MAX));
            records_max = records_max.max(self.records.saturating_mul(GROUPS_MAX as u64).min(BUSY_RECORDS_MAX));
        }
        rows <= rows_max && records <= records_max
    }
}

/// Rows on disk with what they do not have yet.
#[derive(Clone)]
pub(super) struct Layers {
    pub(super) below: Arc<Below>,
    /// The last record that they have.
    pub(super) below_seq: u64,
    /// What changed since, but for `newest`.
    pub(super) changes: Arc<Changes>,
    /// What changed after that: few, because every change of rows copies them.
    pub(super) newest: Changes,
    /// The last record whose changes are here.
    pub(super) mark: Mark,
    /// Entries that the rows on disk got last, so that whoever changes one again need not read it.
    pub(super) settled: Arc<HashMap<ComponentId, Arc<Entry>>>,
}

impl Layers {
    /// Nothing over rows that have everything up to `mark`.
    pub(super) fn nothing_over(below: Arc<Below>, mark: Mark) -> Self {
        let (changes, newest) = Default::default();
        Self { below, below_seq: mark.seq, changes, newest, mark, settled: Arc::default() }
    }

    fn absorb(&mut self, changes: Changes) {
        self.newest.absorb(changes);
        if self.newest.len() > ROWS_MAX.max(self.changes.len() / 4) {
            self.join();
        }
    }

    /// Puts all that changed into one place.
    pub(super) fn join(&mut self) {
        if !self.newest.is_empty() {
            Arc::make_mut(&mut self.changes).absorb(std::mem::take(&mut self.newest));
        }
    }

    /// Returns how many rows the rows on disk lack, those that changed early and late twice.
    fn lacking(&self) -> usize {
        self.changes.len() + self.newest.len()
    }

    /// Tells whether so much may stay in memory.
    fn fits(&self) -> bool {
        self.fits_after(&Group { rows: 0, records: 0 })
    }

    fn fits_after(&self, group: &Group) -> bool {
        let lag = self.mark.seq.saturating_sub(self.below_seq);
        group.leaves_room(&self.below, self.lacking(), lag)
    }
}

impl Rows for Layers {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        merged_get(&Over { below: &*self.below, changes: &self.changes }, &self.newest, tree, key)
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        merged_scan(&Over { below: &*self.below, changes: &self.changes }, &self.newest, tree, from, visit)
    }

    fn known_entry(&self, id: &ComponentId) -> Known {
        let newest = match self.newest.known_entry(id) {
            Known::Below => self.changes.known_entry(id),
            newest => newest,
        };
        match newest {
            Known::Below => self.settled.get(id).map_or(Known::Below, |entry| Known::Here(entry.clone())),
            known => known,
        }
    }
}

impl Index {
    /// Makes the index of a folder from what was found there.
    pub(super) fn new(
        folder: &Path,
        journal: &JournalFolder,
        layers: Layers,
        usage: UsageFile,
        slack: Slack,
        on_warning: Option<Arc<OnWarning>>,
    ) -> Result<Self, StorageError> {
        let head = HeadFile::open(folder)?;
        Ok(Self {
            folder: folder.to_owned(),
            journal: journal.clone(),
            slack,
            old: Arc::default(),
            layers: RwLock::new(Arc::new(layers)),
            changing: AtomicU64::new(0),
            files: Mutex::new(Files { usage, head, sled: SledState::default(), pace: Group::default() }),
            on_warning,
        })
    }

    /// Writes how far the index was told, unless that was `said` already.
    pub(crate) fn tell_head(&self, said: Option<&Mark>) {
        let mark = &self.layers().mark;
        if said != Some(mark) {
            self.files().head.write(mark);
        }
    }

    /// Makes the changes and moves the mark, all at one moment. The journal has every record up to the mark; where it has
    /// them only in memory, the changes stay in memory as well, and so they do where sled cannot have them:
    /// [`Self::catch_up`] is to come before the next ones. [`Self::tell_head`] is left to the caller.
    pub(crate) fn change(&self, changes: Changes, mark: Mark) {
        let mut files = self.files();
        let mut layers = Layers::clone(&self.layers());
        let group = Group { rows: changes.len(), records: mark.seq.saturating_sub(layers.mark.seq) };
        layers.absorb(changes);
        layers.mark = mark;
        files.pace = files.pace.then(group);
        if layers.fits_after(&files.pace) {
            self.show(layers);
            return;
        }
        layers.join();
        if self.write_through(&mut files, &layers).is_err() {
            self.show(layers);
        }
    }

    /// Tells whether the changes of so many records would stay in memory alone.
    pub(crate) fn stays_in_memory(&self, changes: &Changes, records: u64) -> bool {
        let layers = self.layers();
        let lag = records + layers.mark.seq.saturating_sub(layers.below_seq);
        Group { rows: changes.len(), records }.leaves_room(&layers.below, layers.lacking() + changes.len(), lag)
    }

    /// Adds to the counters of use and sees to it that they survive the end of this process.
    pub(crate) fn add_usage(&self, usage: &[(ComponentId, Usage)]) -> Result<(), StorageError> {
        let mut files = self.files();
        let mut layers = Layers::clone(&self.layers());
        let mut overlay = Overlay::over(&layers);
        add_usage(&mut overlay, usage).inspect_err(|error| self.note(&mut files, error))?;
        let changes = overlay.into_changes();
        if changes.is_empty() {
            return Ok(());
        }
        layers.absorb(changes);
        // The rows on disk get them at once if they get anything; otherwise the file has them before anybody sees them.
        if layers.fits_after(&files.pace) && files.usage.has_room() {
            files.usage.append(&UsageLine { seq: layers.mark.seq, usage: usage.to_vec() })?;
            self.show(layers);
            return Ok(());
        }
        layers.join();
        let had_failed = matches!(files.sled, SledState::Failed(_));
        match self.write_through(&mut files, &layers) {
            // Part of them may be in sled's memory, so all of them are shown; they are written once sled was opened again.
            Err(_) if !had_failed && matches!(files.sled, SledState::Failed(_)) => Ok(()),
            written => written,
        }
    }

    /// Gives sled all that it lacks of `layers`, which are joined. What fails without sled having been touched changes nothing;
    /// else `layers` are shown, over rows that may have some of it already.
    pub(super) fn write_through(&self, files: &mut Files, layers: &Layers) -> Result<(), StorageError> {
        if let SledState::Failed(error) = &files.sled {
            return Err(error.again());
        }
        files.sled = SledState::Behind;
        look_for_room(&self.folder, &layers.changes, Before::Changing)?;
        match &*layers.below {
            Below::Sled(sled) => self.give(files, sled, layers, layers),
            Below::Gone(error) => Err(error.again()),
            Below::Image(_) => {
                let opened = self.put_sled_below(files, layers)?;
                let Below::Sled(sled) = &*opened.below else { return Ok(()) };
                let given = self.give(files, sled, &opened, layers);
                let_go(opened);
                given
            }
        }
    }

    /// Gives `sled` all that it lacks of `layers`, in whose place `otherwise` are shown if that fails.
    fn give(
        &self,
        files: &mut Files,
        sled: &SledRows,
        layers: &Layers,
        otherwise: &Layers,
    ) -> Result<(), StorageError> {
        let generation = sled.generation() + 1;
        self.changing.fetch_add(1, Ordering::AcqRel);
        let change = || sled.change(&layers.changes, &layers.mark, generation);
        let changed = self.old.keep(sled, &layers.changes, change);
        self.show(match &changed {
            Ok(()) => {
                let nothing_over = Layers::nothing_over(layers.below.clone(), layers.mark.clone());
                let settled = layers.changes.entries().take(SETTLED_MAX).map(|entry| (entry.id.clone(), entry.clone()));
                Layers { settled: Arc::new(settled.collect()), ..nothing_over }
            }
            Err(_) => otherwise.clone(),
        });
        self.changing.fetch_add(1, Ordering::AcqRel);
        if let Err(error) = changed.and_then(|()| sled.flush()) {
            // Sled may lack on disk what it has in memory.
            self.show(otherwise.clone());
            if let Below::Sled(_) = &*otherwise.below {
                files.sled = SledState::Failed(error.again());
            }
            return Err(error);
        }
        files.sled = SledState::Fine;
        // The journal has everything but counters of use, and of those the old file went on telling until sled was safe.
        files.usage.turn(generation);
        files.usage.remove_old()
    }

    /// Opens sled, and returns `layers` with sled's rows in the place of the image.
    fn put_sled_below(&self, files: &mut Files, layers: &Layers) -> Result<Layers, StorageError> {
        // Sled is about to have what the image does not know of.
        image::remove(&self.folder)?;
        let truth = Truth { journal: &self.journal, end: layers.mark.clone(), told: layers.mark.clone() };
        let followed = over_sled(&self.folder, SledRows::open(&self.folder)?, &truth, self.slack, Some(layers))?;
        self.take_up(files, followed, &layers.changes)
    }

    /// Returns the layers of sled that was opened, with the counters of use among `changes`, which it may not have been told of.
    pub(super) fn take_up(
        &self,
        files: &mut Files,
        followed: Followed,
        changes: &Changes,
    ) -> Result<Layers, StorageError> {
        files.usage = followed.usage;
        files.head = HeadFile::open(&self.folder)?;
        if let Some(on_warning) = &self.on_warning {
            followed.warnings.iter().for_each(|warning| on_warning(warning));
        }
        let mut over = followed.layers;
        for (tree, key, value) in changes.rows().filter(|(tree, ..)| *tree == Tree::Usage) {
            match value {
                Some(value) => over.newest.put(tree, key.to_vec(), value.bytes()?.into_owned()),
                None => over.newest.remove(tree, key.to_vec()),
            }
        }
        over.join();
        Ok(over)
    }

    /// Gives sled all that it lacks, and freezes its rows as they are then.
    ///
    /// # Errors
    /// [`StorageError`] of the disk; and if the rows are frozen already.
    pub(crate) fn freeze(&self) -> Result<Frozen, StorageError> {
        self.catch_up()?;
        let mut files = self.files();
        let layers = self.joined();
        if !layers.changes.is_empty() || layers.below_seq < layers.mark.seq || self.is_in_memory() {
            self.write_through(&mut files, &layers)?;
        }
        let layers = self.layers();
        Frozen::new(layers.below.clone(), self.old.clone(), layers.mark.clone())
    }

    /// Leaves what spares the next process work: sled's memory in its file, and an image of a small registry. Returns whether sled was
    /// used and its files have all of it.
    pub(crate) fn seal(&self) -> bool {
        let mut files = self.files();
        let layers = self.joined();
        if !layers.fits() {
            // What fails is replayed by the next opening.
            let _ = self.write_through(&mut files, &layers);
        }
        let layers = self.layers();
        let (Below::Sled(sled), SledState::Fine | SledState::Behind) = (&*layers.below, &files.sled) else {
            return false;
        };
        // A process that ends leaves no thread to write what is still in sled's memory. What fails costs the next one a rebuild.
        let is_flushed = sled.flush().is_ok();
        if sled.len() <= image::ROWS_MAX {
            // Without an image the next process opens sled, as this one did.
            let _ = image::take(&self.folder, &*layers, layers.mark.clone(), sled.generation(), files.usage.bytes());
        }
        is_flushed
    }

    /// Tells whether every question is answered from memory.
    pub(crate) fn is_in_memory(&self) -> bool {
        matches!(*self.layers().below, Below::Image(_))
    }

    /// Returns the layers with all that changed in one place.
    pub(super) fn joined(&self) -> Layers {
        let mut layers = Layers::clone(&self.layers());
        layers.join();
        layers
    }

    pub(super) fn show(&self, layers: Layers) {
        *self.layers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(layers);
    }

    /// Asks a question that looks at several rows, again if those on disk were changed meanwhile.
    ///
    /// Readers do not wait for the committer; only one that was overtaken sixteen times in a row does.
    pub(crate) fn ask<T>(&self, question: impl Fn(&dyn Rows) -> Result<T, StorageError>) -> Result<T, StorageError> {
        for _ in 0..16 {
            let before = self.changing.load(Ordering::Acquire);
            if before % 2 == 1 {
                std::thread::yield_now();
                continue;
            }
            let answer = question(&*self.layers());
            if self.changing.load(Ordering::Acquire) == before {
                return answer;
            }
        }
        let _resting = self.files();
        question(&*self.layers())
    }

    /// Returns the rows as they are now; what is changed later is not seen, unless it goes into sled's.
    pub(crate) fn rows(&self) -> Arc<impl Rows> {
        self.layers()
    }

    pub(super) fn layers(&self) -> Arc<Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
