use domain::{ComponentManifest, ErrorKind};
use registry::{ManifestSource, Target};

use crate::fakes::{World, component, id};

const P1: &str = "name demo:p1\nversion 1.0.0\nexport demo:log/sink@0.1.2";
const P2: &str = "name demo:p2\nversion 1.0.0\nexport demo:log/sink@0.1.5";
const USER: &str = "name demo:user\nversion 1.0.0\nimport demo:log/sink@0.1.1";

async fn providers(world: &World) -> Vec<String> {
    let entry = world.registry.get(&id("demo:user")).await.unwrap().entry;
    entry.dependencies.iter().map(|edge| format!("{} {}", edge.on, edge.label())).collect()
}

#[tokio::test]
async fn an_import_is_linked_to_the_only_compatible_provider_whichever_comes_first() {
    for order in [[P1, USER], [USER, P1]] {
        let world = World::new().await;
        for lines in order {
            world.have(lines).await;
        }
        assert_eq!(providers(&world).await, ["demo:p1 demo:log/sink@0.1.1"]);
    }
}

#[tokio::test]
async fn a_later_second_provider_takes_nothing_over() {
    let world = World::new().await;
    world.have(P1).await;
    world.have(USER).await;
    world.have(P2).await;
    assert_eq!(providers(&world).await, ["demo:p1 demo:log/sink@0.1.1"]);
    let report = world.activate("demo:user").await;
    assert_eq!(report.order, [id("demo:p1"), id("demo:user")]);
}

#[tokio::test]
async fn two_providers_are_ambiguous_even_when_all_come_in_one_batch() {
    for order in [[P1, USER, P2], [USER, P2, P1], [P2, P1, USER]] {
        let world = World::new().await;
        let results = world.registry.register_many(order.map(component).to_vec()).await;
        assert!(results.iter().all(Result::is_ok));
        assert!(providers(&world).await.is_empty());
        let report = world.activate("demo:user").await;
        let error = &report.failed[0].1;
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.to_string().contains("demo:p1") && error.to_string().contains("demo:p2"), "{error}");
    }
}

#[tokio::test]
async fn a_batch_settles_on_the_provider_that_could_be_registered() {
    let world = World::new().await;
    // P2 is refused: its version is taken by other bytes.
    world.have("name demo:p2\nversion 1.0.0").await;
    let results = world.registry.register_many([P2, USER, P1].map(component).to_vec()).await;
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, true, true]);
    assert_eq!(providers(&world).await, ["demo:p1 demo:log/sink@0.1.1"]);
}

#[tokio::test]
async fn a_binding_chooses_and_a_wrong_binding_is_said() {
    let world = World::new().await;
    world.have(P1).await;
    world.have(P2).await;
    let mut bound = component(USER);
    let manifest = domain::ComponentManifest::parse("[bind]\n\"demo:log/sink\" = \"demo:p2\"").unwrap();
    bound.manifest = Some(registry::ManifestSource::Given(Box::new(manifest)));
    world.registry.register(bound).await.unwrap();
    assert_eq!(providers(&world).await, ["demo:p2 demo:log/sink@0.1.1"]);
}

#[tokio::test]
async fn an_older_or_incompatible_provider_does_not_count() {
    let world = World::new().await;
    world.have("name demo:old\nversion 1.0.0\nexport demo:log/sink@0.1.0").await;
    world.have("name demo:next\nversion 1.0.0\nexport demo:log/sink@0.2.0").await;
    world.have(USER).await;
    let report = world.activate("demo:user").await;
    assert_eq!(report.failed[0].1.kind(), ErrorKind::NotFound);
    // A refused plan is not a failure of the component.
    assert_eq!(world.status("demo:user").await, domain::Status::Registered);
}

