//! Tests that need another process: this test binary again, running one test that does nothing unless it is told to.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use domain::event::Actor;
use domain::ports::{StateStore, StateView, StorageError};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::fixtures::{Ticks, commit, failed, id, open, options, registered, setting, try_commit, try_open, wait};
use crate::model::Model;

const ROLE: &str = "STORAGE_TEST_ROLE";
const FOLDER: &str = "STORAGE_TEST_FOLDER";

fn child(role: &str, folder: &Path, shell: Option<&str>) -> Child {
    let exe = std::env::current_exe().unwrap();
    let mut command = match shell {
        Some(script) => {
            let mut command = Command::new("/bin/sh");
            command.arg("-c").arg(format!("{script}; exec \"$@\"")).arg0("sh").arg("sh").arg(exe);
            command
        }
        None => Command::new(exe),
    };
    command
        .args(["--exact", "children::plays_a_role_for_another_test", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .unwrap()
}

#[test]
fn plays_a_role_for_another_test() {
    let (Ok(role), Ok(folder)) = (std::env::var(ROLE), std::env::var(FOLDER)) else { return };
    let folder = PathBuf::from(folder);
    match role.as_str() {
        "holder" => hold(&folder),
        "writer" => write_until_killed(&folder),
        "leaver" => leave(&folder),
        "full" => fill_the_disk(&folder),
        other => panic!("no role {other}"),
    }
}

fn hold(folder: &Path) {
    let storage = storage::Storage::open(folder, &Default::default(), Ticks::new()).unwrap();
    println!("@held");
    let _ = std::io::stdin().read(&mut [0]);
    storage.close().unwrap();
}

fn leave(folder: &Path) {
    let options = storage::OpenOptions { process_ends: true, ..storage::OpenOptions::default() };
    let storage = storage::Storage::open(folder, &options, Ticks::new()).unwrap();
    let name = format!("c-{}", storage.state.last_seq());
    commit(&*storage.state, vec![registered(&name, 1, &[])]);
    storage.close().unwrap();
    let impatient = storage::OpenOptions { lock_timeout: std::time::Duration::ZERO, ..options };
    let again = storage::Storage::open(folder, &impatient, Ticks::new());
    assert!(matches!(again, Err(StorageError::Held { .. })));
}

#[test]
fn a_process_that_leaves_without_closing_leaves_a_whole_folder() {
    let folder = tempfile::tempdir().unwrap();
    for _ in 0..5 {
        assert!(child("leaver", folder.path(), None).wait().unwrap().success());
    }
    let storage = open(folder.path());
    assert_eq!((storage.warnings(), storage.state.last_seq()), (&[][..], 5));
    assert_eq!(storage.state.ids(None, 9).unwrap().len(), 5);
}

fn answers(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines.map_while(Result::ok).filter_map(|line| line.split_once('@').map(|(_, answer)| answer.to_owned()))
}

#[test]
fn another_process_is_named_by_pid_and_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = child("holder", folder.path(), None);
    let mut lines = answers(&mut holder);
    assert_eq!(lines.next().as_deref(), Some("held"));
    match try_open(folder.path()) {
        Err(StorageError::Held { pid, command, path, since, socket }) => {
            assert_eq!((pid, path.as_path(), socket), (holder.id(), folder.path(), None));
            assert!(since.is_some());
            assert!(command.contains("plays_a_role"), "{command}");
        }
        other => panic!("{other:?}"),
    }
    // Waiting is enough once it ends.
    let mut patient = options();
    patient.lock_timeout = std::time::Duration::from_secs(60);
    drop(holder.stdin.take());
    storage::Storage::open(folder.path(), &patient, Ticks::new()).unwrap();
    assert!(holder.wait().unwrap().success());
}

#[test]
fn a_killed_holder_leaves_no_lock() {
    let folder = tempfile::tempdir().unwrap();
    let mut holder = child("holder", folder.path(), None);
    assert_eq!(answers(&mut holder).next().as_deref(), Some("held"));
    holder.kill().unwrap();
    holder.wait().unwrap();
    assert_eq!(open(folder.path()).warnings(), []);
}

fn write_until_killed(folder: &Path) {
    let storage = open(folder);
    let state = &*storage.state;
    let round = state.last_seq();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                for number in 0.. {
                    let name = format!("c-{round}-{thread}-{number}");
                    let twin = format!("{name}-twin");
                    let events =
                        vec![registered(&name, 1, &["base"]), registered(&twin, 1, &[&name]), failed(&twin, "x")];
                    let records = wait(state.commit(Actor::System, Box::new(|_| events))).unwrap();
                    let mut out = std::io::stdout().lock();
                    writeln!(out, "@{} {name};", records[0].seq).unwrap();
                    out.flush().unwrap();
                }
            });
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_and_nothing_is_half_there_after_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut acknowledged = Vec::new();
    for round in 0..12usize {
        let mut writer = child("writer", folder.path(), None);
        let mut lines = answers(&mut writer);
        acknowledged.extend(lines.by_ref().take(1 + round * 37 % 50));
        writer.kill().unwrap();
        acknowledged.extend(lines);
        writer.wait().unwrap();

        let storage = open(folder.path());
        for line in &acknowledged {
            // The last line may be cut by the kill.
            let Some((seq, name)) = line.strip_suffix(';').and_then(|line| line.split_once(' ')) else { continue };
            let entry = storage.state.entry(&id(name)).unwrap().unwrap_or_else(|| panic!("{line} is lost"));
            assert_eq!(entry.changed_seq, seq.parse::<u64>().unwrap());
            assert!(storage.state.entry(&id(&format!("{name}-twin"))).unwrap().is_some(), "{line} is half there");
        }
        assert_eq!(storage.state.last_seq() % 3, 0, "a decision is half there");
        let mut model = Model::default();
        for record in storage.state.records(1, usize::MAX).unwrap() {
            model.apply(&record);
        }
        model.check(&*storage.state);
        storage.close().unwrap();
    }
    assert!(acknowledged.len() > 12, "{}", acknowledged.len());
}

