//! The way every change takes: decide on the newest state, append, tell.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};

use domain::ports::{Durability, StateView};
use domain::{ComponentId, Entry, Event, Record};
use tokio::sync::broadcast;

use crate::Registry;
use crate::beside::follow;
use crate::builder::EVENTS_BUFFERED;
use crate::error::RegistryError;
use crate::grants::Renewal;

/// The records of a decision, and its answer.
type Decided<T> = (Vec<Arc<Record>>, Result<T, RegistryError>);

impl Registry {
    /// Runs `decide` on the committer, appends its events, and returns its answer once they are durable.
    ///
    /// The decision is queued when this is called, not when the future is first polled. Status callbacks and subscribers
    /// hear of the events before the answer is returned.
    pub(crate) fn commit<T, D>(&self, decide: D) -> impl Future<Output = Result<T, RegistryError>> + Send + use<T, D>
    where
        T: Send + 'static,
        D: FnOnce(&dyn StateView) -> Result<(Vec<Event>, T), RegistryError> + Send + 'static,
    {
        self.commit_at(self.durability.unwrap_or_else(|| self.settings().durability), decide)
    }

    /// As [`Registry::commit`], with events that survive what `durability` says.
    pub(crate) fn commit_at<T, D>(
        &self,
        durability: Durability,
        decide: D,
    ) -> impl Future<Output = Result<T, RegistryError>> + Send + use<T, D>
    where
        T: Send + 'static,
        D: FnOnce(&dyn StateView) -> Result<(Vec<Event>, T), RegistryError> + Send + 'static,
    {
        let queued = self.queue(durability, decide);
        let registry = self.clone();
        async move {
            let (records, answer) = queued.await?;
            registry.tell(&records);
            registry.relink(&records).await;
            answer
        }
    }

    /// As [`Registry::commit`]; `turn` is called as soon as the events survive what they are to, before anybody hears of them. It is not
    /// called where the decision was an error.
    pub(crate) async fn commit_and_turn<T, D>(
        &self,
        decide: D,
        turn: impl FnOnce(&Self, &[Arc<Record>]) + Send,
    ) -> Result<T, RegistryError>
    where
        T: Send + 'static,
        D: FnOnce(&dyn StateView) -> Result<(Vec<Event>, T), RegistryError> + Send + 'static,
    {
        let durability = self.durability.unwrap_or_else(|| self.settings().durability);
        let (records, answer) = self.queue(durability, decide).await?;
        if answer.is_ok() {
            turn(self, &records);
        }
        self.tell(&records);
        self.relink(&records).await;
        answer
    }

