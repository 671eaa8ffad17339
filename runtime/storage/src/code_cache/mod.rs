//! Compiled native code, in private files `cache/ab/<hex>-<engine>.cwasm`, and beside it its source lines, in `….lines`, or what was
//! refused, in `….refused`.

mod checked;
mod lines;
mod refusals;
mod seal;
mod writer;

use std::fs::File;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use domain::Timestamp;
use domain::ports::{CodeCache, CodeKey, CodeWriter, Refusal, StorageError};

use crate::files;
use checked::{is_marked, put_mark};
use seal::{SEAL_BYTES, is_sealed, seal};
use writer::FileWriter;

pub(crate) use refusals::forget_all as forget_refusals;

/// Most bytes of compiled code that are kept; beyond them the code used least recently goes.
pub const CACHE_BYTES_MAX: u64 = 2 << 30;

/// How old a file's mark of use gets before a use renews it: a mark for every use would cost a write each.
const MARK_AGE: Duration = Duration::from_secs(60 * 60);

/// The ending of files with code.
const CODE: &str = "cwasm";

/// The ending of files with source lines.
const LINES: &str = "lines";

/// The ending of files that say why there is none.
const REFUSED: &str = "refused";

/// Compiled code in the folder `cache` of the data folder, safe to delete at any moment.
///
/// Native code is run as it is found, so a file counts only if it is a plain file of this user that nobody else can write, and has the
/// checksum that was written with it. It is read for that once in each start of the machine, and whenever it has changed.
#[derive(Debug)]
pub struct FileCodeCache {
    folder: PathBuf,
    bytes_max: u64,
    /// Bytes stored since the folder's size was last added up, and what it was then.
    size: Mutex<Option<u64>>,
    /// Folders found to be private, by the first byte of the digests in them: nobody else can change that while this process has them.
    private: [AtomicBool; 256],
}

impl FileCodeCache {
    pub(crate) fn new(folder: &Path, bytes_max: u64) -> Self {
        Self {
            folder: folder.join("cache"),
            bytes_max,
            size: Mutex::new(None),
            private: [const { AtomicBool::new(false) }; 256],
        }
    }

    fn path(&self, key: &CodeKey, ending: &str) -> PathBuf {
        let hex = key.component.to_hex();
        let mut path = PathBuf::with_capacity(self.folder.as_os_str().len() + 160);
        path.push(&self.folder);
        path.push(hex.get(..2).unwrap_or_default());
        // Letters and digits alone, so that no word of an engine leads out of the folder.
        let engine = key.engine.chars().filter(char::is_ascii_alphanumeric).take(64);
        let mut name = hex;
        name.reserve(80);
        name.push('-');
        name.extend(engine);
        name.push('.');
        name.push_str(ending);
        path.push(name);
        path
    }

    /// Adds `stored` bytes to the known size and drops the oldest files when it passes the bound.
    fn bound(&self, stored: u64, newest: &Path) -> Result<(), StorageError> {
        let mut size = self.size.lock().unwrap_or_else(PoisonError::into_inner);
        let known = match *size {
            Some(before) => before.saturating_add(stored),
            // Only the first time code is stored is the folder read; a process that finds everything never does.
            None => self.list()?.iter().map(|file| file.bytes).sum(),
        };
        *size = Some(if known > self.bytes_max { self.evict(newest)? } else { known });
        Ok(())
    }

    /// Removes the files used least recently until a tenth of the bound is free, and returns the size left.
    fn evict(&self, newest: &Path) -> Result<u64, StorageError> {
        let mut files = self.list()?;
        files.sort_by_key(|file| file.used);
        let mut left: u64 = files.iter().map(|file| file.bytes).sum();
        let wanted = self.bytes_max - self.bytes_max / 10;
        for file in files.iter().filter(|file| file.path != newest) {
            if left <= wanted {
                break;
            }
            files::remove_if_there(&file.path)?;
            left -= file.bytes;
        }
        Ok(left)
    }

