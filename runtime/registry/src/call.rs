//! Calling an export of an active component.

use std::hash::{BuildHasher as _, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use domain::call::{CallId, CallOutcome, CallRequest};
use domain::inspection::FunctionSignature;
use domain::ports::{EngineError, Slot, Unit};
use domain::{ComponentId, Failure, Status};

use crate::Registry;
use crate::error::RegistryError;
use crate::names::unknown;

/// An active component, ready to be called again and again.
///
/// It follows the component: after a revision was replaced, calls go to the new one.
#[derive(Clone)]
pub struct InstanceHandle {
    registry: Registry,
    slot: Arc<Slot>,
    principal: Arc<str>,
}

impl InstanceHandle {
    /// Returns the component.
    pub fn id(&self) -> &ComponentId {
        self.slot.id()
    }

    /// Returns the functions that can be called.
    ///
    /// # Errors
    /// [`RegistryError::NotActive`] once the component is out of service.
    pub async fn functions(&self) -> Result<Vec<FunctionSignature>, RegistryError> {
        Ok(self.registry.unit(self.id()).await?.functions().to_vec())
    }

    /// Calls an export.
    ///
    /// # Errors
    /// As [`Registry::call`].
    pub async fn call(&self, request: CallRequest) -> Result<CallOutcome, RegistryError> {
        let unit = self.slot.unit();
        let request = on_behalf_of(&self.principal, request);
        self.registry.call_unit(self.id(), unit, request).await
    }
}

impl Registry {
    /// Calls an export of an active component and returns its result. A WIT `err` is a result.
    ///
    /// A failure in the component or in one that it calls is in the history of whoever failed when this returns; the component
    /// stays active, and its next call gets a new instance, unless it failed too often: then it is in quarantine, and its calls are
    /// refused until it was tried and did not fail. The first call after the time of the quarantine tries it.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::NotActive`], [`RegistryError::Quarantined`], [`RegistryError::Call`],
    /// [`RegistryError::Activation`] if an
    /// instance could not be made, [`RegistryError::NoRoom`] if none may be.
    ///
    /// # Cancel safety
    /// Dropping the future ends the call; the instance is discarded.
    pub async fn call(&self, id: &ComponentId, request: CallRequest) -> Result<CallOutcome, RegistryError> {
        let request = on_behalf_of(&self.principal(), request);
        if id.is_beside() {
            self.is_called_beside(id)?;
        }
        self.call_unit(id, self.unit_in_service(id), request).await
    }

    /// Checks that a revision beside the one in service is to be called: its unit goes on for a while for those that it was there for.
    fn is_called_beside(&self, id: &ComponentId) -> Result<(), RegistryError> {
        let entry = self.entry_now(id)?.ok_or_else(|| unknown(id))?;
        match entry.status {
            Status::Active => Ok(()),
            Status::Error if entry.quarantine().is_some() => Ok(()),
            status => Err(RegistryError::NotActive { component: id.clone(), status }),
        }
    }

    /// Calls `unit`, or the unit of `id` made ready now.
    async fn call_unit(
        &self,
        id: &ComponentId,
        unit: Option<Arc<dyn Unit>>,
        mut request: CallRequest,
    ) -> Result<CallOutcome, RegistryError> {
        if request.caller.call_id.is_none() {
            request.caller.call_id = self.inner.call_ids.next();
        }
        // What calls seldom need is boxed, so that none of them carries it about.
        let unit = match unit {
            Some(unit) => Ok(unit),
            None => match self.barrier(id) {
                // Costs a refused call next to nothing: no disk, no record, no wait.
                Some(barrier) => return self.call_at_barrier(id, barrier, request).await,
                None => Box::pin(self.unit(id)).await,
            },
        };
        if let Err(RegistryError::Quarantined { barrier, .. }) = unit {
            return self.call_at_barrier(id, barrier, request).await;
        }
        let unit = match unit {
            Ok(_) if self.inner.tracker.room.is_full() && self.makes_instance(id) => self.room_for(id).await.and(unit),
            unit => unit,
        };
        let result = match unit {
            Ok(unit) => match unit.call(request).await {
                Err(EngineError::Replaced(request)) => Box::pin(self.call_again(id, *request)).await,
                called => called.map_err(|source| self.call_error(id, source)),
            },
            Err(error) => Err(error),
        };
        match result {
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(Box::pin(self.refused_call(id, error)).await),
        }
    }

    /// Calls the unit that is in service by now: another one took the place of the one that was asked.
    async fn call_again(&self, id: &ComponentId, mut request: CallRequest) -> Result<CallOutcome, RegistryError> {
        loop {
            match self.unit(id).await?.call(request).await {
                // Once for each swap, each with less time left.
                Err(EngineError::Replaced(again)) => request = *again,
                called => return called.map_err(|source| self.call_error(id, source)),
            }
        }
    }

    async fn refused_call(&self, id: &ComponentId, error: RegistryError) -> RegistryError {
        match self.flush_failures().await {
            Ok(()) => self.refused("call", Some(id), error).await,
            Err(unwritten) => unwritten,
        }
    }

    /// Returns a handle on an active component. Counts as an access.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::NotActive`].
    pub async fn instance(&self, id: &ComponentId) -> Result<InstanceHandle, RegistryError> {
        self.unit(id).await?;
        self.inner.tracker.accessed(id);
        Ok(InstanceHandle { registry: self.clone(), slot: self.slot(id), principal: self.principal() })
    }

    fn principal(&self) -> Arc<str> {
        self.actor.to_string().into()
    }

    pub(crate) fn call_error(&self, id: &ComponentId, source: EngineError) -> RegistryError {
        match source {
            EngineError::Failed(failure) if is_activation(&failure) => RegistryError::Activation(failure),
            source => RegistryError::Call { component: id.clone(), source },
        }
    }
}

/// Gives out ids of calls: a count from a place that differs from process to process.
pub(crate) struct CallIds(AtomicU64);

impl CallIds {
    fn next(&self) -> CallId {
        match self.0.fetch_add(1, Ordering::Relaxed) {
            // Once in an age: zero stands for none.
            0 => self.next(),
            number => CallId::new(number),
        }
    }
}

impl Default for CallIds {
    fn default() -> Self {
        // The one source of randomness that every platform's standard library has.
        Self(AtomicU64::new(RandomState::new().hash_one(())))
    }
}

/// Names `principal` in a request that names nobody.
fn on_behalf_of(principal: &Arc<str>, mut request: CallRequest) -> CallRequest {
    request.caller.principal.get_or_insert_with(|| Arc::clone(principal));
    request
}

/// Tells whether no instance could be made for a call.
fn is_activation(failure: &Failure) -> bool {
    use domain::Phase;
    matches!(failure.phase, Phase::Instantiate | Phase::Restore | Phase::Activate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_call_has_an_id_of_its_own() {
        let ids = CallIds(AtomicU64::new(u64::MAX - 1));
        let given: std::collections::HashSet<_> = (0..3).map(|_| ids.next()).collect();
        assert!(given.len() == 3 && given.iter().all(|id| !id.is_none()), "{given:?}");
    }
}
