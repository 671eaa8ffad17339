//! Calls of a component in quarantine, and what its neighbour notices of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use domain::call::{CallExpression, CallRequest};
use domain::{ComponentId, Status};
use embed::{InstanceHandle, OpenOptions, RegisterRequest, Registry, RegistryError, Target};
use tokio::runtime::Runtime;

const RUNS: usize = 31;
const CALLS: u32 = 2_000;
/// Longest that a refused call may take.
const REFUSED_MAX: Duration = Duration::from_micros(2);

const TRAPS: &str = r#"(component
    (core module $m (func (export "add") (param i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add"))))"#;

const ADDS: &str = r#"(component
    (core module $m (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add"))))"#;

pub(crate) fn run(tokio: &Runtime) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = tokio.block_on(embed::open(folder.path(), OpenOptions::default()))?;
    tokio.block_on(registry.set_setting("breaker.delay", Some("24h")))?;
    tokio.block_on(registry.set_setting("breaker.max_delay", Some("24h")))?;
    let traps = tokio.block_on(have(&registry, "bench:traps", TRAPS))?;
    let adds = tokio.block_on(have(&registry, "bench:adds", ADDS))?;
    let mut failed = 0;
    while tokio.block_on(registry.get(&traps))?.entry.status == Status::Active {
        anyhow::ensure!(tokio.block_on(registry.call(&traps, request())).is_err(), "it traps");
        failed += 1;
    }
    let records = registry.last_seq();
    let mut refused: Vec<_> = (0..RUNS).map(|_| tokio.block_on(refused(&registry, &traps)) / CALLS).collect();
    refused.sort_unstable();
    let median = refused.get(RUNS / 2).copied().unwrap_or_default();
    println!("a call refused after {failed} failures: {median:.2?} (bound {REFUSED_MAX:?})");
    anyhow::ensure!(registry.last_seq() == records, "a refused call is no record");

    let neighbour = tokio.block_on(registry.instance(&adds))?;
    let storm = Storm::new(tokio, &registry, &traps);
    let both = crate::medians(
        RUNS,
        || {
            storm.is_on.store(true, Ordering::Relaxed);
            let time = tokio.block_on(answered(&neighbour)) / CALLS;
            storm.is_on.store(false, Ordering::Relaxed);
            time
        },
        || tokio.block_on(answered(&neighbour)) / CALLS,
    );
    crate::show("a call of its neighbour while another task is refused", "nobody is", 1.5, both);
    println!("  refused meanwhile: {}", storm.count.load(Ordering::Relaxed));
    storm.task.abort();
    tokio.block_on(registry.close())?;
    Ok(())
}

async fn have(registry: &Registry, id: &str, wat: &str) -> anyhow::Result<ComponentId> {
    let mut request = RegisterRequest::bytes("bench.wat", wat.as_bytes());
    request.id = Some(id.parse()?);
    let id = registry.register(request).await?.entry.entry.id.clone();
    registry.activate(&[Target::from(&id)]).await;
    Ok(id)
}

fn request() -> CallRequest {
    let args = vec![1.into(), 2.into()];
    CallRequest { expression: CallExpression::Json { function: "add".to_owned(), args }, ..CallRequest::default() }
}

async fn refused(registry: &Registry, id: &ComponentId) -> Duration {
    let requests: Vec<_> = (0..CALLS).map(|_| request()).collect();
    let start = Instant::now();
    for request in requests {
        let refused = registry.call(id, request).await;
        assert!(matches!(refused, Err(RegistryError::Quarantined { .. })), "it is in quarantine");
    }
    start.elapsed()
}

async fn answered(handle: &InstanceHandle) -> Duration {
    let start = Instant::now();
    for _ in 0..CALLS {
        assert_eq!(handle.call(request()).await.expect("it adds").json, 3);
    }
    start.elapsed()
}

/// A task that calls what is in quarantine, one call after the other, while it is on.
struct Storm {
    is_on: Arc<AtomicBool>,
    count: Arc<AtomicU64>,
    task: tokio::task::JoinHandle<()>,
}

impl Storm {
    fn new(tokio: &Runtime, registry: &Registry, id: &ComponentId) -> Self {
        let (is_on, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (registry, id, on, counted) = (registry.clone(), id.clone(), is_on.clone(), count.clone());
        let task = tokio.spawn(async move {
            loop {
                if on.load(Ordering::Relaxed) {
                    assert!(registry.call(&id, request()).await.is_err(), "it is in quarantine");
                    counted.fetch_add(1, Ordering::Relaxed);
                }
                tokio::task::yield_now().await;
            }
        });
        Self { is_on, count, task }
    }
}
