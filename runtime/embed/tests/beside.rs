//! A component and those that call it go to versions that need each other, and back, under full load: no call fails, and nothing is
//! restarted that is not replaced.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has to fail"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use embed::domain::call::{CallExpression, CallRequest};
use embed::domain::{ComponentId, ComponentManifest};
use embed::{CompileIn, ManifestSource, OpenOptions, RegisterRequest, Registry};

/// How often all go there and back.
const ROUNDS: u32 = 12;

/// Exports `demo:log/sink` in a version; `write` answers the major one.
fn log(major: u32) -> String {
    format!(
        r#"(component
          (core module $m (func (export "write") (result i32) (i32.const {major})))
          (core instance $i (instantiate $m))
          (func $write (result u32) (canon lift (core func $i "write")))
          (instance $sink (export "write" (func $write)))
          (export "demo:log/sink@{major}.0.0" (instance $sink)))"#
    )
}

/// Calls `write` a thousand times, so that calls are under way at any moment, and answers how often it was called itself if it always
/// heard the version that it needs.
fn user(major: u32) -> String {
    format!(
        r#"(component
          (import "demo:log/sink@{major}.0.0" (instance $log (export "write" (func (result u32)))))
          (core func $write (canon lower (func $log "write")))
          (core module $m
            (import "log" "write" (func $write (result i32)))
            (global $calls (mut i32) (i32.const 0))
            (func (export "run") (result i32)
              (local $left i32)
              (local.set $left (i32.const 1000))
              (loop $again
                (if (i32.ne (call $write) (i32.const {major})) (then (unreachable)))
                (br_if $again (local.tee $left (i32.sub (local.get $left) (i32.const 1)))))
              (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
              (global.get $calls)))
          (core instance $i (instantiate $m (with "log" (instance (export "write" (func $write))))))
          (func (export "run") (result u32) (canon lift (core func $i "run"))))"#
    )
}

fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

async fn have(registry: &Registry, component: &str, major: u32, wat: &str) {
    let manifest = format!("id = \"{component}\"\nversion = \"{major}.0.0\"\n[limits]\nqueue = 1000\n");
    let mut request = RegisterRequest::bytes(component, wat.as_bytes());
    request.manifest = Some(ManifestSource::Given(Box::new(ComponentManifest::parse(&manifest).unwrap())));
    registry.register(request).await.unwrap();
}

async fn call(registry: &Registry, component: &ComponentId, function: &str) -> u64 {
    let expression = CallExpression::Json { function: function.to_owned(), args: vec![] };
    let called = registry.call(component, CallRequest { expression, ..CallRequest::default() }).await;
    called.unwrap_or_else(|error| panic!("{component}: {error}")).json.as_u64().unwrap()
}

#[test]
fn no_call_fails_while_components_go_to_versions_that_need_each_other() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(changes_under_load());
}

async fn changes_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions { compile: CompileIn::ThisProcess, ..OpenOptions::default() };
    let registry = embed::open(folder.path(), options).await.unwrap();
    have(&registry, "demo:log", 1, &log(1)).await;
    for name in ["demo:shop", "demo:bill"] {
        have(&registry, name, 1, &user(1)).await;
        assert!(registry.activate(&[id(name).into()]).await.failed.is_empty());
    }
    have(&registry, "demo:log", 2, &log(2)).await;
    have(&registry, "demo:shop", 2, &user(2)).await;
    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..6)
        .map(|caller| {
            let (registry, done, calls) = (registry.clone(), done.clone(), calls.clone());
            let (name, function) = [("demo:shop", "run"), ("demo:bill", "run"), ("demo:log", "write")][caller % 3];
            tokio::spawn(async move {
                while !done.load(Ordering::Relaxed) {
                    call(&registry, &id(name), function).await;
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    let use_ = async |name: &str, revision: u32| registry.use_revision(&id(name), revision).await.unwrap();
    let mut counted = 0;
    for round in 0..ROUNDS {
        // The log goes first, and leaves a revision behind; or the shop does, and brings one along.
        use_("demo:log", 2).await;
        use_("demo:shop", 2).await;
        let view = registry.get(&id("demo:log")).await.unwrap();
        assert_eq!(view.beside[0].needed_by, [id("demo:bill")]);
        match round % 2 {
            0 => {
                use_("demo:log", 1).await;
                use_("demo:shop", 1).await;
            }
            _ => {
                use_("demo:shop", 1).await;
                use_("demo:log", 1).await;
            }
        }
        assert!(registry.get(&id("demo:log")).await.unwrap().beside.is_empty());
        // It was never replaced, so it never forgot what it had counted.
        let now = call(&registry, &id("demo:bill"), "run").await;
        assert!(now > counted, "{now} after {counted}");
        counted = now;
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(calls.load(Ordering::Relaxed) > u64::from(ROUNDS), "there was load");
    for name in ["demo:log", "demo:shop", "demo:bill"] {
        let errors = registry.errors(Some(&id(name)), 10).await.unwrap();
        assert!(errors.is_empty(), "{name}: {errors:?}");
    }
    registry.close().await.unwrap();
}
