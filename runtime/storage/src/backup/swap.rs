//! The folder that is restored to, the one beside it where all is prepared, and the step from one to the other.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::Timestamp;
use domain::ports::{BackupError, StorageError};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use super::RestoreOptions;
use super::ended::{UNFINISHED, after_restore, announce, take_back};
use crate::lock::FolderLock;
use crate::{fail, files};

/// Stands in the names of workplaces.
const WORKPLACE: &str = ".restoring-";
/// Most folders of one second that are moved aside.
const ASIDE_MAX: u32 = 1_000;

/// The folder to restore to, free or locked.
pub(super) struct Place {
    /// The folder itself: where its path is a link, what that leads to.
    pub(super) folder: PathBuf,
    there: There,
}

/// What is in the place now.
enum There {
    /// No folder, or an empty one.
    Nothing,
    /// A data folder that is moved aside, or the lock of one that was never filled.
    Folder {
        /// Held until the new folder is there.
        _lock: FolderLock,
        /// Whether it has anything but the lock.
        is_filled: bool,
    },
}

impl Place {
    /// Checks that the folder may be restored to, and takes its lock.
    pub(super) fn take(
        folder: &Path,
        options: &RestoreOptions,
        command: &str,
        now: Timestamp,
    ) -> Result<Self, BackupError> {
        let folder = match std::fs::canonicalize(folder) {
            Ok(folder) => folder,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let absolute = std::path::absolute(folder).map_err(files::at(folder))?;
                return Ok(Self { folder: absolute, there: There::Nothing });
            }
            Err(error) => return Err(StorageError::io(folder, error).into()),
        };
        if !folder.is_dir() {
            return Err(StorageError::NotAFolder { path: folder }.into());
        }
        let found = files::list(&folder)?;
        if found.is_empty() {
            return Ok(Self { folder, there: There::Nothing });
        }
        let is_filled = found.iter().any(|found| found.name() != "LOCK");
        if is_filled && !options.replace {
            return Err(BackupError::NotEmpty { path: folder });
        }
        if is_filled && !folder.join("journal").is_dir() {
            return Err(BackupError::NotADataFolder { path: folder });
        }
        let lock = FolderLock::acquire(&folder, command, options.lock_timeout)?;
        // Left by a restore that was killed when all was in place: what is here now may soon have the name of a workplace.
        let _ = after_restore(&folder, now, command);
        files::remove_if_there(&folder.join(UNFINISHED))?;
        Ok(Self { folder, there: There::Folder { _lock: lock, is_filled } })
    }

    /// Puts the finished workplace here. Returns the folder, and where the one is that was here before.
    pub(super) fn fill(self, work: Workplace, now: Timestamp) -> Result<(PathBuf, Option<PathBuf>), BackupError> {
        let parent = work.path.parent().unwrap_or(Path::new("/")).to_owned();
        files::sync_folder(&work.path)?;
        fail::point("restore: all is prepared", &work.path);
        let aside = match &self.there {
            There::Nothing => {
                std::fs::rename(&work.path, &self.folder).map_err(|error| match error.kind() {
                    // Somebody was faster.
                    ErrorKind::DirectoryNotEmpty => BackupError::NotEmpty { path: self.folder.clone() },
                    _ => StorageError::io(&self.folder, error).into(),
                })?;
                work.is_moved();
                None
            }
            There::Folder { is_filled, .. } => {
                let old = files::exchange(&work.path, &self.folder)?;
                fail::point("restore: exchanged", &self.folder);
                // From here on the workplace's name belongs to what was here before.
                work.is_moved();
                match is_filled {
                    true => {
                        take_back(&old);
                        Some(move_aside(&old, &self.folder, now))
                    }
                    false => {
                        // It has nothing but the lock.
                        let _ = std::fs::remove_dir_all(&old);
                        None
                    }
                }
            }
        };
        fail::point("restore: in place", &self.folder);
        files::sync_folder(&parent)?;
        fail::point("restore: in place for good", &self.folder);
        files::remove_if_there(&self.folder.join(UNFINISHED))?;
        Ok((self.folder, aside))
    }
}

