//! Many at once on one registry in a data folder.
//!
//! `REGISTRY_RACES=10000 cargo test -p registry races` tries as many rounds of each race.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::ports::SettingsStore;
use domain::{ComponentId, Digest, EdgeKind, Entry, Event, Status, reduce};
use registry::{RegisterOutcome, Registry, RegistryError, Target};
use storage::{OpenOptions, Storage};

use crate::dice::{Dice, number};
use crate::fakes::{Blobs, Ticking, World, component, id};

/// How many take part in a race.
const RACERS: u64 = 64;

/// Opens the folder without syncs, which are not what is tried here.
fn open(folder: &std::path::Path) -> Storage {
    let storage = Storage::open(folder, &OpenOptions::default(), Arc::new(Ticking::default())).unwrap();
    storage.settings.save("durability = \"process\"").unwrap();
    storage
}

fn rounds(by_default: u64) -> u64 {
    number("REGISTRY_RACES").unwrap_or(by_default)
}

fn racer(name: &str, number: u64) -> String {
    format!("name {name}\nversion 1.0.0\n# {number}")
}

/// Registers `name` 64 times at once, with other bytes each time, and returns the winner's digest.
async fn race(registry: &Registry, name: &str) -> Digest {
    let register = |number| {
        let (registry, request) = (registry.clone(), component(&racer(name, number)));
        tokio::spawn(async move { registry.register(request).await })
    };
    let (mut won, mut refused) = (Vec::new(), Vec::new());
    for task in (0..RACERS).map(register).collect::<Vec<_>>() {
        match task.await.unwrap() {
            Ok(registered) => {
                assert_eq!(registered.outcome, RegisterOutcome::New);
                won.push(registered.entry.entry.revision.digest);
            }
            Err(RegistryError::VersionTaken { component, registered, same_bytes: false, .. }) => {
                assert_eq!(component, id(name));
                refused.push(registered);
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    let [winner] = *won else { panic!("{} have won", won.len()) };
    assert_eq!(refused, [winner; RACERS as usize - 1], "whoever lost is told of the winner");
    let texts = (0..RACERS).map(|number| Digest::of(format!("component\n{}", racer(name, number)).as_bytes()));
    assert_eq!(texts.filter(|digest| *digest == winner).count(), 1);
    winner
}

/// The digests that the journal says were registered as `name`, from a record on.
async fn registered(registry: &Registry, name: &str, from: u64) -> Vec<Digest> {
    let records = registry.records(from, usize::MAX).await.unwrap();
    let digests = records.iter().filter_map(|record| match &record.event {
        Event::Registered { component, revision, .. } if *component == id(name) => Some(revision.digest),
        _ => None,
    });
    digests.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_that_register_one_version_at_once_exactly_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(folder.path());
    // The bytes are in memory: syncing 64 files takes longer than the race.
    let (state, settings) = (storage.state.clone(), storage.settings.clone());
    let world = World::of(state, Arc::new(Blobs::default()), settings, None, Arc::default()).await;
    for round in 0..rounds(100) {
        // Some win a name that is new, some one that is free again.
        let name = format!("demo:a{}", round % 7);
        let from = world.registry.last_seq() + 1;
        let winner = race(&world.registry, &name).await;
        assert_eq!(registered(&world.registry, &name, from).await, [winner], "round {round}");
        if round % 2 == 0 || round >= 7 {
            assert!(world.registry.unregister(&[id(&name)], false).await.failed.is_empty());
        }
        if world.registry.contains(&id(&format!("demo:a{}", (round + 1) % 7))).await.unwrap() {
            world.registry.unregister(&[id(&format!("demo:a{}", (round + 1) % 7))], false).await;
        }
    }
    assert_eq!(storage.verify().unwrap().differences, []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_winners_bytes_are_there_and_outlive_the_process() {
    let folder = tempfile::tempdir().unwrap();
    for round in 0..rounds(100).div_ceil(50) {
        let name = format!("demo:a{round}");
        let storage = Storage::open(folder.path(), &OpenOptions::default(), Arc::new(Ticking::default())).unwrap();
        let world = World::in_folder(&storage).await;
        let winner = race(&world.registry, &name).await;
        drop(world);
        storage.close().unwrap();
        let storage = open(folder.path());
        let world = World::in_folder(&storage).await;
        let entry = world.registry.get(&id(&name)).await.unwrap().entry;
        assert_eq!((entry.revision.digest, entry.newest), (winner, 1));
        assert!(world.registry.wit(&Target::from(id(&name))).await.unwrap().contains(&name));
        drop(world);
        storage.close().unwrap();
    }
}

/// What the records add up to.
fn replay(records: &[domain::Record]) -> BTreeMap<ComponentId, Entry> {
    let mut entries = BTreeMap::new();
    for record in records {
        let Some(id) = record.event.component() else { continue };
        if let Some(entry) = reduce::apply(record, entries.remove(id)) {
            entries.insert(id.clone(), entry);
        }
    }
    entries
}

/// Checks what holds whatever was done in whatever order, and that the index is what the journal adds up to.
pub(crate) async fn check(registry: &Registry) {
    agree(registry).await;
    let before = registry.last_seq();
    let verified = registry.verify().await.unwrap();
    assert_eq!(verified.differences, []);
    assert!((before..=registry.last_seq()).contains(&verified.last_seq), "{before} {}", verified.last_seq);
}

/// Checks what holds of entries and edges whatever was done in whatever order.
pub(crate) async fn agree(registry: &Registry) {
    // Refusals and failures that were only counted are written by the registry itself after a while.
    let (views, replayed) = loop {
        let seq = registry.last_seq();
        let views = registry.list(&Default::default()).await.unwrap();
        let replayed = replay(&registry.records(1, usize::MAX).await.unwrap());
        let mut views = views;
        // What is beside those in service is not listed.
        for id in replayed.keys().filter(|id| id.is_beside()) {
            views.extend(registry.get(id).await.ok());
        }
        if registry.last_seq() == seq {
            break (views, replayed);
        }
    };
    assert_eq!(replayed.len(), views.len());
    let mut needed_by: BTreeMap<ComponentId, BTreeSet<ComponentId>> = BTreeMap::new();
    for view in &views {
        assert_eq!(replayed.get(&view.entry.id), Some(&*view.entry), "the journal and the index differ");
        for on in view.entry.dependency_ids() {
            assert!(replayed.contains_key(&on), "{} needs {on}, which is gone", view.entry.id);
            needed_by.entry(on).or_default().insert(view.entry.id.clone());
        }
    }
    for view in &views {
        let of_any = needed_by.iter().filter(|(on, _)| **on == view.entry.id || on.entry() == view.entry.id);
        let expected: BTreeSet<_> = of_any.flat_map(|(_, needed_by)| needed_by.clone()).collect();
        assert_eq!(view.dependents, expected.into_iter().collect::<Vec<_>>(), "{}", view.entry.id);
        if view.instance == registry::InstanceWord::Live {
            assert_eq!(view.entry.status, Status::Active);
        }
    }
    check_beside(&replayed);
    assert!(registry.cycles().await.unwrap().is_empty());
}

/// Checks what holds of revisions beside those in service.
fn check_beside(entries: &BTreeMap<ComponentId, Entry>) {
    for (id, beside) in entries.iter().filter(|(id, _)| id.is_beside()) {
        let in_service = &entries[&id.entry()];
        assert_ne!(in_service.revision.version, beside.revision.version, "{id} is in service");
        assert_eq!(in_service.grants, beside.grants, "{id}");
        let leads_there = |entry: &&Entry| entry.dependencies.iter().any(|edge| edge.on == *id);
        let dependents: Vec<_> = entries.values().filter(leads_there).collect();
        assert!(!dependents.is_empty(), "nobody needs {id}");
        let is_in_need = |entry: &&Entry| entry.status == Status::Active || entry.quarantine().is_some();
        assert!(beside.status != Status::Active || dependents.iter().any(is_in_need), "{id} is active for nobody");
        for edge in dependents.iter().flat_map(|dependent| dependent.dependencies.iter()).filter(|edge| edge.on == *id)
        {
            match &edge.kind {
                EdgeKind::Declared { range, .. } => assert!(range.matches(&beside.revision.version), "{id}"),
                EdgeKind::Import { export, .. } => {
                    assert!(beside.revision.exports.iter().any(|one| one.name == *export), "{id} has no {export}");
                }
            }
        }
    }
}

/// Does one thing that the dice choose; that it is refused is as good.
async fn act(registry: Registry, seed: u64) {
    let dice = &mut Dice(seed);
    let mut any = || id(&format!("demo:c{}", dice.roll(5)));
    let (one, other) = (any(), any());
    match dice.roll(12) {
        0..=2 => {
            let (import, export) = (dice.roll(5), dice.roll(5));
            let mut lines = format!("name {one}\nversion 1.{}.0\nexport demo:i/x{export}", dice.roll(3));
            if dice.roll(2) == 0 {
                lines += &format!("\nimport demo:i/x{import}");
            }
            let _ = registry.register(component(&lines)).await;
        }
        3..=4 => drop(registry.activate(&[Target::from(one)]).await),
        5 => drop(registry.deactivate(&[one], dice.roll(2) == 0).await),
        6 => drop(registry.unregister(&[one], dice.roll(2) == 0).await),
        7..=8 => drop(registry.add_dependency(&one, &other, None).await),
        9 => drop(registry.remove_dependency(&one, &other).await),
        10 => drop(registry.call(&one, Default::default()).await),
        _ => {
            let _ = registry.mark_error(&one, "odd").await;
            let _ = registry.clear_errors(&one).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn everything_at_once_leaves_edges_journal_and_index_in_agreement() {
    let folder = tempfile::tempdir().unwrap();
    let mut storage = open(folder.path());
    for round in 0..rounds(100).div_ceil(5) {
        let world = World::in_folder(&storage).await;
        let tasks = (0..RACERS).map(|task| tokio::spawn(act(world.registry.clone(), round * RACERS + task)));
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
        check(&world.registry).await;
        // What was only counted is written here.
        world.registry.close().await.unwrap();
        let before = world.registry.list(&Default::default()).await.unwrap();
        drop(world);
        if round % 4 == 3 {
            storage.close().unwrap();
            storage = open(folder.path());
            let world = World::in_folder(&storage).await;
            let after = world.registry.list(&Default::default()).await.unwrap();
            let entries =
                |views: &[registry::EntryView]| views.iter().map(|view| view.entry.clone()).collect::<Vec<_>>();
            assert_eq!(entries(&after), entries(&before), "round {round}");
        }
    }
}
