//! What goes into a backup: everything up to one sequence number.

use std::fs::File;
use std::io::{BufRead, BufReader, ErrorKind, Seek};
use std::path::{Path, PathBuf};

use domain::Digest;
use domain::ports::{BackupError, Stop, StorageError};
use serde::Deserialize;
use sha2::Digest as _;

use super::copy::digest_of;
use super::manifest::Listed;
use super::names;
use crate::blobs::FileBlobs;
use crate::files;
use crate::journal;
use crate::upkeep::{Kind, kind_of, shelves};

/// How often the journal is looked at again when its files changed meanwhile.
const LOOKS_MAX: usize = 100;

/// The files of a backup that is about to be made.
pub(super) struct Contents {
    /// Sequence number of the last record in it.
    pub(super) seq: u64,
    /// Digest of that record's line.
    pub(super) hash: String,
    /// The files, ordered by path.
    pub(super) files: Vec<Item>,
}

/// One file, and where its bytes are.
pub(super) struct Item {
    pub(super) listed: Listed,
    pub(super) origin: Origin,
}

/// Where the bytes of a file are.
pub(super) enum Origin {
    /// In memory.
    Bytes(Vec<u8>),
    /// At the beginning of an open file, which may be longer or have no name any more.
    Open(File, PathBuf),
    /// In a file that does not change.
    Closed(PathBuf),
}

impl Contents {
    /// Returns the size of all files in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.listed.size).sum()
    }

    pub(super) fn listed(&self) -> Vec<Listed> {
        self.files.iter().map(|file| file.listed.clone()).collect()
    }
}

/// Finds out what a backup of `folder` has; `last_seq` returns the sequence number up to which records are durable now.
pub(super) fn gather(
    folder: &Path,
    blobs: &FileBlobs,
    last_seq: &dyn Fn() -> u64,
    stop: &Stop,
) -> Result<Contents, BackupError> {
    let journal = journal_now(&folder.join("journal"), last_seq, stop)?;
    let (seq, hash) = (journal.seq, journal.hash);
    let mut items = journal.items;
    // Blobs come before the records that name them, so all that these records name are here by now.
    for shelf in shelves(blobs)? {
        for file in files::list(&shelf)? {
            let Kind::Blob(digest) = kind_of(&file) else { continue };
            let listed = Listed { path: names::blob_path(&digest), size: file.bytes, digest };
            items.push(Item { listed, origin: Origin::Closed(file.path) });
        }
    }
    for name in names::WRITTEN_BY_PEOPLE {
        if let Some(bytes) = files::read_if_there(&folder.join(name))? {
            let listed = Listed { path: name.to_owned(), size: bytes.len() as u64, digest: Digest::of(&bytes) };
            items.push(Item { listed, origin: Origin::Bytes(bytes) });
        }
    }
    items.sort_by(|a, b| a.listed.path.cmp(&b.listed.path));
    Ok(Contents { seq, hash, files: items })
}

/// The journal up to a sequence number.
struct JournalPart {
    seq: u64,
    hash: String,
    items: Vec<Item>,
}

/// Opens the files of the journal so that they fit together, although segments may be put together in a snapshot meanwhile.
fn journal_now(folder: &Path, last_seq: &dyn Fn() -> u64, stop: &Stop) -> Result<JournalPart, StorageError> {
    for _ in 0..LOOKS_MAX {
        let seq = last_seq();
        let before = names_in(folder)?;
        let Some(opened) = open_all(folder, &before)? else { continue };
        let after = names_in(folder)?;
        // A new segment is of no account; a file that is gone, or a new snapshot, means that all were put together anew.
        let is_segment = |name: &String| name.ends_with(".jsonl");
        let fits = before.iter().all(|name| after.contains(name))
            && after.iter().all(|name| before.contains(name) || is_segment(name))
            && before.iter().all(|name| is_segment(name) || number(name) <= seq);
        if fits {
            return up_to(folder, opened, seq, stop);
        }
        std::thread::yield_now();
    }
    Err(StorageError::Io { path: folder.to_owned(), source: ErrorKind::ResourceBusy.into() })
}

