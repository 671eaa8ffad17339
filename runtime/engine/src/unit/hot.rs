//! The place of the one idle instance that is taken and put back without a lock.
#![expect(unsafe_code, reason = "an owned pointer that threads exchange")]

use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Room for one boxed value, taken and put by an exchange.
///
/// All exchanges are sequentially consistent: who puts a value and then sees nobody waiting, and who says that it waits and then finds
/// nothing here, cannot both be.
pub(super) struct Hot<T>(AtomicPtr<T>);

// SAFETY: whoever exchanges the pointer owns what it points to; nobody looks at it in place.
unsafe impl<T: Send> Send for Hot<T> {}
// SAFETY: as above.
unsafe impl<T: Send> Sync for Hot<T> {}

impl<T> Hot<T> {
    pub(super) fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// Takes the value out.
    #[inline]
    pub(super) fn take(&self) -> Option<Box<T>> {
        let value = self.0.swap(ptr::null_mut(), Ordering::SeqCst);
        // SAFETY: it came from `Box::into_raw` in `put`, and the exchange leaves no copy of it.
        (!value.is_null()).then(|| unsafe { Box::from_raw(value) })
    }

    /// Puts a value in, or returns it if there is one already.
    #[inline]
    pub(super) fn put(&self, value: Box<T>) -> Result<(), Box<T>> {
        let value = Box::into_raw(value);
        match self.0.compare_exchange(ptr::null_mut(), value, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Ok(()),
            // SAFETY: it came from the box, and nobody else has seen it.
            Err(_) => Err(unsafe { Box::from_raw(value) }),
        }
    }
}

impl<T> Drop for Hot<T> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::Hot;

    #[test]
    fn holds_one_value_and_drops_it() {
        struct Counted<'a>(&'a AtomicUsize);
        impl Drop for Counted<'_> {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::Relaxed);
            }
        }
        let dropped = AtomicUsize::new(0);
        let hot = Hot::new();
        assert!(hot.take().is_none());
        assert!(hot.put(Box::new(Counted(&dropped))).is_ok());
        assert!(hot.put(Box::new(Counted(&dropped))).is_err());
        assert_eq!(dropped.load(Ordering::Relaxed), 1);
        drop(hot.take());
        assert_eq!(dropped.load(Ordering::Relaxed), 2);
        assert!(hot.put(Box::new(Counted(&dropped))).is_ok());
        drop(hot);
        assert_eq!(dropped.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn gives_each_value_to_one_thread() {
        let hot = Hot::new();
        let taken = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for number in 1..=10_000_usize {
                        let mut value = Box::new(number);
                        while let Err(back) = hot.put(value) {
                            value = back;
                            taken.fetch_add(hot.take().map_or(0, |value| *value), Ordering::Relaxed);
                        }
                    }
                });
            }
        });
        let rest = hot.take().map_or(0, |value| *value);
        assert_eq!(taken.load(Ordering::Relaxed) + rest, 10_000 * 10_001);
    }
}
