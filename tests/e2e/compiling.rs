//! Compiling strangers' bytes: bombs are refused or end with their worker, which can do nothing else, and are remembered.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::sandbox::{finish, string, text};
use crate::harness::{Ran, Sandbox, binary, bombs};

/// Whatever is waited for comes within this time, or never.
const COMES: Duration = Duration::from_secs(60);

fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begun.elapsed() < COMES, "{what} never came");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the workers of a process.
fn workers(of: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{of}/task")).into_iter().flatten().flatten();
    let children = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok());
    children.flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<u32>>()).collect()
}

fn is_alive(pid: u32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

/// Registers a component that passes the first look and takes a compiler long.
fn slow(sandbox: &Sandbox) {
    register(sandbox, bombs::functions(99_000));
}

fn register(sandbox: &Sandbox, bytes: Vec<u8>) {
    let file = sandbox.write("slow.wasm", bytes);
    sandbox.ok(&["-q", "register", &text(&file), "--id", "test:slow", "--version", "1.0.0"]);
}

fn activate(sandbox: &Sandbox) -> Ran {
    let ran = sandbox.run(&["activate", "test:slow"]);
    assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
    ran
}

fn last_error(sandbox: &Sandbox) -> serde_json::Value {
    sandbox.json(&["errors", "test:slow"])["errors"][0].clone()
}

#[test]
fn bombs_are_refused_before_they_are_compiled_and_the_sentence_says_what_is_too_much() {
    let sandbox = Sandbox::new();
    let cases: [(&str, Vec<u8>, &str); 14] = [
        ("functions", bombs::functions(1_000_000), "it has 1000000 functions, at most 100000 are allowed"),
        ("locals", bombs::locals(10_000, 50_000), "it has 50000 locals in one function, at most 10000 are allowed"),
        ("locals-summed", bombs::locals(10_000, 5_000), "locals, at most 1000000 are allowed"),
        ("long", bombs::long_function(7_000_000), "bytes in one function, at most 1048576 are allowed"),
        ("blocks", bombs::blocks(3_000_000), "function"),
        ("jumps", bombs::jumps(5_000_000), "it has 5000010 bytes in one function, at most 1048576 are allowed"),
        ("types", bombs::types(1_000_000), "it has 1000000 types, at most 20000 are allowed"),
        (
            "type-levels",
            bombs::type_levels(1_000_000),
            "it has 51 levels of types inside types, at most 50 are allowed",
        ),
        ("claimed", bombs::claimed_types(4_000_000_000), "it has 4000000000 types, at most 20000 are allowed"),
        ("levels", bombs::levels(1_000), "nested more than 100 levels deep"),
        ("elements", bombs::elements(5_000_000), "it has 5000000 elements, at most 200000 are allowed"),
        ("names", bombs::custom("name", 17 << 20), "bytes of names, at most 16777216 are allowed"),
        ("custom", bombs::custom("secret", 33 << 20), "bytes of custom sections, at most 33554432 are allowed"),
        ("size", bombs::custom("secret", 65 << 20), "64 MiB"),
    ];
    for (name, bytes, words) in cases {
        let file = text(&sandbox.write(&format!("{name}.wasm"), bytes));
        for verb in ["register", "inspect"] {
            let ran = sandbox.run(&[verb, &file]);
            ran.assert_failed(2);
            assert!(ran.stderr.contains(words), "{name}: {ran:#?}");
        }
    }
    assert!(sandbox.ids().is_empty());
}

#[test]
fn a_compilation_that_needs_too_much_ends_with_its_limit_and_is_not_tried_again() {
    for (limit, other, words, bytes) in [
        ("compile.cpu=16s", "compile.memory=100GiB", "of processor time", bombs::functions(99_000)),
        ("compile.memory=1MiB", "compile.cpu=24h", "of memory", bombs::calls(500_000)),
    ] {
        let sandbox = Sandbox::new().unserved();
        sandbox.ok(&["settings", limit, other, "compile.wall=24h"]);
        register(&sandbox, bytes);
        let first = activate(&sandbox);
        first.assert_failed(7);
        assert!(first.stderr.contains(words), "{first:#?}");
        let setting = limit.split('=').next().unwrap();
        assert!(
            first.stderr.contains(&format!("runtime settings {setting}=")),
            "a hint says how to raise it: {first:#?}"
        );
        let failure = last_error(&sandbox);
        assert_eq!((string(&failure["phase"]), string(&failure["kind"])), ("compile".to_owned(), "limit".to_owned()));
        // Another process knows it.
        let second = activate(&sandbox);
        second.assert_failed(7);
        assert!(second.stderr.contains(words) && second.stderr.contains("refused before, at 20"), "{second:#?}");
        // Under other limits it is tried again.
        sandbox.ok(&["settings", "compile.wall=23h"]);
        assert!(!activate(&sandbox).stderr.contains("refused before"));
        assert!(activate(&sandbox).stderr.contains("refused before"));
        // Whoever tidies up wants it tried again.
        sandbox.ok(&["compact"]);
        assert!(!activate(&sandbox).stderr.contains("refused before"));
        let cached = sandbox.data().join("cache");
        let shelf = std::fs::read_dir(cached).unwrap().flatten().find(|shelf| shelf.path().is_dir()).unwrap();
        let names: Vec<_> = std::fs::read_dir(shelf.path()).unwrap().flatten().map(|file| file.file_name()).collect();
        assert!(
            names.iter().all(|name| name.to_str().unwrap().ends_with(".refused")),
            "nothing half-written: {names:?}"
        );
    }
}

#[test]
fn one_that_takes_too_long_by_the_clock_is_remembered_for_some_minutes() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["settings", "compile.wall=1ms"]);
    slow(&sandbox);
    let first = activate(&sandbox);
    first.assert_failed(7);
    assert!(first.stderr.contains("of time") && first.stderr.contains("runtime settings compile.wall="), "{first:#?}");
    let second = activate(&sandbox);
    assert!(second.stderr.contains("not tried again until 20"), "{second:#?}");
}

