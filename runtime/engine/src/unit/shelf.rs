//! Where a unit keeps its instances, and who may use one next.

use std::collections::VecDeque;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use super::instance::Live;
use crate::epoch::Deadline;

/// The idle instances of a unit, and the turns of those who want to use one.
///
/// There are as many turns as instances may exist. Turns are given in the order in which they were asked for. An instance is taken
/// out for the time of a call, so that a call that is dropped takes its instance with it.
pub(crate) struct Shelf {
    inner: Mutex<Inner>,
    /// Turns in all.
    most: usize,
    /// Most who may wait for a turn.
    queue: usize,
    /// Instances that exist, also while they are taken out.
    live: Arc<AtomicUsize>,
    /// For those who wait.
    me: Weak<Self>,
    /// Held by the one who gathers all turns: two who have half of them each would wait for ever.
    gathering: tokio::sync::Mutex<()>,
}

struct Inner {
    /// The one used last is taken first, so that those that are not needed grow old.
    idle: Vec<Idle>,
    /// Turns that nobody has.
    free: usize,
    waiting: VecDeque<oneshot::Sender<Granted>>,
}

struct Idle {
    live: Box<Live>,
    /// When it was put back, by the engine's coarse clock in milliseconds.
    since: u64,
}

/// The right to use one instance, or to make one; given back when it is dropped.
pub(crate) struct Turn<'a>(&'a Shelf);

/// A turn on its way to someone who waited for it.
struct Granted(Option<Arc<Shelf>>);

/// Why there is no turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// As many wait already as may.
    Full,
    /// The deadline passed while waiting.
    Late,
}

impl Shelf {
    pub(crate) fn new(most: usize, queue: usize) -> Arc<Self> {
        let most = most.max(1);
        let inner = Inner { idle: Vec::new(), free: most, waiting: VecDeque::new() };
        Arc::new_cyclic(|me| Self {
            inner: Mutex::new(inner),
            most,
            queue,
            live: Arc::default(),
            me: me.clone(),
            gathering: Default::default(),
        })
    }

    /// Counts the instances that exist; whoever makes one counts it here until it is dropped.
    pub(crate) fn live(&self) -> &Arc<AtomicUsize> {
        &self.live
    }

    /// Returns a turn and, if there is one, an idle instance; `None` if every turn is taken.
    pub(crate) fn try_turn(&self) -> Option<(Turn<'_>, Option<Box<Live>>)> {
        let mut inner = self.inner();
        inner.free = inner.free.checked_sub(1)?;
        let live = inner.idle.pop().map(|idle| idle.live);
        Some((Turn(self), live))
    }

    /// Returns a turn that has an idle instance; `None` if there is none now.
    pub(crate) fn try_idle(&self) -> Option<(Turn<'_>, Box<Live>)> {
        let mut inner = self.inner();
        let free = inner.free.checked_sub(1)?;
        let live = inner.idle.pop()?.live;
        inner.free = free;
        Some((Turn(self), live))
    }

    /// Waits for a turn, until `deadline` if there is one; who has none waits for as long as it takes, and is never one too many.
    ///
    /// # Cancel safety
    /// A turn that is given to a dropped future goes to the next.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        deadline: Option<Deadline>,
    ) -> Result<(Turn<'_>, Option<Box<Live>>), NoTurn> {
        let waiting = {
            let mut inner = self.inner();
            if let Some(free) = inner.free.checked_sub(1) {
                inner.free = free;
                let live = inner.idle.pop().map(|idle| idle.live);
                return Ok((Turn(self), live));
            }
            if inner.waiting.len() >= self.queue && deadline.is_some() {
                inner.waiting.retain(|waiting| !waiting.is_closed());
                if inner.waiting.len() >= self.queue {
                    return Err(NoTurn::Full);
                }
            }
            let (sender, receiver) = oneshot::channel();
            inner.waiting.push_back(sender);
            receiver
        };
        let granted = match deadline {
            None => waiting.await,
            Some(deadline) => {
                tokio::time::timeout_at(deadline.host_limit(), waiting).await.map_err(|_| NoTurn::Late)?
            }
        };
        // The shelf outlives those who wait at it, and drops none of them.
        let mut granted = granted.map_err(|_| NoTurn::Late)?;
        granted.0 = None;
        let live = self.inner().idle.pop().map(|idle| idle.live);
        Ok((Turn(self), live))
    }

    /// Takes the idle instances that nobody used since `before`, by the coarse clock, each with a turn, so that nobody uses
    /// them while they are ended.
    pub(crate) fn take_older(&self, before: u64) -> Vec<(Turn<'_>, Box<Live>)> {
        let mut inner = self.inner();
        // Those put back first stand first.
        let old = inner.idle.iter().take_while(|idle| idle.since <= before).count().min(inner.free);
        inner.free -= old;
        inner.idle.drain(..old).map(|idle| (Turn(self), idle.live)).collect()
    }

    /// Returns how many turns are taken, and since when the instance used last is idle, by the coarse clock.
    pub(crate) fn busy(&self) -> (usize, Option<u64>) {
        let inner = self.inner();
        (self.most - inner.free, inner.idle.iter().map(|idle| idle.since).max())
    }

    /// Waits for all turns, and returns them with the idle instances: while they are held nobody uses an instance or makes one.
    pub(crate) async fn all(self: &Arc<Self>) -> (Vec<Turn<'_>>, Vec<Box<Live>>) {
        let _gathering = self.gathering.lock().await;
        let (mut turns, mut lives) = (Vec::with_capacity(self.most), Vec::new());
        for _ in 0..self.most {
            // Without a deadline nobody is one too many or late.
            let Ok((turn, live)) = self.turn(None).await else { break };
            turns.push(turn);
            lives.extend(live);
        }
        (turns, lives)
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives a turn to whoever waits, or keeps it.
    fn pass_on(&self, mut inner: MutexGuard<'_, Inner>) {
        while let Some(next) = inner.waiting.pop_front() {
            match next.send(Granted(self.me.upgrade())) {
                Ok(()) => return,
                // Gone in the meantime. What it does not take must not come back here while the lock is held.
                Err(mut refused) => refused.0 = None,
            }
        }
        inner.free += 1;
    }
}

impl<'a> Turn<'a> {
    /// Puts an instance back and gives the turn to the next. `now` is the time by the coarse clock.
    pub(crate) fn put(self, live: Box<Live>, now: u64) {
        let shelf: &'a Shelf = self.0;
        std::mem::forget(self);
        let mut inner = shelf.inner();
        inner.idle.push(Idle { live, since: now });
        if inner.waiting.is_empty() {
            inner.free += 1;
        } else {
            shelf.pass_on(inner);
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.pass_on(self.0.inner());
    }
}

impl Drop for Granted {
    /// Whoever was to have the turn went away before taking it.
    fn drop(&mut self) {
        if let Some(shelf) = self.0.take() {
            shelf.pass_on(shelf.inner());
        }
    }
}
