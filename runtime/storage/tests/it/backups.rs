use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use domain::Digest;
use domain::ports::{BackupError, BackupPlace, BackupReport, BlobStore, SettingsStore, StateStore, StateView};
use domain::ports::{StorageError, Upkeep};
use storage::{RestoreOptions, RestoreReport, Storage, restore};

use crate::fixtures::{Ticks, commit, failed, id, open, registered, segments, setting, try_open};
use crate::model::Model;

/// Registers components and keeps their bytes.
pub(crate) fn fill(storage: &Storage, names: &[&str]) {
    for name in names {
        storage.blobs.put(format!("{name} 1").as_bytes()).unwrap();
        commit(&*storage.state, vec![registered(name, 1, &[]), failed(name, "x")]);
    }
}

pub(crate) fn back_up(storage: &Storage, place: &BackupPlace) -> Result<BackupReport, BackupError> {
    storage.upkeep.backup(place, &mut |_| {}, &domain::ports::Stop::default())
}

pub(crate) fn try_restore(backup: &Path, folder: &Path, replace: bool) -> Result<RestoreReport, BackupError> {
    let options = RestoreOptions { replace, ..RestoreOptions::default() };
    restore(backup, folder, &options, Ticks::new(), &mut |_| {})
}

/// Everything in a folder: paths and bytes, in order.
pub(crate) fn tree(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for file in std::fs::read_dir(&folder).into_iter().flatten() {
            let path = file.unwrap().path();
            match path.is_dir() && !path.is_symlink() {
                true => open.push(path),
                false => found.push((path.clone(), std::fs::read(&path).unwrap_or_default())),
            }
        }
    }
    // Whoever locks a folder leaves a name in it.
    found.retain(|(path, _)| !path.ends_with("LOCK"));
    found.sort();
    found
}

/// Compares the state in a folder with what its journal adds up to, and its blobs with its revisions.
fn check_folder(folder: &Path) -> u64 {
    let storage = open(folder);
    assert_eq!(storage.warnings(), []);
    let mut model = Model::default();
    for record in storage.state.records(1, usize::MAX).unwrap() {
        model.apply(&record);
    }
    model.check(&*storage.state);
    for id in storage.state.ids(None, usize::MAX).unwrap() {
        for revision in storage.state.revisions(&id).unwrap() {
            storage.blobs.get(&revision.digest).unwrap();
        }
    }
    let last = storage.state.last_seq();
    storage.close().unwrap();
    last
}

/// Both forms of a backup below `folder`.
fn places(folder: &Path) -> [BackupPlace; 2] {
    [BackupPlace::File(folder.join("backup.tar")), BackupPlace::Folder(folder.join("backup"))]
}

fn path(place: &BackupPlace) -> &Path {
    match place {
        BackupPlace::File(path) | BackupPlace::Folder(path) => path,
    }
}

/// A folder beside a backup.
fn beside(place: &BackupPlace, name: &str) -> PathBuf {
    PathBuf::from(format!("{}-{name}", path(place).display()))
}

#[test]
fn what_is_backed_up_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("data"));
    fill(&storage, &["a", "b", "c"]);
    storage.settings.save("allow_override = true\n").unwrap();
    for place in places(folder.path()) {
        let mut steps = Vec::new();
        let report =
            storage.upkeep.backup(&place, &mut |step| steps.push(step), &domain::ports::Stop::default()).unwrap();
        assert_eq!((report.seq, report.files, report.copied, report.dropped), (6, 5, 5, 0));
        assert_eq!(steps.last().map(|step| (step.done, step.total)), Some((report.bytes, report.bytes)));
        let target = beside(&place, "restored");
        let restored = try_restore(path(&place), &target, false).unwrap();
        assert_eq!((restored.seq, restored.files, restored.bytes), (6, 5, report.bytes));
        assert_eq!((restored.hash, restored.moved_aside, restored.missing), (report.hash, None, vec![]));
        assert_eq!(check_folder(&target), 6);
        assert_eq!(std::fs::read_to_string(target.join("registry.toml")).unwrap(), "allow_override = true\n");
        let storage = open(&target);
        commit(&*storage.state, vec![setting("goes on")]);
        storage.close().unwrap();
        assert_eq!(check_folder(&target), 7);
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert_eq!(left.len(), 5, "nothing else is left: {left:?}");
}

