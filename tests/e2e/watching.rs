//! `runtime watch`: what changes is built and put in service, what cannot be built leaves the old one there.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::Child;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

use crate::harness::Sandbox;
use crate::harness::sandbox::{finish, text};
use crate::harness::wat;
use crate::serving::Server;

/// No step takes this long; one that does hangs.
const EVENT_MAX: Duration = Duration::from_secs(60);

/// Stands for the number in the source of a component.
const MARK: u32 = 41_414_141;

/// A watch of a sandbox, ended with the test.
struct Watch {
    child: Option<Child>,
    events: Receiver<Value>,
    seen: Vec<Value>,
}

impl Watch {
    /// Starts it and waits until its first pass is over.
    fn start(sandbox: &Sandbox, args: &[&str]) -> Self {
        let args: Vec<_> = ["-o", "json", "watch"].into_iter().chain(args.iter().copied()).collect();
        let mut child = sandbox.spawn(&args);
        let stdout = BufReader::new(child.stdout.take().unwrap());
        let (send, events) = channel();
        std::thread::spawn(move || {
            for line in stdout.lines() {
                let event = serde_json::from_str(&line.unwrap()).unwrap();
                if send.send(event).is_err() {
                    return;
                }
            }
        });
        let mut watch = Self { child: Some(child), events, seen: Vec::new() };
        watch.until("watching");
        watch
    }

    /// Waits for an event of this name, and forgets what came before.
    fn until(&mut self, name: &str) -> Value {
        loop {
            let Ok(event) = self.events.recv_timeout(EVENT_MAX) else {
                let child = self.child.take().map(|mut child| {
                    let _ = child.kill();
                    finish(child, &["watch"], None)
                });
                panic!("no event `{name}` after {:#?}\n{child:#?}", self.seen);
            };
            self.seen.push(event.clone());
            if event["event"] == name {
                return event;
            }
        }
    }

    /// Counts events of this name so far.
    fn count(&mut self, name: &str) -> usize {
        self.seen.extend(self.events.try_iter());
        self.seen.iter().filter(|event| event["event"] == name).count()
    }

