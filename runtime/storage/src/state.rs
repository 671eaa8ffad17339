//! placeholder of the body, the signatures are final
use crate::folder::Warning;
use crate::lock::FolderLock;
use domain::ComponentId;
use domain::entry::{Entry, Revision};
use domain::event::{Actor, Record};
use domain::failure::LoggedFailure;
use domain::ports::{BoxFuture, Clock, Committed, Decision, StateStore, StateView, StorageError};
use domain::usage::Usage;
use std::path::Path;
use std::sync::Arc;

/// The state in a data folder.
pub struct JournaledState {
    _lock: FolderLock,
}
impl JournaledState {
    pub(crate) fn open(
        _path: &Path,
        _clock: Arc<dyn Clock>,
        lock: FolderLock,
    ) -> Result<(Self, Vec<Warning>), StorageError> {
        Ok((Self { _lock: lock }, Vec::new()))
    }
    pub(crate) fn close(&self) -> Result<(), StorageError> {
        Ok(())
    }
}
macro_rules! closed {
    ($t:ty) => {
        impl StateView for $t {
            fn entry(&self, _: &ComponentId) -> Result<Option<Arc<Entry>>, StorageError> {
                Err(StorageError::Closed)
            }
            fn revision(&self, _: &ComponentId, _: u32) -> Result<Option<Arc<Revision>>, StorageError> {
                Err(StorageError::Closed)
            }
            fn revisions(&self, _: &ComponentId) -> Result<Vec<Arc<Revision>>, StorageError> {
                Err(StorageError::Closed)
            }
            fn dependents(&self, _: &ComponentId) -> Result<Vec<ComponentId>, StorageError> {
                Err(StorageError::Closed)
            }
            fn find(&self, _: &str, _: &str) -> Result<Vec<ComponentId>, StorageError> {
                Err(StorageError::Closed)
            }
            fn count(&self, _: &str, _: &str) -> Result<u64, StorageError> {
                Err(StorageError::Closed)
            }
            fn index_keys(&self, _: &str) -> Result<Vec<(String, u64)>, StorageError> {
                Err(StorageError::Closed)
            }
            fn ids(&self, _: Option<&ComponentId>, _: usize) -> Result<Vec<ComponentId>, StorageError> {
                Err(StorageError::Closed)
            }
            fn failures(&self, _: Option<&ComponentId>, _: usize) -> Result<Vec<LoggedFailure>, StorageError> {
                Err(StorageError::Closed)
            }
            fn usage(&self, _: &ComponentId) -> Result<Usage, StorageError> {
                Err(StorageError::Closed)
            }
            fn custom_indexes(&self) -> Result<Vec<String>, StorageError> {
                Err(StorageError::Closed)
            }
            fn last_seq(&self) -> u64 {
                0
            }
        }
        impl StateStore for $t {
            fn commit(&self, _: Actor, _: Decision) -> BoxFuture<'static, Result<Committed, StorageError>> {
                Box::pin(async { Err(StorageError::Closed) })
            }
            fn add_usage(&self, _: &[(ComponentId, Usage)]) -> Result<(), StorageError> {
                Err(StorageError::Closed)
            }
            fn records(&self, _: u64, _: usize) -> Result<Vec<Record>, StorageError> {
                Err(StorageError::Closed)
            }
        }
    };
}
pub(crate) use closed;
closed!(JournaledState);
