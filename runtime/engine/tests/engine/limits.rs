//! What a guest cannot do more of than it may.

use std::time::Duration;

use domain::call::CallRequest;
use domain::failure::FailureKind;
use domain::ports::{EngineError, UnitSpec};
use domain::{Limits, Phase};
use serde_json::json;

use crate::support::{World, call, failure, wave};

const TROUBLE: &str = include_str!("../fixtures/trouble.wat");

fn limited(world: &World, limits: Limits) -> UnitSpec {
    UnitSpec { limits, ..world.spec("demo:trouble", TROUBLE) }
}

#[tokio::test]
async fn fuel_ends_a_loop_and_a_request_can_only_lower_it() {
    let world = World::new();
    let unit = world.prepare(limited(&world, Limits { fuel: 10_000, ..Limits::DEFAULT })).await;
    let spin = failure(&unit, wave("spin()")).await;
    assert_eq!((spin.kind, spin.phase, spin.fuel), (FailureKind::Fuel, Phase::Call, Some(10_000)));
    insta::assert_snapshot!(spin.message, @"the guest used up its fuel of 10000");
    let less = failure(&unit, CallRequest { fuel: Some(100), ..wave("spin()") }).await;
    assert_eq!(less.fuel, Some(100));
    let more = failure(&unit, CallRequest { fuel: Some(1_000_000), ..wave("spin()") }).await;
    assert_eq!(more.fuel, Some(10_000));
    let exact = CallRequest { fuel: Some(4), ..wave("divide(6, 3)") };
    assert_eq!(unit.call(exact).await.unwrap().json, json!(2));
}

#[tokio::test]
async fn the_deadline_ends_a_loop_and_others_run_meanwhile() {
    let world = World::new();
    let limits = Limits { fuel: u64::MAX, deadline_ms: 60_000, ..Limits::DEFAULT };
    let unit = world.prepare(limited(&world, limits)).await;
    let neighbour = world.unit("demo:neighbour", TROUBLE).await;
    let request = CallRequest { timeout: Some(Duration::from_millis(100)), ..wave("spin()") };
    // One thread: the neighbour is only served because the loop gives way.
    let (spin, pages) = tokio::join!(failure(&unit, request), async {
        tokio::task::yield_now().await;
        call(&neighbour, "pages()").await
    });
    assert_eq!((spin.kind, pages.json), (FailureKind::Deadline, json!(1)));
    insta::assert_snapshot!(spin.message, @"the guest was not done after 100 ms, its deadline");
}

#[tokio::test]
async fn a_call_that_waits_too_long_for_its_turn_leaves_the_instance_alone() {
    let world = World::new();
    let limits = Limits { fuel: u64::MAX, deadline_ms: 400, ..Limits::DEFAULT };
    let unit = world.prepare(limited(&world, limits)).await;
    let hurry = CallRequest { timeout: Some(Duration::from_millis(50)), ..wave("pages()") };
    let (spin, waited) = tokio::join!(failure(&unit, wave("spin()")), failure(&unit, hurry));
    assert_eq!((spin.kind, waited.kind), (FailureKind::Deadline, FailureKind::Deadline));
    insta::assert_snapshot!(waited.message, @"other calls kept the component busy for 50 ms, this call's deadline");
}

#[tokio::test]
async fn refused_memory_is_named_when_the_guest_gives_up() {
    let world = World::new();
    let unit = world.prepare(limited(&world, Limits { memory_bytes: 1 << 20, ..Limits::DEFAULT })).await;
    call(&unit, "grow(15)").await;
    assert_eq!(call(&unit, "pages()").await.json, json!(16));
    let grow = failure(&unit, wave("grow(1)")).await;
    assert_eq!(grow.kind, FailureKind::Memory);
    insta::assert_snapshot!(grow.message, @"the guest asked for 1114112 bytes of memory, 1048576 are allowed (the guest trapped: wasm `unreachable` instruction executed)");
    let small = world.prepare(limited(&world, Limits { memory_bytes: 1, ..Limits::DEFAULT })).await;
    let start = small.start().await.unwrap_err();
    assert_eq!((start.kind, start.phase), (FailureKind::Memory, Phase::Instantiate));
}

#[tokio::test]
async fn memory_is_summed_over_a_store() {
    let many = r#"(component
        (core module $m (memory 10))
        (core instance (instantiate $m)) (core instance (instantiate $m)))"#;
    let world = World::new();
    let limits = Limits { memory_bytes: 19 << 16, ..Limits::DEFAULT };
    let unit = world.prepare(UnitSpec { limits, ..world.spec("demo:many", many) }).await;
    assert_eq!(unit.start().await.unwrap_err().kind, FailureKind::Memory);
    let limits = Limits { memory_bytes: 20 << 16, ..Limits::DEFAULT };
    let unit = world.prepare(UnitSpec { limits, ..world.spec("demo:many", many) }).await;
    unit.start().await.unwrap();
}

#[tokio::test]
async fn a_stack_overflow_is_a_failure_of_the_guest() {
    let world = World::new();
    let unit = world.unit("demo:trouble", TROUBLE).await;
    let overflow = failure(&unit, wave("overflow()")).await;
    assert_eq!(overflow.kind, FailureKind::Stack);
    assert!((1..=64).contains(&overflow.backtrace.len()));
}

#[tokio::test]
async fn a_table_of_four_billion_elements_is_refused() {
    let big = r#"(component (core module $m (table 4000000000 funcref)) (core instance (instantiate $m)))"#;
    let world = World::new();
    let unit = world.unit("demo:table", big).await;
    let start = unit.start().await.unwrap_err();
    assert_eq!(start.kind, FailureKind::Memory);
    assert!(world.heard.failures().is_empty(), "what `start` returns is not reported as well");
}

#[tokio::test]
async fn a_loop_in_a_start_function_ends_with_the_activation_fuel() {
    let looping = r#"(component
        (core module $m (func $f (loop $l (br $l))) (start $f)) (core instance (instantiate $m))
        (core module $n (func (export "f"))) (core instance $i (instantiate $n))
        (func (export "f") (canon lift (core func $i "f"))))"#;
    let world = World::new();
    let limits = Limits { activation_fuel: 1_000, ..Limits::DEFAULT };
    let unit = world.prepare(UnitSpec { limits, ..world.spec("demo:looping", looping) }).await;
    let start = unit.start().await.unwrap_err();
    assert_eq!((start.kind, start.phase, start.fuel), (FailureKind::Fuel, Phase::Instantiate, Some(1_000)));
    match unit.call(wave("f()")).await {
        Err(EngineError::Failed(failure)) => assert_eq!(failure.phase, Phase::Instantiate),
        other => panic!("{other:?}"),
    }
    assert_eq!(world.heard.failures().len(), 1);
}