fn number(name: &str) -> u64 {
    name.split('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(u64::MAX)
}

/// Returns the names of segments and snapshots, ordered.
fn names_in(folder: &Path) -> Result<Vec<String>, StorageError> {
    let found = files::list(folder)?.into_iter().map(|file| file.name().to_owned());
    Ok(found.filter(|name| names::kind_of(&format!("journal/{name}")).is_some()).collect())
}

/// Opens files; `None` if one is gone.
fn open_all(folder: &Path, names: &[String]) -> Result<Option<Vec<(String, File)>>, StorageError> {
    let mut opened = Vec::new();
    for name in names {
        let path = folder.join(name);
        match File::open(&path) {
            Ok(file) => opened.push((name.clone(), file)),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(StorageError::io(path, error)),
        }
    }
    Ok(Some(opened))
}

/// Takes the files whole, but for the last segment that is needed, which is cut after the record `seq`.
fn up_to(folder: &Path, opened: Vec<(String, File)>, seq: u64, stop: &Stop) -> Result<JournalPart, StorageError> {
    let needed = |name: &String| !name.ends_with(".jsonl") || number(name) <= seq.saturating_add(1);
    let last = opened.iter().map(|(name, _)| name).filter(|name| name.ends_with(".jsonl") && needed(name)).max();
    let last = last.cloned();
    let mut part = JournalPart { seq, hash: journal::Head::start().hash, items: Vec::new() };
    for (name, mut file) in opened.into_iter().filter(|(name, _)| needed(name)) {
        stop.check()?;
        let path = folder.join(&name);
        let (size, digest) = if Some(&name) == last.as_ref() {
            let cut = cut(&mut file, &path, seq)?;
            part.hash = cut.hash;
            (cut.size, cut.digest)
        } else {
            let size = file.metadata().map_err(files::at(&path))?.len();
            let digest = digest_of(&mut file, size).map_err(files::at(&path))?;
            (size, digest.ok_or_else(|| shorter(&path, size))?)
        };
        file.rewind().map_err(files::at(&path))?;
        let listed = Listed { path: format!("journal/{name}"), size, digest };
        part.items.push(Item { listed, origin: Origin::Open(file, path) });
    }
    Ok(part)
}

fn shorter(path: &Path, offset: u64) -> StorageError {
    StorageError::Damaged { path: path.to_owned(), offset, reason: "the file has become shorter".to_owned() }
}

/// Where a segment is cut.
pub(super) struct Cut {
    /// Its size up to there.
    pub(super) size: u64,
    /// Digest of its bytes up to there.
    digest: Digest,
    /// Digest of the last record's line.
    pub(super) hash: String,
}

/// What is read of a line: a header has `prev` alone.
#[derive(Deserialize)]
struct Line {
    seq: Option<u64>,
    prev: String,
}

/// Finds the end of record `seq` in a segment; of a segment that begins after it, the end of the header.
pub(super) fn cut(file: &mut File, path: &Path, seq: u64) -> Result<Cut, StorageError> {
    let mut reader = BufReader::with_capacity(64 << 10, file);
    let mut hasher = sha2::Sha256::new();
    let mut line = Vec::new();
    let mut size = 0;
    loop {
        line.clear();
        let damaged = |reason: &str| {
            let reason = reason.to_owned();
            StorageError::Damaged { path: path.to_owned(), offset: size, reason }
        };
        reader.read_until(b'\n', &mut line).map_err(files::at(path))?;
        let Some(text) = line.strip_suffix(b"\n") else {
            return Err(damaged(&format!("record {seq} is missing")));
        };
        let read: Line = serde_json::from_slice(text).map_err(|_| damaged("the line is no record"))?;
        hasher.update(&line);
        size += line.len() as u64;
        let found = read.seq == Some(seq);
        let is_header = read.seq.is_none();
        let follows = is_header && number_of(path) == seq.saturating_add(1);
        if found || follows {
            let digest = Digest::from_bytes(hasher.finalize().into());
            // A segment that has no record yet says in its header what the last one was.
            let hash = if is_header { read.prev } else { Digest::of(text).to_hex() };
            return Ok(Cut { size, digest, hash });
        }
    }
}

fn number_of(path: &Path) -> u64 {
    path.file_name().and_then(|name| name.to_str()).map_or(u64::MAX, number)
}
