//! Registering: from bytes and from a folder, twice, in a new version, with a conflict, and taking it back.
//!
//! `cargo run -p embed --example registration`
#![allow(clippy::print_stdout, reason = "an example tells its story on standard output")]

mod support;

use std::fs;

use anyhow::{Result, ensure};
use embed::{RegisterOutcome, RegisterRequest};
use support::{FLAKY, adder, id, open, register, request, said};

pub(crate) fn main() -> Result<()> {
    // Before anything else: components are compiled in processes of this very program.
    embed::run_compile_worker_if_asked();
    support::run(story())
}

async fn story() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = open(&folder.path().join("data")).await?;
    registry.on_status_change(|id, old, new| println!("  {id}: {old} → {new}"));

    println!("From bytes, with a manifest made by the program:");
    let base = adder("demo:base/api@1.0.0", 1, &[]);
    let manifest = "id = \"demo:base\"\nversion = \"1.0.0\"\ndescription = \"Where sums begin\"\n";
    let first = register(&registry, &base, manifest).await?;
    let revision = &first.entry.entry.revision;
    println!("  revision {} has {} bytes, {}", first.revision, revision.size, revision.digest);
    ensure!(first.outcome == RegisterOutcome::New);

    println!("The same again changes nothing:");
    let again = register(&registry, &base, manifest).await?;
    ensure!(again.outcome == RegisterOutcome::Unchanged && again.revision == 1);
    println!("  {:?}, still revision {}", again.outcome, again.revision);

    println!("Other bytes cannot take a version that is there, unless they are told to:");
    let changed = adder("demo:base/api@1.0.0", 100, &[]);
    let refused = registry.register(request(&changed, manifest)?).await;
    let Err(error) = refused else { anyhow::bail!("a version was taken") };
    let (kind, code, message) = said(&error);
    println!("  {kind} ({code}): {message}");
    for hint in error.hints() {
        println!("  hint: {hint}");
    }
    ensure!(code == "version-conflict");
    let forced = RegisterRequest { override_version: true, ..request(&changed, manifest)? };
    let replaced = registry.register(forced).await?;
    ensure!(replaced.outcome == RegisterOutcome::NewRevision && replaced.revision == 2);
    println!("  with override_version: revision {} has version {}", replaced.revision, replaced.version);

    println!("From a folder with a component.toml:");
    let source = folder.path().join("flaky");
    fs::create_dir(&source)?;
    fs::write(source.join("flaky.wat"), FLAKY)?;
    fs::write(source.join("component.toml"), "id = \"demo:flaky\"\nversion = \"0.2.0\"\nkind = \"test\"\n")?;
    let found = registry.discover(folder.path()).await?;
    for candidate in &found {
        let name = candidate.path.file_name().unwrap_or_default().display();
        println!("  found {} in the folder {name}", candidate.id.as_ref().map_or("nothing", |id| id.as_str()));
    }
    ensure!(found.len() == 1);
    let registered = registry.register(RegisterRequest::path(&source)).await?;
    ensure!(registered.entry.entry.revision.kind().as_str() == "test");
    let by_path = registry.find_by_path(&source.join("flaky.wat")).await?;
    ensure!(by_path.len() == 1, "the entry is found again by its file");

    println!("What is not a component is refused with the reason:");
    let error = registry.register(RegisterRequest::bytes("note.txt", b"hello".as_slice())).await.err();
    let Some(error) = error else { anyhow::bail!("a note was registered") };
    println!("  {error}");
    ensure!(error.code() == "invalid-component");

    println!("And taken back:");
    let gone = registry.unregister(&[id("demo:flaky")?], false).await;
    ensure!(gone.failed.is_empty() && !registry.contains(&id("demo:flaky")?).await?);
    println!("  the journal has {} records of all this", registry.records(1, 100).await?.len());
    registry.close().await?;
    Ok(())
}
