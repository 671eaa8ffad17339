//! Granting, revoking, and what a registration grants.

use domain::grant::Revocation;
use domain::{ErrorKind, Grant};
use registry::{GrantRefusal, ManifestSource, RegisterRequest, RegistryError};

use crate::fakes::{World, component, id};

const A: &str = "name demo:a\nversion 1.0.0\nimport wasi:cli/environment@0.2.0";

fn grant(text: &str) -> Grant {
    text.parse().unwrap()
}

async fn granted(world: &World, component: &str) -> Vec<String> {
    let view = world.registry.grants(&id(component)).await.unwrap();
    view.granted.iter().map(|granted| granted.grant.full()).collect()
}

/// Asks for variables by a manifest.
fn asking(version: &str, env: &[&str]) -> RegisterRequest {
    let manifest = format!("[grants]\nenv = {env:?}\n");
    let manifest = domain::ComponentManifest::parse(&manifest).unwrap();
    let lines = format!("name demo:a\nversion {version}\nimport wasi:cli/environment@0.2.0");
    RegisterRequest { manifest: Some(ManifestSource::Given(Box::new(manifest))), ..component(&lines) }
}

#[tokio::test]
async fn a_live_instance_ends_when_its_grants_change_and_the_next_call_has_a_new_one() {
    let world = World::new().await;
    world.have(A).await;
    world.activate("demo:a").await;
    let a = id("demo:a");
    let change = world.registry.grant(&a, vec![grant("env X=1"), grant("env X=2")]).await.unwrap();
    assert_eq!(change.changed, [grant("env X=2")], "the last of one place holds");
    let renewed = ["start demo:a", "settle demo:a", "drain demo:a"];
    assert_eq!(world.steps.lock().unwrap()[1..], renewed);
    // Nothing changes, so nothing ends.
    world.registry.call(&a, Default::default()).await.unwrap();
    assert_eq!(world.registry.grant(&a, vec![grant("env X=2")]).await.unwrap().unchanged.len(), 1);
    assert_eq!(world.steps.lock().unwrap().len(), 4);
    world.registry.revoke(&a, Revocation::All).await.unwrap();
    assert_eq!(world.steps.lock().unwrap()[4..], renewed);
    world.registry.call(&a, Default::default()).await.unwrap();
    assert_eq!(granted(&world, "demo:a").await, [""; 0]);
    assert_eq!(world.events().await, ["registered", "activated", "granted", "revoked"]);
}

#[tokio::test]
async fn what_is_refused_is_told_and_changes_nothing() {
    let world = World::new().await;
    world.have(A).await;
    let a = id("demo:a");
    let nobody = world.registry.grant(&id("demo:b"), vec![grant("env X")]).await.unwrap_err();
    assert_eq!(nobody.kind(), ErrorKind::NotFound);
    let both = vec![grant("env X"), grant("folder /surely/not/there --at /x")];
    let missing = world.registry.grant(&a, both).await.unwrap_err();
    assert_eq!((missing.kind(), missing.code()), (ErrorKind::NotFound, "invalid-folder"));
    let nothing = world.registry.revoke(&a, Revocation::parse("env", Some("X")).unwrap()).await.unwrap_err();
    assert_eq!(nothing.to_string(), "`demo:a`: it has no such grant: env X");
    let many = (0..=domain::grant::GRANTS_MAX).map(|n| grant(&format!("env X{n}"))).collect();
    let many = world.registry.grant(&a, many).await.unwrap_err();
    assert!(matches!(many, RegistryError::Grant { source: GrantRefusal::TooMany, .. }), "{many}");
    assert_eq!(granted(&world, "demo:a").await, [""; 0]);
    assert!(!world.events().await.contains(&"granted"));
}

#[tokio::test]
async fn an_activation_that_was_prepared_with_other_grants_is_not_the_one_that_counts() {
    let world = World::new().await;
    world.have(A).await;
    let a = id("demo:a");
    // Between preparing and deciding, as a second operator might.
    let registry = world.registry.clone();
    let other = a.clone();
    world.registry.before_activation(move |_| {
        let (registry, other) = (registry.clone(), other.clone());
        Box::pin(async move {
            registry.grant(&other, vec![grant("env X=1")]).await.map_err(|error| error.to_string())?;
            Ok(())
        })
    });
    let report = world.activate("demo:a").await;
    let (_, error) = report.failed.first().expect("it was prepared without the grant");
    assert_eq!(error.code(), "changed");
    assert!(world.activate("demo:a").await.failed.is_empty(), "the grant is there already now");
}

#[tokio::test]
async fn what_a_revision_asks_for_is_compared_with_the_one_before_and_with_what_is_granted() {
    let world = World::new().await;
    let first = world.registry.register(asking("1.0.0", &["X"])).await.unwrap();
    assert_eq!((first.asks_anew.len(), &first.missing), (0, &vec![grant("env X")]));
    assert!(first.warnings.iter().any(|warning| warning.contains("asks for `env X`, which is not granted")));
    let a = id("demo:a");
    world.registry.grant(&a, vec![grant("env X=1")]).await.unwrap();
    let report = world.activate("demo:a").await;
    assert!(report.ungranted.is_empty());
    let second = world.registry.register(asking("1.1.0", &["X", "Y"])).await.unwrap();
    assert_eq!((&second.asks_anew, &second.missing), (&vec![grant("env Y")], &vec![grant("env Y")]));
    let view = world.registry.grants(&a).await.unwrap();
    assert_eq!((view.missing.len(), view.waiting.unwrap().1), (0, vec![grant("env Y")]));
    assert_eq!(world.registry.requested_grants(&a).await.unwrap(), [grant("env X"), grant("env Y")]);
    let report = world.activate("demo:a@1.1.0").await;
    assert_eq!(report.ungranted, [(a, vec![grant("env Y")])]);
}

#[tokio::test]
async fn grants_are_there_after_a_restart_and_gone_after_unregister() {
    let folder = tempfile::tempdir().unwrap();
    let open = || storage::Storage::open(folder.path(), &Default::default(), std::sync::Arc::new(NoTime)).unwrap();
    let a = id("demo:a");
    {
        let storage = open();
        let world = World::in_folder(&storage).await;
        world.have(A).await;
        world.registry.grant(&a, vec![grant("env X=1"), grant("clocks")]).await.unwrap();
        let own = grant(&format!("folder {} --at /own", folder.path().display()));
        let refused = world.registry.grant(&a, vec![own]).await.unwrap_err();
        assert_eq!((refused.kind(), refused.code()), (ErrorKind::Denied, "own-data"));
        world.registry.close().await.unwrap();
        storage.close().unwrap();
    }
    let storage = open();
    let world = World::in_folder(&storage).await;
    assert_eq!(granted(&world, "demo:a").await, ["env X=1", "clocks precise"]);
    world.registry.unregister(std::slice::from_ref(&a), false).await;
    world.have(A).await;
    assert_eq!(granted(&world, "demo:a").await, [""; 0]);
    storage.close().unwrap();
}

struct NoTime;

impl domain::ports::Clock for NoTime {
    fn now(&self) -> domain::Timestamp {
        domain::Timestamp::default()
    }
}