#[test]
fn an_empty_registry_can_be_backed_up() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("data"));
    for place in places(folder.path()) {
        assert_eq!(back_up(&storage, &place).unwrap().seq, 0);
        let target = beside(&place, "restored");
        try_restore(path(&place), &target, false).unwrap();
        assert_eq!(check_folder(&target), 0);
    }
}

#[test]
fn an_archive_that_was_unpacked_is_a_backup_folder() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("data"));
    fill(&storage, &["a"]);
    let archive = folder.path().join("backup.tar");
    back_up(&storage, &BackupPlace::File(archive.clone())).unwrap();
    let unpacked = folder.path().join("unpacked");
    std::fs::create_dir(&unpacked).unwrap();
    let tar = std::process::Command::new("tar").arg("xf").arg(&archive).arg("-C").arg(&unpacked).status();
    assert!(tar.unwrap().success());
    try_restore(&unpacked, &folder.path().join("restored"), false).unwrap();
    assert_eq!(check_folder(&folder.path().join("restored")), 2);
}

#[test]
fn a_folder_takes_only_what_changed_and_drops_what_is_gone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let storage = open(&data);
    fill(&storage, &["a", "b"]);
    let place = BackupPlace::Folder(folder.path().join("backup"));
    assert_eq!(back_up(&storage, &place).unwrap().copied, 3);
    let again = back_up(&storage, &place).unwrap();
    assert_eq!((again.copied, again.copied_bytes, again.dropped), (0, 0, 0));
    fill(&storage, &["c"]);
    std::fs::remove_file(storage.blobs.path(&Digest::of(b"a 1"))).unwrap();
    let third = back_up(&storage, &place).unwrap();
    // The new blob and the journal; the old journal and the removed blob go.
    assert_eq!((third.files, third.copied, third.dropped), (3, 2, 2));
    let restored = try_restore(path(&place), &folder.path().join("restored"), false).unwrap();
    assert_eq!(restored.missing, [Digest::of(b"a 1")]);
    // A file that is damaged in size is copied anew.
    std::fs::write(path(&place).join(format!("blobs/sha256/{}", shelf(b"b 1"))), b"cut short").unwrap();
    assert_eq!(back_up(&storage, &place).unwrap().copied, 1);
}

fn shelf(bytes: &[u8]) -> String {
    let hex = Digest::of(bytes).to_hex();
    format!("{}/{hex}", &hex[..2])
}

#[test]
fn an_interrupted_backup_leaves_the_one_before() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("data"));
    fill(&storage, &["a", "b"]);
    for place in places(folder.path()) {
        back_up(&storage, &place).unwrap();
    }
    fill(&storage, &["c", "d"]);
    // The third blob's bytes have changed, so that the backup ends in the middle.
    std::fs::write(storage.blobs.path(&Digest::of(b"d 1")), b"d 2").unwrap();
    for (place, seq) in places(folder.path()).into_iter().zip([4, 4]) {
        let error = back_up(&storage, &place).unwrap_err();
        assert!(matches!(&error, BackupError::Storage(StorageError::Damaged { .. })), "{error}");
        let target = beside(&place, "restored");
        assert_eq!(try_restore(path(&place), &target, false).unwrap().seq, seq);
        assert_eq!(check_folder(&target), seq);
    }
}

#[test]
fn nothing_but_a_backup_is_written_over() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("data"));
    fill(&storage, &["a"]);
    let file = folder.path().join("letter.txt");
    std::fs::write(&file, b"dear Ada").unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::write(home.join("letter.txt"), b"dear Ada").unwrap();
    let data = folder.path().join("data");
    for place in [
        BackupPlace::File(file.clone()),
        BackupPlace::File(home.clone()),
        BackupPlace::Folder(home.clone()),
        BackupPlace::Folder(data),
    ] {
        let error = back_up(&storage, &place).unwrap_err();
        assert!(matches!(&error, BackupError::NotABackup { .. }), "{place:?}: {error}");
    }
    assert_eq!(std::fs::read(&file).unwrap(), b"dear Ada");
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 1);
    let error = back_up(&storage, &BackupPlace::Folder(file)).unwrap_err();
    assert!(matches!(error, BackupError::Storage(StorageError::NotAFolder { .. })), "{error}");
}

