//! The mark of a file of code that was found whole since the machine started.
//!
//! A file that is torn because the machine stopped, or whose bytes changed on the disk, is found so after the next start; until then
//! what was read stands in memory, and reading it again for its checksum costs a sixth of a restart.
//!
//! The mark is the fraction of the second in the date of the file's last change: whoever looks at the file sees it at no further cost, and
//! whoever writes to the file takes it away. The seconds remain what they are for, which file was used last.

use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

/// Tells whether the file of this metadata was found whole, by this user, since the machine started.
pub(super) fn is_marked(metadata: &std::fs::Metadata) -> bool {
    let fraction = u32::try_from(metadata.mtime_nsec()).ok();
    fraction.is_some() && fraction == mark(metadata, metadata.mtime())
}

/// Marks a file that was found whole, as used at `used` if that is said.
pub(super) fn put_mark(file: &File, metadata: &std::fs::Metadata, used: Option<SystemTime>) {
    let seconds = used.map_or(metadata.mtime(), |used| {
        let since = used.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or_default()
    });
    let Some(fraction) = mark(metadata, seconds) else { return };
    let date = SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(seconds).unwrap_or_default(), fraction);
    // Without the mark it is read again: slower, not wrong.
    let _ = file.set_modified(date);
}

/// Returns the mark of a file that was changed in that second; `None` where it is not known which start of the machine this is.
fn mark(metadata: &std::fs::Metadata, seconds: i64) -> Option<u32> {
    let mut hasher = DefaultHasher::new();
    (boot()?, metadata.dev(), metadata.ino(), metadata.size(), seconds).hash(&mut hasher);
    u32::try_from(hasher.finish() % 1_000_000_000).ok()
}

/// Returns the kernel's word for this start of the machine.
fn boot() -> Option<&'static [u8]> {
    static BOOT: OnceLock<Option<Vec<u8>>> = OnceLock::new();
    BOOT.get_or_init(|| std::fs::read("/proc/sys/kernel/random/boot_id").ok()).as_deref()
}
