//! `runtime serve`: every verb finds it and runs in it, and it ends in order.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::process::{Child, ChildStdout};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::harness::Sandbox;
use crate::harness::sandbox::{Ran, finish, string};

/// A server of a sandbox's data folder, ended with the test.
pub(crate) struct Server {
    child: Option<Child>,
    /// Kept open: a server that cannot print is not what is tested.
    _stdout: BufReader<ChildStdout>,
    /// What it said when it was ready.
    said: String,
}

impl Server {
    pub(crate) fn start(sandbox: &Sandbox, more: &[&str]) -> Self {
        let args: Vec<&str> = ["-o", "json", "serve"].iter().chain(more).copied().collect();
        let mut child = sandbox.spawn(&args);
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        let mut said = String::new();
        stdout.read_line(&mut said).unwrap();
        if said.is_empty() {
            panic!("it does not serve: {:#?}", finish(child, &args, None));
        }
        Self { child: Some(child), _stdout: stdout, said }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(self.child.as_ref().unwrap()), signal).unwrap();
    }

    /// Waits for its end.
    fn end(mut self) -> Ran {
        finish(self.child.take().unwrap(), &["serve"], None)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// An answer with what differs from run to run taken out.
fn same(mut document: serde_json::Value) -> serde_json::Value {
    fn strip(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(map) => {
                for key in [
                    "duration_us",
                    "changed_at",
                    // Refusals are counted, and written when a process ends or after a while.
                    "seq",
                    "registered_at",
                    "last_accessed",
                    "last_modified",
                    "path",
                    "instance",
                    "instances",
                    "supervision",
                    "mappings",
                    "mappings_percentage",
                    "at",
                    "activation_us",
                ] {
                    map.remove(key);
                }
                map.values_mut().for_each(strip);
            }
            serde_json::Value::Array(values) => values.iter_mut().for_each(strip),
            _ => {}
        }
    }
    strip(&mut document);
    document
}

#[test]
fn verbs_answer_the_same_through_a_server_as_without() {
    let (alone, served) = (Sandbox::new().unserved(), Sandbox::new().unserved());
    let server = Server::start(&served, &[]);
    for sandbox in [&alone, &served] {
        sandbox.fixture("adder.wat");
        sandbox.fixture("flaky.wat");
    }
    let verbs: &[&[&str]] = &[
        &["register", "adder.wat", "--id", "test:adder", "--version", "1.0.0"],
        &["register", "flaky.wat", "--id", "test:flaky", "--version", "1.0.0"],
        &["register", "nothing.wat"],
        &["inspect", "adder.wat"],
        &["scan", "."],
        &["activate", "--all"],
        &["call", "test:adder", "add(1, 2)"],
        &["call", "test:adder", "add(1)"],
        &["call", "test:adder", "sub(1, 2)"],
        &["call", "test:flaky", "trap()"],
        &["errors"],
        &["depend", "test:adder", "--on", "test:flaky"],
        &["depend", "test:flaky", "--on", "test:adder"],
        &["deps", "test:adder"],
        &["dependents", "test:flaky"],
        &["order"],
        &["graph"],
        &["show", "test:adder"],
        &["list", "--where", "version=1.0.0"],
        &["status", "test:flaky", "--set", "error", "--message", "by hand"],
        &["health"],
        &["settings", "limits.fuel=200_000_000"],
        &["settings", "limits.full"],
        &["index", "create", "team"],
        &["wit", "test:adder"],
        &["unregister", "test:flaky"],
        &["deactivate", "test:adder"],
        &["lst"],
    ];
    for verb in verbs {
        let (direct, through) = (alone.run_json(verb), served.run_json(verb));
        assert_eq!(through.code, direct.code, "{through:#?} {direct:#?}");
        let texts = [&direct, &through].map(|ran| {
            // A path that was typed relative to the caller's folder is looked up, and named, from the root.
            same(
                serde_json::from_str(&ran.stdout.replace(&format!("{}/", served.work().display()), ""))
                    .unwrap_or_default(),
            )
        });
        assert_eq!(texts[1], texts[0], "{verb:?}");
        let (direct, through) = (alone.run(verb), served.run(verb));
        assert_eq!(through.code, direct.code, "{through:#?} {direct:#?}");
    }
    assert!(served.ok(&["log"]).lines().count() > 10);
    drop(server);
}