#[test]
fn a_worker_can_reach_neither_files_nor_network_nor_processes() {
    let worker = |word: Option<&str>| {
        let mut command = Command::new(binary::path());
        command.arg("compile-worker").args(word).stdin(Stdio::null()).output().unwrap()
    };
    let said = String::from_utf8(worker(Some("--self-test")).stdout).unwrap();
    let lines: Vec<_> =
        said.lines().filter(|line| !line.starts_with("variables") && !line.starts_with("missing")).collect();
    assert_eq!(lines.len(), 8, "{said}");
    if said.contains("missing: nothing") {
        assert!(lines.iter().all(|line| line.ends_with(": permission denied")), "{said}");
    }
    // Asked nothing, it ends.
    let ended = worker(None);
    assert!(!ended.status.success() && ended.stdout.is_empty(), "{ended:?}");
}

/// Starts what compiles for a long time and waits for its worker.
fn compiling(sandbox: &Sandbox) -> (Child, u32) {
    sandbox.ok(&["settings", "compile.cpu=24h", "compile.wall=24h", "compile.memory=100GiB"]);
    slow(sandbox);
    let child = sandbox.spawn(&["activate", "test:slow"]);
    let worker = wait_for("the worker", || workers(child.id()).first().copied());
    (child, worker)
}

#[test]
fn a_killed_worker_is_a_failure_of_its_component_alone() {
    let sandbox = Sandbox::new().unserved();
    let (child, worker) = compiling(&sandbox);
    kill_process(Pid::from_raw(worker as i32).unwrap(), Signal::KILL).unwrap();
    let ran = finish(child, &["activate"], None);
    ran.assert_failed(70);
    assert!(ran.stderr.contains("the compile worker was ended by SIGKILL"), "{ran:#?}");
    assert_eq!(sandbox.status("test:slow"), "error");
    sandbox.register_fixture("test:adder", "adder.wat");
    sandbox.ok(&["activate", "test:adder"]);
}

#[test]
fn a_worker_ends_with_whoever_wanted_its_code() {
    for signal in [Signal::INT, Signal::KILL] {
        let sandbox = Sandbox::new().unserved();
        let (child, worker) = compiling(&sandbox);
        kill_process(Pid::from_child(&child), signal).unwrap();
        let ran = finish(child, &["activate"], None);
        assert!(ran.code == 130 || ran.code == -9, "{ran:#?}");
        wait_for("the worker's end", || (!is_alive(worker)).then_some(()));
    }
}

#[test]
fn where_components_are_trusted_there_is_no_worker_and_no_refusal() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["settings", "compile.trusted=true", "compile.memory=1MiB", "compile.cpu=1s"]);
    sandbox.register_fixture("test:adder", "adder.wat");
    sandbox.ok(&["activate", "test:adder"]);
    slow(&sandbox);
    let child = sandbox.spawn(&["activate", "test:slow"]);
    let pid = child.id();
    // What it compiles with is this process: nobody else is there to be found, however often one looks.
    for _ in 0..20 {
        assert!(workers(pid).is_empty());
        std::thread::sleep(Duration::from_millis(5));
    }
    kill_process(Pid::from_child(&child), Signal::KILL).unwrap();
    finish(child, &["activate"], None);
}

/// The most memory that a process had, in KiB.
fn peak_kib(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn a_server_keeps_its_memory_while_bombs_go_off() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["settings", "compile.cpu=16s"]);
    sandbox.register_fixture("test:adder", "adder.wat");
    let mut server = sandbox.spawn(&["serve", "--scrub", "off"]);
    wait_for("the server", || sandbox.data().join("runtime.sock").exists().then_some(()));
    sandbox.ok(&["activate", "test:adder"]);
    sandbox.ok(&["call", "test:adder", "add(1, 2)"]);
    let before = peak_kib(server.id());
    let refused = [
        bombs::functions(1_000_000),
        bombs::locals(10_000, 50_000),
        bombs::long_function(7_000_000),
        bombs::blocks(3_000_000),
        bombs::jumps(5_000_000),
        bombs::types(1_000_000),
        bombs::type_levels(100_000),
        bombs::elements(5_000_000),
    ];
    for bytes in refused {
        let file = sandbox.write("bomb.wasm", bytes);
        sandbox.run(&["register", &text(&file)]).assert_failed(2);
    }
    slow(&sandbox);
    activate(&sandbox).assert_failed(7);
    let grown = peak_kib(server.id()) - before;
    assert!(grown < 32 << 10, "the server grew by {grown} KiB");
    assert_eq!(sandbox.ok(&["call", "test:adder", "add(1, 2)"]), "3\n");
    server.kill().unwrap();
    server.wait().unwrap();
}
