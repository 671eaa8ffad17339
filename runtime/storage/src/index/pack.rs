//! Putting the rows of an index into a new file, because sled's grows with every change and never gives all of that back.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use domain::ports::StorageError;

use super::overlay::Changes;
use super::recover::remove_folder;
use super::rows::{Rows, Tree};
use super::sled::{Mark, OpenedSled, SledRows};
use crate::fail;
use crate::files;
use crate::folder::Warning;

/// How many bytes of rows are copied at once.
const BATCH_BYTES: usize = 4 << 20;

/// Ends the name of the folder that is packed into, and of the old one once they have changed places.
const NEW: &str = ".packed";
/// Ends the name of the old one where they cannot change places in one step.
const OLD: &str = ".packed-old";

/// How much of sled's file may be waste.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slack {
    /// Up to this size, in bytes, all of it.
    pub(crate) bytes: u64,
    /// Beyond it, as many times the bytes of the rows may the file have.
    pub(crate) times: u64,
}

impl Slack {
    /// Tells whether the rows are worth to be put into a new file.
    pub(super) fn is_exceeded(self, sled: &SledRows) -> bool {
        let (file, rows) = sled.bytes();
        file > self.bytes && file > rows.saturating_mul(self.times)
    }
}

/// Puts the rows of `sled`, which has all records up to `mark`, into a new file, and opens that. A crash at any moment leaves
/// the old one, the new one, or none, which is as good: it is made anew from the journal.
///
/// # Errors
/// [`StorageError`] of the disk; the old one is in its place then.
pub(super) fn pack(folder: &Path, sled: SledRows, mark: &Mark) -> Result<(SledRows, Warning), StorageError> {
    let began = Instant::now();
    let before = sled.bytes().0;
    let new = beside(folder, NEW);
    remove_folder(&new)?;
    fail::point("before pack", folder);
    {
        let packed = empty(&new)?;
        copy_rows(&sled, &packed)?;
        packed.change(&Changes::default(), mark, sled.generation())?;
        packed.flush()?;
        fail::point("after flush", &new);
    }
    // Sled keeps the lock until all of it is gone.
    drop(sled);
    for file in files::list(folder)?.into_iter().filter(|file| is_ours(file.name())) {
        fail::point("before copy", &file.path);
        std::fs::copy(&file.path, new.join(file.name())).map_err(files::at(&file.path))?;
    }
    fail::point("before exchange", folder);
    let old = files::exchange(&new, folder)?;
    fail::point("after exchange", folder);
    fail::point("before remove", &old);
    // What cannot be removed goes at the next opening.
    let _ = remove_folder(&old);
    let OpenedSled::Whole(sled, _) = SledRows::open(folder)? else {
        return Err(StorageError::Index { reason: "the packed index cannot be read".to_owned() });
    };
    let after = sled.bytes().0;
    Ok((sled, Warning::IndexPacked { before, after, took: began.elapsed() }))
}

/// Removes what a crash left of packing the index in `folder`: as much as the index was before, perhaps.
pub(super) fn remove_left(folder: &Path) {
    for left in [NEW, OLD] {
        let _ = remove_folder(&beside(folder, left));
    }
}

/// Packs the index in `folder` if it has more waste than `slack` allows. Nobody has it open.
///
/// # Errors
/// [`StorageError`] of the disk.
pub(crate) fn pack_closed(folder: &Path, slack: Slack) -> Result<(), StorageError> {
    if let OpenedSled::Whole(sled, mark) = SledRows::open(folder)?
        && slack.is_exceeded(&sled)
        && let Ok(None) = sled.misfit()
    {
        pack(folder, sled, &mark)?;
    }
    Ok(())
}

/// Tells whether a file of the index's folder is one of those that are kept beside sled's.
pub(super) fn is_ours(name: &str) -> bool {
    name == "head" || name == "image" || name.starts_with("usage-")
}

fn empty(folder: &Path) -> Result<SledRows, StorageError> {
    match SledRows::open(folder)? {
        OpenedSled::New(sled) => Ok(sled),
        OpenedSled::Whole(..) | OpenedSled::Earlier(..) => {
            Err(StorageError::Index { reason: "an empty index has rows".to_owned() })
        }
        OpenedSled::Unfit(reason) => Err(StorageError::Index { reason }),
    }
}

/// Copies all rows in order, in bounded memory.
fn copy_rows(from: &SledRows, to: &SledRows) -> Result<(), StorageError> {
    let (mut batch, mut bytes) = (Changes::default(), 0);
    for tree in Tree::ALL {
        from.scan(tree, &[], &mut |key, value| {
            if tree != Tree::Meta || !SledRows::keeps_for_itself(key) {
                batch.put(tree, key.to_vec(), value.to_vec());
                bytes += key.len() + value.len();
            }
            if bytes >= BATCH_BYTES {
                to.load(&std::mem::take(&mut batch))?;
                bytes = 0;
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    to.load(&batch)
}

fn beside(folder: &Path, suffix: &str) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
