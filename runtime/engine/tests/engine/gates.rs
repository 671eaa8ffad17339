//! Calls from one component to another, each in its own store.

use std::sync::Arc;

use domain::call::{CallExpression, CallRequest};
use domain::failure::FailureKind;
use domain::ports::{Barrier, Engine as _, InstanceState, Slot, Unit, UnitSpec};
use domain::supervision::Quarantine;
use domain::{Limits, Phase, Timestamp};
use serde_json::json;

use crate::support::{World, call, failure, links_of, slot, wave};

const ADDER: &str = include_str!("../fixtures/adder.wat");
const CALLER: &str = include_str!("../fixtures/caller.wat");
const ECHO: &str = include_str!("../fixtures/echo.wat");
const ECHO_CALLER: &str = include_str!("../fixtures/echo-caller.wat");
const OPS: &str = "demo:math/ops@0.1.0";

async fn pair(world: &World) -> (Arc<dyn Unit>, Arc<Slot>) {
    let adder = world.unit("demo:adder", ADDER).await;
    let slot = slot(&adder);
    (world.linked("demo:caller", CALLER, &[(OPS, OPS, &slot)]).await, slot)
}

#[tokio::test]
async fn a_call_passes_the_gate_and_each_side_pays_its_own_fuel() {
    let world = World::new();
    let (caller, _) = pair(&world).await;
    let outcome = call(&caller, "twice(21)").await;
    assert_eq!(outcome.json, json!(42));
    let calls = world.heard.calls.lock().unwrap();
    let seen: Vec<_> = calls
        .iter()
        .map(|call| (call.component.to_string(), call.caller.as_ref().map(ToString::to_string), call.fuel))
        .collect();
    assert_eq!(
        seen,
        [("demo:adder".into(), Some("demo:caller".into()), 4), ("demo:caller".into(), None, outcome.fuel)]
    );
}

#[tokio::test]
async fn strings_records_and_lists_cross() {
    let world = World::new();
    let echo = world.unit("demo:echo", ECHO).await;
    let till = slot(&echo);
    let name = "demo:shop/till@0.1.0";
    let caller = world.linked("demo:relay", ECHO_CALLER, &[(name, name, &till)]).await;
    assert_eq!(call(&caller, "relay(\"Grüße, 世界\")").await.json, json!("Grüße, 世界"));
    let items = json!([{"label": "tea", "price": 3}, {"label": "cake", "price": 4}]);
    let request = CallRequest {
        expression: CallExpression::Json { function: "sum".into(), args: vec![items] },
        ..CallRequest::default()
    };
    assert_eq!(caller.call(request).await.unwrap().json, json!(7));
}

#[tokio::test]
async fn who_may_call_is_asked_at_the_link_and_at_the_gate() {
    let world = World::new();
    let guarded = |allowed: &str| UnitSpec {
        callers: [("demo:math/ops".to_owned(), vec![allowed.parse().unwrap()])].into_iter().collect(),
        ..world.spec("demo:adder", ADDER)
    };
    let adder = world.prepare(guarded("demo:*")).await;
    let place = slot(&adder);
    let caller = world.linked("demo:caller", CALLER, &[(OPS, OPS, &place)]).await;
    assert_eq!(call(&caller, "twice(5)").await.json, json!(10));
    let message = "`demo:adder` does not let `demo:caller` call `demo:math/ops@0.1.0`: its `[callers]` allows acme:*";
    let others = world.prepare(guarded("acme:*")).await;
    place.turn(Some(Arc::clone(&others)));
    let refused = failure(&caller, wave("twice(5)")).await;
    assert_eq!((refused.kind, refused.message.as_str()), (FailureKind::Denied, message));
    let links = links_of(&[(OPS, OPS, &place)]);
    let refused = world.refusal(UnitSpec { links, ..world.spec("demo:caller", CALLER) }).await;
    assert!(refused.contains(message), "{refused}");
    // Operators are not meant.
    assert_eq!(call(&others, "add(2, 3)").await.json, json!(5));
}

