//! Blobs that are being put into use: no sweep removes them, though nothing names them yet.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use domain::Digest;
use domain::ports::BlobsInUse;

/// Counts who is about to use which blob.
#[derive(Default)]
pub(crate) struct Pins {
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    pinned: HashMap<Digest, usize>,
    /// How many sweeps are under way.
    sweeps: usize,
    /// What was let go of since the first of them began: it may be named by now, but not by what that sweep has read.
    released: HashSet<Digest>,
}

impl Pins {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps the blob of `digest` from being removed until the pin is dropped; taken before the blob is put.
    pub(crate) fn pin(self: &Arc<Self>, digest: Digest) -> Pin {
        *self.held().pinned.entry(digest).or_default() += 1;
        Pin { pins: self.clone(), digest }
    }

    /// Begins a sweep: from now on whatever was pinned stays until its end.
    pub(crate) fn begin_sweep(self: &Arc<Self>) -> Sweep {
        self.held().sweeps += 1;
        Sweep { pins: self.clone(), named: HashSet::new() }
    }
}

/// Keeps one blob while it is put into use.
pub(crate) struct Pin {
    pins: Arc<Pins>,
    digest: Digest,
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut held = self.pins.held();
        if held.sweeps > 0 {
            held.released.insert(self.digest);
        }
        if let Some(count) = held.pinned.get_mut(&self.digest) {
            *count -= 1;
            if *count == 0 {
                held.pinned.remove(&self.digest);
            }
        }
    }
}

/// What a sweep must leave: the blobs that are named, and those that are or were pinned while it is under way.
pub(crate) struct Sweep {
    pins: Arc<Pins>,
    /// The blobs that entries name.
    pub(crate) named: HashSet<Digest>,
}

impl BlobsInUse for Sweep {
    fn unless_used(&self, digest: &Digest, remove: &mut dyn FnMut()) {
        if self.named.contains(digest) {
            return;
        }
        // Held while it is removed: whoever pins it after that finds no file and writes a new one.
        let held = self.pins.held();
        if !held.pinned.contains_key(digest) && !held.released.contains(digest) {
            remove();
        }
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        let mut held = self.pins.held();
        held.sweeps -= 1;
        if held.sweeps == 0 {
            held.released = HashSet::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_removed(sweep: &Sweep, digest: &Digest) -> bool {
        let mut removed = false;
        sweep.unless_used(digest, &mut || removed = true);
        removed
    }

    #[test]
    fn what_was_pinned_during_a_sweep_stays_until_its_end() {
        let pins = Arc::new(Pins::default());
        let [before, within, never] = [&b"before"[..], b"within", b"never"].map(Digest::of);
        let pin = pins.pin(before);
        let sweep = pins.begin_sweep();
        drop(pins.pin(within));
        assert!(!is_removed(&sweep, &before) && !is_removed(&sweep, &within) && is_removed(&sweep, &never));
        drop(pin);
        assert!(!is_removed(&sweep, &before));
        drop(sweep);
        let next = pins.begin_sweep();
        assert!(is_removed(&next, &before) && is_removed(&next, &within));
    }
}
