//! Revisions of one component that are active side by side, because dependents need different ones.

use std::sync::Arc;

use domain::call::{CallExpression, CallRequest};
use domain::{ComponentId, ComponentManifest, Grant, Status};
use registry::{Change, ManifestSource, RegistryError};
use storage::MemoryStore;

use crate::fakes::{Ticking, World, component, id};

fn log(major: u32, more: &str) -> String {
    format!("name demo:log\nversion {major}.0.0\nexport demo:log/sink@{major}.0.0\n{more}")
}

/// Imports the log's interface in a version.
fn user(name: &str, version: &str, major: u32, more: &str) -> String {
    format!("name demo:{name}\nversion {version}\nimport demo:log/sink@{major}.0.0\nexport demo:{name}/run\n{more}")
}

fn one() -> ComponentId {
    id("demo:log").beside(&"1.0.0".parse().unwrap())
}

/// A log with a second revision that waits, and two who go with the first alone; all active.
async fn running() -> World {
    let world = World::new().await;
    world.have(&log(1, "")).await;
    for name in ["shop", "bill"] {
        world.have(&user(name, "1.0.0", 1, "")).await;
        assert!(world.activate(&format!("demo:{name}")).await.failed.is_empty());
    }
    world.have(&log(2, "")).await;
    world
}

async fn call(world: &World, id: &ComponentId) -> Result<String, RegistryError> {
    let request = CallRequest { expression: CallExpression::Wave("f()".to_owned()), ..CallRequest::default() };
    world.registry.call(id, request).await.map(|outcome| outcome.wave)
}

async fn beside(world: &World) -> Vec<(String, Status, Vec<ComponentId>)> {
    let view = world.registry.get(&id("demo:log")).await.unwrap();
    view.beside.into_iter().map(|one| (one.entry.id.to_string(), one.entry.status, one.needed_by)).collect()
}

#[tokio::test]
async fn two_go_to_new_revisions_one_after_the_other_and_the_old_one_goes_with_its_last_dependent() {
    let world = running().await;
    world.registry.use_revision(&id("demo:log"), 2).await.unwrap();
    let both = vec![id("demo:bill"), id("demo:shop")];
    assert_eq!(beside(&world).await, [(one().to_string(), Status::Active, both)]);
    let edge = world.registry.dependencies(&id("demo:shop"), false).await.unwrap().remove(0);
    assert_eq!((edge.from, edge.status), (one(), Some(Status::Active)));

    world.have(&user("shop", "2.0.0", 2, "")).await;
    world.registry.use_revision(&id("demo:shop"), 2).await.unwrap();
    assert_eq!(beside(&world).await, [(one().to_string(), Status::Active, vec![id("demo:bill")])]);
    let lock = world.registry.get(&id("demo:shop")).await.unwrap().entry.activation.clone().unwrap().lock.clone();
    assert_eq!((lock[0].edge.on.clone(), lock[0].revision), (id("demo:log"), 2));

    world.have(&user("bill", "2.0.0", 2, "")).await;
    world.registry.use_revision(&id("demo:bill"), 2).await.unwrap();
    assert_eq!(beside(&world).await, []);
    assert!(world.registry.get(&one()).await.is_err());
    let events = world.events().await;
    assert_eq!(events[events.len() - 4..], ["revision-selected", "activated", "deactivated", "left-beside"]);
    // Nothing but what was replaced was ended, and the old log last of all.
    world.registry.close().await.unwrap();
    let ended = |step: &&String| step.starts_with("drain") || step.starts_with("stop");
    let steps = world.steps.lock().unwrap().clone();
    let first: Vec<_> = steps.iter().filter(ended).take(3).cloned().collect();
    assert_eq!(first, ["drain demo:shop", "drain demo:bill", "drain demo:log@1.0.0"], "{steps:?}");
}