#[tokio::test]
async fn cycles_by_imports_by_declaration_and_by_both_are_refused_with_the_cycle() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0\nimport demo:b/x\nexport demo:a/x").await;
    let error = world.register("name demo:b\nversion 1.0.0\nimport demo:a/x\nexport demo:b/x").await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Conflict, "circular-dependency"));
    assert!(
        error.to_string().contains("demo:a → demo:b → demo:a")
            || error.to_string().contains("demo:b → demo:a → demo:b"),
        "{error}"
    );
    assert!(!world.registry.contains(&id("demo:b")).await.unwrap());

    world.have("name demo:b\nversion 1.0.0\nexport demo:b/x").await;
    world.have("name demo:c\nversion 1.0.0").await;
    let registry = &world.registry;
    assert!(registry.add_dependency(&id("demo:b"), &id("demo:c"), None).await.unwrap());
    for (dependent, on) in [("demo:c", "demo:b"), ("demo:c", "demo:a"), ("demo:b", "demo:a"), ("demo:c", "demo:c")] {
        let refused = registry.add_dependency(&id(dependent), &id(on), None).await;
        assert_eq!(refused.unwrap_err().code(), "circular-dependency", "{dependent} on {on}");
        assert!(registry.would_cycle(&id(dependent), &id(on)).await.unwrap().is_some());
    }
    assert!(registry.would_cycle(&id("demo:a"), &id("demo:c")).await.unwrap().is_none());
    assert!(registry.cycles().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_component_that_declares_itself_is_a_cycle_at_once() {
    let world = World::new().await;
    let mut request = component("name demo:a\nversion 1.0.0");
    let manifest = domain::ComponentManifest::parse("[dependencies]\n\"demo:a\" = \"*\"").unwrap();
    request.manifest = Some(registry::ManifestSource::Given(Box::new(manifest)));
    assert_eq!(world.registry.register(request).await.unwrap_err().code(), "circular-dependency");
}

#[tokio::test]
async fn a_batch_is_linked_whichever_way_round_it_comes_and_answered_in_its_order() {
    let world = World::new().await;
    // A chain of 200, given from its top to its bottom: each imports the next.
    let chain =
        |n: u32| component(&format!("name demo:c{n}\nversion 1.0.0\nexport demo:c{n}/x\nimport demo:c{}/x", n + 1));
    let results = world.registry.register_many((0..200).map(chain).collect()).await;
    let ids: Vec<_> = results.iter().map(|result| result.as_ref().unwrap().entry.entry.id.to_string()).collect();
    assert_eq!(ids, (0..200).map(|n| format!("demo:c{n}")).collect::<Vec<_>>());
    assert_eq!(world.registry.order(&[id("demo:c0")]).await.unwrap().len(), 200);
    // Every component found its provider there; nothing had to be resolved a second time.
    assert!(!world.events().await.contains(&"edges-resolved"));
}

#[tokio::test]
async fn a_binding_of_what_is_not_imported_is_said() {
    let world = World::new().await;
    let mut request = component(USER);
    let manifest = domain::ComponentManifest::parse("[bind]\n\"demo:log/sinc\" = \"demo:p1\"").unwrap();
    request.manifest = Some(registry::ManifestSource::Given(Box::new(manifest)));
    let warnings = world.registry.register(request).await.unwrap().warnings;
    assert!(warnings[0].contains("demo:log/sinc") && warnings[0].contains("demo:log/sink"), "{warnings:?}");
}

#[tokio::test]
async fn declared_edges_come_and_go_and_keep_their_range() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.have("name demo:b\nversion 1.4.0").await;
    let registry = &world.registry;
    let range = |text: &str| Some(text.parse().unwrap());
    let refused = registry.add_dependency(&id("demo:a"), &id("demo:b"), range("^2")).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Invalid);
    assert!(registry.add_dependency(&id("demo:a"), &id("demo:b"), range("^1.2")).await.unwrap());
    assert!(!registry.add_dependency(&id("demo:a"), &id("demo:b"), range("^1.2")).await.unwrap());
    assert_eq!(registry.order(&[]).await.unwrap(), [vec![id("demo:b")], vec![id("demo:a")]]);
    assert!(registry.remove_dependency(&id("demo:a"), &id("demo:b")).await.unwrap());
    assert!(!registry.remove_dependency(&id("demo:a"), &id("demo:b")).await.unwrap());
    let missing = registry.add_dependency(&id("demo:a"), &id("demo:zzz"), None).await.unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn an_edge_from_an_import_cannot_be_taken_back() {
    let world = World::new().await;
    world.have(P1).await;
    world.have(USER).await;
    let error = world.registry.remove_dependency(&id("demo:user"), &id("demo:p1")).await.unwrap_err();
    assert_eq!(error.code(), "edge-not-declared");
}

#[tokio::test]
async fn direct_and_transitive_edges_are_told_apart() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0\nexport demo:a/x").await;
    world.have("name demo:b\nversion 1.0.0\nimport demo:a/x\nexport demo:b/x").await;
    world.have("name demo:c\nversion 1.0.0\nimport demo:b/x").await;
    let registry = &world.registry;
    assert_eq!(registry.dependencies(&id("demo:c"), false).await.unwrap().len(), 1);
    assert_eq!(registry.dependencies(&id("demo:c"), true).await.unwrap().len(), 2);
    let up = registry.dependents(&id("demo:a"), true).await.unwrap();
    assert_eq!(up.iter().map(|edge| edge.to.as_str()).collect::<Vec<_>>(), ["demo:b", "demo:c"]);
}

#[tokio::test]
async fn a_version_that_turns_a_dependency_round_closes_no_cycle() {
    let world = World::new().await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:p/old@1.0.0\nexport demo:user/x@1.0.0").await;
    world.have("name demo:p\nversion 1.0.0\nexport demo:p/old@1.0.0").await;
    // It needs whoever needed it, and gives them nothing any more.
    let turned = world.have("name demo:p\nversion 2.0.0\nimport demo:user/x@1.0.0").await;
    assert_eq!(turned.entry.entry.dependency_ids(), [id("demo:user")]);
    let user = world.registry.get(&id("demo:user")).await.unwrap().entry;
    // They go on with the one before.
    assert_eq!(user.dependency_ids(), [id("demo:p").beside(&"1.0.0".parse().unwrap())]);
    // A cycle that stays is refused as before.
    let error = world.register("name demo:p\nversion 3.0.0\nimport demo:user/x@1.0.0\nexport demo:p/old@1.0.0").await;
    assert_eq!(error.unwrap_err().code(), "circular-dependency");
}

