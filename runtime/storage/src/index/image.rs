//! All rows of a small registry in one file, read whole: what spares a short command the opening of sled.
//!
//! Sled starts threads and syncs its file at each opening, which takes longer than all else that such a command does. The file
//! is a copy, never the truth: it is removed before sled is changed, written anew when the folder is closed, and one that is
//! damaged or does not fit the journal is as good as none.

use std::ops::{ControlFlow, Range};
use std::path::{Path, PathBuf};

use domain::ports::StorageError;
use serde::{Deserialize, Serialize};

use super::rows::{Rows, Tree, Visit};
use super::sled::{Mark, SCHEMA};
use super::view::write;
use crate::files::{self, Durability};

/// Most rows of an image: about 1,500 entries. Beyond, opening sled costs less than reading them all.
pub(super) const ROWS_MAX: u64 = 16_384;
/// Largest image, in bytes.
const BYTES_MAX: usize = 8 << 20;

/// Begins the file.
const MAGIC: &[u8; 8] = b"rt-rows\n";
const CHECKSUM_BYTES: usize = 4;

/// What an image is a copy of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Taken {
    schema: u32,
    /// The journal's last record that is in the rows.
    pub(super) mark: Mark,
    /// Which file of counters of use goes with sled's rows.
    pub(super) generation: u64,
    /// How much of that file is in the rows, in bytes.
    pub(super) usage_bytes: u64,
}

/// The rows of an image, as they were when it was taken.
pub(crate) struct Image {
    /// Of what.
    pub(super) taken: Taken,
    bytes: Vec<u8>,
    /// Where each row begins, in the order of trees and keys.
    starts: Vec<u32>,
    /// Which of them are a tree's.
    trees: [Range<usize>; Tree::ALL.len()],
}

impl Image {
    /// Reads the image in `folder`; `None` if there is none that is whole.
    ///
    /// # Errors
    /// [`StorageError::NewerFormat`], and errors of the disk.
    pub(super) fn load(folder: &Path) -> Result<Option<Self>, StorageError> {
        let Some(bytes) = files::read_if_there(&path(folder))? else { return Ok(None) };
        match Self::parse(bytes) {
            Some(image) if image.taken.schema > SCHEMA => {
                Err(StorageError::NewerFormat { what: "index", found: image.taken.schema, known: SCHEMA })
            }
            Some(image) if image.taken.schema == SCHEMA => Ok(Some(image)),
            Some(_) | None => Ok(None),
        }
    }

    fn parse(mut bytes: Vec<u8>) -> Option<Self> {
        let body = bytes.len().checked_sub(CHECKSUM_BYTES)?;
        let (content, checksum) = bytes.split_at_checked(body)?;
        if u32::from_le_bytes(checksum.try_into().ok()?) != crc32c::crc32c(content) {
            return None;
        }
        let rest = content.strip_prefix(MAGIC)?;
        let (length, rest) = rest.split_first_chunk::<4>()?;
        let (taken, mut rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        let taken = serde_json::from_slice(taken).ok()?;
        let mut starts = Vec::new();
        let mut trees = std::array::from_fn(|_| 0..0);
        while !rest.is_empty() {
            let start = body - rest.len();
            let (tree, row) = rest.split_first()?;
            let (_, _, after) = split_row(row)?;
            let range: &mut Range<usize> = trees.get_mut(usize::from(*tree))?;
            if range.start == range.end {
                range.start = starts.len();
            }
            starts.push(u32::try_from(start).ok()?);
            range.end = starts.len();
            rest = after;
        }
        bytes.truncate(body);
        Some(Self { taken, bytes, starts, trees })
    }

    fn rows_of(&self, tree: Tree) -> &[u32] {
        let range = self.trees.get(tree as usize).cloned().unwrap_or_default();
        self.starts.get(range).unwrap_or_default()
    }

    /// Returns key and value of the row that begins at `start`.
    fn row(&self, start: u32) -> (&[u8], &[u8]) {
        let row = self.bytes.get(start as usize + 1..).and_then(split_row);
        row.map(|(key, value, _)| (key, value)).unwrap_or_default()
    }

    fn from(&self, tree: Tree, key: &[u8]) -> &[u32] {
        let rows = self.rows_of(tree);
        let at = rows.partition_point(|start| self.row(*start).0 < key);
        rows.get(at..).unwrap_or_default()
    }
}

impl Rows for Image {
    fn get(&self, tree: Tree, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
        let first = self.from(tree, key).first().map(|start| self.row(*start));
        Ok(first.filter(|(found, _)| *found == key).map(|(_, value)| value.to_vec()))
    }

