//! What the examples share: components as text, and short ways to register and call them.
#![allow(dead_code, reason = "each example uses a part of it")]

use std::path::Path;

use anyhow::{Context as _, Result};
use embed::domain::ComponentManifest;
use embed::domain::call::{CallExpression, CallRequest};
use embed::domain::{ComponentId, ErrorKind};
use embed::{CompileIn, ManifestSource, OpenOptions, RegisterRequest, Registered, Registry, Target};

/// Counts; keeps its count when its instance is replaced; logs when an instance begins and ends.
pub(crate) const COUNTER: &str = include_str!("counter.wat");

/// Fails on demand.
pub(crate) const FLAKY: &str = include_str!("flaky.wat");

/// Returns the value `name` of its configuration.
pub(crate) const BADGE: &str = include_str!("badge.wat");

/// Makes a component that exports `export` (an interface with the function `total: func() -> u32`) and imports each of
/// `imports`, which have the same function. Its total is `own` and the totals of those.
pub(crate) fn adder(export: &str, own: u32, imports: &[&str]) -> String {
    let mut outer = String::new();
    let mut given = String::new();
    let mut inner = String::new();
    let mut sum = format!("(i32.const {own})");
    for (n, import) in imports.iter().enumerate() {
        outer.push_str(&format!("(import \"{import}\" (instance $i{n} (export \"total\" (func (result u32)))))\n"));
        outer.push_str(&format!("(core func $f{n} (canon lower (func $i{n} \"total\")))\n"));
        given.push_str(&format!("(export \"{n}\" (func $f{n}))"));
        inner.push_str(&format!("(import \"in\" \"{n}\" (func $t{n} (result i32)))\n"));
        sum = format!("(i32.add {sum} (call $t{n}))");
    }
    format!(
        r#"(component
          {outer}
          (core module $m
            {inner}
            (func (export "total") (result i32) {sum}))
          (core instance $i (instantiate $m (with "in" (instance {given}))))
          (func $total (result u32) (canon lift (core func $i "total")))
          (instance $api (export "total" (func $total)))
          (export "{export}" (instance $api)))"#
    )
}

/// Reads an id that is written in the example.
pub(crate) fn id(text: &str) -> Result<ComponentId> {
    text.parse().with_context(|| format!("{text} is no id"))
}

/// Returns the default options. Tests that run an example have a `main` of their own, which is no compile worker.
pub(crate) fn options() -> OpenOptions {
    let compile = if cfg!(test) { CompileIn::ThisProcess } else { CompileIn::OwnWorker };
    OpenOptions { compile, ..OpenOptions::default() }
}

/// Opens the registry in `folder` with the default options.
pub(crate) async fn open(folder: &Path) -> Result<Registry> {
    Ok(embed::open(folder, options()).await?)
}

/// Runs an example's story.
pub(crate) fn run(story: impl Future<Output = Result<()>>) -> Result<()> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(story)
}

/// Makes the request to register component text under a manifest.
pub(crate) fn request(wat: &str, manifest: &str) -> Result<RegisterRequest> {
    let manifest = ManifestSource::Given(Box::new(ComponentManifest::parse(manifest)?));
    let request = RegisterRequest::bytes("example.wat", wat.as_bytes());
    Ok(RegisterRequest { manifest: Some(manifest), ..request })
}

/// Registers component text under a manifest.
pub(crate) async fn register(registry: &Registry, wat: &str, manifest: &str) -> Result<Registered> {
    Ok(registry.register(request(wat, manifest)?).await?)
}

/// Activates a component and all that it needs; a failure of any of them is an error.
pub(crate) async fn activate(registry: &Registry, name: &str) -> Result<()> {
    let report = registry.activate(&[Target::from(id(name)?)]).await;
    match report.failed.into_iter().next() {
        Some((_, error)) => Err(error.into()),
        None => Ok(()),
    }
}

/// Makes a call written in WAVE.
pub(crate) fn wave(call: &str) -> CallRequest {
    CallRequest { expression: CallExpression::Wave(call.to_owned()), ..CallRequest::default() }
}

/// Calls a function and returns its result in WAVE.
pub(crate) async fn call(registry: &Registry, name: &str, expression: &str) -> Result<String> {
    Ok(registry.call(&id(name)?, wave(expression)).await?.wave)
}

/// Writes ids in a line.
pub(crate) fn line(ids: &[ComponentId]) -> String {
    ids.iter().map(ComponentId::as_str).collect::<Vec<_>>().join(", ")
}

/// Writes waves as `a, b | c`.
pub(crate) fn waves(waves: &[Vec<ComponentId>]) -> String {
    waves.iter().map(|wave| line(wave)).collect::<Vec<_>>().join(" | ")
}

/// Says what an operation was refused with.
pub(crate) fn said(error: &embed::RegistryError) -> (ErrorKind, &'static str, String) {
    (error.kind(), error.code(), error.to_string())
}
