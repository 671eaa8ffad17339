//! The journal: every event since the beginning, in segment files of JSON lines.
//!
//! A segment `journal/<first sequence number, 20 digits>.jsonl` begins with a header line and holds records until it is
//! [`SEGMENT_BYTES`] long. Every line ends in a checksum of its bytes and carries the digest of the line before it, the header
//! that of the last line of the segment before, so nothing can be changed, dropped or put in unnoticed. Records of one group
//! were synced together, and `rest` counts the records of the same decision that follow: so an unfinished write at the end can
//! be told from damage, and half a decision is never taken for a whole one.

mod append;
mod line;
mod open;
mod read;

pub(crate) use append::Journal;
pub(crate) use line::Head;
pub(crate) use open::{OpenedJournal, open};
pub(crate) use read::{records, replay};

use std::path::{Path, PathBuf};

use domain::ports::StorageError;

use crate::files;

/// Format of the segments; a reader refuses those of a later one.
pub(crate) const FORMAT: u32 = 1;

/// Size from which no further group is put into a segment, in bytes.
pub(crate) const SEGMENT_BYTES: u64 = 8 << 20;

/// Ends the names of segments.
const SUFFIX: &str = ".jsonl";

/// Returns the file of the segment whose first record is `first`.
pub(crate) fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}{SUFFIX}"))
}

/// Returns the first sequence numbers of all segments, in order.
pub(crate) fn segments(folder: &Path) -> Result<Vec<u64>, StorageError> {
    let mut found = Vec::new();
    for file in std::fs::read_dir(folder).map_err(files::at(folder))? {
        let name = file.map_err(files::at(folder))?.file_name();
        let Some(digits) = name.to_str().and_then(|name| name.strip_suffix(SUFFIX)) else { continue };
        if digits.len() == 20
            && let Ok(first) = digits.parse()
        {
            found.push(first);
        }
    }
    found.sort_unstable();
    Ok(found)
}
