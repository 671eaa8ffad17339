//! Resources of one component in the hands of others.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::manifest::InstanceMode;
use domain::ports::{Drain, Drained, InstancePolicy, Slot, TakeOver, Unit, UnitSpec};
use serde_json::json;
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

use crate::support::{World, call, failure, links_of, said, slot, wave};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(60);
pub(crate) const API: &str = "test:r/api@1.0.0";
pub(crate) const KEEPER: &str = "test:r/keeper@1.0.0";

const WIT: &str = "package test:r@1.0.0;
    interface api {
      resource counter {
        constructor(start: u32);
        next: func() -> u32;
        sum: static func(all: list<borrow<counter>>) -> u32;
      }
      record pair { left: counter, name: string }
      make-pair: func(start: u32) -> pair;
      consume: func(it: counter) -> u32;
      alive: func() -> u32;
      crash: func();
    }
    interface keeper {
      use api.{counter};
      keep: func(it: counter);
      peek: func() -> u32;
      lend: func(it: borrow<counter>) -> u32;
      give-back: func() -> option<counter>;
    }
    world provider { export api; }
    world middle { import api; export keeper; }
    world caller {
      import api; import keeper;
      export basic: func() -> u32; export sum: func() -> u32; export pair: func() -> u32; export give-away: func() -> u32;
      export diamond: func() -> u32; export hoard: func(); export spend: func() -> u32; export twice: func() -> u32;
      export many: func(count: u32) -> u32;
    }";

const PROVIDER: &str = r#"(module
    (import "[export]test:r/api@1.0.0" "[resource-new]counter" (func $new (param i32) (result i32)))
    (import "[export]test:r/api@1.0.0" "[resource-rep]counter" (func $rep (param i32) (result i32)))
    (import "[export]test:r/api@1.0.0" "[resource-drop]counter" (func $drop (param i32)))
    (memory (export "memory") 16)
    (global $top (mut i32) (i32.const 4096))
    (global $alive (mut i32) (i32.const 0))
    (func $alloc (param $size i32) (result i32)
      (global.get $top)
      (global.set $top (i32.add (global.get $top) (i32.and (i32.add (local.get $size) (i32.const 7)) (i32.const -8)))))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (call $alloc (local.get 3)))
    (func $make (param $start i32) (result i32) (local $at i32)
      (i32.store (local.tee $at (call $alloc (i32.const 4))) (local.get $start))
      (global.set $alive (i32.add (global.get $alive) (i32.const 1)))
      (call $new (local.get $at)))
    (func (export "test:r/api@1.0.0#[constructor]counter") (param i32) (result i32) (call $make (local.get 0)))
    (func (export "test:r/api@1.0.0#[method]counter.next") (param i32) (result i32)
      (i32.store (local.get 0) (i32.add (i32.load (local.get 0)) (i32.const 1)))
      (i32.load (local.get 0)))
    (func (export "test:r/api@1.0.0#[static]counter.sum") (param $list i32) (param $len i32) (result i32) (local $sum i32)
      (block $done (loop $next
        (br_if $done (i32.eqz (local.get $len)))
        (local.set $sum (i32.add (local.get $sum) (i32.load (i32.load (local.get $list)))))
        (local.set $list (i32.add (local.get $list) (i32.const 4)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $next)))
      (local.get $sum))
    (func (export "test:r/api@1.0.0#make-pair") (param i32) (result i32)
      (i32.store (i32.const 16) (call $make (local.get 0)))
      (i32.store (i32.const 20) (i32.const 0))
      (i32.store (i32.const 24) (i32.const 0))
      (i32.const 16))
    (func (export "test:r/api@1.0.0#consume") (param i32) (result i32)
      (i32.load (call $rep (local.get 0)))
      (call $drop (local.get 0)))
    (func (export "test:r/api@1.0.0#alive") (result i32) (global.get $alive))
    (func (export "test:r/api@1.0.0#crash") unreachable)
    (func (export "test:r/api@1.0.0#[dtor]counter") (param i32)
      (global.set $alive (i32.sub (global.get $alive) (i32.const 1)))))"#;