    /// Presses Ctrl-C and returns the exit code.
    fn interrupt(mut self) -> i32 {
        let child = self.child.take().unwrap();
        kill_process(Pid::from_child(&child), Signal::INT).unwrap();
        finish(child, &["watch"], None).code
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Makes a component that is built from a file with a number, which it answers; what is no number cannot be built.
fn component(sandbox: &Sandbox, name: &str, number: &str) -> PathBuf {
    let folder = format!("all/{name}");
    // The template first: without a manifest it is no component yet.
    sandbox.write(&format!("{folder}/template"), wat::answer(MARK));
    sandbox.write(&format!("{folder}/number"), number);
    sandbox.write(&format!("{folder}/component.toml"), manifest(name, "")).parent().unwrap().to_owned()
}

fn manifest(name: &str, more: &str) -> String {
    let command = format!(
        "grep -qx '[0-9]*' number || {{ echo \"number:1: $(cat number) is no number\" >&2; exit 1; }}; \
         mkdir -p build && sed \"s/{MARK}/$(cat number)/\" template > build/one.wat"
    );
    let command = command.replace('\\', "\\\\").replace('"', "\\\"");
    format!(
        "id = \"test:{name}\"\nversion = \"1.0.0\"\n{more}[build]\ncommand = \"{command}\"\noutput = \"build/one.wat\"\n"
    )
}

fn answer(sandbox: &Sandbox, name: &str) -> String {
    sandbox.ok(&["call", &format!("test:{name}"), "answer()"]).trim().to_owned()
}

/// Waits until a process that was killed is gone, or is only still to be waited for by whoever inherited it.
fn until_gone(pid: Pid) {
    let stat = format!("/proc/{}/stat", pid.as_raw_nonzero());
    let begun = Instant::now();
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(begun.elapsed() < EVENT_MAX, "process {pid:?} is still there");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_changes_is_built_and_put_in_service_and_what_cannot_be_built_is_not() {
    let sandbox = Sandbox::new();
    component(&sandbox, "one", "1");
    let mut watch = Watch::start(&sandbox, &["all"]);
    assert_eq!(answer(&sandbox, "one"), "1");

    sandbox.write("all/one/number", "2");
    let swapped = watch.until("swapped");
    assert_eq!((&swapped["component"], &swapped["from"]), (&json!("test:one"), &json!("1.0.0")), "{swapped}");
    assert_eq!((&swapped["from_revision"], &swapped["revision"]), (&json!(1), &json!(2)), "{swapped}");
    assert_eq!(answer(&sandbox, "one"), "2");

    sandbox.write("all/one/number", "oops");
    let said = watch.until("output");
    assert_eq!(said["line"], "number:1: oops is no number");
    let failed = watch.until("build-failed");
    assert_eq!((&failed["kept"]["revision"], &failed["output"][0]), (&json!(2), &said["line"]), "{failed}");
    assert_eq!(answer(&sandbox, "one"), "2");

    sandbox.write("all/one/number", "3");
    watch.until("swapped");
    assert_eq!(answer(&sandbox, "one"), "3");

    // Other sources, the same component.
    sandbox.write("all/one/notes", "nothing of this is in it");
    let unchanged = watch.until("unchanged");
    assert_eq!(unchanged["revision"], 3, "{unchanged}");
    // The same sources once more, and what builds and editors leave: nobody looks up.
    sandbox.write("all/one/number", "3");
    sandbox.write("all/one/target/debug/one.o", "made");
    sandbox.write("all/one/.number.swp", "4");

    let builds = watch.count("building");
    sandbox.write("all/one/component.toml", manifest("one", "description = \"Answers\"\n"));
    assert_eq!(watch.until("swapped")["revision"], 4);
    assert_eq!(watch.count("building"), builds, "nothing was built for a changed manifest: {:#?}", watch.seen);
    assert_eq!(sandbox.json(&["show", "test:one"])["description"], "Answers");

    sandbox.write("all/one/component.toml", "no manifest");
    let refused = watch.until("refused");
    assert_eq!((&refused["error"]["code"], &refused["kept"]["revision"]), (&json!("invalid-manifest"), &json!(4)));
    assert_eq!(answer(&sandbox, "one"), "3");

    let two = component(&sandbox, "two", "22");
    assert_eq!(watch.until("found")["component"], "two");
    assert_eq!(watch.until("activated")["component"], "test:two");
    assert_eq!(answer(&sandbox, "two"), "22");
    std::fs::remove_dir_all(two).unwrap();
    assert_eq!(watch.until("removed")["component"], "test:two");
    assert_eq!((sandbox.status("test:two"), answer(&sandbox, "two")), ("active".to_owned(), "22".to_owned()));
    assert_eq!(watch.interrupt(), 130);
}

#[test]
fn components_without_a_build_are_registered_as_they_change() {
    let sandbox = Sandbox::new();
    sandbox.write("all/bare.wat", wat::answer(1));
    let folder = sandbox.component("test:plain", "1.0.0", "", &wat::answer(2));
    let mut watch = Watch::start(&sandbox, &["--poll=20ms", "all", &text(&folder)]);
    assert_eq!(sandbox.ok(&["call", "local:bare", "answer()"]), "1\n");
    sandbox.write("all/bare.wat", wat::answer(10));
    assert_eq!(watch.until("swapped")["component"], "local:bare");
    sandbox.write("components/test-plain/component.wat", wat::answer(20));
    assert_eq!(watch.until("swapped")["component"], "test:plain");
    assert_eq!(sandbox.ok(&["call", "test:plain", "answer()"]), "20\n");
}

#[test]
fn a_storm_of_writes_is_one_build_and_what_changes_together_is_placed_together() {
    let sandbox = Sandbox::new();
    component(&sandbox, "one", "1");
    component(&sandbox, "two", "1");
    let mut watch = Watch::start(&sandbox, &["all", "--debounce", "400ms"]);
    let builds = watch.count("building");
    for number in 2..=60 {
        sandbox.write("all/one/number", number.to_string());
        sandbox.write("all/two/number", number.to_string());
    }
    watch.until("swapped");
    watch.until("swapped");
    assert_eq!((answer(&sandbox, "one"), answer(&sandbox, "two")), ("60".to_owned(), "60".to_owned()));
    assert!(watch.count("building") <= builds + 4, "{:#?}", watch.seen);
}

#[test]
fn a_build_that_never_ends_is_ended_by_the_next_change_by_time_and_with_the_watch() {
    let sandbox = Sandbox::new();
    component(&sandbox, "one", "1");
    let mut watch = Watch::start(&sandbox, &["all"]);
    let hangs = manifest("one", "").replace("grep", "echo $$; test ! -e hang || sleep 600; grep");
    let pid = |event: Value| Pid::from_raw(event["line"].as_str().unwrap().parse().unwrap()).unwrap();
    sandbox.write("all/one/hang", "");
    sandbox.write("all/one/component.toml", &hangs);
    let first = pid(watch.until("output"));
    std::fs::remove_file(sandbox.work().join("all/one/hang")).unwrap();
    sandbox.write("all/one/number", "2");
    watch.until("broken-off");
    watch.until("swapped");
    assert_eq!(answer(&sandbox, "one"), "2");
    test_kill_process(first).unwrap_err();

    sandbox.write("all/one/hang", "");
    let second = pid(watch.until("output"));
    assert_eq!(watch.interrupt(), 130);
    until_gone(second);

    let once = sandbox.run_json(&["watch", "all", "--once", "--build-timeout", "100ms"]);
    let failed = once.documents().into_iter().find(|event| event["event"] == "build-failed").unwrap();
    assert_eq!((once.code, &failed["message"]), (2, &json!("it took longer than 0.1 s")), "{once:#?}");
}

#[test]
fn calls_do_not_fail_while_their_component_is_replaced() {
    let sandbox = Sandbox::new().unserved();
    component(&sandbox, "one", "1");
    let _server = Server::start(&sandbox, &[]);
    let mut watch = Watch::start(&sandbox, &["all"]);
    let (over, calls) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    answer(&sandbox, "one");
                    calls.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for number in 2..=6 {
            sandbox.write("all/one/number", number.to_string());
            watch.until("swapped");
        }
        over.store(true, Ordering::Relaxed);
    });
    assert_eq!(answer(&sandbox, "one"), "6");
    assert!(calls.load(Ordering::Relaxed) > 0);
}

#[test]
fn one_pass_ends_with_the_code_of_what_failed() {
    let sandbox = Sandbox::new();
    let (_, error) = sandbox.fails(&["watch", "nowhere"], 3);
    assert_eq!(error["code"], "path-not-found");
    component(&sandbox, "one", "1");
    let said = sandbox.ok(&["watch", "all", "--once"]);
    assert!(said.contains(" one building: ") || said.contains(" test:one building: "), "{said}");
    assert!(said.contains(" test:one activated 1.0.0 r1 in "), "{said}");
    let again = sandbox.ok(&["watch", "all", "--once"]);
    assert!(again.contains(" test:one unchanged 1.0.0 r1") && !again.contains("building"), "{again}");
    sandbox.write("all/one/number", "\u{1b}[2Joops");
    let ran = sandbox.run(&["watch", "all", "--once"]);
    assert_eq!(ran.code, 2, "{ran:#?}");
    assert!(ran.stdout.contains(" not in service: the build failed: it ended with exit code 1"), "{ran:#?}");
    assert!(ran.stderr.contains("test:one | number:1: \\u{1b}[2Joops is no number"), "{ran:#?}");
}

#[test]
fn a_revision_that_breaks_others_waits_for_one_that_fits() {
    let sandbox = Sandbox::new();
    let base = |version: &str| wat::node_versioned("base", version, &[]);
    let folder = sandbox.component("test:base", "1.0.0", "", &base("1.0.0"));
    sandbox.component("test:top", "1.0.0", "", &wat::node("top", &["base"]));
    let mut watch = Watch::start(&sandbox, &["components"]);
    sandbox.write("components/test-base/component.wat", base("2.0.0"));
    let refused = watch.until("refused");
    assert_eq!((&refused["error"]["code"], &refused["kept"]["revision"]), (&json!("breaking"), &json!(1)), "{refused}");
    assert_eq!(refused["error"]["broken"][0]["id"], "test:top", "{refused}");
    assert_eq!(sandbox.ok(&["call", "test:top", "get()"]), "2\n");
    sandbox.write("components/test-base/component.wat", base("1.1.0"));
    assert_eq!(watch.until("swapped")["component"], "test:base");
    assert!(folder.is_dir());
    assert_eq!(sandbox.ok(&["call", "test:top", "get()"]), "2\n");
}
