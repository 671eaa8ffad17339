//! Sled's files on a disk that is full: a process of its own has a limit on the length of files, or a small file system.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use domain::ports::{StateStore, StateView, StorageError};
use domain::usage::Usage;
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::fixtures::{Ticks, commit, failed, id, open, options, registered, setting, try_commit, wait};
use crate::index::{Before, UNSEEN};
use crate::{AuditWindow, OpenOptions, Storage};

const FOLDER: &str = "STORAGE_FULL_INDEX_FOLDER";
const ROLE: &str = "STORAGE_FULL_INDEX_ROLE";

/// Says that the process may not have a file system of its own.
const CANNOT_MOUNT: i32 = 77;

/// A registry with what was acknowledged.
struct Life {
    storage: Storage,
    /// Names and records.
    there: Vec<(String, u64)>,
    refused: u64,
}

/// Returns an answer; where sled met the error, there may be none.
fn told<T>(answer: Result<T, StorageError>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(StorageError::Full { .. }) if UNSEEN.lock().unwrap().is_some() => None,
        Err(error) => panic!("{error:?}"),
    }
}

impl Life {
    /// Opens a folder, whose segments stay short, with as many entries as sled has in a file of some length.
    fn begin(folder: &Path) -> Self {
        let options = OpenOptions { segment_bytes: 20_000, ..options() };
        let storage = Storage::open(folder, &options, Ticks::new()).unwrap();
        let mut life = Self { storage, there: Vec::new(), refused: 0 };
        for _ in 0..150 {
            life.register().unwrap();
        }
        life
    }

    fn register(&mut self) -> Result<(), StorageError> {
        let name = format!("c-{}-{}", self.there.len(), self.refused);
        let done = try_commit(&*self.storage.state, vec![registered(&name, 1, &["base"])]);
        match &done {
            Ok(records) => self.there.push((name, records[0].seq)),
            Err(_) => {
                self.refused += 1;
                assert_eq!(told(self.storage.state.entry(&id(&name))).flatten(), None, "{name} was refused");
            }
        }
        done.map(drop)
    }

    /// Changes the registry until that is refused; all the while and then every answer is right.
    fn fill(&mut self, unseen: Option<Before>) {
        *UNSEEN.lock().unwrap() = unseen;
        let known: Vec<_> = self.there.clone();
        let (state, is_done) = (self.storage.state.clone(), AtomicBool::new(false));
        let ask = || {
            while !is_done.load(Ordering::Acquire) {
                for (name, seq) in &known {
                    let Some(entry) = told(state.entry(&id(name))) else { break };
                    assert_eq!(entry.unwrap().changed_seq, *seq);
                }
                if let Some(ids) = told(state.ids(None, usize::MAX)) {
                    assert!(ids.len() >= known.len());
                }
            }
        };
        std::thread::scope(|scope| {
            let _done = Done(&is_done);
            scope.spawn(ask);
            let error = loop {
                match self.register() {
                    Ok(()) => assert!(self.there.len() < 5_000, "the disk is not full"),
                    Err(error) => break error,
                }
            };
            // Sled that could be opened again takes a little more.
            let goes_on = unseen == Some(Before::Opening);
            // What sled wrote until then is room that the journal may lack.
            let takes_all = unseen.is_some();
            let is_refused = |error: StorageError| match error {
                StorageError::Full { path, .. } => assert!(takes_all || path.ends_with("index"), "{path:?}"),
                other => panic!("{other:?}"),
            };
            is_refused(error);
            for _ in 0..3 {
                let again = self.register();
                assert!(again.is_err() || goes_on);
                again.map_or_else(is_refused, |()| {});
                self.check();
            }
        });
        // Whoever changes nothing is answered as always.
        assert_eq!(commit(&*self.storage.state, vec![]).len(), 0);
    }

    /// Everything acknowledged is there, and nothing else.
    fn check(&self) {
        let state = &*self.storage.state;
        let mut names: Vec<_> = self.there.iter().map(|(name, _)| id(name)).collect();
        for ((_, seq), id) in self.there.iter().zip(&names) {
            let Some(entry) = told(state.entry(id)) else { break };
            assert_eq!(entry.unwrap().changed_seq, *seq, "{id}");
        }
        names.sort();
        for found in [told(state.ids(None, usize::MAX)), told(state.dependents(&id("base")))].into_iter().flatten() {
            assert_eq!(found, names);
        }
        let last = self.there.last().unwrap().1;
        assert_eq!(state.records(last, usize::MAX).unwrap().len(), 1);
    }

    /// With room again, everything goes on.
    fn go_on(&mut self) {
        *UNSEEN.lock().unwrap() = None;
        // Who only asks need not wait for a change.
        self.check();
        self.register().unwrap();
        self.check();
        for _ in 0..80 {
            self.register().unwrap();
        }
        self.check();
        assert_eq!(self.storage.verify().unwrap().differences, []);
    }
}

