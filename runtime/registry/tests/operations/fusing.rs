//! Fusing: who may be, what is refused, and what a change of a part does to the unit that it is part of.

use domain::grant::Revocation;
use domain::{ComponentManifest, Entry, ErrorKind, Event, Status};
use registry::{FusedBy, GrantSharing, ManifestSource, RegisterRequest, RegistryError, Target};

use crate::dice::Dice;
use crate::fakes::{World, component, id};

/// Calls both others; the second calls the third.
const A: &str = "name demo:a\nversion 1.0.0\nimport demo:i/b@1.0.0\nimport demo:i/c@1.0.0";
const B: &str = "name demo:b\nversion 1.0.0\nimport demo:i/c@1.0.0\nexport demo:i/b@1.0.0";
const C: &str = "name demo:c\nversion 1.0.0\nexport demo:i/c@1.0.0";

async fn three() -> World {
    let world = World::new().await;
    for lines in [C, B, A] {
        world.have(lines).await;
    }
    world.activate("demo:a").await;
    world
}

fn with_manifest(lines: &str, manifest: &str) -> RegisterRequest {
    let manifest = ComponentManifest::parse(manifest).unwrap();
    RegisterRequest { manifest: Some(ManifestSource::Given(Box::new(manifest))), ..component(lines) }
}

impl World {
    async fn fuse(&self, root: &str, with: &[&str]) -> Result<bool, RegistryError> {
        let with: Vec<_> = with.iter().map(|part| id(part)).collect();
        self.registry.fuse(&id(root), &with, GrantSharing::Equal).await.map(|change| change.changed)
    }

    /// How many others the unit is made of that serves the next call, or why there is none.
    async fn made_of(&self, root: &str) -> Result<u64, String> {
        let called = self.registry.call(&id(root), Default::default()).await;
        called.map(|outcome| outcome.json.as_u64().unwrap()).map_err(|error| error.to_string())
    }

    async fn refusal(&self, root: &str, with: &[&str]) -> (ErrorKind, &'static str, String) {
        let error = self.fuse(root, with).await.unwrap_err();
        (error.kind(), error.code(), error.to_string())
    }

    async fn entry(&self, name: &str) -> Entry {
        Entry::clone(&self.registry.get(&id(name)).await.unwrap().entry)
    }
}

#[tokio::test]
async fn the_next_call_is_served_by_one_unit_until_it_is_taken_apart() {
    let world = three().await;
    let before = world.entry("demo:a").await;
    assert_eq!(world.made_of("demo:a").await, Ok(0));
    let plan = world.registry.plan_fuse(&id("demo:a"), &[id("demo:c"), id("demo:b")], GrantSharing::Equal).await;
    assert_eq!(plan.unwrap().with, [id("demo:b"), id("demo:c")]);
    assert_eq!(world.made_of("demo:a").await, Ok(0));
    assert!(world.fuse("demo:a", &["demo:c", "demo:b"]).await.unwrap());
    assert_eq!(world.made_of("demo:a").await, Ok(2));
    assert_eq!(world.made_of("demo:b").await, Ok(0));
    assert!(!world.fuse("demo:a", &["demo:b", "demo:c"]).await.unwrap());
    assert!(world.fuse("demo:a", &["demo:b"]).await.unwrap(), "what was said before is replaced");
    assert_eq!(world.made_of("demo:a").await, Ok(1));
    let view = world.registry.get(&id("demo:a")).await.unwrap().fused.unwrap();
    assert_eq!((view.with, view.by, view.problem), (vec![id("demo:b")], FusedBy::Operator, None));
    let edges = world.registry.dependencies(&id("demo:a"), false).await.unwrap();
    let fused: Vec<_> = edges.iter().map(|edge| (edge.from.as_str(), edge.fused)).collect();
    assert_eq!(fused, [("demo:b", true), ("demo:c", false)]);
    assert!(world.registry.unfuse(&id("demo:a")).await.unwrap().changed);
    assert!(!world.registry.unfuse(&id("demo:a")).await.unwrap().changed);
    assert_eq!(world.made_of("demo:a").await, Ok(0));
    let mut after = world.entry("demo:a").await;
    (after.changed_at, after.changed_seq) = (before.changed_at, before.changed_seq);
    assert_eq!(after, before);
    let events = world.events().await;
    assert_eq!(events[events.len() - 3..], ["fused", "fused", "unfused"]);
}

