use domain::{ErrorKind, Status};
use registry::RegisterOutcome;

use crate::fakes::{World, component, id};

#[tokio::test]
async fn a_new_component_is_registered_with_what_its_binary_says() {
    let world = World::new().await;
    let registered = world.have("name demo:a\nversion 1.2.3\nexport demo:a/x@1.0.0").await;
    assert_eq!(registered.outcome, RegisterOutcome::New);
    let entry = &registered.entry.entry;
    assert_eq!((entry.id.as_str(), entry.status, entry.revision.number), ("demo:a", Status::Registered, 1));
    assert_eq!(entry.revision.version.to_string(), "1.2.3");
    assert!(registered.warnings.is_empty());
}

#[tokio::test]
async fn a_component_without_name_and_version_gets_the_file_stem_and_a_warning() {
    let world = World::new().await;
    let registered = world.have("export demo:a/x").await;
    assert_eq!(registered.entry.entry.id.as_str(), "local:test");
    assert_eq!(registered.version.to_string(), "0.0.0");
    assert_eq!(registered.warnings.len(), 1);
}

#[tokio::test]
async fn the_same_again_changes_nothing() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    let before = world.events().await;
    let again = world.have("name demo:a\nversion 1.0.0").await;
    assert_eq!(again.outcome, RegisterOutcome::Unchanged);
    assert_eq!(world.events().await, before);
}

#[tokio::test]
async fn a_version_taken_by_other_bytes_is_a_conflict_unless_overridden() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    let error = world.register("name demo:a\nversion 1.0.0\n# other").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "version-conflict"));

    let mut request = component("name demo:a\nversion 1.0.0\n# other");
    request.override_version = true;
    let replaced = world.registry.register(request).await.unwrap();
    assert_eq!((replaced.outcome, replaced.revision), (RegisterOutcome::NewRevision, 2));
    // The version's name now belongs to the newest revision.
    let again = world.have("name demo:a\nversion 1.0.0\n# other").await;
    assert_eq!((again.outcome, again.revision), (RegisterOutcome::Unchanged, 2));
}

#[tokio::test]
async fn allow_override_in_the_settings_is_as_if_it_were_always_given() {
    let world = World::with_settings("allow_override = true").await;
    world.have("name demo:a\nversion 1.0.0").await;
    assert_eq!(world.have("name demo:a\nversion 1.0.0\n# other").await.revision, 2);
}

#[tokio::test]
async fn a_new_version_waits_while_the_old_one_is_active() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    let waiting = world.have("name demo:a\nversion 2.0.0").await;
    assert_eq!(waiting.outcome, RegisterOutcome::Waiting);
    assert_eq!(waiting.entry.entry.revision.version.to_string(), "1.0.0");
    assert!(waiting.entry.entry.has_waiting_revision());

    let report = world.activate("demo:a@2.0.0").await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    let entry = world.registry.get(&id("demo:a")).await.unwrap().entry;
    assert_eq!((entry.status, entry.revision.version.to_string().as_str()), (Status::Active, "2.0.0"));
    assert_eq!(*world.steps.lock().unwrap(), ["start demo:a", "start demo:a", "settle demo:a", "drain demo:a"]);
}

#[tokio::test]
async fn deactivating_selects_the_revision_that_waited() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    world.have("name demo:a\nversion 2.0.0").await;
    world.registry.deactivate(&[id("demo:a")], false).await;
    let entry = world.registry.get(&id("demo:a")).await.unwrap().entry;
    assert_eq!((entry.status, entry.revision.number), (Status::Inactive, 2));
}

#[tokio::test]
async fn a_bad_revision_leaves_the_active_one_in_service() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.activate("demo:a").await;
    world.have("name demo:a\nversion 2.0.0\nfail-start").await;
    let report = world.activate("demo:a@2.0.0").await;
    assert_eq!(report.failed.len(), 1);
    let entry = world.registry.get(&id("demo:a")).await.unwrap().entry;
    assert_eq!((entry.status, entry.revision.number), (Status::Active, 1));
    assert_eq!(world.registry.errors(Some(&id("demo:a")), 10).await.unwrap().len(), 1);
}

#[tokio::test]
async fn many_are_registered_in_order_and_one_bad_one_does_not_keep_the_others() {
    let world = World::new().await;
    let requests = vec![
        component("name demo:a\nversion 1.0.0"),
        registry::RegisterRequest::bytes("bad", b"rubbish".to_vec()),
        component("name demo:b\nversion 1.0.0"),
    ];
    let results = world.registry.register_many(requests).await;
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    assert!(world.events().await.contains(&"refused"));
}

#[tokio::test]
async fn a_kind_can_require_exports() {
    let world = World::with_settings("[kinds.skill]\nworld = [\"demo:skill/run\"]").await;
    let mut request = component("name demo:a\nversion 1.0.0");
    request.kind = Some("skill".parse().unwrap());
    let error = world.registry.register(request).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "missing-exports"));
    let mut request = component("name demo:a\nversion 1.0.0\nexport demo:skill/run@1.0.0");
    request.kind = Some("skill".parse().unwrap());
    world.registry.register(request).await.unwrap();
}

#[tokio::test]
async fn what_is_unregistered_is_gone_and_frees_who_could_not_choose() {
    let world = World::new().await;
    world.have("name demo:p1\nversion 1.0.0\nexport demo:log/sink@0.1.0").await;
    world.have("name demo:p2\nversion 1.0.0\nexport demo:log/sink@0.1.0").await;
    let user = world.have("name demo:user\nversion 1.0.0\nimport demo:log/sink@0.1.0").await;
    assert_eq!(user.entry.entry.unresolved.len(), 1);
    let outcomes = world.registry.unregister(&[id("demo:p1")], false).await;
    assert_eq!(outcomes.done, [id("demo:p1")]);
    assert!(!world.registry.contains(&id("demo:p1")).await.unwrap());
    let user = world.registry.get(&id("demo:user")).await.unwrap().entry;
    assert_eq!(user.dependency_ids(), [id("demo:p2")]);
    assert!(user.unresolved.is_empty());
}

#[tokio::test]
async fn unregistering_is_refused_while_others_depend_unless_it_cascades() {
    let world = World::new().await;
    world.have("name demo:p\nversion 1.0.0\nexport demo:log/sink@0.1.0").await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:log/sink@0.1.0").await;
    let refused = world.registry.unregister(&[id("demo:p")], false).await;
    assert_eq!(refused.failed[0].1.kind(), ErrorKind::Conflict);
    assert!(refused.failed[0].1.to_string().contains("demo:user"));
    let outcomes = world.registry.unregister(&[id("demo:p")], true).await;
    assert_eq!(outcomes.done, [id("demo:user"), id("demo:p")]);
}
