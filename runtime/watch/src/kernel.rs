//! File events of the Linux kernel.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::path::{Path, PathBuf};

use futures::{FutureExt as _, StreamExt as _};
use inotify::{EventMask, EventOwned, EventStream, Inotify, WatchDescriptor, WatchMask, Watches};

use crate::changes::Changed;

/// Room for events that are read at once, in bytes.
const EVENTS_BYTES: usize = 16 << 10;
/// Most events that are told at once.
const EVENTS_AT_ONCE: usize = 4_096;

/// What ends a write, and what comes, goes or gets another name. A file that is still being written is not looked at.
const WANTED: WatchMask = WatchMask::CLOSE_WRITE
    .union(WatchMask::CREATE)
    .union(WatchMask::DELETE)
    .union(WatchMask::MOVE)
    .union(WatchMask::DELETE_SELF)
    .union(WatchMask::MOVE_SELF)
    .union(WatchMask::ONLYDIR);

pub(crate) struct Kernel {
    events: EventStream<Vec<u8>>,
    watches: Watches,
    folders: HashMap<PathBuf, WatchDescriptor>,
    paths: HashMap<WatchDescriptor, PathBuf>,
}

impl Kernel {
    pub(crate) fn open() -> io::Result<Self> {
        let system = Inotify::init()?;
        let watches = system.watches();
        let events = system.into_event_stream(vec![0; EVENTS_BYTES])?;
        Ok(Self { events, watches, folders: HashMap::new(), paths: HashMap::new() })
    }

    pub(crate) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.keys().map(PathBuf::as_path)
    }

    /// As [`crate::changes::Changes::watch`]. Asked again for a folder that took the place of another, it is that one from then on.
    pub(crate) fn watch(&mut self, folder: &Path) -> io::Result<bool> {
        let watch = match self.watches.add(folder, WANTED) {
            Ok(watch) => watch,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(false);
            }
            // What may not be read is not registered either, which says so.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(false),
            Err(error) => return Err(error),
        };
        let before = self.folders.insert(folder.to_owned(), watch.clone());
        if before.as_ref() == Some(&watch) {
            return Ok(false);
        }
        if let Some(before) = before {
            self.paths.remove(&before);
        }
        self.paths.insert(watch, folder.to_owned());
        Ok(true)
    }

    pub(crate) async fn next(&mut self) -> io::Result<Changed> {
        loop {
            let first = self.events.next().await.ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))??;
            let mut events = vec![first];
            while events.len() < EVENTS_AT_ONCE {
                // What is there already comes along; what goes wrong does so again.
                let Some(Some(Ok(event))) = self.events.next().now_or_never() else { break };
                events.push(event);
            }
            match self.take(events) {
                Changed::Paths(paths) if paths.is_empty() => {}
                changed => return Ok(changed),
            }
        }
    }

    fn take(&mut self, events: Vec<EventOwned>) -> Changed {
        let mut paths = BTreeSet::new();
        let mut lost = false;
        for EventOwned { wd: watch, mask, name, .. } in events {
            if mask.contains(EventMask::Q_OVERFLOW) {
                lost = true;
                continue;
            }
            let Some(folder) = self.paths.get(&watch) else { continue };
            let path = match &name {
                Some(name) => folder.join(name),
                None => folder.clone(),
            };
            if mask.intersects(EventMask::IGNORED | EventMask::MOVE_SELF) {
                // A watch goes with its folder, not with its path: under that there may be another folder by now.
                let folder = folder.clone();
                if self.folders.get(&folder) == Some(&watch) {
                    self.folders.remove(&folder);
                }
                self.paths.remove(&watch);
                if mask.contains(EventMask::MOVE_SELF) {
                    // One that is gone already needs no end.
                    let _ = self.watches.remove(watch);
                }
            }
            paths.insert(path);
        }
        if lost { Changed::All } else { Changed::of(paths) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths(changed: Changed) -> BTreeSet<PathBuf> {
        match changed {
            Changed::Paths(paths) => paths,
            Changed::All => panic!("it knows what changed"),
        }
    }

    #[tokio::test]
    async fn tells_of_files_that_are_written_moved_and_removed() {
        let folder = tempfile::tempdir().unwrap();
        let mut kernel = Kernel::open().unwrap();
        assert!(kernel.watch(folder.path()).unwrap());
        assert!(!kernel.watch(folder.path()).unwrap());
        let (one, two) = (folder.path().join("one"), folder.path().join("two"));
        std::fs::write(&one, "1").unwrap();
        assert_eq!(paths(kernel.next().await.unwrap()), [one.clone()].into());
        std::fs::rename(&one, &two).unwrap();
        assert_eq!(paths(kernel.next().await.unwrap()), [one, two.clone()].into());
        std::fs::remove_file(&two).unwrap();
        assert_eq!(paths(kernel.next().await.unwrap()), [two].into());
    }

    #[tokio::test]
    async fn a_folder_that_takes_the_place_of_another_can_be_watched() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("folder");
        std::fs::create_dir(&folder).unwrap();
        let mut kernel = Kernel::open().unwrap();
        kernel.watch(&folder).unwrap();
        std::fs::rename(&folder, place.path().join("elsewhere")).unwrap();
        assert_eq!(paths(kernel.next().await.unwrap()), [folder.clone()].into());
        assert!(!kernel.watch(&folder).unwrap(), "there is none");
        std::fs::create_dir(&folder).unwrap();
        assert!(kernel.watch(&folder).unwrap());
        std::fs::write(folder.join("new"), "").unwrap();
        assert_eq!(paths(kernel.next().await.unwrap()), [folder.join("new")].into());
    }
}
