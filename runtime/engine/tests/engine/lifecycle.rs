//! How instances begin and end.

use std::sync::Arc;

use domain::failure::FailureKind;
use domain::ports::{InstanceState, StateKeeper, UnitSpec};
use domain::{Limits, Phase};
use serde_json::json;

use crate::support::{Kept, World, call, failure, said, wave};

/// A counter with all interfaces of `registry:component`. The bodies can be replaced.
fn counter(bodies: &[(&str, &str)]) -> String {
    let body = |name: &str, default: &str| {
        bodies.iter().find(|(known, _)| *known == name).map_or(default, |(_, body)| body).to_owned()
    };
    let (activate, deactivate, check) = (body("activate", OK), body("deactivate", OK), body("check", OK));
    let restore = body("restore", "(global.set $count (i32.load8_u (local.get 0))) (i32.const 0)");
    let snapshot = body(
        "snapshot",
        "(i32.store8 (i32.const 64) (global.get $count)) (i32.store8 (i32.const 0) (i32.const 0))
         (i32.store (i32.const 4) (i32.const 64)) (i32.store (i32.const 8) (i32.const 1)) (i32.const 0)",
    );
    format!(
        r#"(component
      (core module $m
        (memory (export "mem") 1)
        (data (i32.const 128) "\01\00\00\00\a0\00\00\00\07\00\00\00")
        (data (i32.const 160) "no \1b[2J!")
        (global $count (mut i32) (i32.const 0))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "activate") (result i32) {activate})
        (func (export "deactivate") (result i32) {deactivate})
        (func (export "check") (result i32) {check})
        (func (export "snapshot") (result i32) {snapshot})
        (func (export "restore") (param i32 i32) (result i32) {restore})
        (func (export "next") (result i32)
          (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count)))
      (core instance $i (instantiate $m))
      (alias core export $i "mem" (core memory $mem))
      (alias core export $i "realloc" (core func $realloc))
      (func (export "next") (result u32) (canon lift (core func $i "next")))
      (type $answer (func (result (result (error string)))))
      (func $activate (type $answer) (canon lift (core func $i "activate") (memory $mem) (realloc $realloc)))
      (func $deactivate (type $answer) (canon lift (core func $i "deactivate") (memory $mem) (realloc $realloc)))
      (func $check (type $answer) (canon lift (core func $i "check") (memory $mem) (realloc $realloc)))
      (func $snapshot (result (result (list u8) (error string)))
        (canon lift (core func $i "snapshot") (memory $mem) (realloc $realloc)))
      (func $restore (param "state" (list u8)) (result (result (error string)))
        (canon lift (core func $i "restore") (memory $mem) (realloc $realloc)))
      (instance $lifecycle (export "activate" (func $activate)) (export "deactivate" (func $deactivate)))
      (instance $health (export "check" (func $check)))
      (instance $state (export "snapshot" (func $snapshot)) (export "restore" (func $restore)))
      (export "registry:component/lifecycle@0.1.0" (instance $lifecycle))
      (export "registry:component/health@0.1.0" (instance $health))
      (export "registry:component/state@0.1.0" (instance $state)))"#
    )
}

const OK: &str = "(i32.const 0)";
const ERR: &str = "(i32.const 128)";

struct Counter {
    world: World,
    kept: Arc<Kept>,
}

impl Counter {
    fn new() -> Self {
        Self { world: World::new(), kept: Arc::new(Kept::default()) }
    }

    async fn unit(&self, bodies: &[(&str, &str)]) -> Arc<dyn domain::ports::Unit> {
        let state = Some(Arc::clone(&self.kept) as Arc<dyn StateKeeper>);
        self.world.prepare(UnitSpec { state, ..self.world.spec("demo:counter", &counter(bodies)) }).await
    }

    fn kept(&self) -> Option<Vec<u8>> {
        self.kept.0.lock().unwrap().as_deref().map(<[u8]>::to_vec)
    }
}

#[tokio::test]
async fn state_outlives_the_instance() {
    let counter = Counter::new();
    let unit = counter.unit(&[]).await;
    let started = unit.start().await.unwrap();
    assert!(started.fuel > 0);
    assert_eq!(unit.start().await.unwrap(), domain::ports::Started::default(), "there is one already");
    assert_eq!(call(&unit, "next()").await.json, json!(1));
    assert_eq!(call(&unit, "next()").await.json, json!(2));
    unit.stop().await;
    assert_eq!((unit.instance_state(), counter.kept()), (InstanceState::Cold, Some(vec![2])));
    unit.stop().await;
    assert_eq!(call(&unit, "next()").await.json, json!(3));
    let other = counter.unit(&[]).await;
    assert_eq!(call(&other, "next()").await.json, json!(3));
    assert!(counter.world.heard.failures().is_empty());
}

