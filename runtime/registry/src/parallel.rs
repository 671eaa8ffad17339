//! Doing the same with many things, several at once.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt as _;
use tokio::task::JoinSet;

use crate::error::RegistryError;

/// Does `work` with each of `items` on at most `parallel` tasks, and returns what came out in no particular order.
///
/// Each task takes the next item when it is done with one: a task for each item would cost more in changes of threads than
/// loading cached code takes. A panic is the error of one item.
///
/// # Cancel safety
/// Dropping the future drops the work under way and begins no more.
pub(crate) async fn for_each<T, R, F, W>(items: Vec<T>, parallel: usize, work: W) -> Vec<Result<R, RegistryError>>
where
    T: Send + 'static,
    R: Send + 'static,
    F: Future<Output = R> + Send + 'static,
    W: Fn(T) -> F + Send + Sync + 'static,
{
    let tasks = items.len().min(parallel);
    let done = Mutex::new(Vec::with_capacity(items.len()));
    let share = Arc::new(Share { left: Mutex::new(items.into_iter()), done, work });
    let mut running = JoinSet::new();
    for _ in 1..tasks {
        running.spawn(share.clone().run());
    }
    let mut died = Vec::new();
    // Whoever asks takes part: a task of its own would be one more change of threads, and memory of another thread.
    while let Err(panic) = AssertUnwindSafe(share.clone().run()).catch_unwind().await {
        died.push(Err(RegistryError::Internal(format!("the work on one item died: {}", words(&*panic)))));
    }
    while let Some(ended) = running.join_next().await {
        if let Err(panic) = ended {
            died.push(Err(RegistryError::Internal(format!("the work on one item died: {panic}"))));
            running.spawn(share.clone().run());
        }
    }
    let mut done = std::mem::take(&mut *lock(&share.done));
    done.extend(died);
    done
}

/// Returns what a panic said.
fn words(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or(panic.downcast_ref::<&str>().copied()).unwrap_or("it panicked")
}

/// What the tasks have in common.
struct Share<T, R, W> {
    left: Mutex<std::vec::IntoIter<T>>,
    done: Mutex<Vec<Result<R, RegistryError>>>,
    work: W,
}

impl<T, R, W, F> Share<T, R, W>
where
    F: Future<Output = R>,
    W: Fn(T) -> F,
{
    async fn run(self: Arc<Self>) {
        loop {
            // Bound to a name, so that the lock is not held while working.
            let next = lock(&self.left).next();
            let Some(item) = next else { return };
            let result = (self.work)(item).await;
            lock(&self.done).push(Ok(result));
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_dies_is_one_item_and_the_others_are_done() {
        for parallel in 1..4 {
            let results = for_each(vec![1, 2, 3, 4, 5], parallel, |n| async move {
                tokio::task::yield_now().await;
                assert_ne!(n % 2, 0, "even");
                n
            });
            let results = results.await;
            let mut done: Vec<_> = results.iter().filter_map(|result| result.as_ref().ok().copied()).collect();
            done.sort_unstable();
            assert_eq!(done, [1, 3, 5]);
            assert_eq!(results.len(), 5);
        }
    }
}
