//! The end of a unit whose place another took: what it has begun goes on for a while, and nothing begins.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::MutexGuard;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use domain::ports::{Drain, Drained};
use tokio::sync::Notify;

use super::ComponentUnit;
use super::instance::Live;
use super::shelf::{Inner, Shelf, Turn};
use crate::epoch::{Deadline, TICK};
use crate::failure::Interrupt;

/// How long a call that is cancelled has to end: one that computes ends with the next tick.
const CUT_GRACE: Duration = Duration::from_millis(500);

/// How often at least it is looked whether a handle was given up by somebody who tells nobody, for instance on a thread that ends.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The instances of one unit: how many there are, and whether those that serve a call have to stop.
#[derive(Default)]
pub(crate) struct Herd {
    live: AtomicUsize,
    is_cut: AtomicBool,
    cut: Notify,
    /// Told of each turn that is given back to a retired unit.
    changed: Notify,
}

impl Herd {
    pub(super) fn add(&self) {
        self.live.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn remove(&self) {
        self.live.fetch_sub(1, Ordering::Relaxed);
    }

    /// Returns how many instances exist, also while they are taken out.
    pub(crate) fn count(&self) -> usize {
        self.live.load(Ordering::Relaxed)
    }

    /// Tells whether running calls have to stop.
    pub(super) fn is_cut(&self) -> bool {
        self.is_cut.load(Ordering::Relaxed)
    }

    /// Has all running calls stop: those that wait at once, those that compute with the next tick.
    fn cut(&self) {
        self.is_cut.store(true, Ordering::Relaxed);
        self.cut.notify_waiters();
    }

    pub(super) fn tell(&self) {
        self.changed.notify_waiters();
    }

    /// As [`super::enter::bounded`], and no longer than until the calls of the unit are cut.
    pub(super) async fn bounded<T, W>(&self, deadline: Deadline, mut work: Pin<&mut W>) -> wasmtime::Result<T>
    where
        W: Future<Output = wasmtime::Result<T>> + Send,
    {
        if let Poll::Ready(outcome) = poll_fn(|context| Poll::Ready(work.as_mut().poll(context))).await {
            return outcome;
        }
        Box::pin(async {
            let mut cut = std::pin::pin!(self.cut.notified());
            cut.as_mut().enable();
            if self.is_cut() {
                return Err(Interrupt::Replaced.into());
            }
            tokio::select! {
                biased;
                outcome = tokio::time::timeout_at(deadline.host_limit(), work) => {
                    outcome.unwrap_or_else(|_| Err(Interrupt::Deadline.into()))
                }
                () = cut => Err(Interrupt::Replaced.into()),
            }
        })
        .await
    }
}

impl Shelf {
    /// Takes no more calls: those that wait for a turn, or ask from now on, are sent away. Who holds handles is still served. Returns how
    /// many turns are taken.
    pub(super) fn retire(&self) -> usize {
        self.cool_for_good();
        let mut inner = self.inner();
        inner.is_retired = true;
        self.send_away_from(inner)
    }

    /// Sends those away that wait for a turn, to ask where they belong now; who asks from now on is served. Returns how many turns are taken.
    pub(super) fn send_away(&self) -> usize {
        self.send_away_from(self.inner())
    }

    fn send_away_from(&self, mut inner: MutexGuard<'_, Inner>) -> usize {
        let waiting = std::mem::take(&mut inner.waiting);
        let (gone, stay) = waiting.into_iter().partition::<Vec<_>, _>(|waiting| waiting.asks.is_for_service());
        inner.waiting = stay.into();
        let taken = self.most() - inner.free;
        drop(inner);
        drop(gone);
        taken
    }

    /// Takes idle instances of which nobody holds handles, or all of them, each with a turn.
    fn take_idle_for_good(&self, is_all: bool) -> Vec<(Turn<'_>, Box<Live>)> {
        let mut inner = self.inner();
        let mut taken = Vec::new();
        let mut place = 0;
        while inner.free > 0 && place < inner.idle.len() {
            let is_held = inner.idle.get(place).is_some_and(|live| live.store.data().tether().is_held());
            if is_held && !is_all {
                place += 1;
            } else {
                inner.free -= 1;
                taken.push((Turn(self), inner.idle.remove(place)));
            }
        }
        taken
    }

    /// Tells whether there is no instance and nobody who uses or makes one.
    fn is_empty(&self) -> bool {
        let inner = self.inner();
        inner.free == self.most() && inner.idle.is_empty()
    }

    /// Returns how many turns are taken.
    fn taken(&self) -> usize {
        self.most() - self.inner().free
    }
}

impl ComponentUnit {
    /// See [`domain::ports::Unit::drain`].
    pub(super) async fn drain_instances(&self, time: Drain) -> Drained {
        let began = Instant::now();
        let mut drained = Drained::default();
        let mut is_cut = false;
        loop {
            let mut changed = std::pin::pin!(self.shelf.herd().changed.notified());
            changed.as_mut().enable();
            let past = began.elapsed();
            for (turn, live) in self.shelf.take_idle_for_good(past >= time.handles) {
                drained.held += usize::from(live.store.data().tether().is_held());
                // What its guest does when handles are dropped comes before its end.
                if let Some(live) = self.drop_orphans(live).await {
                    self.end(live, turn).await;
                }
            }
            if self.shelf.is_empty() || past >= time.calls.saturating_add(CUT_GRACE) {
                return drained;
            }
            if past >= time.calls && !is_cut {
                is_cut = true;
                drained.cancelled = self.shelf.taken();
                self.shelf.herd().cut();
            }
            let next = [time.handles, time.calls, time.calls.saturating_add(CUT_GRACE)];
            let next = next.into_iter().filter(|at| *at > past).min().map_or(TICK, |at| at - past);
            // Nothing more than a look around follows if nobody tells before.
            let _told = tokio::time::timeout(next.min(LOOK_EVERY), changed).await;
        }
    }
}
