//! What callers see of swaps: eight of them at full rate, with another revision in service every few milliseconds and without.
//!
//! A pause is how much longer the longest call took than the 99th percentile of calls without swaps. Among millions of calls the longest is
//! one that was interrupted, so rounds with swaps and rounds without take turns, and time for which the machine's host took a processor away
//! from the threads that call is left out; with it is printed beside.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use domain::call::{CallExpression, CallRequest};
use domain::{ComponentId, ComponentManifest};
use embed::{ManifestSource, OpenOptions, RegisterRequest, Registry, Target};
use tokio::runtime::Runtime;

use crate::stolen;

/// Callers at full rate.
const CALLERS: usize = 8;
const SWAPS: u32 = 100;
/// Time from one swap to the next.
const EVERY: Duration = Duration::from_millis(20);
/// Rounds of each kind; a round takes some two seconds.
const ROUNDS: usize = 5;
/// From how long on a call is looked at more closely.
const LONG: Duration = Duration::from_millis(1);
/// The bound of the longest pause.
const PAUSE_MAX: Duration = Duration::from_millis(5);

/// Adds to a count, which is its state if it has any.
fn counter(state: &str) -> String {
    format!(
        r#"(component
    (core module $m
      (memory (export "memory") 1)
      (global $count (mut i32) (i32.const 0))
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
      (func (export "next") (result i32)
        (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count))
      (func (export "snapshot") (result i32)
        (i32.store (i32.const 32) (global.get $count))
        (i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 32)) (i32.store (i32.const 8) (i32.const 4))
        (i32.const 0))
      (func (export "restore") (param $bytes i32) (param $length i32) (result i32)
        (global.set $count (i32.load (local.get $bytes))) (i32.store (i32.const 0) (i32.const 0)) (i32.const 0)))
    (core instance $i (instantiate $m))
    (func (export "next") (result u32) (canon lift (core func $i "next")))
    {state})"#
    )
}

