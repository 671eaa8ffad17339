//! Making a data folder from a backup.

use std::collections::{BTreeSet, HashSet};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use domain::ports::{BackupError, Clock, StateView, Stop, StorageError};
use domain::reduce::index;
use domain::{Digest, Timestamp};

use super::contents::cut;
use super::manifest::Manifest;
use super::source::unpack;
use super::swap::{Place, Workplace};
use super::{OnProgress, Watch, damaged};
use crate::files;
use crate::folder::{OpenOptions, Warning};
use crate::journal::{self, JournalFolder};
use crate::lock::FolderLock;
use crate::state::JournaledState;

/// Ids read at once when the restored registry is looked through.
const PAGE: usize = 1_024;

/// How a backup is restored.
#[derive(Clone, Debug)]
pub struct RestoreOptions {
    /// Whether a registry that is in the folder is replaced; it is moved aside, not removed. Off by default.
    pub replace: bool,
    /// How long to wait for another process that holds the folder; 10 seconds by default.
    pub lock_timeout: Duration,
    /// What other processes are told of this one while it restores; empty: its command line.
    pub command: String,
    /// Breaks the restore off, up to the moment when the restored folder takes its place; never by default.
    pub stop: Stop,
}

impl Default for RestoreOptions {
    fn default() -> Self {
        Self { replace: false, lock_timeout: Duration::from_secs(10), command: String::new(), stop: Stop::default() }
    }
}

/// What was restored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreReport {
    /// The data folder.
    pub folder: PathBuf,
    /// Sequence number of the last record.
    pub seq: u64,
    /// Digest of that record's line, as 64 hexadecimal digits.
    pub hash: String,
    /// When the backup was made.
    pub created_at: Timestamp,
    /// Files in the backup.
    pub files: u64,
    /// Their size in bytes.
    pub bytes: u64,
    /// Where the data folder is that was there before.
    pub moved_aside: Option<PathBuf>,
    /// Blobs that are needed and that the backup has not, because they were missing when it was made; ordered.
    pub missing: Vec<Digest>,
}

/// Makes the data folder `folder` from the backup at `backup`, an archive or a folder.
///
/// All of the backup is checked before the folder is touched: the manifest, the size and digest of every file, and every line of the
/// journal with the chain between them, which is opened in a folder beside `folder`. Then that folder takes the place of `folder` in
/// one step; a restore that is interrupted leaves `folder` as it was. Blocks on the disk.
///
/// # Errors
/// [`BackupError::NotABackup`] and [`BackupError::Damaged`] with the place; [`BackupError::NotEmpty`] if there is something in `folder`
/// and it is not to be replaced, [`BackupError::NotADataFolder`] if it is to be replaced and is no registry; [`BackupError::Storage`],
/// with [`StorageError::Held`] while another process has the folder, and [`StorageError::BrokenOff`].
pub fn restore(
    backup: &Path,
    folder: &Path,
    options: &RestoreOptions,
    clock: Arc<dyn Clock>,
    progress: OnProgress<'_>,
) -> Result<RestoreReport, BackupError> {
    let command = match options.command.as_str() {
        "" => crate::lock::command_line(std::process::id()),
        given => given.to_owned(),
    };
    let place = Place::take(folder, options, &command, clock.now())?;
    let work = Workplace::beside(&place, &command)?;
    let manifest = unpack(backup, &work.path, Watch { progress, stop: &options.stop })?;
    let missing = check(backup, &work, &manifest, clock.clone(), &command)?;
    let opened = File::open(&work.path).map_err(files::at(&work.path))?;
    options.stop.check()?;
    rustix::fs::syncfs(&opened).map_err(|error| StorageError::io(&work.path, error.into()))?;
    options.stop.check()?;
    let (folder, moved_aside) = place.fill(work, clock.now())?;
    Ok(RestoreReport {
        folder,
        seq: manifest.seq,
        hash: manifest.hash.clone(),
        created_at: manifest.created_at,
        files: manifest.files.len() as u64,
        bytes: manifest.bytes(),
        moved_aside,
        missing,
    })
}

