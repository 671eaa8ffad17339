use domain::{ErrorKind, Status};

use crate::fakes::{World, id};

#[tokio::test]
async fn setting_a_status_carries_out_what_leads_there() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    let registry = &world.registry;
    let a = id("demo:a");
    registry.set_status(&a, Status::Active, None).await.unwrap();
    assert_eq!(*world.steps.lock().unwrap(), ["start demo:a"]);
    registry.set_status(&a, Status::Inactive, None).await.unwrap();
    assert_eq!(*world.steps.lock().unwrap(), ["start demo:a", "stop demo:a"]);
    registry.set_status(&a, Status::Error, Some("smells".to_owned())).await.unwrap();
    assert_eq!(registry.get(&a).await.unwrap().entry.last_error.as_deref(), Some("smells"));
    let refused = registry.set_status(&a, Status::Inactive, None).await.unwrap_err();
    assert_eq!((refused.kind(), refused.code()), (ErrorKind::Conflict, "invalid-transition"));
    registry.set_status(&a, Status::Registered, None).await.unwrap();
    assert_eq!(world.status("demo:a").await, Status::Registered);
    assert!(registry.errors(Some(&a), 10).await.unwrap().is_empty());
    assert!(registry.set_status(&a, Status::Discovered, None).await.is_err());
}

#[tokio::test]
async fn many_statuses_are_set_in_an_order_that_works() {
    let world = World::new().await;
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x").await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:base/x").await;
    let registry = &world.registry;
    let both = |status| vec![(id("demo:user"), status), (id("demo:base"), status)];
    assert_eq!(registry.set_statuses(both(Status::Active)).await.done.len(), 2);
    let outcomes = registry.set_statuses(both(Status::Inactive)).await;
    assert!(outcomes.failed.is_empty(), "{:?}", outcomes.failed);
    assert_eq!(world.status("demo:base").await, Status::Inactive);
}

#[tokio::test]
async fn dependencies_are_validated_and_what_is_wrong_marks_the_component() {
    let world = World::new().await;
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x").await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:base/x\nimport demo:gone/x").await;
    let problems = world.registry.validate_dependencies(&id("demo:user")).await.unwrap();
    let faults: Vec<_> = problems.iter().map(|p| p.fault.as_str()).collect();
    assert_eq!(faults, ["missing", "not-active"]);
    assert_eq!(world.status("demo:user").await, Status::Error);
    assert!(world.registry.validate_dependencies(&id("demo:base")).await.unwrap().is_empty());
}

#[tokio::test]
async fn health_counts_by_status_and_a_failed_probe_is_unhealthy() {
    let world = World::new().await;
    assert_eq!(world.registry.health().await.unwrap().health_percentage, 100.0);
    world.have("name demo:a\nversion 1.0.0\nunhealthy").await;
    world.have("name demo:b\nversion 1.0.0\nfail-start").await;
    world.have("name demo:c\nversion 1.0.0").await;
    world.have("name demo:d\nversion 1.0.0").await;
    world.registry.activate_all().await.unwrap();
    let probe = world.registry.check_health(&id("demo:a")).await.unwrap();
    assert_eq!((probe.healthy, probe.message.as_deref()), (false, Some("low on air")));
    let health = world.registry.health().await.unwrap();
    assert_eq!((health.total, health.healthy_count, health.error_count), (4, 2, 1));
    assert_eq!(health.health_percentage, 50.0);
    assert_eq!(world.registry.healthy().await.unwrap().len(), 2);
}

#[tokio::test]
async fn custom_indexes_find_entries_by_metadata_and_by_function() {
    let world = World::new().await;
    let registry = &world.registry;
    let mut request = crate::fakes::component("name demo:a\nversion 1.0.0");
    let manifest = domain::ComponentManifest::parse("[metadata]\nauthor = \"Acme\"").unwrap();
    request.manifest = Some(registry::ManifestSource::Given(Box::new(manifest)));
    registry.register(request).await.unwrap();
    registry.create_index("major", |entry| Some(entry.revision.version.major.to_string())).await.unwrap();
    world.have("name demo:b\nversion 2.0.0").await;
    assert!(registry.create_metadata_index("author").await.unwrap());
    assert!(!registry.create_metadata_index("author").await.unwrap());
    let found = |views: Vec<registry::EntryView>| views.into_iter().map(|v| v.entry.id.to_string()).collect::<Vec<_>>();
    assert_eq!(found(registry.by_index("author", "Acme").await.unwrap()), ["demo:a"]);
    assert_eq!(found(registry.by_index("major", "2").await.unwrap()), ["demo:b"]);
    assert_eq!(found(registry.by_index("version", "2.0.0").await.unwrap()), ["demo:b"]);
    assert_eq!(registry.index_keys("major").await.unwrap(), [("1".to_owned(), 1), ("2".to_owned(), 1)]);
    assert_eq!(registry.by_index("colour", "red").await.unwrap_err().kind(), ErrorKind::NotFound);
    assert!(registry.drop_index("author").await.unwrap());
    assert!(registry.by_index("author", "Acme").await.is_err());
}
