//! How far the index was told of the journal, in a small file: sled may be behind, and a journal that lost its last records
//! must still be noticed.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;

use domain::ports::StorageError;

use super::sled::Mark;
use crate::files;

/// The file `head`: one line of fixed length, written in place and never synced.
pub(super) struct HeadFile(File);

impl HeadFile {
    /// Opens the file for writing.
    pub(super) fn open(folder: &Path) -> Result<Self, StorageError> {
        let path = folder.join("head");
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
        Ok(Self(file.map_err(files::at(&path))?))
    }

    /// Returns what the file says, if it is there and can be read.
    pub(super) fn read(folder: &Path) -> Result<Option<Mark>, StorageError> {
        Ok(files::read_if_there(&folder.join("head"))?.and_then(|bytes| parse(&bytes)))
    }

    /// Writes the mark. A failure costs no more than the notice that it is there for.
    pub(super) fn write(&self, mark: &Mark) {
        let said = format!("{:020} {:64}", mark.seq, mark.hash);
        let line = format!("{said} {:08x}\n", crc32c::crc32c(said.as_bytes()));
        let _ = self.0.write_all_at(line.as_bytes(), 0);
    }
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let (said, checksum) = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.rsplit_once(' ')?;
    if u32::from_str_radix(checksum, 16).ok()? != crc32c::crc32c(said.as_bytes()) {
        return None;
    }
    let (seq, hash) = said.split_once(' ')?;
    Some(Mark { seq: seq.parse().ok()?, hash: hash.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_written_last_and_nothing_when_damaged() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(HeadFile::read(folder.path()).unwrap(), None);
        let head = HeadFile::open(folder.path()).unwrap();
        assert_eq!(HeadFile::read(folder.path()).unwrap(), None);
        let mark = Mark { seq: 12, hash: "ab".repeat(32) };
        head.write(&Mark { seq: 1_000_000, hash: "cd".repeat(32) });
        head.write(&mark);
        assert_eq!(HeadFile::read(folder.path()).unwrap(), Some(mark));
        let whole = std::fs::read(folder.path().join("head")).unwrap();
        for at in 0..whole.len() {
            let mut damaged = whole.clone();
            damaged[at] ^= 1;
            std::fs::write(folder.path().join("head"), damaged).unwrap();
            assert_eq!(HeadFile::read(folder.path()).unwrap(), None, "byte {at}");
        }
    }
}
