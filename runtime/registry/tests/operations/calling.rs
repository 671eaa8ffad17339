use std::sync::Arc;

use domain::call::{CallExpression, CallRequest};
use domain::{ErrorKind, Status};
use storage::MemoryStore;

use crate::fakes::{Ticking, World, id};

fn call(text: &str) -> CallRequest {
    CallRequest { expression: CallExpression::Wave(text.to_owned()), ..CallRequest::default() }
}

#[tokio::test]
async fn an_active_component_answers_and_its_use_is_counted() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    let outcome = world.registry.call(&id("demo:a"), call("go()")).await.unwrap();
    assert_eq!(outcome.wave, "go() by revision 1");
    let handle = world.registry.instance(&id("demo:a")).await.unwrap();
    handle.call(call("go()")).await.unwrap();
    let usage = world.registry.get(&id("demo:a")).await.unwrap().usage;
    assert_eq!((usage.calls, usage.access_count, usage.fuel), (2, 3, 6));
    let stats = world.registry.stats(None).await.unwrap();
    assert_eq!((stats.total_accesses, stats.most_accessed), (3, Some(id("demo:a"))));
}

#[tokio::test]
async fn a_component_that_is_not_active_is_not_called() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    let error = world.registry.call(&id("demo:a"), call("go()")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "component-not-active"));
    assert!(error.hints()[0].contains("runtime activate demo:a"));
    assert!(world.events().await.contains(&"refused"));
}

#[tokio::test]
async fn a_failed_call_is_recorded_and_the_component_stays_active() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0\nfail-call").await;
    world.activate("demo:a").await;
    let error = world.registry.call(&id("demo:a"), call("go()")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Guest);
    assert_eq!(world.status("demo:a").await, Status::Active);
    let errors = world.registry.errors(Some(&id("demo:a")), 10).await.unwrap();
    assert_eq!((errors.len(), errors[0].failure.kind.as_str()), (1, "trap"));
    assert_eq!(world.registry.get(&id("demo:a")).await.unwrap().entry.error_count, 1);
}

#[tokio::test]
async fn a_handle_follows_the_component_to_its_new_revision() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    let handle = world.registry.instance(&id("demo:a")).await.unwrap();
    world.have("name demo:a\nversion 2.0.0").await;
    world.activate("demo:a@2.0.0").await;
    assert_eq!(handle.call(call("go()")).await.unwrap().wave, "go() by revision 2");
}

#[tokio::test]
async fn an_evicted_instance_comes_back_with_the_next_call() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    assert!(world.registry.evict_instance(&id("demo:a")).await.unwrap());
    assert!(!world.registry.evict_instance(&id("demo:a")).await.unwrap());
    assert_eq!(world.status("demo:a").await, Status::Active);
    world.registry.call(&id("demo:a"), call("go()")).await.unwrap();
}

#[tokio::test]
async fn counters_and_repeats_are_saved_when_the_registry_closes() {
    let clock = Arc::new(Ticking::default());
    let state = Arc::new(MemoryStore::new(clock.clone()));
    let world = World::on(state.clone(), clock.clone(), "").await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    world.registry.call(&id("demo:a"), call("go()")).await.unwrap();
    for _ in 0..3 {
        let _refused = world.registry.add_dependency(&id("demo:a"), &id("demo:a"), None).await.unwrap_err();
    }
    world.registry.close().await.unwrap();
    let again = World::on(state, clock, "").await;
    assert_eq!(again.registry.get(&id("demo:a")).await.unwrap().usage.calls, 1);
    let records = again.registry.records(0, 100).await.unwrap();
    let refusals = records.iter().filter_map(|record| match &record.event {
        domain::Event::Refused { count, .. } => Some(*count),
        _ => None,
    });
    assert_eq!(refusals.collect::<Vec<_>>(), [1, 2]);
}
