//! The source lines of a unit, read when its first failure asks for them.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use domain::ports::{CodeCache, CodeKey};

use super::Table;

/// Most bytes of tables that one engine keeps in memory. Units whose table has no room have no lines for as long as they live: none is
/// thrown out for another, so that no number of failing components has files read again and again.
const KEPT_BYTES_MAX: usize = 128 << 20;

/// How much of [`KEPT_BYTES_MAX`] is taken.
#[derive(Default)]
pub(crate) struct Room(AtomicUsize);

impl Room {
    fn take(self: &Arc<Self>, bytes: usize) -> Option<Taken> {
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= KEPT_BYTES_MAX);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Taken { room: Arc::clone(self), bytes })
    }
}

/// A part of the room, given back when it is dropped.
struct Taken {
    room: Arc<Room>,
    bytes: usize,
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.room.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// What there is to know of a unit's source lines.
pub(crate) struct SourceLines {
    key: CodeKey,
    table: OnceLock<Option<(Table, Taken)>>,
}

impl SourceLines {
    /// Makes the source lines of the code that is kept under `key`. Nothing is read yet.
    pub(crate) fn cached(key: CodeKey) -> Self {
        Self { key, table: OnceLock::new() }
    }

    /// Makes the source lines of code that is in no cache.
    pub(crate) fn loose(key: CodeKey, lines: Option<Vec<u8>>, room: &Arc<Room>) -> Self {
        Self { key, table: OnceLock::from(lines.and_then(|bytes| keep(bytes, room))) }
    }

    /// Returns the table, if there is one. The first time, its file is read; whether there was one is remembered.
    pub(crate) fn table(&self, cache: &dyn CodeCache, room: &Arc<Room>) -> Option<&Table> {
        let read = || cache.lines(&self.key).and_then(|bytes| keep(bytes, room));
        self.table.get_or_init(read).as_ref().map(|(table, _)| table)
    }
}

fn keep(bytes: Vec<u8>, room: &Arc<Room>) -> Option<(Table, Taken)> {
    let table = Table::read(bytes)?;
    let taken = room.take(table.len())?;
    Some((table, taken))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_bounded_and_given_back() {
        let room = Arc::new(Room::default());
        let most = room.take(KEPT_BYTES_MAX - 1).unwrap();
        assert!(room.take(2).is_none());
        let rest = room.take(1).unwrap();
        drop(most);
        assert!(room.take(2).is_some());
        drop(rest);
        assert_eq!(room.0.load(Ordering::Relaxed), 0);
    }
}
