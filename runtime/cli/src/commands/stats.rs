use domain::ComponentId;
use domain::stats::{ComponentStats, RegistrySize, StatsReport};
use serde::Serialize;

use crate::error::{CliError, Done};
use crate::output::{human_count, human_size, human_us, plural};
use crate::select::resolve_all;
use crate::session::Session;
use crate::style::Paint;
use crate::table::Table;

/// Show usage and timings
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime stats
  runtime stats demo:greeter -o json")]
pub(crate) struct Args {
    /// Components [default: all]
    #[arg(value_name = "ID")]
    pub(crate) ids: Vec<String>,
}

#[derive(Debug, Serialize)]
struct StatsDoc {
    total_components: u64,
    active_components: u64,
    total_accesses: u64,
    avg_accesses: f64,
    most_accessed: Option<ComponentId>,
    avg_activation_us: u64,
    avg_lookup_us: u64,
    cache_hit_rate: f64,
    live_instances: u64,
    components: Vec<ComponentDoc>,
    /// Of the whole registry; not where components were named.
    #[serde(skip_serializing_if = "Option::is_none")]
    registry_size: Option<RegistrySize>,
    /// Of the process that has the registry open; not where components were named, nor where the system does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory: Option<MemoryDoc>,
}

#[derive(Debug, Serialize)]
struct MemoryDoc {
    resident_bytes: u64,
    /// The most since the process began.
    peak_bytes: u64,
}

impl MemoryDoc {
    fn of_this_process() -> Option<Self> {
        Self::parse(&std::fs::read_to_string("/proc/self/status").ok()?)
    }

    fn parse(status: &str) -> Option<Self> {
        let bytes = |name: &str| {
            let value = status.lines().find_map(|line| line.strip_prefix(name))?;
            value.trim().strip_suffix("kB")?.trim_end().parse::<u64>().ok()?.checked_mul(1_024)
        };
        Some(Self { resident_bytes: bytes("VmRSS:")?, peak_bytes: bytes("VmHWM:")? })
    }
}

#[derive(Debug, Serialize)]
struct ComponentDoc {
    id: ComponentId,
    calls: u64,
    errors: u64,
    fuel: u64,
    mean_us: u64,
    p50_us: u64,
    p99_us: u64,
}

impl From<StatsReport> for StatsDoc {
    fn from(report: StatsReport) -> Self {
        Self {
            total_components: report.total_components,
            active_components: report.active_components,
            total_accesses: report.total_accesses,
            avg_accesses: report.avg_accesses,
            most_accessed: report.most_accessed,
            avg_activation_us: report.avg_activation_us,
            avg_lookup_us: report.avg_lookup_us,
            cache_hit_rate: report.cache_hit_rate,
            live_instances: report.live_instances,
            components: report.components.into_iter().map(ComponentDoc::from).collect(),
            registry_size: None,
            memory: None,
        }
    }
}

impl From<ComponentStats> for ComponentDoc {
    fn from(stats: ComponentStats) -> Self {
        Self {
            id: stats.id,
            calls: stats.calls,
            errors: stats.errors,
            fuel: stats.fuel,
            mean_us: stats.mean_us,
            p50_us: stats.p50_us,
            p99_us: stats.p99_us,
        }
    }
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let registry = session.registry().await?;
    let selected = resolve_all(registry, &args.ids).await;
    if let Some(failed) = selected.failed.into_iter().next() {
        return Err(failed.error);
    }
    let report = match selected.targets.as_slice() {
        [only] => registry.stats(Some(&only.id)).await?,
        several => {
            let mut report = registry.stats(None).await?;
            if !several.is_empty() {
                report.components.retain(|component| several.iter().any(|target| target.id == component.id));
            }
            report
        }
    };
    let mut document = StatsDoc::from(report);
    if args.ids.is_empty() {
        document.registry_size = Some(registry.size().await?);
        document.memory = MemoryDoc::of_this_process();
    }
    session.out.result(&document, text)?;
    Ok(Done::All)
}

fn text(document: &StatsDoc, paint: Paint) -> String {
    let mut text = format!(
        "{}, {} active; {} accesses",
        plural(usize::try_from(document.total_components).unwrap_or(usize::MAX), "component"),
        human_count(document.active_components),
        human_count(document.total_accesses),
    );
    if let Some(most) = &document.most_accessed {
        text.push_str(&format!(", most of {}", paint.bold(most.as_str())));
    }
    text.push_str(&format!(
        "\nactivation {}, look-up {}, {:.0}% of uses found a live instance, {} live now\n",
        human_us(document.avg_activation_us),
        human_us(document.avg_lookup_us),
        document.cache_hit_rate * 100.0,
        human_count(document.live_instances),
    ));
    let mut table = Table::new(&["COMPONENT", ">CALLS", ">ERRORS", ">FUEL", ">MEAN", ">MEDIAN", ">P99"]);
    for component in document.components.iter().filter(|component| component.calls > 0) {
        table.row(vec![
            component.id.to_string().into(),
            human_count(component.calls).into(),
            human_count(component.errors).into(),
            human_count(component.fuel).into(),
            human_us(component.mean_us).into(),
            human_us(component.p50_us).into(),
            human_us(component.p99_us).into(),
        ]);
    }
    if !table.is_empty() {
        text.push_str(&table.render());
    }
    if let Some(size) = &document.registry_size {
        let folder = size.folder;
        text.push_str(&format!(
            "on disk: journal {}, index {}, {} blobs {}, compiled code {}\n",
            human_size(folder.journal_bytes),
            human_size(folder.index_bytes),
            human_count(folder.blobs),
            human_size(folder.blob_bytes),
            human_size(folder.cache_bytes),
        ));
    }
    if let Some(memory) = &document.memory {
        text.push_str(&format!(
            "in memory: {}, at most {} so far\n",
            human_size(memory.resident_bytes),
            human_size(memory.peak_bytes)
        ));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_from_what_the_system_says_or_left_out() {
        let memory = MemoryDoc::parse("Name:\truntime\nVmHWM:\t   20480 kB\nVmRSS:\t   1024 kB\n").unwrap();
        assert_eq!((memory.resident_bytes, memory.peak_bytes), (1 << 20, 20 << 20));
        for odd in [
            "",
            "VmRSS: 1024 kB",
            "VmRSS: 1024\nVmHWM: 1",
            "VmRSS: x kB\nVmHWM: 1 kB",
            "VmRSS: 99999999999999999999 kB",
        ] {
            assert!(MemoryDoc::parse(odd).is_none(), "{odd}");
        }
    }
}
