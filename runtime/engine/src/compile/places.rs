//! Who may compile now: so many at once, and the small ones are not kept waiting by the large ones alone.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Size from which on a component counts as large, in bytes: its compilation takes seconds.
const LARGE_FROM: u64 = 1 << 20;

/// So many compilations at once; of the places, large ones leave one free.
pub(super) struct Places {
    all: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

/// A place, given back when it is dropped.
pub(crate) struct Place {
    _place: OwnedSemaphorePermit,
    _large: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// Makes so many places, at least one. With one alone, small components do wait for large ones.
    pub(super) fn new(count: usize) -> Self {
        let count = count.clamp(1, Semaphore::MAX_PERMITS);
        Self { all: Arc::new(Semaphore::new(count)), large: Arc::new(Semaphore::new(count.saturating_sub(1).max(1))) }
    }

    /// Waits for a place for a component of `size` bytes; first come, first served among the large and among all.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the wait.
    pub(super) async fn take(&self, size: u64) -> Option<Place> {
        // The large ones wait among themselves first, so that they stand in nobody else's queue.
        let large = if size >= LARGE_FROM { Some(Arc::clone(&self.large).acquire_owned().await.ok()?) } else { None };
        let place = Arc::clone(&self.all).acquire_owned().await.ok()?;
        Some(Place { _place: place, _large: large })
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future as _, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    use super::*;

    /// Returns the place if one can be had without waiting.
    async fn now(places: &Places, size: u64) -> Option<Place> {
        let mut taking = pin!(places.take(size));
        poll_fn(|context| match taking.as_mut().poll(context) {
            Poll::Ready(place) => Poll::Ready(place),
            Poll::Pending => Poll::Ready(None),
        })
        .await
    }

    #[tokio::test]
    async fn a_small_component_finds_a_place_beside_large_ones() {
        let places = Places::new(3);
        let first = now(&places, 20 << 20).await;
        let second = now(&places, 2 << 20).await;
        assert!(first.is_some() && second.is_some());
        assert!(now(&places, 20 << 20).await.is_none(), "a third large one waits");
        let small = now(&places, 500).await;
        assert!(small.is_some());
        assert!(now(&places, 500).await.is_none(), "all places are taken");
        drop(first);
        assert!(now(&places, 20 << 20).await.is_some());
    }

    #[tokio::test]
    async fn a_single_place_serves_both() {
        let places = Places::new(0);
        let large = now(&places, 20 << 20).await;
        assert!(large.is_some() && now(&places, 500).await.is_none());
        drop(large);
        assert!(now(&places, 500).await.is_some());
    }
}
