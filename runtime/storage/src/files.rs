//! Files and folders that only their owner can read, replaced so that a crash leaves the old or the new one.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use domain::ports::StorageError;
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::fail;

/// Ends the names of files that are still being written.
pub(crate) const PARTIAL: &str = ".partial";

/// Most unfinished files of the same name that are passed by.
const PARTIAL_TRIES_MAX: u32 = 10_000;

/// Turns a system's error into one that names `path`.
pub(crate) fn at(path: &Path) -> impl FnOnce(std::io::Error) -> StorageError + '_ {
    move |source| StorageError::io(path, source)
}

/// Makes `path` and its missing parents, all with mode 0700.
pub(crate) fn create_folder(path: &Path) -> Result<(), StorageError> {
    match DirBuilder::new().recursive(true).mode(0o700).create(path) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            Err(StorageError::NotAFolder { path: path.to_owned() })
        }
        // The parents are there or were made: a place such as /proc takes no folders, or not one of this name.
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidFilename) => {
            let reason = format!("no folder can be made there: {error}");
            Err(StorageError::Denied { path: path.to_owned(), source: std::io::Error::new(error.kind(), reason) })
        }
        Err(error) => Err(StorageError::io(path, error)),
    }
}

/// Makes the names in a folder durable.
pub(crate) fn sync_folder(path: &Path) -> Result<(), StorageError> {
    File::open(path).and_then(|folder| folder.sync_all()).map_err(at(path))
}

/// Returns the text of a file, `None` if there is no such file.
pub(crate) fn read_if_there(path: &Path) -> Result<Option<Vec<u8>>, StorageError> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io(path, error)),
    }
}

/// What is known of one file of a folder.
pub(crate) struct Found {
    /// The file.
    pub(crate) path: PathBuf,
    /// Whether it is a folder; a link counts as what it is, a link.
    pub(crate) is_folder: bool,
    /// Its size in bytes.
    pub(crate) bytes: u64,
    /// When it was written last, the epoch if the system does not say.
    pub(crate) modified: SystemTime,
}

impl Found {
    /// Returns the last part of the path, empty if it is no text.
    pub(crate) fn name(&self) -> &str {
        self.path.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }
}

/// Returns what is in a folder, ordered by name; nothing if there is no such folder. Files that go meanwhile are left out.
pub(crate) fn list(folder: &Path) -> Result<Vec<Found>, StorageError> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(StorageError::io(folder, error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(at(folder))?;
        let metadata = match entry.metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            Err(error) => return Err(StorageError::io(entry.path(), error)),
        };
        let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        found.push(Found { path: entry.path(), is_folder: metadata.is_dir(), bytes: metadata.len(), modified });
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

/// Removes a file; that it is not there is no error.
pub(crate) fn remove_if_there(path: &Path) -> Result<(), StorageError> {
    fail::point("before remove", path);
    match std::fs::remove_file(path) {
        Ok(()) => {
            fail::point("after remove", path);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(StorageError::io(path, error)),
    }
}

/// Whether a replaced file has to survive a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// Synced before and after the rename.
    Power,
    /// Whole or absent after the end of the process; may be lost in a power cut.
    Process,
}

/// Puts `bytes` in place of the file at `path`, in one step. The file's folder must exist.
///
/// A failure leaves the old file as it was and no partial one.
pub(crate) fn replace(path: &Path, bytes: &[u8], durability: Durability) -> Result<(), StorageError> {
    fail::point("before replace", path);
    let (partial, file) = create_partial(path)?;
    let written = write_all(file, &partial, bytes, durability).and_then(|()| {
        fail::point("before rename", path);
        std::fs::rename(&partial, path).map_err(at(path))
    });
    fail::point("after rename", path);
    if let Err(error) = written {
        // The first error is the one to report; a partial file left behind is harmless.
        let _ = std::fs::remove_file(&partial);
        return Err(error);
    }
    if let (Durability::Power, Some(folder)) = (durability, path.parent()) {
        sync_folder(folder)?;
    }
    fail::point("after replace", path);
    Ok(())
}

fn write_all(mut file: File, path: &Path, bytes: &[u8], durability: Durability) -> Result<(), StorageError> {
    let (half, rest) = bytes.split_at(bytes.len() / 2);
    file.write_all(half).map_err(at(path))?;
    fail::point("half written", path);
    file.write_all(rest).map_err(at(path))?;
    match durability {
        Durability::Power => file.sync_all().map_err(at(path)),
        Durability::Process => Ok(()),
    }
}

/// Puts what `write` makes in place of the file at `path`, in one step and durably. `write` hears the name of the partial file for
/// its errors, and returns the file that it was given.
///
/// A failure leaves the old file as it was and no partial one; those that killed processes left of the same file are removed first.
/// The folder need not be one that only one process writes to.
pub(crate) fn replace_with<T, E: From<StorageError>>(
    path: &Path,
    write: impl FnOnce(&Path, File) -> Result<(T, File), E>,
) -> Result<T, E> {
    fail::point("before replace", path);
    remove_left_partials(path);
    let (partial, file) = create_locked_partial(path)?;
    fail::point("partial made", path);
    let written = write(&partial, file).and_then(|(made, file)| {
        fail::point("before sync", path);
        file.sync_all().map_err(at(&partial))?;
        fail::point("before rename", path);
        std::fs::rename(&partial, path).map_err(at(path))?;
        Ok(made)
    });
    match written {
        Ok(made) => {
            fail::point("after rename", path);
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            sync_folder(folder.unwrap_or(Path::new(".")))?;
            Ok(made)
        }
        Err(error) => {
            // The first error is the one to report; a partial file left behind is harmless.
            let _ = std::fs::remove_file(&partial);
            Err(error)
        }
    }
}

/// Puts `new` in the place of `folder` and returns where that is now.
pub(crate) fn exchange(new: &Path, folder: &Path) -> Result<PathBuf, StorageError> {
    match renameat_with(CWD, new, CWD, folder, RenameFlags::EXCHANGE) {
        Ok(()) => return Ok(new.to_owned()),
        // Not every file system can do it.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS | rustix::io::Errno::OPNOTSUPP) => {}
        Err(error) => return Err(StorageError::io(folder, error.into())),
    }
    let mut old = new.as_os_str().to_owned();
    old.push("-old");
    let old = PathBuf::from(old);
    std::fs::rename(folder, &old).map_err(at(folder))?;
    if let Err(error) = std::fs::rename(new, folder) {
        // Back to how it was; if even that fails, the error names the folder, and the old one is beside it.
        let _ = std::fs::rename(&old, folder);
        return Err(StorageError::io(folder, error));
    }
    Ok(old)
}

/// Removes the partial files of `path` that nobody writes to. What cannot be removed is in nobody's way.
fn remove_left_partials(path: &Path) {
    let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let is_ours = |found: &std::ffi::OsStr| {
        let rest = found.as_encoded_bytes().strip_prefix(name.as_encoded_bytes());
        let rest = rest.and_then(|rest| rest.strip_prefix(b".")?.strip_suffix(PARTIAL.as_bytes()));
        let mut numbers = rest.unwrap_or_default().split(|byte| *byte == b'-');
        let is_number = |part: Option<&[u8]>| part.is_some_and(|p| !p.is_empty() && p.iter().all(u8::is_ascii_digit));
        is_number(numbers.next()) && is_number(numbers.next()) && numbers.next().is_none()
    };
    for found in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_file = found.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && is_ours(&found.file_name()) && File::open(found.path()).is_ok_and(|file| lock_now(&file)) {
            let _ = std::fs::remove_file(found.path());
        }
    }
}

