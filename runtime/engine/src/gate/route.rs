//! Where the gates of an import lead.

use std::sync::Arc;

use arc_swap::ArcSwap;
use domain::ComponentId;
use domain::ports::Slot;

/// The place of whichever revision provides an import. It can lead elsewhere without the unit being linked anew: a revision that leaves
/// its place to another one goes on beside it for those that need it.
pub(crate) struct Route {
    /// The import's name in the component that calls.
    pub(crate) import: String,
    slot: ArcSwap<Slot>,
}

impl Route {
    pub(super) fn new(import: &str, slot: Arc<Slot>) -> Arc<Self> {
        Arc::new(Self { import: import.to_owned(), slot: ArcSwap::new(slot) })
    }

    /// Returns the place.
    pub(crate) fn slot(&self) -> Arc<Slot> {
        self.slot.load_full()
    }

    /// Returns the component, or the revision beside one, whose place it is.
    pub(super) fn id(&self) -> ComponentId {
        self.slot.load().id().clone()
    }

    /// Returns the place and how often it was turned, so that whoever keeps both notices when either changes.
    pub(super) fn look(&self) -> (Arc<Slot>, u64) {
        loop {
            let slot = self.slot();
            let turns = slot.turns();
            // Led elsewhere in between, that number may be the one from which nobody looks again.
            if Arc::ptr_eq(&slot, &self.slot.load()) {
                return (slot, turns);
            }
        }
    }

    /// Lets the import lead to `slot` from the next call on.
    pub(crate) fn lead_to(&self, slot: Arc<Slot>) {
        // Gates look here again when the place has been turned that they knew.
        self.slot.swap(slot).touch();
    }
}
