//! Makes a folder with a damaged journal open again, with all that is whole.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use domain::Timestamp;
use domain::ports::{Clock, Stop, StorageError};

use crate::files;
use crate::folder::{OpenOptions, Storage, Warning};
use crate::index::check_snapshot;
use crate::journal::{Head, Journal, JournalFolder, Surveyed, survey, unsynced};
use crate::lock::FolderLock;
use crate::stoppable_disk::{broken_off, stoppable};

/// How a folder is repaired.
#[derive(Clone, Debug, Default)]
pub struct RepairOptions {
    /// Only say what would be done.
    pub dry_run: bool,
    /// Breaks the repair off, up to the moment when something is changed; never by default.
    pub stop: Stop,
    /// How the folder is opened at the end.
    pub open: OpenOptions,
}

/// Records that are gone, or that nothing shows to have been there whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// The damaged file.
    pub file: PathBuf,
    /// Where the damage begins, in bytes.
    pub offset: u64,
    /// What is wrong there.
    pub reason: String,
    /// The first record that is lost; `None` if a snapshot has all that the file stood for.
    pub first: Option<u64>,
    /// The last record known to be lost.
    pub last: Option<u64>,
}

/// What was done to a folder, or would be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Repaired {
    /// What was lost; empty if the journal was whole.
    pub lost: Vec<Lost>,
    /// The first record that is kept, or that will come.
    pub first_kept: u64,
    /// The last record whose effect is kept, 0 if there is none.
    pub last_kept: u64,
    /// The snapshot that the state begins with, by the last record in it.
    pub snapshot: Option<u64>,
    /// The folder with copies of all files that were changed or taken out; `None` if there were none.
    pub set_aside: Option<PathBuf>,
    /// The files that were copied there.
    pub files: Vec<PathBuf>,
    /// What was mended when the folder was opened at the end; empty in a dry run.
    pub warnings: Vec<Warning>,
}

/// What is to be done to a journal.
#[derive(Default)]
struct Plan {
    report: Repaired,
    /// Files that go.
    remove: Vec<PathBuf>,
    /// The file that is cut, and where.
    cut: Option<(PathBuf, u64)>,
    /// The record after which a segment has to be begun.
    begin: Option<Head>,
}

/// Repairs the data folder at `path`, which nobody else may hold: keeps the longest whole run of decisions, from the journal's
/// beginning or from a snapshot, whichever leads further.
///
/// Every file that is changed or taken out is copied into `damaged-<time>/` in the data folder first. A folder whose journal is
/// whole is left as it is. At the end the folder is opened, which makes the index anew where needed. Blocks on the disk.
///
/// # Errors
/// [`StorageError::Held`], [`StorageError::NewerFormat`], errors of the disk, and whatever opening it meets.
pub fn repair(path: &Path, options: &RepairOptions, clock: &Arc<dyn Clock>) -> Result<Repaired, StorageError> {
    if !path.is_dir() {
        return Err(StorageError::NotAFolder { path: path.to_owned() });
    }
    let lock = FolderLock::acquire(path, "a repair", options.open.lock_timeout)?;
    let journal = JournalFolder::of(path, options.open.segment_bytes);
    if !journal.path().is_dir() {
        return Ok(Repaired { first_kept: 1, ..Repaired::default() });
    }
    let now = clock.now();
    let mut plan = plan(&stoppable(&journal, &options.stop)).map_err(|error| broken_off(&options.stop, error))?;
    options.stop.check()?;
    let changed = plan.remove.iter().chain(plan.cut.as_ref().map(|(file, _)| file));
    plan.report.files = changed.cloned().collect();
    if !plan.report.files.is_empty() {
        plan.report.set_aside = Some(aside(path, now));
    }
    if options.dry_run {
        return Ok(plan.report);
    }
    let mut report = carry_out(&journal, plan, now)?;
    drop(lock);
    let storage = Storage::open(path, &options.open, clock.clone())?;
    report.warnings = storage.warnings().to_vec();
    storage.close()?;
    Ok(report)
}

fn aside(folder: &Path, now: Timestamp) -> PathBuf {
    // No colons: not every file system takes them.
    let time: String = now.to_string().chars().filter(char::is_ascii_alphanumeric).collect();
    folder.join(format!("damaged-{time}"))
}

fn carry_out(journal: &JournalFolder, plan: Plan, now: Timestamp) -> Result<Repaired, StorageError> {
    let Plan { report, remove, cut, begin } = plan;
    if let Some(aside) = &report.set_aside {
        files::create_folder(aside)?;
        for file in &report.files {
            let copy = aside.join(file.file_name().unwrap_or_default());
            std::fs::copy(file, &copy).map_err(files::at(&copy))?;
            std::fs::File::open(&copy).and_then(|copy| copy.sync_all()).map_err(files::at(&copy))?;
        }
        files::sync_folder(aside)?;
        aside.parent().map_or(Ok(()), files::sync_folder)?;
    }
    // Broken off anywhere, the folder is still refused or already repaired, and can be repaired again.
    if let Some((file, end)) = cut {
        let cut = journal.disk().append(&file).and_then(|mut file| file.cut(end).and_then(|()| file.sync()));
        cut.map_err(files::at(&file))?;
    }
    for file in remove {
        journal.remove(&file)?;
    }
    if let Some(head) = begin {
        Journal::begin_segment(journal, &head, now)?;
    }
    Ok(report)
}

