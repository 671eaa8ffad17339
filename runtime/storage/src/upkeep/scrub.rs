//! Reading all blobs slowly, over and over, to find damage before somebody needs the bytes.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use domain::Digest;
use domain::ports::{BlobStore, DamagedBlob, StorageError};

use super::check::digest_of_file;
use super::{Kind, kind_of, shelves};
use crate::blobs::FileBlobs;
use crate::files::{self, Found};

/// How much a scrub reads in a second, in bytes, if nobody says otherwise.
pub const SCRUB_BYTES_PER_SECOND: u64 = 4 << 20;
/// How long a scrub rests between two rounds, if nobody says otherwise.
pub const SCRUB_PAUSE: Duration = Duration::from_secs(60 * 60);

/// How long a resting scrub may not notice that the folder is closed.
const LOOK_UP: Duration = Duration::from_millis(500);

/// How a scrub goes about it.
#[derive(Clone, Debug)]
pub struct ScrubOptions {
    /// Most bytes that are read in a second; [`SCRUB_BYTES_PER_SECOND`] by default.
    pub bytes_per_second: u64,
    /// How long it rests after each round; [`SCRUB_PAUSE`] by default.
    pub pause: Duration,
    /// After how many rounds it ends by itself; `None`, the default: only when it is told to.
    pub rounds: Option<u64>,
    /// A backup in a folder, from which damaged blobs are mended; none by default.
    pub backup: Option<PathBuf>,
}

impl Default for ScrubOptions {
    fn default() -> Self {
        Self { bytes_per_second: SCRUB_BYTES_PER_SECOND, pause: SCRUB_PAUSE, rounds: None, backup: None }
    }
}

/// Tells a scrub to end; clones tell the same one.
#[derive(Clone, Debug, Default)]
pub struct ScrubStop(Arc<(Mutex<bool>, Condvar)>);

impl ScrubStop {
    /// Ends the scrub: at once where it rests, else after the piece of a blob that it reads.
    pub fn stop(&self) {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.1.notify_all();
    }

    /// Waits, and tells whether to go on.
    fn wait(&self, time: Duration) -> bool {
        let stopped = self.0.0.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.0.1.wait_timeout_while(stopped, time, |stopped| !*stopped);
        let (stopped, _) = waited.unwrap_or_else(PoisonError::into_inner);
        !*stopped
    }
}

/// What became of a damaged blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mended {
    /// It is whole again, with the bytes of the backup.
    FromBackup,
    /// It stays as it is: no backup is named, or it is no blob of this folder.
    NotTried,
    /// It stays as it is, because of this.
    Failed(String),
}

/// What a scrub did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Scrubbed {
    /// Rounds that went through all blobs.
    pub rounds: u64,
    /// Blobs read, each as often as it was.
    pub blobs: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Damaged files found, each once for as long as it stays damaged.
    pub damaged: u64,
    /// How many of them were mended.
    pub mended: u64,
}

/// Hears of each damaged file and what became of it.
pub type OnDamage<'a> = dyn FnMut(&DamagedBlob, &Mended) + 'a;

/// Goes through all blobs until it is told to stop, or `is_closed`.
pub(super) fn scrub(
    blobs: &FileBlobs,
    options: &ScrubOptions,
    stop: &ScrubStop,
    is_closed: &dyn Fn() -> bool,
    on_damage: &mut OnDamage<'_>,
) -> Result<Scrubbed, StorageError> {
    let backup = options.backup.as_deref().map(FileBlobs::new);
    let mut done = Scrubbed::default();
    let mut reported = HashSet::new();
    let goes_on = |time: Duration| {
        // In pieces, so that a folder that is closed meanwhile is let go of soon.
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if !stop.wait(left.min(LOOK_UP)) || is_closed() {
                return false;
            }
            if left <= LOOK_UP {
                return true;
            }
        }
    };
    let mut pace = |bytes: usize| {
        let seconds = bytes as f64 / options.bytes_per_second.max(1) as f64;
        goes_on(Duration::from_secs_f64(seconds))
    };
    loop {
        for shelf in shelves(blobs)? {
            for file in files::list(&shelf)? {
                if !goes_on(Duration::ZERO) {
                    return Ok(done);
                }
                let Some((damaged, bytes)) = look_at(file, &mut pace) else { continue };
                done.blobs += 1;
                done.bytes += bytes;
                match damaged {
                    Err(path) => drop(reported.remove(&path)),
                    Ok(damaged) if !reported.contains(&damaged.path) => {
                        let mended = mend(blobs, backup.as_ref(), &damaged);
                        done.damaged += 1;
                        done.mended += u64::from(mended == Mended::FromBackup);
                        on_damage(&damaged, &mended);
                        if mended != Mended::FromBackup {
                            reported.insert(damaged.path);
                        }
                    }
                    Ok(_) => {}
                }
            }
        }
        done.rounds += 1;
        // What is gone is no longer damaged, and whatever comes in its place is new.
        reported.retain(|path: &PathBuf| path.exists());
        if options.rounds.is_some_and(|rounds| done.rounds >= rounds) || !goes_on(options.pause) {
            return Ok(done);
        }
    }
}

