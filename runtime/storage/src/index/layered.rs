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
use super::overlay::{Changes, Overlay, merged_get, merged_scan};
use super::pack::Slack;
use super::recover::{Truth, over_sled};
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
    folder: PathBuf,
    journal: JournalFolder,
    slack: Slack,
    layers: RwLock<Arc<Layers>>,
    /// What sled's rows were at a moment that somebody looks at.
    old: Arc<OldRows>,
    /// Even while the rows on disk are at rest, odd while they are being changed.
    changing: AtomicU64,
    /// Held while rows are changed, so that changes come one after the other.
    files: Mutex<Files>,
    /// Hears what is mended after the opening.
    on_warning: Option<Arc<OnWarning>>,
}

/// What is written beside the rows.
struct Files {
    usage: UsageFile,
    head: HeadFile,
}

/// The rows on disk.
pub(super) enum Below {
    /// A copy of all of them, read at opening.
    Image(Image),
    /// Sled's.
    Sled(SledRows),
}

impl Rows for Below {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        self.rows().get(tree, key)
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        self.rows().scan(tree, from, visit)
    }
}

impl Below {
    fn rows(&self) -> &dyn Rows {
        match self {
            Self::Image(image) => image,
            Self::Sled(sled) => sled,
        }
    }
}

/// How much one group changes.
struct Group {
    rows: usize,
    records: u64,
}

impl Group {
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
    /// What changed since.
    pub(super) changes: Changes,
    /// The last record whose changes are here.
    pub(super) mark: Mark,
    /// Entries that the rows on disk got last, so that whoever changes one again need not read it.
    pub(super) settled: Arc<HashMap<ComponentId, Arc<Entry>>>,
}

impl Layers {
    /// Nothing over rows that have everything up to `mark`.
    pub(super) fn nothing_over(below: Arc<Below>, mark: Mark) -> Self {
        Self { below, below_seq: mark.seq, changes: Changes::default(), mark, settled: Arc::default() }
    }

    fn absorb(&mut self, changes: Changes, mark: Mark) {
        self.changes.absorb(changes);
        self.mark = mark;
    }

    /// Tells whether so much may stay in memory.
    fn fits(&self) -> bool {
        self.fits_after(&Group { rows: 0, records: 0 })
    }

    fn fits_after(&self, group: &Group) -> bool {
        let lag = self.mark.seq.saturating_sub(self.below_seq);
        group.leaves_room(&self.below, self.changes.len(), lag)
    }
}

