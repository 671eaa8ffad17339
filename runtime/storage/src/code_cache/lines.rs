//! Source lines of compiled code: one file beside each file of code that has some, in the same form, a content and its seal.

use std::io::Read as _;
use std::time::SystemTime;

use domain::ports::{CodeKey, CodeWriter as _, LINES_BYTES_MAX, StorageError};

use super::{FileCodeCache, FileWriter, LINES, SEAL_BYTES, is_used_long_ago, seal};
use crate::files;

/// Reads a table; what is damaged, or could be somebody else's, is as good as none.
pub(super) fn read(cache: &FileCodeCache, key: &CodeKey) -> Option<Vec<u8>> {
    let path = cache.path(key, LINES);
    let (file, metadata) = cache.open_private(key, &path)?;
    let most = LINES_BYTES_MAX + SEAL_BYTES;
    let size = usize::try_from(metadata.len()).ok().filter(|size| *size <= most)?;
    let mut bytes = Vec::with_capacity(size);
    (&file).take(most as u64).read_to_end(&mut bytes).ok()?;
    let end = bytes.len().checked_sub(SEAL_BYTES)?;
    let (lines, found) = bytes.split_at_checked(end)?;
    if found != seal(crc32c::crc32c(lines)) {
        return None;
    }
    if is_used_long_ago(&metadata) {
        // Without the mark the file goes a little earlier; nothing else is lost.
        let _ = file.set_modified(SystemTime::now());
    }
    bytes.truncate(end);
    Some(bytes)
}

/// Writes a table; it is found once it is whole.
pub(super) fn write(cache: &FileCodeCache, key: &CodeKey, lines: &[u8]) -> Result<(), StorageError> {
    let path = cache.path(key, LINES);
    files::create_folder(path.parent().unwrap_or(&cache.folder))?;
    let mut writer = Box::new(FileWriter::begin(cache, path)?);
    writer.write(lines)?;
    writer.finish().map(|_| ())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use domain::Digest;
    use domain::ports::CodeCache as _;

    use super::*;

    fn key() -> CodeKey {
        CodeKey { component: Digest::of(b"a"), engine: "e1".to_owned() }
    }

    #[test]
    fn lines_are_found_beside_the_code_and_go_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FileCodeCache::new(folder.path(), 1_000);
        assert_eq!(cache.lines(&key()), None);
        cache.keep_lines(&key(), b"lines").unwrap();
        let code = cache.store(&key(), b"native").unwrap();
        assert_eq!(cache.lines(&key()).as_deref(), Some(&b"lines"[..]));
        assert_eq!(cache.find(&key()), Some(code));
        assert_eq!(cache.lines(&CodeKey { engine: "e2".to_owned(), ..key() }), None);
        cache.remove(&key());
        assert_eq!(cache.lines(&key()), None);
    }

    #[test]
    fn lines_that_are_damaged_or_of_somebody_else_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FileCodeCache::new(folder.path(), 1_000);
        cache.keep_lines(&key(), b"lines").unwrap();
        let path = cache.path(&key(), LINES);
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            assert_eq!(cache.lines(&key()), None, "bit {bit}");
        }
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.lines(&key()), None, "{length} bytes");
        }
        std::fs::write(&path, &whole).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o620)).unwrap();
        assert_eq!(cache.lines(&key()), None);
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(cache.lines(&key()).as_deref(), Some(&b"lines"[..]));
    }
}
