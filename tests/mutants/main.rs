//! Random components, most of them damaged, through register, activate, call and unregister in one process.
//!
//! `FUZZ_SEED` chooses others (and with `FUZZ_COUNT=1` exactly one again), `FUZZ_COUNT` how many: 2,000 without it. `just fuzz N` runs
//! more. A panic of the host fails the run, and so does an operation that hangs.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets what it does not expect has to fail"
)]

mod life;
mod make;

#[path = "../hostile_run/binary.rs"]
#[allow(dead_code, reason = "the rest is for templates of components")]
mod binary;

#[path = "../torture/numbers.rs"]
#[allow(dead_code, reason = "the rest is for tests that kill")]
mod numbers;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use embed::CompileIn;
use life::{Life, Step};

/// Components, unless FUZZ_COUNT says otherwise.
const COUNT: u64 = 2_000;
/// What all that is chosen at random follows from, unless FUZZ_SEED says otherwise.
const SEED: u64 = 1;
/// What takes longer is counted as slow.
const SLOW: Duration = Duration::from_secs(1);
/// What takes longer hangs.
const HANGS: Duration = Duration::from_secs(20);
/// So much of a reason is shown, in characters without digits, and so many reasons.
const REASON_SHOWN: usize = 100;
const REASONS_SHOWN: usize = 12;
/// Components after which memory is taken as what the process needs.
const WARM_UP: u64 = 200;

fn variable(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

/// What happened to all components so far.
#[derive(Default)]
struct Tally {
    done: AtomicU64,
    registered: AtomicU64,
    activated: AtomicU64,
    called: AtomicU64,
    answered: AtomicU64,
    slow: AtomicU64,
    slowest: Mutex<(Duration, u64)>,
    reasons: Mutex<BTreeMap<String, u64>>,
    wrong: Mutex<Vec<String>>,
}

impl Tally {
    fn add(&self, seed: u64, steps: &[Step]) {
        let one = |counter: &AtomicU64, when: bool| counter.fetch_add(u64::from(when), Ordering::Relaxed);
        for step in steps {
            one(&self.registered, step.what == "register" && step.done);
            one(&self.activated, step.what == "activate" && step.done);
            one(&self.called, step.what == "call");
            one(&self.answered, step.what == "call" && step.done);
            one(&self.slow, step.took > SLOW);
            let mut slowest = self.slowest.lock().unwrap();
            if step.took > slowest.0 {
                *slowest = (step.took, seed);
            }
            if step.took > HANGS {
                self.complain(seed, &format!("`{}` took {:.1?}", step.what, step.took));
            }
            if let Some(reason) = &step.refused {
                let reason: String = reason.chars().filter(|c| !c.is_ascii_digit()).take(REASON_SHOWN).collect();
                *self.reasons.lock().unwrap().entry(format!("{}: {reason}", step.what)).or_default() += 1;
            }
            if let Some(fault) = &step.fault {
                self.complain(seed, fault);
            }
        }
        self.done.fetch_add(1, Ordering::Relaxed);
    }

    fn complain(&self, seed: u64, what: &str) {
        println!("mutants: FUZZ_SEED={seed} FUZZ_COUNT=1: {what}");
        self.wrong.lock().unwrap().push(format!("FUZZ_SEED={seed} FUZZ_COUNT=1: {what}"));
    }
}

/// Counts panics of all threads, and says where they were.
fn count_panics(seeds: &Arc<Mutex<Vec<u64>>>) -> Arc<Mutex<Vec<String>>> {
    let panics = Arc::new(Mutex::new(Vec::new()));
    let (heard, seeds) = (Arc::clone(&panics), Arc::clone(seeds));
    std::panic::set_hook(Box::new(move |panic| {
        let seeds = seeds.lock().map(|seeds| seeds.clone()).unwrap_or_default();
        let text = format!("one of the seeds {seeds:?}: {panic}");
        heard.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(text);
    }));
    panics
}

#[test]
fn random_components_are_refused_or_run_and_nothing_else() {
    let (count, seed) = (variable("FUZZ_COUNT", COUNT), variable("FUZZ_SEED", SEED));
    let under_way = Arc::new(Mutex::new(Vec::new()));
    let panics = count_panics(&under_way);
    let tally = Tally::default();
    let mut warm = 0;
    let tokio = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    tokio.block_on(async {
        // Where there is a program to compile with, every other component is compiled by it.
        let worker = std::env::var_os("RUNTIME_BIN").map(|program| CompileIn::Worker { program: program.into() });
        let lives =
            [Life::new(CompileIn::ThisProcess).await, Life::new(worker.unwrap_or(CompileIn::ThisProcess)).await];
        let next = AtomicU64::new(seed);
        let lane = || async {
            loop {
                let mine = next.fetch_add(1, Ordering::Relaxed);
                if mine >= seed + count {
                    return;
                }
                under_way.lock().unwrap().push(mine);
                let life = &lives[usize::from(mine % 2 == 1)];
                let steps = life.run(mine, make::component(mine)).await;
                under_way.lock().unwrap().retain(|seed| *seed != mine);
                tally.add(mine, &steps);
            }
        };
        let watch = async {
            while tally.done.load(Ordering::Relaxed) < WARM_UP.min(count) {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            memory()
        };
        ((), (), warm) = tokio::join!(lane(), lane(), watch);
        for life in &lives {
            life.end().await;
        }
    });
    let number = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut reasons: Vec<_> =
        tally.reasons.lock().unwrap().iter().map(|(reason, times)| (*times, reason.clone())).collect();
    reasons.sort_by(|left, right| right.cmp(left));
    reasons.iter().take(REASONS_SHOWN).for_each(|(times, reason)| println!("mutants: {times} times {reason}"));
    let slowest = *tally.slowest.lock().unwrap();
    println!(
        "mutants: {count} components from seed {seed}: {} registered, {} activated, {} calls, {} of them answered",
        number(&tally.registered),
        number(&tally.activated),
        number(&tally.called),
        number(&tally.answered)
    );
    println!(
        "mutants: {} operations over {SLOW:?}, the slowest {:.2?} (seed {}); memory {} -> {} MiB; {} panics",
        number(&tally.slow),
        slowest.0,
        slowest.1,
        warm >> 20,
        memory() >> 20,
        panics.lock().unwrap().len()
    );
    let mut wrong = tally.wrong.into_inner().unwrap();
    wrong.extend(panics.lock().unwrap().iter().cloned());
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
    assert!(
        count < 100 || number(&tally.answered) > 0,
        "not one call was answered: the generator makes nothing that works"
    );
}

/// Resident memory of this process, in bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or("0 kB");
    line.trim().trim_end_matches(" kB").trim().parse::<u64>().unwrap_or(0) << 10
}
