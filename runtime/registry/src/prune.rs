//! Pruning: removing what nobody has used for a long time.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use domain::{ComponentId, Entry, Status, Timestamp};

use crate::Registry;
use crate::beside::dependents_of_all;
use crate::error::RegistryError;
use crate::query::each_page;

/// What pruning removed, or would remove.
#[derive(Debug, Default)]
pub struct PruneReport {
    /// What was removed, dependents first; in a dry run, what would be.
    pub pruned: Vec<Unused>,
    /// What is unused but stays, ordered, each with a component that needs it and is not pruned.
    pub needed: Vec<(ComponentId, ComponentId)>,
    /// What could not be removed.
    pub failed: Vec<(ComponentId, RegistryError)>,
}

/// A component that nobody has used for long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unused {
    /// The component.
    pub id: ComponentId,
    /// Its status.
    pub status: Status,
    /// When it was last registered, changed or used, whichever is latest.
    pub last_used: Timestamp,
    /// When it was called last, `None` if it never was.
    pub last_accessed: Option<Timestamp>,
}

/// An unused component and who needs it.
struct Candidate {
    unused: Unused,
    dependents: Vec<ComponentId>,
}

impl Registry {
    /// Unregisters the components that are not active, were registered, changed and used last longer than `unused_for` ago, and that
    /// nothing needs which stays. With `dry_run` it only says which.
    ///
    /// # Errors
    /// [`RegistryError::Storage`]; what keeps one component from being removed is in the report.
    pub async fn prune(&self, unused_for: Duration, dry_run: bool) -> Result<PruneReport, RegistryError> {
        let limit = i64::try_from(unused_for.as_micros()).unwrap_or(i64::MAX);
        let before = Timestamp::from_micros(self.inner.clock.now().as_micros().saturating_sub(limit));
        let registry = self.clone();
        self.take_gate_usage();
        let candidates = self.read(move |view| {
            let mut found = BTreeMap::new();
            each_page(view, |ids| {
                for id in ids {
                    let Some(entry) = view.entry(&id)? else { continue };
                    let mut usage = view.usage(&id)?;
                    usage.merge(&registry.inner.tracker.pending(&id));
                    let Some(unused) = unused(&entry, usage.last_accessed, before) else { continue };
                    let dependents =
                        dependents_of_all(view, &id)?.into_iter().filter(|dependent| *dependent != id).collect();
                    found.insert(id, Candidate { unused, dependents });
                }
                Ok(())
            })?;
            Ok(found)
        });
        let (order, needed) = removable(candidates.await?);
        let mut report = PruneReport { needed, ..PruneReport::default() };
        if dry_run {
            report.pruned = order;
            return Ok(report);
        }
        let mut changed_here = HashMap::new();
        let mut left = order;
        loop {
            let mut failed = Vec::new();
            let count = left.len();
            for unused in left {
                match self.prune_one(&unused, before, &changed_here).await {
                    Ok(Some(changed)) => {
                        changed_here.extend(changed);
                        report.pruned.push(unused);
                    }
                    // It was used in the meantime.
                    Ok(None) => {}
                    Err(error) => failed.push((unused, error)),
                }
            }
            if failed.len() == count {
                for (unused, error) in failed {
                    let error = self.refused("prune", Some(&unused.id), error).await;
                    report.failed.push((unused.id, error));
                }
                break;
            }
            // One that could not choose between two may have been linked to the second when the first went, and is gone by now.
            left = failed.into_iter().map(|(unused, _)| unused).collect();
        }
        self.secure().await?;
        Ok(report)
    }

    /// Removes one component if it is still unused; the decision to remove it sees the newest dependents once more. `changed_here`
    /// are the records by which the removal of others has changed components: that is no use of them. Returns what this one
    /// changed, `None` if it stays.
    async fn prune_one(
        &self,
        unused_then: &Unused,
        before: Timestamp,
        changed_here: &HashMap<ComponentId, u64>,
    ) -> Result<Option<Vec<(ComponentId, u64)>>, RegistryError> {
        let id = &unused_then.id;
        let Some(entry) = self.entry_now(id)? else { return Ok(None) };
        self.take_gate_usage();
        let accessed = unused_then.last_accessed.max(self.inner.tracker.pending(id).last_accessed);
        let untouched = changed_here.get(id) == Some(&entry.changed_seq) && accessed == unused_then.last_accessed;
        if !untouched && unused(&entry, accessed, before).is_none() {
            return Ok(None);
        }
        self.unregister_one(id, true).await.map(Some)
    }
}

/// Returns what is known of an entry that was not used since `before`; `None` if it was.
fn unused(entry: &Entry, last_accessed: Option<Timestamp>, before: Timestamp) -> Option<Unused> {
    let last_used = entry.registered_at.max(entry.changed_at).max(entry.revision.registered_at);
    let last_used = last_accessed.map_or(last_used, |accessed| accessed.max(last_used));
    let id = entry.id.clone();
    let is_unused = entry.status != Status::Active && last_used < before;
    is_unused.then_some(Unused { id, status: entry.status, last_used, last_accessed })
}

/// Takes out what is needed by something that stays, and orders the rest, dependents first.
fn removable(mut found: BTreeMap<ComponentId, Candidate>) -> (Vec<Unused>, Vec<(ComponentId, ComponentId)>) {
    let mut needed = Vec::new();
    loop {
        let kept = |on: &ComponentId| !found.contains_key(on);
        let stays: Vec<_> = found
            .iter()
            .filter_map(|(id, found)| Some((id.clone(), found.dependents.iter().find(|on| kept(on))?.clone())))
            .collect();
        if stays.is_empty() {
            break;
        }
        for (id, by) in stays {
            found.remove(&id);
            needed.push((id, by));
        }
    }
    needed.sort();
    let mut order = Vec::with_capacity(found.len());
    let mut gone = BTreeSet::new();
    while !found.is_empty() {
        let ready: Vec<_> = found
            .iter()
            .filter(|(_, found)| found.dependents.iter().all(|dependent| gone.contains(dependent)))
            .map(|(id, _)| id.clone())
            .collect();
        // In a cycle, which only damaged data has, nobody is first: its components stay.
        if ready.is_empty() {
            break;
        }
        for id in ready {
            order.extend(found.remove(&id).map(|found| found.unused));
            gone.insert(id);
        }
    }
    (order, needed)
}
