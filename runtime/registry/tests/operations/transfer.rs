use std::path::Path;
use std::sync::Arc;

use domain::ports::SettingsStore;
use domain::{ErrorKind, Status};
use registry::{GrantSharing, ManifestSource, RegisterOutcome, TakeSettings, Target};
use storage::{OpenOptions, Storage};

use crate::fakes::{Ticking, World, component, id};

async fn world(folder: &Path) -> (Storage, World) {
    let storage = Storage::open(folder, &OpenOptions::default(), Arc::new(Ticking::default())).unwrap();
    let world = World::in_folder(&storage).await;
    (storage, world)
}

/// A registry with a chain of three, one with everything in its manifest, and a declared dependency.
async fn source(folder: &Path) -> (Storage, World) {
    let (storage, world) = world(folder).await;
    world.have("name demo:base\nversion 1.0.0\nexport demo:base/x@1.0.0").await;
    world.have("name demo:z-p\nversion 1.1.0\nimport demo:base/x@1.0.0\nexport demo:log/sink@0.1.0").await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:log/sink@0.1.0").await;
    let mut request = component("name demo:rich");
    let manifest = "version = \"2.0.0\"\nkind = \"skill\"\n[config]\nlang = \"en\"\n[limits]\ndeadline = \"2s\"\n";
    let manifest = domain::ComponentManifest::parse(manifest).unwrap();
    request.manifest = Some(ManifestSource::Given(Box::new(manifest)));
    world.registry.register(request).await.unwrap();
    world.registry.add_dependency(&id("demo:rich"), &id("demo:base"), Some("^1".parse().unwrap())).await.unwrap();
    world.activate("demo:user").await;
    (storage, world)
}

#[tokio::test]
async fn a_whole_registry_goes_into_another_one_without_being_activated() {
    let folder = tempfile::tempdir().unwrap();
    let (_storage, from) = source(&folder.path().join("from")).await;
    let archive = folder.path().join("all.tar");
    let exported = from.registry.export(&[], &archive, |_| {}).await.unwrap();
    assert_eq!(exported.components.len(), 4);
    let (_other, to) = world(&folder.path().join("to")).await;
    let mut steps = Vec::new();
    let report = to.registry.import(&archive, TakeSettings::IfEmpty, |done, of| steps.push((done, of))).await.unwrap();
    assert_eq!(steps, [(1, 4), (2, 4), (3, 4), (4, 4)]);
    assert!(report.failed.is_empty() && report.undeclared.is_empty(), "{report:?}");
    assert!(report.registered.iter().all(|registered| registered.outcome == RegisterOutcome::New));
    assert_eq!(report.declared, [(id("demo:rich"), id("demo:base"))]);
    for entry in from.registry.list(&Default::default()).await.unwrap() {
        let there = to.registry.get(&entry.entry.id).await.unwrap().entry;
        assert_eq!((there.status, &there.dependencies), (Status::Registered, &entry.entry.dependencies));
        assert_eq!(there.revision.manifest, entry.entry.revision.manifest);
        assert_eq!(there.revision.digest, entry.entry.revision.digest);
        assert!(there.unresolved.is_empty());
    }
    assert!(to.steps.lock().unwrap().is_empty());
    // A second time nothing changes.
    let before = to.events().await;
    let again = to.registry.import(&archive, TakeSettings::IfEmpty, |_, _| {}).await.unwrap();
    assert!(again.registered.iter().all(|registered| registered.outcome == RegisterOutcome::Unchanged));
    assert_eq!((again.declared.len(), to.events().await), (0, before));
}

#[tokio::test]
async fn one_component_goes_with_what_it_needs() {
    let folder = tempfile::tempdir().unwrap();
    let (_storage, from) = source(&folder.path().join("from")).await;
    let archive = folder.path().join("one.tar");
    let exported = from.registry.export(&[id("demo:user")], &archive, |_| {}).await.unwrap();
    let names: Vec<_> = exported.components.iter().map(|(id, _)| id.as_str()).collect();
    assert_eq!(names, ["demo:base", "demo:z-p", "demo:user"]);
    assert_eq!(exported.bytes, std::fs::metadata(&archive).unwrap().len());
    let error = from.registry.export(&[id("demo:nobody")], &archive, |_| {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let letter = folder.path().join("letter.txt");
    std::fs::write(&letter, "dear Ada").unwrap();
    let error = from.registry.export(&[], &letter, |_| {}).await.unwrap_err();
    assert_eq!(error.code(), "not-a-backup");
    assert_eq!(std::fs::read(&letter).unwrap(), b"dear Ada");
}

/// Fuses `demo:user` with all that it calls, and registers one that is kept apart although it asks for the opposite.
async fn fused(folder: &Path) -> (Storage, World) {
    let (storage, world) = source(folder).await;
    let with = [id("demo:z-p"), id("demo:base")];
    world.registry.fuse(&id("demo:user"), &with, GrantSharing::Shared).await.unwrap();
    let mut request = component("name demo:apart\nversion 1.0.0\nimport demo:base/x@1.0.0");
    let manifest = domain::ComponentManifest::parse("[instances]\nlink = \"fused\"\n").unwrap();
    request.manifest = Some(ManifestSource::Given(Box::new(manifest)));
    world.registry.register(request).await.unwrap();
    assert!(world.registry.unfuse(&id("demo:apart")).await.unwrap().changed);
    (storage, world)
}

#[tokio::test]
async fn what_was_fused_is_fused_again_unless_something_else_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let (_storage, from) = fused(&folder.path().join("from")).await;
    let archive = folder.path().join("all.tar");
    from.registry.export(&[], &archive, |_| {}).await.unwrap();
    let (_other, to) = world(&folder.path().join("to")).await;
    let report = to.registry.import(&archive, TakeSettings::IfEmpty, |_, _| {}).await.unwrap();
    let all = vec![id("demo:base"), id("demo:z-p")];
    assert_eq!(report.fused, [(id("demo:apart"), vec![]), (id("demo:user"), all.clone())]);
    assert!(report.not_fused.is_empty(), "{report:?}");
    let fusion = |of: &'static str| async { to.registry.get(&id(of)).await.unwrap().entry.fusion.clone().unwrap() };
    let user = fusion("demo:user").await;
    assert_eq!((user.with, user.shares_grants), (all, false), "an archive gives nobody grants");
    assert_eq!(fusion("demo:apart").await.with, []);
    // What was said here stays.
    to.registry.fuse(&id("demo:user"), &[id("demo:z-p")], GrantSharing::Equal).await.unwrap();
    let before = to.events().await;
    let again = to.registry.import(&archive, TakeSettings::IfEmpty, |_, _| {}).await.unwrap();
    assert_eq!((again.fused.len(), again.not_fused.len(), to.events().await), (0, 0, before));
    assert_eq!(fusion("demo:user").await.with, [id("demo:z-p")]);
}

#[tokio::test]
async fn what_cannot_be_fused_where_it_is_imported_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (_storage, from) = fused(&folder.path().join("from")).await;
    let archive = folder.path().join("user.tar");
    from.registry.export(&[id("demo:user")], &archive, |_| {}).await.unwrap();
    let (_other, to) = world(&folder.path().join("to")).await;
    to.have("name demo:z-p\nversion 1.1.0\n# calls nobody\nexport demo:log/sink@0.1.0").await;
    let report = to.registry.import(&archive, TakeSettings::IfEmpty, |_, _| {}).await.unwrap();
    let not_fused: Vec<_> = report.not_fused.iter().map(|(id, error)| (id.as_str(), error.code())).collect();
    assert_eq!((report.fused.len(), not_fused), (0, vec![("demo:user", "not-imported")]));
    assert!(to.registry.get(&id("demo:user")).await.unwrap().entry.fusion.is_none());
}

