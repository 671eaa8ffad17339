//! Where a unit keeps its instances, and who may use one next.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::oneshot;

use super::hot::Hot;
use super::instance::Live;
use crate::epoch::Deadline;
use crate::resource::Tether;

/// The idle instances of a unit, and the turns of those who want to use one.
///
/// There are as many turns as instances may exist. Turns are given in the order in which they were asked for. An instance is taken
/// out for the time of a call, so that a call that is dropped takes its instance with it.
pub(crate) struct Shelf {
    /// An idle instance with its turn, for who comes next: most calls end before the next begins, and locks cost as much as they do.
    hot: Hot<Live>,
    inner: Mutex<Inner>,
    /// How many wait for a turn or for one instance. While anybody does, nothing is put into the hot place.
    awaited: AtomicUsize,
    /// Turns in all.
    most: usize,
    /// Whether every call gets an instance of its own: those that are put back are for whoever holds handles of them.
    is_fresh: bool,
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
    #[expect(clippy::vec_box, reason = "they are handed on in their boxes")]
    idle: Vec<Box<Live>>,
    /// Turns that nobody has, but for that of the hot instance.
    free: usize,
    waiting: VecDeque<oneshot::Sender<Granted>>,
}

/// The right to use one instance, or to make one; given back when it is dropped.
pub(crate) struct Turn<'a>(&'a Shelf);

/// Somebody who waits at a shelf.
struct Waits<'a>(&'a Shelf);

/// A turn on its way to someone who waited for it.
struct Granted(Option<Arc<Shelf>>);

/// An instance that somebody waited for, with a turn, on its way there.
pub(crate) struct Pinned {
    live: Option<Box<Live>>,
    shelf: Option<Arc<Shelf>>,
    since: u64,
}

/// Why there is no turn.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoTurn {
    /// As many wait already as may.
    Full,
    /// The deadline passed while waiting.
    Late,
    /// The instance that was waited for is no more.
    Gone,
}

