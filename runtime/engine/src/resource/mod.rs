//! Resources of one component in the hands of others.
//!
//! A handle of a guest's resource lives in the store of the component that defines the resource. Whoever else gets one holds a
//! number of the host in its own store, which stands for a [`Held`]: the handle itself, and the instance that it belongs to. Passed on, a
//! handle is moved from one component's [`Handles`] to another's; calls on it go to the instance that made it.

mod carry;
mod names;

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use wasmtime::component::ResourceAny;

pub(crate) use carry::{Handing, Handover, give_result, has_handles, take_args};
pub(crate) use names::{Interner, ResourceNames};

use crate::failure::Interrupt;
use crate::unit::{ComponentUnit, Pinned};

/// What ties handles to the instance that made them.
pub(crate) struct Tether {
    is_gone: AtomicBool,
    /// How many of its handles others hold.
    held: AtomicUsize,
    has_orphans: AtomicBool,
    is_awaited: AtomicBool,
    inner: Mutex<Knot>,
}

#[derive(Default)]
struct Knot {
    /// Handles whose holders went away without dropping them.
    orphans: Vec<ResourceAny>,
    /// Those who wait for this very instance.
    waiting: VecDeque<oneshot::Sender<Pinned>>,
}

impl Tether {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            is_gone: AtomicBool::new(false),
            held: AtomicUsize::new(0),
            has_orphans: AtomicBool::new(false),
            is_awaited: AtomicBool::new(false),
            inner: Mutex::default(),
        })
    }

    /// Tells whether the instance is no more.
    pub(crate) fn is_gone(&self) -> bool {
        self.is_gone.load(Ordering::Acquire)
    }

    /// Tells whether others hold handles of the instance.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Acquire) > 0
    }

    /// Says that the instance is no more; those who wait for it hear of it.
    pub(crate) fn cut(&self) {
        self.is_gone.store(true, Ordering::Release);
        let knot = std::mem::take(&mut *self.inner());
        drop(knot);
    }

    /// Tells whether there are handles that nobody holds any more.
    pub(crate) fn has_orphans(&self) -> bool {
        self.has_orphans.load(Ordering::Acquire)
    }

    /// Returns the handles that nobody holds any more, for the instance to drop.
    pub(crate) fn take_orphans(&self) -> Vec<ResourceAny> {
        let mut knot = self.inner();
        self.has_orphans.store(false, Ordering::Release);
        std::mem::take(&mut knot.orphans)
    }

    /// Waits for the instance, which somebody uses at the moment; `None` if it is gone already.
    pub(crate) fn wait(&self) -> Option<oneshot::Receiver<Pinned>> {
        let mut knot = self.inner();
        if self.is_gone() {
            return None;
        }
        let (sender, receiver) = oneshot::channel();
        knot.waiting.push_back(sender);
        self.is_awaited.store(true, Ordering::Release);
        Some(receiver)
    }

    /// Returns the next who waits for the instance.
    pub(crate) fn next(&self) -> Option<oneshot::Sender<Pinned>> {
        if !self.is_awaited.load(Ordering::Acquire) {
            return None;
        }
        let mut knot = self.inner();
        loop {
            match knot.waiting.pop_front() {
                Some(gone) if gone.is_closed() => {}
                None => {
                    self.is_awaited.store(false, Ordering::Release);
                    return None;
                }
                next => return next,
            }
        }
    }

    fn inner(&self) -> MutexGuard<'_, Knot> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A handle that a component holds of another's resource.
pub(crate) struct Held {
    /// The resource's type, by the engine's numbers.
    pub(crate) ty: u32,
    /// Whose instance made it; still that one's when another revision is in service.
    pub(crate) unit: Arc<ComponentUnit>,
    pub(crate) tether: Arc<Tether>,
    handle: Mutex<Option<ResourceAny>>,
}

impl Held {
    pub(crate) fn new(ty: u32, unit: &Arc<ComponentUnit>, tether: &Arc<Tether>, handle: ResourceAny) -> Self {
        tether.held.fetch_add(1, Ordering::AcqRel);
        Self { ty, unit: Arc::clone(unit), tether: Arc::clone(tether), handle: Mutex::new(Some(handle)) }
    }

    /// Returns the handle, which stays held.
    fn lend(&self) -> Option<ResourceAny> {
        *self.handle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the handle, which is its instance's own business from now on.
    pub(crate) fn give_back(&self) -> Option<ResourceAny> {
        let handle = self.handle.lock().unwrap_or_else(PoisonError::into_inner).take();
        if handle.is_some() {
            self.tether.held.fetch_sub(1, Ordering::AcqRel);
        }
        handle
    }
}

impl Drop for Held {
    /// Whoever held it went away: the instance that made it drops it when it is free to, or before its next call.
    fn drop(&mut self) {
        let Some(handle) = self.lend() else { return };
        if !self.tether.is_gone() {
            // Before it counts as held no more: an instance on its way out drops what it finds here.
            self.tether.inner().orphans.push(handle);
            self.tether.has_orphans.store(true, Ordering::Release);
        }
        self.give_back();
        if self.tether.is_gone() {
            return;
        }
        if let Ok(runtime) = Handle::try_current() {
            let (unit, tether) = (Arc::clone(&self.unit), Arc::clone(&self.tether));
            runtime.spawn(async move {
                unit.settle(tether).await;
            });
        }
    }
}

/// The handles that one instance holds, by the numbers that its guest's handles stand for.
#[derive(Default)]
pub(crate) struct Handles {
    held: Vec<Option<Arc<Held>>>,
    free: Vec<u32>,
}

impl Handles {
    /// Keeps a handle and returns its number; there may be `most` of them.
    pub(crate) fn insert(&mut self, held: Arc<Held>, most: usize) -> Result<u32, Interrupt> {
        if let Some(number) = self.free.pop()
            && let Some(place) = self.held.get_mut(number as usize)
        {
            *place = Some(held);
            return Ok(number);
        }
        let number = u32::try_from(self.held.len()).ok().filter(|_| self.held.len() < most);
        let number = number.ok_or(Interrupt::Handles { most })?;
        self.held.push(Some(held));
        Ok(number)
    }

    pub(crate) fn get(&self, number: u32) -> Option<&Arc<Held>> {
        self.held.get(number as usize)?.as_ref()
    }

    pub(crate) fn remove(&mut self, number: u32) -> Option<Arc<Held>> {
        let held = self.held.get_mut(number as usize)?.take()?;
        self.free.push(number);
        Some(held)
    }
}
