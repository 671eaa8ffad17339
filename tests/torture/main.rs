//! Uses the binary `runtime` as people do and kills it, again and again, on a data folder that grows; and damages data folders.
//!
//! Run by name: `cargo test -p tests --test torture -- --nocapture`. `TORTURE_ROUNDS` kills instead of 100, `TORTURE_SEED`,
//! `TORTURE_TRIALS` damaged folders instead of 30, `TORTURE_SWAPS` swaps instead of 200, `TORTURE_ENTRIES` components of the restart that
//! is measured.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets what it does not expect has to fail"
)]

mod check;
mod damage;
mod foretell;
mod model;
mod numbers;
mod operation;
mod place;
mod plan;
mod recipe;
mod restart;
mod rounds;
mod swaps;

#[allow(dead_code, unused_imports, reason = "the rest of the harness is for tests without kills")]
#[path = "../e2e/harness/mod.rs"]
mod harness;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use damage::Sound;
use place::{Cut, Outcome, Place, run};
use rounds::Totals;

/// Kills, unless TORTURE_ROUNDS says otherwise.
const ROUNDS: u64 = 100;
/// What all that is chosen at random follows from, unless TORTURE_SEED says otherwise.
const SEED: u64 = 1;
/// Damaged folders, unless TORTURE_TRIALS says otherwise.
const TRIALS: u64 = 30;
/// Swaps under load, unless TORTURE_SWAPS says otherwise.
const SWAPS: u64 = 200;
/// Components of the restart that is measured, unless TORTURE_ENTRIES says otherwise.
const ENTRIES: u64 = 300;
/// Folders that are used at once.
const LANES: usize = 2;

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// Tells whether the binary can be made to abort at a step on the disk, as those of the dev profile can.
fn has_steps() -> bool {
    let place = Place::new("probe");
    let ran = run(place.command(&["list"]), Cut::At(1)).unwrap();
    place.remove();
    ran.was_killed()
}

#[test]
fn what_was_acknowledged_survives_every_kill() {
    let (rounds, seed, has_steps) = (variable("TORTURE_ROUNDS", ROUNDS), variable("TORTURE_SEED", SEED), has_steps());
    if !has_steps {
        println!("torture: this binary has no steps to abort at (a release build?): SIGKILL alone");
    }
    let shares = rounds::shares(rounds);
    let (totals, begun) = (Totals::default(), Instant::now());
    let failures = in_lanes(shares.len(), |at| rounds::folder(seed + at as u64, shares[at], has_steps, &totals));
    let count = |number: &std::sync::atomic::AtomicU64| number.load(Ordering::SeqCst);
    println!(
        "torture: {} rounds in {:.1?}, {} at a chosen step, {} commands, {} of them with an unknown end",
        count(&totals.rounds),
        begun.elapsed(),
        count(&totals.aborts),
        count(&totals.commands),
        count(&totals.unknown)
    );
    for (warning, times) in kinds(&totals.warnings.lock().unwrap()) {
        println!("torture: {times} openings said: {warning}");
    }
    assert!(failures.is_empty(), "TORTURE_SEED={seed}\n{}", failures.join("\n\n"));
}

#[test]
fn damage_is_mended_refused_or_listed_and_never_answered_wrong() {
    let (trials, seed, begun) = (variable("TORTURE_TRIALS", TRIALS), variable("TORTURE_SEED", SEED), Instant::now());
    let sound = Sound::new().unwrap_or_else(|error| panic!("{error}"));
    let failures = in_lanes(usize::try_from(trials).unwrap(), |at| sound.trial(seed + at as u64));
    println!("torture: {trials} damaged folders in {:.1?}", begun.elapsed());
    assert!(failures.is_empty(), "TORTURE_SEED={seed}, {} failed\n{}", failures.len(), failures.join("\n\n"));
    sound.remove();
}

#[test]
fn swaps_under_load_fail_no_call_lose_no_count_and_leave_nothing_behind() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    println!("torture: {}", runtime.block_on(swaps::run(variable("TORTURE_SWAPS", SWAPS))));
}

#[test]
fn a_large_registry_answers_again_after_a_kill() {
    let entries = variable("TORTURE_ENTRIES", ENTRIES);
    let profile = if has_steps() { "dev" } else { "release" };
    let measured = restart::measure(entries, variable("TORTURE_SEED", SEED)).unwrap_or_else(|error| panic!("{error}"));
    println!(
        "torture: {entries} entries, {profile} profile: after a kill the server is ready in {:.2?}, the first answer takes {:.2?}; \
         without a server {:.2?}",
        measured.ready, measured.answer, measured.alone
    );
}

/// Does `count` pieces of work, some at once, and returns what went wrong.
fn in_lanes(count: usize, work: impl Fn(usize) -> Outcome<()> + Sync) -> Vec<String> {
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        let lane = || {
            let mine = std::iter::repeat_with(|| next.fetch_add(1, Ordering::SeqCst)).take_while(|at| *at < count);
            mine.filter_map(|at| work(at).err()).collect::<Vec<_>>()
        };
        let lanes: Vec<_> = (0..LANES).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect()
    })
}

/// Counts warnings, with their numbers and paths left out.
fn kinds(warnings: &[String]) -> BTreeMap<String, usize> {
    let mut kinds = BTreeMap::new();
    for warning in warnings {
        let words = warning.split(' ').map(|word| {
            let is_fixed = !word.contains('/') && !word.contains(|c: char| c.is_ascii_digit());
            if is_fixed { word } else { "…" }
        });
        *kinds.entry(words.collect::<Vec<_>>().join(" ")).or_default() += 1;
    }
    kinds
}