    /// Opens a file that nobody else can have written, nor put in its place.
    fn open_private(&self, key: &CodeKey, path: &Path) -> Option<(File, std::fs::Metadata)> {
        let file = open(path)?;
        let metadata = file.metadata().ok()?;
        self.is_private_file(key, path, &metadata).then_some((file, metadata))
    }

    fn is_private_file(&self, key: &CodeKey, path: &Path, metadata: &std::fs::Metadata) -> bool {
        metadata.is_file() && is_private(metadata) && path.parent().is_some_and(|it| self.is_private_folder(key, it))
    }

    /// Tells whether nobody else can put a file into the folder of `key`.
    fn is_private_folder(&self, key: &CodeKey, folder: &Path) -> bool {
        let known = key.component.as_bytes().first().and_then(|first| self.private.get(usize::from(*first)));
        if known.is_some_and(|known| known.load(Ordering::Relaxed)) {
            return true;
        }
        let is_closed = |folder: &Path| {
            let metadata = std::fs::symlink_metadata(folder);
            metadata.is_ok_and(|metadata| metadata.is_dir() && is_private(&metadata))
        };
        let is_private = is_closed(&self.folder) && is_closed(folder);
        if let Some(known) = known.filter(|_| is_private) {
            known.store(true, Ordering::Relaxed);
        }
        is_private
    }

    fn list(&self) -> Result<Vec<CachedFile>, StorageError> {
        let mut found = Vec::new();
        for folder in std::fs::read_dir(&self.folder).map_err(files::at(&self.folder))? {
            let folder = folder.map_err(files::at(&self.folder))?.path();
            if !folder.is_dir() {
                continue;
            }
            for file in std::fs::read_dir(&folder).map_err(files::at(&folder))? {
                let file = file.map_err(files::at(&folder))?;
                // Another process may have removed it in between.
                let Ok(metadata) = file.metadata() else { continue };
                let used = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
                // A file may have holes, which take no room.
                let bytes = metadata.len().min(metadata.blocks() * 512);
                found.push(CachedFile { path: file.path(), bytes, used });
            }
        }
        Ok(found)
    }
}

struct CachedFile {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

/// Opens a file of compiled code. Not through a link, which could lead to a file that somebody else changes, and without waiting,
/// should it be a pipe.
fn open(path: &Path) -> Option<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    File::options().read(true).custom_flags(flags.bits().cast_signed()).open(path).ok()
}

/// Tells whether nobody but this user can have written to what `metadata` is of.
fn is_private(metadata: &std::fs::Metadata) -> bool {
    static USER: LazyLock<u32> = LazyLock::new(|| rustix::process::geteuid().as_raw());
    let mine = metadata.uid() == *USER;
    let kind = metadata.file_type();
    let closed = metadata.mode() & 0o022 == 0;
    (kind.is_file() || kind.is_dir()) && mine && closed
}

/// Tells whether the file has to be marked as used now, so that it is not the next to go.
fn is_used_long_ago(metadata: &std::fs::Metadata) -> bool {
    metadata.modified().is_ok_and(|used| used.elapsed().is_ok_and(|age| age > MARK_AGE))
}

impl CodeCache for FileCodeCache {
    fn find(&self, key: &CodeKey) -> Option<PathBuf> {
        let path = self.path(key, CODE);
        let metadata = std::fs::symlink_metadata(&path).ok()?;
        let is_checked = is_marked(&metadata) && self.is_private_file(key, &path, &metadata);
        if is_checked && !is_used_long_ago(&metadata) {
            return Some(path);
        }
        let (file, metadata) = self.open_private(key, &path)?;
        if !is_sealed(&file, metadata.len()) {
            self.remove(key);
            return None;
        }
        put_mark(&file, &metadata, is_used_long_ago(&metadata).then(SystemTime::now));
        Some(path)
    }

