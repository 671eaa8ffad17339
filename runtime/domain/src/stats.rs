//! Health and usage reports: sums over what is known, without asking anybody.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::entry::Entry;
use crate::id::ComponentId;
use crate::status::Status;
use crate::usage::Usage;

/// How well the registry's components are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct HealthReport {
    /// Number of entries.
    pub total: u64,
    /// Number of entries in each status; every status is there.
    pub by_status: BTreeMap<Status, u64>,
    /// Entries that are not in error and whose last probe, if any, did not fail.
    pub healthy_count: u64,
    /// Entries in status `error`.
    pub error_count: u64,
    /// Healthy entries of all, from 0 to 100; 100 for an empty registry.
    pub health_percentage: f64,
}

impl HealthReport {
    /// Makes the report from counts, as indexes give them: entries by status, and healthy ones.
    pub fn from_counts(counts: impl IntoIterator<Item = (Status, u64)>, healthy_count: u64) -> Self {
        let mut by_status: BTreeMap<Status, u64> = Status::ALL.into_iter().map(|status| (status, 0)).collect();
        for (status, count) in counts {
            *by_status.entry(status).or_default() += count;
        }
        let total = by_status.values().sum();
        Self {
            total,
            healthy_count,
            error_count: by_status.get(&Status::Error).copied().unwrap_or(0),
            by_status,
            health_percentage: if total == 0 { 100.0 } else { ratio(healthy_count, total) * 100.0 },
        }
    }

    /// Makes the report from entries.
    pub fn of<'a>(entries: impl IntoIterator<Item = &'a Entry>) -> Self {
        let mut counts: BTreeMap<Status, u64> = BTreeMap::new();
        let mut healthy = 0;
        for entry in entries {
            *counts.entry(entry.status).or_default() += 1;
            healthy += u64::from(entry.is_healthy());
        }
        Self::from_counts(counts, healthy)
    }
}

/// How many bytes a data folder has of what, as its files say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FolderSizes {
    /// Number of blobs.
    pub blobs: u64,
    /// Bytes of the journal.
    pub journal_bytes: u64,
    /// Bytes of the index.
    pub index_bytes: u64,
    /// Bytes of the blobs, unfinished writes included.
    pub blob_bytes: u64,
    /// Bytes of the cache of compiled code.
    pub cache_bytes: u64,
    /// Bytes of what guests printed.
    pub output_bytes: u64,
}

/// How large a registry is: what is in it, and the bytes of its data folder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RegistrySize {
    /// Number of entries.
    pub entries: u64,
    /// Number of edges between them.
    pub edges: u64,
    /// What its data folder has; zeros if it has none.
    #[serde(flatten)]
    pub folder: FolderSizes,
}

/// How much the registry's components are used, and how fast they are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StatsReport {
    /// Number of entries.
    pub total_components: u64,
    /// Entries in status `active`.
    pub active_components: u64,
    /// Accesses of all entries: calls, and look-ups of instances.
    pub total_accesses: u64,
    /// Accesses of an entry on average, 0 for an empty registry.
    pub avg_accesses: f64,
    /// The entry with the most accesses, the first by id of several; `None` if nothing was accessed.
    pub most_accessed: Option<ComponentId>,
    /// Mean time of an activation in microseconds, 0 if there was none.
    pub avg_activation_us: u64,
    /// Mean time of looking an entry up in microseconds, 0 if nothing was looked up.
    pub avg_lookup_us: u64,
    /// Share of uses, from 0 to 1, that found a live instance; 0 if there was no use.
    pub cache_hit_rate: f64,
    /// Instances that the process has now.
    pub live_instances: u64,
    /// Each entry's use, ordered by id.
    pub components: Vec<ComponentStats>,
}

/// How much one component is used, and how fast it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ComponentStats {
    /// The component.
    pub id: ComponentId,
    /// Finished calls, failed ones included.
    pub calls: u64,
    /// Failed calls.
    pub errors: u64,
    /// Fuel used by calls.
    pub fuel: u64,
    /// Mean time of a call in microseconds.
    pub mean_us: u64,
    /// Median of the times of calls in microseconds, right to within an eighth.
    pub p50_us: u64,
    /// The time in microseconds that 99 of 100 calls do not exceed, right to within an eighth.
    pub p99_us: u64,
}

/// How long look-ups took, counted by whoever looks up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lookups {
    /// Number of look-ups.
    pub count: u64,
    /// Time of all of them in nanoseconds.
    pub total_ns: u64,
}

