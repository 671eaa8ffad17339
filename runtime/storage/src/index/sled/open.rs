//! Opening sled, and telling whether what is there can be used.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::ports::StorageError;

use super::cache;
use super::error::{failed, panic_text};
use super::{
    GENERATION_KEY, MARK_KEY, Mark, Rows, SCHEMA, SCHEMA_KEY, SledRows, TOTALS_KEY, Totals, Tree, Trees, UNFINISHED,
    read,
};
use crate::index::untouched::is_untouched;

/// Earlier forms in which counters of use are kept as they are now.
const SAME_USAGE: std::ops::Range<u32> = 1..SCHEMA;

/// How sled cuts its file, in bytes: rows of up to a quarter of it stay in the file.
const SEGMENT_BYTES: usize = 64 << 10;

/// What sled says of a file that is still locked.
const LOCKED: &str = "could not acquire lock";
/// How long threads of sled's that have the file are waited for.
const THREADS_END: Duration = Duration::from_secs(5);

/// What opening an index led to.
pub(crate) enum OpenedSled {
    /// It is whole, as far as it can be told without the journal and without [`SledRows::misfit`].
    Whole(SledRows, Mark),
    /// There was none, or an empty one.
    New(SledRows),
    /// It has rows of an earlier form, of which only counters of use can be read, because of this.
    Earlier(SledRows, String),
    /// It cannot be used, because of this.
    Unfit(String),
}

impl OpenedSled {
    /// Returns the journal's last record that the rows have, where that is known.
    pub(crate) fn mark(&self) -> Option<Mark> {
        match self {
            Self::Whole(_, mark) => Some(mark.clone()),
            Self::New(_) | Self::Earlier(..) | Self::Unfit(_) => None,
        }
    }
}

impl SledRows {
    /// Opens the index in `folder`, or makes an empty one.
    ///
    /// # Errors
    /// [`StorageError::NewerFormat`], and errors of the disk that a new index would meet as well.
    pub(crate) fn open(folder: &Path) -> Result<OpenedSled, StorageError> {
        // sled panics on some damaged files; what it leaves behind then is not used again.
        match catch_unwind(AssertUnwindSafe(|| Self::open_inner(folder))) {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err(
                error @ (StorageError::NewerFormat { .. } | StorageError::Full { .. } | StorageError::Denied { .. }),
            )) => Err(error),
            Ok(Err(StorageError::Index { reason })) if reason.contains(LOCKED) => Err(StorageError::Index { reason }),
            Ok(Err(error)) => Ok(OpenedSled::Unfit(match error {
                StorageError::Index { reason } => reason,
                other => other.to_string(),
            })),
            Err(panic) => Ok(OpenedSled::Unfit(format!("sled panicked: {}", panic_text(&*panic)))),
        }
    }

    fn open_inner(folder: &Path) -> Result<OpenedSled, StorageError> {
        let index = Self::open_trees(folder)?;
        let Some(schema) = index.get(Tree::Meta, SCHEMA_KEY)? else {
            return match index.is_empty() {
                true => Ok(OpenedSled::New(index)),
                false => Ok(OpenedSled::Unfit("its schema version is missing".to_owned())),
            };
        };
        let schema: u32 = read(Tree::Meta, &schema)?;
        if schema > SCHEMA {
            return Err(StorageError::NewerFormat { what: "index", found: schema, known: SCHEMA });
        }
        if schema == UNFINISHED {
            return Ok(OpenedSled::Unfit("it was not finished when it was made anew".to_owned()));
        }
        if SAME_USAGE.contains(&schema) {
            if let Some(generation) = index.get(Tree::Meta, GENERATION_KEY)? {
                index.generation.store(read(Tree::Meta, &generation)?, Ordering::Release);
            }
            let reason = format!("its schema is {schema}, this version writes {SCHEMA}");
            return Ok(OpenedSled::Earlier(index, reason));
        }
        let (Some(mark), Some(totals)) = (index.get(Tree::Meta, MARK_KEY)?, index.get(Tree::Meta, TOTALS_KEY)?) else {
            return Ok(OpenedSled::Unfit("its mark in the journal is missing".to_owned()));
        };
        let mark: Mark = read(Tree::Meta, &mark)?;
        let totals = Totals::read(&totals)?;
        *index.totals.lock().unwrap_or_else(PoisonError::into_inner) = totals;
        if let Some(generation) = index.get(Tree::Meta, GENERATION_KEY)? {
            index.generation.store(read(Tree::Meta, &generation)?, Ordering::Release);
        }
        Ok(OpenedSled::Whole(index, mark))
    }

    fn is_empty(&self) -> bool {
        Tree::ALL.into_iter().all(|tree| self.tree(tree).is_empty())
    }

    fn open_trees(folder: &Path) -> Result<Self, StorageError> {
        // Asked before sled writes to them.
        let was_untouched = is_untouched(folder);
        let db = open_db(folder)?;
        let open = |tree: Tree| db.open_tree(tree.name()).map_err(|error| failed(folder, error));
        let trees = Trees {
            entries: open(Tree::Entries)?,
            edges: open(Tree::Edges)?,
            terms: open(Tree::Terms)?,
            failures: open(Tree::Failures)?,
            usage: open(Tree::Usage)?,
            meta: open(Tree::Meta)?,
        };
        Ok(Self {
            folder: folder.to_owned(),
            db,
            trees,
            totals: Mutex::default(),
            generation: AtomicU64::new(0),
            was_untouched,
        })
    }
}

fn open_db(folder: &Path) -> Result<sled::Db, StorageError> {
    let give_up = Instant::now() + THREADS_END;
    loop {
        let opened = sled::Config::new()
            .path(folder)
            .cache_capacity(cache::bytes())
            .mode(sled::Mode::LowSpace)
            // At each opening sled overwrites the rest of the last segment.
            .segment_size(SEGMENT_BYTES)
            // The journal is the truth: nothing has to be flushed in the background.
            .flush_every_ms(None)
            .open();
        match opened {
            // The folder is ours, so it is a thread of sled's that still ends after it was closed in this process.
            Err(sled::Error::Io(error)) if error.to_string().contains(LOCKED) && Instant::now() < give_up => {
                std::thread::sleep(Duration::from_millis(1));
            }
            opened => return opened.map_err(|error| failed(folder, error)),
        }
    }
}
