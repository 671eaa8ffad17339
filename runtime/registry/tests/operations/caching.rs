//! How instances are kept: made when called, dropped when idle, and never more than the process has room for.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use domain::call::{CallExpression, CallRequest};
use domain::ports::EngineObserver as _;
use domain::{ComponentManifest, ErrorKind, Status};
use registry::{InstanceWord, ManifestSource, RegistryError};

use crate::fakes::{World, component, id};

async fn have(world: &World, lines: &str, instances: &str) -> Result<(), RegistryError> {
    let mut request = component(lines);
    let manifest = ComponentManifest::parse(&format!("instances = {{ {instances} }}")).unwrap();
    request.manifest = Some(ManifestSource::Given(Box::new(manifest)));
    world.registry.register(request).await.map(drop)
}

async fn call(world: &World, name: &str) -> Result<(), RegistryError> {
    let expression = CallExpression::Wave("go()".to_owned());
    world.registry.call(&id(name), CallRequest { expression, ..CallRequest::default() }).await.map(drop)
}

async fn word(world: &World, name: &str) -> InstanceWord {
    world.registry.get(&id(name)).await.unwrap().instance
}

/// Waits, for as long as nothing takes, until `name` has no instance.
async fn until_cold(world: &World, name: &str) {
    let begun = Instant::now();
    while word(world, name).await != InstanceWord::Cold {
        assert!(begun.elapsed() < Duration::from_secs(30), "{name} keeps its instance");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_lazy_component_is_made_when_it_is_called_and_not_when_what_needs_it_is_activated() {
    let world = World::new().await;
    let provider = "name demo:log\nversion 1.0.0\nexport demo:log/sink@1.0.0";
    have(&world, provider, "activation = 'lazy'").await.unwrap();
    world.have("name demo:app\nversion 1.0.0\nimport demo:log/sink@1.0.0").await;
    let report = world.activate("demo:app").await;
    assert_eq!(report.activated.len(), 2, "{report:?}");
    assert_eq!(*world.steps.lock().unwrap(), ["start demo:app"]);
    assert_eq!((world.status("demo:log").await, word(&world, "demo:log").await), (Status::Active, InstanceWord::Cold));
    let resumed = world.registry.resume().await.unwrap();
    assert!(resumed.failed.is_empty());
    assert_eq!(word(&world, "demo:log").await, InstanceWord::Cold);
    call(&world, "demo:log").await.unwrap();
    let view = world.registry.get(&id("demo:log")).await.unwrap();
    assert_eq!((view.instance, view.count.live, view.instances.is_lazy()), (InstanceWord::Live, 1, true));
}

#[tokio::test]
async fn a_lazy_component_that_cannot_be_linked_is_not_active() {
    let world = World::new().await;
    have(&world, "name demo:a\nversion 1.0.0\nfail-link", "activation = 'lazy'").await.unwrap();
    let report = world.activate("demo:a").await;
    assert_eq!((report.failed.len(), world.status("demo:a").await), (1, Status::Error));
}

#[tokio::test]
async fn a_component_that_keeps_state_has_one_instance() {
    let world = World::new().await;
    let keeper = "name demo:keeper\nversion 1.0.0\nexport registry:component/state@1.0.0";
    for mode in ["pool", "per-call"] {
        let error = have(&world, keeper, &format!("mode = '{mode}'")).await.unwrap_err();
        assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "state-not-shared"));
        assert!(error.to_string().ends_with(&format!("cannot be kept as `{mode}`")), "{error}");
        assert!(error.hints()[0].contains("`[instances] mode`"), "{:?}", error.hints());
    }
    have(&world, keeper, "mode = 'shared'").await.unwrap();
    have(&world, "name demo:free\nversion 1.0.0", "mode = 'pool'").await.unwrap();
}

#[tokio::test]
async fn a_kind_that_becomes_a_pool_keeps_components_with_state_from_being_activated() {
    let world = World::new().await;
    world.have("name demo:keeper\nversion 1.0.0\nexport registry:component/state@1.0.0").await;
    world.registry.set_setting("kinds.component.instances.mode", Some("pool")).await.unwrap();
    let report = world.activate("demo:keeper").await;
    let error = &report.failed[0].1;
    assert_eq!(error.code(), "state-not-shared");
    assert!(error.hints()[1].contains("kinds.component.instances.mode=shared"), "{:?}", error.hints());
    assert_eq!(world.status("demo:keeper").await, Status::Registered, "a refusal is no failure");
    world.registry.set_setting("kinds.component.instances.mode", None).await.unwrap();
    assert!(world.activate("demo:keeper").await.failed.is_empty());
}

#[tokio::test]
async fn what_is_idle_for_as_long_as_its_component_says_is_dropped_and_comes_back() {
    let world = World::new().await;
    have(&world, "name demo:a\nversion 1.0.0", "idle_ttl = '100ms'").await.unwrap();
    have(&world, "name demo:b\nversion 1.0.0", "idle_ttl = '1h'").await.unwrap();
    world.have("name demo:c\nversion 1.0.0").await;
    for name in ["demo:a", "demo:b", "demo:c"] {
        world.activate(name).await;
        assert_eq!(word(&world, name).await, InstanceWord::Live, "{name}");
    }
    until_cold(&world, "demo:a").await;
    assert_eq!(world.status("demo:a").await, Status::Active);
    assert_eq!((word(&world, "demo:b").await, word(&world, "demo:c").await), (InstanceWord::Live, InstanceWord::Live));
    call(&world, "demo:a").await.unwrap();
    assert_eq!(world.registry.stats(None).await.unwrap().cache_hit_rate, 0.0);
    until_cold(&world, "demo:a").await;
    assert_eq!(world.registry.live_instances(), 2);
}

