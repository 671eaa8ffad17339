//! Calling an export of an active component.

use domain::call::{CallOutcome, CallRequest};
use domain::inspection::FunctionSignature;
use domain::ports::EngineError;
use domain::{ComponentId, Failure};

use crate::Registry;
use crate::error::RegistryError;

/// An active component, ready to be called again and again.
///
/// It follows the component: after a revision was replaced, calls go to the new one.
#[derive(Clone)]
pub struct InstanceHandle {
    registry: Registry,
    id: ComponentId,
}

impl InstanceHandle {
    /// Returns the component.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// Returns the functions that can be called.
    ///
    /// # Errors
    /// [`RegistryError::NotActive`] once the component is out of service.
    pub async fn functions(&self) -> Result<Vec<FunctionSignature>, RegistryError> {
        Ok(self.registry.unit(&self.id).await?.functions().to_vec())
    }

    /// Calls an export.
    ///
    /// # Errors
    /// As [`Registry::call`].
    pub async fn call(&self, request: CallRequest) -> Result<CallOutcome, RegistryError> {
        self.registry.call(&self.id, request).await
    }
}

impl Registry {
    /// Calls an export of an active component and returns its result. A WIT `err` is a result.
    ///
    /// A failure in the component or in one that it calls is in the history of whoever failed when this returns; the component
    /// stays active, and its next call gets a new instance.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::NotActive`], [`RegistryError::Call`], [`RegistryError::Activation`] if an
    /// instance could not be made.
    ///
    /// # Cancel safety
    /// Dropping the future ends the call; the instance is discarded.
    pub async fn call(&self, id: &ComponentId, mut request: CallRequest) -> Result<CallOutcome, RegistryError> {
        if request.caller.principal.is_none() {
            request.caller.principal = Some(self.actor.to_string());
        }
        let result = match self.unit(id).await {
            Ok(unit) => unit.call(request).await.map_err(|source| self.call_error(id, source)),
            Err(error) => Err(error),
        };
        match result {
            Ok(outcome) => Ok(outcome),
            Err(error) => {
                self.flush_failures().await?;
                Err(self.refused("call", Some(id), error).await)
            }
        }
    }

    /// Returns a handle on an active component. Counts as an access.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::NotActive`].
    pub async fn instance(&self, id: &ComponentId) -> Result<InstanceHandle, RegistryError> {
        self.unit(id).await?;
        self.inner.tracker.accessed(id);
        Ok(InstanceHandle { registry: self.clone(), id: id.clone() })
    }

    fn call_error(&self, id: &ComponentId, source: EngineError) -> RegistryError {
        match source {
            EngineError::Failed(failure) if is_activation(&failure) => RegistryError::Activation(failure),
            source => RegistryError::Call { component: id.clone(), source },
        }
    }
}

/// Tells whether no instance could be made for a call.
fn is_activation(failure: &Failure) -> bool {
    use domain::Phase;
    matches!(failure.phase, Phase::Instantiate | Phase::Restore | Phase::Activate)
}