#[tokio::test]
async fn turning_the_slot_relinks_at_once() {
    let world = World::new();
    let (caller, slot) = pair(&world).await;
    assert_eq!(call(&caller, "twice(5)").await.json, json!(10));
    let multiplier = ADDER.replace("i32.add", "i32.mul");
    slot.turn(Some(world.unit("demo:adder", &multiplier).await));
    assert_eq!(call(&caller, "twice(5)").await.json, json!(25));
    slot.turn(None);
    let absent = failure(&caller, wave("twice(5)")).await;
    assert_eq!(absent.kind, FailureKind::Dependency);
    insta::assert_snapshot!(absent.message, @"dependency demo:adder is not active");
    let quarantine = Quarantine {
        since: Timestamp::default(),
        probe_at: Timestamp::from_micros(1_000_000),
        round: 1,
        cause: "5 failures within 60s".to_owned(),
    };
    let barrier = Arc::new(Barrier::new(&quarantine, "it trapped"));
    slot.bar(Some(barrier.clone()));
    let refused = failure(&caller, wave("twice(5)")).await;
    assert_eq!((refused.kind, barrier.refused()), (FailureKind::Dependency, 1));
    insta::assert_snapshot!(refused.message, @"dependency demo:adder is in quarantine until 1970-01-01T00:00:01.000000Z after 5 failures within 60s, the last: it trapped");
    slot.bar(None);
    let other = ADDER.replace("\"b\" u32", "\"b\" s32");
    slot.turn(Some(world.unit("demo:adder", &other).await));
    insta::assert_snapshot!(failure(&caller, wave("twice(5)")).await.message, @"dependency demo:adder failed: `add` has another type in its revision 1");
}

#[tokio::test]
async fn a_failing_dependency_is_recorded_for_both_sides() {
    let world = World::new();
    let crash = ADDER.replace("(i32.add (local.get 0) (local.get 1))", "unreachable");
    let adder = world.unit("demo:adder", &crash).await;
    let slot = slot(&adder);
    let caller = world.linked("demo:caller", CALLER, &[(OPS, OPS, &slot)]).await;
    let failed = failure(&caller, wave("twice(1)")).await;
    assert_eq!((failed.kind, failed.phase), (FailureKind::Dependency, Phase::Call));
    insta::assert_snapshot!(world.heard.failures().join("\n"), @r"
    demo:adder call trap: the guest trapped: wasm `unreachable` instruction executed
    demo:caller call dependency: dependency demo:adder failed: the guest trapped: wasm `unreachable` instruction executed
    ");
    let failures = world.heard.failures.lock().unwrap();
    assert_eq!(failures[0].callers, ["demo:caller".parse().unwrap()]);
    assert!(failures[1].callers.is_empty());
}

#[tokio::test]
async fn a_dependency_gets_its_own_limits_and_no_more_time_than_its_caller_has() {
    let world = World::new();
    let slow = ADDER.replace("(i32.add (local.get 0) (local.get 1))", "(loop $l (br $l)) unreachable");
    let limits = Limits { fuel: 1_000, ..Limits::DEFAULT };
    let adder = world.prepare(UnitSpec { limits, ..world.spec("demo:adder", &slow) }).await;
    let linked = slot(&adder);
    let caller = world.linked("demo:caller", CALLER, &[(OPS, OPS, &linked)]).await;
    failure(&caller, wave("twice(1)")).await;
    assert_eq!(world.heard.failures.lock().unwrap()[0].kind, FailureKind::Fuel);

    let limits = Limits { fuel: u64::MAX, ..Limits::DEFAULT };
    let adder = world.prepare(UnitSpec { limits, ..world.spec("demo:adder", &slow) }).await;
    linked.turn(Some(adder));
    let request = CallRequest { timeout: Some(std::time::Duration::from_millis(60)), ..wave("twice(1)") };
    let failed = failure(&caller, request).await;
    assert_eq!(failed.kind, FailureKind::Dependency);
    let failures = world.heard.failures.lock().unwrap();
    assert_eq!((failures.len(), failures[2].kind), (4, FailureKind::Deadline));
}

/// A component that offers `pass: func(n: u32) -> u32` and hands it on to the next one.
fn passer(this: usize, next: usize) -> String {
    format!(
        r#"(component
          (import "demo:chain/c{next}" (instance $next (export "pass" (func (param "n" u32) (result u32)))))
          (core func $pass (canon lower (func $next "pass")))
          (core module $m
            (import "next" "pass" (func $pass (param i32) (result i32)))
            (func $deep (param i32 i32) (result i32)
              (if (result i32) (i32.eqz (local.get 1))
                (then (call $pass (local.get 0)))
                (else (call $deep (local.get 0) (i32.sub (local.get 1) (i32.const 1))))))
            (func (export "pass") (param i32) (result i32) (call $deep (local.get 0) (i32.const 5000))))
          (core instance $i (instantiate $m (with "next" (instance (export "pass" (func $pass))))))
          (func $f (param "n" u32) (result u32) (canon lift (core func $i "pass")))
          (instance $x (export "pass" (func $f)))
          (export "demo:chain/c{this}" (instance $x)))"#
    )
}

