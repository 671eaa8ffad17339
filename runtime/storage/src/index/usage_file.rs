//! Counters of use that sled does not have yet: soft state, appended without a sync.

use std::fs::File;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use domain::ComponentId;
use domain::ports::StorageError;
use domain::usage::Usage;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::journal::{CHECKSUM_FIELD, is_intact, seal};

/// Longest file, in bytes; beyond it sled gets what it holds.
const BYTES_MAX: u64 = 64 << 10;

/// What was added to the counters at one time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct UsageLine {
    /// The journal's last record then: a component that was unregistered later takes its counters along.
    pub(crate) seq: u64,
    /// What was added.
    pub(crate) usage: Vec<(ComponentId, Usage)>,
}

/// The file `usage-N.jsonl`. Sled's rows name the N that belongs to them, so nothing is ever added twice.
pub(super) struct UsageFile {
    folder: PathBuf,
    generation: u64,
    /// Open from the first line on.
    file: Option<File>,
    bytes: u64,
}

impl UsageFile {
    /// Reads the lines that belong to `generation`, but for the first `known` bytes. A last line that is not whole is left out.
    pub(super) fn open(folder: &Path, generation: u64, known: u64) -> Result<(Self, Vec<UsageLine>), StorageError> {
        let bytes = files::read_if_there(&path(folder, generation))?.unwrap_or_default();
        let known = bytes.len().min(usize::try_from(known).unwrap_or(usize::MAX));
        let (mut lines, mut whole) = (Vec::new(), known as u64);
        for line in bytes
            .get(known..)
            .unwrap_or_default()
            .split_inclusive(|byte| *byte == b'\n')
            .filter(|line| line.ends_with(b"\n"))
        {
            let Some(read) = read_line(line) else { break };
            lines.push(read);
            whole += line.len() as u64;
        }
        let file = Self { folder: folder.to_owned(), generation, file: None, bytes: whole };
        file.remove_old()?;
        Ok((file, lines))
    }

    /// Returns how long the file is, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Tells whether there is room for another line.
    pub(super) fn has_room(&self) -> bool {
        self.bytes < BYTES_MAX
    }

    /// Appends a line.
    ///
    /// # Errors
    /// [`StorageError`] of the disk; nothing of the line counts then.
    pub(super) fn append(&mut self, line: &UsageLine) -> Result<(), StorageError> {
        let path = path(&self.folder, self.generation);
        let mut text = serde_json::to_vec(line).map_err(|error| StorageError::Index { reason: error.to_string() })?;
        text = seal(text);
        text.push(b'\n');
        let file = match &mut self.file {
            Some(file) => file,
            empty => {
                let opened = File::options().create(true).append(true).mode(0o600).open(&path);
                let opened = opened.map_err(files::at(&path))?;
                // What is not a whole line would hide the next one.
                opened.set_len(self.bytes).map_err(files::at(&path))?;
                empty.insert(opened)
            }
        };
        let before = self.bytes;
        if let Err(error) = file.write_all(&text) {
            // Half a line would hide those after it.
            let _ = file.set_len(before);
            return Err(files::at(&path)(error));
        }
        self.bytes += text.len() as u64;
        Ok(())
    }

    /// Begins the file of another generation, unless it is this one: sled has what is in the old one, though perhaps not safely.
    pub(super) fn turn(&mut self, generation: u64) {
        if self.generation != generation {
            (self.generation, self.file, self.bytes) = (generation, None, 0);
        }
    }

    /// Removes the file of the generation before; sled has what is in it.
    pub(super) fn remove_old(&self) -> Result<(), StorageError> {
        match self.generation.checked_sub(1) {
            Some(before) => files::remove_if_there(&path(&self.folder, before)),
            None => Ok(()),
        }
    }
}

/// Reads a line; `None` if it is damaged. Earlier versions wrote lines without a checksum.
fn read_line(line: &[u8]) -> Option<UsageLine> {
    let line = line.strip_suffix(b"\n")?;
    let has_checksum = line.windows(CHECKSUM_FIELD.len()).any(|window| window == CHECKSUM_FIELD);
    if has_checksum && !is_intact(line) {
        return None;
    }
    serde_json::from_slice(line).ok()
}

fn path(folder: &Path, generation: u64) -> PathBuf {
    folder.join(format!("usage-{generation}.jsonl"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(seq: u64) -> UsageLine {
        UsageLine { seq, usage: vec![("a:b".parse().unwrap(), Usage { calls: seq, ..Usage::default() })] }
    }

    #[test]
    fn keeps_whole_lines_of_its_generation() {
        let folder = tempfile::tempdir().unwrap();
        let (mut file, lines) = UsageFile::open(folder.path(), 3, 0).unwrap();
        assert_eq!(lines, []);
        file.append(&line(1)).unwrap();
        file.append(&line(2)).unwrap();
        assert_eq!(UsageFile::open(folder.path(), 3, 0).unwrap().1, [line(1), line(2)]);
        assert_eq!(UsageFile::open(folder.path(), 3, file.bytes() / 2).unwrap().1, [line(2)]);
        let name = path(folder.path(), 3);
        let whole = std::fs::read(&name).unwrap();
        std::fs::write(&name, whole.get(..whole.len() - 5).unwrap()).unwrap();
        let (mut file, lines) = UsageFile::open(folder.path(), 3, 0).unwrap();
        assert_eq!(lines, [line(1)]);
        file.append(&line(7)).unwrap();
        assert_eq!(UsageFile::open(folder.path(), 3, 0).unwrap().1, [line(1), line(7)]);
        // Sled went on to the next generation, and the process ended before the old file was removed.
        assert_eq!(UsageFile::open(folder.path(), 4, 0).unwrap().1, []);
        assert!(!name.exists());
    }
}
