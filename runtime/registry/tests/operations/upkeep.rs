use std::sync::Arc;
use std::time::Duration;

use domain::ports::{BackupPlace, BlobStore};
use domain::{Digest, ErrorKind};
use registry::BlobUse;
use storage::{OpenOptions, Storage};

use crate::fakes::{Ticking, World, component, id};

fn storage() -> (tempfile::TempDir, Storage) {
    let folder = tempfile::tempdir().unwrap();
    let storage = Storage::open(folder.path(), &OpenOptions::default(), Arc::new(Ticking::default())).unwrap();
    (folder, storage)
}

#[tokio::test]
async fn gc_removes_what_no_revision_names() {
    let (_folder, storage) = storage();
    let world = World::in_folder(&storage).await;
    world.have("name demo:a\nversion 1.0.0").await;
    world.have("name demo:a\nversion 2.0.0").await;
    world.have("name demo:b\nversion 1.0.0").await;
    world.registry.unregister(&[id("demo:b")], false).await;
    let day = Duration::from_secs(24 * 60 * 60);
    let young = world.registry.gc(day, false).await.unwrap();
    assert_eq!((young.removed, young.spared, young.kept), (0, 1, 3));
    let dry = world.registry.gc(Duration::ZERO, true).await.unwrap();
    assert_eq!((dry.removed, dry.kept), (1, 2));
    assert_eq!(world.registry.gc(Duration::ZERO, false).await.unwrap(), dry);
    assert_eq!(world.registry.gc(Duration::ZERO, false).await.unwrap().removed, 0);
    let report = world.registry.verify_blobs(|_| {}).await.unwrap();
    assert_eq!((report.blobs, report.faults.len()), (2, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn gc_without_a_grace_period_takes_nothing_from_registrations_under_way() {
    let (_folder, storage) = storage();
    let world = World::in_folder(&storage).await;
    let registry = world.registry.clone();
    let registering = tokio::spawn(async move {
        for n in 0..60 {
            // The same bytes again and again, so that they are there, unnamed, when they are registered once more.
            let lines = format!("name demo:c{}\nversion 1.0.0", n % 3);
            let id = registry.register(component(&lines)).await.unwrap().entry.entry.id.clone();
            registry.functions(&id).await.unwrap();
            if n < 57 {
                assert!(registry.unregister(&[id], false).await.failed.is_empty());
            }
        }
    });
    while !registering.is_finished() {
        world.registry.gc(Duration::ZERO, false).await.unwrap();
    }
    registering.await.unwrap();
    let swept = world.registry.gc(Duration::ZERO, false).await.unwrap();
    assert_eq!(swept.kept, 3);
    assert_eq!(world.registry.verify_blobs(|_| {}).await.unwrap().faults, []);
}

#[tokio::test]
async fn damaged_and_missing_blobs_are_named_with_who_needs_them() {
    let (_folder, storage) = storage();
    let world = World::in_folder(&storage).await;
    let a = world.have("name demo:a\nversion 1.0.0").await.entry.entry.revision.digest;
    let b = world.have("name demo:b\nversion 1.0.0").await.entry.entry.revision.digest;
    let stray = storage.blobs.put(b"nobody needs this").unwrap();
    std::fs::write(storage.blobs.path(&a), b"rubbish").unwrap();
    std::fs::write(storage.blobs.path(&stray), b"rubbish").unwrap();
    std::fs::remove_file(storage.blobs.path(&b)).unwrap();
    let report = world.registry.verify_blobs(|_| {}).await.unwrap();
    assert_eq!(report.blobs, 2);
    let used = |name: &str| vec![BlobUse { component: id(name), revision: Some(1) }];
    let of = |digest: Digest| report.faults.iter().find(|fault| fault.digest == Some(digest)).unwrap();
    assert_eq!((of(a).needed_by.clone(), of(a).path.clone()), (used("demo:a"), Some(storage.blobs.path(&a))));
    assert_eq!((of(b).needed_by.clone(), of(b).path.clone()), (used("demo:b"), None));
    assert_eq!((of(stray).needed_by.clone(), report.faults.len()), (vec![], 3));
}

#[tokio::test]
async fn a_registry_says_how_large_it_is() {
    let (_folder, storage) = storage();
    let world = World::in_folder(&storage).await;
    world.have("name demo:p\nversion 1.0.0\nexport demo:log/sink@0.1.0").await;
    world.have("name demo:user\nversion 1.0.0\nimport demo:log/sink@0.1.0").await;
    let size = world.registry.size().await.unwrap();
    assert_eq!((size.entries, size.edges, size.folder.blobs), (2, 1, 2));
    assert!(size.folder.journal_bytes > 500 && size.folder.blob_bytes > 50, "{size:?}");
    assert_eq!((size.folder.cache_bytes, size.folder.output_bytes), (0, 0));
}

#[tokio::test]
async fn without_upkeep_sizes_are_zero_and_the_rest_is_refused() {
    let world = World::new().await;
    world.have("name demo:a\nversion 1.0.0").await;
    let size = world.registry.size().await.unwrap();
    assert_eq!((size.entries, size.folder.blob_bytes), (1, 0));
    let error = world.registry.gc(Duration::ZERO, false).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn a_registry_is_backed_up_while_it_runs() {
    let (folder, storage) = storage();
    let world = World::in_folder(&storage).await;
    world.have("name demo:a\nversion 1.0.0").await;
    let file = folder.path().join("backup.tar");
    let report = world.registry.backup(BackupPlace::File(file.clone()), |_| {}).await.unwrap();
    assert_eq!((report.seq, report.files), (1, 2));
    let restored = folder.path().join("restored");
    let clock = Arc::new(Ticking::default());
    storage::restore(&file, &restored, &storage::RestoreOptions::default(), clock.clone(), &mut |_| {}).unwrap();
    let storage = Storage::open(&restored, &OpenOptions::default(), clock).unwrap();
    let again = World::in_folder(&storage).await;
    assert!(again.registry.contains(&id("demo:a")).await.unwrap());
    std::fs::write(&file, b"a letter").unwrap();
    let error = again.registry.backup(BackupPlace::File(file), |_| {}).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::Invalid, "not-a-backup"));
}

#[tokio::test]
async fn work_that_nobody_waits_for_breaks_off_and_closing_waits_for_that() {
    let (folder, storage) = storage();
    let world = World::in_folder(&storage).await;
    world.have(&format!("name demo:a\nversion 1.0.0\n# {}", "x".repeat(1_000_000))).await;
    let file = folder.path().join("backup.tar");
    let (begun, mut has_begun) = tokio::sync::mpsc::channel(1);
    let (go_on, goes_on) = std::sync::mpsc::channel::<()>();
    let mut heard = 0;
    let place = BackupPlace::File(file.clone());
    let backup = world.registry.backup(place.clone(), move |_| {
        heard += 1;
        assert_eq!(heard, 1, "it goes on after it was broken off");
        begun.blocking_send(()).unwrap();
        goes_on.recv().unwrap();
    });
    tokio::select! {
        _ = backup => panic!("it waits to go on"),
        begun = has_begun.recv() => assert_eq!(begun, Some(())),
    }
    // The future is gone; the work learns of it at its next step.
    go_on.send(()).unwrap();
    world.registry.close().await.unwrap();
    let partial = |file: &std::fs::DirEntry| file.path().extension().is_some_and(|extension| extension == "partial");
    assert!(!std::fs::read_dir(folder.path()).unwrap().any(|file| partial(&file.unwrap())));
    assert!(!file.exists());
    world.registry.backup(place, |_| {}).await.unwrap();
}
