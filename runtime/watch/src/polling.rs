//! Looks at folders again and again, where nobody tells of changes.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::changes::Changed;

/// What a look can see of a file without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Looks {
    inode: u64,
    length: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// What is in a folder.
type Listing = BTreeMap<OsString, Option<Looks>>;
type Listings = BTreeMap<PathBuf, Listing>;

pub(crate) struct Polling {
    every: Duration,
    due: Instant,
    known: Listings,
    /// A look that is under way, with all that was known when it began.
    looking: Option<JoinHandle<(Listings, BTreeSet<PathBuf>)>>,
}

impl Polling {
    pub(crate) fn new(every: Duration) -> Self {
        Self { every, due: Instant::now() + every, known: Listings::new(), looking: None }
    }

    pub(crate) fn every(&self) -> Duration {
        self.every
    }

    /// As [`crate::changes::Changes::watch`].
    pub(crate) fn watch(&mut self, folder: &Path) -> bool {
        // While a look is under way, what it looks at is not here: to list a folder twice does no harm.
        if self.known.contains_key(folder) {
            return false;
        }
        self.known.insert(folder.to_owned(), list(folder));
        self.looking.is_none()
    }

    pub(crate) async fn next(&mut self) -> io::Result<Changed> {
        loop {
            let Some(looking) = &mut self.looking else {
                tokio::time::sleep_until(self.due).await;
                let known = std::mem::take(&mut self.known);
                self.looking = Some(tokio::task::spawn_blocking(|| look(known)));
                continue;
            };
            let looked = looking.await;
            self.looking = None;
            self.due = Instant::now() + self.every;
            let (known, paths) = looked.map_err(io::Error::other)?;
            // The older listing of a folder that was asked for meanwhile: what changed since then is still to be told.
            self.known.extend(known);
            if !paths.is_empty() {
                return Ok(Changed::of(paths));
            }
        }
    }
}

/// Looks at all folders; those that are gone are told once and forgotten.
fn look(known: Listings) -> (Listings, BTreeSet<PathBuf>) {
    let mut now = Listings::new();
    let mut changed = BTreeSet::new();
    for (folder, before) in known {
        if !folder.is_dir() {
            changed.insert(folder);
            continue;
        }
        let after = list(&folder);
        let names: BTreeSet<_> = before.keys().chain(after.keys()).collect();
        changed
            .extend(names.iter().filter(|name| before.get(**name) != after.get(**name)).map(|name| folder.join(name)));
        now.insert(folder, after);
    }
    (now, changed)
}

/// Lists a folder; of a subfolder only that it is there, as its own times change with what is in it.
fn list(folder: &Path) -> Listing {
    // One that cannot be read now is as good as empty, and looked at again.
    let Ok(children) = std::fs::read_dir(folder) else { return Listing::new() };
    let children = children.filter_map(Result::ok);
    children
        .map(|child| {
            let looks = std::fs::metadata(child.path()).ok().filter(|metadata| !metadata.is_dir());
            let looks = looks.map(|metadata| Looks {
                inode: metadata.ino(),
                length: metadata.len(),
                modified: (metadata.mtime(), metadata.mtime_nsec()),
                changed: (metadata.ctime(), metadata.ctime_nsec()),
            });
            (child.file_name(), looks)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sees_what_came_went_and_changed() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("stays"), "1").unwrap();
        std::fs::write(path("goes"), "1").unwrap();
        std::fs::write(path("grows"), "1").unwrap();
        let known = Listings::from([(folder.path().to_owned(), list(folder.path()))]);
        std::fs::remove_file(path("goes")).unwrap();
        std::fs::write(path("grows"), "12").unwrap();
        std::fs::create_dir(path("comes")).unwrap();
        let (known, changed) = look(known);
        assert_eq!(changed, [path("comes"), path("goes"), path("grows")].into());
        std::fs::write(path("comes").join("inside"), "").unwrap();
        let (known, changed) = look(known);
        assert_eq!(changed, BTreeSet::new(), "a subfolder is looked at by itself");
        drop(folder);
        let (known, changed) = look(known);
        assert_eq!((known.len(), changed.len()), (0, 1));
    }

    #[tokio::test]
    async fn waits_until_there_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let mut polling = Polling::new(Duration::from_millis(5));
        assert!(polling.watch(folder.path()) && !polling.watch(folder.path()));
        let file = folder.path().join("file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(polling.next().await.unwrap(), Changed::Paths([file].into()));
    }
}