#[tokio::test]
async fn the_time_of_the_registry_holds_at_once_and_for_those_that_say_nothing() {
    let world = World::new().await;
    have(&world, "name demo:own\nversion 1.0.0", "idle_ttl = '1h'").await.unwrap();
    world.have("name demo:busy\nversion 1.0.0\nbusy").await;
    world.have("name demo:a\nversion 1.0.0").await;
    for name in ["demo:own", "demo:busy", "demo:a"] {
        world.activate(name).await;
    }
    world.registry.set_setting("instances.ttl", Some("100ms")).await.unwrap();
    until_cold(&world, "demo:a").await;
    assert_eq!(word(&world, "demo:own").await, InstanceWord::Live);
    assert_eq!(word(&world, "demo:busy").await, InstanceWord::Live, "what serves a call is not idle");
    assert_eq!(world.registry.get(&id("demo:a")).await.unwrap().instances.idle_ttl_ms, Some(100));
}

#[tokio::test]
async fn beyond_the_most_that_are_kept_those_go_that_were_not_used_for_longest() {
    let world = World::with_settings("[instances]\nmax_size = 2").await;
    for name in ["demo:a", "demo:b", "demo:c"] {
        let busy = if name == "demo:a" { "\nbusy" } else { "" };
        world.have(&format!("name {name}\nversion 1.0.0{busy}")).await;
        world.activate(name).await;
    }
    until_cold(&world, "demo:b").await;
    assert_eq!((word(&world, "demo:a").await, word(&world, "demo:c").await), (InstanceWord::Live, InstanceWord::Live));
    call(&world, "demo:b").await.unwrap();
    until_cold(&world, "demo:c").await;
    assert_eq!(world.registry.stats(None).await.unwrap().live_instances, 2);
    assert_eq!(world.registry.shed_instances().await.unwrap(), 0);
    world.registry.set_setting("instances.max_size", Some("none")).await.unwrap();
    call(&world, "demo:c").await.unwrap();
    assert_eq!(world.registry.live_instances(), 3);
}

#[tokio::test]
async fn a_process_short_of_mappings_drops_idle_instances() {
    let world = World::new().await;
    for name in ["demo:a", "demo:b", "demo:c"] {
        let busy = if name == "demo:b" { "\nbusy" } else { "" };
        world.have(&format!("name {name}\nversion 1.0.0{busy}")).await;
        world.activate(name).await;
    }
    world.machine.others.store(9_370, Ordering::SeqCst);
    assert_eq!(world.registry.shed_instances().await.unwrap(), 0, "nobody has looked");
    assert_eq!(world.registry.mappings().await.unwrap().unwrap().count, 9_400);
    assert_eq!(world.registry.shed_instances().await.unwrap(), 0, "just not too many");
    world.machine.others.store(9_380, Ordering::SeqCst);
    assert!(world.registry.mappings().await.unwrap().unwrap().is_tight());
    assert_eq!(world.registry.shed_instances().await.unwrap(), 2);
    assert_eq!(word(&world, "demo:b").await, InstanceWord::Live);
    call(&world, "demo:a").await.unwrap();
}

#[tokio::test]
async fn a_process_without_room_refuses_one_more_instance_and_says_what_to_do() {
    let world = World::new().await;
    for name in ["demo:a", "demo:b", "demo:c"] {
        let busy = if name == "demo:b" { "\nbusy" } else { "" };
        world.have(&format!("name {name}\nversion 1.0.0{busy}")).await;
    }
    world.activate("demo:a").await;
    world.activate("demo:b").await;
    world.machine.others.store(9_700, Ordering::SeqCst);
    world.registry.mappings().await.unwrap();
    let report = world.activate("demo:c").await;
    let error = &report.failed[0].1;
    assert_eq!((error.kind(), error.code()), (ErrorKind::Exhausted, "mappings-exhausted"));
    assert_eq!(
        error.to_string(),
        "there is no room for an instance of `demo:c`: the process has 9710 of the 10000 mappings that the system allows"
    );
    let hints = error.hints().join("\n");
    assert!(["evict", "vm.max_map_count", "lazy"].iter().all(|what| hints.contains(what)), "{hints}");
    assert_eq!(world.status("demo:c").await, Status::Registered, "a refusal is no failure");
    assert_eq!(word(&world, "demo:a").await, InstanceWord::Cold, "it was idle, and dropped first");
    assert_eq!(call(&world, "demo:a").await.unwrap_err().code(), "mappings-exhausted");
    call(&world, "demo:b").await.unwrap();
    // As the engine asks for a call that comes from another component.
    let refused = world.tracker.admit(&id("demo:a")).unwrap_err();
    assert!(refused.reason.contains("9710 of the 10000 mappings"), "{}", refused.reason);
    world.tracker.admit(&id("demo:b")).unwrap();

    world.machine.others.store(100, Ordering::SeqCst);
    world.registry.evict_instance(&id("demo:b")).await.unwrap();
    assert!(world.activate("demo:c").await.failed.is_empty());
    call(&world, "demo:a").await.unwrap();
    world.tracker.admit(&id("demo:a")).unwrap();
}

#[tokio::test]
async fn mappings_are_counted_by_themselves_when_many_instances_were_made() {
    let world = World::new().await;
    world.machine.others.store(9_700, Ordering::SeqCst);
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    let begun = Instant::now();
    let refused = loop {
        match call(&world, "demo:a").await {
            Ok(()) => world.registry.evict_instance(&id("demo:a")).await.map(drop).unwrap(),
            Err(error) => break error,
        }
        tokio::task::yield_now().await;
        assert!(begun.elapsed() < Duration::from_secs(30), "nobody counts");
    };
    assert_eq!(refused.code(), "mappings-exhausted");
}