const MIDDLE: &str = r#"(module
    (import "test:r/api@1.0.0" "[method]counter.next" (func $next (param i32) (result i32)))
    (import "test:r/api@1.0.0" "[resource-drop]counter" (func $drop (param i32)))
    (memory (export "memory") 1)
    (global $kept (mut i32) (i32.const 0))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func (export "test:r/keeper@1.0.0#keep") (param i32) (global.set $kept (local.get 0)))
    (func (export "test:r/keeper@1.0.0#peek") (result i32) (call $next (global.get $kept)))
    (func (export "test:r/keeper@1.0.0#lend") (param i32) (result i32)
      (call $next (local.get 0))
      (call $drop (local.get 0)))
    (func (export "test:r/keeper@1.0.0#give-back") (result i32)
      (i32.store8 (i32.const 16) (i32.ne (global.get $kept) (i32.const 0)))
      (i32.store (i32.const 20) (global.get $kept))
      (global.set $kept (i32.const 0))
      (i32.const 16)))"#;

const CALLER: &str = r#"(module
    (import "test:r/api@1.0.0" "[constructor]counter" (func $new (param i32) (result i32)))
    (import "test:r/api@1.0.0" "[method]counter.next" (func $next (param i32) (result i32)))
    (import "test:r/api@1.0.0" "[static]counter.sum" (func $sum (param i32 i32) (result i32)))
    (import "test:r/api@1.0.0" "make-pair" (func $pair (param i32 i32)))
    (import "test:r/api@1.0.0" "consume" (func $consume (param i32) (result i32)))
    (import "test:r/api@1.0.0" "[resource-drop]counter" (func $drop (param i32)))
    (import "test:r/keeper@1.0.0" "keep" (func $keep (param i32)))
    (import "test:r/keeper@1.0.0" "peek" (func $peek (result i32)))
    (import "test:r/keeper@1.0.0" "lend" (func $lend (param i32) (result i32)))
    (import "test:r/keeper@1.0.0" "give-back" (func $back (param i32)))
    (memory (export "memory") 1)
    (global $hoard (mut i32) (i32.const 0))
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
    (func $decimal (param i32 i32) (result i32) (i32.add (i32.mul (local.get 0) (i32.const 10)) (local.get 1)))
    (func (export "basic") (result i32) (local $it i32)
      (local.set $it (call $new (i32.const 5)))
      (call $decimal (call $next (local.get $it)) (call $next (local.get $it)))
      (call $drop (local.get $it)))
    (func (export "sum") (result i32) (local $a i32) (local $b i32)
      (i32.store (i32.const 32) (local.tee $a (call $new (i32.const 30))))
      (i32.store (i32.const 36) (local.tee $b (call $new (i32.const 12))))
      (call $sum (i32.const 32) (i32.const 2))
      (call $drop (local.get $a))
      (call $drop (local.get $b)))
    (func (export "pair") (result i32)
      (call $pair (i32.const 9) (i32.const 64))
      (call $next (i32.load (i32.const 64)))
      (call $drop (i32.load (i32.const 64))))
    (func (export "give-away") (result i32) (call $consume (call $new (i32.const 4))))
    (func (export "diamond") (result i32) (local $it i32) (local $said i32)
      (local.set $it (call $new (i32.const 1)))
      (local.set $said (call $lend (local.get $it)))
      (local.set $said (call $decimal (local.get $said) (call $next (local.get $it))))
      (call $keep (local.get $it))
      (local.set $said (call $decimal (local.get $said) (call $peek)))
      (call $back (i32.const 48))
      (if (i32.eqz (i32.load8_u (i32.const 48))) (then unreachable))
      (local.set $said (call $decimal (local.get $said) (call $next (i32.load (i32.const 52)))))
      (call $drop (i32.load (i32.const 52)))
      (local.get $said))
    (func (export "hoard") (global.set $hoard (call $new (i32.const 40))))
    (func (export "spend") (result i32) (call $next (global.get $hoard)))
    (func (export "twice") (result i32) (local $a i32) (local $b i32)
      (i32.store (i32.const 32) (local.tee $a (call $new (i32.const 1))))
      (i32.store (i32.const 36) (local.tee $b (call $new (i32.const 2))))
      (call $sum (i32.const 32) (i32.const 2)))
    (func (export "many") (param $count i32) (result i32) (local $it i32)
      (loop $again
        (local.set $it (call $new (i32.const 0)))
        (br_if $again (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
      (call $next (local.get $it))))"#;

/// Returns the component that defines the resource, the one that passes it on, and the one that uses both.
pub(crate) fn binaries() -> [Vec<u8>; 3] {
    [component("provider", PROVIDER), component("middle", MIDDLE), component("caller", CALLER)]
}

fn component(world: &str, module: &str) -> Vec<u8> {
    let mut resolve = wit_parser::Resolve::default();
    let package = resolve.push_str("test.wit", WIT).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    let mut module = wat::parse_str(module).unwrap();
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).unwrap();
    ComponentEncoder::default().validate(true).module(&module).unwrap().encode().unwrap()
}

/// A provider of a resource, one that keeps handles of it, and a caller that uses both.
struct Three {
    world: World,
    provider: Arc<dyn Unit>,
    keeper: Arc<dyn Unit>,
    caller: Arc<dyn Unit>,
    provided: Arc<Slot>,
    _kept: Arc<Slot>,
}

impl Three {
    async fn new(mode: InstanceMode) -> Self {
        let world = World::new();
        let instances = InstancePolicy { mode, max: 4 };
        let spec = UnitSpec { instances, ..world.spec_of("test:provider", component("provider", PROVIDER)) };
        let provider = world.prepare(spec).await;
        let provided = slot(&provider);
        let links = links_of(&[(API, API, &provided)]);
        let keeper = world.spec_of("test:keeper", component("middle", MIDDLE));
        let keeper = world.prepare(UnitSpec { links, ..keeper }).await;
        let kept = slot(&keeper);
        let links = links_of(&[(API, API, &provided), (KEEPER, KEEPER, &kept)]);
        let caller = world.spec_of("test:caller", component("caller", CALLER));
        let caller = world.prepare(UnitSpec { links, ..caller }).await;
        Self { world, provider, keeper, caller, provided, _kept: kept }
    }

    async fn says(&self, function: &str) -> serde_json::Value {
        call(&self.caller, &format!("{function}()")).await.json
    }

    /// Returns how many counters the provider's one instance has.
    async fn alive(&self) -> serde_json::Value {
        call(&self.provider, "alive()").await.json
    }

    /// Waits until the provider has as many counters.
    async fn comes_to(&self, count: u32) {
        for _ in 0..500 {
            if self.alive().await == count {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("{} counters are left, not {count}", self.alive().await);
    }
}

#[tokio::test]
async fn handles_are_used_lent_given_away_and_dropped() {
    for mode in InstanceMode::ALL {
        let three = Three::new(mode).await;
        for (function, said) in
            [("basic", 67), ("sum", 42), ("pair", 10), ("give-away", 4), ("diamond", 2345), ("basic", 67)]
        {
            if mode == InstanceMode::PerCall && function == "sum" {
                // Two instances made the two.
                continue;
            }
            assert_eq!(three.says(function).await, json!(said), "{function} with {mode:?}");
        }
        assert_eq!(three.alive().await, json!(0), "{mode:?}");
        assert_eq!(three.world.heard.failures(), [""; 0]);
        let live = if mode == InstanceMode::PerCall { 0 } else { 1 };
        assert_eq!(three.provider.instances().live, live, "{mode:?}");
    }
}

#[tokio::test]
async fn instances_of_their_own_keep_handles_apart() {
    let three = Three::new(InstanceMode::PerCall).await;
    let refused = failure(&three.caller, wave("twice()")).await;
    assert_eq!(
        said(&refused),
        "test:caller call dependency: the handles belong to different instances of test:provider, and no call reaches both"
    );
    // The caller went, and with it what it held; so do the instances that were kept for it.
    for _ in 0..500 {
        if three.provider.instances().live == 0 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("{:?}", three.provider.instances());
}

#[tokio::test]
async fn handles_end_with_the_instance_that_made_them() {
    let three = Three::new(InstanceMode::Shared).await;
    three.says("hoard").await;
    assert_eq!(three.says("spend").await, json!(41));
    failure(&three.provider, wave("crash()")).await;
    let gone = failure(&three.caller, wave("spend()")).await;
    assert_eq!(
        said(&gone),
        "test:caller call dependency: the instance of test:provider that this handle belongs to is gone"
    );
    // Everybody goes on.
    assert_eq!(three.says("diamond").await, json!(2345));
    three.says("hoard").await;
    assert_eq!(three.says("spend").await, json!(41));
}

#[tokio::test]
async fn what_a_holder_leaves_behind_is_dropped() {
    let three = Three::new(InstanceMode::Shared).await;
    three.says("hoard").await;
    three.says("hoard").await;
    assert_eq!(three.alive().await, json!(2));
    three.caller.stop().await;
    three.comes_to(0).await;
    assert_eq!(three.world.heard.failures(), [""; 0]);
}

#[tokio::test]
async fn a_holder_keeps_an_instance_and_the_revision_that_made_its_handle() {
    let three = Three::new(InstanceMode::Pool).await;
    three.says("hoard").await;
    assert_eq!(three.provider.shed(std::time::Duration::ZERO).await, 0, "others hold handles of it");
    // Another revision comes into service: new handles are of that one, old ones of the one that made them.
    let spec = UnitSpec { revision: 2, ..three.world.spec_of("test:provider", component("provider", PROVIDER)) };
    let newer = three.world.prepare(spec).await;
    three.provided.turn(Some(Arc::clone(&newer)));
    assert_eq!(three.says("basic").await, json!(67));
    assert_eq!(newer.instances().live, 1);
    assert_eq!(three.says("spend").await, json!(41));
    assert_eq!(three.alive().await, json!(1));
    three.provider.stop().await;
    assert!(said(&failure(&three.caller, wave("spend()")).await).contains("is gone"));
    drop(three.keeper);
}

/// Puts another revision of the provider in service.
async fn swapped(three: &Three, mode: InstanceMode, old: &Arc<dyn Unit>, revision: u32) -> Arc<dyn Unit> {
    let instances = InstancePolicy { mode, max: 4 };
    let spec =
        UnitSpec { revision, instances, ..three.world.spec_of("test:provider", component("provider", PROVIDER)) };
    let newer = three.world.prepare(spec).await;
    let how = TakeOver { wait: LONG, is_lazy: false };
    let handover = newer.take_over(Some(&**old), how).await.map_err(|f| said(&f)).unwrap();
    three.provided.turn(Some(Arc::clone(&newer)));
    handover.settle();
    newer
}

#[tokio::test]
async fn handles_go_to_the_one_that_gave_them_out_until_the_last_is_dropped_or_its_time_is_up() {
    let three = Three::new(InstanceMode::Shared).await;
    three.says("hoard").await;
    let second = swapped(&three, InstanceMode::Shared, &three.provider, 2).await;
    let old = Arc::clone(&three.provider);
    let draining = tokio::spawn(async move { old.drain(Drain::all(LONG)).await });
    assert_eq!(three.says("basic").await, json!(67), "new handles are of the new one");
    assert_eq!(three.says("spend").await, json!(41), "those that are there are of the old one");
    assert_eq!((three.provider.instances().live, second.instances().live), (1, 1));
    three.caller.stop().await;
    assert_eq!(draining.await.unwrap(), Drained::default(), "the last handle was dropped");
    assert_eq!(three.provider.instances().live, 0);
    three.says("hoard").await;
    swapped(&three, InstanceMode::Shared, &second, 3).await;
    assert_eq!(second.drain(Drain::all(Duration::ZERO)).await, Drained { cancelled: 0, held: 1 });
    let gone = failure(&three.caller, wave("spend()")).await;
    assert!(
        said(&gone).contains("the instance of test:provider that this handle belongs to is gone"),
        "{}",
        said(&gone)
    );
    assert_eq!(three.says("diamond").await, json!(2345));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_use_resources_lose_no_call_while_their_maker_is_swapped_again_and_again() {
    for mode in InstanceMode::ALL {
        let three = Arc::new(Three::new(mode).await);
        let done = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = [("basic", 67), ("pair", 10), ("give-away", 4), ("diamond", 2345)]
            .into_iter()
            .map(|(function, said)| {
                let (three, done) = (Arc::clone(&three), Arc::clone(&done));
                tokio::spawn(async move {
                    let mut calls = 0;
                    while !done.load(Ordering::SeqCst) {
                        assert_eq!(three.says(function).await, json!(said), "{function} with {mode:?}");
                        calls += 1;
                    }
                    calls
                })
            })
            .collect();
        let (mut old, mut draining) = (Arc::clone(&three.provider), Vec::new());
        for revision in 2..42 {
            let newer = swapped(&three, mode, &old, revision).await;
            let before = std::mem::replace(&mut old, newer);
            draining.push(tokio::spawn(async move {
                let drained = before.drain(Drain::all(LONG)).await;
                (drained, before.instances().live)
            }));
            tokio::task::yield_now().await;
        }
        done.store(true, Ordering::SeqCst);
        for caller in callers {
            assert!(caller.await.unwrap() > 0, "{mode:?}");
        }
        for drained in draining {
            assert_eq!(drained.await.unwrap(), (Drained::default(), 0), "{mode:?}");
        }
        assert_eq!(three.world.heard.failures(), [""; 0], "{mode:?}");
    }
}

#[tokio::test]
async fn there_are_no_more_handles_than_allowed() {
    let three = Three::new(InstanceMode::Shared).await;
    let most = domain::Limits::DEFAULT.handles;
    let refused = failure(&three.caller, wave(&format!("many({})", most + 10))).await;
    // The provider has as many of its own, and reaches the limit first.
    assert!(said(&refused).contains("1000 handles, the most allowed (`limits.handles`)"), "{}", said(&refused));
    three.comes_to(0).await;
}