#[test]
fn restoring_into_a_folder_with_something_in_it_is_refused_or_moves_it_aside() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let storage = open(&data);
    fill(&storage, &["a"]);
    let place = BackupPlace::File(folder.path().join("backup.tar"));
    back_up(&storage, &place).unwrap();
    fill(&storage, &["b"]);
    let error = try_restore(path(&place), &data, false).unwrap_err();
    assert!(matches!(error, BackupError::NotEmpty { .. }), "{error}");
    let mut options = RestoreOptions { replace: true, ..RestoreOptions::default() };
    options.lock_timeout = std::time::Duration::from_millis(5);
    let error = restore(path(&place), &data, &options, Ticks::new(), &mut |_| {}).unwrap_err();
    assert!(matches!(error, BackupError::Storage(StorageError::Held { .. })), "{error}");
    fill(&storage, &["c"]);
    storage.close().unwrap();
    for _ in 0..2 {
        let report = try_restore(path(&place), &data, true).unwrap();
        let aside = report.moved_aside.unwrap();
        assert!(aside.display().to_string().contains("data.before-restore-20231114T"), "{}", aside.display());
        assert!(check_folder(&aside) >= 2);
        assert_eq!(check_folder(&data), 2);
    }
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    // A folder with nothing but a lock is as good as empty; one with something else is not replaced.
    std::fs::write(home.join("LOCK"), b"").unwrap();
    try_restore(path(&place), &home, false).unwrap();
    assert_eq!(check_folder(&home), 2);
    let other = folder.path().join("other");
    std::fs::create_dir(&other).unwrap();
    std::fs::write(other.join("letter.txt"), b"dear Ada").unwrap();
    let error = try_restore(path(&place), &other, true).unwrap_err();
    assert!(matches!(error, BackupError::NotADataFolder { .. }), "{error}");
    assert_eq!(tree(&other).len(), 1);
}

/// Restores what is at `backup` over a data folder and expects it to be refused without a trace.
fn refuses(backup: &Path, data: &Path, what: &str) -> BackupError {
    let before = tree(data);
    let neighbours = std::fs::read_dir(data.parent().unwrap()).unwrap().count();
    let error = try_restore(backup, data, true).expect_err(what);
    assert!(tree(data) == before, "{what}: the target was touched");
    assert_eq!(std::fs::read_dir(data.parent().unwrap()).unwrap().count(), neighbours, "{what}: something is left");
    error
}

#[test]
fn a_flipped_bit_or_a_cut_is_refused_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let storage = open(&data);
    fill(&storage, &["a", "b"]);
    storage.settings.save("allow_override = true\n").unwrap();
    let [archive, backup] = places(folder.path());
    back_up(&storage, &archive).unwrap();
    back_up(&storage, &backup).unwrap();
    storage.close().unwrap();

    let whole = std::fs::read(path(&archive)).unwrap();
    for at in (0..whole.len()).step_by(97) {
        let mut changed = whole.clone();
        changed[at] ^= 1 << (at % 8);
        std::fs::write(path(&archive), &changed).unwrap();
        let error = refuses(path(&archive), &data, &format!("bit {at}"));
        assert!(matches!(&error, BackupError::Damaged { place, .. } if !place.is_empty()), "{error}");
        std::fs::write(path(&archive), &whole[..at]).unwrap();
        let error = refuses(path(&archive), &data, &format!("cut at {at}"));
        assert!(matches!(&error, BackupError::Damaged { .. }), "{error}");
    }
    for (file, bytes) in tree(path(&backup)) {
        let name = file.strip_prefix(path(&backup)).unwrap().display().to_string();
        for at in [0, bytes.len() / 2, bytes.len() - 1] {
            let mut changed = bytes.clone();
            changed[at] ^= 4;
            std::fs::write(&file, &changed).unwrap();
            let error = refuses(path(&backup), &data, &name);
            assert!(matches!(&error, BackupError::Damaged { place, .. } if *place == name), "{error}");
        }
        std::fs::write(&file, &bytes[1..]).unwrap();
        refuses(path(&backup), &data, &name);
        std::fs::remove_file(&file).unwrap();
        refuses(path(&backup), &data, &name);
        std::os::unix::fs::symlink("/etc/hostname", &file).unwrap();
        refuses(path(&backup), &data, &name);
        std::fs::remove_file(&file).unwrap();
        std::fs::write(&file, &bytes).unwrap();
    }
    try_restore(path(&backup), &data, true).unwrap();
}