/// Opens the restored journal, which checks every line of it, and returns the blobs that it names and the backup has not.
fn check(
    backup: &Path,
    work: &Workplace,
    manifest: &Manifest,
    clock: Arc<dyn Clock>,
    command: &str,
) -> Result<Vec<Digest>, BackupError> {
    // What is wrong is wrong in the backup: the folder it was unpacked to is gone when somebody reads of it.
    let in_backup = |error: StorageError| match error {
        StorageError::Damaged { path, offset, reason } => {
            let path = path.strip_prefix(&work.path).unwrap_or(&path);
            damaged(backup, &path.to_string_lossy(), format!("at byte {offset}: {reason}"))
        }
        other => other.into(),
    };
    check_end(backup, work, manifest).map_err(|error| match error {
        BackupError::Storage(error) => in_backup(error),
        other => other,
    })?;
    let inner = work.path.join("LOCKED-WHILE-CHECKED");
    files::create_folder(&inner)?;
    let lock = FolderLock::acquire(&inner, command, Duration::ZERO)?;
    let options = OpenOptions { command: command.to_owned(), ..OpenOptions::default() };
    let (state, warnings) = JournaledState::open(&work.path, clock, lock, &options).map_err(in_backup)?;
    if let Some(Warning::TornTail { file, offset, .. }) =
        warnings.iter().find(|warning| matches!(warning, Warning::TornTail { .. }))
    {
        let place = file.strip_prefix(&work.path).unwrap_or(file);
        return Err(damaged(backup, &place.to_string_lossy(), format!("at byte {offset}: the last record is cut")));
    }
    if state.last_seq() != manifest.seq {
        let reason = format!("its last record is {}, the manifest says {}", state.last_seq(), manifest.seq);
        return Err(damaged(backup, "journal", reason));
    }
    let missing = missing_blobs(&state, manifest).map_err(in_backup)?;
    state.close()?;
    drop(state);
    std::fs::remove_dir_all(&inner).map_err(files::at(&inner))?;
    Ok(missing)
}

/// Checks that the journal ends in the record that the manifest names, and nothing follows it.
fn check_end(backup: &Path, work: &Workplace, manifest: &Manifest) -> Result<(), BackupError> {
    let journal = JournalFolder::of(&work.path, journal::SEGMENT_BYTES);
    files::create_folder(journal.path())?;
    let last = journal.segments()?.into_iter().rfind(|first| *first <= manifest.seq.saturating_add(1));
    let Some(last) = last else { return Ok(()) };
    let path = journal.segment(last);
    let mut file = File::open(&path).map_err(files::at(&path))?;
    let end = cut(&mut file, &path, manifest.seq)?;
    let size = std::fs::metadata(&path).map_err(files::at(&path))?.len();
    if end.hash != manifest.hash || end.size != size {
        let reason = format!("record {} is not the last one, or another than the manifest says", manifest.seq);
        return Err(damaged(backup, "journal", reason));
    }
    Ok(())
}

fn missing_blobs(state: &JournaledState, manifest: &Manifest) -> Result<Vec<Digest>, StorageError> {
    let there: HashSet<Digest> = manifest.files.iter().map(|file| file.digest).collect();
    let mut missing = BTreeSet::new();
    let mut last = None;
    loop {
        let page = state.ids(last.as_ref(), PAGE)?;
        let Some(end) = page.last() else { return Ok(missing.into_iter().collect()) };
        last = Some(end.clone());
        for id in page {
            let mut states = Vec::new();
            for one in state.find(index::BESIDE, id.as_str())?.iter().chain([&id]) {
                states.extend(state.entry(one)?.and_then(|entry| entry.state.as_ref().map(|state| state.digest)));
            }
            let digests = state.revisions(&id)?.into_iter().map(|revision| revision.digest).chain(states);
            missing.extend(digests.filter(|digest| !there.contains(digest)));
        }
    }
}