#[tokio::test]
async fn an_activation_brings_the_newest_revision_that_fits_and_takes_it_along_when_it_ends() {
    let world = World::new().await;
    for version in ["1.0.0", "1.1.0", "2.0.0"] {
        world.have(&format!("name demo:log\nversion {version}\nexport demo:log/sink@{version}")).await;
    }
    world.have(&user("shop", "1.0.0", 1, "")).await;
    let foreseen = world.registry.plan_change(Change::Activate(vec![id("demo:shop").into()])).await.unwrap();
    let newest = id("demo:log").beside(&"1.1.0".parse().unwrap());
    assert_eq!(foreseen.waves, [vec![newest.clone()], vec![id("demo:shop")]]);
    let report = world.activate("demo:shop").await;
    assert_eq!(report.order, [newest.clone(), id("demo:shop")]);
    // The one in service is not needed, and not active.
    assert_eq!(world.status("demo:log").await, Status::Registered);
    assert_eq!(call(&world, &newest).await.unwrap(), "f() by revision 2");
    world.registry.deactivate(&[id("demo:shop")], false).await;
    assert_eq!(beside(&world).await, [(newest.to_string(), Status::Inactive, vec![id("demo:shop")])]);
    let error = call(&world, &newest).await.unwrap_err();
    assert_eq!(error.code(), "component-not-active");
    world.registry.unregister(&[id("demo:shop")], false).await;
    assert_eq!(beside(&world).await, []);
}

#[tokio::test]
async fn all_revisions_of_a_component_stop_together_or_not_at_all() {
    let world = running().await;
    world.registry.use_revision(&id("demo:log"), 2).await.unwrap();
    for cascade in [false, true] {
        let outcomes = world.registry.deactivate(&[id("demo:log")], cascade).await;
        if cascade {
            assert!(outcomes.failed.is_empty(), "{:?}", outcomes.failed);
        } else {
            let text = outcomes.failed[0].1.to_string();
            assert!(text.contains("demo:bill") && text.contains("demo:shop"), "{text}");
            assert_eq!(world.status("demo:log").await, Status::Active);
        }
    }
    let statuses: Vec<_> = beside(&world).await.into_iter().map(|(_, status, _)| status).collect();
    assert_eq!((world.status("demo:log").await, statuses), (Status::Inactive, vec![Status::Inactive]));
    let outcomes = world.registry.unregister(&[id("demo:log")], false).await;
    assert_eq!(outcomes.failed[0].1.code(), "dependency", "others need a revision of it");
}

#[tokio::test]
async fn the_revision_beside_comes_back_into_service_and_takes_its_dependents_along() {
    let world = running().await;
    world.registry.use_revision(&id("demo:log"), 2).await.unwrap();
    world.registry.rollback(&id("demo:log"), None).await.unwrap();
    assert_eq!(beside(&world).await, []);
    for name in ["demo:shop", "demo:bill"] {
        assert_eq!(world.registry.get(&id(name)).await.unwrap().entry.dependency_ids(), [id("demo:log")]);
    }
    let led: Vec<_> = world.steps.lock().unwrap().iter().filter(|step| step.starts_with("lead")).cloned().collect();
    assert_eq!(led.len(), 4, "there and back, without a restart: {led:?}");
}

#[tokio::test]
async fn a_swap_that_fails_leaves_nothing_beside() {
    let world = World::new().await;
    world.have(&log(1, "")).await;
    world.have(&log(2, "")).await;
    world.have(&user("shop", "2.0.0", 2, "")).await;
    world.activate("demo:shop").await;
    world.have(&user("shop", "1.0.0", 1, "fail-start")).await;
    let error = world.registry.use_revision(&id("demo:shop"), 2).await.unwrap_err();
    assert_eq!(error.code(), "component-activation");
    assert_eq!(beside(&world).await, []);
    // One that does not fail brings it along.
    world.have(&user("shop", "1.1.0", 1, "")).await;
    world.registry.use_revision(&id("demo:shop"), 3).await.unwrap();
    assert_eq!(beside(&world).await, [(one().to_string(), Status::Active, vec![id("demo:shop")])]);
}

