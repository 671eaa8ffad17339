//! One unit takes the place of another while both are called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::call::CallOutcome;
use domain::failure::FailureKind;
use domain::manifest::InstanceMode;
use domain::ports::{Drain, EngineError, InstancePolicy, Settled, Slot, StateKeeper, TakeOver, Unit, UnitSpec};
use domain::{Failure, Limits, Phase};
use serde_json::json;

use crate::support::{Kept, World, call, failure, links_of, said, slot, wave};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);
const OK: &str = "(i32.const 0)";
const ERR: &str = "(i32.const 128)";

/// A counter that keeps four bytes of state. `next` counts, `revision` says which one it is, `work` computes for so many rounds.
fn counter(revision: u32, version: &str, bodies: &[(&str, &str)]) -> String {
    let body = |name: &str, default: &str| {
        bodies.iter().find(|(known, _)| *known == name).map_or(default, |(_, body)| body).to_owned()
    };
    let (activate, deactivate, check) = (body("activate", OK), body("deactivate", OK), body("check", OK));
    let restore = body("restore", "(global.set $count (i32.load (local.get 0))) (i32.const 0)");
    let snapshot = body(
        "snapshot",
        "(i32.store (i32.const 64) (global.get $count)) (i32.store8 (i32.const 0) (i32.const 0))
         (i32.store (i32.const 4) (i32.const 64)) (i32.store (i32.const 8) (i32.const 4)) (i32.const 0)",
    );
    let state = if body("state", "yes") == "yes" {
        r#"(instance $state (export "snapshot" (func $snapshot)) (export "restore" (func $restore)))
           (export "registry:component/state@0.1.0" (instance $state))"#
    } else {
        ""
    };
    format!(
        r#"(component
      (core module $m
        (memory (export "mem") 1)
        (data (i32.const 128) "\01\00\00\00\a0\00\00\00\09\00\00\00")
        (data (i32.const 160) "not today")
        (global $count (mut i32) (i32.const 0))
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
        (func (export "activate") (result i32) {activate})
        (func (export "deactivate") (result i32) {deactivate})
        (func (export "check") (result i32) {check})
        (func (export "snapshot") (result i32) {snapshot})
        (func (export "restore") (param i32 i32) (result i32) {restore})
        (func (export "revision") (result i32) (i32.const {revision}))
        (func (export "work") (param $rounds i32) (result i32)
          (loop $again
            (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
          (i32.const {revision}))
        (func (export "next") (result i32)
          (global.set $count (i32.add (global.get $count) (i32.const 1))) (global.get $count)))
      (core instance $i (instantiate $m))
      (alias core export $i "mem" (core memory $mem))
      (alias core export $i "realloc" (core func $realloc))
      (func $next (result u32) (canon lift (core func $i "next")))
      (func $revision (result u32) (canon lift (core func $i "revision")))
      (func $work (param "rounds" u32) (result u32) (canon lift (core func $i "work")))
      (instance $count (export "next" (func $next)) (export "revision" (func $revision)) (export "work" (func $work)))
      (export "test:swap/count@{version}" (instance $count))
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
      (export "registry:component/lifecycle@0.1.0" (instance $lifecycle))
      (export "registry:component/health@0.1.0" (instance $health))
      {state})"#
    )
}

/// A component that calls the counter and counts its own calls.
const MIDDLE: &str = r#"(component
      (import "test:swap/count@1.0.0" (instance $count
        (export "next" (func (result u32))) (export "revision" (func (result u32)))))
      (core func $next (canon lower (func $count "next")))
      (core func $revision (canon lower (func $count "revision")))
      (core module $m
        (import "c" "next" (func $next (result i32)))
        (import "c" "revision" (func $revision (result i32)))
        (global $own (mut i32) (i32.const 0))
        (func (export "own") (result i32) (global.get $own))
        (func (export "next") (result i32)
          (global.set $own (i32.add (global.get $own) (i32.const 1)))
          (call $next))
        (func (export "revision") (result i32) (call $revision)))
      (core instance $i (instantiate $m (with "c" (instance
        (export "next" (func $next)) (export "revision" (func $revision))))))
      (func $n (result u32) (canon lift (core func $i "next")))
      (func $r (result u32) (canon lift (core func $i "revision")))
      (func (export "own") (result u32) (canon lift (core func $i "own")))
      (instance $both (export "next" (func $n)) (export "revision" (func $r)))
      (export "test:swap/count@1.0.0" (instance $both)))"#;

