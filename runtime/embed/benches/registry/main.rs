//! What the registry costs beside bare wasmtime and beside itself at another size, in one run.
//!
//! Prints a ratio for each pair; the two sides alternate, so that a disturbance hits both, and medians are compared.
#![expect(clippy::print_stdout, reason = "the ratios are the bench's result")]

mod adding;
mod calling;
mod gates;
mod instances;
mod limits;
mod planning;
mod quarantine;
mod restart;
mod stolen;
mod swapping;

use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// As in the program while it starts.
#[expect(unsafe_code, reason = "the allocator finds its options by this name before `main` runs")]
// SAFETY: jemalloc's own name for a pointer to text that ends with a zero, and nobody else's.
#[unsafe(export_name = "_rjem_malloc_conf")]
static OPTIONS: &[u8; 44] = b"dirty_decay_ms:-1,oversize_threshold:524288\0";

/// A bench and what it is called.
type Bench = (&'static str, fn(&Runtime) -> anyhow::Result<()>);

const BENCHES: [Bench; 9] = [
    ("adding", adding::run),
    ("planning", planning::run),
    ("restart", restart::run),
    ("calling", calling::run),
    ("limits", limits::run),
    ("gates", gates::run),
    ("instances", instances::run),
    ("swapping", swapping::run),
    ("quarantine", quarantine::run),
];

/// The medians of both sides, run in turns `runs` times.
fn medians(
    runs: usize,
    mut ours: impl FnMut() -> Duration,
    mut theirs: impl FnMut() -> Duration,
) -> (Duration, Duration) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        a.push(ours());
        b.push(theirs());
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times.get(runs / 2).copied().unwrap_or_default()
    };
    (median(&mut a), median(&mut b))
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn show(what: &str, beside: &str, bound: f64, (ours, theirs): (Duration, Duration)) {
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    let bound = if bound.is_finite() { format!("bound {bound:.2}") } else { "no bound".to_owned() };
    println!("{what}: {ours:.2?}, {beside}: {theirs:.2?}, ratio {ratio:.2} ({bound})");
}

fn main() -> anyhow::Result<()> {
    embed::run_compile_worker_if_asked();
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    if restart::be_a_side(&tokio)? || instances::be_the_crowd(&tokio)? {
        return Ok(());
    }
    // As with other benches, words on the command line choose.
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, run) in BENCHES {
        if words.is_empty() || words.iter().any(|word| name.contains(word)) {
            run(&tokio)?;
        }
    }
    Ok(())
}