/// Reads a file and says what is wrong with it, else its path, and how much was read; `None` if it is no finished write, gone, or
/// was not read to its end.
fn look_at(file: Found, pace: &mut dyn FnMut(usize) -> bool) -> Option<(Result<DamagedBlob, PathBuf>, u64)> {
    let (digest, reason, bytes) = match kind_of(&file) {
        Kind::Partial => return None,
        Kind::Strange => (None, "its name is not that of a blob of this folder".to_owned(), 0),
        Kind::Blob(digest) => match digest_of_file(&file.path, pace) {
            Ok(None) => return None,
            Ok(Some((actual, bytes))) if actual == digest => return Some((Err(file.path), bytes)),
            Ok(Some((actual, bytes))) => (Some(digest), format!("its bytes have the digest {actual}"), bytes),
            Err(error) => (Some(digest), format!("it cannot be read: {error}"), 0),
        },
    };
    Some((Ok(DamagedBlob { digest, path: file.path, reason }), bytes))
}

/// Puts the bytes of the backup in the place of a damaged blob's.
fn mend(blobs: &FileBlobs, backup: Option<&FileBlobs>, damaged: &DamagedBlob) -> Mended {
    let (Some(backup), Some(digest)) = (backup, damaged.digest) else { return Mended::NotTried };
    match copy(blobs, backup, &digest, &damaged.path) {
        Ok(()) => Mended::FromBackup,
        Err(StorageError::MissingBlob { .. }) => Mended::Failed("the backup does not have it".to_owned()),
        Err(error) => Mended::Failed(error.to_string()),
    }
}