    /// Queues a decision; the future has its records, once they are durable, and its answer.
    fn queue<T, D>(
        &self,
        durability: Durability,
        decide: D,
    ) -> impl Future<Output = Result<Decided<T>, RegistryError>> + Send + use<T, D>
    where
        T: Send + 'static,
        D: FnOnce(&dyn StateView) -> Result<(Vec<Event>, T), RegistryError> + Send + 'static,
    {
        let answer = Arc::new(Mutex::new(None));
        let slot = answer.clone();
        let decision = Box::new(move |view: &dyn StateView| {
            let decided = decide(view).and_then(|(mut events, answer)| {
                events.extend(follow(view, &events)?);
                Ok((events, answer))
            });
            let (events, answer) = match decided {
                Ok((events, answer)) => (events, Ok(answer)),
                Err(error) => (Vec::new(), Err(error)),
            };
            *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(answer);
            events
        });
        let queued = self.inner.state.commit_with(self.actor.clone(), decision, durability);
        async move {
            let records = queued.await?;
            let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).take();
            Ok((records, answer.unwrap_or_else(|| Err(RegistryError::Internal("a decision was not run".to_owned())))))
        }
    }

    /// Ends an operation on many components: what it did survives what the settings say, whatever the level of each change was.
    pub(crate) async fn secure(&self) -> Result<(), RegistryError> {
        let wanted = self.settings().durability;
        match self.durability {
            Some(level) if level < wanted => Ok(self.inner.state.secure(wanted).await?),
            Some(_) | None => Ok(()),
        }
    }

    /// Reads the state: right here if all of it is in memory, else on a thread that may block.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&dyn StateView) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let state = self.inner.state.clone();
        if state.is_in_memory() {
            return look(&*state);
        }
        blocking(move || look(&*state)).await
    }

    /// Reads an entry right here: one row, from memory or by one read of a file, costs less than a change of threads.
    pub(crate) fn entry_now(&self, id: &ComponentId) -> Result<Option<Arc<Entry>>, RegistryError> {
        Ok(self.inner.state.entry(id)?)
    }

    /// Lets subscribers, status callbacks and function indexes know of appended records.
    fn tell(&self, records: &[Arc<Record>]) {
        for record in records {
            if let Some(events) = self.inner.events.get() {
                // Nobody listening any more is not an error.
                let _ = events.send(record.clone());
            }
            self.inner.indexes.hear(record, &*self.inner.state);
            let event = &record.event;
            self.inner.hooks.reloaded(event);
            if let (Some((old, new)), Some(id)) = (event.statuses().filter(|(old, new)| old != new), event.component())
            {
                self.inner.hooks.status_changed(id, old, new);
            }
        }
    }

    /// Takes units out of service whose edges lead elsewhere now: they are linked anew at their next use. Where the same components
    /// provide the same imports, by whichever compatible export, they go on: gates find it. Those are replaced whose grants have changed,
    /// or what they are made of.
    async fn relink(&self, records: &[Arc<Record>]) {
        for record in records {
            self.hear(&record.event);
            match &record.event {
                Event::EdgesResolved { component, dependencies, .. } if self.is_linked_as(component, dependencies) => {
                    self.renew_made_with(component).await;
                }
                Event::EdgesResolved { component, dependencies, .. } => {
                    if self.is_to_be_led(component, dependencies) {
                        // Those that it is led to need not be ready yet.
                        self.make_ready(dependencies).await;
                        if self.is_linked_as(component, dependencies) {
                            continue;
                        }
                    }
                    if self.unit_in_service(component).is_some() {
                        self.out_of_service(component).await;
                    }
                    self.take_out_made_with(component).await;
                }
                Event::Granted { component, .. } | Event::Revoked { component, .. } => {
                    self.renew(component, Renewal::Authority).await;
                    self.renew_made_with(component).await;
                }
                Event::Fused { component, .. } | Event::Unfused { component, .. } => {
                    self.renew(component, Renewal::Code).await;
                }
                Event::RevisionSelected { component, .. } => self.renew_made_with(component).await,
                Event::Deactivated { component, .. } | Event::LeftBeside { component } if component.is_beside() => {
                    self.take_out_made_with(component).await;
                    self.retire_beside(component);
                }
                // Through a gate it could not be called any more either.
                Event::Deactivated { component, .. }
                | Event::Errored { component, .. }
                | Event::Quarantined { component, .. } => {
                    self.take_out_made_with(component).await;
                }
                _ => {}
            }
        }
    }

    async fn renew_made_with(&self, part: &ComponentId) {
        for made in self.made_with(part) {
            self.renew(&made, Renewal::Code).await;
        }
    }

    async fn take_out_made_with(&self, part: &ComponentId) {
        for made in self.made_with(part) {
            self.out_of_service(&made).await;
        }
    }

    /// Returns a receiver of every record appended from now on by this process.
    ///
    /// A receiver that lags more than a thousand records behind misses the oldest and is told how many; it can read them with
    /// [`Registry::records`].
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Record>> {
        self.inner.events.get_or_init(|| broadcast::Sender::new(EVENTS_BUFFERED)).subscribe()
    }
}

/// Runs work that blocks on a thread meant for that.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, RegistryError> + Send + 'static,
) -> Result<T, RegistryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(error) => Err(RegistryError::Internal(format!("a blocking task died: {error}"))),
    }
}