#[test]
fn keeps_instances_between_commands_and_brings_them_back_after_a_restart() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register_fixture("test:flaky", "flaky.wat");
    sandbox.ok(&["-q", "activate", "test:flaky"]);
    assert_eq!(sandbox.ok(&["call", "test:flaky", "calls"]), "1\n");
    assert_eq!(sandbox.ok(&["call", "test:flaky", "calls"]), "1\n", "each process makes an instance");
    let server = Server::start(&sandbox, &[]);
    assert!(server.said.contains("\"live\":1"), "{}", server.said);
    let socket = sandbox.data().join("runtime.sock");
    let metadata = std::fs::metadata(&socket).unwrap();
    assert!(metadata.file_type().is_socket() && metadata.permissions().mode() & 0o777 == 0o600);
    assert_eq!(sandbox.ok(&["call", "test:flaky", "calls"]), "1\n");
    assert_eq!(sandbox.ok(&["call", "test:flaky", "calls"]), "2\n");
    assert_eq!(sandbox.json(&["show", "test:flaky"])["instance"], "live");
    server.signal(Signal::TERM);
    let ran = server.end();
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(!socket.exists());
    let server = Server::start(&sandbox, &[]);
    assert_eq!(sandbox.json(&["show", "test:flaky"])["instance"], "live");
    assert_eq!(sandbox.ok(&["call", "test:flaky", "calls"]), "1\n");
    server.signal(Signal::INT);
    assert_eq!(server.end().code, 0);
    assert_eq!(sandbox.status("test:flaky"), "active");
}

#[test]
fn a_call_under_way_ends_before_the_server_does() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register_fixture("test:flaky", "flaky.wat");
    sandbox.ok(&["-q", "activate", "test:flaky"]);
    sandbox.ok(&["settings", "limits.fuel=90_000_000_000"]);
    sandbox.ok(&["-q", "deactivate", "test:flaky"]);
    sandbox.ok(&["-q", "activate", "test:flaky"]);
    let server = Server::start(&sandbox, &[]);
    let args = ["-o", "json", "call", "test:flaky", "loop-forever", "--timeout", "1500ms"];
    let call = sandbox.spawn(&args);
    // Until the guest runs.
    std::thread::sleep(Duration::from_millis(400));
    server.signal(Signal::TERM);
    let ran = finish(call, &args, None);
    assert_eq!(ran.code, 7, "{ran:#?}");
    assert_eq!(ran.document()["error"]["failure"]["kind"], "deadline", "{ran:#?}");
    assert_eq!(server.end().code, 0);
    assert_eq!(sandbox.json(&["errors", "test:flaky"])["errors"][0]["kind"], "deadline");
}

#[test]
fn ctrl_c_ends_the_command_and_not_the_server() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["settings", "limits.fuel=90_000_000_000", "limits.deadline=\"60s\""]);
    sandbox.register_fixture("test:flaky", "flaky.wat");
    sandbox.ok(&["-q", "activate", "test:flaky"]);
    let server = Server::start(&sandbox, &[]);
    let args = ["call", "test:flaky", "loop-forever"];
    let begun = Instant::now();
    let call = sandbox.spawn(&args);
    std::thread::sleep(Duration::from_millis(400));
    kill_process(Pid::from_child(&call), Signal::INT).unwrap();
    let ran = finish(call, &args, None);
    assert_eq!(ran.code, 130, "{ran:#?}");
    assert!(ran.stderr.contains("interrupted"), "{ran:#?}");
    assert!(begun.elapsed() < Duration::from_secs(30));
    assert_eq!(sandbox.ok(&["call", "test:flaky", "calls"]), "1\n");
    drop(server);
}

#[test]
fn a_client_that_is_killed_leaves_nothing_running() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["settings", "limits.fuel=90_000_000_000", "limits.deadline=\"60s\""]);
    sandbox.register_fixture("test:flaky", "flaky.wat");
    sandbox.ok(&["-q", "activate", "test:flaky"]);
    let server = Server::start(&sandbox, &[]);
    let mut call = sandbox.spawn(&["call", "test:flaky", "loop-forever"]);
    std::thread::sleep(Duration::from_millis(400));
    call.kill().unwrap();
    call.wait().unwrap();
    // The instance would be busy for a minute otherwise.
    assert_eq!(sandbox.ok(&["call", "test:flaky", "calls", "--timeout", "20s"]), "1\n");
    drop(server);
}

#[test]
fn a_socket_that_was_left_behind_is_no_server() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register_fixture("test:adder", "adder.wat");
    let server = Server::start(&sandbox, &[]);
    server.signal(Signal::KILL);
    assert!(server.end().code != 0);
    assert!(sandbox.data().join("runtime.sock").exists());
    sandbox.ok(&["-q", "activate", "test:adder"]);
    assert_eq!(sandbox.ok(&["call", "test:adder", "add(1, 2)"]), "3\n");
    let server = Server::start(&sandbox, &[]);
    assert_eq!(sandbox.ok(&["call", "test:adder", "add(2, 2)"]), "4\n");
    drop(server);
}

