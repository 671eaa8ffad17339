//! Damage anywhere in journal and index: mended, or refused with its place, never a silently different state.
//!
//! `STORAGE_TRIALS=1000 cargo test -p storage damage_trials` tries as many; a failure names its trial.

use std::path::{Path, PathBuf};
use std::time::Duration;

use domain::ports::{StateView, StorageError};
use storage::{AuditWindow, OpenOptions, Storage};

use crate::fixtures::{Ticks, commit, failed, options, registered, setting};
use crate::model::Model;

fn try_open(folder: &Path) -> Result<Storage, StorageError> {
    let options = OpenOptions { segment_bytes: 3_000, ..options() };
    Storage::open(folder, &options, Ticks::new())
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().path()).collect();
    found.retain(|path| path.is_file() && std::fs::metadata(path).unwrap().len() > 0);
    found.sort();
    found
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let (path, target) = (file.as_ref().unwrap().path(), to.join(file.unwrap().file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(path, target).unwrap();
        }
    }
}

/// A history with a snapshot in the middle; `window` is what is kept of the records before it. Returns all records.
fn prepare(folder: &Path, window: AuditWindow) -> Vec<domain::Record> {
    let storage = try_open(folder).unwrap();
    let mut records = Vec::new();
    for round in 0..24u32 {
        let name = ["a", "b", "c"][round as usize % 3];
        let events = vec![registered(name, round + 1, &["a"]), failed(name, "boom"), setting(name)];
        records.extend(commit(&*storage.state, events).iter().map(|record| (**record).clone()));
        if round == 12 {
            storage.compact(window, &|_, _| {}).unwrap();
        }
    }
    storage.close().unwrap();
    records
}

/// Numbers that look random, the same for the same seed.
fn roll(seed: &mut u64, sides: usize) -> usize {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    (*seed >> 33) as usize % sides
}

#[test]
fn damage_is_mended_or_refused_and_never_goes_unnoticed() {
    let trials = std::env::var("STORAGE_TRIALS").ok().and_then(|number| number.parse().ok()).unwrap_or(200u64);
    let nothing = AuditWindow { age: Duration::ZERO, records: 0 };
    let wholes = [nothing, AuditWindow::default()].map(|window| {
        let folder = tempfile::tempdir().unwrap();
        let records = prepare(folder.path(), window);
        (folder, records)
    });
    let (mut refused, mut told, mut unharmed) = (0, 0, 0);
    for trial in 0..trials {
        let seed = &mut trial.wrapping_mul(7_919);
        let (whole, records) = &wholes[roll(seed, 2)];
        let folder = tempfile::tempdir().unwrap();
        copy(whole.path(), folder.path());
        match roll(seed, 4) {
            0 => std::fs::remove_dir_all(folder.path().join("index")).unwrap(),
            1 => std::fs::remove_file(folder.path().join("index/image")).unwrap(),
            _ => {}
        }
        let mut candidates = files(&folder.path().join("journal"));
        let index = folder.path().join("index");
        if index.is_dir() && roll(seed, 2) == 0 {
            candidates = files(&index);
        }
        let file = &candidates[roll(seed, candidates.len())];
        let mut bytes = std::fs::read(file).unwrap();
        let at = roll(seed, bytes.len());
        match roll(seed, 3) {
            0 => bytes.truncate(at),
            _ => bytes[at] ^= 1 << roll(seed, 8),
        }
        std::fs::write(file, bytes).unwrap();
        let place = format!("trial {trial}: {} at {at}", file.display());
        let storage = match try_open(folder.path()) {
            Ok(storage) => storage,
            Err(StorageError::Damaged { path, .. }) => {
                assert!(path.starts_with(folder.path().join("journal")), "{place}: {}", path.display());
                refused += 1;
                continue;
            }
            // A flipped bit may make a format a later one.
            Err(StorageError::NewerFormat { .. }) => {
                refused += 1;
                continue;
            }
            Err(error) => panic!("{place}: {error}"),
        };
        let last = storage.state.last_seq();
        match storage.warnings() {
            [] => {
                assert_eq!(last, records.len() as u64, "{place}");
                unharmed += 1;
            }
            _ => told += 1,
        }
        let mut model = Model::default();
        records.iter().take(last as usize).for_each(|record| model.apply(record));
        model.check(&*storage.state);
    }
    assert!(refused > trials / 10 && told > trials / 20 && unharmed > 0, "{refused} {told} {unharmed}");
}
