//! Long work on threads that may block, which ends soon once nobody waits for it any more.

use std::sync::{Mutex, PoisonError};

use domain::ports::Stop;
use tokio::sync::oneshot;

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;

/// Runs work that blocks and can be broken off, and remembers what was broken off and may not have ended yet.
#[derive(Debug, Default)]
pub struct Breakable(Mutex<Vec<oneshot::Receiver<()>>>);

impl Breakable {
    /// Runs work that blocks on a thread meant for that.
    ///
    /// # Errors
    /// Those of the work; [`RegistryError::Internal`] if it panicked.
    ///
    /// # Cancel safety
    /// Dropped, it tells the work to stop; [`Breakable::end`] waits until it has.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Stop) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let (ends, ended) = oneshot::channel::<()>();
        let stop = Stop::default();
        let mut waiting = Waiting { stop: stop.clone(), ended: Some(ended), breakable: self };
        let done = blocking(move || {
            let done = work(&stop);
            drop(ends);
            done
        });
        let done = done.await;
        waiting.ended = None;
        done
    }

    /// Waits until all that was broken off has ended, and has put away what it had begun.
    pub async fn end(&self) {
        let waiting = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        for ended in waiting {
            // Its sender is dropped when the work ends, whatever came of it.
            let _ = ended.await;
        }
    }

    fn add(&self, ended: oneshot::Receiver<()>) {
        let mut waiting = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those that have ended are forgotten: a server breaks off many in its life.
        waiting.retain_mut(|ended| matches!(ended.try_recv(), Err(oneshot::error::TryRecvError::Empty)));
        waiting.push(ended);
    }
}

/// Tells work to stop when it is dropped.
struct Waiting<'a> {
    stop: Stop,
    /// `None` once the work has ended.
    ended: Option<oneshot::Receiver<()>>,
    breakable: &'a Breakable,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(ended) = self.ended.take() {
            self.stop.stop();
            self.breakable.add(ended);
        }
    }
}

impl Registry {
    /// Runs work that blocks on a thread meant for that, and tells it to stop if the future is dropped; [`Registry::close`] waits for
    /// that.
    pub(crate) async fn breakable<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Stop) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        self.inner.breakable.run(work).await
    }
}
