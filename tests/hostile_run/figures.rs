//! What is measured while the corpus runs, and the bounds that it is held against.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::case::Case;
use crate::host::Host;
use crate::judge::Tried;
use crate::neighbours::Load;

/// How much later than its deadline a case may end.
const LATE_MAX: Duration = Duration::from_millis(100);
/// How long the refusal of a compile bomb may take that needs no compiler.
const REFUSAL_MAX: Duration = Duration::from_millis(200);
/// How much the host may grow while it refuses a compile bomb, in bytes.
const BOMB_GROWTH_MAX: u64 = 32 << 20;
/// How much more memory the host may have at the end than after the first runs, in percent.
const GROWTH_PERCENT_MAX: u64 = 5;
/// Of a hundred runs, those after which memory and files are taken as what the host needs: until then the index keeps more and more of
/// the newest records in memory, up to a bound.
const WARM_UP_PERCENT: usize = 40;

/// How many cases are named beside which the neighbours were slowest.
const SHOWN_DISTURBERS: usize = 12;

/// Measurements of all runs.
pub(crate) struct Figures {
    runs: usize,
    cases: BTreeMap<String, Slowest>,
    /// Resident memory and open files after each run.
    ends: Vec<(u64, usize)>,
}

#[derive(Default)]
struct Slowest {
    /// When it ran.
    spans: Vec<(Instant, Instant)>,
    took: Duration,
    within: Duration,
    growth: u64,
}

impl Figures {
    pub(crate) fn new(runs: usize) -> Self {
        Self { runs, cases: BTreeMap::new(), ends: Vec::new() }
    }

    /// Adds one try of a case.
    pub(crate) fn add(&mut self, case: &Case, begun: Instant, tried: &Tried, growth: u64) {
        let slowest = self.cases.entry(case.name.clone()).or_default();
        slowest.spans.push((begun, Instant::now()));
        slowest.within = case.expected.within;
        slowest.took = slowest.took.max(tried.took);
        slowest.growth = slowest.growth.max(growth);
    }

    /// Adds the end of a run.
    pub(crate) fn end_run(&mut self, host: &Host) {
        self.ends.push((host.settled_memory(), host.files()));
    }

    /// Prints the table and returns which bounds were not kept; a single run is too short to hold against them.
    pub(crate) fn table(&self, load: Option<&Load>) -> Vec<String> {
        let mut missed = Vec::new();
        let mut row = |what: &str, figure: String, bound: &str, kept: bool| {
            println!("hostile: {what:<48} {figure:>24}   {bound}{}", if kept { "" } else { "   MISSED" });
            if !kept && self.runs > 1 {
                missed.push(format!("{what}: {figure}, the bound is {bound}"));
            }
        };
        let late = |slowest: &Slowest| slowest.took.saturating_sub(slowest.within);
        let (ordinary, bombs): (Vec<_>, Vec<_>) = self.cases.iter().partition(|(name, _)| !name.starts_with("bomb-"));
        if let Some((name, slowest)) = ordinary.iter().max_by_key(|(_, slowest)| late(slowest)) {
            row(
                "latest after its deadline",
                format!("{:.1?} ({name})", late(slowest)),
                &format!("< {LATE_MAX:?}"),
                late(slowest) <= LATE_MAX,
            );
        }
        for (name, slowest) in &bombs {
            let (took, growth) = (format!("{:.1?}, +{} KiB", slowest.took, slowest.growth >> 10), slowest.growth);
            let kept = slowest.took <= REFUSAL_MAX && growth <= BOMB_GROWTH_MAX;
            row(&format!("refusing {name}"), took, "< 200ms, < 32 MiB", kept);
        }
        if let (Some((before, files_before)), Some((after, files_after))) =
            (self.ends.get(self.ends.len().saturating_sub(1) * WARM_UP_PERCENT / 100), self.ends.last())
        {
            let most = before + before * GROWTH_PERCENT_MAX / 100;
            let mib = |bytes: &u64| format!("{:.1} MiB", *bytes as f64 / f64::from(1 << 20));
            let change = format!("{} -> {}", mib(before), mib(after));
            row("resident memory, after the first runs and last", change, "+ 5 %", *after <= most);
            let ends: Vec<_> = self.ends.iter().map(|(memory, _)| (memory >> 20).to_string()).collect();
            println!("hostile: resident memory after each run, in MiB: {}", ends.join(" "));
            let change = format!("{files_before} -> {files_after}");
            row("open files, after the first runs and last", change, "flat", files_after <= files_before);
        }
        if let Some(load) = load {
            let bound = (load.idle_p99 * 2).max(load.idle_p99 + Duration::from_millis(5));
            let figure = format!("{:.1?}, idle {:.1?}", load.p99, load.idle_p99);
            row("p99 of the neighbours", figure, &format!("< {bound:.1?}"), load.p99 <= bound);
            self.disturbers(load, bound);
            println!("hostile: medians of the neighbours: {:.1?}, idle {:.1?}", load.median, load.idle_median);
            let figure = format!("{} of {}", load.failed, load.calls);
            row("failed calls of the neighbours", figure, "0", load.failed == 0);
            load.first.iter().for_each(|first| println!("hostile: the first one: {first}"));
        }
        missed
    }

    /// Prints beside which cases the neighbours were slow most often.
    fn disturbers(&self, load: &Load, bound: Duration) {
        let slow: Vec<_> = load.each.iter().filter(|(_, took)| *took > bound).collect();
        let beside = |spans: &[(Instant, Instant)]| {
            slow.iter().filter(|(due, took)| spans.iter().any(|(from, to)| due < to && *due + *took > *from)).count()
        };
        let mut cases: Vec<_> = self.cases.iter().map(|(name, case)| (beside(&case.spans), name)).collect();
        cases.sort_unstable_by(|a, b| b.cmp(a));
        let shown = cases.iter().take(SHOWN_DISTURBERS).map(|(count, name)| format!("{name} {count}"));
        println!(
            "hostile: {} calls slower than that, most beside: {}",
            slow.len(),
            shown.collect::<Vec<_>>().join(", ")
        );
    }
}
