//! What the data folder costs beside bare files and bare sled, in one run, and what it costs when it is large.
//!
//! Prints a ratio for each figure; the two sides alternate, so that a disturbance hits both, and medians are compared. Words on
//! the command line choose among `committing`, `opening`, `space` and `large`; `STORAGE_BENCH_PERCENT=1` makes every registry a
//! hundredth of its size, for a short run.
#![expect(clippy::print_stdout, reason = "the ratios are the bench's result")]

mod committing;
mod filling;
mod large;
mod opening;
mod space;

use std::time::{Duration, Instant};

/// As in the program.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

type Failure = Box<dyn std::error::Error>;

/// A bench and what it is called.
type Bench = (&'static str, fn() -> Result<(), Failure>);

const BENCHES: [Bench; 4] =
    [("committing", committing::run), ("opening", opening::run), ("space", space::run), ("large", large::run)];

/// Returns so many as are asked for, or the part of them that a short run takes.
fn scaled(number: usize) -> usize {
    let percent = std::env::var("STORAGE_BENCH_PERCENT").ok().and_then(|percent| percent.parse().ok()).unwrap_or(100);
    (number * percent / 100).max(1)
}

/// The medians of both sides, run in turns `runs` times.
fn medians(
    runs: usize,
    mut ours: impl FnMut() -> Result<Duration, Failure>,
    mut theirs: impl FnMut() -> Result<Duration, Failure>,
) -> Result<(Duration, Duration), Failure> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        a.push(ours()?);
        b.push(theirs()?);
    }
    Ok((median(a), median(b)))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn time<T>(work: impl FnOnce() -> Result<T, Failure>) -> Result<(Duration, T), Failure> {
    let start = Instant::now();
    let done = work()?;
    Ok((start.elapsed(), done))
}

fn show(what: &str, beside: &str, bound: f64, (ours, theirs): (Duration, Duration)) {
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("{what}: {ours:.2?}, {beside}: {theirs:.2?}, ratio {ratio:.2} (bound {bound})");
}

fn main() -> Result<(), Failure> {
    if large::be_a_process_of_its_own()? {
        return Ok(());
    }
    // As with other benches, words on the command line choose.
    let words: Vec<_> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    for (name, run) in BENCHES {
        if words.is_empty() || words.iter().any(|word| name.contains(word.as_str())) {
            run()?;
        }
    }
    Ok(())
}
