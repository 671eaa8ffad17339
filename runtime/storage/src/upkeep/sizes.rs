//! How much there is of what in a data folder.

use std::path::Path;

use domain::ports::StorageError;
use domain::stats::FolderSizes;

use crate::files;

/// Deepest folder below one that is measured: blobs and sled's files are two below theirs.
const DEPTH_MAX: usize = 4;

/// Adds up the files of the data folder `folder`.
pub(super) fn measure(folder: &Path) -> Result<FolderSizes, StorageError> {
    let (blobs, blob_bytes) = add_up(&folder.join("blobs"), DEPTH_MAX)?;
    Ok(FolderSizes {
        blobs,
        blob_bytes,
        journal_bytes: add_up(&folder.join("journal"), DEPTH_MAX)?.1,
        index_bytes: add_up(&folder.join("index"), DEPTH_MAX)?.1,
        cache_bytes: add_up(&folder.join("cache"), DEPTH_MAX)?.1,
        output_bytes: add_up(&folder.join("output"), DEPTH_MAX)?.1,
    })
}

/// Returns how many finished files there are below `folder`, and the bytes of all.
fn add_up(folder: &Path, depth: usize) -> Result<(u64, u64), StorageError> {
    let (mut count, mut bytes) = (0, 0);
    for found in files::list(folder)? {
        if !found.is_folder {
            count += u64::from(!found.name().ends_with(files::PARTIAL));
            bytes += found.bytes;
        } else if depth > 0 {
            let below = add_up(&found.path, depth - 1)?;
            count += below.0;
            bytes += below.1;
        }
    }
    Ok((count, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn adds_up_each_part_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        for (file, bytes) in [
            ("journal/1.jsonl", 3),
            ("index/sled/db", 5),
            ("blobs/sha256/ab/abc", 7),
            ("blobs/sha256/ab/abd.1-1.partial", 11),
            ("cache/ab/abc.cwasm", 13),
            ("output/demo/a.log", 17),
        ] {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![0; bytes]).unwrap();
        }
        let expected = FolderSizes {
            blobs: 1,
            journal_bytes: 3,
            index_bytes: 5,
            blob_bytes: 18,
            cache_bytes: 13,
            output_bytes: 17,
        };
        assert_eq!(measure(folder.path()).unwrap(), expected);
        assert_eq!(measure(&folder.path().join("nothing")).unwrap(), FolderSizes::default());
    }
}