/// Ends who asks also where a check fails.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

fn limit(bytes: Option<u64>) {
    setrlimit(Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
}

/// Sled's file reaches a limit, twice.
fn reach_a_limit(folder: &Path, unseen: Option<Before>) {
    let mut life = Life::begin(folder);
    let used = |calls| vec![(id("c-7-0"), Usage { calls, ..Usage::default() })];
    wait(life.storage.state.add_usage(used(3))).unwrap();
    let mut calls = 3;
    for _ in 0..2 {
        let length = std::fs::metadata(folder.join("index/db")).unwrap().len();
        limit(Some(length + 100_000));
        life.fill(unseen);
        // They may be refused or not; they are not half there.
        calls += u64::from(wait(life.storage.state.add_usage(used(1))).is_ok());
        assert_eq!(told(life.storage.state.usage(&id("c-7-0"))).map_or(calls, |usage| usage.calls), calls);
        limit(None);
        life.go_on();
        assert_eq!(life.storage.state.usage(&id("c-7-0")).unwrap().calls, calls);
    }
    // What changes much at once is given to sled at once.
    commit(&*life.storage.state, (0..400).map(|n| failed("c-7-0", &format!("boom {n}"))).collect());
    life.storage.compact(AuditWindow::default(), &|_, _| {}).unwrap();
    life.storage.close().unwrap();
}

/// All of a small file system is taken.
fn fill_a_file_system(folder: &Path, unseen: Option<Before>) {
    let data = folder.join("data");
    let mut life = Life::begin(&data);
    for round in 0..3 {
        let rest = rustix::fs::statvfs(folder).unwrap();
        let other = folder.join("other");
        // The journal, which comes first, still finds room.
        let bytes = (rest.f_bavail * rest.f_frsize).saturating_sub(300_000 + round * 50_000);
        std::fs::write(&other, vec![1; bytes as usize]).unwrap();
        life.fill(unseen);
        std::fs::remove_file(&other).unwrap();
        life.go_on();
    }
    life.storage.close().unwrap();
    let storage = open(&data);
    assert_eq!(storage.warnings(), []);
    assert_eq!(storage.verify().unwrap().differences, []);
    commit(&*storage.state, vec![setting("after")]);
}

#[test]
fn plays_a_role_for_another_test() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else { return };
    let (role, unseen) = role.split_once(' ').unwrap();
    let unseen = match unseen {
        "changing" => Some(Before::Changing),
        "opening" => Some(Before::Opening),
        _ => None,
    };
    match role {
        "limit" => reach_a_limit(Path::new(&folder), unseen),
        "mount" => fill_a_file_system(Path::new(&folder), unseen),
        other => panic!("no role {other}"),
    }
}

/// Runs the role in a shell that did `before`; without the trap the system ends a process that passes its limit.
fn run(role: &str, folder: &Path, program: &[&str], before: &str) -> Option<i32> {
    let mut command = Command::new(program[0]);
    command.args(&program[1..]).arg("-c").arg(format!("trap '' XFSZ; {before} exec \"$@\"")).arg("sh");
    command.arg(std::env::current_exe().unwrap());
    command.args(["--exact", "full_index::plays_a_role_for_another_test", "--nocapture"]);
    // Into pipes: what it says may go to a file otherwise, which has the limit as well.
    let output = command.env(FOLDER, folder).env(ROLE, role).output().unwrap();
    if !output.status.success() {
        println!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    }
    output.status.code()
}

/// When it is not seen that there is no room, so that sled meets the error.
const UNSEEN_WHEN: [&str; 3] = ["never", "changing", "opening"];

#[test]
fn an_index_that_reaches_a_limit_goes_on_by_itself() {
    for unseen in UNSEEN_WHEN {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run(&format!("limit {unseen}"), folder.path(), &["/bin/sh"], ""), Some(0), "{unseen}");
        let storage = open(folder.path());
        assert_eq!(storage.warnings(), [], "{unseen}");
        assert_eq!(storage.verify().unwrap().differences, [], "{unseen}");
    }
}

#[test]
fn an_index_on_a_full_file_system_goes_on_by_itself() {
    for unseen in UNSEEN_WHEN {
        let folder = tempfile::tempdir().unwrap();
        let mount = format!("mount -t tmpfs -o size=24m none \"${FOLDER}\" || exit {CANNOT_MOUNT};");
        let shells = [&["unshare", "--mount", "/bin/sh"][..], &["unshare", "--mount", "--map-root-user", "/bin/sh"]];
        let mut tried = shells.iter().map(|shell| run(&format!("mount {unseen}"), folder.path(), shell, &mount));
        // Where nobody may mount one, the limit has to do.
        let could_mount = tried.find(|code| !matches!(code, Some(1 | CANNOT_MOUNT)));
        assert_eq!(could_mount.unwrap_or(Some(0)), Some(0), "{unseen}");
    }
}