impl Rows for Layers {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        merged_get(self.below.rows(), &self.changes, tree, key)
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        merged_scan(self.below.rows(), &self.changes, tree, from, visit)
    }

    fn known_entry(&self, id: &ComponentId) -> Known {
        match self.changes.known_entry(id) {
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
            files: Mutex::new(Files { usage, head }),
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
    /// them only in memory, the changes stay in memory as well. [`Self::tell_head`] is left to the caller.
    pub(crate) fn change(&self, changes: Changes, mark: Mark) -> Result<(), StorageError> {
        let mut files = self.files();
        let mut layers = Layers::clone(&self.layers());
        let group = Group { rows: changes.len(), records: mark.seq.saturating_sub(layers.mark.seq) };
        layers.absorb(changes, mark);
        if layers.fits_after(&group) {
            self.show(layers);
        } else {
            self.write_through(&mut files, layers)?;
        }
        Ok(())
    }

    /// Tells whether the changes of so many records would stay in memory alone.
    pub(crate) fn stays_in_memory(&self, changes: &Changes, records: u64) -> bool {
        let layers = self.layers();
        let lag = records + layers.mark.seq.saturating_sub(layers.below_seq);
        Group { rows: changes.len(), records }.leaves_room(&layers.below, layers.changes.len() + changes.len(), lag)
    }

    /// Adds to the counters of use and sees to it that they survive the end of this process.
    pub(crate) fn add_usage(&self, usage: &[(ComponentId, Usage)]) -> Result<(), StorageError> {
        let mut files = self.files();
        let mut layers = Layers::clone(&self.layers());
        let mut overlay = Overlay::over(&layers);
        add_usage(&mut overlay, usage)?;
        let changes = overlay.into_changes();
        if changes.is_empty() {
            return Ok(());
        }
        layers.changes.absorb(changes);
        // The rows on disk get them at once if they get anything; otherwise the file has them before anybody sees them.
        if layers.fits() && files.usage.has_room() {
            files.usage.append(&UsageLine { seq: layers.mark.seq, usage: usage.to_vec() })?;
            self.show(layers);
            return Ok(());
        }
        self.write_through(&mut files, layers)
    }

    /// Gives sled all that it lacks of `layers`. What fails changes nothing.
    fn write_through(&self, files: &mut Files, layers: Layers) -> Result<(), StorageError> {
        let layers = match &*layers.below {
            Below::Sled(_) => layers,
            Below::Image(_) => self.put_sled_below(files, &layers)?,
        };
        let Below::Sled(sled) = &*layers.below else { return Ok(()) };
        let generation = sled.generation() + 1;
        self.changing.fetch_add(1, Ordering::AcqRel);
        let change = || sled.change(&layers.changes, &layers.mark, generation);
        let changed = self.old.keep(sled, &layers.changes, change);
        if changed.is_ok() {
            let nothing_over = Layers::nothing_over(layers.below.clone(), layers.mark.clone());
            let settled = layers.changes.entries().take(SETTLED_MAX).map(|entry| (entry.id.clone(), entry.clone()));
            self.show(Layers { settled: Arc::new(settled.collect()), ..nothing_over });
        }
        self.changing.fetch_add(1, Ordering::AcqRel);
        changed?;
        // The journal has everything but counters of use, and of those the old file goes on telling until sled is safe.
        let flushed = sled.flush();
        files.usage.turn(generation);
        flushed.and_then(|()| files.usage.remove_old())
    }

    /// Opens sled, and returns `layers` with sled's rows in the place of the image.
    fn put_sled_below(&self, files: &mut Files, layers: &Layers) -> Result<Layers, StorageError> {
        // Sled is about to have what the image does not know of.
        image::remove(&self.folder)?;
        let truth = Truth { journal: &self.journal, end: layers.mark.clone(), told: layers.mark.clone() };
        let followed = over_sled(&self.folder, SledRows::open(&self.folder)?, &truth, self.slack, Some(layers))?;
        files.usage = followed.usage;
        files.head = HeadFile::open(&self.folder)?;
        if let Some(on_warning) = &self.on_warning {
            followed.warnings.iter().for_each(|warning| on_warning(warning));
        }
        // Sled has not been told yet of counters that are being added right now.
        let mut over = followed.layers;
        for (tree, key, value) in layers.changes.rows().filter(|(tree, ..)| *tree == Tree::Usage) {
            match value {
                Some(value) => over.changes.put(tree, key.to_vec(), value.bytes()?.into_owned()),
                None => over.changes.remove(tree, key.to_vec()),
            }
        }
        Ok(over)
    }

    /// Gives sled all that it lacks, and freezes its rows as they are then.
    ///
    /// # Errors
    /// [`StorageError`] of the disk; and if the rows are frozen already.
    pub(crate) fn freeze(&self) -> Result<Frozen, StorageError> {
        let mut files = self.files();
        let layers = Layers::clone(&self.layers());
        if !layers.changes.is_empty() || layers.below_seq < layers.mark.seq || self.is_in_memory() {
            self.write_through(&mut files, layers)?;
        }
        let layers = self.layers();
        Frozen::new(layers.below.clone(), self.old.clone(), layers.mark.clone())
    }

    /// Leaves what spares the next process work: sled's memory in its file, and an image of a small registry. Returns whether sled was
    /// used and its files have all of it.
    pub(crate) fn seal(&self) -> bool {
        let mut files = self.files();
        let layers = self.layers();
        if !layers.fits() {
            // What fails is replayed by the next opening.
            let _ = self.write_through(&mut files, Layers::clone(&layers));
        }
        let layers = self.layers();
        let Below::Sled(sled) = &*layers.below else { return false };
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

    fn show(&self, layers: Layers) {
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

    fn layers(&self) -> Arc<Layers> {
        self.layers.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
