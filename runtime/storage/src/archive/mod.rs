//! Archives that are written in one way only: plain tar, every byte of which follows from the names, sizes and bytes of its files.
//!
//! So a reader that knows what must come next compares instead of interpreting: a link, a path that leads out, a size that does
//! not fit or a flipped bit in any place is a difference. Files are in the order and of the sizes that the archive's first file, its
//! manifest, lists.

mod read;
pub(crate) mod sealed;
mod write;

use std::fs::File;
use std::path::Path;

use domain::ports::{BackupError, StorageError};

use crate::files;
pub(crate) use read::{Fault, Reader};
pub(crate) use write::Writer;

/// Opens the file in whose place an archive is to be written; `None` if there is none.
///
/// # Errors
/// [`BackupError::NotABackup`] of what is no plain file, and errors of the disk.
pub(crate) fn there(path: &Path) -> Result<Option<File>, BackupError> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StorageError::io(path, error).into()),
        Ok(there) if !there.is_file() => Err(wrong(path, "it is not a plain file")),
        Ok(_) => Ok(Some(File::open(path).map_err(files::at(path))?)),
    }
}

/// Makes the error for what an archive is not written over.
pub(crate) fn wrong(path: &Path, reason: &str) -> BackupError {
    BackupError::NotABackup { path: path.to_owned(), reason: reason.to_owned() }
}

/// Size of a tar block.
const BLOCK: u64 = 512;
/// An archive ends in two blocks of zeros.
const END_BYTES: usize = 2 * BLOCK as usize;

/// Makes the header of a regular file.
fn header(name: &str, size: u64, mtime: u64) -> std::io::Result<tar::Header> {
    let mut header = tar::Header::new_ustar();
    header.set_path(name)?;
    header.set_size(size);
    header.set_mode(0o600);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(mtime);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Ok(header)
}

/// Returns how many bytes fill the last block of a file of `size` bytes.
fn padding(size: u64) -> u64 {
    (BLOCK - size % BLOCK) % BLOCK
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn archive() -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), 77);
        writer.file("manifest.json", 5, &mut &b"first"[..]).unwrap();
        writer.file("a/b", 700, &mut &[7; 700][..]).unwrap();
        writer.file("empty", 0, &mut &b""[..]).unwrap();
        writer.finish().unwrap()
    }

    fn read(bytes: &[u8]) -> Result<(), Fault> {
        let mut reader = Reader::new(bytes);
        assert_eq!(reader.first("manifest.json", 100)?, b"first");
        for (name, size) in [("a/b", 700), ("empty", 0)] {
            let mut read = Vec::new();
            let mut file = reader.file(name, size)?;
            let _ = file.read_to_end(&mut read);
            // Whoever reads compares the digest.
            if read != vec![7; size as usize] {
                return Err(Fault::of(name, "other bytes"));
            }
            reader.end_file(name, size)?;
        }
        reader.finish()
    }

    #[test]
    fn reads_what_was_written_and_nothing_else() {
        let bytes = archive();
        assert_eq!(bytes.len() % 512, 0);
        read(&bytes).unwrap();
        assert_eq!(archive(), bytes, "always the same");
        for at in 0..bytes.len() {
            let mut changed = bytes.clone();
            changed[at] ^= 1 << (at % 8);
            let outcome = std::panic::catch_unwind(|| read(&changed));
            assert!(!matches!(outcome, Ok(Ok(()))), "a flipped bit at {at}");
        }
        for cut in 0..bytes.len() {
            let outcome = std::panic::catch_unwind(|| read(&bytes[..cut]));
            assert!(!matches!(outcome, Ok(Ok(()))), "cut at {cut}");
        }
        let mut longer = bytes.clone();
        longer.push(0);
        read(&longer).unwrap_err();
    }

    #[test]
    fn other_programs_can_read_it() {
        let bytes = archive();
        let mut archive = tar::Archive::new(&bytes[..]);
        let names: Vec<_> =
            archive.entries().unwrap().map(|entry| entry.unwrap().path().unwrap().display().to_string()).collect();
        assert_eq!(names, ["manifest.json", "a/b", "empty"]);
    }

    #[test]
    fn what_is_not_a_plain_file_is_refused_by_its_place() {
        for kind in
            [tar::EntryType::Symlink, tar::EntryType::Link, tar::EntryType::Directory, tar::EntryType::GNUSparse]
        {
            let mut writer = Writer::new(Vec::new(), 77);
            writer.file("manifest.json", 5, &mut &b"first"[..]).unwrap();
            let mut bytes = writer.finish().unwrap();
            bytes.truncate(bytes.len() - END_BYTES);
            let mut header = header("a/b", 700, 77).unwrap();
            header.set_entry_type(kind);
            header.set_cksum();
            bytes.extend(header.as_bytes());
            bytes.extend([7; 2_048]);
            let fault = read(&bytes).unwrap_err();
            assert_eq!(fault.place, "a/b");
        }
    }

    #[test]
    fn a_first_file_of_any_size_takes_no_more_memory_than_it_may() {
        let mut bytes = header("manifest.json", u64::MAX >> 2, 77).unwrap().as_bytes().to_vec();
        bytes.extend([b'x'; 4_096]);
        let fault = Reader::new(&bytes[..]).first("manifest.json", 100).unwrap_err();
        assert!(fault.reason.contains("may have"), "{}", fault.reason);
    }
}