/// Makes a backup's folder from a data folder, with a journal that was changed by `change` and a manifest that fits it.
fn forged(
    folder: &Path,
    change: impl FnOnce(Vec<u8>) -> Vec<u8>,
    edit: impl FnOnce(&mut serde_json::Value),
) -> PathBuf {
    let storage = open(&folder.join("source"));
    fill(&storage, &["a", "b"]);
    let backup = folder.join("forged");
    let _ = std::fs::remove_dir_all(&backup);
    back_up(&storage, &BackupPlace::Folder(backup.clone())).unwrap();
    storage.close().unwrap();
    std::fs::remove_dir_all(folder.join("source")).unwrap();
    let text = std::fs::read(backup.join("manifest.json")).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let journal = segments(&backup)[0].clone();
    let bytes = change(std::fs::read(&journal).unwrap());
    let digest = Digest::of(&bytes);
    let listed = manifest["files"]
        .as_array_mut()
        .unwrap()
        .iter_mut()
        .find(|file| file["path"].as_str().unwrap().starts_with("journal"));
    let listed = listed.unwrap();
    listed["size"] = bytes.len().into();
    listed["digest"] = digest.to_string().into();
    std::fs::remove_file(&journal).unwrap();
    let name = format!("{}.{}", listed["path"].as_str().unwrap(), &digest.to_hex()[..16]);
    std::fs::write(backup.join(name), bytes).unwrap();
    edit(&mut manifest);
    seal(&backup.join("manifest.json"), manifest);
    backup
}

/// Writes a manifest with a right checksum.
pub(crate) fn seal(path: &Path, mut manifest: serde_json::Value) {
    manifest.as_object_mut().unwrap().remove("checksum");
    let mut text = serde_json::to_string(&manifest).unwrap();
    text.pop();
    let checksum = Digest::of(text.as_bytes()).to_hex();
    std::fs::write(path, format!("{text},\"checksum\":\"{checksum}\"}}\n")).unwrap();
}

#[test]
fn a_journal_that_was_changed_with_its_manifest_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let storage = open(&data);
    fill(&storage, &["z"]);
    storage.close().unwrap();
    let same = forged(folder.path(), |journal| journal, |_| {});
    try_restore(&same, &folder.path().join("fine"), false).unwrap();
    let text = |journal: Vec<u8>| String::from_utf8(journal).unwrap();
    type Change = fn(String) -> String;
    let changes: [(&str, Change); 4] = [
        ("another text", |journal| journal.replace("for tests", "for toast")),
        ("a cut", |journal| journal[..journal.len() - 10].to_owned()),
        ("a record less", |journal| {
            let lines: Vec<_> = journal.lines().collect();
            lines[..lines.len() - 2].iter().map(|line| format!("{line}\n")).collect()
        }),
        ("a record twice", |journal| {
            let last = journal.lines().last().unwrap().to_owned();
            format!("{journal}{last}\n")
        }),
    ];
    for (what, change) in changes {
        let backup = forged(folder.path(), |journal| change(text(journal)).into_bytes(), |_| {});
        let error = refuses(&backup, &data, what);
        assert!(
            matches!(&error, BackupError::Damaged { place, .. } if place.starts_with("journal")),
            "{what}: {error}"
        );
    }
}

