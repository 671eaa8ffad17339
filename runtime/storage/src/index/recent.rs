//! Entries that were changed a moment ago, as values: whoever changes one again need not read its rows anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::ComponentId;
use domain::entry::Entry;

/// Most entries that are kept.
const ENTRIES_MAX: usize = 512;

/// Entries beside the rows that they were written as. One whose row is another by now is as good as not there, so that nothing has to
/// be taken out of here: not when a change comes to nothing, and not when an entry goes.
#[derive(Debug, Default)]
pub(crate) struct Recent(Mutex<Known>);

/// An entry for each id, with its row.
type Known = HashMap<ComponentId, (Vec<u8>, Arc<Entry>)>;

impl Recent {
    /// Returns the entry that was written as `row`. A row names the record that changed it last, so that no two entries have the same.
    pub(super) fn find(&self, id: &ComponentId, row: &[u8]) -> Option<Arc<Entry>> {
        self.known().get(id).filter(|(known, _)| known == row).map(|(_, entry)| entry.clone())
    }

    /// Keeps an entry that is written as `row`.
    pub(super) fn keep(&self, row: Vec<u8>, entry: Arc<Entry>) {
        let mut known = self.known();
        if known.len() >= ENTRIES_MAX && !known.contains_key(&entry.id) {
            known.clear();
        }
        known.insert(entry.id.clone(), (row, entry));
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