/// Gives the folder that was replaced a name that tells what it is; where that fails it keeps the one it has.
pub(super) fn move_aside(old: &Path, folder: &Path, now: Timestamp) -> PathBuf {
    let time: String = now.to_string().chars().take(19).filter(|c| *c != '-' && *c != ':').collect();
    for number in 0..ASIDE_MAX {
        let mut name = folder.as_os_str().to_owned();
        name.push(format!(".before-restore-{time}Z"));
        if number > 0 {
            name.push(format!("-{number}"));
        }
        let aside = PathBuf::from(name);
        match renameat_with(CWD, old, CWD, &aside, RenameFlags::NOREPLACE) {
            Ok(()) => return aside,
            Err(rustix::io::Errno::EXIST) => {}
            Err(_) => break,
        }
    }
    old.to_owned()
}

/// A folder beside the one that is restored to; removed when it is dropped, unless it was moved.
pub(super) struct Workplace {
    pub(super) path: PathBuf,
    /// Goes with the folder: whoever has the lock has the folder, wherever it is.
    _lock: FolderLock,
    is_ours: std::cell::Cell<bool>,
    /// The folder that says that this will replace it.
    replaces: Option<PathBuf>,
}

impl Workplace {
    /// Makes an empty workplace beside `place`, where everybody can see for what.
    pub(super) fn beside(place: &Place, command: &str) -> Result<Self, BackupError> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let folder = &place.folder;
        let parent = folder.parent().unwrap_or(Path::new("/"));
        files::create_folder(parent)?;
        remove_unfinished(folder, parent, command);
        let mut path = folder.as_os_str().to_owned();
        path.push(format!("{WORKPLACE}{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let path = PathBuf::from(path);
        let replaces = match place.there {
            There::Folder { is_filled: true, .. } => Some(folder.clone()),
            There::Folder { is_filled: false, .. } | There::Nothing => None,
        };
        replaces.as_deref().map_or(Ok(()), |folder| announce(folder, &path))?;
        let made = Self::make(path, replaces.clone(), command);
        if let (Err(_), Some(folder)) = (&made, &replaces) {
            take_back(folder);
        }
        made
    }

    fn make(path: PathBuf, replaces: Option<PathBuf>, command: &str) -> Result<Self, BackupError> {
        let mut builder = std::fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        let mark = || {
            builder.create(&path)?;
            fail::point("restore: made the workplace", &path);
            std::fs::write(path.join(UNFINISHED), path.as_os_str().as_encoded_bytes())
        };
        let made = match mark() {
            // Another restore took the empty folder for one that was left behind.
            Err(error) if error.kind() == ErrorKind::NotFound => mark(),
            made => made,
        };
        let made = made.map_err(files::at(&path));
        let locked = made.and_then(|()| FolderLock::acquire(&path, command, Duration::ZERO));
        fail::point("restore: marked the workplace", &path);
        match locked {
            Ok(lock) => Ok(Self { path, _lock: lock, is_ours: std::cell::Cell::new(true), replaces }),
            Err(error) => {
                let _ = std::fs::remove_dir_all(&path);
                Err(error.into())
            }
        }
    }

    /// Says that the folder is not here any more.
    fn is_moved(&self) {
        self.is_ours.set(false);
    }
}

impl Drop for Workplace {
    fn drop(&mut self) {
        if self.is_ours.get() {
            // What stays is removed by the next restore.
            let _ = std::fs::write(self.path.join(UNFINISHED), self.path.as_os_str().as_encoded_bytes());
            let _ = std::fs::remove_dir_all(&self.path);
            if let Some(folder) = &self.replaces {
                take_back(folder);
            }
        }
    }
}

/// Removes workplaces that restores of `folder` left behind when they were killed. What cannot be removed does no harm.
fn remove_unfinished(folder: &Path, parent: &Path, command: &str) {
    let Some(name) = folder.file_name().and_then(|name| name.to_str()) else { return };
    let prefix = format!("{name}{WORKPLACE}");
    for found in files::list(parent).unwrap_or_default() {
        if !found.is_folder || !found.name().starts_with(&prefix) {
            continue;
        }
        // One that was killed before its first file left an empty folder; the system removes no other in this way.
        let _ = std::fs::remove_dir(&found.path);
        if found.path.join(UNFINISHED).is_file() && FolderLock::acquire(&found.path, command, Duration::ZERO).is_ok() {
            let _ = std::fs::remove_dir_all(&found.path);
        }
    }
}