#[test]
fn a_second_server_is_told_who_holds_the_folder() {
    let sandbox = Sandbox::new().unserved();
    let server = Server::start(&sandbox, &[]);
    let ran = sandbox.run_json(&["serve", "--lock-timeout", "200ms"]);
    ran.assert_failed(8);
    let message = ran.document()["error"]["message"].as_str().unwrap().to_owned();
    let pid = server.child.as_ref().unwrap().id();
    assert!(
        message.contains(&pid.to_string()) && message.contains("serve") && message.contains(" since 2"),
        "{message}"
    );
    let hints = ran.document()["error"]["hints"].to_string();
    assert!(hints.contains("runtime.sock") && hints.contains(&format!("kill {pid}")), "{hints}");
    assert_eq!(sandbox.ids(), [""; 0]);
    drop(server);
}

#[test]
fn damaged_bytes_are_found_while_it_serves_and_mended_from_a_backup() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register_fixture("test:adder", "adder.wat");
    sandbox.ok(&["backup", "kept/"]);
    let digest = string(&sandbox.json(&["show", "test:adder"])["digest"]);
    let hex = digest.strip_prefix("sha256:").unwrap();
    let blob = sandbox.data().join("blobs/sha256").join(&hex[..2]).join(hex);
    let whole = std::fs::read(&blob).unwrap();
    let mut damaged = whole.clone();
    damaged[9] ^= 1;
    std::fs::write(&blob, &damaged).unwrap();
    sandbox.fails(&["serve", "--scrub-backup", "nowhere"], 2);
    let server = Server::start(&sandbox, &["--scrub", "off"]);
    server.signal(Signal::TERM);
    assert!(!server.end().stderr.contains("is damaged"));
    let server = Server::start(&sandbox, &["--scrub", "1GiB", "--scrub-backup", "kept"]);
    let give_up = Instant::now() + Duration::from_secs(60);
    while std::fs::read(&blob).unwrap() != whole {
        assert!(Instant::now() < give_up, "it was not mended");
        std::thread::sleep(Duration::from_millis(20));
    }
    sandbox.ok(&["verify"]);
    server.signal(Signal::TERM);
    let ran = server.end();
    assert!(ran.stderr.contains("is damaged") && ran.stderr.contains("mended from the backup"), "{ran:#?}");
}

#[test]
fn standard_input_and_guests_output_travel() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register_fixture("test:chatty", "chatty.wat");
    let server = Server::start(&sandbox, &[]);
    let ran = sandbox.run_with_input(&["status", "--set-from", "-"], "{\"test:chatty\": \"active\"}");
    assert_eq!(ran.code, 0, "{ran:#?}");
    let ran = sandbox.run(&["call", "test:chatty", "speak()"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("test:chatty | warn beak: red \\u{1b}[31malert"), "{ran:#?}");
    let quiet = sandbox.run(&["-q", "call", "test:chatty", "speak()"]);
    assert_eq!(quiet.stderr, "");
    drop(server);
}

#[test]
fn a_stream_ends_with_the_server() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register_fixture("test:adder", "adder.wat");
    let server = Server::start(&sandbox, &[]);
    let args = ["-o", "json", "log", "--follow"];
    let follow = sandbox.spawn(&args);
    std::thread::sleep(Duration::from_millis(300));
    sandbox.ok(&["-q", "activate", "test:adder"]);
    std::thread::sleep(Duration::from_millis(1_000));
    let begun = Instant::now();
    server.signal(Signal::TERM);
    let ran = finish(follow, &args, None);
    assert_eq!(ran.code, 0, "{ran:#?}");
    let events: Vec<_> = ran.documents().iter().map(|record| record["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(events, ["registered", "activated"]);
    assert_eq!(server.end().code, 0);
    assert!(begun.elapsed() < Duration::from_secs(9), "it does not wait for its reader until the end of the drain");
}

#[test]
fn many_clients_at_once() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register_fixture("test:adder", "adder.wat");
    sandbox.ok(&["-q", "activate", "test:adder"]);
    let server = Server::start(&sandbox, &[]);
    let children: Vec<_> = (0..24)
        .map(|n| {
            let call = format!("add({n}, 1)");
            (n, sandbox.spawn(&["call", "test:adder", &call]))
        })
        .collect();
    for (n, child) in children {
        let ran = finish(child, &["call"], None);
        assert_eq!((ran.code, ran.stdout), (0, format!("{}\n", n + 1)));
    }
    drop(server);
}
