//! Brings index and journal together at opening: the journal is the truth, the index follows it or is made anew.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use domain::ports::StorageError;
use domain::usage::Usage;
use domain::{ComponentId, Timestamp};

use super::apply::{add_usage, apply};
use super::head::HeadFile;
use super::image::{self, Image};
use super::layered::{Below, Index, Layers, RECORDS_MAX, ROWS_MAX};
use super::overlay::{Changes, Overlay};
use super::pack::{Slack, pack, remove_left};
use super::rows::Rows;
use super::sled::{Mark, OpenedSled, SledRows};
use super::snapshot::{check_snapshot, load_snapshot};
use super::usage_file::{UsageFile, UsageLine};
use crate::fail;
use crate::files;
use crate::folder::{OnWarning, Warning};
use crate::journal::{self, Head, Journal, JournalFolder, OpenedJournal};

/// How many changed rows are gathered before they are written in a replay.
const REPLAY_ROWS: usize = 100_000;

/// Journal and index that agree.
pub(crate) struct Recovered {
    /// The journal's end.
    pub(crate) journal: Journal,
    /// The state up to there.
    pub(crate) index: Index,
    /// What had to be mended.
    pub(crate) warnings: Vec<Warning>,
}

/// Where the journal is and where it ends.
pub(super) struct Truth<'a> {
    /// Its folder.
    pub(super) journal: &'a JournalFolder,
    /// Its last record.
    pub(super) end: Mark,
    /// The last record that the index was told of.
    pub(super) told: Mark,
}

/// Rows on disk with what they lack laid over them.
pub(super) struct Followed {
    pub(super) layers: Layers,
    pub(super) usage: UsageFile,
    pub(super) warnings: Vec<Warning>,
}

/// Why an index is not used, and what is worth keeping of it.
pub(super) struct Discarded {
    pub(super) reason: String,
    usage: Vec<(ComponentId, Usage)>,
}

impl Discarded {
    /// Keeps the counters of use of `sled`, with those that were added since.
    fn of(sled: &SledRows, lines: Vec<UsageLine>, reason: String) -> Self {
        let mut usage = super::view::usage_rows(sled);
        usage.extend(lines.into_iter().flat_map(|line| line.usage));
        Self { reason, usage }
    }
}

/// Opens journal and index and makes them agree.
///
/// # Errors
/// [`StorageError::Damaged`] if the journal is, [`StorageError::NewerFormat`], and errors of the disk.
pub(crate) fn recover(
    journal_folder: &JournalFolder,
    index_folder: &Path,
    now: Timestamp,
    slack: Slack,
    on_warning: Option<Arc<OnWarning>>,
) -> Result<Recovered, StorageError> {
    files::create_folder(index_folder)?;
    let said = HeadFile::read(index_folder)?;
    let said_before = said.clone();
    let opened_journal;
    let followed;
    match image_near(index_folder, said.as_ref())? {
        Some((image, told)) => {
            opened_journal = journal::open(journal_folder, &place(&told), now)?;
            let truth = Truth { journal: journal_folder, end: end(&opened_journal), told };
            followed = match over_image(index_folder, image, &truth)? {
                Some(followed) => followed,
                None => {
                    image::remove(index_folder)?;
                    let sled = SledRows::open(index_folder)?;
                    over_sled(index_folder, sled, &truth, slack, None)?
                }
            };
        }
        None => {
            image::remove(index_folder)?;
            let sled = SledRows::open(index_folder)?;
            let mark = sled.mark().unwrap_or_default();
            // Sled is never ahead of the small file, unless that got lost.
            let told = said.filter(|said| said.seq > mark.seq).unwrap_or(mark);
            opened_journal = journal::open(journal_folder, &place(&told), now)?;
            let truth = Truth { journal: journal_folder, end: end(&opened_journal), told };
            followed = over_sled(index_folder, sled, &truth, slack, None)?;
        }
    }
    let warnings = opened_journal.warning.into_iter().chain(followed.warnings).collect();
    let index = Index::new(index_folder, journal_folder, followed.layers, followed.usage, slack, on_warning)?;
    index.tell_head(said_before.as_ref());
    Ok(Recovered { journal: opened_journal.journal, index, warnings })
}

fn end(journal: &OpenedJournal) -> Mark {
    match journal.journal.head().seq {
        0 => Mark::default(),
        seq => Mark { seq, hash: journal.record_hash.clone() },
    }
}

