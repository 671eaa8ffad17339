//! Another revision takes the place of the active one while it is called, and while the process is killed.

use std::time::Duration;

use serde_json::json;

use crate::harness::Sandbox;
use crate::harness::sandbox::{finish, fixture};
use crate::harness::wat;
use crate::serving::Server;

/// More points than an activation has.
const POINTS_MAX: u64 = 200;

/// Two revisions of a counter, the first one active.
fn counters(sandbox: &Sandbox) {
    for version in ["1.0.0", "2.0.0"] {
        sandbox.register_version("test:counter", version, &fixture("counter.wat"));
        sandbox.ok(&["-q", "activate", "test:counter@1.0.0"]);
    }
}

fn version(sandbox: &Sandbox) -> String {
    let shown = sandbox.json(&["show", "test:counter"]);
    assert_eq!(shown["status"], "active");
    shown["version"].as_str().unwrap().to_owned()
}

#[test]
fn a_swap_moves_what_the_component_remembers_and_says_so() {
    let sandbox = Sandbox::new().unserved();
    counters(&sandbox);
    let _server = Server::start(&sandbox, &[]);
    for count in 1..=3 {
        assert_eq!(sandbox.ok(&["call", "test:counter", "next()"]), format!("{count}\n"));
    }
    let activation = sandbox.json(&["activate", "test:counter@2.0.0"]);
    let swapped = &activation["activated"][0]["swapped"];
    assert_eq!((&swapped["from"], &swapped["from_revision"]), (&json!("1.0.0"), &json!(1)));
    assert_eq!((&swapped["moved_bytes"], &swapped["running_calls"]), (&json!(4), &json!(0)));
    assert!(swapped["paused_us"].as_u64().unwrap() > 0, "{swapped}");
    assert_eq!(sandbox.ok(&["call", "test:counter", "next()"]), "4\n");
    let text = sandbox.ok(&["activate", "test:counter@1.0.0"]);
    assert!(
        text.contains("test:counter 1.0.0 took the place of 2.0.0, with 4 B of state; calls waited for "),
        "{text}"
    );
    assert_eq!(sandbox.ok(&["call", "test:counter", "next()"]), "5\n");
}

#[test]
fn registering_with_activate_replaces_the_active_revision() {
    let sandbox = Sandbox::new();
    counters(&sandbox);
    sandbox.ok(&["call", "test:counter", "next()"]);
    let file = sandbox.write("three.wat", fixture("counter.wat"));
    let file = file.to_str().unwrap();
    let args = ["register", file, "--id", "test:counter", "--version", "3.0.0", "--activate"];
    let registered = sandbox.json(&args);
    assert_eq!(registered["activation"]["activated"][0]["swapped"]["from"], "1.0.0", "{registered}");
    assert_eq!(version(&sandbox), "3.0.0");
    assert_eq!(sandbox.ok(&["call", "test:counter", "next()"]), "2\n");
}

#[test]
fn one_that_is_not_well_stays_out_and_the_old_one_in() {
    let sandbox = Sandbox::new();
    sandbox.register("test:counter", &wat::answer(1));
    sandbox.ok(&["-q", "activate", "test:counter"]);
    sandbox.register_version("test:counter", "2.0.0", &fixture("unwell.wat"));
    let ran = sandbox.run_json(&["activate", "test:counter@2.0.0"]);
    assert_eq!((ran.code, &ran.document()["error"]["code"]), (7, &json!("component-activation")), "{ran:#?}");
    assert_eq!(version(&sandbox), "1.0.0");
    assert_eq!(sandbox.ok(&["call", "test:counter", "answer()"]), "1\n");
    let newest = sandbox.json(&["errors", "test:counter"])["errors"][0].clone();
    assert_eq!((&newest["revision"], &newest["phase"]), (&json!(2), &json!("health")));
}

