//! Revisions of one component that are active side by side, because dependents need different ones.

use serde_json::{Value, json};

use crate::harness::Sandbox;
use crate::harness::sandbox::{finish, fixture, text};
use crate::harness::wat;
use crate::serving::Server;

/// More points than a change of revisions has.
const POINTS_MAX: u64 = 250;

/// Exports `demo:log/sink` in a version, whose `write` answers `answer`.
fn log(version: &str, answer: u32) -> String {
    format!(
        "(component
          (core module $m (func (export \"write\") (result i32) (i32.const {answer})))
          (core instance $i (instantiate $m))
          (func $write (result u32) (canon lift (core func $i \"write\")))
          (instance $sink (export \"write\" (func $write)))
          (export \"demo:log/sink@{version}\" (instance $sink)))"
    )
}

/// Imports it in a version, and counts how often it was called besides: `run` answers a hundred for each call and what `write` says.
fn user(version: &str) -> String {
    format!(
        "(component
          (import \"demo:log/sink@{version}\" (instance $log (export \"write\" (func (result u32)))))
          (core func $write (canon lower (func $log \"write\")))
          (core module $m
            (import \"log\" \"write\" (func $write (result i32)))
            (global $calls (mut i32) (i32.const 0))
            (func (export \"run\") (result i32)
              (global.set $calls (i32.add (global.get $calls) (i32.const 100)))
              (i32.add (global.get $calls) (call $write))))
          (core instance $i (instantiate $m (with \"log\" (instance (export \"write\" (func $write))))))
          (func (export \"run\") (result u32) (canon lift (core func $i \"run\"))))"
    )
}

/// A log, and two who go with its first version alone, all active; versions that go with the second one wait.
fn running(sandbox: &Sandbox) {
    sandbox.register("demo:log", &log("1.0.0", 1));
    for id in ["demo:shop", "demo:bill"] {
        sandbox.register(id, &user("1.0.0"));
    }
    sandbox.ok(&["-q", "activate", "shop", "bill"]);
    sandbox.register_version("demo:log", "2.0.0", &log("2.0.0", 2));
}

fn run(sandbox: &Sandbox, id: &str) -> u64 {
    sandbox.json(&["call", id, "run()"])["result"].as_u64().unwrap()
}

fn beside(sandbox: &Sandbox) -> Value {
    beside_of(sandbox, "log")
}

fn beside_of(sandbox: &Sandbox, id: &str) -> Value {
    sandbox.json(&["show", id]).get("beside").cloned().unwrap_or_default()
}

#[test]
fn components_that_need_each_other_in_new_versions_go_there_one_after_the_other() {
    let sandbox = Sandbox::new().unserved();
    running(&sandbox);
    let _server = Server::start(&sandbox, &[]);
    assert_eq!((run(&sandbox, "shop"), run(&sandbox, "bill")), (101, 101));
    insta::assert_snapshot!(sandbox.ok(&["plan", "use", "log@2.0.0"]), @r"
    uses demo:log 2.0.0 (revision 2) in the place of 1.0.0 (revision 1): breaking
      ~ export demo:log/sink@2.0.0, was demo:log/sink@1.0.0, breaking
    keeps demo:log@1.0.0 active beside it for demo:bill, demo:shop
    nothing that is active would break
    ");
    insta::assert_snapshot!(sandbox.ok(&["use", "log@2.0.0"]), @r"
    demo:log 2.0.0 (revision 2) is active in the place of 1.0.0 (revision 1)
    demo:log@1.0.0 stays active beside it for demo:bill, demo:shop
    ");
    // Neither they nor what they call was restarted.
    assert_eq!((run(&sandbox, "shop"), run(&sandbox, "bill")), (201, 201));
    assert_eq!(sandbox.ok(&["call", "log", "write()"]), "2\n");
    assert_eq!(sandbox.ok(&["call", "log@1.0.0", "write()"]), "1\n");
    assert_eq!(beside(&sandbox)[0]["needed_by"], json!(["demo:bill", "demo:shop"]));
    let versions = sandbox.json(&["versions", "log"]);
    let states = |at: usize| {
        (versions["revisions"][at]["active"].clone(), versions["revisions"][at]["beside"]["status"].clone())
    };
    assert_eq!((states(0), states(1)), ((json!(false), json!("active")), (json!(true), Value::Null)));

    sandbox.register_version("demo:shop", "2.0.0", &user("2.0.0"));
    sandbox.ok(&["use", "shop@2.0.0"]);
    assert_eq!((run(&sandbox, "shop"), run(&sandbox, "bill")), (102, 301));
    let (_, error) = sandbox.fails(&["deactivate", "log"], 4);
    assert!(text_of(&error).contains("demo:bill"), "{error}");
    sandbox.register_version("demo:bill", "2.0.0", &user("2.0.0"));
    insta::assert_snapshot!(sandbox.ok(&["plan", "use", "bill@2.0.0"]), @r"
    uses demo:bill 2.0.0 (revision 2) in the place of 1.0.0 (revision 1): the same in types
      ~ import demo:log/sink@2.0.0, was demo:log/sink@1.0.0
    already active: demo:log
    ends demo:log@1.0.0, which nothing active would need any more
    nothing that is active would break
    ");
    sandbox.ok(&["use", "bill@2.0.0"]);
    assert_eq!((run(&sandbox, "shop"), run(&sandbox, "bill")), (202, 102));
    assert_eq!(beside(&sandbox), Value::Null);
    let (_, error) = sandbox.fails(&["call", "log@1.0.0", "write()"], 4);
    assert_eq!(error["code"], "version-not-active");
    assert_eq!(sandbox.json(&["verify"])["ok"], true);
}

fn text_of(error: &Value) -> &str {
    error["message"].as_str().unwrap()
}

#[test]
fn the_same_revisions_are_active_after_a_restart_and_in_a_new_index() {
    let sandbox = Sandbox::new().unserved();
    running(&sandbox);
    sandbox.ok(&["-q", "use", "log@2.0.0"]);
    let before = beside(&sandbox);
    assert_eq!(before[0]["status"], "active");
    {
        let _server = Server::start(&sandbox, &[]);
        assert_eq!((run(&sandbox, "shop"), run(&sandbox, "bill")), (101, 101));
        assert_eq!(beside(&sandbox), before);
    }
    std::fs::remove_dir_all(sandbox.data().join("index")).unwrap();
    assert_eq!(beside(&sandbox), before);
    sandbox.ok(&["-q", "compact", "--keep", "0s"]);
    std::fs::remove_dir_all(sandbox.data().join("index")).unwrap();
    assert_eq!(beside(&sandbox), before);
    assert_eq!(run(&sandbox, "shop"), 101);
    let backup = text(&sandbox.work().join("all.tar"));
    sandbox.ok(&["-q", "backup", &backup]);
    let other = text(&sandbox.work().join("other"));
    sandbox.ok(&["-q", "--data", &other, "restore", &backup]);
    assert_eq!(sandbox.json(&["--data", &other, "show", "log"])["beside"], before);
}

#[test]
fn each_revision_remembers_for_itself_from_the_moment_they_part() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register_version("test:counter", "1.0.0", &fixture("counter.wat"));
    sandbox.register("test:user", &wat::answer(1));
    sandbox.ok(&["depend", "test:user", "--on", "test:counter", "--range", "^1"]);
    sandbox.ok(&["-q", "activate", "test:user"]);
    sandbox.register_version("test:counter", "2.0.0", &fixture("counter.wat"));
    let next = |id: &str| sandbox.ok(&["call", id, "next()"]);
    {
        let _server = Server::start(&sandbox, &[]);
        assert_eq!((next("test:counter"), next("test:counter")), ("1\n".to_owned(), "2\n".to_owned()));
        let used = sandbox.json(&["use", "test:counter@2.0.0"]);
        let swapped = &used["activation"]["activated"][0]["swapped"];
        assert_eq!(swapped["kept"], json!({ "id": "test:counter@1.0.0", "needed_by": ["test:user"] }));
        assert_eq!(swapped["moved_bytes"], 4);
        assert_eq!((next("test:counter"), next("test:counter@1.0.0")), ("3\n".to_owned(), "3\n".to_owned()));
        assert_eq!(next("test:counter@1.0.0"), "4\n");
    }
    // The server was killed: each goes on with what it was known to remember, and neither with the other's.
    assert_eq!((next("test:counter"), next("test:counter@1.0.0")), ("3\n".to_owned(), "3\n".to_owned()));
    assert_eq!((next("test:counter"), next("test:counter@1.0.0")), ("4\n".to_owned(), "4\n".to_owned()));
    assert_eq!(next("test:counter@1.0.0"), "5\n");
    assert_eq!(next("test:counter"), "5\n");
    sandbox.ok(&["-q", "deactivate", "test:user"]);
    assert_eq!(beside_of(&sandbox, "test:counter")[0]["status"], "inactive");
    sandbox.ok(&["-q", "activate", "test:user"]);
    assert_eq!(next("test:counter@1.0.0"), "6\n");
}

#[test]
fn a_change_that_is_killed_at_any_step_leaves_all_of_it_or_nothing() {
    let sandbox = Sandbox::new().unserved();
    running(&sandbox);
    let version = || sandbox.json(&["show", "log"])["version"].as_str().unwrap().to_owned();
    for wanted in ["2.0.0", "1.0.0", "2.0.0"] {
        let target = format!("log@{wanted}");
        let args = ["use", &target];
        let mut at = 0;
        loop {
            at += 1;
            assert!(at < POINTS_MAX, "a change has more points than {POINTS_MAX}");
            let mut command = sandbox.command(&args);
            command.env("RUNTIME_FAIL_AT", at.to_string());
            let (out, err) = (std::process::Stdio::piped(), std::process::Stdio::piped());
            let ran = finish(command.stdout(out).stderr(err).spawn().unwrap(), &args, None);
            assert!([0, -6].contains(&ran.code), "point {at}: {ran:#?}");
            let now = version();
            assert!(ran.code != 0 || now == wanted, "{ran:#?}");
            // With the second one in service, the first is beside it; with the first, none is.
            let kept = beside(&sandbox);
            assert_eq!(kept[0]["status"] == "active", now == "2.0.0", "point {at}: {kept}");
            assert_eq!((run(&sandbox, "shop"), run(&sandbox, "bill")), (101, 101), "point {at}, {now}");
            assert_eq!(sandbox.json(&["verify"])["ok"], true, "point {at}");
            if ran.code == 0 || now == wanted {
                break;
            }
        }
        assert!(at > 1, "a change has points");
    }
}

#[test]
fn what_was_brought_up_for_a_change_that_was_killed_does_not_stay() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register("demo:log", &log("1.0.0", 1));
    sandbox.register_version("demo:log", "2.0.0", &log("2.0.0", 2));
    sandbox.register_version("demo:shop", "1.0.0", &user("1.0.0"));
    sandbox.register_version("demo:shop", "2.0.0", &user("2.0.0"));
    sandbox.ok(&["-q", "activate", "shop"]);
    let args = ["use", "shop@1.0.0"];
    for at in 1..POINTS_MAX {
        let mut command = sandbox.command(&args);
        command.env("RUNTIME_FAIL_AT", at.to_string());
        let (out, err) = (std::process::Stdio::piped(), std::process::Stdio::piped());
        let ran = finish(command.stdout(out).stderr(err).spawn().unwrap(), &args, None);
        assert!([0, -6].contains(&ran.code), "point {at}: {ran:#?}");
        let now = sandbox.json(&["show", "shop"])["version"].as_str().unwrap().to_owned();
        let kept = beside(&sandbox);
        assert_eq!(kept[0]["status"] == "active", now == "1.0.0", "point {at}: {kept}");
        assert_eq!(run(&sandbox, "shop"), if now == "1.0.0" { 101 } else { 102 }, "point {at}");
        if now == "1.0.0" {
            assert!(at > 2, "a change has points");
            return;
        }
        // Nobody leads there: it is gone.
        assert_eq!(kept, Value::Null, "point {at}");
    }
    panic!("a change has more points than {POINTS_MAX}");
}
