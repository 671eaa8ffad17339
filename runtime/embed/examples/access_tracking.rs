//! Who is used, and how much: counters of use, statistics, and letting go of instances that nobody needs.
//!
//! `cargo run -p embed --example access_tracking`
#![allow(clippy::print_stdout, reason = "an example tells its story on standard output")]

mod support;

use anyhow::{Context as _, Result, ensure};
use embed::InstanceWord;
use embed::domain::Status;
use support::{activate, adder, call, id, open, register, wave};

pub(crate) fn main() -> Result<()> {
    // Before anything else: components are compiled in processes of this very program.
    embed::run_compile_worker_if_asked();
    support::run(story())
}

async fn story() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = open(folder.path()).await?;
    let manifest = |name: &str| format!("id = \"demo:{name}\"\nversion = \"1.0.0\"\n");
    let base = adder("demo:base/api@1.0.0", 1, &[]);
    register(&registry, &base, &manifest("base")).await?;
    register(&registry, &adder("demo:left/api@1.0.0", 10, &["demo:base/api@1.0.0"]), &manifest("left")).await?;
    register(&registry, &adder("demo:idle/api@1.0.0", 5, &[]), &manifest("idle")).await?;
    for name in ["demo:left", "demo:idle"] {
        activate(&registry, name).await?;
    }

    println!("A handle for many calls; looking one up is an access as well:");
    let left = registry.instance(&id("demo:left")?).await?;
    for function in left.functions().await? {
        println!("  {} can be called", function.qualified());
    }
    for _ in 0..4 {
        left.call(wave("total()")).await?;
    }
    call(&registry, "demo:base", "total()").await?;
    for name in ["demo:left", "demo:base", "demo:idle"] {
        let usage = registry.get(&id(name)?).await?.usage;
        let last = usage.last_accessed.map_or("never".to_owned(), |at| at.to_string());
        println!("  {name}: {} accesses, {} calls, {} fuel, last {last}", usage.access_count, usage.calls, usage.fuel);
    }
    let usage = registry.get(&id("demo:left")?).await?.usage;
    ensure!((usage.calls, usage.access_count) == (4, 5));
    let base = registry.get(&id("demo:base")?).await?.usage;
    ensure!(base.calls == 5, "four calls came from demo:left, one from outside");

    println!("All of them together:");
    let stats = registry.stats(None).await?;
    let most = stats.most_accessed.clone().context("nobody was used")?;
    println!(
        "  {} accesses, most of {most}; {:.0} % of uses found an instance",
        stats.total_accesses,
        stats.cache_hit_rate * 100.0
    );
    ensure!(stats.total_components == 3 && stats.active_components == 3);

    println!("What was never used gives its instance back:");
    for view in registry.by_status(Status::Active).await? {
        let id = &view.entry.id;
        if view.instance == InstanceWord::Live && view.usage.last_accessed.is_none() {
            println!("  evicted {id}: {}", registry.evict_instance(id).await?);
        }
    }
    ensure!(registry.get(&id("demo:idle")?).await?.instance == InstanceWord::Cold);
    ensure!(registry.get(&id("demo:left")?).await?.instance == InstanceWord::Live);

    println!("Counters are written every two seconds and by close():");
    registry.close().await?;
    drop((left, registry));
    let registry = open(folder.path()).await?;
    let usage = registry.get(&id("demo:left")?).await?.usage;
    println!("  after opening again: {} calls", usage.calls);
    ensure!(usage.calls == 4);
    registry.close().await?;
    Ok(())
}
