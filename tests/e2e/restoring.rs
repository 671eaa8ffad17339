//! `restore --replace` that is killed: the folder is the old or the new registry, and the next command says what is left.

use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::sandbox::{finish, text};
use crate::harness::{Sandbox, wat};

/// More points than a restore has.
const POINTS_MAX: u64 = 500;

const OLD: [&str; 1] = ["test:old"];
const NEW: [&str; 3] = ["test:new-1", "test:new-2", "test:new-3"];

/// Makes a backup of three components, `new.tar`, and a registry with another one, which is returned.
fn prepared() -> (Sandbox, PathBuf) {
    let sandbox = Sandbox::new().unserved();
    for (number, id) in NEW.iter().enumerate() {
        sandbox.register(id, &wat::answer(number as u32));
    }
    sandbox.ok(&["-q", "activate", "--all"]);
    sandbox.ok(&["backup", "new.tar"]);
    let registry = sandbox.work().join("old");
    let file = text(&sandbox.write("old.wat", wat::answer(7)));
    let data = text(&registry);
    sandbox.ok(&["--data", &data, "register", &file, "--id", OLD[0], "--version", "1.0.0", "--activate"]);
    (sandbox, registry)
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in std::fs::read_dir(from).unwrap() {
        let file = file.unwrap();
        match file.file_type().unwrap().is_dir() {
            true => copy(&file.path(), &to.join(file.file_name())),
            false => drop(std::fs::copy(file.path(), to.join(file.file_name())).unwrap()),
        }
    }
}

/// Returns the ids of a registry that answers and is whole.
fn ids(sandbox: &Sandbox, data: &str) -> Vec<String> {
    assert_eq!(sandbox.json(&["--data", data, "verify"])["ok"], true);
    let list = sandbox.json(&["--data", data, "list"]);
    let ids: Vec<String> =
        list["components"].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect();
    sandbox.ok(&["--data", data, "call", &ids[0], "answer()"]);
    ids
}

/// Returns the folders beside `data`, ordered, but for itself.
fn beside(data: &Path) -> Vec<PathBuf> {
    let found = std::fs::read_dir(data.parent().unwrap()).unwrap().map(|found| found.unwrap().path());
    let mut found: Vec<_> = found.filter(|path| path.is_dir() && path != data).collect();
    found.sort();
    found
}

/// Checks what a restore left that was killed, and that the next one completes it. Tells whether the new registry was there already.
fn check(sandbox: &Sandbox, data: &Path, when: &str) -> bool {
    let folder = text(data);
    let left = beside(data);
    let next = sandbox.run(&["--data", &folder, "list"]);
    assert_eq!(next.code, 0, "{when}: {next:#?}");
    let found = ids(sandbox, &folder);
    let is_new = found == NEW;
    assert!(is_new || found == OLD, "{when}: {found:?}");
    if is_new {
        // The registry that was replaced has a name that says so, and nothing else is left.
        let [old] = &beside(data)[..] else { panic!("{when}: {left:?}") };
        assert!(old.to_str().unwrap().contains(".before-restore-"), "{when}: {left:?}");
        assert_eq!(ids(sandbox, &text(old)), OLD, "{when}");
        let is_named = left.contains(old) || next.stderr.contains(old.to_str().unwrap());
        assert!(is_named, "{when}: {next:#?}");
        let after = sandbox.run(&["--data", &folder, "list"]);
        assert_eq!(after.stderr, "", "{when}: it is said once");
    } else if let [left] = &left[..] {
        assert!(next.stderr.contains("runtime restore --replace"), "{when}: {next:#?}");
        assert!(next.stderr.contains(left.to_str().unwrap()), "{when}: {next:#?}");
    } else {
        assert!(left.is_empty() && next.stderr.is_empty(), "{when}: {left:?} {next:#?}");
    }
    sandbox.ok(&["--data", &folder, "restore", "new.tar", "--replace"]);
    assert_eq!(ids(sandbox, &folder), NEW, "{when}");
    let olds: Vec<_> = beside(data).into_iter().filter(|folder| ids(sandbox, &text(folder)) == OLD).collect();
    assert_eq!(olds.len(), 1, "{when}: the registry that was replaced is kept");
    assert!(beside(data).iter().all(|folder| folder.to_str().unwrap().contains(".before-restore-")), "{when}");
    assert_eq!(sandbox.run(&["--data", &folder, "list"]).stderr, "", "{when}");
    is_new
}

#[test]
fn a_restore_that_is_killed_leaves_the_old_or_the_new_registry() {
    let (sandbox, registry) = prepared();
    let (mut old, mut new) = (0, 0);
    for at in 1..POINTS_MAX {
        let data = sandbox.work().join(format!("point-{at}/data"));
        copy(&registry, &data);
        let args = ["--data", &text(&data), "restore", "new.tar", "--replace"];
        let mut command = sandbox.command(&args);
        command.env("RUNTIME_FAIL_AT", at.to_string());
        let (out, err) = (std::process::Stdio::piped(), std::process::Stdio::piped());
        let ran = finish(command.stdout(out).stderr(err).spawn().unwrap(), &args, None);
        if ran.code == 0 {
            // All points were passed; a program for use has none.
            assert!(at == 1 || (old > 3 && new > 3), "{old} old, {new} new");
            return;
        }
        assert_eq!(ran.code, -6, "point {at}: {ran:#?}");
        *if check(&sandbox, &data, &format!("point {at}: {}", ran.stderr)) { &mut new } else { &mut old } += 1;
        std::fs::remove_dir_all(data.parent().unwrap()).unwrap();
    }
    panic!("a restore has more points than {POINTS_MAX}");
}

#[test]
fn a_restore_that_is_killed_while_it_copies_leaves_the_old_registry() {
    let (sandbox, registry) = prepared();
    for round in 0..5 {
        let data = sandbox.work().join(format!("round-{round}/data"));
        copy(&registry, &data);
        let args = ["--data", &text(&data), "restore", "new.tar", "--replace"];
        let child = sandbox.spawn(&args);
        let begun = std::time::Instant::now();
        while beside(&data).is_empty() && begun.elapsed().as_secs() < 60 {
            std::thread::yield_now();
        }
        // It may have been faster: then there is nobody to kill.
        let _ = kill_process(Pid::from_child(&child), Signal::KILL);
        let ran = finish(child, &args, None);
        assert!([0, -9].contains(&ran.code), "{ran:#?}");
        check(&sandbox, &data, &format!("round {round}"));
    }
}
