//! One process owns a data folder at a time: the file `LOCK`, locked by the system as long as its process lives.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use domain::Timestamp;
use domain::ports::StorageError;
use domain::text::{escape_line, truncate};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use crate::files;

/// Longest command line that is shown of another process, in bytes.
const COMMAND_BYTES_MAX: usize = 200;
/// Length of the line that names the holder, in bytes, unless its command needs more.
const OWNER_BYTES: usize = 300;
/// First and longest wait before the lock is tried again.
const WAITS: (Duration, Duration) = (Duration::from_micros(500), Duration::from_millis(20));

/// Longest line that is read of the file, in bytes.
const OWNER_READ_MAX: u64 = 8 << 10;

/// How often the name of a holder that has just begun is looked for again, and the pause before each look.
const OWNER_READS_MAX: u32 = 100;
const OWNER_READ_PAUSE: Duration = Duration::from_millis(2);

/// The lock of a data folder; let go when this is dropped, and by the system when the process ends in any way.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: File,
    owner: Owner,
}

/// What others are told of whoever has the lock.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Owner {
    pid: u32,
    command: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    socket: Option<PathBuf>,
}

impl FolderLock {
    /// Locks `folder`, waiting up to `patience` for another process; `command` is what others are told of this one.
    ///
    /// # Errors
    /// [`StorageError::Held`] names the process that has it, and the errors of opening the file.
    pub(crate) fn acquire(folder: &Path, command: &str, patience: Duration) -> Result<Self, StorageError> {
        let path = folder.join("LOCK");
        let mut file = open(&path)?;
        let give_up = Instant::now() + patience;
        let mut wait = WAITS.0;
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) if is_at(&file, &path) => break,
                // While it was waited for, the folder was moved and another one took its place.
                Ok(()) => {
                    file = open(&path)?;
                    continue;
                }
                Err(rustix::io::Errno::WOULDBLOCK) => {}
                Err(rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(StorageError::io(path, error.into())),
            }
            let left = give_up.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(held(folder, &mut file));
            }
            std::thread::sleep(wait.min(left));
            wait = (wait * 2).min(WAITS.1);
        }
        let owner = Owner {
            pid: std::process::id(),
            command: escape_line(&truncate(command, COMMAND_BYTES_MAX)).into_owned(),
            since: now(),
            socket: None,
        };
        owner.write(&file).map_err(files::at(&path))?;
        Ok(Self { file, owner })
    }

    /// Tells others that this process answers at `socket`. It only informs: what cannot be written is left out.
    pub(crate) fn answers_at(&self, socket: &Path) {
        let owner = Owner { socket: Some(socket.to_owned()), ..self.owner.clone() };
        let _ = owner.write(&self.file);
    }
}

fn open(path: &Path) -> Result<File, StorageError> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).open(path).map_err(files::at(path))
}

/// Tells whether `file` is the one at `path`.
fn is_at(file: &File, path: &Path) -> bool {
    let identity = |metadata: std::fs::Metadata| (metadata.dev(), metadata.ino());
    let there = std::fs::metadata(path).map(identity);
    there.is_ok_and(|there| file.metadata().map(identity).is_ok_and(|ours| ours == there))
}

fn now() -> Option<Timestamp> {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).ok()?;
    Some(Timestamp::from_micros(i64::try_from(since.as_micros()).ok()?))
}

impl Owner {
    /// Says in the file who has the lock; it only informs, so it is not synced.
    fn write(&self, file: &File) -> std::io::Result<()> {
        let owner = serde_json::to_string(self)?;
        // Blanks cover what a longer line left: to cut a file and write it anew costs the disk far more.
        file.write_all_at(format!("{owner:OWNER_BYTES$}\n").as_bytes(), 0)
    }

    /// Reads it, empty where nothing can be read.
    fn read(file: &mut File) -> Self {
        let mut text = String::new();
        // What cannot be read is as good as not written.
        let _ = file.rewind().and_then(|()| file.take(OWNER_READ_MAX).read_to_string(&mut text));
        // What follows the first line is left of a longer one.
        serde_json::from_str(text.lines().next().unwrap_or_default()).unwrap_or_default()
    }
}

/// Names the process that has the lock. One that has just begun may not have written its line yet: then nothing, or the line of the
/// one before it that has ended, is in the file, and it is read again for a moment.
fn held(folder: &Path, file: &mut File) -> StorageError {
    let mut owner = Owner::read(file);
    for _ in 0..OWNER_READS_MAX {
        if Path::new(&format!("/proc/{}", owner.pid)).exists() {
            break;
        }
        std::thread::sleep(OWNER_READ_PAUSE);
        owner = Owner::read(file);
    }
    let Owner { pid, command, since, socket } = owner;
    let command = if command.is_empty() { command_line(pid) } else { escape_line(&command).into_owned() };
    StorageError::Held { path: folder.to_owned(), pid, command, since, socket }
}

/// Returns the command line of a process as the system knows it, escaped and bounded; empty if it cannot be read.
pub(crate) fn command_line(pid: u32) -> String {
    let bytes = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes).trim_end_matches('\0').replace('\0', " ");
    escape_line(&truncate(&text, COMMAND_BYTES_MAX)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_the_process_that_has_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::acquire(folder.path(), "first owner", Duration::ZERO).unwrap();
        let told = || match FolderLock::acquire(folder.path(), "second", Duration::from_millis(5)).unwrap_err() {
            StorageError::Held { pid, command, since, socket, .. } => {
                assert_eq!((pid, command.as_str()), (std::process::id(), "first owner"));
                assert!(since.is_some());
                socket
            }
            other => panic!("{other}"),
        };
        assert_eq!(told(), None);
        lock.answers_at(Path::new("/run/a socket"));
        assert_eq!(told().as_deref(), Some(Path::new("/run/a socket")));
        drop(lock);
        FolderLock::acquire(folder.path(), "third", Duration::ZERO).unwrap();
    }

    #[test]
    fn waits_for_a_process_that_ends_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let lock = FolderLock::acquire(folder.path(), "first", Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| FolderLock::acquire(folder.path(), "second", Duration::from_secs(60)));
            drop(lock);
            second.join().unwrap().unwrap();
        });
    }

    #[test]
    fn the_lock_of_a_folder_that_was_moved_away_is_not_that_of_the_new_one() {
        let parent = tempfile::tempdir().unwrap();
        let (folder, aside) = (parent.path().join("data"), parent.path().join("aside"));
        std::fs::create_dir(&folder).unwrap();
        let lock = FolderLock::acquire(&folder, "first", Duration::ZERO).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| {
                loop {
                    match FolderLock::acquire(&folder, "second", Duration::from_secs(60)) {
                        // It began at the moment at which neither folder was there.
                        Err(StorageError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
                        acquired => return acquired.unwrap(),
                    }
                }
            });
            std::fs::rename(&folder, &aside).unwrap();
            std::fs::create_dir(&folder).unwrap();
            drop(lock);
            let _second = second.join().unwrap();
            FolderLock::acquire(&folder, "third", Duration::ZERO).unwrap_err();
            FolderLock::acquire(&aside, "fourth", Duration::ZERO).unwrap();
        });
    }

    #[test]
    fn knows_its_own_command_line() {
        assert!(!command_line(std::process::id()).is_empty());
        assert_eq!(command_line(u32::MAX), "");
    }
}
