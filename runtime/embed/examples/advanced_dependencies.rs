//! Choosing providers, ranges of versions, kinds with factories, and a revision replaced while others use it.
//!
//! `cargo run -p embed --example advanced_dependencies`
#![allow(clippy::print_stdout, reason = "an example tells its story on standard output")]

mod support;

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use embed::domain::Entry;
use embed::domain::limits::LimitRequests;
use embed::domain::ports::{BoxFuture, UnitSpec};
use embed::{ComponentFactory, KindProfile, RegisterOutcome, Registry, Target};
use support::{BADGE, activate, adder, call, id, open, register};

const LOG: &str = "acme:log/api@1.0.0";

pub(crate) fn main() -> Result<()> {
    // Before anything else: components are compiled in processes of this very program.
    embed::run_compile_worker_if_asked();
    support::run(story())
}

async fn story() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = open(folder.path()).await?;
    providers(&registry).await?;
    ranges(&registry).await?;
    replacement(&registry).await?;
    kinds(&registry).await?;
    registry.close().await?;
    Ok(())
}

/// Two components export the same interface: `[bind]` chooses, and who has a provider keeps it.
async fn providers(registry: &Registry) -> Result<()> {
    println!("Who has a provider keeps it when a second one comes:");
    register(registry, &adder(LOG, 1, &[]), "id = \"acme:plain-log\"\nversion = \"1.0.0\"\n").await?;
    let early = adder("acme:early/api@1.0.0", 10, &[LOG]);
    register(registry, &early, "id = \"acme:early\"\nversion = \"1.0.0\"\n").await?;
    register(registry, &adder(LOG, 2, &[]), "id = \"acme:rich-log\"\nversion = \"1.0.0\"\n").await?;
    activate(registry, "acme:early").await?;
    ensure!(call(registry, "acme:early", "total()").await? == "11", "10 and the 1 of acme:plain-log");
    println!("  acme:early still uses acme:plain-log");

    println!("Who comes later has to choose:");
    let late = adder("acme:late/api@1.0.0", 10, &[LOG]);
    register(registry, &late, "id = \"acme:late\"\nversion = \"1.0.0\"\n").await?;
    let Err(error) = activate(registry, "acme:late").await else { bail!("a provider was chosen by chance") };
    println!("  {error}");
    let bound = "id = \"acme:late\"\nversion = \"1.0.1\"\n[bind]\n\"acme:log/api\" = \"acme:rich-log\"\n";
    register(registry, &late, bound).await?;
    activate(registry, "acme:late").await?;
    ensure!(call(registry, "acme:late", "total()").await? == "12", "10 and the 2 of acme:rich-log");
    println!("  with [bind], acme:late uses acme:rich-log");
    Ok(())
}

/// A declared dependency with a range of versions, and what is wrong with dependencies.
async fn ranges(registry: &Registry) -> Result<()> {
    println!("A declared dependency is there only in its range:");
    let manifest = "id = \"acme:strict\"\nversion = \"1.0.0\"\n[dependencies]\n\"acme:plain-log\" = \"^2\"\n";
    register(registry, &adder("acme:strict/api@1.0.0", 1, &[]), manifest).await?;
    let problems = registry.validate_dependencies(&id("acme:strict")?).await?;
    for problem in &problems {
        println!("  {}: {}", problem.fault.as_str(), problem.message);
    }
    ensure!(problems.len() == 1);
    println!("A newer version waits while the old one is active, and is in range once it is activated:");
    let second = "id = \"acme:plain-log\"\nversion = \"2.0.0\"\n";
    let newer = register(registry, &adder(LOG, 5, &[]), second).await?;
    ensure!(newer.outcome == RegisterOutcome::Waiting);
    let target = registry.resolve("acme:plain-log@2.0.0").await?;
    let report = registry.activate(&[target]).await;
    ensure!(report.failed.is_empty());
    // What was marked is tried again.
    activate(registry, "acme:strict").await?;
    println!("  acme:strict is active");
    Ok(())
}

/// Dependents of a replaced revision use the new one without being touched; an old version can be put back.
async fn replacement(registry: &Registry) -> Result<()> {
    println!("Dependents call whichever revision is in service:");
    ensure!(call(registry, "acme:early", "total()").await? == "15", "10 and the 5 of version 2.0.0");
    println!("  acme:early uses version 2.0.0 now");
    let versions: Vec<_> =
        registry.revisions(&id("acme:plain-log")?).await?.iter().map(|r| r.version.to_string()).collect();
    println!("  versions of acme:plain-log: {}", versions.join(", "));
    ensure!(versions == ["1.0.0", "2.0.0"]);
    Ok(())
}

/// Adds the component's own name to its configuration.
struct NameGiver;

impl ComponentFactory for NameGiver {
    fn prepare<'a>(&'a self, entry: &'a Entry, spec: &'a mut UnitSpec) -> BoxFuture<'a, Result<(), String>> {
        Box::pin(async move {
            if entry.id.namespace() != "acme" {
                return Err(format!("{} is a stranger", entry.id));
            }
            spec.config.insert("name".to_owned(), format!("I am {}", entry.id.name()));
            Ok(())
        })
    }
}

/// A kind gives its components limits and configuration, asks for exports, and runs a factory before instantiation.
async fn kinds(registry: &Registry) -> Result<()> {
    println!("A kind brings limits and a factory:");
    registry.register_kind(
        "badge".parse()?,
        KindProfile {
            limits: LimitRequests { fuel: Some(50_000), ..LimitRequests::default() },
            factory: Some(Arc::new(NameGiver)),
            world: vec!["name".to_owned()],
            ..KindProfile::default()
        },
    );
    register(registry, BADGE, "id = \"acme:badge\"\nversion = \"1.0.0\"\nkind = \"badge\"\n").await?;
    ensure!(registry.get(&id("acme:badge")?).await?.limits.limits.fuel == 50_000);
    activate(registry, "acme:badge").await?;
    let name = call(registry, "acme:badge", "name()").await?;
    println!("  name() = {name}");
    ensure!(name == "\"I am badge\"");
    register(registry, BADGE, "id = \"other:badge\"\nversion = \"1.0.0\"\nkind = \"badge\"\n").await?;
    let report = registry.activate(&[Target::from(id("other:badge")?)]).await;
    let Some((_, error)) = report.failed.first() else { bail!("a stranger was let in") };
    println!("  {error}");
    let misfit = adder("acme:misfit/api@1.0.0", 1, &[]);
    let misfit = register(registry, &misfit, "id = \"acme:misfit\"\nversion = \"1.0.0\"\nkind = \"badge\"\n").await;
    let Err(error) = misfit else { bail!("a component without the exports of its kind was registered") };
    println!("  {error}");
    Ok(())
}
