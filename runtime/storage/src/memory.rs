//! A state without a disk.
use domain::ComponentId;
use domain::entry::{Entry, Revision};
use domain::event::{Actor, Record};
use domain::failure::LoggedFailure;
use domain::ports::{BoxFuture, Clock, Committed, Decision, StateStore, StateView, StorageError};
use domain::usage::Usage;
use std::path::Path;
use std::sync::Arc;
/// A state in memory.
pub struct MemoryStore;
impl MemoryStore {
    /// Makes an empty one.
    pub fn new(_clock: Arc<dyn Clock>) -> Self {
        let _: Option<&Path> = None;
        Self
    }
}
crate::state::closed!(MemoryStore);
