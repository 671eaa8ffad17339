//! Who cannot go on when a component is gone.

use std::collections::BTreeSet;

use crate::id::ComponentId;
use crate::ports::{StateView, StorageError};
use crate::status::Status;

/// Returns the active components that need `gone`, directly or through each other, each with the dependency that it loses, `gone` itself
/// if it needs that: dependents stand before what they need. Reads `gone`'s active dependents and theirs alone.
///
/// # Errors
/// [`StorageError`] if the state cannot be read.
pub fn lost_with(view: &dyn StateView, gone: &ComponentId) -> Result<Vec<(ComponentId, ComponentId)>, StorageError> {
    let active_dependents = |id: &ComponentId| -> Result<Vec<ComponentId>, StorageError> {
        let mut active = Vec::new();
        for dependent in view.dependents(id)? {
            if dependent != *gone && view.entry(&dependent)?.is_some_and(|entry| entry.status == Status::Active) {
                active.push(dependent);
            }
        }
        Ok(active)
    };
    let direct: BTreeSet<_> = view.dependents(gone)?.into_iter().collect();
    let mut order = Vec::new();
    let mut seen = BTreeSet::new();
    // Depth first without recursion: who stands on the path is done when all who need it are.
    let mut path = vec![(None, gone.clone(), active_dependents(gone)?)];
    while let Some((via, id, open)) = path.last_mut() {
        match open.pop() {
            Some(next) => {
                if seen.insert(next.clone()) {
                    let via = id.clone();
                    let dependents = active_dependents(&next)?;
                    path.push((Some(via), next, dependents));
                }
            }
            None => {
                if let Some(via) = via.take() {
                    // Who needs it directly need not be told of others.
                    let via = if direct.contains(id) { gone.clone() } else { via };
                    order.push((id.clone(), via));
                }
                path.pop();
            }
        }
    }
    Ok(order)
}