const LAST: &str = r#"(component
    (core module $m (func (export "pass") (param i32) (result i32) (i32.add (local.get 0) (i32.const 1))))
    (core instance $i (instantiate $m))
    (func $f (param "n" u32) (result u32) (canon lift (core func $i "pass")))
    (instance $x (export "pass" (func $f)))
    (export "demo:chain/c0" (instance $x)))"#;

async fn chain(world: &World, length: usize, limits: Limits) -> Arc<dyn Unit> {
    let mut unit = world.unit("demo:c0", LAST).await;
    for this in 1..length {
        let name = format!("demo:chain/c{}", this - 1);
        let links = links_of(&[(&name, &name, &slot(&unit))]);
        let spec = world.spec(&format!("demo:c{this}"), &passer(this, this - 1));
        unit = world.prepare(UnitSpec { links, limits, ..spec }).await;
    }
    unit
}

#[tokio::test]
async fn a_chain_of_deeply_recursing_components_returns_or_is_refused_but_never_aborts() {
    let world = World::new();
    let unit = chain(&world, 64, Limits::DEFAULT).await;
    assert_eq!(call(&unit, "pass(1)").await.json, json!(2));
    let deepest = Limits { call_depth: Limits::CEILING.call_depth, ..Limits::DEFAULT };
    let unit = chain(&world, 256, deepest).await;
    assert_eq!(call(&unit, "pass(1)").await.json, json!(2));
    let unit = chain(&world, 65, Limits::DEFAULT).await;
    let refused = failure(&unit, wave("pass(1)")).await;
    assert_eq!(refused.kind, FailureKind::Dependency);
    // However many it was told through, the first one hears of the one that failed.
    assert!(refused.message.starts_with("dependency demo:c1 failed: the call came through"), "{}", refused.message);
    let deepest = world.heard.failures.lock().unwrap()[0].clone();
    assert_eq!(deepest.kind, FailureKind::Limit);
    insta::assert_snapshot!(deepest.message, @"the call came through 64 components, more are not allowed (`limits.call_depth`)");
}

#[tokio::test]
async fn a_call_that_comes_back_is_refused_with_its_path() {
    let world = World::new();
    let empty = Arc::new(Slot::new("demo:a".parse().unwrap()));
    // `a` is linked against a stand-in of itself and then put in its place, as a careless operator could.
    empty.turn(Some(world.unit("demo:a", &LAST.replace("c0", "c1")).await));
    let b = world.linked("demo:b", &passer(2, 1), &[("demo:chain/c1", "demo:chain/c1", &empty)]).await;
    let slot_b = slot(&b);
    let a = world.linked("demo:a", &passer(1, 2), &[("demo:chain/c2", "demo:chain/c2", &slot_b)]).await;
    empty.turn(Some(Arc::clone(&a)));
    failure(&a, wave("pass(1)")).await;
    insta::assert_snapshot!(world.heard.failures().join("\n"), @r"
    demo:b call dependency: a call may not come back to a component that waits for it: demo:a → demo:b → demo:a
    demo:a call dependency: a call may not come back to a component that waits for it: demo:a → demo:b → demo:a
    ");
}

#[tokio::test]
async fn two_ways_to_one_dependency_share_its_instance() {
    let world = World::new();
    let adder = world.unit("demo:adder", ADDER).await;
    let ops = slot(&adder);
    let left = world.linked("demo:left", CALLER, &[(OPS, OPS, &ops)]).await;
    let right = world.linked("demo:right", CALLER, &[(OPS, OPS, &ops)]).await;
    let (l, r) = (slot(&left), slot(&right));
    let top = r#"(component
      (import "left" (func $left (param "n" u32) (result u32)))
      (import "right" (func $right (param "n" u32) (result u32)))
      (core func $l (canon lower (func $left)))
      (core func $r (canon lower (func $right)))
      (core module $m
        (import "x" "l" (func $l (param i32) (result i32)))
        (import "x" "r" (func $r (param i32) (result i32)))
        (func (export "both") (param i32) (result i32) (call $r (call $l (local.get 0)))))
      (core instance $i (instantiate $m (with "x" (instance (export "l" (func $l)) (export "r" (func $r))))))
      (func (export "both") (param "n" u32) (result u32) (canon lift (core func $i "both"))))"#;
    let top = world.linked("demo:top", top, &[("left", "twice", &l), ("right", "twice", &r)]).await;
    assert_eq!(call(&top, "both(3)").await.json, json!(12));
    assert_eq!(adder.instance_state(), InstanceState::Live);
    let told: Vec<_> = world
        .heard
        .calls
        .lock()
        .unwrap()
        .iter()
        .filter(|call| call.component == "demo:adder")
        .map(|call| call.hit)
        .collect();
    assert_eq!(told, [Some(false)], "the call for which the instance had to be made");
    let mut counted = Vec::new();
    world.engine.take_usage(&mut |used| {
        assert_eq!(used.buckets.iter().sum::<u64>(), used.calls);
        counted.push(format!("{} called {} {} times, {} fuel", used.caller, used.component, used.calls, used.fuel > 0));
    });
    assert_eq!(counted, ["demo:right called demo:adder 1 times, true fuel"]);
    world.engine.take_usage(&mut |used| panic!("counted twice: {used:?}"));
}