#[tokio::test]
async fn a_version_may_need_somebody_who_needs_the_one_before() {
    let world = World::new().await;
    world.have("name demo:p\nversion 2.0.0\nimport demo:user/x@1.0.0").await;
    world.have("name demo:p\nversion 1.0.0").await;
    let p = id("demo:p");
    let mut manifest = ComponentManifest::default();
    manifest.dependencies.insert(p.clone(), "^1".parse().unwrap());
    let mut user = component("name demo:user\nversion 1.0.0\nexport demo:user/x@1.0.0");
    user.manifest = Some(ManifestSource::Given(Box::new(manifest)));
    world.registry.register(user).await.unwrap();
    let target = Target { id: p.clone(), version: Some("2.0.0".parse().unwrap()) };
    let report = world.registry.activate(&[target]).await;
    assert!(report.failed.is_empty(), "{:?}", report.failed);
    // A node is a revision: there is no circle.
    assert_eq!(report.order, [p.beside(&"1.0.0".parse().unwrap()), id("demo:user"), p.clone()]);
    assert_eq!(world.registry.get(&p).await.unwrap().entry.revision.version.to_string(), "2.0.0");
}

#[tokio::test]
async fn a_range_that_only_another_revision_is_in_leads_there_as_long_as_it_is_declared() {
    for another in [None, Some("^2")] {
        let world = World::new().await;
        world.have("name demo:user\nversion 1.0.0").await;
        world.have("name demo:p\nversion 1.0.0").await;
        let (user, p) = (id("demo:user"), id("demo:p"));
        world.registry.add_dependency(&user, &p, Some("^1".parse().unwrap())).await.unwrap();
        world.have("name demo:p\nversion 2.0.0").await;
        let entry = async || world.registry.get(&user).await.unwrap().entry;
        assert_eq!(entry().await.dependency_ids(), [p.beside(&"1.0.0".parse().unwrap())]);
        assert_eq!(world.registry.get(&p).await.unwrap().beside[0].needed_by, std::slice::from_ref(&user));
        match another {
            Some(range) => world.registry.add_dependency(&user, &p, Some(range.parse().unwrap())).await.unwrap(),
            None => world.registry.remove_dependency(&user, &p).await.unwrap(),
        };
        assert_eq!(entry().await.unresolved, []);
        assert_eq!(world.registry.get(&p).await.unwrap().beside.len(), 0);
        assert!(world.activate("demo:user").await.failed.is_empty());
    }
}

#[tokio::test]
async fn a_range_that_no_revision_is_in_is_forgotten_with_its_declaration() {
    for another in [None, Some("^2")] {
        let world = World::new().await;
        world.have("name demo:user\nversion 1.0.0").await;
        world.have("name demo:p\nversion 1.0.0").await;
        let (user, p) = (id("demo:user"), id("demo:p"));
        world.registry.add_dependency(&user, &p, Some("^1".parse().unwrap())).await.unwrap();
        world.registry.unregister(std::slice::from_ref(&user), false).await;
        world.registry.unregister(std::slice::from_ref(&p), false).await;
        world.have("name demo:p\nversion 2.0.0").await;
        let mut manifest = ComponentManifest::default();
        manifest.dependencies.insert(p.clone(), "^1".parse().unwrap());
        let mut lines = component("name demo:user\nversion 1.0.0");
        lines.manifest = Some(ManifestSource::Given(Box::new(manifest)));
        world.registry.register(lines).await.unwrap();
        assert_eq!(world.registry.get(&user).await.unwrap().entry.unresolved.len(), 1);
        let wanted = another.map(|range| range.parse().unwrap());
        assert!(world.registry.add_dependency(&user, &p, wanted).await.unwrap());
        assert_eq!(world.activate("demo:user").await.failed[0].1.code(), "dependency");
    }
}

#[tokio::test]
async fn a_waiting_version_that_would_close_a_cycle_keeps_nobody_from_stopping() {
    let world = World::new().await;
    world.have("name demo:p\nversion 1.0.0\nexport demo:p/x@1.0.0").await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:p/x@1.0.0\nexport demo:user/x@1.0.0").await;
    world.activate("demo:p").await;
    world.have("name demo:p\nversion 2.0.0\nimport demo:user/x@1.0.0\nexport demo:p/x@1.0.0").await;
    let outcomes = world.registry.deactivate(&[id("demo:p")], false).await;
    assert_eq!((outcomes.done, outcomes.failed.len()), (vec![id("demo:p")], 0));
    let entry = world.registry.get(&id("demo:p")).await.unwrap().entry;
    assert_eq!((entry.status, entry.revision.number, entry.newest), (domain::Status::Inactive, 1, 2));
}
