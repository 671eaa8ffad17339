//! What a change survives: by the settings, and by one operation on many components.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use domain::ports::Durability;
use domain::{ErrorKind, Status};
use registry::{Registry, TakeSettings};
use storage::{OpenOptions, Storage};

use crate::fakes::{Ticking, World, component, id};

async fn world(folder: &Path) -> (Storage, World) {
    let clock = Arc::new(Ticking::default());
    let storage = Storage::open(folder, &OpenOptions::default(), clock.clone()).unwrap();
    let (state, blobs, settings) = (storage.state.clone(), storage.blobs.clone(), storage.settings.clone());
    let world = World::of(state, blobs, settings, Some(storage.upkeep.clone()), clock).await;
    (storage, world)
}

/// Tells whether records may get lost in a power cut.
fn is_unsynced(folder: &Path) -> bool {
    folder.join("journal/unsynced").exists()
}

/// How many records are in the journal's file.
fn written(folder: &Path) -> usize {
    std::fs::read_to_string(folder.join("journal/00000000000000000001.jsonl")).unwrap().lines().count() - 1
}

#[tokio::test]
async fn the_level_of_the_settings_is_in_force_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let (_storage, world) = world(folder.path()).await;
    world.have("name demo:a\nversion 1.0.0").await;
    assert!(!is_unsynced(folder.path()));
    // Lowering is still acknowledged as before.
    world.registry.set_setting("durability", Some("none")).await.unwrap();
    assert!(!is_unsynced(folder.path()));
    assert_eq!(written(folder.path()), 2);
    world.have("name demo:b\nversion 1.0.0").await;
    assert!(is_unsynced(folder.path()));
    world.registry.set_setting("durability", Some("process")).await.unwrap();
    assert_eq!(written(folder.path()), 4);
    world.have("name demo:c\nversion 1.0.0").await;
    assert_eq!((written(folder.path()), is_unsynced(folder.path())), (5, true));
    // Raising is acknowledged at the new level, with all that was before it.
    world.registry.set_setting("durability", None).await.unwrap();
    assert!(!is_unsynced(folder.path()));
    let records = world.registry.records(0, 99).await.unwrap();
    let changes = records.iter().filter(|record| record.event.name() == "config-set").count();
    assert_eq!((changes, written(folder.path())), (3, 6));
}

#[tokio::test]
async fn a_swap_is_safe_once_it_is_over_whether_or_not_it_happened() {
    let folder = tempfile::tempdir().unwrap();
    let (_storage, world) = world(folder.path()).await;
    world.have("name demo:a\nversion 1.0.0\nremembers forty-two\nexport registry:component/state@0.1.0").await;
    world.activate("demo:a").await;
    for (version, wrong, is_swapped) in [("2.0.0", "", true), ("3.0.0", "\nunhealthy", false), ("4.0.0", "", true)] {
        let more = format!("{wrong}\nexport registry:component/state@0.1.0");
        world.have(&format!("name demo:a\nversion {version}{more}")).await;
        let report = world.activate(&format!("demo:a@{version}")).await;
        assert_eq!((report.failed.is_empty(), is_unsynced(folder.path())), (is_swapped, false), "{version}");
    }
    // What need not survive a power cut is not made to.
    world.have("name demo:a\nversion 5.0.0").await;
    let process = world.registry.with_durability(Some(Durability::Process));
    process.use_revision(&id("demo:a"), 5).await.unwrap();
    assert!(!is_unsynced(folder.path()), "as all operations on an active component");
}

#[tokio::test]
async fn another_word_is_refused_with_the_three_there_are() {
    let world = World::new().await;
    let error = world.registry.set_setting("durability", Some("disk")).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "invalid-setting"));
    let text = error.to_string();
    assert!(Durability::ALL.iter().all(|level| text.contains(level.as_str())), "{text}");
    assert_eq!(world.registry.settings().durability, Durability::Power);
    assert_eq!("disk".parse::<Durability>().unwrap_err().to_string().matches("power, process or none").count(), 1);
}

#[tokio::test]
async fn a_setting_that_cannot_be_an_event_stays_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let (storage, world) = world(folder.path()).await;
    world.registry.set_setting("limits.fuel", Some("7")).await.unwrap();
    let before = std::fs::read_to_string(folder.path().join("registry.toml")).unwrap();
    storage.close().unwrap();
    let error = world.registry.set_setting("limits.fuel", Some("8")).await.unwrap_err();
    assert_eq!(error.code(), "closed");
    assert_eq!(world.registry.settings().limits.fuel, 7);
    assert_eq!(std::fs::read_to_string(folder.path().join("registry.toml")).unwrap(), before);
}

/// Runs an operation on many components below `power`, and checks that it was, and that it is safe as a whole afterwards.
async fn check<T>(folder: &Path, registry: &Registry, work: impl AsyncFnOnce(Registry) -> T) -> T {
    let weaker = Arc::new(AtomicBool::new(false));
    let (seen, path) = (weaker.clone(), folder.to_owned());
    registry.on_status_change(move |_, _, _| {
        seen.fetch_or(is_unsynced(&path), Ordering::SeqCst);
    });
    let answer = work(registry.with_durability(Some(Durability::Process))).await;
    assert!(weaker.load(Ordering::SeqCst), "each change was synced");
    assert!(!is_unsynced(folder), "it ended before it was safe");
    answer
}

#[tokio::test]
async fn one_operation_on_many_is_synced_once_at_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let (_storage, world) = world(folder.path()).await;
    let registry = &world.registry;
    let requests = || (0..20).map(|n| component(&format!("name demo:c{n}\nversion 1.0.0"))).collect();
    let results = check(folder.path(), registry, async |weak| weak.register_many(requests()).await).await;
    assert!(results.iter().all(Result::is_ok));
    let report = check(folder.path(), registry, async |weak| weak.activate_all().await.unwrap()).await;
    assert_eq!(report.activated.len(), 20);
    let ids: Vec<_> = (0..20).map(|n| id(&format!("demo:c{n}"))).collect();
    registry.deactivate(&ids, false).await;
    let archive = folder.path().join("all.tar");
    registry.export(&[], &archive, |_| {}).await.unwrap();
    // No status changes here, so that nobody sees how it is done.
    let weak = registry.with_durability(Some(Durability::Process));
    assert_eq!(weak.prune(Duration::ZERO, false).await.unwrap().pruned.len(), 20);
    assert!(!is_unsynced(folder.path()));
    let report = check(folder.path(), registry, async |weak| {
        weak.import(&archive, TakeSettings::IfEmpty, |_, _| {}).await.unwrap()
    })
    .await;
    assert_eq!(report.registered.len(), 20);
    // The handle's level is its own: others are not touched, and what is no operation on many returns at it.
    world.have("name demo:x\nversion 1.0.0").await;
    assert!(!is_unsynced(folder.path()));
    registry.with_durability(Some(Durability::None)).mark_error(&id("demo:x"), "odd").await.unwrap();
    assert!(is_unsynced(folder.path()));
    assert_eq!(world.status("demo:x").await, Status::Error);
}
