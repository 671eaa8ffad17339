//! Another revision takes the place of the one in service.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::call::{CallExpression, CallRequest};
use domain::entry::EdgeKind;
use domain::{Phase, Status};
use registry::Target;

use crate::fakes::{World, id};

fn call() -> CallRequest {
    CallRequest { expression: CallExpression::Wave("f()".to_owned()), ..CallRequest::default() }
}

/// Which revision of `name` serves.
async fn serving(world: &World, name: &str) -> String {
    world.registry.call(&id(name), call()).await.unwrap().wave
}

#[tokio::test]
async fn a_swap_says_what_it_moved_and_what_was_moved_is_saved() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0\nremembers forty-two\nexport registry:component/state@0.1.0").await;
    world.activate("demo:a").await;
    world.have("name demo:a\nversion 2.0.0\nexport registry:component/state@0.1.0").await;
    let report = world.activate("demo:a@2.0.0").await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let swapped = report.activated[0].swapped.clone().unwrap();
    assert_eq!((swapped.from.to_string().as_str(), swapped.from_revision, swapped.moved_bytes), ("1.0.0", 1, Some(9)));
    assert_eq!(
        world.events().await,
        ["registered", "activated", "registered", "revision-selected", "activated", "state-saved"]
    );
    let state = world.registry.get(&id("demo:a")).await.unwrap().entry.state.clone().unwrap();
    assert_eq!(state.digest, domain::Digest::of(b"forty-two"));
    assert_eq!(serving(&world, "demo:a").await, "f() by revision 2");
    assert!(world.activate("demo:a").await.activated.is_empty(), "it is active");
}

#[tokio::test]
async fn one_that_is_not_well_does_not_come_into_service_and_its_history_says_so() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    for (revision, wrong, phase) in
        [(2, "unhealthy", Phase::Health), (3, "fail-start", Phase::Activate), (4, "fail-link", Phase::Link)]
    {
        world.have(&format!("name demo:a\nversion {revision}.0.0\n{wrong}")).await;
        let report = world.activate(&format!("demo:a@{revision}.0.0")).await;
        assert_eq!((report.failed.len(), report.failed[0].1.code()), (1, "component-activation"), "{wrong}");
        let newest = world.registry.errors(Some(&id("demo:a")), 1).await.unwrap()[0].failure.clone();
        assert_eq!((newest.revision, newest.phase), (revision, phase), "{wrong}");
        assert_eq!(serving(&world, "demo:a").await, "f() by revision 1", "{wrong}");
        let entry = world.registry.get(&id("demo:a")).await.unwrap().entry;
        assert_eq!((entry.status, entry.revision.number), (Status::Active, 1));
    }
    assert!(!world.steps.lock().unwrap().iter().any(|step| step.starts_with("settle") || step.starts_with("drain")));
}

#[tokio::test]
async fn a_hook_that_refuses_keeps_the_old_one_in_service() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    world.have("name demo:a\nversion 2.0.0").await;
    world.registry.before_activation(|_| async { Err("not on Fridays".to_owned()) });
    let report = world.activate("demo:a@2.0.0").await;
    assert!(report.failed[0].1.to_string().contains("not on Fridays"), "{:?}", report.failed);
    assert_eq!(serving(&world, "demo:a").await, "f() by revision 1");
}

#[tokio::test]
async fn dependents_live_on_when_the_interface_has_another_compatible_version() {
    let world = World::new().await;
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x@1.0.0").await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:base/x@1.0.0\nexport demo:user/x").await;
    world.have("name demo:far\nversion 1.0.0\nimport demo:user/x").await;
    world.activate("demo:far").await;
    world.have("name demo:base\nversion 1.1.0\nexport demo:base/x@1.1.0").await;
    for (version, export) in [("1.1.0", "demo:base/x@1.1.0"), ("1.0.0", "demo:base/x@1.0.0")] {
        let report = world.activate(&format!("demo:base@{version}")).await;
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        let user = world.registry.get(&id("demo:user")).await.unwrap();
        let kinds: Vec<_> = user.entry.dependencies.iter().map(|edge| edge.kind.clone()).collect();
        let import = "demo:base/x@1.0.0".to_owned();
        assert_eq!(kinds, [EdgeKind::Import { import, export: export.to_owned() }]);
        for name in ["demo:user", "demo:far"] {
            let view = world.registry.get(&id(name)).await.unwrap();
            assert_eq!(view.instance, registry::InstanceWord::Live, "{name}");
        }
    }
    assert!(!world.steps.lock().unwrap().iter().any(|step| step.starts_with("stop")), "{:?}", world.steps);
}

