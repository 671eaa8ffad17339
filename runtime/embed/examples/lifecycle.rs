//! The life of a component: callbacks, hooks, events, instances that come and go, and state that outlives them.
//!
//! `cargo run -p embed --example lifecycle`
#![allow(clippy::print_stdout, reason = "an example tells its story on standard output")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use embed::domain::ports::{OutputLine, OutputSink};
use embed::domain::{ComponentId, Status};
use embed::{InstanceWord, OpenOptions};
use support::{COUNTER, activate, call, id, open, register};

/// Prints what components print and log.
struct Printer;

impl OutputSink for Printer {
    fn write(&self, component: &ComponentId, lines: &[OutputLine]) {
        for line in lines {
            println!("  {component} | {}", line.text);
        }
    }
}

pub(crate) fn main() -> Result<()> {
    // Before anything else: components are compiled in processes of this very program.
    embed::run_compile_worker_if_asked();
    support::run(story())
}

async fn story() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = OpenOptions { output: Some(Arc::new(Printer)), ..support::options() };
    let registry = embed::open(folder.path(), options).await?;
    let counter = id("demo:counter")?;

    let changes = Arc::new(AtomicU64::new(0));
    let seen = changes.clone();
    registry.on_status_change(move |id, old, new| {
        seen.fetch_add(1, Ordering::Relaxed);
        println!("  {id}: {old} → {new}");
    });
    registry.before_activation(|entry| async move {
        println!("  before: {} {}", entry.id, entry.revision.version);
        Ok(())
    });
    registry.after_activation(|entry| async move {
        println!("  after: {}", entry.id);
        Ok(())
    });
    let mut events = registry.subscribe();

    println!("Register and activate:");
    register(&registry, COUNTER, "id = \"demo:counter\"\nversion = \"1.0.0\"\n").await?;
    activate(&registry, "demo:counter").await?;
    ensure!(registry.get(&counter).await?.instance == InstanceWord::Live);

    println!("Call twice, then drop the instance; the status stays:");
    ensure!(call(&registry, "demo:counter", "next()").await? == "1");
    ensure!(call(&registry, "demo:counter", "next()").await? == "2");
    ensure!(registry.evict_instance(&counter).await?, "there was an instance");
    let view = registry.get(&counter).await?;
    ensure!(view.entry.status == Status::Active && view.instance == InstanceWord::Cold);

    println!("The next call makes a new instance, which takes over the state:");
    let third = call(&registry, "demo:counter", "next()").await?;
    println!("  next() = {third}");
    ensure!(third == "3");

    println!("Deactivate; a call is refused then:");
    let outcomes = registry.deactivate(std::slice::from_ref(&counter), false).await;
    ensure!(outcomes.done.len() == 1 && outcomes.done.first() == Some(&counter));
    let refused = call(&registry, "demo:counter", "next()").await;
    let Err(error) = refused else { anyhow::bail!("an inactive component was called") };
    println!("  {error}");

    println!("Activate again and close; close() ends the instance in order and lets the folder go:");
    activate(&registry, "demo:counter").await?;
    registry.close().await?;
    ensure!(changes.load(Ordering::Relaxed) == 4, "registered, active, inactive, active");
    let mut names = Vec::new();
    while let Ok(record) = events.try_recv() {
        names.push(record.event.name());
    }
    println!("Events, as a subscriber heard them: {}", names.join(", "));
    ensure!(names.first() == Some(&"registered") && names.contains(&"state-saved"));
    drop((registry, events));

    println!("Opened again, the component is active, cold, and counts on:");
    let registry = open(folder.path()).await?;
    ensure!(registry.get(&counter).await?.entry.status == Status::Active);
    let fourth = call(&registry, "demo:counter", "next()").await?;
    println!("  next() = {fourth}");
    ensure!(fourth == "4");
    registry.close().await?;
    Ok(())
}
