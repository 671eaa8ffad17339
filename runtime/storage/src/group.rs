//! One decision: from the state it looks at to the records and the changes of rows that it leads to.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use domain::Timestamp;
use domain::event::{Actor, Record};
use domain::ports::{Committed, Decision, StorageError};

use crate::index::{Changes, Overlay, Rows, RowsView, apply};

/// Runs `decision` on `rows`, in which the records up to `last_seq` are.
///
/// # Errors
/// [`StorageError`] if rows cannot be read, or the decision panicked; nothing is changed then.
pub(crate) fn decide(
    rows: &dyn Rows,
    last_seq: u64,
    now: Timestamp,
    actor: &Actor,
    decision: Decision,
) -> Result<(Committed, Changes), StorageError> {
    // A decision is foreign code: it must not take the committer down with it.
    let decided = catch_unwind(AssertUnwindSafe(|| decision(&RowsView { rows, last_seq })));
    let events = decided.map_err(|_| StorageError::Index { reason: "a decision panicked".to_owned() })?;
    let mut overlay = Overlay::over(rows);
    let mut records = Vec::with_capacity(events.len());
    for (seq, event) in (last_seq + 1..).zip(events) {
        let record = Record { seq, at: now, actor: actor.clone(), version: event.version(), event };
        apply(&mut overlay, &record)?;
        records.push(Arc::new(record));
    }
    Ok((records, overlay.into_changes()))
}