#[tokio::test]
async fn a_dependent_that_does_not_go_with_the_new_one_keeps_the_old_one_and_nothing_is_restarted() {
    let world = World::new().await;
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x@1.0.0").await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:base/x@1.0.0\nexport demo:user/x").await;
    world.activate("demo:user").await;
    world.have("name demo:base\nversion 2.0.0\nexport demo:base/x@2.0.0").await;
    let report = world.activate("demo:base@2.0.0").await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let kept = report.activated[0].swapped.clone().unwrap().kept.unwrap();
    assert_eq!((kept.id.as_str(), kept.needed_by), ("demo:base@1.0.0", vec![id("demo:user")]));
    assert_eq!(serving(&world, "demo:base").await, "f() by revision 2");
    let called = world.registry.resolve_called("demo:base@1.0.0").await.unwrap();
    assert_eq!(world.registry.call(&called, call()).await.unwrap().wave, "f() by revision 1");
    let expected = [
        "start demo:base",
        "start demo:user",
        "start demo:base",
        "lead demo:base/x@1.0.0 to demo:base@1.0.0 of demo:user",
        "settle demo:base",
        "leave demo:base",
    ];
    assert_eq!(*world.steps.lock().unwrap(), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn swaps_of_one_component_come_one_after_the_other_and_no_call_fails() {
    let world = Arc::new(World::new().await);
    for version in 1..=20 {
        world.have(&format!("name demo:a\nversion {version}.0.0")).await;
        if version == 1 {
            world.activate("demo:a").await;
        }
    }
    let done = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..4)
        .map(|_| {
            let (registry, done) = (world.registry.clone(), done.clone());
            tokio::spawn(async move {
                let handle = registry.instance(&id("demo:a")).await.unwrap();
                while !done.load(Ordering::SeqCst) {
                    handle.call(call()).await.unwrap();
                    registry.call(&id("demo:a"), call()).await.unwrap();
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let swaps: Vec<_> = (2..=20)
        .map(|version| {
            let world = world.clone();
            tokio::spawn(async move {
                let target = Target { id: id("demo:a"), version: Some(format!("{version}.0.0").parse().unwrap()) };
                world.registry.activate(&[target]).await
            })
        })
        .collect();
    let mut chain = Vec::new();
    for swap in swaps {
        let report = swap.await.unwrap();
        assert!(report.failed.is_empty(), "{:?}", report.failed);
        let activated = &report.activated[0];
        chain.push((activated.swapped.clone().unwrap().from, activated.version.clone()));
    }
    done.store(true, Ordering::SeqCst);
    for caller in callers {
        caller.await.unwrap();
    }
    // Each took the place of the one before: what one replaced no other did.
    let mut replaced: Vec<_> = chain.iter().map(|(from, _)| from.clone()).collect();
    replaced.sort();
    replaced.dedup();
    assert_eq!(replaced.len(), 19);
    let last = world.registry.get(&id("demo:a")).await.unwrap().entry.revision.version.clone();
    assert!(!replaced.contains(&last));
    world.registry.close().await.unwrap();
    let steps = world.steps.lock().unwrap();
    let count = |word: &str| steps.iter().filter(|step| step.starts_with(word)).count();
    assert_eq!((count("start"), count("settle"), count("drain") + count("stop")), (20, 19, 20));
}