#[test]
fn hostile_manifests_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let storage = open(&data);
    fill(&storage, &["z"]);
    storage.close().unwrap();
    for path in ["../x", "/etc/passwd", "journal/../../x", "index/db", "LOCK", "journal/\u{1b}[31m", "a\0b"] {
        let backup = forged(
            folder.path(),
            |journal| journal,
            |manifest| {
                let mut extra = manifest["files"][0].clone();
                extra["path"] = path.into();
                manifest["files"].as_array_mut().unwrap().push(extra);
            },
        );
        let error = refuses(&backup, &data, path);
        assert!(error.to_string().contains("is no file of a registry"), "{error}");
        assert!(!error.to_string().contains('\u{1b}'));
    }
    let twice = forged(
        folder.path(),
        |journal| journal,
        |manifest| {
            let extra = manifest["files"][0].clone();
            manifest["files"].as_array_mut().unwrap().insert(0, extra);
        },
    );
    refuses(&twice, &data, "a file twice");
    for size in [u64::MAX, u64::MAX / 2, 1 << 40] {
        let huge = forged(
            folder.path(),
            |journal| journal,
            |manifest| {
                for file in manifest["files"].as_array_mut().unwrap() {
                    file["size"] = size.into();
                }
            },
        );
        refuses(&huge, &data, "huge sizes");
    }
    let later = forged(folder.path(), |journal| journal, |manifest| manifest["format"] = 2.into());
    let error = refuses(&later, &data, "a later format");
    assert!(matches!(error, BackupError::Storage(StorageError::NewerFormat { found: 2, .. })), "{error}");
    let other = forged(folder.path(), |journal| journal, |manifest| manifest["kind"] = "photos".into());
    assert!(matches!(refuses(&other, &data, "another kind"), BackupError::NotABackup { .. }));
    let missing = folder.path().join("nothing");
    assert!(matches!(refuses(&missing, &data, "nothing"), BackupError::NotABackup { .. }));
    assert!(matches!(refuses(Path::new("/dev/null"), &data, "a device"), BackupError::NotABackup { .. }));
}

#[test]
fn a_link_in_a_backup_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let storage = open(&data);
    fill(&storage, &["a"]);
    let backup = folder.path().join("backup");
    back_up(&storage, &BackupPlace::Folder(backup.clone())).unwrap();
    storage.close().unwrap();
    std::fs::rename(backup.join("journal"), folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), backup.join("journal")).unwrap();
    let error = refuses(&backup, &data, "a link");
    assert!(matches!(&error, BackupError::Damaged { place, .. } if place.starts_with("journal/")), "{error}");
}

/// Ends the writer, also when the test fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[test]
fn a_backup_beside_a_writer_is_consistent() {
    let folder = tempfile::tempdir().unwrap();
    let storage = open(&folder.path().join("data"));
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (storage, stop) = (&storage, &stop);
        let writer = scope.spawn(move || {
            for number in 0..20_000 {
                let name = format!("w-{number}");
                fill(storage, &[&name]);
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let _stop = Stop(stop);
        let mut last = 0;
        for round in 0..4 {
            for place in places(folder.path()) {
                let report = back_up(storage, &place).unwrap();
                assert!(report.seq >= last && report.seq.is_multiple_of(2), "a decision is not cut: {}", report.seq);
                last = report.seq;
                let target = beside(&place, &format!("restored-{round}"));
                let restored = try_restore(path(&place), &target, false).unwrap();
                assert_eq!((restored.seq, restored.missing), (last, vec![]));
                assert_eq!(check_folder(&target), last);
            }
        }
        assert!(!writer.is_finished());
    });
    storage.close().unwrap();
}

#[test]
fn a_journal_of_several_segments_is_cut_in_the_last_one_that_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let storage = open(&data);
    let long = "x".repeat(1 << 20);
    for _ in 0..18 {
        commit(&*storage.state, vec![setting(&long)]);
    }
    assert!(segments(&data).len() > 2);
    let place = BackupPlace::Folder(folder.path().join("backup"));
    back_up(&storage, &place).unwrap();
    commit(&*storage.state, vec![setting("short")]);
    let report = back_up(&storage, &place).unwrap();
    assert_eq!((report.copied, report.dropped), (1, 1), "whole segments stay");
    let target = folder.path().join("restored");
    try_restore(path(&place), &target, false).unwrap();
    assert_eq!(check_folder(&target), 19);
    storage.close().unwrap();
    assert!(try_open(&target).unwrap().state.entry(&id("a")).unwrap().is_none());
}