impl StatsReport {
    /// Makes the report from each entry's id, status and counters, and from how many instances there are.
    pub fn of(
        components: impl IntoIterator<Item = (ComponentId, Status, Usage)>,
        lookups: Lookups,
        live_instances: u64,
    ) -> Self {
        let mut all = Usage::default();
        let mut active_components = 0;
        let mut most: Option<(u64, ComponentId)> = None;
        let mut stats = Vec::new();
        for (id, status, usage) in components {
            all.merge(&usage);
            // What is active beside another revision is the same component.
            active_components += u64::from(status == Status::Active && !id.is_beside());
            let leads = most.as_ref().is_none_or(|(count, leader)| {
                usage.access_count > *count || (usage.access_count == *count && id < *leader)
            });
            if usage.access_count > 0 && leads {
                most = Some((usage.access_count, id.clone()));
            }
            stats.push(ComponentStats::of(id, &usage));
        }
        stats.sort_by(|a, b| a.id.cmp(&b.id));
        let total_components = stats.iter().filter(|stats| !stats.id.is_beside()).count() as u64;
        Self {
            total_components,
            active_components,
            total_accesses: all.access_count,
            avg_accesses: ratio(all.access_count, total_components),
            most_accessed: most.map(|(_, id)| id),
            avg_activation_us: mean(all.activation_us, all.activations),
            avg_lookup_us: mean(lookups.total_ns, lookups.count.saturating_mul(1_000)),
            cache_hit_rate: ratio(all.instance_hits, all.instance_hits + all.instance_misses),
            live_instances,
            components: stats,
        }
    }
}

impl ComponentStats {
    /// Makes one component's statistics from its counters.
    pub fn of(id: ComponentId, usage: &Usage) -> Self {
        Self {
            id,
            calls: usage.calls,
            errors: usage.errors,
            fuel: usage.fuel,
            mean_us: usage.durations.mean_us(),
            p50_us: usage.durations.percentile_us(50),
            p99_us: usage.durations.percentile_us(99),
        }
    }
}

/// Returns `part / whole`, 0 if `whole` is 0.
fn ratio(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// Returns `sum / count` rounded to the nearest whole number, 0 if `count` is 0.
fn mean(sum: u64, count: u64) -> u64 {
    sum.saturating_add(count / 2).checked_div(count).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn id(name: &str) -> ComponentId {
        ComponentId::new("test", name).unwrap()
    }

    #[test]
    fn an_empty_registry_is_wholly_healthy() {
        let report = HealthReport::of([]);
        assert_eq!((report.total, report.healthy_count, report.health_percentage), (0, 0, 100.0));
        assert_eq!(report.by_status.len(), Status::ALL.len());
    }

    #[test]
    fn a_failed_probe_lowers_health_without_being_an_error() {
        let report = HealthReport::from_counts([(Status::Active, 6), (Status::Error, 2)], 5);
        assert_eq!((report.total, report.error_count, report.health_percentage), (8, 2, 62.5));
    }

    #[test]
    fn adds_up_use_and_names_the_most_used() {
        let mut busy = Usage { access_count: 9, calls: 8, errors: 1, fuel: 700, ..Usage::default() };
        busy.instance_hits = 3;
        busy.instance_misses = 1;
        busy.activations = 2;
        busy.activation_us = 301;
        busy.durations.add(Duration::from_micros(100));
        let same = Usage { access_count: 9, ..Usage::default() };
        let components = [
            (id("c"), Status::Active, busy),
            (id("b"), Status::Inactive, same),
            (id("a"), Status::Active, Usage::default()),
        ];
        let report = StatsReport::of(components, Lookups { count: 4, total_ns: 10_000 }, 5);
        assert_eq!(report.live_instances, 5);
        assert_eq!(report.most_accessed, Some(id("b")));
        assert_eq!((report.total_components, report.active_components, report.total_accesses), (3, 2, 18));
        assert_eq!((report.avg_accesses, report.cache_hit_rate), (6.0, 0.75));
        assert_eq!((report.avg_activation_us, report.avg_lookup_us), (151, 3));
        assert_eq!(report.components.iter().map(|c| c.id.name()).collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!((report.components[2].calls, report.components[2].mean_us), (8, 100));
    }

    #[test]
    fn nothing_was_used_in_an_empty_registry() {
        let report = StatsReport::of([], Lookups::default(), 0);
        assert_eq!((report.avg_accesses, report.cache_hit_rate, report.avg_lookup_us), (0.0, 0.0, 0));
        assert_eq!(report.most_accessed, None);
    }
}