fn fill_the_disk(folder: &Path) {
    let limit = |current| setrlimit(Resource::Fsize, Rlimit { current, maximum: None }).unwrap();
    let storage = open(folder);
    commit(&*storage.state, vec![registered("a", 1, &[])]);
    // The index has reached its size by now; only the journal grows beyond it.
    limit(Some(3 << 20));
    let long = "x".repeat(100 << 10);
    let error = loop {
        match try_commit(&*storage.state, vec![setting(&long)]) {
            Ok(_) => assert!(storage.state.last_seq() < 100),
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, StorageError::Full { path, .. } if path.starts_with(folder.join("journal"))), "{error:?}");
    let last = storage.state.last_seq();
    assert!(last > 10, "{last}");
    assert_eq!(storage.state.records(1, 1_000).unwrap().len() as u64, last);
    // Each time again, and all of a group alike.
    let answers: Vec<_> = (0..4)
        .map(|_| {
            storage.state.commit(
                Actor::System,
                Box::new({
                    let long = long.clone();
                    move |_| vec![setting(&long)]
                }),
            )
        })
        .collect();
    for answer in answers {
        assert!(matches!(wait(answer), Err(StorageError::Full { .. })));
    }
    assert_eq!(storage.state.last_seq(), last);
    // Whoever only looks, or changes nothing, is answered as always.
    assert!(storage.state.entry(&id("a")).unwrap().is_some());
    assert_eq!(try_commit(&*storage.state, vec![]).unwrap().len(), 0);
    assert_eq!(storage.verify().unwrap().differences, []);
    limit(None);
    assert_eq!(commit(&*storage.state, vec![setting(&long)])[0].seq, last + 1);
    storage.close().unwrap();
    println!("@{}", last + 1);
}

#[test]
fn a_full_disk_leaves_everything_as_it_was_until_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    // Without the trap the system ends a process that passes its limit.
    let mut child = child("full", folder.path(), Some("trap '' XFSZ"));
    let last: Vec<String> = answers(&mut child).collect();
    assert!(child.wait().unwrap().success());
    let storage = open(folder.path());
    assert_eq!(storage.warnings(), []);
    assert_eq!(vec![storage.state.last_seq().to_string()], last);
}