fn copy(blobs: &FileBlobs, backup: &FileBlobs, digest: &Digest, path: &Path) -> Result<(), StorageError> {
    // The digest is checked where it is read.
    let bytes = backup.get(digest)?;
    if !path.is_file() {
        // A file that cannot even be read is in the way of the good bytes.
        files::remove_if_there(path)?;
    }
    blobs.put(&bytes).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fast(rounds: u64) -> ScrubOptions {
        ScrubOptions { bytes_per_second: u64::MAX, pause: Duration::ZERO, rounds: Some(rounds), backup: None }
    }

    fn blobs() -> (tempfile::TempDir, FileBlobs) {
        let folder = tempfile::tempdir().unwrap();
        let blobs = FileBlobs::new(folder.path());
        (folder, blobs)
    }

    fn run(blobs: &FileBlobs, options: &ScrubOptions, heard: &mut Vec<(Option<Digest>, Mended)>) -> Scrubbed {
        let hear = &mut |damaged: &DamagedBlob, mended: &Mended| heard.push((damaged.digest, mended.clone()));
        scrub(blobs, options, &ScrubStop::default(), &|| false, hear).unwrap()
    }

    #[test]
    fn says_of_each_damaged_blob_once() {
        let (_folder, blobs) = blobs();
        let [good, bad] = [&b"good"[..], b"bad"].map(|bytes| blobs.put(bytes).unwrap());
        std::fs::write(blobs.path(&bad), b"bat").unwrap();
        std::fs::write(blobs.path(&good).with_file_name("x.1-1.partial"), b"half").unwrap();
        let mut heard = Vec::new();
        let expected = Scrubbed { rounds: 3, blobs: 6, bytes: 21, damaged: 1, mended: 0 };
        assert_eq!(run(&blobs, &fast(3), &mut heard), expected);
        assert_eq!(heard, [(Some(bad), Mended::NotTried)]);
    }

    #[test]
    fn damage_that_comes_again_is_said_again() {
        let (_folder, blobs) = blobs();
        let digest = blobs.put(b"bytes").unwrap();
        let contents = [&b"other"[..], b"other", b"bytes", b"third", b"bytes"];
        let rounds = std::cell::Cell::new(0_usize);
        // Asked before a blob, after its one piece, and after a round.
        let is_closed = || {
            let asked = rounds.replace(rounds.get() + 1);
            if asked.is_multiple_of(3) {
                std::fs::write(blobs.path(&digest), contents[asked / 3]).unwrap();
            }
            false
        };
        let mut heard = 0;
        let done = scrub(&blobs, &fast(5), &ScrubStop::default(), &is_closed, &mut |_, _| heard += 1).unwrap();
        assert_eq!((done.rounds, done.damaged, heard), (5, 2, 2));
    }

    #[test]
    fn mends_from_a_backup_what_is_whole_there() {
        let (_folder, blobs) = blobs();
        let backup = tempfile::tempdir().unwrap();
        let kept = FileBlobs::new(backup.path());
        let all = [&b"one"[..], b"two", b"three"].map(|bytes| blobs.put(bytes).unwrap());
        let [one, two, three] = all;
        for bytes in [&b"one"[..], b"two"] {
            kept.put(bytes).unwrap();
        }
        std::fs::write(kept.path(&two), b"bad as well").unwrap();
        for digest in all {
            std::fs::write(blobs.path(&digest), b"damaged").unwrap();
        }
        let mut heard = Vec::new();
        let options = ScrubOptions { backup: Some(backup.path().to_owned()), ..fast(2) };
        let done = run(&blobs, &options, &mut heard);
        assert_eq!((done.damaged, done.mended), (3, 1));
        assert_eq!(&*blobs.get(&one).unwrap(), b"one");
        for (digest, expected) in [(two, "do not have the digest"), (three, "does not have it")] {
            let found = heard.iter().find(|(heard, _)| *heard == Some(digest)).unwrap();
            assert!(matches!(&found.1, Mended::Failed(reason) if reason.contains(expected)), "{found:?}");
            assert!(blobs.get(&digest).is_err());
        }
        assert!(heard.contains(&(Some(one), Mended::FromBackup)));
    }

    #[test]
    fn ends_when_it_is_told_to_wherever_it_is() {
        let (_folder, blobs) = blobs();
        for number in 0..20_u8 {
            blobs.put(&[number; 1_000]).unwrap();
        }
        // So slow that it would take hours, and then that it would rest for hours.
        let slow = ScrubOptions { bytes_per_second: 1, ..ScrubOptions::default() };
        let resting = ScrubOptions { rounds: None, pause: Duration::from_secs(10_000), ..fast(1) };
        for (options, asks, blobs_read) in [(slow, 1, 0), (resting, 40, 20)] {
            let stop = ScrubStop::default();
            let (telling, reached) = std::sync::mpsc::channel();
            let done = std::thread::scope(|scope| {
                let scrubbing = scope.spawn(|| {
                    let asked = std::cell::Cell::new(0);
                    let is_closed = || {
                        asked.set(asked.get() + 1);
                        if asked.get() == asks {
                            telling.send(()).unwrap();
                        }
                        false
                    };
                    scrub(&blobs, &options, &stop, &is_closed, &mut |_, _| {}).unwrap()
                });
                reached.recv().unwrap();
                stop.stop();
                scrubbing.join().unwrap()
            });
            assert_eq!(done.blobs, blobs_read);
        }
        let closed = scrub(&blobs, &fast(9), &ScrubStop::default(), &|| true, &mut |_, _| {}).unwrap();
        assert_eq!(closed, Scrubbed::default());
    }
}
