//! What was refused, and why: one small file for each digest, beside where its code would be.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use domain::ports::{REFUSAL_LIMITS_BYTES_MAX, Refusal, StorageError};
use domain::text::GUEST_TEXT_MAX;
use domain::{FailureKind, Timestamp};
use serde::{Deserialize, Serialize};

use super::REFUSED;
use crate::files::{self, Durability};

/// The form of the file that is written and read here.
const FORMAT: u32 = 1;

/// Largest file that is read, in bytes: the longest reason with every character escaped, and the rest.
const FILE_BYTES_MAX: u64 = 8 * GUEST_TEXT_MAX as u64 + 1_024;

/// A refusal as it is in its file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Record {
    format: u32,
    kind: FailureKind,
    reason: String,
    limits: String,
    at: Timestamp,
    until: Option<Timestamp>,
}

/// Reads a file; what is damaged or of another form is as good as no file.
pub(super) fn read(file: File) -> Option<Refusal> {
    let mut text = String::new();
    file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).ok()?;
    let record: Record = serde_json::from_str(&text).ok()?;
    let is_sound = record.format == FORMAT
        && record.limits.len() <= REFUSAL_LIMITS_BYTES_MAX
        && record.reason.len() <= GUEST_TEXT_MAX;
    is_sound.then_some(Refusal {
        kind: record.kind,
        reason: record.reason,
        limits: record.limits,
        at: record.at,
        until: record.until,
    })
}

/// Writes the file and returns its size in bytes.
pub(super) fn write(path: &Path, refusal: &Refusal) -> Result<u64, StorageError> {
    let record = Record {
        format: FORMAT,
        kind: refusal.kind,
        reason: refusal.reason.clone(),
        limits: refusal.limits.clone(),
        at: refusal.at,
        until: refusal.until,
    };
    let text = serde_json::to_vec(&record).map_err(|error| StorageError::io(path, error.into()))?;
    files::replace(path, &text, Durability::Process)?;
    Ok(text.len() as u64)
}

/// Forgets all refusals in the data folder `folder`, and returns how many there were.
pub(crate) fn forget_all(folder: &Path) -> Result<u64, StorageError> {
    let mut forgotten = 0;
    for shelf in files::list(&folder.join("cache"))?.into_iter().filter(|found| found.is_folder) {
        for found in files::list(&shelf.path)? {
            if found.path.extension().is_some_and(|ending| ending == REFUSED) {
                files::remove_if_there(&found.path)?;
                forgotten += 1;
            }
        }
    }
    Ok(forgotten)
}

#[cfg(test)]
mod tests {
    use domain::Digest;
    use domain::ports::{CodeCache as _, CodeKey};

    use super::super::FileCodeCache;
    use super::*;

    fn key() -> CodeKey {
        CodeKey { component: Digest::of(b"bomb"), engine: "e1".to_owned() }
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros(seconds * 1_000_000)
    }

    fn refusal(until: Option<Timestamp>) -> Refusal {
        let reason = "the compiler needed more than 512 MiB".to_owned();
        Refusal { kind: FailureKind::Limit, reason, limits: "m512".to_owned(), at: at(100), until }
    }

    #[test]
    fn a_refusal_holds_in_another_process_under_the_same_limits_and_engine_alone() {
        let folder = tempfile::tempdir().unwrap();
        FileCodeCache::new(folder.path(), 1_000).refuse(&key(), &refusal(None));
        let next = FileCodeCache::new(folder.path(), 1_000);
        assert_eq!(next.refusal(&key(), "m512", at(1_000_000)), Some(refusal(None)));
        assert_eq!(next.refusal(&key(), "m1024", at(101)), None);
        let other = CodeKey { engine: "e2".to_owned(), ..key() };
        assert_eq!(next.refusal(&other, "m512", at(101)), None);
        assert_eq!(next.find(&key()), None, "it is no code");
    }

    #[test]
    fn one_that_depended_on_the_load_is_forgotten_after_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FileCodeCache::new(folder.path(), 1_000);
        cache.refuse(&key(), &refusal(Some(at(400))));
        assert!(cache.refusal(&key(), "m512", at(399)).is_some());
        assert_eq!(cache.refusal(&key(), "m512", at(400)), None);
        assert_eq!(cache.refusal(&key(), "m512", at(99)), None, "the clock was set back");
    }

    #[test]
    fn all_are_forgotten_at_once_and_code_stays() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(forget_all(folder.path()).unwrap(), 0);
        let cache = FileCodeCache::new(folder.path(), 1_000);
        cache.refuse(&key(), &refusal(None));
        let path = cache.store(&key(), b"native").unwrap();
        assert_eq!(forget_all(folder.path()).unwrap(), 1);
        assert_eq!(cache.refusal(&key(), "m512", at(101)), None);
        assert_eq!(cache.find(&key()), Some(path));
    }

    #[test]
    fn a_damaged_or_huge_file_is_no_refusal() {
        let folder = tempfile::tempdir().unwrap();
        let cache = FileCodeCache::new(folder.path(), 1_000_000);
        cache.refuse(&key(), &refusal(None));
        let path = cache.path(&key(), REFUSED);
        let whole = std::fs::read_to_string(&path).unwrap();
        let long = whole.replace("needed", &"n".repeat(100_000));
        for damaged in ["", "{}", &whole[1..], &whole.replace("\"format\":1", "\"format\":2"), &long] {
            std::fs::write(&path, damaged).unwrap();
            assert_eq!(cache.refusal(&key(), "m512", at(101)), None, "{damaged:.60}");
        }
    }
}