const STATE: &str = r#"
    (func $snapshot (result (result (list u8) (error string)))
      (canon lift (core func $i "snapshot") (memory (core memory $i "memory"))))
    (func $restore (param "state" (list u8)) (result (result (error string)))
      (canon lift (core func $i "restore") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
    (instance $state (export "snapshot" (func $snapshot)) (export "restore" (func $restore)))
    (export "registry:component/state@0.1.0" (instance $state))"#;

pub(crate) fn run(tokio: &Runtime) -> Result<()> {
    for (what, state, more) in [
        ("shared, without state", "", ""),
        ("shared, with state that is moved", STATE, ""),
        ("a pool", "", "[instances]\nmode = \"pool\"\n"),
        ("an instance for each call", "", "[instances]\nmode = \"per-call\"\n"),
    ] {
        tokio.block_on(case(what, &counter(state), more))?;
    }
    Ok(())
}

async fn case(what: &str, wat: &str, more: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = embed::open(folder.path(), OpenOptions::default()).await?;
    let id: ComponentId = "bench:count".parse()?;
    for version in ["1.0.0", "2.0.0"] {
        let manifest = format!("id = \"{id}\"\nversion = \"{version}\"\n{more}");
        let mut request = RegisterRequest::bytes("count.wat", wat.as_bytes());
        request.manifest = Some(ManifestSource::Given(Box::new(ComponentManifest::parse(&manifest)?)));
        registry.register(request).await?;
        // The second one waits.
        activate(&registry, &id, "1.0.0").await?;
    }
    let (mut usual, mut moved, mut calls) = (vec![], Duration::ZERO, 0);
    let (mut with, mut without) = (Pauses::default(), Pauses::default());
    for _ in 0..ROUNDS {
        let mut quiet = under_load(&registry, &id, 0).await?;
        let swapped = under_load(&registry, &id, SWAPS).await?;
        quiet.took.sort_unstable();
        let p99 = quiet.took.get(quiet.took.len() * 99 / 100).copied().unwrap_or_default();
        usual.push(p99);
        let taken = stolen::taken();
        without.add(&quiet, &taken, p99);
        with.add(&swapped, &taken, p99);
        moved = moved.max(swapped.moved);
        calls += swapped.took.len();
    }
    println!(
        "{ROUNDS} times {SWAPS} swaps under {CALLERS} callers, {what}: {calls} calls, none failed; usual p99 {}; longest pause {} (bound \
         {PAUSE_MAX:?}, {} calls beyond it), without swaps {} ({}); with what the host took, {} and {}; state was moved in at most {moved:.2?}",
        shown(&mut usual),
        shown(&mut with.own),
        with.beyond,
        shown(&mut without.own),
        without.beyond,
        shown(&mut with.seen),
        shown(&mut without.seen),
    );
    registry.close().await?;
    Ok(())
}

/// The longest pause of each round: as callers saw it, and without what the host took.
#[derive(Default)]
struct Pauses {
    seen: Vec<Duration>,
    own: Vec<Duration>,
    /// How many calls paused for longer than they may, in all rounds.
    beyond: usize,
}

impl Pauses {
    fn add(&mut self, load: &Load, taken: &[(Instant, Instant)], usual: Duration) {
        let short = load.took.iter().filter(|took| **took < LONG).max().copied().unwrap_or_default();
        let long: Vec<_> = load.long.iter().map(|(from, to)| stolen::left(taken, *from, *to)).collect();
        let own = long.iter().max().copied().unwrap_or_default();
        self.beyond += long.iter().filter(|took| **took > usual + PAUSE_MAX).count();
        let seen = load.took.iter().max().copied().unwrap_or_default();
        self.own.push(own.max(short).saturating_sub(usual));
        self.seen.push(seen.saturating_sub(usual));
    }
}

/// What callers saw in a round.
#[derive(Default)]
struct Load {
    took: Vec<Duration>,
    /// From when to when each call went that took at least [`LONG`].
    long: Vec<(Instant, Instant)>,
    /// The longest standstill while state was moved.
    moved: Duration,
}

/// The median, and the most.
fn shown(times: &mut [Duration]) -> String {
    times.sort_unstable();
    let at = |place: usize| times.get(place).copied().unwrap_or_default();
    format!("{:.2?} (at most {:.2?})", at(times.len() / 2), at(times.len().saturating_sub(1)))
}

async fn activate(registry: &Registry, id: &ComponentId, version: &str) -> Result<Duration> {
    let report = registry.activate(&[Target { version: Some(version.parse()?), ..Target::from(id) }]).await;
    match report.failed.into_iter().next() {
        Some((_, error)) => Err(error.into()),
        None => Ok(report
            .activated
            .iter()
            .filter_map(|one| one.swapped.as_ref())
            .map(|one| one.paused)
            .max()
            .unwrap_or_default()),
    }
}

/// Calls from all sides for as long as `swaps` swaps take, or would.
async fn under_load(registry: &Registry, id: &ComponentId, swaps: u32) -> Result<Load> {
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (registry, id, done) = (registry.clone(), id.clone(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut load = Load::default();
                let handle = registry.instance(&id).await?;
                while !done.load(Ordering::Relaxed) {
                    let expression = CallExpression::Json { function: "next".to_owned(), args: vec![] };
                    let begun = Instant::now();
                    handle.call(CallRequest { expression, ..CallRequest::default() }).await?;
                    let took = begun.elapsed();
                    load.took.push(took);
                    if took >= LONG {
                        load.long.push((begun, begun + took));
                    }
                    stolen::look();
                    // A call that waits for nothing never gives the thread to those who swap.
                    tokio::task::yield_now().await;
                }
                Ok::<_, embed::RegistryError>(load)
            })
        })
        .collect();
    let mut all = Load::default();
    if swaps == 0 {
        tokio::time::sleep(EVERY * SWAPS).await;
    }
    for swap in 0..swaps {
        let version = if swap % 2 == 0 { "2.0.0" } else { "1.0.0" };
        // On the threads that call, too, as in a server; one more thread would be one that they wait for.
        let (registry, id) = (registry.clone(), id.clone());
        let swap = tokio::spawn(async move { activate(&registry, &id, version).await });
        all.moved = all.moved.max(swap.await.map_err(|died| anyhow!("a swap died: {died}"))??);
        tokio::time::sleep(EVERY).await;
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        let load = caller.await.map_err(|died| anyhow!("a caller died: {died}"))??;
        all.took.extend(load.took);
        all.long.extend(load.long);
    }
    if all.took.is_empty() {
        bail!("nobody called");
    }
    Ok(all)
}
