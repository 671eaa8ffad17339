//! Finding components: by kind, status, health and metadata, by names, and by indexes of one's own.
//!
//! `cargo run -p embed --example filtering`
#![allow(clippy::print_stdout, reason = "an example tells its story on standard output")]

mod support;

use anyhow::{Result, bail, ensure};
use embed::EntryView;
use embed::domain::Status;
use embed::domain::filter::Filter;
use support::{activate, adder, id, open, register};

fn ids(views: &[EntryView]) -> String {
    views.iter().map(|view| view.entry.id.as_str()).collect::<Vec<_>>().join(", ")
}

pub(crate) fn main() -> Result<()> {
    // Before anything else: components are compiled in processes of this very program.
    embed::run_compile_worker_if_asked();
    support::run(story())
}

async fn story() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = open(folder.path()).await?;
    for (name, kind, team, tags) in [
        ("invoice", "skill", "billing", "[\"pdf\", \"mail\"]"),
        ("dunning", "skill", "billing", "[\"mail\"]"),
        ("clock", "service", "platform", "[]"),
        ("archive", "service", "platform", "[\"pdf\"]"),
    ] {
        let manifest = format!(
            "id = \"acme:{name}\"\nversion = \"1.0.0\"\nkind = \"{kind}\"\n\
             [metadata]\nteam = \"{team}\"\ntags = {tags}\n[metadata.owner]\ncity = \"Bremen\"\n"
        );
        register(&registry, &adder(&format!("acme:{name}/api@1.0.0"), 1, &[]), &manifest).await?;
    }
    activate(&registry, "acme:clock").await?;
    registry.mark_error(&id("acme:archive")?, "its disk is full").await?;

    let skills = registry.by_kind(&"skill".parse()?).await?;
    println!("kind skill:          {}", ids(&skills));
    ensure!(ids(&skills) == "acme:dunning, acme:invoice");
    let active = registry.by_status(Status::Active).await?;
    println!("status active:       {}", ids(&active));
    ensure!(ids(&active) == "acme:clock");
    let healthy = registry.healthy().await?;
    println!("healthy:             {}", ids(&healthy));
    ensure!(healthy.len() == 3);

    // Conditions are what `runtime list --where key=value` takes: dots lead into tables, a list matches by each element.
    for (condition, expected) in [
        ("team=billing", "acme:dunning, acme:invoice"),
        ("tags=pdf", "acme:archive, acme:invoice"),
        ("owner.city=Bremen", "acme:archive, acme:clock, acme:dunning, acme:invoice"),
        ("version=1.0.0", "acme:archive, acme:clock, acme:dunning, acme:invoice"),
    ] {
        let filter = Filter { conditions: vec![condition.parse()?], ..Filter::default() };
        let found = ids(&registry.list(&filter).await?);
        println!("{condition:<20} {found}");
        ensure!(found == expected);
    }
    let filter = Filter { kind: Some("skill".parse()?), conditions: vec!["tags=pdf".parse()?], ..Filter::default() };
    ensure!(ids(&registry.list(&filter).await?) == "acme:invoice", "all that is set has to hold");

    println!("An index on a metadata key stays with the registry:");
    ensure!(registry.create_metadata_index("tags").await?);
    for (value, count) in registry.index_keys("tags").await? {
        println!("  {value}: {count}");
    }
    ensure!(ids(&registry.by_index("tags", "mail").await?) == "acme:dunning, acme:invoice");

    println!("An index by a function lives in this process and follows every change:");
    registry.create_index("initial", |entry| entry.id.name().chars().next().map(String::from)).await?;
    register(&registry, &adder("acme:audit/api@1.0.0", 1, &[]), "id = \"acme:audit\"\nversion = \"0.1.0\"\n").await?;
    let under_a = registry.by_index("initial", "a").await?;
    println!("  a: {}", ids(&under_a));
    ensure!(ids(&under_a) == "acme:archive, acme:audit");
    let audit = registry.by_index("version", "0.1.0").await?;
    ensure!(ids(&audit) == "acme:audit", "indexes on version, kind, status, digest and path are always there");

    println!("Names as people type them:");
    ensure!(registry.resolve("clock").await?.id == id("acme:clock")?);
    let Err(error) = registry.resolve("acme:clok").await else { bail!("a misspelt name was found") };
    println!("  {error}; {}", error.hints().join("; "));
    ensure!(error.code() == "component-not-found" && error.hints().iter().any(|hint| hint.contains("acme:clock")));
    registry.close().await?;
    Ok(())
}
