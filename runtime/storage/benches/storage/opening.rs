//! Opening a folder of 100,000 entries, beside opening bare sled and going through as many rows of the same size.

use std::path::Path;

use crate::filling::{fill, open};
use crate::{Failure, medians, scaled, show, time};

const ENTRIES: usize = 100_000;
const RUNS: usize = 7;

pub(crate) fn run() -> Result<(), Failure> {
    let count = scaled(ENTRIES);
    let folder = tempfile::tempdir()?;
    fill(folder.path(), count)?;
    let bare = tempfile::tempdir()?;
    let rows = copy_rows(&folder.path().join("index"), bare.path())?;
    let ours = || {
        let (took, storage) = time(|| open(folder.path()))?;
        assert_eq!(storage.warnings(), []);
        storage.close()?;
        Ok(took)
    };
    let theirs = || {
        let (took, (_db, seen)) = time(|| {
            let db = open_sled(bare.path())?;
            let mut seen = 0;
            for name in db.tree_names() {
                for row in db.open_tree(name)?.iter() {
                    let (key, value) = row?;
                    seen += usize::from(!key.is_empty() || !value.is_empty());
                }
            }
            Ok((db, seen))
        })?;
        assert_eq!(seen, rows);
        Ok(took)
    };
    let beside = format!("bare sled with a scan of {rows} rows");
    show(&format!("opening {count} entries"), &beside, 2.0, medians(RUNS, ours, theirs)?);
    // As after a crash: all rows are compared with what was written.
    let checked = || {
        std::fs::remove_file(folder.path().join("index/closed"))?;
        ours()
    };
    show(
        &format!("opening {count} entries that were not closed in order"),
        &beside,
        2.0,
        medians(RUNS, checked, theirs)?,
    );
    Ok(())
}

/// Opens sled as the index does.
pub(crate) fn open_sled(folder: &Path) -> Result<sled::Db, Failure> {
    let config = sled::Config::new().path(folder).cache_capacity(16 << 20).segment_size(64 << 10);
    Ok(config.flush_every_ms(None).open()?)
}

/// Puts the rows of an index into bare sled, tree by tree and in order, and says how many there are.
fn copy_rows(index: &Path, bare: &Path) -> Result<usize, Failure> {
    let (from, to) = (open_sled(index)?, open_sled(bare)?);
    let mut rows = 0;
    for name in from.tree_names() {
        let tree = to.open_tree(&name)?;
        for row in from.open_tree(&name)?.iter() {
            let (key, value) = row?;
            tree.insert(key, value)?;
            rows += 1;
        }
    }
    to.flush()?;
    Ok(rows)
}
