//! One component is swapped again and again under full load: no call fails, no count is lost, and nothing grows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use embed::domain::ComponentId;
use embed::domain::call::{CallExpression, CallRequest};
use embed::{CompileIn, ManifestSource, OpenOptions, RegisterRequest, Registry, Target};

/// Callers at full rate.
const CALLERS: usize = 8;
/// After how many swaps it is looked what the process has, for the first time: until then it grows into its work.
const WARM: u64 = 50;
/// By how much memory may grow after that, in bytes, for each swap: its records are kept in memory until they are written to the index.
const BYTES_OF_SWAP: u64 = 32 << 10;
/// And in all, since an allocator does not give everything back.
const BYTES_OF_ALL: u64 = 24 << 20;
/// By how many open files it may differ from one look to the next: the journal begins another one, a caller reads.
const FILES: u64 = 8;

/// Keeps a count as its state, whatever its version.
fn counter(version: &str) -> String {
    format!(
        r#"(component
  (core module $m
    (memory (export "memory") 1)
    (global $count (mut i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 64))
    (func (export "next") (result i32)
      (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count))
    (func (export "ok") (result i32) (i32.const 0))
    (func (export "snapshot") (result i32)
      (i32.store (i32.const 32) (global.get $count))
      (i32.store (i32.const 0) (i32.const 0)) (i32.store (i32.const 4) (i32.const 32)) (i32.store (i32.const 8) (i32.const 4))
      (i32.const 0))
    (func (export "restore") (param $bytes i32) (param $length i32) (result i32)
      (global.set $count (i32.load (local.get $bytes))) (i32.store (i32.const 0) (i32.const 0)) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $next (result u32) (canon lift (core func $i "next")))
  (instance $count (export "next" (func $next)))
  (export "swap:count/count@{version}" (instance $count))
  (type $answer (func (result (result (error string)))))
  (func $ok (type $answer) (canon lift (core func $i "ok") (memory (core memory $i "memory"))))
  (func $snapshot (result (result (list u8) (error string)))
    (canon lift (core func $i "snapshot") (memory (core memory $i "memory"))))
  (func $restore (param "state" (list u8)) (result (result (error string)))
    (canon lift (core func $i "restore") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
  (instance $state (export "snapshot" (func $snapshot)) (export "restore" (func $restore)))
  (instance $lifecycle (export "activate" (func $ok)) (export "deactivate" (func $ok)))
  (instance $health (export "check" (func $ok)))
  (export "registry:component/state@0.1.0" (instance $state))
  (export "registry:component/lifecycle@0.1.0" (instance $lifecycle))
  (export "registry:component/health@0.1.0" (instance $health)))"#
    )
}

/// Calls `from`, counts its own calls, and exports `to`.
fn caller(from: &str, to: &str) -> String {
    format!(
        r#"(component
  (import "{from}" (instance $count (export "next" (func (result u32)))))
  (core func $next (canon lower (func $count "next")))
  (core module $m
    (import "c" "next" (func $next (result i32)))
    (global $own (mut i32) (i32.const 0))
    (func (export "own") (result i32) (global.get $own))
    (func (export "next") (result i32)
      (global.set $own (i32.add (global.get $own) (i32.const 1)))
      (call $next)))
  (core instance $i (instantiate $m (with "c" (instance (export "next" (func $next))))))
  (func $n (result u32) (canon lift (core func $i "next")))
  (func (export "own") (result u32) (canon lift (core func $i "own")))
  (instance $count2 (export "next" (func $n)))
  (export "{to}" (instance $count2)))"#
    )
}

fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

async fn have(registry: &Registry, component: &str, version: &str, more: &str, wat: &str) {
    let manifest = format!("id = \"{component}\"\nversion = \"{version}\"\n{more}[limits]\nqueue = 1000\n");
    let mut request = RegisterRequest::bytes(component, wat.as_bytes());
    request.manifest =
        Some(ManifestSource::Given(Box::new(embed::domain::ComponentManifest::parse(&manifest).unwrap())));
    registry.register(request).await.unwrap();
}

async fn call(registry: &Registry, component: &ComponentId, function: &str) -> Result<u64, String> {
    let expression = CallExpression::Json { function: function.to_owned(), args: vec![] };
    let called = registry.call(component, CallRequest { expression, ..CallRequest::default() }).await;
    called.map(|outcome| outcome.json.as_u64().unwrap()).map_err(|error| error.to_string())
}

/// What this process has.
#[derive(Clone, Copy, Debug)]
struct Has {
    memory: u64,
    files: u64,
}

impl Has {
    fn now() -> Option<Self> {
        let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
        let pages: u64 = statm.split(' ').nth(1)?.parse().ok()?;
        let files = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
        Some(Self { memory: pages * 4096, files })
    }
}

/// Does `swaps` swaps under load and says what was seen.
pub(crate) async fn run(swaps: u64) -> String {
    let folder = tempfile::tempdir().unwrap();
    let options = OpenOptions { compile: CompileIn::ThisProcess, ..OpenOptions::default() };
    let registry = embed::open(folder.path(), options).await.unwrap();
    have(&registry, "swap:count", "1.0.0", "", &counter("1.0.0")).await;
    let near = caller("swap:count/count@1.0.0", "swap:near/count@1.0.0");
    have(&registry, "swap:near", "1.0.0", "", &near).await;
    have(&registry, "swap:far", "1.0.0", "", &caller("swap:near/count@1.0.0", "swap:far/count@1.0.0")).await;
    let targets = [Target::from(id("swap:far"))];
    assert!(registry.activate(&targets).await.failed.is_empty());
    have(&registry, "swap:count", "1.1.0", "", &counter("1.1.0")).await;

    let (done, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let callers: Vec<_> = (0..CALLERS)
        .map(|_| {
            let (registry, done, calls) = (registry.clone(), done.clone(), calls.clone());
            tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                while !done.load(Ordering::SeqCst) {
                    let begun = Instant::now();
                    call(&registry, &id("swap:far"), "swap:far/count@1.0.0#next").await?;
                    longest = longest.max(begun.elapsed());
                    calls.fetch_add(1, Ordering::SeqCst);
                    // A call that waits for nothing never gives the thread to those who swap.
                    tokio::task::yield_now().await;
                }
                Ok::<_, String>(longest)
            })
        })
        .collect();
    let (mut warm, mut paused) = (None, Duration::ZERO);
    for swap in 0..swaps {
        let version = if swap % 2 == 0 { "1.1.0" } else { "1.0.0" };
        let target = Target { version: Some(version.parse().unwrap()), ..Target::from(id("swap:count")) };
        let report = registry.activate(&[target]).await;
        assert!(report.failed.is_empty(), "swap {swap}: {:?}", report.failed);
        let swapped = report.activated[0].swapped.as_ref().unwrap();
        assert_eq!(swapped.moved_bytes, Some(4), "swap {swap}");
        paused = paused.max(swapped.paused);
        if swap + 1 == WARM.min(swaps / 2).max(1) {
            warm = Has::now();
        }
    }
    let end = Has::now();
    done.store(true, Ordering::SeqCst);
    let mut longest = Duration::ZERO;
    for caller in callers {
        longest = longest.max(caller.await.unwrap().unwrap_or_else(|error| panic!("a call failed: {error}")));
    }
    let calls = calls.load(Ordering::SeqCst);
    let counted = call(&registry, &id("swap:count"), "next").await.unwrap();
    assert_eq!(counted, calls + 1, "each call was counted once");
    for dependent in ["swap:near", "swap:far"] {
        let own = call(&registry, &id(dependent), "own").await.unwrap();
        assert_eq!(own, calls, "{dependent} has the instance that it began with");
    }
    assert!(registry.errors(None, 10).await.unwrap().is_empty());
    registry.close().await.unwrap();
    if let (Some(warm), Some(end)) = (warm, end) {
        let grown = end.memory.saturating_sub(warm.memory);
        assert!(grown <= BYTES_OF_ALL + swaps * BYTES_OF_SWAP, "memory grew by {grown} bytes: {warm:?} {end:?}");
        assert!(end.files <= warm.files + FILES, "{warm:?} {end:?}");
    }
    format!(
        "{swaps} swaps under {CALLERS} callers: {calls} calls, none failed; the longest took {longest:.2?}, calls waited for state for at \
         most {paused:.2?}; {warm:?} then {end:?}"
    )
}