fn place(mark: &Mark) -> Head {
    if mark.seq == 0 { Head::start() } else { Head { seq: mark.seq, hash: mark.hash.clone() } }
}

/// Returns the image if it is known how far the index was told, and the image is not far from there.
fn image_near(index_folder: &Path, said: Option<&Mark>) -> Result<Option<(Image, Mark)>, StorageError> {
    let Some(said) = said else { return Ok(None) };
    let near = |image: &Image| said.seq.checked_sub(image.taken.mark.seq).is_some_and(|lag| lag <= RECORDS_MAX);
    Ok(Image::load(index_folder)?.filter(near).map(|image| (image, said.clone())))
}

/// Lays over an image what happened since; `None` if that is much, or does not fit.
pub(super) fn over_image(
    index_folder: &Path,
    image: Image,
    truth: &Truth<'_>,
) -> Result<Option<Followed>, StorageError> {
    let from = image.taken.mark.clone();
    if misfit(truth).is_some() || truth.end.seq.saturating_sub(from.seq) > RECORDS_MAX {
        return Ok(None);
    }
    let (usage, lines) = UsageFile::open(index_folder, image.taken.generation, image.taken.usage_bytes)?;
    let mut overlay = Overlay::over(&image);
    // What the journal is refused for is met again, and reported, by whoever opens sled.
    let followed = replay(truth, &from, lines, &mut overlay, &mut |_, _| Ok(()));
    let changes = overlay.into_changes();
    if followed.is_err() || changes.len() > ROWS_MAX {
        return Ok(None);
    }
    let image = Layers::nothing_over(Arc::new(Below::Image(image)), truth.end.clone());
    let layers = Layers { below_seq: from.seq, changes: Arc::new(changes), ..image };
    Ok(Some(Followed { layers, usage, warnings: Vec::new() }))
}

/// Lays over sled's rows what the journal has since, or makes them anew if they do not fit it. Where they are made anew, the
/// counters of use are those of `known`, if that is given.
///
/// # Errors
/// [`StorageError`] of the journal and of the disk.
pub(super) fn over_sled(
    index_folder: &Path,
    opened: OpenedSled,
    truth: &Truth<'_>,
    slack: Slack,
    known: Option<&dyn Rows>,
) -> Result<Followed, StorageError> {
    remove_left(index_folder);
    let fit = match opened {
        OpenedSled::New(sled) if truth.end.seq == 0 => {
            sled.change(&Changes::default(), &Mark::default(), 1)?;
            follow(index_folder, sled, Mark::default(), truth)
        }
        OpenedSled::New(_) => Err(Discarded { reason: "there was none".to_owned(), usage: Vec::new() }),
        OpenedSled::Unfit(reason) => Err(Discarded { reason, usage: Vec::new() }),
        OpenedSled::Earlier(sled, reason) => {
            let lines = UsageFile::open(index_folder, sled.generation(), 0).map(|(_, lines)| lines);
            Err(Discarded::of(&sled, lines.unwrap_or_default(), reason))
        }
        OpenedSled::Whole(sled, mark) => match sled.misfit() {
            Ok(None) if slack.is_exceeded(&sled) => match pack(index_folder, sled, &mark) {
                Ok((sled, packed)) => follow(index_folder, sled, mark, truth).map(|mut followed| {
                    followed.warnings.push(packed);
                    followed
                }),
                // Without room for a second file the old one does.
                Err(_) => match SledRows::open(index_folder)? {
                    OpenedSled::Whole(sled, mark) => follow(index_folder, sled, mark, truth),
                    _ => Err(Discarded { reason: "it could not be opened again".to_owned(), usage: Vec::new() }),
                },
            },
            Ok(None) => follow(index_folder, sled, mark, truth),
            Ok(Some(reason)) => {
                let lines = UsageFile::open(index_folder, sled.generation(), 0).map(|(_, lines)| lines);
                Err(Discarded::of(&sled, lines.unwrap_or_default(), reason))
            }
            Err(reason) => Err(Discarded { reason, usage: Vec::new() }),
        },
    };
    match fit {
        Ok(followed) => Ok(followed),
        Err(mut discarded) => {
            if let Some(known) = known {
                discarded.usage = super::view::usage_rows(known);
            }
            rebuild(index_folder, discarded, truth)
        }
    }
}