/// Locks a file, and tells whether nobody else has: a process that ends lets go of it.
fn lock_now(file: &File) -> bool {
    rustix::fs::flock(file, rustix::fs::FlockOperation::NonBlockingLockExclusive).is_ok()
}

/// As [`create_partial`], with a lock that says that it is being written.
fn create_locked_partial(path: &Path) -> Result<(PathBuf, File), StorageError> {
    for _ in 0..PARTIAL_TRIES_MAX {
        let (partial, file) = create_partial(path)?;
        // Between the two steps somebody may have taken it for one that was left behind. Where there are no locks, nobody does.
        if !lock_now(&file) || file.metadata().map_err(at(&partial))?.nlink() > 0 {
            return Ok((partial, file));
        }
    }
    Err(StorageError::io(path, ErrorKind::ResourceBusy.into()))
}

/// Makes a file in the same folder that nobody else writes to.
///
/// A process that was killed may have left one of the same name behind: in a container, every process has the same number.
pub(crate) fn create_partial(path: &Path) -> Result<(PathBuf, File), StorageError> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let mut tries = 0;
    loop {
        let mut name = path.as_os_str().to_owned();
        name.push(format!(".{}-{}{PARTIAL}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
        let partial = PathBuf::from(name);
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&partial) {
            Ok(file) => return Ok((partial, file)),
            Err(error) if error.kind() == ErrorKind::AlreadyExists && tries < PARTIAL_TRIES_MAX => tries += 1,
            Err(error) => return Err(StorageError::io(&partial, error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partial_files_that_somebody_writes_to_and_those_of_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("all.tar");
        let name = |name: &str| folder.path().join(name);
        let (written_to, _file) = create_locked_partial(&path).unwrap();
        let others = [
            "all.tar.partial",
            "all.tar.notes.partial",
            "all.tar.1-x.partial",
            "b.tar.1-0.partial",
            "x.all.tar.1-0.partial",
        ];
        for stray in others.into_iter().chain(["all.tar.1-0.partial", "all.tar.77-8.partial"]) {
            std::fs::write(name(stray), b"half").unwrap();
        }
        replace_with::<_, StorageError>(&path, |_, file| Ok(((), file))).unwrap();
        assert!(path.exists() && written_to.exists());
        assert!(others.iter().all(|other| name(other).exists()));
        assert!(!name("all.tar.1-0.partial").exists() && !name("all.tar.77-8.partial").exists());
    }

    #[test]
    fn files_that_a_killed_process_of_the_same_number_left_are_in_nobodys_way() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("registry.toml");
        let (first, _) = create_partial(&path).unwrap();
        let (_, count) = first.to_str().unwrap().strip_suffix(PARTIAL).unwrap().rsplit_once('-').unwrap();
        // Other tests of this process count on meanwhile: enough are left to meet.
        let count: u64 = count.parse().unwrap();
        let strays: Vec<_> = (count + 1..count + 800)
            .map(|next| folder.path().join(format!("registry.toml.{}-{next}{PARTIAL}", std::process::id())))
            .collect();
        strays.iter().for_each(|stray| std::fs::write(stray, b"half").unwrap());
        replace(&path, b"a = 1", Durability::Power).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a = 1");
        assert!(strays.iter().all(|stray| std::fs::read(stray).unwrap() == b"half"), "what is not ours is not touched");
    }
}
