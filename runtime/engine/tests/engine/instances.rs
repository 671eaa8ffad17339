//! How many instances there are, how long they live, and who gets one next.
//!
//! Where guests keep all of tokio's threads busy, its timers come late: tests wait on their own thread there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use domain::failure::FailureKind;
use domain::manifest::InstanceMode;
use domain::ports::{InstanceCount, InstancePolicy, Unit, UnitSpec};
use domain::{Limits, Phase};
use serde_json::json;

use crate::support::{World, call, failure, said, slot, wave};

/// Counts its calls, and can be kept busy.
const COUNTER: &str = r#"(component
    (core module $m
      (global $calls (mut i32) (i32.const 0))
      (func (export "count") (result i32)
        (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
        (global.get $calls))
      (func (export "spin") (param $turns i64)
        (loop $again
          (local.set $turns (i64.sub (local.get $turns) (i64.const 1)))
          (br_if $again (i64.ne (local.get $turns) (i64.const 0)))))
      (func (export "fail") unreachable))
    (core instance $i (instantiate $m))
    (func (export "count") (result u32) (canon lift (core func $i "count")))
    (func (export "spin") (param "turns" u64) (canon lift (core func $i "spin")))
    (func (export "fail") (canon lift (core func $i "fail"))))"#;

/// Sums up its memory, in which nothing but the data is to be found, and then fills it.
const SUMMING: &str = r#"(component
    (core module $m
      (memory 40)
      (data (i32.const 70000) "\05\06")
      (func (export "sum") (result i32) (local $at i32) (local $sum i32)
        (drop (memory.grow (i32.const 8)))
        (loop $next
          (local.set $sum (i32.add (local.get $sum) (i32.load8_u (local.get $at))))
          (br_if $next (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (i32.const 3145728))))
        (memory.fill (i32.const 0) (i32.const 255) (i32.const 3145728))
        (local.get $sum)))
    (core instance $i (instantiate $m))
    (func (export "sum") (result u32) (canon lift (core func $i "sum"))))"#;

/// Has a table that is too large for the places that are kept ready.
const WIDE: &str = r#"(component
    (core module $m (table 1100000 funcref) (func (export "size") (result i32) (table.size 0)))
    (core instance $i (instantiate $m))
    (func (export "size") (result u32) (canon lift (core func $i "size"))))"#;

/// Hands `spin` on.
const CALLER: &str = r#"(component
    (import "spin" (func $spin (param "turns" u64)))
    (core func $spin (canon lower (func $spin)))
    (core module $m (import "x" "spin" (func $spin (param i64)))
      (func (export "run") (param i64) (call $spin (local.get 0))))
    (core instance $i (instantiate $m (with "x" (instance (export "spin" (func $spin))))))
    (func (export "run") (param "turns" u64) (canon lift (core func $i "run"))))"#;

/// Turns that take much longer than any test.
const FOREVER: &str = "spin(10000000000000)";

async fn kept(world: &World, mode: InstanceMode, max: u32, limits: Limits) -> Arc<dyn Unit> {
    let instances = InstancePolicy { mode, max };
    world.prepare(UnitSpec { instances, limits, ..world.spec("demo:counter", COUNTER) }).await
}

/// Without fuel's bound, so that the deadline is the one that ends calls.
fn patient(deadline: u64) -> Limits {
    Limits { fuel: u64::MAX, deadline_ms: deadline, ..Limits::DEFAULT }
}

#[tokio::test]
async fn one_is_shared_and_a_call_of_its_own_begins_anew() {
    let world = World::new();
    let shared = kept(&world, InstanceMode::Shared, 8, Limits::DEFAULT).await;
    let fresh = kept(&world, InstanceMode::PerCall, 8, Limits::DEFAULT).await;
    for number in 1..=3 {
        assert_eq!(call(&shared, "count()").await.json, json!(number));
        assert_eq!(call(&fresh, "count()").await.json, json!(1));
    }
    assert_eq!((shared.instances().live, fresh.instances().live), (1, 0));
    fresh.start().await.map_err(|failure| said(&failure)).unwrap();
    assert_eq!(fresh.instances(), InstanceCount::default(), "it has proved that it can be made");
    // An instance that failed is not used again.
    failure(&shared, wave("fail()")).await;
    assert_eq!(call(&shared, "count()").await.json, json!(1));
}

