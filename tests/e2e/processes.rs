//! Several processes on one data folder, and processes that are ended in the middle.

use std::time::Duration;

use crate::harness::sandbox::{finish, text};
use crate::harness::{Sandbox, wat};

#[test]
fn many_commands_at_once_wait_for_each_other() {
    let sandbox = Sandbox::new();
    let count = 12;
    let files: Vec<_> = (0..count).map(|n| text(&sandbox.write(&format!("f{n}.wat"), wat::answer(n)))).collect();
    let ids: Vec<_> = (0..count).map(|n| format!("test:f{n}")).collect();
    let args: Vec<_> = files
        .iter()
        .zip(&ids)
        .map(|(file, id)| {
            vec!["register", file, "--id", id, "--version", "1.0.0", "--activate", "--lock-timeout", "100s"]
        })
        .collect();
    let children: Vec<_> = args.iter().map(|args| sandbox.spawn(args)).collect();
    for (child, args) in children.into_iter().zip(&args) {
        let ran = finish(child, args, None);
        assert_eq!(ran.code, 0, "{ran:#?}");
    }
    assert_eq!(sandbox.json(&["health"])["by_status"]["active"], count);
    let records = sandbox.run_json(&["log"]).documents();
    assert_eq!(records.len(), 2 * count as usize);
    for (n, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], n + 1);
    }
}

/// Components for a registration that takes a while.
fn many(sandbox: &Sandbox, count: u32) {
    for n in 0..count {
        sandbox.component(&format!("test:n{n}"), "1.0.0", "", &wat::answer(n));
    }
}

/// Starts registering many, ends it with `signal` in the middle, and returns its exit code and how many are registered.
#[cfg(unix)]
fn interrupted(sandbox: &Sandbox, count: u32, signal: rustix::process::Signal, json: bool) -> crate::harness::Ran {
    many(sandbox, count);
    let args: &[&str] = if json { &["-o", "json", "register", "components"] } else { &["register", "components"] };
    let child = sandbox.spawn(args);
    let pid = rustix::process::Pid::from_child(&child);
    // In the middle: the journal has grown.
    let begun = std::time::Instant::now();
    while journal_size(sandbox) < 4_000 && begun.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(1));
    }
    // It may have ended by itself on a quick machine: then there is nobody to signal.
    let _ = rustix::process::kill_process(pid, signal);
    finish(child, args, None)
}

#[cfg(unix)]
fn journal_size(sandbox: &Sandbox) -> u64 {
    fn below(folder: &std::path::Path) -> u64 {
        let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
        entries.flatten().filter_map(|entry| entry.metadata().ok()).map(|metadata| metadata.len()).sum()
    }
    below(&sandbox.data().join("journal"))
}

#[cfg(unix)]
#[test]
fn ctrl_c_in_the_middle_of_many_leaves_whole_components_and_says_so() {
    let sandbox = Sandbox::new();
    let count = 600;
    let ran = interrupted(&sandbox, count, rustix::process::Signal::INT, true);
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    if ran.code != 0 {
        assert_eq!(ran.code, 130, "{ran:#?}");
        let error = ran.document()["error"].clone();
        assert_eq!(error["code"], "interrupted");
        let said: String = error["message"].as_str().unwrap().to_owned();
        assert!(said.contains("registered"), "{said}");
    }
    whole(&sandbox, count);
}

#[cfg(unix)]
#[test]
fn kill_in_the_middle_of_many_loses_nothing_that_was_done() {
    let sandbox = Sandbox::new();
    let count = 600;
    let ran = interrupted(&sandbox, count, rustix::process::Signal::KILL, false);
    assert!(ran.code == 0 || ran.code == -9, "{ran:#?}");
    whole(&sandbox, count);
}

/// Checks that what is registered is whole, that the journal and the entries agree, and that the same command completes the rest.
#[cfg(unix)]
fn whole(sandbox: &Sandbox, count: u32) {
    let registered = || {
        let records = sandbox.run_json(&["log"]).documents();
        records.iter().filter(|record| record["event"] == "registered").count()
    };
    // A server ends what it has begun for a client that was killed: what counts is what stands still while it is read.
    let (mut before, mut ids) = (registered(), sandbox.ids());
    while before != registered() {
        (before, ids) = (registered(), sandbox.ids());
    }
    assert_eq!(ids.len(), before);
    if let Some(id) = ids.last() {
        sandbox.ok(&["activate", id]);
        sandbox.ok(&["call", id, "answer()"]);
    }
    sandbox.ok(&["-q", "register", "components"]);
    assert_eq!(sandbox.ids().len(), count as usize);
    let again = sandbox.json(&["register", "components"]);
    assert!(again["registered"].as_array().unwrap().iter().all(|one| one["outcome"] == "unchanged"));
}

#[cfg(unix)]
#[test]
fn ctrl_c_ends_a_call_that_never_would() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:flaky", "flaky.wat");
    sandbox.ok(&["settings", "limits.fuel=100_000_000_000", "limits.deadline=100s"]);
    sandbox.ok(&["activate", "flaky"]);
    let args = ["call", "flaky", "loop-forever()"];
    let child = sandbox.spawn(&args);
    std::thread::sleep(Duration::from_millis(700));
    rustix::process::kill_process(rustix::process::Pid::from_child(&child), rustix::process::Signal::INT).unwrap();
    let begun = std::time::Instant::now();
    let ran = finish(child, &args, None);
    assert_eq!(ran.code, 130, "{ran:#?}");
    assert!(begun.elapsed() < Duration::from_secs(30), "{ran:#?}");
    assert_eq!(sandbox.ok(&["call", "flaky", "calls()"]), "1\n");
}
