//! What a guest cannot do more of than it may.

use std::time::Duration;

use domain::call::CallRequest;
use domain::failure::FailureKind;
use domain::ports::{EngineError, UnitSpec};
use domain::{Limits, Phase};
use engine::EngineSettings;
use serde_json::json;

use crate::support::{World, call, failure, said, wave};

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
    assert_eq!((less.fuel, less.by_caller, spin.by_caller), (Some(100), true, false), "whose bound it was");
    let more = failure(&unit, CallRequest { fuel: Some(1_000_000), ..wave("spin()") }).await;
    assert_eq!((more.fuel, more.by_caller), (Some(10_000), false));
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
    assert_eq!((spin.kind, spin.by_caller, pages.json), (FailureKind::Deadline, true, json!(1)));
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
    assert_eq!((spin.by_caller, waited.by_caller), (false, true), "who waits says nothing of the component");
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
async fn how_deep_a_guest_may_recurse_is_chosen_by_the_operator() {
    let descending = r#"(component
        (core module $m (func $down (export "down") (param i32) (result i32)
            (if (result i32) (i32.eqz (local.get 0))
                (then (i32.const 0))
                (else (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1))))))))
        (core instance $i (instantiate $m))
        (func (export "down") (param "levels" u32) (result u32) (canon lift (core func $i "down"))))"#;
    let deepest = async |stack_bytes| {
        let world = World::with(Vec::new(), EngineSettings { stack_bytes, ..EngineSettings::default() });
        let unit = world.unit("demo:deep", descending).await;
        unit.call(wave("down(5000)")).await.map(|outcome| outcome.wave).map_err(|error| match error {
            EngineError::Failed(failure) => failure.kind,
            error => panic!("{error}"),
        })
    };
    assert_eq!(deepest(64 << 10).await.unwrap_err(), FailureKind::Stack);
    assert_eq!(deepest(1 << 20).await.unwrap(), "5000");
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

/// Starts a component under limits that it passes, and returns what is said of it.
async fn refused(wat: &str, limits: Limits) -> String {
    let world = World::new();
    let unit = world.prepare(UnitSpec { limits, ..world.spec("demo:many", wat) }).await;
    said(&unit.start().await.unwrap_err())
}

#[tokio::test]
async fn parts_of_a_component_are_counted() {
    let instances = "(component (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))";
    insta::assert_snapshot!(
        refused(instances, Limits { core_instances: 1, ..Limits::DEFAULT }).await,
        @"demo:many instantiate limit: resource limit exceeded: instance count too high at 2 (`limits.core_instances`, `limits.tables`, `limits.memories`)"
    );
    let memories = "(component (core module $m (memory 0) (memory 0) (memory 0)) (core instance (instantiate $m)))";
    insta::assert_snapshot!(refused(memories, Limits { memories: 2, ..Limits::DEFAULT }).await, @"demo:many instantiate limit: resource limit exceeded: memory count too high at 3 (`limits.core_instances`, `limits.tables`, `limits.memories`)");
    let tables = "(component (core module $m (table 0 funcref) (table 0 funcref)) (core instance (instantiate $m)))";
    insta::assert_snapshot!(refused(tables, Limits { tables: 1, ..Limits::DEFAULT }).await, @"demo:many instantiate limit: resource limit exceeded: table count too high at 2 (`limits.core_instances`, `limits.tables`, `limits.memories`)");
    let elements = "(component (core module $m (table 7 funcref)) (core instance (instantiate $m)))";
    insta::assert_snapshot!(refused(elements, Limits { table_elements: 6, ..Limits::DEFAULT }).await, @"demo:many instantiate memory: the guest asked for 7 table elements, 6 are allowed (the guest was stopped: table minimum size of 7 elements exceeds table limits)");
}

#[tokio::test]
async fn handles_are_counted() {
    let hoarder = r#"(component
        (type $thing (resource (rep i32)))
        (core func $new (canon resource.new $thing))
        (core module $m
          (import "x" "new" (func $new (param i32) (result i32)))
          (func (export "hoard") (param $n i32)
            (loop $more
              (drop (call $new (local.get $n)))
              (br_if $more (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
        (core instance $i (instantiate $m (with "x" (instance (export "new" (func $new))))))
        (func (export "hoard") (param "n" u32) (canon lift (core func $i "hoard"))))"#;
    let world = World::new();
    let limits = Limits { handles: 10, ..Limits::DEFAULT };
    let unit = world.prepare(UnitSpec { limits, ..world.spec("demo:hoarder", hoarder) }).await;
    call(&unit, "hoard(10)").await;
    insta::assert_snapshot!(said(&failure(&unit, wave("hoard(1)")).await), @"demo:hoarder call limit: the guest holds 10 handles, the most allowed (`limits.handles`)");
    call(&unit, "hoard(10)").await;
}

#[tokio::test]
async fn what_a_call_carries_is_counted() {
    let world = World::new();
    let limits = Limits { hostcall_bytes: 1 << 10, ..Limits::DEFAULT };
    let unit = world.prepare(UnitSpec { limits, ..world.spec("demo:talker", TALKER) }).await;
    assert_eq!(call(&unit, "say(10)").await.json.as_str().map(str::len), Some(10));
    insta::assert_snapshot!(said(&failure(&unit, wave("say(2000)")).await), @"demo:talker call limit: the guest handed over more than 1KiB in one call (`limits.hostcall`)");
}

/// Returns a text as long as it is asked for.
const TALKER: &str = r#"(component
    (core module $m
      (memory (export "mem") 1)
      (func (export "say") (param i32) (result i32)
        (i32.store (i32.const 0) (i32.const 16))
        (i32.store (i32.const 4) (local.get 0))
        (i32.const 0)))
    (core instance $i (instantiate $m))
    (func (export "say") (param "n" u32) (result string)
      (canon lift (core func $i "say") (memory (core memory $i "mem")))))"#;

#[tokio::test]
async fn the_call_beyond_a_full_queue_is_refused_at_once() {
    let world = World::new();
    let limits = Limits { fuel: u64::MAX, deadline_ms: 300, queue: 2, ..Limits::DEFAULT };
    let unit = world.prepare(limited(&world, limits)).await;
    let (first, second, third, refused) = tokio::join!(
        failure(&unit, wave("spin()")),
        failure(&unit, wave("spin()")),
        failure(&unit, wave("spin()")),
        failure(&unit, wave("pages()"))
    );
    insta::assert_snapshot!(said(&refused), @"demo:trouble call exhausted: 2 calls wait already, no more may (`limits.queue`)");
    assert_eq!(refused.kind.error_kind(), domain::ErrorKind::Exhausted);
    for waited in [first, second, third] {
        assert_eq!(waited.kind, FailureKind::Deadline);
    }
    call(&unit, "pages()").await;
}