#[tokio::test]
async fn what_would_be_less_isolated_than_was_asked_for_is_refused() {
    let world = three().await;
    let refused = |text: &str| text.to_owned();
    let (kind, code, message) = world.refusal("demo:a", &["demo:a"]).await;
    assert_eq!(
        (kind, code, message),
        (ErrorKind::Invalid, "cannot-fuse", refused("`demo:a` cannot be fused with itself"))
    );
    assert_eq!(world.refusal("demo:a", &["demo:x"]).await.0, ErrorKind::NotFound);
    let (kind, code, message) = world.refusal("demo:c", &["demo:a"]).await;
    assert_eq!((kind, code), (ErrorKind::Conflict, "not-imported"));
    assert_eq!(message, "`demo:c` cannot be fused with `demo:a`: nothing in it would call `demo:a`");
    let grant = |text: &str| vec![text.parse().unwrap()];
    world.registry.grant(&id("demo:b"), grant("env X=1")).await.unwrap();
    let (kind, code, message) = world.refusal("demo:a", &["demo:b"]).await;
    assert_eq!((kind, code), (ErrorKind::Denied, "grants-differ"));
    assert_eq!(message, "`demo:a` cannot be fused with `demo:b`: their grants differ");
    let shared = world.registry.fuse(&id("demo:a"), &[id("demo:b")], GrantSharing::Shared).await.unwrap();
    assert!(shared.changed && world.registry.get(&id("demo:a")).await.unwrap().fused.unwrap().shares_grants);
    world.registry.unfuse(&id("demo:a")).await.unwrap();
    world.registry.grant(&id("demo:a"), grant("env X=1")).await.unwrap();
    assert!(world.fuse("demo:a", &["demo:b"]).await.unwrap());
}

#[tokio::test]
async fn parts_that_the_registry_or_a_manifest_treats_in_their_own_way_are_refused() {
    let cases = [
        (
            "export registry:component/health@0.1.0",
            "",
            "its `registry:component/health@0.1.0` would be called by nobody",
        ),
        ("import registry:host/environment@0.1.0", "", "that asks who calls it, and would be told of somebody else"),
        ("", "[config]\nprecision = \"2\"\n", "their configuration differs"),
        (
            "",
            "[instances]\nmode = \"per-call\"\n",
            "that has a new instance for each call, and would have none of its own",
        ),
        ("fail-compose", "", "demo:c does not fit"),
    ];
    for (line, manifest, reason) in cases {
        let world = World::new().await;
        world.registry.register(with_manifest(&format!("{C}\n{line}"), manifest)).await.unwrap();
        world.have(B).await;
        world.activate("demo:b").await;
        let (_, code, message) = world.refusal("demo:b", &["demo:c"]).await;
        assert!(message.ends_with(reason) && code == "cannot-fuse", "{message}");
        assert_eq!(world.made_of("demo:b").await, Ok(0));
        assert!(!world.events().await.contains(&"fused"));
    }
}

#[tokio::test]
async fn who_is_called_through_the_unit_has_to_let_its_component_call() {
    let world = World::new().await;
    let manifest = "[callers]\n\"demo:i/c\" = [\"demo:b\"]\n";
    world.registry.register(with_manifest(C, manifest)).await.unwrap();
    world.have(B).await;
    world.have("name demo:a\nversion 1.0.0\nimport demo:i/b@1.0.0").await;
    world.activate("demo:a").await;
    for with in [&["demo:b"][..], &["demo:b", "demo:c"]] {
        let (kind, _, message) = world.refusal("demo:a", with).await;
        assert_eq!(kind, ErrorKind::Denied);
        assert_eq!(
            message,
            "`demo:a` cannot be fused so: `demo:c` does not let `demo:a` call `demo:i/c@1.0.0`: its `[callers]` allows demo:b"
        );
    }
}

#[tokio::test]
async fn one_import_cannot_come_from_two() {
    let world = World::new().await;
    world.have(C).await;
    world.have(&C.replace("demo:c", "demo:d")).await;
    let bound = |to: &str| format!("[bind]\n\"demo:i/c\" = \"{to}\"\n");
    world.registry.register(with_manifest(B, &bound("demo:c"))).await.unwrap();
    world.registry.register(with_manifest(A, &bound("demo:d"))).await.unwrap();
    world.activate("demo:a").await;
    let (_, _, message) = world.refusal("demo:a", &["demo:b"]).await;
    assert_eq!(
        message,
        "`demo:a` cannot be fused so: `demo:i/c@1.0.0` would have to come from `demo:d` and from `demo:c`"
    );
    assert!(world.fuse("demo:a", &["demo:b", "demo:c"]).await.unwrap(), "what is inside is nobody's import any more");
    assert_eq!(world.made_of("demo:a").await, Ok(2));
}

