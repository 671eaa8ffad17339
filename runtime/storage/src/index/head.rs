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
    /// Opens the file, and returns what it says if that can be read.
    pub(super) fn open(folder: &Path) -> Result<(Self, Option<Mark>), StorageError> {
        let path = folder.join("head");
        let said = files::read_if_there(&path)?;
        let file = File::options().create(true).truncate(false).write(true).mode(0o600).open(&path);
        Ok((Self(file.map_err(files::at(&path))?), said.and_then(|bytes| parse(&bytes))))
    }

    /// Writes the mark. A failure costs no more than the notice that it is there for.
    pub(super) fn write(&self, mark: &Mark) {
        let _ = self.0.write_all_at(format!("{:020} {:64}\n", mark.seq, mark.hash).as_bytes(), 0);
    }
}

fn parse(bytes: &[u8]) -> Option<Mark> {
    let (seq, hash) = std::str::from_utf8(bytes).ok()?.strip_suffix('\n')?.split_once(' ')?;
    Some(Mark { seq: seq.parse().ok()?, hash: hash.trim().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_was_written_last_and_nothing_when_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let (head, said) = HeadFile::open(folder.path()).unwrap();
        assert_eq!(said, None);
        let mark = Mark { seq: 12, hash: "ab".repeat(32) };
        head.write(&Mark { seq: 1_000_000, hash: "cd".repeat(32) });
        head.write(&mark);
        assert_eq!(HeadFile::open(folder.path()).unwrap().1, Some(mark));
        std::fs::write(folder.path().join("head"), "12 ab").unwrap();
        assert_eq!(HeadFile::open(folder.path()).unwrap().1, None);
    }
}
