//! The state as lines of a snapshot, and back to rows.

use std::collections::BTreeSet;

use domain::ComponentId;
use domain::Timestamp;
use domain::entry::Revision;
use domain::failure::LoggedFailure;
use domain::ports::{StateView, StorageError};
use domain::usage::Usage;
use serde::{Deserialize, Serialize};

use super::apply::restore_entry;
use super::frozen::Frozen;
use super::keys;
use super::overlay::Overlay;
use super::rows::{Rows, Tree};
use super::sled::Mark;
use super::view::{self, EntryRow, RowsView};
use crate::journal::{JournalFolder, LineError, SnapshotHeader, SnapshotWriter, read_snapshot, refuse};

/// How many entries are read at one look.
const PAGE: usize = 64;

/// Names of the custom indexes: the line after the header.
#[derive(Serialize, Deserialize)]
struct IndexesLine {
    indexes: Vec<String>,
}

/// One entry with all that is kept beside it.
#[derive(Serialize, Deserialize)]
pub(super) struct EntryLine {
    pub(super) component: ComponentId,
    pub(super) entry: EntryRow,
    pub(super) revisions: Vec<Revision>,
    /// Newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) failures: Vec<LoggedFailure>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) usage: Option<Usage>,
}

impl EntryLine {
    fn of(rows: &dyn Rows, id: ComponentId) -> Result<Self, StorageError> {
        let view = RowsView { rows, last_seq: 0 };
        let Some(row) = rows.get(Tree::Entries, &keys::id(&id))? else {
            return Err(view::bad_row(Tree::Entries, "it went away while it was read"));
        };
        let entry = view::read(Tree::Entries, &row)?;
        let revisions = view.revisions(&id)?.iter().map(|revision| (**revision).clone()).collect();
        let failures = view.failures(Some(&id), usize::MAX)?;
        let usage = match rows.get(Tree::Usage, &keys::id(&id))? {
            Some(row) => Some(view::read(Tree::Usage, &row)?),
            None => None,
        };
        Ok(Self { component: id, entry, revisions, failures, usage })
    }
}

/// Writes the snapshot of frozen rows and returns its length in bytes. `goes_on` hears how many entries are written, and says
/// whether to write more.
///
/// # Errors
/// [`StorageError`] of the disk; nothing is to be seen of the snapshot then. [`StorageError::Closed`] if it was broken off.
pub(crate) fn write_snapshot(
    folder: &JournalFolder,
    frozen: &Frozen,
    at: Timestamp,
    goes_on: &dyn Fn(u64) -> bool,
) -> Result<u64, StorageError> {
    let header = SnapshotHeader::new(frozen.mark.seq, frozen.mark.hash.clone(), at, frozen.entries);
    let mut writer = SnapshotWriter::begin(folder, &header)?;
    writer.line(&IndexesLine { indexes: frozen.ask(view::custom_indexes)? })?;
    let (mut after, mut written) = (None, 0);
    loop {
        let page = frozen.ask(|rows| {
            let ids = RowsView { rows, last_seq: 0 }.all_ids(after.as_ref(), PAGE)?;
            ids.into_iter().map(|id| EntryLine::of(rows, id)).collect::<Result<Vec<_>, _>>()
        })?;
        let Some(last) = page.last() else { break };
        after = Some(last.component.clone());
        for line in &page {
            writer.line(line)?;
        }
        written += page.len() as u64;
        if !goes_on(written) {
            return Err(StorageError::Closed);
        }
    }
    writer.finish()
}

/// Reads a snapshot from beginning to end, and returns its header if it is whole.
///
/// # Errors
/// [`StorageError::Damaged`] with the place, [`StorageError::NewerFormat`].
pub(crate) fn check_snapshot(folder: &JournalFolder, seq: u64) -> Result<SnapshotHeader, StorageError> {
    let path = folder.snapshot(seq);
    let mut number = 0;
    read_snapshot(folder, seq, &mut |offset, line| {
        number += 1;
        parse(number == 1, line).map(drop).map_err(|error| refuse(&path, offset, error))
    })
}

enum Line {
    Indexes(IndexesLine),
    Entry(Box<EntryLine>),
}

fn parse(first: bool, line: &[u8]) -> Result<Line, LineError> {
    let read = match first {
        true => serde_json::from_slice(line).map(Line::Indexes),
        false => serde_json::from_slice(line).map(Line::Entry),
    };
    read.map_err(|error| LineError::Broken(error.to_string()))
}

/// Puts the state of a snapshot that is whole over rows that have nothing yet, without the counters of use of `counted`. After
/// each entry `after_each` may take the changes.
///
/// # Errors
/// As [`check_snapshot`], and the errors of `after_each`.
pub(crate) fn load_snapshot<'a>(
    folder: &JournalFolder,
    seq: u64,
    counted: &BTreeSet<ComponentId>,
    overlay: &mut Overlay<'a>,
    after_each: &mut dyn FnMut(&mut Overlay<'a>) -> Result<(), StorageError>,
) -> Result<Mark, StorageError> {
    let path = folder.snapshot(seq);
    let mut number = 0;
    let header = read_snapshot(folder, seq, &mut |offset, line| {
        number += 1;
        match parse(number == 1, line).map_err(|error| refuse(&path, offset, error))? {
            Line::Indexes(IndexesLine { indexes }) => {
                for name in indexes {
                    overlay.changes.put(Tree::Meta, keys::custom_index(&name), Vec::new());
                }
            }
            Line::Entry(mut line) => {
                line.usage = line.usage.filter(|_| !counted.contains(&line.component));
                restore_entry(overlay, *line)?;
            }
        }
        after_each(overlay)
    })?;
    Ok(Mark { seq: header.seq, hash: header.hash })
}