/// Where a state can begin: nothing, or a whole snapshot.
struct Base {
    head: Head,
    snapshot: bool,
}

fn plan(journal: &JournalFolder) -> Result<Plan, StorageError> {
    let mut plan = Plan::default();
    let mut bases = vec![Base { head: Head::start(), snapshot: false }];
    for seq in journal.snapshots()? {
        match check_snapshot(journal, seq) {
            Ok(header) => bases.push(Base { head: Head { seq, hash: header.hash }, snapshot: true }),
            Err(StorageError::Damaged { path, offset, reason }) => {
                plan.remove.push(path.clone());
                plan.report.lost.push(Lost { file: path, offset, reason, first: None, last: None });
            }
            Err(error) => return Err(error),
        }
    }
    if let Err(error) = unsynced(journal) {
        let StorageError::Damaged { path, offset, reason } = error else { return Err(error) };
        plan.remove.push(path.clone());
        plan.report.lost.push(Lost { file: path, offset, reason, first: None, last: None });
    }
    let segments =
        journal.segments()?.into_iter().map(|first| survey(journal, first, None)).collect::<Result<Vec<_>, _>>()?;
    // Of bases that lead equally far the newest is the best: least has to be whole before it.
    let reached = bases.iter().map(|base| reach(&segments, &base.head)).max_by_key(|reach| reach.end);
    let Some(best) =
        bases.iter().rev().find(|base| Some(reach(&segments, &base.head).end) == reached.as_ref().map(|r| r.end))
    else {
        return Ok(plan);
    };
    let reach = reach(&segments, &best.head);
    plan.report.last_kept = reach.end;
    plan.report.snapshot = best.snapshot.then_some(best.head.seq);
    // Segments before the state's beginning are history: those that lead up to it without a gap stay.
    let mut history = reach.segments.start;
    while let Some(before) = history.checked_sub(1).and_then(|at| segments.get(at)) {
        let leads_on = match segments.get(history) {
            Some(after) => after.misfit(&before.end).is_none(),
            None => before.end.seq == best.head.seq,
        };
        if before.bad.is_some() || !leads_on {
            break;
        }
        history -= 1;
    }
    for (at, segment) in segments.iter().enumerate() {
        let is_kept = (history..reach.segments.end).contains(&at);
        let bad = segment.bad.as_ref();
        if is_kept && bad.is_none() {
            continue;
        }
        let (offset, reason) = match bad {
            Some(bad) => (bad.offset, bad.reason.clone()),
            None if at < history => (0, "a segment after it is damaged; a snapshot has its state".to_owned()),
            None => (0, "it does not follow what is whole".to_owned()),
        };
        let last = bad.map_or(segment.end.seq, |bad| bad.last_seen.max(segment.end.seq));
        let first = if is_kept { segment.end.seq + 1 } else { segment.first }.max(best.head.seq + 1);
        let (first, last) = match at < history || (last < first && at < reach.segments.start) {
            true => (None, None),
            false => (Some(first), (last >= first).then_some(last)),
        };
        plan.report.lost.push(Lost { file: segment.path.clone(), offset, reason, first, last });
        if is_kept && segment.prev.is_some() {
            plan.cut = Some((segment.path.clone(), segment.whole_bytes));
        } else {
            plan.remove.push(segment.path.clone());
        }
    }
    let is_left = |segment: &&Surveyed| !plan.remove.contains(&segment.path);
    plan.report.first_kept = segments.iter().find(is_left).map_or(reach.end + 1, |segment| segment.first);
    if !segments.iter().any(|segment| is_left(&segment) && segment.end.seq == reach.end) {
        plan.begin = Some(best.head.clone());
    }
    Ok(plan)
}

/// How far a state can be followed.
struct Reach {
    /// The last record.
    end: u64,
    /// The segments with the records after the base, the last of which may have to be cut.
    segments: std::ops::Range<usize>,
}

fn reach(segments: &[Surveyed], base: &Head) -> Reach {
    let start = segments.partition_point(|segment| segment.first <= base.seq);
    let mut found = Reach { end: base.seq, segments: start..start };
    let mut before = base;
    for segment in segments.get(start..).unwrap_or_default() {
        if segment.prev.is_none() || segment.misfit(before).is_some() {
            break;
        }
        found.segments.end += 1;
        found.end = segment.end.seq;
        before = &segment.end;
        if segment.bad.is_some() {
            break;
        }
    }
    found
}