#[tokio::test]
async fn an_err_from_activate_refuses_the_start() {
    let counter = Counter::new();
    let unit = counter.unit(&[("activate", ERR)]).await;
    let refused = unit.start().await.unwrap_err();
    assert_eq!((refused.kind, refused.phase), (FailureKind::Err, Phase::Activate));
    insta::assert_snapshot!(refused.message, @r#"`lifecycle.activate` answered: no \u{1b}[2J"#);
    assert!(counter.world.heard.failures().is_empty());
    let called = failure(&unit, wave("next()")).await;
    assert_eq!((called.kind, called.phase), (FailureKind::Err, Phase::Activate));
    assert_eq!(counter.world.heard.failures().len(), 1);
}

#[tokio::test]
async fn a_trap_in_activate_refuses_the_start() {
    let unit = Counter::new().unit(&[("activate", "unreachable")]).await;
    let refused = unit.start().await.unwrap_err();
    assert_eq!((refused.kind, refused.phase), (FailureKind::Trap, Phase::Activate));
    assert_eq!(unit.instance_state(), InstanceState::Cold);
}

#[tokio::test]
async fn a_failed_restore_is_recorded_and_the_instance_starts_fresh() {
    for (body, kind) in [(ERR, FailureKind::Err), ("unreachable", FailureKind::Trap)] {
        let counter = Counter::new();
        *counter.kept.0.lock().unwrap() = Some(vec![9].into());
        let unit = counter.unit(&[("restore", body)]).await;
        unit.start().await.unwrap();
        let failures = counter.world.heard.failures.lock().unwrap().clone();
        assert_eq!(failures.iter().map(|f| (f.phase, f.kind)).collect::<Vec<_>>(), [(Phase::Restore, kind)]);
        assert_eq!(call(&unit, "next()").await.json, json!(1));
    }
}

#[tokio::test]
async fn a_failed_snapshot_is_recorded_and_a_trapped_guest_is_not_called_again() {
    let counter = Counter::new();
    let unit = counter.unit(&[("snapshot", ERR), ("deactivate", ERR)]).await;
    unit.start().await.unwrap();
    unit.stop().await;
    let phases = |counter: &Counter| {
        counter.world.heard.failures.lock().unwrap().iter().map(|f| (f.phase, f.kind)).collect::<Vec<_>>()
    };
    assert_eq!(phases(&counter), [(Phase::Snapshot, FailureKind::Err), (Phase::Deactivate, FailureKind::Err)]);
    let counter = Counter::new();
    let unit = counter.unit(&[("snapshot", "unreachable"), ("deactivate", ERR)]).await;
    unit.start().await.unwrap();
    unit.stop().await;
    assert_eq!(phases(&counter), [(Phase::Snapshot, FailureKind::Trap)]);
    assert_eq!(counter.kept(), None);
}

#[tokio::test]
async fn a_state_that_is_too_big_is_not_kept() {
    let counter = Counter::new();
    let big = "(drop (memory.grow (i32.const 1024))) (i32.store8 (i32.const 0) (i32.const 0))
        (i32.store (i32.const 4) (i32.const 0)) (i32.store (i32.const 8) (i32.const 67108865)) (i32.const 0)";
    let limits = Limits { memory_bytes: 128 << 20, ..Limits::DEFAULT };
    let state = Some(Arc::clone(&counter.kept) as Arc<dyn StateKeeper>);
    let wat = self::counter(&[("snapshot", big)]);
    let unit = counter.world.prepare(UnitSpec { limits, state, ..counter.world.spec("demo:big", &wat) }).await;
    unit.start().await.unwrap();
    unit.stop().await;
    insta::assert_snapshot!(counter.world.heard.failures().join("\n"), @"demo:big snapshot limit: the state has 67108865 bytes, at most 67108864 are kept");
}

#[tokio::test]
async fn health_answers_for_itself() {
    let counter = Counter::new();
    let unit = counter.unit(&[]).await;
    assert_eq!(unit.check_health(None).await.unwrap(), Some(()));
    let ill = counter.unit(&[("check", ERR)]).await;
    call(&ill, "next()").await;
    let failed = ill.check_health(None).await.unwrap_err();
    assert_eq!((failed.kind, failed.phase), (FailureKind::Err, Phase::Health));
    assert_eq!(ill.instance_state(), InstanceState::Live, "an answer is not a trap");
    assert_eq!(counter.world.heard.failures(), [said(&failed)]);
    let world = World::new();
    let plain = world.unit("demo:adder", include_str!("../fixtures/adder.wat")).await;
    assert_eq!(plain.check_health(None).await.unwrap(), None);
}

#[tokio::test]
async fn lifecycle_functions_of_another_type_are_refused() {
    let wat = r#"(component
        (core module $m (func (export "f") (result i32) (i32.const 0)))
        (core instance $i (instantiate $m))
        (func $f (result u32) (canon lift (core func $i "f")))
        (instance $x (export "activate" (func $f)))
        (export "registry:component/lifecycle@0.1.0" (instance $x)))"#;
    let world = World::new();
    let unit = world.unit("demo:odd", wat).await;
    insta::assert_snapshot!(said(&unit.start().await.unwrap_err()), @"demo:odd activate type-mismatch: the function has another type than in `registry:component`: type mismatch with results: expected `result` found `u32`");
}
