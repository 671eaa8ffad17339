//! Many components at once: registered together, activated in parallel, called concurrently, measured.
//!
//! `cargo run --release -p embed --example performance`
#![allow(clippy::print_stdout, reason = "an example tells its story on standard output")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Result, ensure};
use embed::OpenOptions;
use embed::domain::ComponentId;
use embed::domain::ports::CompileProgress;
use support::{adder, call, id, open, request};

/// How many components there are, in columns of [`HEIGHT`]: each needs the one below it.
const COMPONENTS: usize = 60;
const HEIGHT: usize = 3;
const CALLS: usize = 200;

/// Counts compilations.
#[derive(Default)]
struct Compilations(AtomicUsize);

impl CompileProgress for Compilations {
    fn started(&self, _: &ComponentId, _: u64) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    fn finished(&self, _: &ComponentId) {}
}

pub(crate) fn main() -> Result<()> {
    // Before anything else: components are compiled in processes of this very program.
    embed::run_compile_worker_if_asked();
    support::run(story())
}

async fn story() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let compilations = Arc::new(Compilations::default());
    let options = OpenOptions { compile_progress: Some(compilations.clone()), ..support::options() };
    let registry = embed::open(folder.path(), options).await?;

    let mut requests = Vec::new();
    for n in 0..COMPONENTS {
        let below = format!("demo:c{}/api@1.0.0", n.saturating_sub(1));
        let imports: &[&str] = if n % HEIGHT == 0 { &[] } else { &[&below] };
        let text = adder(&format!("demo:c{n}/api@1.0.0"), u32::try_from(n)?, imports);
        requests.push(request(&text, &format!("id = \"demo:c{n}\"\nversion = \"1.0.0\"\n"))?);
    }
    let begun = Instant::now();
    let registered = registry.register_many(requests).await;
    ensure!(registered.iter().all(Result::is_ok));
    println!("registered {COMPONENTS} components in {:?}", begun.elapsed());

    let begun = Instant::now();
    let report = registry.activate_all().await?;
    ensure!(report.failed.is_empty() && report.activated.len() == COMPONENTS && report.waves.len() == HEIGHT);
    println!("activated them in {} waves in {:?}", report.waves.len(), begun.elapsed());
    println!("compiled {} of them, as nothing was cached yet", compilations.0.load(Ordering::Relaxed));

    // Calls of one component queue, calls of several run side by side.
    let begun = Instant::now();
    let callers = (0..COMPONENTS).map(|n| {
        let registry = registry.clone();
        tokio::spawn(async move {
            for _ in 0..CALLS {
                call(&registry, &format!("demo:c{n}"), "total()").await?;
            }
            anyhow::Ok(())
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await??;
    }
    println!("made {} calls in {:?}", COMPONENTS * CALLS, begun.elapsed());

    let stats = registry.stats(None).await?;
    println!("mean activation {} µs, cache hit rate {:.2}", stats.avg_activation_us, stats.cache_hit_rate);
    for component in stats.components.iter().take(HEIGHT) {
        println!(
            "{}: {} calls, {} fuel, mean {} µs, half within {} µs, 99 of 100 within {} µs",
            component.id, component.calls, component.fuel, component.mean_us, component.p50_us, component.p99_us
        );
    }
    // The lowest of a column of three is called for itself and for both above it.
    let lowest = registry.stats(Some(&id("demo:c0")?)).await?;
    ensure!(lowest.components.iter().map(|c| c.calls).sum::<u64>() == u64::try_from(HEIGHT * CALLS)?);
    ensure!(stats.components.iter().all(|c| c.errors == 0));
    registry.close().await?;
    drop(registry);

    let begun = Instant::now();
    let registry = open(folder.path()).await?;
    let report = registry.resume().await?;
    println!("opened again: {} instances from cached code in {:?}", report.activated.len(), begun.elapsed());
    ensure!(report.failed.is_empty() && report.activated.len() == COMPONENTS);
    registry.close().await?;
    Ok(())
}