impl Shelf {
    pub(crate) fn new(most: usize, queue: usize, is_fresh: bool) -> Arc<Self> {
        let most = most.max(1);
        let inner = Inner { idle: Vec::new(), free: most, waiting: VecDeque::new() };
        Arc::new_cyclic(|me| Self {
            hot: Hot::new(),
            inner: Mutex::new(inner),
            awaited: AtomicUsize::new(0),
            most,
            is_fresh,
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
        if let Some(live) = self.hot.take() {
            return Some((Turn(self), Some(live)));
        }
        let mut inner = self.inner();
        inner.free = inner.free.checked_sub(1)?;
        let live = self.take_idle(&mut inner);
        Some((Turn(self), live))
    }

    /// Returns a turn that has an idle instance; `None` if there is none now.
    #[inline]
    pub(crate) fn try_idle(&self) -> Option<(Turn<'_>, Box<Live>)> {
        self.hot.take().map(|live| (Turn(self), live)).or_else(|| self.try_other())
    }

    fn try_other(&self) -> Option<(Turn<'_>, Box<Live>)> {
        let mut inner = self.inner();
        let free = inner.free.checked_sub(1)?;
        let live = self.take_idle(&mut inner)?;
        inner.free = free;
        Some((Turn(self), live))
    }

    fn take_idle(&self, inner: &mut Inner) -> Option<Box<Live>> {
        if self.is_fresh {
            return None;
        }
        inner.idle.pop()
    }

    /// Waits for a turn, until `deadline` if there is one; who has none waits for as long as it takes, and is never one too many.
    ///
    /// # Cancel safety
    /// A turn that is given to a dropped future goes to the next.
    pub(crate) async fn turn(
        self: &Arc<Self>,
        deadline: Option<Deadline>,
    ) -> Result<(Turn<'_>, Option<Box<Live>>), NoTurn> {
        let _waits = self.waits();
        let waiting = {
            let mut inner = self.inner();
            if let Some(free) = inner.free.checked_sub(1) {
                inner.free = free;
                let live = self.take_idle(&mut inner);
                return Ok((Turn(self), live));
            }
            self.line_up(&mut inner, deadline.is_some())?
        };
        let turn = self.granted(waiting, deadline).await?;
        let live = self.take_idle(&mut self.inner());
        Ok((turn, live))
    }

    /// Gets in line for a turn, if there is room or it need not be asked for.
    fn line_up(&self, inner: &mut Inner, is_bounded: bool) -> Result<oneshot::Receiver<Granted>, NoTurn> {
        if inner.waiting.len() >= self.queue && is_bounded {
            inner.waiting.retain(|waiting| !waiting.is_closed());
            if inner.waiting.len() >= self.queue {
                return Err(NoTurn::Full);
            }
        }
        let (sender, receiver) = oneshot::channel();
        inner.waiting.push_back(sender);
        Ok(receiver)
    }

    async fn granted(
        &self,
        waiting: oneshot::Receiver<Granted>,
        deadline: Option<Deadline>,
    ) -> Result<Turn<'_>, NoTurn> {
        let granted = match deadline {
            None => waiting.await,
            Some(deadline) => {
                tokio::time::timeout_at(deadline.host_limit(), waiting).await.map_err(|_| NoTurn::Late)?
            }
        };
        // The shelf outlives those who wait at it, and drops none of them.
        let mut granted = granted.map_err(|_| NoTurn::Late)?;
        granted.0 = None;
        Ok(Turn(self))
    }

    /// Waits for the instance that `tether` ties, until `deadline`.
    ///
    /// # Cancel safety
    /// As [`Self::turn`].
    pub(crate) async fn pinned(
        self: &Arc<Self>,
        tether: &Arc<Tether>,
        deadline: Deadline,
    ) -> Result<(Turn<'_>, Box<Live>), NoTurn> {
        let mut turn: Option<Turn<'_>> = None;
        let _waits = self.waits();
        loop {
            let wait = {
                let mut inner = self.inner();
                match inner.idle.iter().position(|idle| Arc::ptr_eq(idle.store.data().tether(), tether)) {
                    Some(place) => {
                        let free = match &turn {
                            Some(_) => Some(inner.free),
                            None => inner.free.checked_sub(1),
                        };
                        match free {
                            Some(free) => {
                                inner.free = free;
                                let live = inner.idle.remove(place);
                                return Ok((turn.unwrap_or(Turn(self)), live));
                            }
                            None => Err(self.line_up(&mut inner, true)?),
                        }
                    }
                    // Whoever uses it now puts it back under the same lock.
                    None => Ok(tether.wait().ok_or(NoTurn::Gone)?),
                }
            };
            match wait {
                Err(waiting) => turn = Some(self.granted(waiting, Some(deadline)).await?),
                Ok(waiting) => {
                    // Whoever has the instance has a turn for it.
                    drop(turn.take());
                    let pinned = tokio::time::timeout_at(deadline.host_limit(), waiting).await;
                    let mut pinned = pinned.map_err(|_| NoTurn::Late)?.map_err(|_| NoTurn::Gone)?;
                    pinned.shelf = None;
                    let live = pinned.live.take().ok_or(NoTurn::Gone)?;
                    return Ok((Turn(self), live));
                }
            }
        }
    }

    /// Takes the idle instances that nobody used since `before`, by the coarse clock, each with a turn, so that nobody uses
    /// them while they are ended.
    pub(crate) fn take_older(&self, before: u64) -> Vec<(Turn<'_>, Box<Live>)> {
        let mut inner = self.inner();
        // Who holds handles of an instance wants it later.
        let is_old = |live: &mut Box<Live>| live.idle_since <= before && !live.store.data().tether().is_held();
        let free = inner.free;
        let old: Vec<_> = inner.idle.extract_if(.., is_old).take(free).collect();
        inner.free -= old.len();
        old.into_iter().map(|live| (Turn(self), live)).collect()
    }

    /// Returns how many turns are taken, and since when the instance used last is idle, by the coarse clock.
    pub(crate) fn busy(&self) -> (usize, Option<u64>) {
        let inner = self.inner();
        (self.most - inner.free, inner.idle.iter().map(|idle| idle.idle_since).max())
    }

    /// Returns how many turns there are.
    pub(crate) fn most(&self) -> usize {
        self.most
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
        lives.append(&mut self.inner().idle);
        (turns, lives)
    }

    /// Locks the shelf, with the hot instance among the others.
    fn inner(&self) -> MutexGuard<'_, Inner> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = self.hot.take() {
            self.receive(&mut inner, live);
        }
        inner
    }

    /// Takes an instance back with its turn: gives it to whoever waits for it, or keeps it and gives the turn to the next.
    fn receive(&self, inner: &mut Inner, mut live: Box<Live>) {
        while let Some(waiting) = live.store.data().tether().next() {
            let since = live.idle_since;
            let pinned = Pinned { live: Some(live), shelf: self.me.upgrade(), since };
            match waiting.send(pinned) {
                Ok(()) => return,
                Err(mut refused) => {
                    // Gone in the meantime; it must not come back here while the lock is held.
                    refused.shelf = None;
                    match refused.live.take() {
                        Some(back) => live = back,
                        None => return,
                    }
                }
            }
        }
        inner.idle.push(live);
        self.release(inner);
    }

    /// Gives a turn to whoever waits, or keeps it.
    fn release(&self, inner: &mut Inner) {
        while let Some(next) = inner.waiting.pop_front() {
            match next.send(Granted(self.me.upgrade())) {
                Ok(()) => return,
                // Gone in the meantime. What it does not take must not come back here while the lock is held.
                Err(mut refused) => refused.0 = None,
            }
        }
        inner.free += 1;
    }

    /// Begins to wait. Called before the lock is taken: who puts an instance into the hot place after that sees it.
    fn waits(&self) -> Waits<'_> {
        self.awaited.fetch_add(1, Ordering::SeqCst);
        Waits(self)
    }

    fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::SeqCst) > 0
    }
}

impl<'a> Turn<'a> {
    /// Puts an instance back and gives the turn to the next. `now` is the time by the coarse clock.
    #[inline]
    pub(crate) fn put(self, mut live: Box<Live>, now: u64) {
        let shelf: &'a Shelf = self.0;
        std::mem::forget(self);
        live.idle_since = now;
        if shelf.is_fresh || shelf.is_awaited() {
            return shelf.receive(&mut shelf.inner(), live);
        }
        if let Err(live) = shelf.hot.put(live) {
            return shelf.receive(&mut shelf.inner(), live);
        }
        // Somebody came to wait in the meantime, and may not have found it.
        if shelf.is_awaited() {
            drop(shelf.inner());
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.release(&mut self.0.inner());
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.awaited.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Drop for Pinned {
    /// Whoever was to have the instance went away before taking it.
    fn drop(&mut self) {
        if let (Some(live), Some(shelf)) = (self.live.take(), self.shelf.take()) {
            Turn(&shelf).put(live, self.since);
        }
    }
}

impl Drop for Granted {
    /// Whoever was to have the turn went away before taking it.
    fn drop(&mut self) {
        if let Some(shelf) = self.0.take() {
            shelf.release(&mut shelf.inner());
        }
    }
}