#[tokio::test]
async fn a_part_that_changes_is_in_the_unit_as_it_is_then() {
    let world = three().await;
    world.fuse("demo:a", &["demo:b", "demo:c"]).await.unwrap();
    let swaps = || world.steps.lock().unwrap().iter().filter(|step| *step == "settle demo:a").count();
    world.made_of("demo:a").await.unwrap();
    let swapped = swaps();
    world.have(&format!("{}\n# new", B.replace("version 1.0.0", "version 1.1.0"))).await;
    assert_eq!((world.made_of("demo:a").await, swaps()), (Ok(2), swapped), "it waits for its activation");
    let newer = Target { version: Some("1.1.0".parse().unwrap()), ..Target::from(id("demo:b")) };
    assert!(world.registry.activate(&[newer]).await.failed.is_empty());
    assert_eq!((world.made_of("demo:a").await, swaps()), (Ok(2), swapped + 1));
    // What it may do is no longer what the component may do.
    world.registry.grant(&id("demo:c"), vec!["env X=1".parse().unwrap()]).await.unwrap();
    let refused = world.made_of("demo:a").await.unwrap_err();
    assert!(refused.contains("it cannot be fused with `demo:c`: their grants differ"), "{refused}");
    let view = world.registry.get(&id("demo:a")).await.unwrap();
    assert_eq!(view.fused.unwrap().problem.unwrap(), "`demo:a` cannot be fused with `demo:c`: their grants differ");
    assert_eq!(view.entry.status, Status::Active);
    world.registry.revoke(&id("demo:c"), Revocation::All).await.unwrap();
    assert_eq!(world.made_of("demo:a").await, Ok(2));
    // It is needed as before: it is neither stopped nor removed under those that it is part of.
    assert!(!world.registry.deactivate(&[id("demo:c")], false).await.failed.is_empty());
    assert!(!world.registry.unregister(&[id("demo:c")], false).await.failed.is_empty());
    world.registry.mark_error(&id("demo:c"), "a test").await.unwrap();
    let refused = world.made_of("demo:a").await.unwrap_err();
    assert!(refused.contains("`demo:a` is inactive: it waits for `demo:c`"), "it went with its part: {refused}");
    world.activate("demo:c").await;
    assert_eq!(world.made_of("demo:a").await, Ok(2));
}

#[tokio::test]
async fn what_cannot_be_linked_is_not_put_in_the_place_of_what_is() {
    let world = three().await;
    world.have("name demo:d\nversion 1.0.0\nimport demo:i/c@1.0.0\nexport demo:i/d@1.0.0").await;
    world.have("name demo:e\nversion 1.0.0\nimport demo:i/d@1.0.0").await;
    world.activate("demo:e").await;
    world
        .registry
        .register(component("name demo:c\nversion 1.1.0\nexport demo:i/c@1.0.0\nfail-compose"))
        .await
        .unwrap();
    world.fuse("demo:e", &["demo:d", "demo:c"]).await.unwrap();
    assert_eq!(world.made_of("demo:e").await, Ok(2));
    let newer = Target { version: Some("1.1.0".parse().unwrap()), ..Target::from(id("demo:c")) };
    assert!(world.registry.activate(&[newer]).await.failed.is_empty(), "who is fused with it is not asked");
    let refused = world.made_of("demo:e").await.unwrap_err();
    assert!(refused.contains("it cannot be fused: demo:c does not fit"), "{refused}");
    assert!(world.registry.unfuse(&id("demo:e")).await.unwrap().changed);
    assert_eq!(world.made_of("demo:e").await, Ok(0));
}

#[tokio::test]
async fn a_manifest_asks_and_is_given_what_may_be() {
    let world = World::new().await;
    world.have(C).await;
    world.registry.register(with_manifest(B, "[config]\nx = \"1\"\n")).await.unwrap();
    world.registry.register(with_manifest(A, "[instances]\nlink = \"fused\"\n")).await.unwrap();
    world.activate("demo:a").await;
    let fused = async || world.registry.get(&id("demo:a")).await.unwrap().fused;
    assert_eq!(fused().await.map(|fused| (fused.with, fused.by)), Some((vec![id("demo:c")], FusedBy::Manifest)));
    assert_eq!(world.made_of("demo:a").await, Ok(1));
    // It follows what may be.
    world.registry.grant(&id("demo:c"), vec!["clocks".parse().unwrap()]).await.unwrap();
    assert_eq!((fused().await, world.made_of("demo:a").await), (None, Ok(0)));
    world.registry.revoke(&id("demo:c"), Revocation::All).await.unwrap();
    assert_eq!(world.made_of("demo:a").await, Ok(1));
    world.registry.unfuse(&id("demo:a")).await.unwrap();
    assert_eq!((fused().await, world.made_of("demo:a").await), (None, Ok(0)));
    world.fuse("demo:a", &["demo:c"]).await.unwrap();
    assert_eq!(fused().await.map(|fused| fused.by), Some(FusedBy::Operator));
}