/// Says what is wrong if the index was told of another journal than this one, or of more.
pub(super) fn misfit(truth: &Truth<'_>) -> Option<String> {
    let (told, end) = (&truth.told, &truth.end);
    if told.seq > end.seq {
        return Some(format!(
            "it had followed the journal up to record {}, but the journal ends at record {}",
            told.seq, end.seq
        ));
    }
    let other = told.seq == end.seq && told.seq > 0 && told.hash != end.hash;
    other.then(|| format!("it had followed another journal up to record {}", end.seq))
}

/// Applies the records that sled does not have yet.
pub(super) fn follow(
    index_folder: &Path,
    sled: SledRows,
    mark: Mark,
    truth: &Truth<'_>,
) -> Result<Followed, Discarded> {
    let usage_file = UsageFile::open(index_folder, sled.generation(), 0);
    let lines = usage_file.as_ref().map(|(_, lines)| lines.clone()).unwrap_or_default();
    let followed = match misfit(truth) {
        Some(reason) => Err(reason),
        None => usage_file
            .and_then(|(mut usage, lines)| {
                let mut below_seq = mark.seq;
                let changes = catch_up(&sled, mark, lines, truth, &mut |changes, mark| {
                    below_seq = mark.seq;
                    sled.change(changes, mark, sled.generation() + 1)
                })?;
                usage.turn(sled.generation());
                Ok((below_seq, changes, usage))
            })
            // If the journal itself is damaged, making the index anew meets the same place and reports it.
            .map_err(|error| format!("it could not follow the journal: {error}")),
    };
    match followed {
        Ok((below_seq, changes, usage)) => {
            let sled = Layers::nothing_over(Arc::new(Below::Sled(sled)), truth.end.clone());
            let layers = Layers { below_seq, changes: Arc::new(changes), ..sled };
            Ok(Followed { layers, usage, warnings: Vec::new() })
        }
        Err(reason) => Err(Discarded::of(&sled, lines, reason)),
    }
}

/// Hands the changes of the records after `mark` to `write`, many at a time, and returns those that are left over.
fn catch_up(
    sled: &SledRows,
    mark: Mark,
    lines: Vec<UsageLine>,
    truth: &Truth<'_>,
    write: &mut dyn FnMut(&Changes, &Mark) -> Result<(), StorageError>,
) -> Result<Changes, StorageError> {
    let mut overlay = Overlay::over(sled);
    replay(truth, &mark, lines, &mut overlay, &mut |overlay, mark| {
        if overlay.changes.len() >= REPLAY_ROWS {
            write(&std::mem::take(&mut overlay.changes), mark)?;
        }
        Ok(())
    })?;
    Ok(overlay.into_changes())
}

/// Applies the records after `from`, and the counters at the places where they were added.
fn replay<'a>(
    truth: &Truth<'_>,
    from: &Mark,
    usage: Vec<UsageLine>,
    overlay: &mut Overlay<'a>,
    after_each: &mut dyn FnMut(&mut Overlay<'a>, &Mark) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let mut usage = usage.into_iter().peekable();
    if from.seq < truth.end.seq {
        journal::replay(truth.journal, &place(from), truth.end.seq, &mut |record, head| {
            while let Some(line) = usage.next_if(|line| line.seq < record.seq) {
                add_usage(overlay, &line.usage)?;
            }
            apply(overlay, &record)?;
            after_each(overlay, &Mark { seq: head.seq, hash: head.hash.clone() })
        })?;
    }
    for line in usage {
        add_usage(overlay, &line.usage)?;
    }
    Ok(())
}

