use std::sync::Arc;
use std::time::Duration;

use domain::Status;
use domain::call::{CallExpression, CallRequest};
use storage::MemoryStore;

use crate::fakes::{Ticking, World, id};

/// A registry whose clock a test can move on.
async fn world() -> (Arc<Ticking>, World) {
    let clock = Arc::new(Ticking::default());
    let world = World::on(Arc::new(MemoryStore::new(clock.clone())), clock.clone(), "").await;
    (clock, world)
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn names(report: &registry::PruneReport) -> Vec<&str> {
    report.pruned.iter().map(|unused| unused.id.as_str()).collect()
}

#[tokio::test]
async fn what_nobody_used_for_long_is_removed_dependents_first() {
    let (clock, world) = world().await;
    world.have("name demo:p\nversion 1.0.0\nexport demo:log/sink@0.1.0").await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:log/sink@0.1.0").await;
    world.have("name demo:alone\nversion 1.0.0").await;
    clock.move_on(2 * DAY);
    world.have("name demo:young\nversion 1.0.0").await;
    let dry = world.registry.prune(DAY, true).await.unwrap();
    assert_eq!(names(&dry), ["demo:alone", "demo:user", "demo:p"]);
    assert!(world.registry.contains(&id("demo:p")).await.unwrap());
    assert_eq!(names(&world.registry.prune(3 * DAY, false).await.unwrap()), [""; 0]);
    let report = world.registry.prune(DAY, false).await.unwrap();
    assert_eq!((names(&report), report.failed.len()), (names(&dry), 0));
    assert_eq!(report.pruned[0].status, Status::Registered);
    assert!(report.pruned[0].last_used < clock_before(&clock, DAY));
    let left = world.registry.list(&Default::default()).await.unwrap();
    assert_eq!(left.len(), 1);
    assert_eq!(world.events().await.iter().filter(|event| **event == "unregistered").count(), 3);
}

fn clock_before(clock: &Ticking, time: Duration) -> domain::Timestamp {
    use domain::ports::Clock;
    let micros = clock.now().as_micros() - i64::try_from(time.as_micros()).unwrap();
    domain::Timestamp::from_micros(micros)
}

#[tokio::test]
async fn what_is_active_called_or_needed_stays() {
    let (clock, world) = world().await;
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x@1.0.0").await;
    world.have("name demo:p\nversion 1.0.0\nimport demo:base/x@1.0.0\nexport demo:log/sink@0.1.0").await;
    world.have("name demo:active\nversion 1.0.0").await;
    world.have("name demo:called\nversion 1.0.0").await;
    world.activate("demo:active").await;
    world.activate("demo:called").await;
    clock.move_on(2 * DAY);
    let call = CallRequest { expression: CallExpression::Wave("run()".into()), ..CallRequest::default() };
    world.registry.call(&id("demo:called"), call).await.unwrap();
    world.registry.deactivate(&[id("demo:called")], false).await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:log/sink@0.1.0").await;
    let report = world.registry.prune(DAY, false).await.unwrap();
    assert_eq!(names(&report), [""; 0]);
    assert_eq!(report.needed, [(id("demo:base"), id("demo:p")), (id("demo:p"), id("demo:user"))]);
}

#[tokio::test]
async fn what_only_waited_for_something_pruned_goes_with_it() {
    let (clock, world) = world().await;
    world.have("name demo:a\nversion 1.0.0").await;
    let mut waiting = crate::fakes::component("name demo:b\nversion 1.0.0");
    let manifest = domain::ComponentManifest::parse("[dependencies]\n\"demo:a\" = \"^2\"").unwrap();
    waiting.manifest = Some(registry::ManifestSource::Given(Box::new(manifest)));
    world.registry.register(waiting).await.unwrap();
    clock.move_on(2 * DAY);
    // That `demo:a` is gone changes what `demo:b` waits for, which is no use of it.
    assert_eq!(names(&world.registry.prune(DAY, false).await.unwrap()), ["demo:a", "demo:b"]);
}

#[tokio::test]
async fn what_could_not_choose_between_two_pruned_ones_keeps_neither() {
    let (clock, world) = world().await;
    world.have("name demo:a\nversion 1.0.0\nexport demo:i/x@1.0.0").await;
    world.have("name demo:b\nversion 1.0.0\nexport demo:i/x@1.0.0").await;
    world.have("name demo:c\nversion 1.0.0\nimport demo:i/x@1.0.0").await;
    clock.move_on(2 * DAY);
    let report = world.registry.prune(DAY, false).await.unwrap();
    assert_eq!((names(&report), report.failed.len()), (vec!["demo:a", "demo:c", "demo:b"], 0));
    assert!(!world.events().await.contains(&"refused"));
}
