//! Dependencies: edges from imports, a diamond in waves, declared edges, cycles that are refused, dependents in the way.
//!
//! `cargo run -p embed --example dependencies`
#![allow(clippy::print_stdout, reason = "an example tells its story on standard output")]

mod support;

use anyhow::{Result, bail, ensure};
use embed::Target;
use support::{activate, adder, call, id, line, open, register, said, waves};

const BASE: &str = "demo:base/api@1.0.0";
const LEFT: &str = "demo:left/api@1.0.0";
const RIGHT: &str = "demo:right/api@1.0.0";
const TOP: &str = "demo:top/api@1.0.0";

pub(crate) fn main() -> Result<()> {
    // Before anything else: components are compiled in processes of this very program.
    embed::run_compile_worker_if_asked();
    support::run(story())
}

async fn story() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = open(folder.path()).await?;

    println!("A dependent may come before what it needs:");
    let manifest = |name: &str| format!("id = \"demo:{name}\"\nversion = \"1.0.0\"\n");
    let top = register(&registry, &adder(TOP, 1_000, &[LEFT, RIGHT]), &manifest("top")).await?;
    for unresolved in &top.entry.entry.unresolved {
        println!("  demo:top waits for {}", unresolved.need);
    }
    ensure!(top.entry.entry.unresolved.len() == 2);
    let Err(error) = activate(&registry, "demo:top").await else { bail!("it was activated without its imports") };
    println!("  {error}");

    println!("With the others there, the imports become edges:");
    register(&registry, &adder(LEFT, 10, &[BASE]), &manifest("left")).await?;
    register(&registry, &adder(RIGHT, 100, &[BASE]), &manifest("right")).await?;
    register(&registry, &adder(BASE, 1, &[]), &manifest("base")).await?;
    for edge in registry.dependencies(&id("demo:top")?, true).await? {
        println!("  {} ← {} ({})", edge.from, edge.to, edge.edge.label());
    }
    let order = registry.order(&[id("demo:top")?]).await?;
    println!("  waves: {}", waves(&order));
    ensure!(waves(&order) == "demo:base | demo:left, demo:right | demo:top");

    println!("Activating one brings up all that it needs:");
    let report = registry.activate(&[Target::from(id("demo:top")?)]).await;
    for done in &report.activated {
        println!("  {} with {} fuel", done.id, done.fuel);
    }
    ensure!(report.activated.len() == 4);
    let total = call(&registry, "demo:top", "total()").await?;
    println!("  total() = {total}: 1000 + (10 + 1) + (100 + 1)");
    ensure!(total == "1112");

    println!("What others need is not taken away from them:");
    let refused = registry.deactivate(&[id("demo:base")?], false).await;
    let Some((_, error)) = refused.failed.first() else { bail!("it was taken away") };
    println!("  {error}");
    let refused = registry.unregister(&[id("demo:left")?], false).await;
    ensure!(refused.done.is_empty() && refused.failed.len() == 1);

    println!("A declared edge orders what imports do not, and cannot close a circle:");
    let (base, right) = (id("demo:base")?, id("demo:right")?);
    ensure!(registry.add_dependency(&id("demo:left")?, &right, None).await?);
    println!("  waves: {}", waves(&registry.order(&[]).await?));
    let Some(cycle) = registry.would_cycle(&base, &id("demo:top")?).await? else { bail!("no cycle was seen") };
    println!("  demo:base on demo:top would close: {}", line(&cycle));
    let Err(error) = registry.add_dependency(&base, &id("demo:top")?, None).await else { bail!("a cycle was closed") };
    let (kind, code, message) = said(&error);
    println!("  {kind} ({code}): {message}");
    ensure!(code == "circular-dependency" && registry.cycles().await?.is_empty());
    ensure!(registry.remove_dependency(&id("demo:left")?, &right).await?);

    println!("With cascade the dependents go first:");
    let outcomes = registry.deactivate(&[base], true).await;
    println!("  {}", line(&outcomes.done));
    ensure!(outcomes.failed.is_empty() && outcomes.done.len() == 4);
    ensure!(outcomes.done.first() == Some(&id("demo:top")?) && outcomes.done.last() == Some(&id("demo:base")?));
    registry.close().await?;
    Ok(())
}
