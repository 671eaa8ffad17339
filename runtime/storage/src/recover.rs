//! Brings index and journal together at opening: the journal is the truth, the index follows it or is made anew.

use std::path::{Path, PathBuf};
use std::time::Instant;

use domain::ports::StorageError;
use domain::usage::Usage;
use domain::{ComponentId, Timestamp};

use crate::files;
use crate::folder::Warning;
use crate::index::{Behind, Index, Mark, OpenedIndex, Overlay, UsageLine, add_usage, apply};
use crate::journal::{self, Head, Journal};

/// How many changed rows are gathered before they are written in a replay.
const REPLAY_ROWS: usize = 20_000;

/// Journal and index that agree.
pub(crate) struct Recovered {
    /// The journal's end.
    pub(crate) journal: Journal,
    /// The state up to there.
    pub(crate) index: Index,
    /// What had to be mended.
    pub(crate) warnings: Vec<Warning>,
}

/// Why an index is not used, and what is worth keeping of it.
struct Discarded {
    reason: String,
    usage: Vec<(ComponentId, Usage)>,
}

/// Opens journal and index and makes them agree.
///
/// # Errors
/// [`StorageError::Damaged`] if the journal is, [`StorageError::NewerFormat`], and errors of the disk.
pub(crate) fn recover(journal_folder: &Path, index_folder: &Path, now: Timestamp) -> Result<Recovered, StorageError> {
    let opened = Index::open(index_folder)?;
    let told = match &opened {
        OpenedIndex::Whole(_, behind) => behind.told().clone(),
        OpenedIndex::New(_) | OpenedIndex::Unfit(_) => Mark::default(),
    };
    let opened_journal = journal::open(journal_folder, &Head { seq: told.seq, hash: told.hash }, now)?;
    let (journal, record_hash) = (opened_journal.journal, opened_journal.record_hash);
    let mut warnings: Vec<Warning> = opened_journal.warning.into_iter().collect();
    let last = journal.head().seq;
    let fit = match opened {
        OpenedIndex::New(index) if last == 0 => {
            index.settle(Mark::default())?;
            Ok(index)
        }
        OpenedIndex::New(_) => Err(Discarded { reason: "there was none".to_owned(), usage: Vec::new() }),
        OpenedIndex::Unfit(reason) => Err(Discarded { reason, usage: Vec::new() }),
        OpenedIndex::Whole(index, behind) => catch_up(journal_folder, index, behind, last, &record_hash),
    };
    let index = match fit {
        Ok(index) => index,
        Err(discarded) => {
            let (index, warning) = rebuild(journal_folder, index_folder, discarded, last)?;
            warnings.push(warning);
            index
        }
    };
    Ok(Recovered { journal, index, warnings })
}

/// Applies the records that the index does not have yet.
fn catch_up(
    journal_folder: &Path,
    index: Index,
    behind: Behind,
    last: u64,
    record_hash: &str,
) -> Result<Index, Discarded> {
    let told = behind.told().clone();
    let Behind { mark, usage, .. } = behind;
    let reason = if told.seq > last {
        format!("it had followed the journal up to record {}, but the journal ends at record {last}", told.seq)
    } else if told.seq == last && told.seq > 0 && told.hash != record_hash {
        format!("it had followed another journal up to record {last}")
    } else {
        let from = if mark.seq == 0 { Head::start() } else { Head { seq: mark.seq, hash: mark.hash } };
        match replay(journal_folder, &index, &from, last, usage.clone()) {
            Ok(()) => return Ok(index),
            // If the journal itself is damaged, making the index anew meets the same place and reports it.
            Err(error) => format!("it could not follow the journal: {error}"),
        }
    };
    let mut rows = index.usage_rows();
    rows.extend(usage.into_iter().flat_map(|line| line.usage));
    Err(Discarded { reason, usage: rows })
}

/// Applies the records after `from`, and the counters at the places where they were added.
fn replay(
    journal_folder: &Path,
    index: &Index,
    from: &Head,
    last: u64,
    usage: Vec<UsageLine>,
) -> Result<(), StorageError> {
    let mut usage = usage.into_iter().peekable();
    let mut overlay = Overlay::over(index);
    let mut mark = Mark { seq: from.seq, hash: from.hash.clone() };
    if from.seq < last {
        journal::replay(journal_folder, from, last, &mut |record, head| {
            while let Some(line) = usage.next_if(|line| line.seq < record.seq) {
                add_usage(&mut overlay, &line.usage)?;
            }
            apply(&mut overlay, &record)?;
            mark = Mark { seq: head.seq, hash: head.hash.clone() };
            if overlay.changes.len() >= REPLAY_ROWS {
                index.change(std::mem::take(&mut overlay.changes), mark.clone())?;
            }
            Ok(())
        })?;
    }
    for line in usage {
        add_usage(&mut overlay, &line.usage)?;
    }
    let changes = overlay.into_changes();
    if mark.seq == from.seq && changes.is_empty() {
        return Ok(());
    }
    index.change(changes, mark)
}

/// Makes the index anew. The old one is deleted only when the new one is there.
fn rebuild(
    journal_folder: &Path,
    index_folder: &Path,
    discarded: Discarded,
    last: u64,
) -> Result<(Index, Warning), StorageError> {
    let began = Instant::now();
    let aside = aside(index_folder);
    remove_folder(&aside)?;
    match std::fs::rename(index_folder, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(StorageError::io(index_folder, error)),
    }
    let index = match Index::open(index_folder)? {
        OpenedIndex::New(index) => index,
        OpenedIndex::Whole(..) => return Err(StorageError::Index { reason: "an empty index has rows".to_owned() }),
        OpenedIndex::Unfit(reason) => return Err(StorageError::Index { reason }),
    };
    replay(journal_folder, &index, &Head::start(), last, Vec::new())?;
    let end = index.mark();
    index.settle(end)?;
    index.add_usage(&discarded.usage)?;
    remove_folder(&aside)?;
    let warning = Warning::IndexRebuilt { reason: discarded.reason, records: last, took: began.elapsed() };
    Ok((index, warning))
}

fn aside(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".unfit");
    name.into()
}

fn remove_folder(folder: &Path) -> Result<(), StorageError> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(files::at(folder)(error)),
    }
}