#[tokio::test]
async fn an_activation_that_was_prepared_with_another_part_is_not_the_one_that_counts() {
    let world = three().await;
    world.registry.deactivate(&[id("demo:a")], false).await;
    let registry = world.registry.clone();
    world.registry.before_activation(move |entry| {
        let (registry, id) = (registry.clone(), entry.id.clone());
        Box::pin(async move {
            let fused = registry.fuse(&id, &["demo:c".parse().unwrap()], GrantSharing::Equal).await;
            fused.map(drop).map_err(|error| error.to_string())
        })
    });
    let report = world.activate("demo:a").await;
    assert_eq!(report.failed.first().map(|(_, error)| error.code()), Some("changed"));
    assert!(world.activate("demo:a").await.failed.is_empty());
    assert_eq!(world.made_of("demo:a").await, Ok(1));
}

/// One thing that is done at random.
async fn do_one(world: &World, dice: &mut Dice, step: u64) {
    let names = ["demo:a", "demo:b", "demo:c"];
    let name = |dice: &mut Dice| id(names[dice.roll(3) as usize]);
    match dice.roll(9) {
        0..3 => {
            let with: Vec<_> = names.into_iter().filter(|_| dice.roll(2) == 0).map(id).collect();
            let sharing = if dice.roll(3) == 0 { GrantSharing::Shared } else { GrantSharing::Equal };
            let root = name(dice);
            let before = world.entry(root.as_str()).await;
            match world.registry.fuse(&root, &with, sharing).await {
                Ok(_) => assert_eq!(world.entry(root.as_str()).await.fusion.unwrap().with.len(), with.len()),
                Err(_) => assert_eq!(world.entry(root.as_str()).await, before, "what is refused changes nothing"),
            }
        }
        3 => {
            let root = name(dice);
            world.registry.unfuse(&root).await.unwrap();
            assert_eq!(world.entry(root.as_str()).await.fusion, None);
        }
        4 => drop(world.registry.grant(&name(dice), vec!["env X=1".parse().unwrap()]).await.unwrap()),
        5 => drop(world.registry.revoke(&name(dice), Revocation::All).await.unwrap()),
        6 => {
            let lines = [A, B, C][dice.roll(3) as usize].replace("1.0.0\n", &format!("1.{step}.0\n"));
            drop(world.register(&format!("{lines}\n# {step}")).await);
        }
        7 => drop(world.registry.activate_all().await.unwrap()),
        _ => drop(world.registry.deactivate(&[name(dice)], dice.roll(2) == 0).await),
    }
}

#[tokio::test]
async fn after_any_history_the_journal_adds_up_to_the_same_and_units_are_made_of_what_is_said() {
    let clock = || std::sync::Arc::new(crate::fakes::Ticking::default());
    for seed in 0..12 {
        let folder = tempfile::tempdir().unwrap();
        let open = || storage::Storage::open(folder.path(), &Default::default(), clock()).unwrap();
        let names = ["demo:a", "demo:b", "demo:c"];
        let mut dice = Dice(seed);
        let before = {
            let storage = open();
            let world = World::in_folder(&storage).await;
            for lines in [C, B, A] {
                world.have(lines).await;
            }
            for step in 1..40 {
                do_one(&world, &mut dice, step).await;
                for name in names {
                    let view = world.registry.get(&id(name)).await.unwrap();
                    let said = view.fused.map(|fused| (fused.with.len() as u64, fused.problem));
                    match world.made_of(name).await {
                        Ok(made_of) => assert_eq!(said.map_or((0, None), |said| said), (made_of, None), "{name}"),
                        Err(_) if view.entry.status != Status::Active => {}
                        Err(error) => assert!(said.is_some_and(|(_, problem)| problem.is_some()), "{name}: {error}"),
                    }
                }
            }
            let entries = [world.entry(names[0]).await, world.entry(names[1]).await, world.entry(names[2]).await];
            world.registry.close().await.unwrap();
            storage.close().unwrap();
            entries
        };
        for without_index in [false, true] {
            if without_index {
                std::fs::remove_dir_all(folder.path().join("index")).unwrap();
            }
            let storage = open();
            let world = World::in_folder(&storage).await;
            for (name, before) in names.into_iter().zip(&before) {
                assert_eq!(world.entry(name).await, *before, "seed {seed}");
            }
            let records = world.registry.records(0, 10_000).await.unwrap();
            let fused = |event: &Event| matches!(event, Event::Fused { .. } | Event::Unfused { .. });
            assert!(records.iter().filter(|record| fused(&record.event)).all(|record| record.version == 3));
            storage.close().unwrap();
        }
    }
}