    fn begin(&self, key: &CodeKey) -> Result<Box<dyn CodeWriter + '_>, StorageError> {
        let path = self.path(key, CODE);
        files::create_folder(path.parent().unwrap_or(&self.folder))?;
        Ok(Box::new(FileWriter::begin(self, path)?))
    }

    fn remove(&self, key: &CodeKey) {
        // What cannot be removed is refused by the engine again, and replaced by the next store.
        let _ = std::fs::remove_file(self.path(key, CODE));
        let _ = std::fs::remove_file(self.path(key, LINES));
    }

    fn lines(&self, key: &CodeKey) -> Option<Vec<u8>> {
        lines::read(self, key)
    }

    fn keep_lines(&self, key: &CodeKey, lines: &[u8]) -> Result<(), StorageError> {
        lines::write(self, key, lines)
    }

    fn refusal(&self, key: &CodeKey, limits: &str, now: Timestamp) -> Option<Refusal> {
        let (file, _) = self.open_private(key, &self.path(key, REFUSED))?;
        refusals::read(file).filter(|refusal| refusal.holds(limits, now))
    }

    fn refuse(&self, key: &CodeKey, refusal: &Refusal) {
        let path = self.path(key, REFUSED);
        let written = files::create_folder(path.parent().unwrap_or(&self.folder))
            .and_then(|()| refusals::write(&path, refusal))
            .and_then(|bytes| self.bound(bytes, &path));
        // What cannot be remembered is tried again: slower, not wrong.
        let _ = written;
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use domain::Digest;

    use super::*;

    fn key(word: &str) -> CodeKey {
        CodeKey { component: Digest::of(word.as_bytes()), engine: "e1".to_owned() }
    }

    fn cache(bytes_max: u64) -> (tempfile::TempDir, FileCodeCache) {
        let folder = tempfile::tempdir().unwrap();
        let cache = FileCodeCache::new(folder.path(), bytes_max);
        (folder, cache)
    }

    #[test]
    fn finds_what_was_stored_for_the_same_engine_alone() {
        let (_folder, cache) = cache(1_000);
        assert_eq!(cache.find(&key("a")), None);
        let path = cache.store(&key("a"), b"native").unwrap();
        assert_eq!(cache.find(&key("a")), Some(path.clone()));
        assert!(std::fs::read(&path).unwrap().starts_with(b"native"));
        assert_eq!(cache.find(&CodeKey { engine: "e2".to_owned(), ..key("a") }), None);
        cache.remove(&key("a"));
        assert_eq!(cache.find(&key("a")), None);
    }

    #[test]
    fn ignores_code_that_others_could_have_written() {
        let (folder, cache) = cache(1_000);
        let path = cache.store(&key("a"), b"native").unwrap();
        let chmod = |path: &Path, mode| std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
        for (target, open, closed) in [
            (path.clone(), 0o620, 0o600),
            (path.clone(), 0o602, 0o600),
            (path.parent().unwrap().to_owned(), 0o720, 0o700),
            (folder.path().join("cache"), 0o702, 0o700),
        ] {
            chmod(&target, open);
            let next = || FileCodeCache::new(folder.path(), 1_000);
            assert_eq!(next().find(&key("a")), None, "{open:o} {}", target.display());
            chmod(&target, closed);
            assert!(next().find(&key("a")).is_some());
        }
        std::fs::rename(&path, folder.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(folder.path().join("elsewhere"), &path).unwrap();
        assert_eq!(cache.find(&key("a")), None, "a link is not followed");
    }

    #[test]
    fn finds_nothing_where_a_bit_is_flipped_or_the_file_is_cut() {
        let (_folder, cache) = cache(100_000);
        let code: Vec<u8> = (0..40_000u32).map(|n| n as u8).collect();
        let path = cache.store(&key("a"), &code).unwrap();
        let whole = std::fs::read(&path).unwrap();
        let bits = (0..whole.len() * 8).step_by(4_999).chain(whole.len() * 8 - 64..whole.len() * 8);
        for bit in bits {
            let mut flipped = whole.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &flipped).unwrap();
            assert_eq!(cache.find(&key("a")), None, "bit {bit}");
            assert!(!path.exists(), "what is damaged goes");
        }
        for length in [0, 7, 8, code.len(), whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert_eq!(cache.find(&key("a")), None, "{length} bytes");
        }
        cache.store(&key("a"), &code).unwrap();
        assert_eq!(cache.find(&key("a")), Some(path));
    }

    #[test]
    fn what_was_found_whole_is_read_again_once_it_changed() {
        let (_folder, cache) = cache(1_000);
        let path = cache.store(&key("a"), b"native code").unwrap();
        let is_checked = || is_marked(&path.symlink_metadata().unwrap());
        assert!(!is_checked());
        assert!(cache.find(&key("a")).is_some());
        assert!(is_checked());
        assert!(cache.find(&key("a")).is_some());
        // Another file in its place, even with the same date, and the same file with another byte.
        let (whole, date) = (std::fs::read(&path).unwrap(), path.metadata().unwrap().modified().unwrap());
        let other = path.with_extension("other");
        std::fs::write(&other, &whole).unwrap();
        File::options().append(true).open(&other).unwrap().set_modified(date).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(!is_checked());
        assert!(cache.find(&key("a")).is_some());
        assert!(is_checked());
        std::fs::write(&path, [&b"N"[..], &whole[1..]].concat()).unwrap();
        assert!(!is_checked());
        assert_eq!(cache.find(&key("a")), None);
    }

    #[test]
    fn drops_what_was_used_least_recently() {
        let (_folder, cache) = cache(1_000);
        for (age, word) in [(30, "a"), (20, "b"), (10, "c")] {
            let path = cache.store(&key(word), &[0; 292]).unwrap();
            let used = SystemTime::now() - Duration::from_secs(age * 3_600);
            File::options().append(true).open(path).unwrap().set_modified(used).unwrap();
        }
        assert!(cache.find(&key("a")).is_some(), "and marks it as used");
        cache.store(&key("d"), &[0; 292]).unwrap();
        let found: Vec<bool> = ["a", "b", "c", "d"].iter().map(|word| cache.find(&key(word)).is_some()).collect();
        assert_eq!(found, [true, false, true, true]);
    }

    #[test]
    fn code_is_found_when_it_is_whole_and_not_before() {
        let (_folder, cache) = cache(1_000);
        let mut writer = cache.begin(&key("a")).unwrap();
        writer.write(b"nat").unwrap();
        assert_eq!(cache.find(&key("a")), None);
        let shelf = cache.path(&key("a"), CODE).parent().unwrap().to_owned();
        drop(writer);
        assert_eq!(std::fs::read_dir(&shelf).unwrap().count(), 0, "nothing half-written stays");
        let mut writer = cache.begin(&key("a")).unwrap();
        writer.write(b"nat").unwrap();
        writer.write(b"ive").unwrap();
        let path = writer.finish().unwrap();
        assert_eq!(cache.find(&key("a")), Some(path.clone()));
        assert!(std::fs::read(&path).unwrap().starts_with(b"native"));
    }

    #[test]
    fn zeros_take_no_room_and_come_back() {
        let (_folder, cache) = cache(200_000);
        let zeros = |kib: usize| vec![0; kib << 10];
        let pieces = [zeros(100), b"code".to_vec(), zeros(3), zeros(200), b"more".repeat(2_000), zeros(64)];
        let mut writer = cache.begin(&key("a")).unwrap();
        pieces.iter().for_each(|piece| writer.write(piece).unwrap());
        let path = writer.finish().unwrap();
        assert_eq!(cache.find(&key("a")), Some(path.clone()));
        let (found, whole) = (std::fs::read(&path).unwrap(), pieces.concat());
        assert!(found.starts_with(&whole) && found.len() == whole.len() + SEAL_BYTES);
        // Nor do they count: two such files are within the bound.
        cache.store(&key("b"), &whole).unwrap();
        assert!(cache.find(&key("a")).is_some());
        assert!(path.metadata().unwrap().blocks() * 512 < 64 << 10);
        assert!(cache.list().unwrap().iter().map(|file| file.bytes).sum::<u64>() < 100_000);
    }

    #[test]
    fn a_word_of_an_engine_cannot_leave_the_folder() {
        let (folder, cache) = cache(1_000);
        let key = CodeKey { engine: "../../../x/y".to_owned(), ..key("a") };
        assert!(cache.store(&key, b"n").unwrap().starts_with(folder.path().join("cache")));
    }
}
