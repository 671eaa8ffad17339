//! Brings index and journal together at opening: the journal is the truth, the index follows it or is made anew.

use std::path::{Path, PathBuf};
use std::time::Instant;

use domain::ports::StorageError;
use domain::usage::Usage;
use domain::{ComponentId, Timestamp};

use crate::files;
use crate::folder::Warning;
use crate::index::{Changes, Mark, OpenedIndex, Overlay, SledIndex, apply};
use crate::journal::{self, Head, Journal};

/// How many changed rows are gathered before they are written in a replay.
const REPLAY_ROWS: usize = 20_000;

/// Journal and index that agree.
pub(crate) struct Recovered {
    /// The journal's end.
    pub(crate) journal: Journal,
    /// The state up to there.
    pub(crate) index: SledIndex,
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
    let opened = SledIndex::open(index_folder)?;
    let mark = match &opened {
        OpenedIndex::Whole(_, mark) => mark.clone(),
        OpenedIndex::New(_) | OpenedIndex::Unfit(_) => Mark::default(),
    };
    let opened_journal = journal::open(journal_folder, &Head { seq: mark.seq, hash: mark.hash.clone() }, now)?;
    let (journal, record_hash) = (opened_journal.journal, opened_journal.record_hash);
    let mut warnings: Vec<Warning> = opened_journal.warning.into_iter().collect();
    let last = journal.head().seq;
    let fit = match opened {
        OpenedIndex::New(index) if last == 0 => {
            index.change(&Changes::default(), &Mark::default())?;
            Ok(index)
        }
        OpenedIndex::New(_) => Err(Discarded { reason: "there was none".to_owned(), usage: Vec::new() }),
        OpenedIndex::Unfit(reason) => Err(Discarded { reason, usage: Vec::new() }),
        OpenedIndex::Whole(index, mark) => catch_up(journal_folder, index, mark, last, &record_hash),
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
    index: SledIndex,
    mark: Mark,
    last: u64,
    record_hash: &str,
) -> Result<SledIndex, Discarded> {
    let reason = if mark.seq > last {
        format!("it had followed the journal up to record {}, but the journal ends at record {last}", mark.seq)
    } else if mark.seq == last {
        if mark.seq == 0 || mark.hash == record_hash {
            return Ok(index);
        }
        format!("it had followed another journal up to record {last}")
    } else {
        let from = if mark.seq == 0 { Head::start() } else { Head { seq: mark.seq, hash: mark.hash } };
        match replay(journal_folder, &index, &from, last) {
            Ok(()) => return Ok(index),
            // If the journal itself is damaged, making the index anew meets the same place and reports it.
            Err(error) => format!("it could not follow the journal: {error}"),
        }
    };
    Err(Discarded { reason, usage: index.usage_rows() })
}

fn replay(journal_folder: &Path, index: &SledIndex, from: &Head, last: u64) -> Result<(), StorageError> {
    let mut pending = Changes::default();
    journal::replay(journal_folder, from, last, &mut |record, head| {
        let mut overlay = Overlay::with(index, std::mem::take(&mut pending));
        apply(&mut overlay, &record)?;
        pending = overlay.into_changes();
        if pending.len() >= REPLAY_ROWS || head.seq == last {
            let mark = Mark { seq: head.seq, hash: head.hash.clone() };
            index.change(&std::mem::take(&mut pending), &mark)?;
        }
        Ok(())
    })
}

/// Makes the index anew. The old one is deleted only when the new one is there.
fn rebuild(
    journal_folder: &Path,
    index_folder: &Path,
    discarded: Discarded,
    last: u64,
) -> Result<(SledIndex, Warning), StorageError> {
    let began = Instant::now();
    let aside = aside(index_folder);
    remove_folder(&aside)?;
    match std::fs::rename(index_folder, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(StorageError::io(index_folder, error)),
    }
    let index = match SledIndex::open(index_folder)? {
        OpenedIndex::New(index) => index,
        OpenedIndex::Whole(..) => return Err(StorageError::Index { reason: "an empty index has rows".to_owned() }),
        OpenedIndex::Unfit(reason) => return Err(StorageError::Index { reason }),
    };
    index.change(&Changes::default(), &Mark::default())?;
    replay(journal_folder, &index, &Head::start(), last)?;
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
