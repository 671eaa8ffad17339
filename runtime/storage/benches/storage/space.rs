//! How much disk a registry takes beside what it has to keep.

use std::path::Path;
use std::time::Duration;

use domain::ports::{StateView as _, StorageError};
use storage::{AuditWindow, Storage};

use crate::filling::{fill, id, open};
use crate::{Failure, scaled};

const ENTRIES: usize = 100_000;

pub(crate) fn run() -> Result<(), Failure> {
    let count = scaled(ENTRIES);
    let folder = tempfile::tempdir()?;
    fill(folder.path(), count)?;
    let storage = open(folder.path())?;
    let payload = payload(&storage, count)?;
    let before = on_disk(folder.path())?;
    storage.compact(AuditWindow { age: Duration::ZERO, records: 0 }, &|_, _| {})?;
    storage.close()?;
    let [journal, index] = on_disk(folder.path())?;
    let mb = |bytes: u64| bytes as f64 / 1e6;
    println!(
        "{count} entries of {:.1} MB on disk after compacting: journal {:.1} MB + index {:.1} MB, ratio {:.2} (bound 3); \
         before: {:.1} MB + {:.1} MB",
        mb(payload),
        mb(journal),
        mb(index),
        (journal + index) as f64 / payload as f64,
        mb(before[0]),
        mb(before[1]),
    );
    Ok(())
}

/// Returns the bytes of what no smaller form could leave out: of every entry its state, its revisions, its failures and its use, as
/// JSON. The terms and edges by which they are found follow from them and do not count, nor do ids a second time.
fn payload(storage: &Storage, count: usize) -> Result<u64, Failure> {
    let mut bytes = 0;
    for number in 0..count {
        let id = id(number);
        let entry = storage.state.entry(&id)?.ok_or("an entry is missing")?;
        bytes += json(&*entry)? - json(&entry.revision)?;
        for revision in storage.state.revisions(&id)? {
            bytes += json(&*revision)?;
        }
        for failure in storage.state.failures(Some(&id), usize::MAX)? {
            bytes += json(&failure)?;
        }
        bytes += json(&storage.state.usage(&id)?)?;
    }
    Ok(bytes)
}

fn json<T: serde::Serialize>(value: &T) -> Result<u64, Failure> {
    Ok(serde_json::to_vec(value)?.len() as u64)
}

/// Returns what `journal` and `index` take, in bytes of the disk.
fn on_disk(folder: &Path) -> Result<[u64; 2], Failure> {
    Ok([add_up(&folder.join("journal"))?, add_up(&folder.join("index"))?])
}

fn add_up(folder: &Path) -> Result<u64, StorageError> {
    use std::os::unix::fs::MetadataExt as _;
    let io = |error| StorageError::io(folder, error);
    let mut bytes = 0;
    for file in std::fs::read_dir(folder).map_err(io)? {
        let file = file.map_err(io)?;
        let metadata = file.metadata().map_err(io)?;
        bytes += if metadata.is_dir() { add_up(&file.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}