/// A counter in service, and what is needed to make others of it.
struct Place {
    world: World,
    kept: Arc<Kept>,
    slot: Arc<Slot>,
    instances: InstancePolicy,
    limits: Limits,
}

impl Place {
    async fn new(bodies: &[(&str, &str)]) -> Self {
        Self::with(InstanceMode::Shared, bodies).await
    }

    async fn with(mode: InstanceMode, bodies: &[(&str, &str)]) -> Self {
        let world = World::new();
        let place = Self {
            slot: Arc::new(Slot::new("test:count".parse().unwrap())),
            world,
            kept: Arc::default(),
            instances: InstancePolicy { mode, max: 4 },
            // Nobody is one too many.
            limits: Limits { queue: 1_000, fuel: 1 << 40, deadline_ms: 60_000, ..Limits::DEFAULT },
        };
        let first = place.unit(1, bodies).await;
        first.start().await.unwrap();
        place.slot.turn(Some(first));
        place
    }

    async fn unit(&self, revision: u32, bodies: &[(&str, &str)]) -> Arc<dyn Unit> {
        self.unit_of(revision, &counter(revision, "1.0.0", bodies)).await
    }

    async fn unit_of(&self, revision: u32, wat: &str) -> Arc<dyn Unit> {
        let has_state = wat.contains("registry:component/state");
        let state = has_state.then(|| Arc::clone(&self.kept) as Arc<dyn StateKeeper>);
        let spec = self.world.spec("test:count", wat);
        let (instances, limits) = (self.instances, self.limits);
        self.world.prepare(UnitSpec { revision, state, instances, limits, ..spec }).await
    }

    fn old(&self) -> Arc<dyn Unit> {
        self.slot.unit().unwrap()
    }

    /// Puts `new` in service as the registry does, and returns the old one, which is not drained yet.
    async fn swap(&self, new: &Arc<dyn Unit>) -> Result<(Arc<dyn Unit>, Settled), Failure> {
        let old = self.old();
        let handover = new.take_over(Some(&*old), TakeOver { wait: LONG, is_lazy: false }).await?;
        self.slot.turn(Some(Arc::clone(new)));
        let settled = handover.settle();
        Ok((old, settled))
    }

    /// Calls whoever is in service, as the registry does.
    async fn call(&self, expression: &str) -> Result<CallOutcome, EngineError> {
        let mut request = wave(expression);
        loop {
            match self.old().call(request).await {
                Err(EngineError::Replaced(again)) => request = *again,
                called => return called,
            }
        }
    }

    async fn says(&self, expression: &str) -> serde_json::Value {
        self.call(expression).await.map_err(|e| e.to_string()).unwrap().json
    }
}