/// Makes the index anew. The old one is deleted only when the new one is there.
fn rebuild(index_folder: &Path, discarded: Discarded, truth: &Truth<'_>) -> Result<Followed, StorageError> {
    let began = Instant::now();
    let aside = aside(index_folder);
    remove_folder(&aside)?;
    fail::point("before set aside", index_folder);
    match std::fs::rename(index_folder, &aside) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => return Err(StorageError::io(index_folder, error)),
    }
    let sled = match SledRows::open(index_folder)? {
        OpenedSled::New(sled) => sled,
        OpenedSled::Whole(..) | OpenedSled::Earlier(..) => {
            return Err(StorageError::Index { reason: "an empty index has rows".to_owned() });
        }
        OpenedSled::Unfit(reason) => return Err(StorageError::Index { reason }),
    };
    let counted = discarded.usage.iter().map(|(id, _)| id.clone()).collect();
    let (base, damaged) = load_base(&sled, truth, &counted)?;
    let mut changes = catch_up(&sled, base.clone(), Vec::new(), truth, &mut |changes, _| sled.load(changes))?;
    {
        let mut overlay = Overlay::over(&sled);
        overlay.changes.absorb(changes);
        add_usage(&mut overlay, &discarded.usage)?;
        changes = overlay.into_changes();
    }
    sled.change(&changes, &truth.end, sled.generation() + 1)?;
    sled.flush()?;
    fail::point("before remove", &aside);
    remove_folder(&aside)?;
    fail::point("after remove", &aside);
    let (usage, _) = UsageFile::open(index_folder, sled.generation(), 0)?;
    let layers = Layers::nothing_over(Arc::new(Below::Sled(sled)), truth.end.clone());
    let records = truth.end.seq - base.seq;
    let snapshot = (base.seq > 0).then_some(base.seq);
    let rebuilt = Warning::IndexRebuilt { reason: discarded.reason, snapshot, records, took: began.elapsed() };
    Ok(Followed { layers, usage, warnings: damaged.into_iter().chain([rebuilt]).collect() })
}

/// Puts the newest state that a snapshot has into empty rows, and says up to which record that is and what was passed over.
///
/// # Errors
/// [`StorageError::Damaged`] if a snapshot is, and the segments do not reach back to where another one or the journal begins.
fn load_base(
    sled: &SledRows,
    truth: &Truth<'_>,
    counted: &BTreeSet<ComponentId>,
) -> Result<(Mark, Vec<Warning>), StorageError> {
    let mut passed_over = Vec::new();
    let found = newest_base(truth.journal, truth.end.seq, &mut |error| passed_over.push(error))?;
    let Some(seq) = found else { return Ok((Mark::default(), warnings(passed_over))) };
    let mut overlay = Overlay::over(sled);
    let mark = load_snapshot(truth.journal, seq, counted, &mut overlay, &mut |overlay| {
        if overlay.changes.len() >= REPLAY_ROWS {
            sled.load(&std::mem::take(&mut overlay.changes))?;
        }
        Ok(())
    })?;
    sled.load(&overlay.into_changes())?;
    Ok((mark, warnings(passed_over)))
}

/// Returns the newest snapshot up to record `last` that is whole and from which the segments lead on; `None` if there is none
/// and they begin with the first record.
///
/// # Errors
/// [`StorageError::Damaged`] of the newest snapshot that is damaged, if nothing can take its place.
pub(crate) fn newest_base(
    journal: &JournalFolder,
    last: u64,
    pass_over: &mut dyn FnMut(StorageError),
) -> Result<Option<u64>, StorageError> {
    let first = journal.segments()?.first().copied();
    let leads_on = |seq: u64| seq == last || first.is_some_and(|first| first <= seq + 1);
    let mut why_none = None;
    for seq in journal.snapshots()?.into_iter().rev().filter(|seq| *seq <= last) {
        match check_snapshot(journal, seq) {
            Ok(_) if leads_on(seq) => {
                why_none.into_iter().for_each(pass_over);
                return Ok(Some(seq));
            }
            Ok(_) => {}
            Err(error @ StorageError::Damaged { .. }) => why_none = why_none.or(Some(error)),
            Err(error) => return Err(error),
        }
    }
    match why_none {
        // Whoever replays from the beginning reports what is missing.
        None => Ok(None),
        Some(error) if first == Some(1) => {
            pass_over(error);
            Ok(None)
        }
        Some(error) => Err(error),
    }
}

fn warnings(passed_over: Vec<StorageError>) -> Vec<Warning> {
    let warning = |error| match error {
        StorageError::Damaged { path, offset, reason } => Some(Warning::SnapshotDamaged { file: path, offset, reason }),
        _ => None,
    };
    passed_over.into_iter().filter_map(warning).collect()
}

fn aside(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".unfit");
    name.into()
}

pub(super) fn remove_folder(folder: &Path) -> Result<(), StorageError> {
    match std::fs::remove_dir_all(folder) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(files::at(folder)(error)),
    }
}