#[tokio::test]
async fn other_types_are_refused_when_linking() {
    let world = World::new();
    let adder = world.unit("demo:adder", ADDER).await;
    let ops = slot(&adder);
    let spec = |wat: &str| UnitSpec { links: links_of(&[(OPS, OPS, &ops)]), ..world.spec("demo:caller", wat) };
    let other = CALLER.replacen("\"b\" u32", "\"b\" s32", 1);
    insta::assert_snapshot!(world.refusal(spec(&other)).await, @"demo:caller link type-mismatch: import `demo:math/ops@0.1.0` needs `add: func(a: u32, b: s32) -> u32`, but that of demo:adder is `func(a: u32, b: u32) -> u32`");
    let more = CALLER.replace("\"add\"", "\"plus\"");
    insta::assert_snapshot!(world.refusal(spec(&more)).await, @"demo:caller link type-mismatch: import `demo:math/ops@0.1.0` needs `plus: func(a: u32, b: u32) -> u32`, which demo:adder does not have in `demo:math/ops@0.1.0`");
    let resource = r#"(component (import "demo:math/ops@0.1.0" (instance
        (export "thing" (type $thing (sub resource))) (export "make" (func (result (own $thing)))))))"#;
    insta::assert_snapshot!(world.refusal(spec(resource)).await, @"demo:caller link type-mismatch: import `demo:math/ops@0.1.0` has the resource `thing`, which demo:adder does not have in `demo:math/ops@0.1.0`");
    ops.turn(None);
    insta::assert_snapshot!(world.refusal(spec(CALLER)).await, @"demo:caller link dependency: demo:adder, which provides `demo:math/ops@0.1.0`, is not active");
}

#[tokio::test]
async fn missing_and_denied_imports_are_named() {
    let world = World::new();
    let import = |name: &str| format!(r#"(component (import "{name}" (instance (export "f" (func)))))"#);
    let mut said = Vec::new();
    for name in ["wasi:sockets/tcp@0.2.0", "wasi:clocks/wall-clock@0.3.0", "wasi:http/types@0.2.0", "demo:a/b@1.0.0"] {
        said.push(world.refusal(world.spec("demo:x", &import(name))).await);
    }
    let both = r#"(component (import "demo:a/b" (instance (export "f" (func)))) (import "run" (func))
        (import "wasi:http/types@0.2.0" (instance (export "f" (func)))))"#;
    said.push(world.refusal(world.spec("demo:x", both)).await);
    insta::assert_snapshot!(said.join("\n"), @r"
    demo:x link denied: `wasi:sockets/tcp@0.2.0` is not granted and cannot be: the host has no such capability
    demo:x link denied: `wasi:clocks/wall-clock@0.3.0` is not granted and cannot be: the host has no such capability; the host serves wasi:clocks/wall-clock@0.2
    demo:x link denied: `wasi:http/types@0.2.0` is not granted and cannot be: the host has no such capability
    demo:x link missing-import: nobody provides `demo:a/b@1.0.0`
    demo:x link denied: `wasi:http/types@0.2.0` is not granted and cannot be: the host has no such capability; nobody provides `demo:a/b`; nobody provides the import `run`
    ");
    let types = r#"(component (import "demo:a/types" (instance (type $t u32) (export "t" (type (eq $t))))))"#;
    world.unit("demo:x", types).await;
}
