//! Failures: traps, limits, timeouts and cancellation; their history; hooks that refuse; trying again.
//!
//! `cargo run -p embed --example error_handling`
#![allow(clippy::print_stdout, reason = "an example tells its story on standard output")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use embed::domain::call::CallRequest;
use embed::domain::{FailureKind, Status};
use embed::{InstanceWord, Registry, Target};
use support::{FLAKY, activate, adder, call, id, open, register, said, wave};

pub(crate) fn main() -> Result<()> {
    // Before anything else: components are compiled in processes of this very program.
    embed::run_compile_worker_if_asked();
    support::run(story())
}

async fn story() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = open(folder.path()).await?;
    let limits = "[limits]\nfuel = 1_000_000\ndeadline = \"2s\"\nmemory = \"1MiB\"\n";
    register(&registry, FLAKY, &format!("id = \"demo:flaky\"\nversion = \"1.0.0\"\n{limits}")).await?;
    activate(&registry, "demo:flaky").await?;

    println!("A guest fails in its own ways, the component stays active:");
    fails(&registry, wave("boom()"), FailureKind::Trap).await?;
    fails(&registry, wave("spin()"), FailureKind::Fuel).await?;
    fails(&registry, wave("grow(100)"), FailureKind::Memory).await?;
    ensure!(call(&registry, "demo:flaky", "fine()").await? == "7", "the next call gets a new instance");

    println!("A call that cannot be made is refused before the guest runs:");
    for wrong in ["fien()", "grow(1, 2)", "grow(\"many\")", "grow(1"] {
        let Err(error) = registry.call(&id("demo:flaky")?, wave(wrong)).await else { bail!("{wrong} was called") };
        let (kind, code, message) = said(&error);
        println!("  {wrong}: {kind} ({code}): {}", message.lines().next().unwrap_or_default());
    }

    timeouts(&registry).await?;
    history(&registry).await?;
    refused_activation(&registry).await?;
    registry.close().await?;
    Ok(())
}

async fn fails(registry: &Registry, request: CallRequest, kind: FailureKind) -> Result<()> {
    let Err(error) = registry.call(&id("demo:flaky")?, request).await else { bail!("it did not fail") };
    let Some(failure) = error.failure() else { bail!("it was refused: {error}") };
    println!("  {}: {}", failure.kind, failure.message);
    ensure!(failure.kind == kind && registry.get(&failure.component).await?.entry.status == Status::Active);
    Ok(())
}

/// A timeout below the component's own deadline, and a caller that goes away.
async fn timeouts(registry: &Registry) -> Result<()> {
    println!("A call has a deadline, and can be given up by whoever waits for it:");
    let endless = "id = \"demo:endless\"\nversion = \"1.0.0\"\n[limits]\nfuel = 100_000_000_000\ndeadline = \"60s\"\n";
    register(registry, FLAKY, endless).await?;
    activate(registry, "demo:endless").await?;
    let endless = id("demo:endless")?;
    let short = CallRequest { timeout: Some(Duration::from_millis(50)), ..wave("spin()") };
    let Err(error) = registry.call(&endless, short).await else { bail!("it ended") };
    println!("  {error}");
    ensure!(error.failure().is_some_and(|failure| failure.kind == FailureKind::Deadline));
    // Dropping the future of a call ends it; its instance goes with it.
    let given_up = tokio::time::timeout(Duration::from_millis(50), registry.call(&endless, wave("spin()"))).await;
    ensure!(given_up.is_err() && registry.get(&endless).await?.instance == InstanceWord::Cold);
    println!("  given up: its instance is gone, fine() = {}", call(registry, "demo:endless", "fine()").await?);
    Ok(())
}

async fn history(registry: &Registry) -> Result<()> {
    println!("The history, newest first:");
    let flaky = id("demo:flaky")?;
    for logged in registry.errors(Some(&flaky), 10).await? {
        let failure = &logged.failure;
        println!(
            "  #{} {} in {}: {}",
            logged.seq,
            failure.kind,
            failure.phase,
            failure.function.as_deref().unwrap_or("-")
        );
    }
    ensure!(registry.errors(Some(&flaky), 10).await?.len() == 3);
    ensure!(registry.get(&flaky).await?.entry.error_count == 3);
    registry.clear_errors(&flaky).await?;
    ensure!(registry.errors(Some(&flaky), 10).await?.is_empty(), "the journal keeps them all the same");

    println!("Marked by hand it is out of service; activating it tries again:");
    registry.mark_error(&flaky, "seen misbehaving").await?;
    let health = registry.health().await?;
    println!(
        "  {} of {} components are healthy: {:.0} %",
        health.healthy_count, health.total, health.health_percentage
    );
    ensure!(health.error_count == 1);
    activate(registry, "demo:flaky").await?;
    ensure!(registry.get(&flaky).await?.entry.status == Status::Active);
    Ok(())
}

async fn refused_activation(registry: &Registry) -> Result<()> {
    println!("A failed activation marks one component, skips what needs it, and can be tried again:");
    let ready = Arc::new(AtomicBool::new(false));
    let is_ready = ready.clone();
    registry.before_activation(move |entry| {
        let ok = entry.id.name() != "shaky" || is_ready.load(Ordering::Relaxed);
        async move { if ok { Ok(()) } else { Err("the database is not up".to_owned()) } }
    });
    let shaky = adder("demo:shaky/api@1.0.0", 1, &[]);
    register(registry, &shaky, "id = \"demo:shaky\"\nversion = \"1.0.0\"\n").await?;
    let user = adder("demo:user/api@1.0.0", 1, &["demo:shaky/api@1.0.0"]);
    register(registry, &user, "id = \"demo:user\"\nversion = \"1.0.0\"\n").await?;
    let user = [Target::from(id("demo:user")?)];
    let report = registry.activate(&user).await;
    for (id, error) in &report.failed {
        println!("  {id} failed: {error}");
    }
    for (id, because) in &report.skipped {
        println!("  {id} was skipped because of {because}");
    }
    ensure!(report.failed.len() == 1 && report.skipped.len() == 1);
    ensure!(registry.by_status(Status::Error).await?.len() == 1);
    ready.store(true, Ordering::Relaxed);
    let report = registry.activate(&user).await;
    println!("  once the database is up: {} activated", report.activated.len());
    ensure!(report.activated.len() == 2 && report.failed.is_empty());
    Ok(())
}
