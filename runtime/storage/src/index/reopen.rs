//! Going on after sled could not be given what it lacks, as on a full disk.
//!
//! The journal has all of it, so it stays laid over the rows below, and answers are as if sled had it. An error that sled's own
//! files met is kept by sled for ever, and half of a change may be in its memory. Once there is room, sled is closed and opened
//! again, as it is in a process that begins.

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::ports::StorageError;

use super::layered::{Below, Files, Index, Layers};
use super::map::MapRows;
use super::overlay::Changes;
use super::recover::{Truth, over_sled};
use super::room::{Before, look_for_room};
use super::rows::{Rows, Tree};
use super::sled::SledRows;

/// How long readers that still look at sled's rows are waited for before it is closed.
const READERS_END: Duration = Duration::from_secs(5);

/// Whether sled has what it was to get.
#[derive(Default)]
pub(super) enum SledState {
    /// It has.
    #[default]
    Fine,
    /// It was given nothing of it.
    Behind,
    /// It met this error, and is good for reading at most.
    Failed(StorageError),
}

impl Index {
    /// Tells whether sled could not be given what it was to get.
    pub(crate) fn is_behind(&self) -> bool {
        !matches!(self.files().sled, SledState::Fine)
    }

    /// Takes note of why there was no answer, and tells whether there may be one after [`Self::catch_up`]: sled writes also
    /// while it is only read, so that it can meet a full disk then.
    pub(crate) fn has_met(&self, error: &StorageError) -> bool {
        let mut files = self.files();
        self.note(&mut files, error);
        !matches!(files.sled, SledState::Fine)
    }

    pub(super) fn note(&self, files: &mut Files, error: &StorageError) {
        if let (StorageError::Full { .. }, SledState::Fine | SledState::Behind) = (error, &files.sled)
            && matches!(&*self.layers().below, Below::Sled(_))
        {
            files.sled = SledState::Failed(error.again());
        }
    }

    /// Gives sled what it could not be given before; does nothing if there is no such thing. The journal's files have every
    /// record.
    ///
    /// # Errors
    /// [`StorageError`] of the disk: nothing more is to be changed then.
    pub(crate) fn catch_up(&self) -> Result<(), StorageError> {
        let mut files = self.files();
        match &files.sled {
            SledState::Fine => Ok(()),
            SledState::Behind => {
                let layers = self.joined();
                self.write_through(&mut files, &layers)
            }
            SledState::Failed(error) => {
                let error = error.again();
                self.reopen(&mut files, &error)
            }
        }
    }

    fn reopen(&self, files: &mut Files, error: &StorageError) -> Result<(), StorageError> {
        let layers = self.joined();
        // Sled answers for as long as there is no room for more than that.
        look_for_room(&self.folder, &layers.changes, Before::Opening)?;
        if self.old.is_looked_at() {
            // A compaction or verification goes on for long with the rows that it has.
            return Err(error.again());
        }
        self.changing.fetch_add(1, Ordering::AcqRel);
        let reopened = self.put_new_below(files, layers, error);
        self.changing.fetch_add(1, Ordering::AcqRel);
        reopened
    }

    fn put_new_below(&self, files: &mut Files, mut layers: Layers, error: &StorageError) -> Result<(), StorageError> {
        let known = matches!(&*layers.below, Below::Sled(_)).then(|| usage_of(&layers)).transpose()?;
        let gone = |error: &StorageError| Arc::new(Below::Gone(error.again()));
        let below = std::mem::replace(&mut layers.below, gone(error));
        // Nobody sees that: readers wait until this is over.
        self.show(layers.clone());
        if let Err(below) = close(below) {
            self.show(Layers { below, ..layers });
            return Err(error.again());
        }
        let truth = Truth { journal: &self.journal, end: layers.mark.clone(), told: layers.mark.clone() };
        let known = known.as_ref().map(|known| known as &dyn Rows);
        let followed = SledRows::open(&self.folder)
            .and_then(|opened| over_sled(&self.folder, opened, &truth, self.slack, known))
            .and_then(|followed| self.take_up(files, followed, &layers.changes));
        match followed {
            Ok(layers) => {
                files.sled = SledState::Fine;
                self.show(layers);
                Ok(())
            }
            Err(error) => {
                files.sled = SledState::Failed(error.again());
                self.show(Layers { below: gone(&error), ..layers });
                Err(error)
            }
        }
    }
}

/// Closes sled, whose lock goes with the last one who has it; returns it if somebody goes on looking at it.
fn close(mut below: Arc<Below>) -> Result<(), Arc<Below>> {
    let give_up = Instant::now() + READERS_END;
    loop {
        match Arc::try_unwrap(below) {
            Ok(below) => {
                let_go(below);
                return Ok(());
            }
            Err(shared) if Instant::now() >= give_up => return Err(shared),
            Err(shared) => below = shared,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Drops what has sled open: sled panics there if its files cannot be synced.
pub(super) fn let_go<T>(sled: T) {
    let _ = catch_unwind(AssertUnwindSafe(|| drop(sled)));
}

/// Copies the counters of use, which no record has. Those that cannot be read are lost if the rows have to be made anew.
fn usage_of(layers: &Layers) -> Result<MapRows, StorageError> {
    let (rows, mut changes) = (MapRows::default(), Changes::default());
    let _ = layers.scan(Tree::Usage, &[], &mut |key, value| {
        changes.put(Tree::Usage, key.to_vec(), value.to_vec());
        Ok(ControlFlow::Continue(()))
    });
    rows.change(&changes)?;
    Ok(rows)
}