/// Counts through `call` in eight tasks until `done`, and returns how often.
async fn count_under_load<F>(done: &Arc<AtomicBool>, call: impl Fn() -> F + Send + Sync + 'static) -> u64
where
    F: Future<Output = ()> + Send,
{
    let call = Arc::new(call);
    let mut tasks = Vec::new();
    for _ in 0..8 {
        let (done, call) = (Arc::clone(done), Arc::clone(&call));
        tasks.push(tokio::spawn(async move {
            let mut count = 0;
            while !done.load(Ordering::SeqCst) {
                call().await;
                count += 1;
                tokio::task::yield_now().await;
            }
            count
        }));
    }
    let mut all = 0;
    for task in tasks {
        all += task.await.unwrap();
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_counter_loses_no_increment_and_no_call_in_a_hundred_swaps_under_load() {
    let place = Arc::new(Place::new(&[]).await);
    let done = Arc::new(AtomicBool::new(false));
    let callers = tokio::spawn({
        let (place, done) = (Arc::clone(&place), Arc::clone(&done));
        async move {
            count_under_load(&done, move || {
                let place = Arc::clone(&place);
                async move { drop(place.says("next()").await) }
            })
            .await
        }
    });
    for revision in 2..102 {
        let new = place.unit(revision, &[]).await;
        let (old, _) = place.swap(&new).await.map_err(|f| said(&f)).unwrap();
        old.drain(Drain::all(LONG)).await;
        assert_eq!(old.instances().live, 0);
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    let calls = callers.await.unwrap();
    assert_eq!(place.says("next()").await, json!(calls + 1));
    assert_eq!(place.says("revision()").await, json!(101));
    assert_eq!(place.world.heard.failures(), [""; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_call_through_gates_keep_their_instances_and_lose_no_call() {
    let place = Arc::new(Place::new(&[]).await);
    let link = [("test:swap/count@1.0.0", "test:swap/count@1.0.0", &place.slot)];
    let near = place.world.linked("test:near", MIDDLE, &link).await;
    let near_slot = slot(&near);
    let link = [("test:swap/count@1.0.0", "test:swap/count@1.0.0", &near_slot)];
    let spec = place.world.spec("test:far", MIDDLE);
    let limits = Limits { queue: 1_000, ..Limits::DEFAULT };
    let far = place.world.prepare(UnitSpec { links: links_of(&link), limits, ..spec }).await;
    let done = Arc::new(AtomicBool::new(false));
    let callers = tokio::spawn({
        let (far, done) = (Arc::clone(&far), Arc::clone(&done));
        async move {
            count_under_load(&done, move || {
                let far = Arc::clone(&far);
                async move { drop(call(&far, "next()").await) }
            })
            .await
        }
    });
    for revision in 2..52 {
        let version = if revision % 2 == 0 { "1.1.0" } else { "1.0.0" };
        let new = place.unit_of(revision, &counter(revision, version, &[])).await;
        let (old, _) = place.swap(&new).await.map_err(|f| said(&f)).unwrap();
        old.drain(Drain::all(LONG)).await;
        tokio::task::yield_now().await;
    }
    done.store(true, Ordering::SeqCst);
    let calls = callers.await.unwrap();
    assert_eq!(place.says("next()").await, json!(calls + 1));
    for unit in [&near, &far] {
        assert_eq!(call(unit, "own()").await.json, json!(calls), "the instance of {} is the first one", unit.id());
        assert_eq!(call(unit, "revision()").await.json, json!(51));
    }
    assert_eq!(place.world.heard.failures(), [""; 0]);
}

#[tokio::test]
async fn whatever_goes_wrong_with_the_new_one_the_old_one_goes_on_with_its_state() {
    let place = Place::new(&[]).await;
    assert_eq!(place.says("next()").await, json!(1));
    for (name, body, phase, kind) in [
        ("restore", ERR, Phase::Restore, FailureKind::Err),
        ("restore", "unreachable", Phase::Restore, FailureKind::Trap),
        ("activate", ERR, Phase::Activate, FailureKind::Err),
        ("activate", "unreachable", Phase::Activate, FailureKind::Trap),
        ("check", ERR, Phase::Health, FailureKind::Err),
        ("check", "unreachable", Phase::Health, FailureKind::Trap),
    ] {
        let new = place.unit(2, &[(name, body)]).await;
        let failed = place.swap(&new).await.map(drop).unwrap_err();
        assert_eq!((failed.phase, failed.kind, failed.revision), (phase, kind, 2), "{name}: {}", failed.message);
        new.stop().await;
        assert_eq!(new.instances().live, 0, "{name}");
    }
    assert_eq!(place.says("next()").await, json!(2));
    assert_eq!(place.says("revision()").await, json!(1));
    assert_eq!(*place.kept.0.lock().unwrap(), None, "nothing of it was written");
    assert_eq!(place.world.heard.failures(), [""; 0], "whoever asked is told");
}

#[tokio::test]
async fn one_that_does_not_say_what_it_remembers_stays_in_service() {
    let place = Place::new(&[("snapshot", ERR)]).await;
    place.says("next()").await;
    let new = place.unit(2, &[]).await;
    let failed = place.swap(&new).await.map(drop).unwrap_err();
    assert_eq!(
        said(&failed),
        "test:count snapshot err: revision 1, which is in service, does not hand over: `state.snapshot` answered: not today"
    );
    assert_eq!(failed.revision, 2);
    assert_eq!(place.says("next()").await, json!(2));
}

#[tokio::test]
async fn a_handover_that_is_dropped_changes_nothing() {
    let place = Place::new(&[]).await;
    place.says("next()").await;
    let (old, new) = (place.old(), place.unit(2, &[]).await);
    let handover = new.take_over(Some(&*old), TakeOver { wait: LONG, is_lazy: false }).await.map_err(|f| said(&f));
    let handover = handover.unwrap();
    assert_eq!(handover.state().as_deref(), Some([1, 0, 0, 0].as_slice()));
    drop(handover);
    new.stop().await;
    assert_eq!(place.says("next()").await, json!(2));
    assert_eq!(*place.kept.0.lock().unwrap(), None, "what the new one remembers is nobody's state");
}

#[tokio::test]
async fn calls_that_come_while_state_is_moved_wait_and_are_served_by_the_new_one() {
    let place = Arc::new(Place::new(&[]).await);
    let (old, new) = (place.old(), place.unit(2, &[]).await);
    let handover = new.take_over(Some(&*old), TakeOver { wait: LONG, is_lazy: false }).await.map_err(|f| said(&f));
    let handover = handover.unwrap();
    let mut calling = Box::pin(place.call("revision()"));
    assert!(futures_poll(&mut calling).await.is_none(), "it waits");
    let late = old.call(domain::call::CallRequest { timeout: Some(Duration::ZERO), ..wave("revision()") }).await;
    assert!(late.unwrap_err().to_string().contains("kept the component busy"), "within its own time");
    place.slot.turn(Some(Arc::clone(&new)));
    let settled = handover.settle();
    assert!(settled.paused > Duration::ZERO && settled.running == 0, "{settled:?}");
    assert_eq!(calling.await.unwrap().json, json!(2));
    drop(old);
}

/// Polls a future once.
async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| match std::pin::Pin::new(&mut *future).poll(context) {
        std::task::Poll::Ready(value) => std::task::Poll::Ready(Some(value)),
        std::task::Poll::Pending => std::task::Poll::Ready(None),
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn running_calls_end_in_the_old_one() {
    for mode in InstanceMode::ALL {
        let place = Arc::new(Place::with(mode, &[("state", "no")]).await);
        let old = place.old();
        let running = tokio::spawn({
            let old = Arc::clone(&old);
            async move { call(&old, "work(100000000)").await }
        });
        while old.instances().busy == 0 {
            tokio::task::yield_now().await;
        }
        let new = place.unit(2, &[("state", "no")]).await;
        let (_, settled) = place.swap(&new).await.map_err(|f| said(&f)).unwrap();
        assert_eq!((settled.running, settled.paused), (1, Duration::ZERO), "{mode:?}");
        assert_eq!(place.says("revision()").await, json!(2), "nobody waits for the old one");
        let drained = old.drain(Drain::all(LONG)).await;
        assert_eq!((drained.cancelled, old.instances().live), (0, 0), "{mode:?}");
        assert_eq!(running.await.unwrap().json, json!(1), "{mode:?}");
        let refused = old.call(wave("revision()")).await.unwrap_err();
        assert!(matches!(refused, EngineError::Replaced(_)), "{mode:?}: {refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn running_calls_are_cancelled_when_their_time_is_up() {
    let place = Arc::new(Place::new(&[("state", "no")]).await);
    let old = place.old();
    let running = tokio::spawn({
        let old = Arc::clone(&old);
        async move { failure(&old, wave("work(0)")).await }
    });
    while old.instances().busy == 0 {
        tokio::task::yield_now().await;
    }
    let new = place.unit(2, &[("state", "no")]).await;
    place.swap(&new).await.map_err(|f| said(&f)).unwrap();
    let drained = old.drain(Drain::all(Duration::from_millis(20))).await;
    assert_eq!(drained.cancelled, 1);
    let cancelled = running.await.unwrap();
    assert_eq!(
        said(&cancelled),
        "test:count call deadline: another revision came into service, and the time that running calls had until then is up \
         (`instances.drain`)"
    );
    assert_eq!((cancelled.revision, old.instances().live), (1, 0));
    assert_eq!(place.says("revision()").await, json!(2));
}

#[tokio::test]
async fn what_cannot_be_moved_is_left_for_a_later_revision() {
    let place = Place::new(&[]).await;
    place.says("next()").await;
    let plain = place.unit(2, &[("state", "no")]).await;
    let (old, settled) = place.swap(&plain).await.map_err(|f| said(&f)).unwrap();
    assert_eq!(settled.paused, Duration::ZERO);
    old.drain(Drain::all(LONG)).await;
    assert_eq!(place.kept.0.lock().unwrap().as_deref(), Some([1, 0, 0, 0].as_slice()));
    assert_eq!(place.says("next()").await, json!(1), "it keeps no state");
    let third = place.unit(3, &[]).await;
    place.swap(&third).await.map_err(|f| said(&f)).unwrap();
    assert_eq!(place.says("next()").await, json!(2));
}

#[tokio::test]
async fn a_lazy_one_gets_an_instance_only_where_there_was_one() {
    let place = Place::new(&[]).await;
    for (stopped, live) in [(true, 0), (false, 1)] {
        let (old, new) = (place.old(), place.unit(2, &[]).await);
        assert_eq!(old.instances().live, 1);
        if stopped {
            old.stop().await;
        }
        let handover = new.take_over(Some(&*old), TakeOver { wait: LONG, is_lazy: true }).await.map_err(|f| said(&f));
        assert_eq!(new.instances().live, live);
        place.slot.turn(Some(Arc::clone(&new)));
        handover.unwrap().settle();
        old.drain(Drain::all(LONG)).await;
        assert_eq!(place.says("next()").await, json!(if stopped { 1 } else { 2 }));
    }
}

#[tokio::test]
async fn a_pool_has_as_many_instances_as_before() {
    let place = Place::with(InstanceMode::Pool, &[("state", "no")]).await;
    let old = place.old();
    let calls: Vec<_> = (0..3).map(|_| old.call(wave("work(20000000)"))).collect();
    let mut calls: Vec<_> = calls.into_iter().map(Box::pin).collect();
    for call in &mut calls {
        drop(futures_poll(call).await);
    }
    let live = old.instances().live;
    let new = place.unit(2, &[("state", "no")]).await;
    place.swap(&new).await.map_err(|f| said(&f)).unwrap();
    assert_eq!(new.instances().live, live);
    for call in calls {
        assert_eq!(call.await.unwrap().json, json!(1));
    }
}

#[tokio::test]
async fn a_call_fits_a_kilobyte() {
    let place = Place::new(&[]).await;
    let old = place.old();
    // Allocators are several times slower from there on.
    assert!(std::mem::size_of_val(&*old.call(wave("next()"))) <= 1_024);
}
