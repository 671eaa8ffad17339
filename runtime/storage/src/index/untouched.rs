//! Whether sled's files are as this program left them: then their rows need not be added up at opening.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use domain::ports::StorageError;

use super::pack::is_ours;
use crate::files::{self, Durability};

/// Has the state of sled's files when they were closed in order.
const FILE: &str = "closed";

/// Remembers that the files are whole as they are now. What cannot be written costs the next opening time.
pub(crate) fn remember(folder: &Path) {
    if let Ok(state) = state(folder) {
        let _ = files::replace(&folder.join(FILE), state.as_bytes(), Durability::Process);
    }
}

/// Tells whether nobody has written to the files since.
pub(super) fn is_untouched(folder: &Path) -> bool {
    let remembered = files::read_if_there(&folder.join(FILE)).ok().flatten();
    remembered.is_some_and(|remembered| state(folder).is_ok_and(|state| state.as_bytes() == remembered))
}

/// Returns a line per file of sled's: its name, which file it is, how long, and when it was written last.
fn state(folder: &Path) -> Result<String, StorageError> {
    let mut lines = String::new();
    for found in files::list(folder)?.into_iter().filter(|found| found.name() != FILE && !is_ours(found.name())) {
        let inside = if found.is_folder { files::list(&found.path)? } else { Vec::new() };
        for file in [found].iter().filter(|found| !found.is_folder).chain(&inside) {
            let metadata = std::fs::symlink_metadata(&file.path).map_err(files::at(&file.path))?;
            let time = (metadata.mtime(), metadata.mtime_nsec());
            lines.push_str(&format!(
                "{} {} {} {}.{:09}\n",
                file.name(),
                metadata.ino(),
                metadata.len(),
                time.0,
                time.1
            ));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_write_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir(path("blobs")).unwrap();
        for name in ["db", "conf", "blobs/7"] {
            std::fs::write(path(name), "rows").unwrap();
        }
        assert!(!is_untouched(folder.path()), "nothing is remembered");
        for name in ["db", "conf", "blobs/7", "new", "blobs/new"] {
            remember(folder.path());
            assert!(is_untouched(folder.path()));
            std::fs::write(path("head"), name).unwrap();
            assert!(is_untouched(folder.path()), "files of ours have checksums of their own");
            // Times are as fine as the system's clock of files.
            std::thread::sleep(std::time::Duration::from_millis(20));
            std::fs::write(path(name), "rowz").unwrap();
            assert!(!is_untouched(folder.path()), "{name}");
        }
        remember(folder.path());
        std::fs::remove_file(path("db")).unwrap();
        assert!(!is_untouched(folder.path()));
    }
}