#[tokio::test]
async fn each_revision_has_a_quarantine_and_a_history_of_its_own() {
    let world = World::with_settings("breaker = { failures = 2 }").await;
    world.have(&log(1, "fail-call")).await;
    world.have(&user("shop", "1.0.0", 1, "")).await;
    world.activate("demo:shop").await;
    world.have(&log(2, "")).await;
    world.registry.use_revision(&id("demo:log"), 2).await.unwrap();
    for _ in 0..2 {
        assert_eq!(call(&world, &one()).await.unwrap_err().code(), "component-failed");
    }
    assert_eq!(call(&world, &one()).await.unwrap_err().code(), "component-quarantined");
    assert_eq!(call(&world, &id("demo:log")).await.unwrap(), "f() by revision 2");
    assert_eq!(beside(&world).await[0].1, Status::Error);
    assert_eq!(world.status("demo:log").await, Status::Active);
    let errors = world.registry.errors(Some(&id("demo:log")), 10).await.unwrap();
    assert!(errors.iter().all(|logged| logged.failure.revision == 1 && logged.failure.component == one()));
    assert_eq!(errors.iter().map(|logged| logged.count).sum::<u64>(), 2);
}

#[tokio::test]
async fn what_is_granted_to_a_component_holds_for_all_of_its_revisions() {
    let world = running().await;
    world.registry.use_revision(&id("demo:log"), 2).await.unwrap();
    let grants: Vec<Grant> = vec!["env LANG".parse().unwrap()];
    world.registry.grant(&id("demo:log"), grants.clone()).await.unwrap();
    let granted = |entry: &domain::Entry| entry.grants.iter().map(|one| one.grant.clone()).collect::<Vec<_>>();
    for id in [id("demo:log"), one()] {
        assert_eq!(granted(&world.registry.get(&id).await.unwrap().entry), grants, "{id}");
    }
    world.registry.revoke(&id("demo:log"), domain::grant::Revocation::All).await.unwrap();
    assert_eq!(granted(&world.registry.get(&one()).await.unwrap().entry), []);
}

#[tokio::test]
async fn another_process_finds_the_same_revisions_active() {
    let clock = Arc::new(Ticking::default());
    let state = Arc::new(MemoryStore::new(clock.clone()));
    let world = World::on(state.clone(), clock.clone(), "").await;
    world.have(&log(1, "")).await;
    world.have(&user("shop", "1.0.0", 1, "")).await;
    world.activate("demo:shop").await;
    world.have(&log(2, "")).await;
    world.registry.use_revision(&id("demo:log"), 2).await.unwrap();
    world.registry.close().await.unwrap();
    let entries = world.registry.resume().await.unwrap();
    let active: Vec<_> = entries.activated.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(active, ["demo:log", "demo:log@1.0.0", "demo:shop"]);
}

#[tokio::test]
async fn a_range_decides_for_what_is_imported_too() {
    let world = World::new().await;
    // Both export what is imported; the range admits one.
    for version in ["1.0.0", "2.0.0"] {
        world.have(&format!("name demo:log\nversion {version}\nexport demo:log/sink@1.0.0")).await;
    }
    let mut manifest = ComponentManifest::default();
    manifest.dependencies.insert(id("demo:log"), "^1".parse().unwrap());
    let mut shop = component(&user("shop", "1.0.0", 1, ""));
    shop.manifest = Some(ManifestSource::Given(Box::new(manifest)));
    world.registry.register(shop).await.unwrap();
    assert_eq!(world.registry.get(&id("demo:shop")).await.unwrap().entry.dependency_ids(), [one()]);
    // One without a range has what is in service.
    world.have(&user("bill", "1.0.0", 1, "")).await;
    assert_eq!(world.registry.get(&id("demo:bill")).await.unwrap().entry.dependency_ids(), [id("demo:log")]);
}