#[tokio::test]
async fn a_call_of_its_own_finds_nothing_of_those_before() {
    let world = World::new();
    let instances = InstancePolicy { mode: InstanceMode::PerCall, max: 8 };
    let one = world.prepare(UnitSpec { instances, ..world.spec("demo:one", SUMMING) }).await;
    let other = SUMMING.replace(r"\05\06", r"\01");
    let other = world.prepare(UnitSpec { instances, ..world.spec("demo:other", &other) }).await;
    for _ in 0..20 {
        assert_eq!(call(&one, "sum()").await.json, json!(11));
        assert_eq!(call(&other, "sum()").await.json, json!(1));
    }
}

#[tokio::test]
async fn a_component_that_fits_no_place_that_is_kept_ready_is_called_all_the_same() {
    let world = World::new();
    let instances = InstancePolicy { mode: InstanceMode::PerCall, max: 8 };
    let limits = Limits { table_elements: 2_000_000, ..Limits::DEFAULT };
    let wide = world.prepare(UnitSpec { instances, limits, ..world.spec("demo:wide", WIDE) }).await;
    for _ in 0..3 {
        assert_eq!(call(&wide, "size()").await.json, json!(1_100_000));
    }
    assert_eq!(wide.instances().live, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_serves_as_many_at_once_as_it_may_have() {
    let world = World::new();
    let pool = kept(&world, InstanceMode::Pool, 2, patient(400)).await;
    let busy: Vec<_> = (0..2)
        .map(|_| {
            let pool = Arc::clone(&pool);
            tokio::spawn(async move { failure(&pool, wave(FOREVER)).await.kind })
        })
        .collect();
    while pool.instances().busy < 2 {
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(pool.instances().live, 2);
    // The third waits until one of them has ended.
    assert_eq!(call(&pool, "count()").await.json, json!(1));
    for ended in busy {
        assert_eq!(ended.await.unwrap(), FailureKind::Deadline);
    }
    assert_eq!(pool.instances().busy, 0);
    assert_eq!(pool.shed(Duration::from_secs(3600)).await, 0);
    tokio::time::sleep(Duration::from_millis(30)).await;
    assert_eq!(pool.shed(Duration::from_millis(1)).await, 1);
    assert_eq!(pool.instances().live, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_more_calls_run_or_wait_than_allowed() {
    let world = World::new();
    let limits = Limits { calls: 1, queue: 1, ..patient(300) };
    let pool = kept(&world, InstanceMode::Pool, 8, limits).await;
    let begin = || {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { failure(&pool, wave(FOREVER)).await })
    };
    let running = begin();
    while pool.instances().busy < 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    let waiting = begin();
    std::thread::sleep(Duration::from_millis(50));
    let refused = failure(&pool, wave("count()")).await;
    assert_eq!(said(&refused), "demo:counter call exhausted: 1 calls wait already, no more may (`limits.queue`)");
    assert_eq!(running.await.unwrap().kind, FailureKind::Deadline);
    // It waited for as long as it might run.
    assert_eq!(waiting.await.unwrap().phase, Phase::Call);
    assert_eq!(call(&pool, "count()").await.json, json!(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_instances_end_once_their_calls_have() {
    let world = World::new();
    let pool = kept(&world, InstanceMode::Pool, 4, patient(200)).await;
    call(&pool, "count()").await;
    let busy = {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { failure(&pool, wave(FOREVER)).await.kind })
    };
    while pool.instances().busy < 1 {
        std::thread::sleep(Duration::from_millis(5));
    }
    // Two who end it at once do not wait for each other.
    tokio::join!(pool.stop(), pool.stop());
    assert_eq!(pool.instances().live, 0);
    assert_eq!(busy.await.unwrap(), FailureKind::Deadline);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn one_who_computes_on_its_callers_stack_holds_nobody_up() {
    let world = World::new();
    let counter = kept(&world, InstanceMode::Shared, 1, patient(600)).await;
    call(&counter, "count()").await;
    let caller = world.linked("demo:caller", CALLER, &[("spin", "spin", &slot(&counter))]).await;
    call(&caller, "run(1)").await;
    let (ticks, is_over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    let ticking = {
        let (ticks, is_over) = (Arc::clone(&ticks), Arc::clone(&is_over));
        tokio::spawn(async move {
            while !is_over.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(5)).await;
                ticks.fetch_add(1, Ordering::Relaxed);
            }
        })
    };
    // Both are tasks of the one thread.
    let ended = tokio::spawn(async move { failure(&caller, wave("run(10000000000000)")).await }).await.unwrap();
    is_over.store(true, Ordering::Relaxed);
    ticking.await.unwrap();
    assert!(said(&ended).contains("deadline") || ended.kind == FailureKind::Fuel, "{}", said(&ended));
    assert!(ticks.load(Ordering::Relaxed) >= 10, "{} ticks", ticks.load(Ordering::Relaxed));
}