#[tokio::test]
async fn a_part_that_is_not_called_any_more_is_not_in_the_archive() {
    let folder = tempfile::tempdir().unwrap();
    let (_storage, from) = fused(&folder.path().join("from")).await;
    from.have("name demo:z-p\nversion 1.2.0\nexport demo:log/sink@0.1.0").await;
    let target = Target { version: Some("1.2.0".parse().unwrap()), ..Target::from(id("demo:z-p")) };
    let replaced = from.registry.activate(&[target]).await;
    assert!(replaced.failed.is_empty(), "{replaced:?}");
    let archive = folder.path().join("user.tar");
    from.registry.export(&[id("demo:user")], &archive, |_| {}).await.unwrap();
    let (_other, to) = world(&folder.path().join("to")).await;
    let report = to.registry.import(&archive, TakeSettings::IfEmpty, |_, _| {}).await.unwrap();
    assert_eq!(report.fused, [(id("demo:user"), vec![id("demo:z-p")])], "{report:?}");
}

#[tokio::test]
async fn a_conflict_is_that_of_one_component() {
    let folder = tempfile::tempdir().unwrap();
    let (_storage, from) = source(&folder.path().join("from")).await;
    let archive = folder.path().join("all.tar");
    from.registry.export(&[], &archive, |_| {}).await.unwrap();
    let (_other, to) = world(&folder.path().join("to")).await;
    to.have("name demo:rich\nversion 2.0.0\n# other bytes").await;
    let report = to.registry.import(&archive, TakeSettings::IfEmpty, |_, _| {}).await.unwrap();
    let failed: Vec<_> = report.failed.iter().map(|(id, error)| (id.as_str(), error.code())).collect();
    assert_eq!(failed, [("demo:rich", "version-conflict")]);
    assert_eq!((report.registered.len(), report.declared.len()), (3, 0));
}

#[tokio::test]
async fn a_damaged_archive_registers_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let (_storage, from) = source(&folder.path().join("from")).await;
    let archive = folder.path().join("all.tar");
    from.registry.export(&[], &archive, |_| {}).await.unwrap();
    let (other, to) = world(&folder.path().join("to")).await;
    let whole = std::fs::read(&archive).unwrap();
    for at in (0..whole.len()).step_by(53) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        for bytes in [&changed[..], &whole[..at]] {
            std::fs::write(&archive, bytes).unwrap();
            let error = to.registry.import(&archive, TakeSettings::IfEmpty, |_, _| {}).await.unwrap_err();
            assert_eq!(error.code(), "damaged-backup", "{at}: {error}");
        }
    }
    // Another archive of ours is not one of components, and the other way round.
    let backup = folder.path().join("backup.tar");
    to.registry.backup(domain::ports::BackupPlace::File(backup.clone()), |_| {}).await.unwrap();
    assert_eq!(to.registry.import(&backup, TakeSettings::IfEmpty, |_, _| {}).await.unwrap_err().code(), "not-a-backup");
    assert_eq!(
        to.registry.import(folder.path(), TakeSettings::IfEmpty, |_, _| {}).await.unwrap_err().code(),
        "not-a-backup"
    );
    std::fs::write(&archive, &whole).unwrap();
    let restored = storage::restore(
        &archive,
        &folder.path().join("restored"),
        &storage::RestoreOptions::default(),
        Arc::new(Ticking::default()),
        &mut |_| {},
    );
    assert!(restored.unwrap_err().to_string().contains("of something else"));
    assert!(to.registry.list(&Default::default()).await.unwrap().is_empty());
    assert_eq!(other.settings.load().unwrap().0, None);
}