#[test]
fn dependents_keep_their_instances_when_an_interface_moves_on() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register("test:far", &wat::node("far", &["near"]));
    sandbox.register("test:near", &wat::node("near", &["base"]));
    sandbox.register("test:base", &wat::node("base", &[]));
    sandbox.ok(&["-q", "activate", "test:far"]);
    sandbox.register_version("test:base", "1.1.0", &wat::node_versioned("base", "1.1.0", &[]));
    let _server = Server::start(&sandbox, &[]);
    assert_eq!(sandbox.ok(&["call", "test:far", "get()"]), "3\n");
    for at in ["1.1.0", "1.0.0", "1.1.0"] {
        sandbox.ok(&["activate", &format!("test:base@{at}")]);
        for id in ["test:near", "test:far"] {
            assert_eq!(sandbox.json(&["show", id])["instance"], "live", "{id} at {at}");
        }
        let edge = sandbox.json(&["deps", "test:near"])["edges"][0]["interface"].clone();
        assert_eq!(edge, "graph:base/value@1.0.0", "what it imports is what it imports");
        assert_eq!(sandbox.ok(&["call", "test:far", "get()"]), "3\n");
    }
}

#[test]
fn a_swap_that_is_killed_at_any_step_leaves_one_revision_active() {
    let sandbox = Sandbox::new().unserved();
    counters(&sandbox);
    sandbox.ok(&["call", "test:counter", "next()"]);
    let (mut stayed, mut swapped, mut count) = (0, 0, 1);
    for at in 1..POINTS_MAX {
        let before = version(&sandbox);
        let after = if before == "1.0.0" { "2.0.0" } else { "1.0.0" };
        let target = format!("test:counter@{after}");
        let args = ["activate", &target];
        let mut command = sandbox.command(&args);
        command.env("RUNTIME_FAIL_AT", at.to_string());
        let (out, err) = (std::process::Stdio::piped(), std::process::Stdio::piped());
        let ran = finish(command.stdout(out).stderr(err).spawn().unwrap(), &args, None);
        if ran.code == 0 {
            // All points were passed; a program for use has none.
            assert!(at == 1 || (stayed > 0 && swapped > 0), "{stayed} stayed, {swapped} swapped");
            return;
        }
        assert_eq!(ran.code, -6, "point {at}: {ran:#?}");
        let now = version(&sandbox);
        assert!(now == before || now == after, "point {at}: {now}");
        *if now == before { &mut stayed } else { &mut swapped } += 1;
        count += 1;
        assert_eq!(sandbox.ok(&["call", "test:counter", "next()"]), format!("{count}\n"), "point {at}, {now}");
        assert_eq!(sandbox.json(&["verify"])["ok"], true, "point {at}");
    }
    panic!("an activation has more points than {POINTS_MAX}");
}

#[test]
fn a_server_that_is_killed_in_the_middle_of_swaps_leaves_one_revision_active() {
    let sandbox = Sandbox::new().unserved();
    counters(&sandbox);
    for round in 0..8_u32 {
        let server = Server::start(&sandbox, &[]);
        let calls: Vec<_> = (0..2).map(|_| sandbox.spawn(&["call", "test:counter", "next()"])).collect();
        let target = if version(&sandbox) == "1.0.0" { "test:counter@2.0.0" } else { "test:counter@1.0.0" };
        let swap = sandbox.spawn(&["activate", target]);
        // Somewhere between the beginning of the command and its end.
        std::thread::sleep(Duration::from_millis(u64::from(round) * 9));
        drop(server);
        finish(swap, &["activate"], None);
        for call in calls {
            finish(call, &["call"], None);
        }
        let now = version(&sandbox);
        assert!(now == "1.0.0" || now == "2.0.0", "round {round}: {now}");
        let next = sandbox.ok(&["call", "test:counter", "next()"]);
        assert!(next.trim().parse::<u32>().is_ok(), "round {round}: {next}");
        assert_eq!(sandbox.json(&["verify"])["ok"], true, "round {round}");
    }
}
