//! Snapshots as files: lines with checksums between a header and a last line that covers all bytes before it.

use std::path::PathBuf;

use domain::Timestamp;
use domain::ports::StorageError;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::JournalFolder;
use super::disk::{DiskFile, partial};
use super::line::{LineError, broken, seal};
use super::read::{Lines, refuse};
use crate::files;

/// Format of snapshots; a reader refuses those of a later one.
const FORMAT: u32 = 1;

/// How much is gathered before it is written, in bytes.
const WRITE_BYTES: usize = 1 << 16;

/// Begins the last line, and no other.
const LAST: &[u8] = b"{\"lines\":";

/// The first line of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotHeader {
    format: u32,
    /// Always `snapshot`.
    kind: String,
    /// The last record that is in the state.
    pub(crate) seq: u64,
    /// Digest of that record's line.
    pub(crate) hash: String,
    /// When it was taken.
    pub(crate) at: Timestamp,
    /// How many entries follow.
    pub(crate) entries: u64,
}

impl SnapshotHeader {
    /// Makes the header of a snapshot at the record `seq`, whose line has the digest `hash`.
    pub(crate) fn new(seq: u64, hash: String, at: Timestamp, entries: u64) -> Self {
        Self { format: FORMAT, kind: "snapshot".to_owned(), seq, hash, at, entries }
    }
}

/// The last line of a snapshot.
#[derive(Serialize, Deserialize)]
struct LastLine {
    /// How many lines are before this one.
    lines: u64,
    /// Digest of all bytes before this line.
    sha256: String,
}

/// A snapshot that is being written: nobody takes it for one before [`SnapshotWriter::finish`].
pub(crate) struct SnapshotWriter {
    folder: JournalFolder,
    path: PathBuf,
    file: Box<dyn DiskFile>,
    digest: Sha256,
    gathered: Vec<u8>,
    lines: u64,
    bytes: u64,
}

impl SnapshotWriter {
    /// Begins a snapshot with its header.
    pub(crate) fn begin(folder: &JournalFolder, header: &SnapshotHeader) -> Result<Self, StorageError> {
        let path = folder.snapshot(header.seq);
        let file = folder.disk().create(&partial(&path)).map_err(files::at(&path))?;
        let (folder, digest) = (folder.clone(), Sha256::new());
        let mut writer = Self { folder, path, file, digest, gathered: Vec::new(), lines: 0, bytes: 0 };
        writer.line(header)?;
        Ok(writer)
    }

    /// Writes a line.
    pub(crate) fn line<T: Serialize>(&mut self, line: &T) -> Result<(), StorageError> {
        let json = serde_json::to_vec(line).map_err(|error| StorageError::io(&self.path, error.into()))?;
        self.gathered.extend(seal(json));
        self.gathered.push(b'\n');
        self.lines += 1;
        if self.gathered.len() >= WRITE_BYTES { self.write() } else { Ok(()) }
    }

    fn write(&mut self) -> Result<(), StorageError> {
        self.digest.update(&self.gathered);
        self.bytes += self.gathered.len() as u64;
        self.file.write(&self.gathered).map_err(files::at(&self.path))?;
        self.gathered.clear();
        Ok(())
    }

    /// Writes the last line, and returns the snapshot's length once it is there for good.
    pub(crate) fn finish(mut self) -> Result<u64, StorageError> {
        self.write()?;
        let sha256 = domain::Digest::from_bytes(self.digest.clone().finalize().into()).to_hex();
        self.line(&LastLine { lines: self.lines, sha256 })?;
        self.write()?;
        let disk = self.folder.disk();
        let named = self.file.sync().and_then(|()| disk.rename(&partial(&self.path), &self.path));
        named.and_then(|()| disk.sync_folder(self.folder.path())).map_err(files::at(&self.path))?;
        Ok(self.bytes)
    }
}

/// Takes a line and its place.
pub(crate) type TakeLine<'a> = dyn FnMut(u64, &[u8]) -> Result<(), StorageError> + 'a;

/// Reads the snapshot at record `seq` and hands every line between the first and the last to `take`, in order.
///
/// Each line's checksum is right when it is handed over; whether the snapshot is whole is only known at the end.
///
/// # Errors
/// [`StorageError::Damaged`] with file and offset, [`StorageError::NewerFormat`], and the errors of `take`.
pub(crate) fn read_snapshot(
    folder: &JournalFolder,
    seq: u64,
    take: &mut TakeLine<'_>,
) -> Result<SnapshotHeader, StorageError> {
    let path = folder.snapshot(seq);
    let mut lines = Lines::open(folder, path.clone())?;
    let Some((_, first)) = lines.next()? else {
        return Err(refuse(&path, 0, broken("the snapshot is empty")));
    };
    let header = read_header(first, seq).map_err(|error| refuse(&path, 0, error))?;
    let mut digest = Sha256::new();
    digest.update(first);
    digest.update(b"\n");
    let mut read = 1;
    while let Some((offset, line)) = lines.next()? {
        if !line.starts_with(LAST) {
            digest.update(line);
            digest.update(b"\n");
            read += 1;
            take(offset, line)?;
            continue;
        }
        let last: LastLine =
            serde_json::from_slice(line).map_err(|error| refuse(&path, offset, broken(error.to_string())))?;
        let sha256 = domain::Digest::from_bytes(digest.finalize().into()).to_hex();
        if last.lines != read || last.sha256 != sha256 || header.entries + 2 != read {
            return Err(refuse(&path, offset, broken("its lines are not those that its last line says")));
        }
        return match lines.next()? {
            None => Ok(header),
            Some((offset, _)) => Err(refuse(&path, offset, broken("it goes on after its last line"))),
        };
    }
    Err(refuse(&path, lines.offset(), broken("the snapshot has no last line")))
}

fn read_header(line: &[u8], seq: u64) -> Result<SnapshotHeader, LineError> {
    /// All that must stay the same in every later format.
    #[derive(Deserialize)]
    struct Format {
        format: u32,
    }
    let Format { format } = serde_json::from_slice(line).map_err(|error| broken(error.to_string()))?;
    if format > FORMAT {
        return Err(LineError::Newer { what: "snapshot", found: format, known: FORMAT });
    }
    let header: SnapshotHeader = serde_json::from_slice(line).map_err(|error| broken(error.to_string()))?;
    if header.seq != seq || header.kind != "snapshot" {
        return Err(broken(format!("the header says that it is the state at record {}", header.seq)));
    }
    Ok(header)
}
