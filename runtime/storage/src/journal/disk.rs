//! What the journal does to files, behind a trait: on the system's disk, and in tests on one that loses what was not synced.

use std::fs::{File, OpenOptions};
use std::io::{Read, Result, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::fail;

/// Files as the journal needs them.
pub(crate) trait Disk: Send + Sync {
    /// Returns the names of the files in a folder.
    fn names(&self, folder: &Path) -> Result<Vec<String>>;

    /// Opens a file for reading from its beginning.
    fn read(&self, path: &Path) -> Result<Box<dyn Read + Send>>;

    /// Returns a file's length in bytes.
    fn len(&self, path: &Path) -> Result<u64>;

    /// Opens a file that is there for writing at its end.
    fn append(&self, path: &Path) -> Result<Box<dyn DiskFile>>;

    /// Makes an empty file, in place of one that is there.
    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>>;

    /// Gives a file another name, in place of a file that has it.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> Result<()>;

    /// Makes the names in a folder durable.
    fn sync_folder(&self, folder: &Path) -> Result<()>;
}

/// A file that is written at its end.
pub(crate) trait DiskFile: Send {
    /// Writes all of `bytes` at the end.
    fn write(&mut self, bytes: &[u8]) -> Result<()>;

    /// Makes durable what was written, and the file's length.
    fn sync(&mut self) -> Result<()>;

    /// Cuts the file.
    fn cut(&mut self, len: u64) -> Result<()>;
}

/// Puts `bytes` in place of the file at `path`, in one step and durably.
pub(crate) fn replace(disk: &dyn Disk, path: &Path, bytes: &[u8]) -> Result<()> {
    let partial = partial(path);
    let mut file = disk.create(&partial)?;
    let written = file.write(bytes).and_then(|()| file.sync()).and_then(|()| disk.rename(&partial, path));
    if let Err(error) = written {
        // The first error is the one to report.
        let _ = disk.remove(&partial);
        return Err(error);
    }
    match path.parent() {
        Some(folder) => disk.sync_folder(folder),
        None => Ok(()),
    }
}

/// Returns the name of a file until it is whole. The folder's lock sees to it that only one is being written.
pub(crate) fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

/// The system's disk.
pub(crate) struct SystemDisk;

impl Disk for SystemDisk {
    fn names(&self, folder: &Path) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for file in std::fs::read_dir(folder)? {
            names.extend(file?.file_name().into_string());
        }
        Ok(names)
    }

    fn read(&self, path: &Path) -> Result<Box<dyn Read + Send>> {
        Ok(Box::new(File::open(path)?))
    }

    fn len(&self, path: &Path) -> Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    fn append(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().append(true).open(path)?;
        Ok(Box::new(SystemFile { file, path: path.to_owned() }))
    }

    fn create(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        fail::point("before create", path);
        let file = OpenOptions::new().create(true).write(true).truncate(true).mode(0o600).open(path)?;
        fail::point("after create", path);
        Ok(Box::new(SystemFile { file, path: path.to_owned() }))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fail::point("before rename", to);
        std::fs::rename(from, to)?;
        fail::point("after rename", to);
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        fail::point("before remove", path);
        std::fs::remove_file(path)?;
        fail::point("after remove", path);
        Ok(())
    }

    fn sync_folder(&self, folder: &Path) -> Result<()> {
        fail::point("before sync folder", folder);
        File::open(folder)?.sync_all()?;
        fail::point("after sync folder", folder);
        Ok(())
    }
}

struct SystemFile {
    file: File,
    path: PathBuf,
}

impl DiskFile for SystemFile {
    fn write(&mut self, bytes: &[u8]) -> Result<()> {
        fail::point("before write", &self.path);
        self.file.write_all(bytes)?;
        fail::point("after write", &self.path);
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        fail::point("before sync", &self.path);
        self.file.sync_data()?;
        fail::point("after sync", &self.path);
        Ok(())
    }

    fn cut(&mut self, len: u64) -> Result<()> {
        fail::point("before cut", &self.path);
        self.file.set_len(len)?;
        fail::point("after cut", &self.path);
        Ok(())
    }
}
