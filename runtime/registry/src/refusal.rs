//! Refused operations are part of the history: who asked for what, and why not.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use domain::ports::Clock;
use domain::{Actor, ComponentId, ErrorKind, Event, Timestamp, text};

use crate::Registry;
use crate::error::RegistryError;

/// Within this time the same refusal is counted instead of written.
const REPEAT_WINDOW: Duration = Duration::from_secs(10);
/// Most different refusals that are remembered at once; beyond it the oldest is forgotten.
const REMEMBERED_MAX: usize = 256;
/// Longest error text kept, in bytes.
const ERROR_MAX: usize = 1_024;

#[derive(Clone, PartialEq, Eq, Hash)]
struct Refusal {
    actor: String,
    operation: &'static str,
    component: Option<ComponentId>,
    kind: ErrorKind,
    error: String,
}

impl Refusal {
    fn event(&self, count: u64) -> Event {
        Event::Refused {
            component: self.component.clone(),
            operation: self.operation.to_owned(),
            kind: self.kind,
            error: self.error.clone(),
            count,
        }
    }
}

struct Seen {
    written: Timestamp,
    repeats: u64,
    actor: Actor,
}

/// Remembers what was refused lately.
pub(crate) struct Refusals {
    clock: Arc<dyn Clock>,
    seen: Mutex<HashMap<Refusal, Seen>>,
}

impl Refusals {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, seen: Mutex::default() }
    }

    /// Counts one refusal; returns the event to write now, if it is one that is not only counted.
    fn count(&self, refusal: Refusal, actor: &Actor) -> Option<Event> {
        let now = self.clock.now();
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(earlier) = seen.get_mut(&refusal) {
            if now.since(earlier.written) < REPEAT_WINDOW {
                earlier.repeats += 1;
                return None;
            }
            let count = std::mem::take(&mut earlier.repeats) + 1;
            earlier.written = now;
            return Some(refusal.event(count));
        }
        if seen.len() >= REMEMBERED_MAX {
            let oldest = seen.iter().min_by_key(|(_, seen)| seen.written).map(|(refusal, _)| refusal.clone());
            oldest.and_then(|oldest| seen.remove(&oldest));
        }
        let event = refusal.event(1);
        seen.insert(refusal, Seen { written: now, repeats: 0, actor: actor.clone() });
        Some(event)
    }

    /// Takes the repeats that were only counted so far.
    fn take_repeats(&self) -> Vec<(Actor, Event)> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let repeated = seen.iter_mut().filter(|(_, seen)| seen.repeats > 0);
        repeated.map(|(refusal, seen)| (seen.actor.clone(), refusal.event(std::mem::take(&mut seen.repeats)))).collect()
    }
}

impl Registry {
    /// Records that `operation` was refused, if `error` is a refusal at all, and hands the error back.
    ///
    /// Failures of a component have records of their own, and what storage cannot do cannot be recorded in it.
    pub(crate) async fn refused(
        &self,
        operation: &'static str,
        component: Option<&ComponentId>,
        error: RegistryError,
    ) -> RegistryError {
        self.record_refusal(operation, component, &error).await;
        error
    }

    /// As [`Registry::refused`], of an error that stays where it is.
    pub(crate) async fn record_refusal(
        &self,
        operation: &'static str,
        component: Option<&ComponentId>,
        error: &RegistryError,
    ) {
        let recorded = error.failure().is_some()
            || matches!(error, RegistryError::Storage(_) | RegistryError::Internal(_) | RegistryError::Read { .. });
        if recorded {
            return;
        }
        let refusal = Refusal {
            actor: self.actor.to_string(),
            operation,
            component: component.or(error.component()).cloned(),
            kind: error.kind(),
            error: text::escape_line(&text::truncate(&error.to_string(), ERROR_MAX)).into_owned(),
        };
        if let Some(event) = self.inner.refusals.count(refusal, &self.actor)
            && let Err(failed) = self.commit(move |_| Ok((vec![event], ()))).await
        {
            // The caller needs to know why it was refused more than that this could not be written down.
            self.inner.tracker.note_lost(&failed);
        }
    }

    /// Writes the refusals that were only counted so far.
    pub(crate) async fn flush_refusals(&self) -> Result<(), RegistryError> {
        for (actor, event) in self.inner.refusals.take_repeats() {
            self.with_actor(actor).commit(move |_| Ok((vec![event], ()))).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::SeqCst))
        }
    }

    #[test]
    fn repeats_within_the_window_are_counted_and_written_with_the_next() {
        let clock = Arc::new(Hand(AtomicI64::new(0)));
        let refusals = Refusals::new(clock.clone());
        let refusal = || Refusal {
            actor: "cli:ada".to_owned(),
            operation: "activate",
            component: None,
            kind: ErrorKind::NotFound,
            error: "no".to_owned(),
        };
        let count = |event: Option<Event>| match event {
            Some(Event::Refused { count, .. }) => Some(count),
            _ => None,
        };
        assert_eq!(count(refusals.count(refusal(), &Actor::System)), Some(1));
        for _ in 0..5 {
            assert_eq!(refusals.count(refusal(), &Actor::System), None);
        }
        clock.0.store(11_000_000, Ordering::SeqCst);
        assert_eq!(count(refusals.count(refusal(), &Actor::System)), Some(6));
        assert_eq!(refusals.count(refusal(), &Actor::System), None);
        assert_eq!(refusals.take_repeats().len(), 1);
        assert!(refusals.take_repeats().is_empty());
    }
}
