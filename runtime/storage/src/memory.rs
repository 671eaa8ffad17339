//! The state without a disk.

use std::sync::{Arc, Mutex, PoisonError};

use domain::ComponentId;
use domain::event::{Actor, Record};
use domain::ports::{BoxFuture, Clock, Committed, Decision, StateStore, StateView, StorageError};
use domain::usage::Usage;

use crate::group::decide;
use crate::index::{MapRows, Overlay, RowsView, add_usage};

/// The registry's state in memory, gone with the process: the same reducer and the same questions as on disk.
pub struct MemoryStore {
    clock: Arc<dyn Clock>,
    rows: MapRows,
    records: Mutex<Vec<Arc<Record>>>,
    /// Held from reading the state to changing it.
    deciding: Mutex<()>,
}

impl MemoryStore {
    /// Makes an empty state that takes the times of its records from `clock`.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, rows: MapRows::default(), records: Mutex::default(), deciding: Mutex::default() }
    }

    fn ask<T>(&self, question: impl FnOnce(&RowsView<'_>) -> Result<T, StorageError>) -> Result<T, StorageError> {
        question(&RowsView { rows: &self.rows, last_seq: self.last_seq() })
    }

    fn commit_now(&self, actor: &Actor, decision: Decision) -> Result<Committed, StorageError> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let (records, changes) = decide(&self.rows, self.last_seq(), self.clock.now(), actor, decision)?;
        self.rows.change(&changes)?;
        self.records.lock().unwrap_or_else(PoisonError::into_inner).extend(records.iter().cloned());
        Ok(records)
    }

    fn add_usage_now(&self, usage: &[(ComponentId, Usage)]) -> Result<(), StorageError> {
        let _deciding = self.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let mut overlay = Overlay::over(&self.rows);
        add_usage(&mut overlay, usage)?;
        let changes = overlay.into_changes();
        self.rows.change(&changes)
    }
}

impl StateView for MemoryStore {
    answers_by_asking!();

    fn last_seq(&self) -> u64 {
        self.records.lock().unwrap_or_else(PoisonError::into_inner).last().map_or(0, |record| record.seq)
    }
}

impl StateStore for MemoryStore {
    fn commit(&self, actor: Actor, decide: Decision) -> BoxFuture<'static, Result<Committed, StorageError>> {
        let committed = self.commit_now(&actor, decide);
        Box::pin(std::future::ready(committed))
    }

    fn add_usage(&self, usage: Vec<(ComponentId, Usage)>) -> BoxFuture<'static, Result<(), StorageError>> {
        Box::pin(std::future::ready(self.add_usage_now(&usage)))
    }

    fn is_in_memory(&self) -> bool {
        true
    }

    fn records(&self, from: u64, limit: usize) -> Result<Vec<Record>, StorageError> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted = records.iter().filter(|record| record.seq >= from).take(limit);
        Ok(wanted.map(|record| (**record).clone()).collect())
    }
}