    fn scan(&self, tree: Tree, from: &[u8], visit: &mut Visit<'_>) -> Result<(), StorageError> {
        for start in self.from(tree, from) {
            let (key, value) = self.row(*start);
            if visit(key, value)? == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }
}

/// Splits key and value off, and returns what follows them.
fn split_row(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (key, rest) = bytes.split_first_chunk::<4>()?;
    let (value, rest) = rest.split_first_chunk::<4>()?;
    let (key, rest) = rest.split_at_checked(u32::from_le_bytes(*key) as usize)?;
    let (value, rest) = rest.split_at_checked(u32::from_le_bytes(*value) as usize)?;
    Some((key, value, rest))
}

/// Writes the image of `rows`, or none if it would be too large.
///
/// # Errors
/// [`StorageError`] of the disk; there is no image then.
pub(super) fn take(
    folder: &Path,
    rows: &dyn Rows,
    mark: Mark,
    generation: u64,
    usage_bytes: u64,
) -> Result<(), StorageError> {
    let taken = write(&Taken { schema: SCHEMA, mark, generation, usage_bytes })?;
    let mut bytes = MAGIC.to_vec();
    put_length(&mut bytes, taken.len())?;
    bytes.extend(taken);
    for tree in Tree::ALL {
        rows.scan(tree, &[], &mut |key, value| {
            bytes.push(tree as u8);
            put_length(&mut bytes, key.len())?;
            put_length(&mut bytes, value.len())?;
            bytes.extend(key);
            bytes.extend(value);
            Ok(if bytes.len() <= BYTES_MAX { ControlFlow::Continue(()) } else { ControlFlow::Break(()) })
        })?;
    }
    if bytes.len() > BYTES_MAX {
        return Ok(());
    }
    bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
    files::replace(&path(folder), &bytes, Durability::Process)
}

/// Removes the image, because sled's rows are about to change.
pub(super) fn remove(folder: &Path) -> Result<(), StorageError> {
    files::remove_if_there(&path(folder))
}

fn put_length(bytes: &mut Vec<u8>, length: usize) -> Result<(), StorageError> {
    let length =
        u32::try_from(length).map_err(|_| StorageError::Index { reason: "a row is longer than 4 GiB".to_owned() })?;
    bytes.extend(length.to_le_bytes());
    Ok(())
}

fn path(folder: &Path) -> PathBuf {
    folder.join("image")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::index::rows::all;
    use crate::index::{Changes, MapRows};

    proptest! {
        #[test]
        fn answers_as_the_rows_that_it_was_taken_of(
            rows in proptest::collection::vec((0usize..7, proptest::collection::vec(any::<u8>(), 0..4), any::<u8>()), 0..60),
            from in proptest::collection::vec(any::<u8>(), 0..4),
            flipped in any::<prop::sample::Index>(),
        ) {
            let mut changes = Changes::default();
            for (tree, key, value) in rows {
                changes.put(Tree::ALL[tree], key, vec![value; usize::from(value % 5)]);
            }
            let made = MapRows::default();
            made.change(&changes).unwrap();
            let folder = tempfile::tempdir().unwrap();
            let mark = Mark { seq: 9, hash: "ab".repeat(32) };
            take(folder.path(), &made, mark.clone(), 3, 17).unwrap();
            let image = Image::load(folder.path()).unwrap().unwrap();
            prop_assert_eq!(&image.taken, &Taken { schema: SCHEMA, mark, generation: 3, usage_bytes: 17 });
            for tree in Tree::ALL {
                prop_assert_eq!(all(&image, tree, &from), all(&made, tree, &from));
                prop_assert_eq!(image.get(tree, &from).unwrap(), made.get(tree, &from).unwrap());
            }
            let mut bytes = std::fs::read(path(folder.path())).unwrap();
            let at = flipped.index(bytes.len() * 8);
            bytes[at / 8] ^= 1 << (at % 8);
            std::fs::write(path(folder.path()), &bytes).unwrap();
            prop_assert!(Image::load(folder.path()).unwrap().is_none());
            std::fs::write(path(folder.path()), &bytes[..at / 8]).unwrap();
            prop_assert!(Image::load(folder.path()).unwrap().is_none());
        }
    }
}
