//! Components whose imports never wait are called on the stack of whoever calls: were a function of theirs defined as one that may,
//! the call would be refused.

use std::sync::Arc;

use domain::ports::{Link, Slot, UnitSpec};

use crate::support::{World, call};

/// Calls as many functions of capabilities as take and return plain numbers.
const CALLEE: &str = r#"(component
    (import "wasi:random/random@0.2.0" (instance $random (export "get-random-u64" (func (result u64)))))
    (import "wasi:random/insecure@0.2.0" (instance $insecure (export "get-insecure-random-u64" (func (result u64)))))
    (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
      (export "now" (func (result u64))) (export "resolution" (func (result u64)))))
    (core func $random (canon lower (func $random "get-random-u64")))
    (core func $insecure (canon lower (func $insecure "get-insecure-random-u64")))
    (core func $now (canon lower (func $clock "now")))
    (core func $resolution (canon lower (func $clock "resolution")))
    (core module $m
      (import "x" "random" (func $random (result i64)))
      (import "x" "insecure" (func $insecure (result i64)))
      (import "x" "now" (func $now (result i64)))
      (import "x" "resolution" (func $resolution (result i64)))
      (func (export "all") (result i32)
        (i64.ne (i64.const 0)
          (i64.or (i64.or (call $random) (call $insecure)) (i64.or (call $now) (call $resolution))))))
    (core instance $i (instantiate $m (with "x" (instance
      (export "random" (func $random)) (export "insecure" (func $insecure))
      (export "now" (func $now)) (export "resolution" (func $resolution))))))
    (func (export "all") (result bool) (canon lift (core func $i "all"))))"#;

const CALLER: &str = r#"(component
    (import "all" (func $all (result bool)))
    (core func $all (canon lower (func $all)))
    (core module $m (import "x" "all" (func $all (result i32))) (func (export "run") (result i32) (call $all)))
    (core instance $i (instantiate $m (with "x" (instance (export "all" (func $all))))))
    (func (export "run") (result bool) (canon lift (core func $i "run"))))"#;

#[tokio::test]
async fn what_never_waits_is_called_on_the_callers_stack() {
    let world = World::new();
    let callee = world.unit(CALLEE).await;
    let slot = Arc::new(Slot::new("demo:callee".parse().unwrap()));
    slot.turn(Some(Arc::clone(&callee)));
    let links = vec![Link { import: "all".to_owned(), export: "all".to_owned(), provider: slot }];
    let caller = world.prepared(UnitSpec { links, id: "demo:caller".parse().unwrap(), ..world.spec(CALLER) }).await;
    // The first call makes the instance, on a stack of its own.
    for _ in 0..3 {
        assert_eq!(call(&caller, "run()").await.json, true);
    }
    let stepped = capabilities::default_set();
    let waits = |name: &str| {
        let capability = stepped.iter().find(|capability| capability.interfaces().contains(&name)).unwrap();
        capability.may_wait(name)
    };
    assert!(
        !waits("wasi:random/random@0.2.12") && waits("wasi:io/poll@0.2.12") && waits("wasi:filesystem/types@0.2.12")
    );
}
