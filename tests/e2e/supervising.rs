//! Quarantine, restarts, dependents that follow, retries and health, through the binary.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::sandbox::fixture;
use crate::harness::{Sandbox, wat};
use crate::serving::Server;

/// Calls what traps until the component is in quarantine, and returns how often that was.
fn quarantine(sandbox: &Sandbox, id: &str) -> usize {
    for calls in 1..50 {
        fail_once(sandbox, &["call", id, "trap"]);
        if sandbox.status(id) == "error" {
            return calls;
        }
    }
    panic!("{id} is never in quarantine");
}

/// Runs what fails in a guest, and no more often than once.
fn fail_once(sandbox: &Sandbox, args: &[&str]) -> Value {
    let ran = sandbox.run_json(args);
    ran.assert_failed(7);
    ran.document()["error"].clone()
}

fn have_flaky(sandbox: &Sandbox) {
    sandbox.register_fixture("test:flaky", "flaky.wat");
    sandbox.ok(&["-q", "activate", "test:flaky"]);
}

/// Asks again and again, for as long as nothing takes.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
    }
}

fn events(sandbox: &Sandbox, name: &str) -> Vec<Value> {
    sandbox.run(&["-o", "json", "log", "--event", name]).documents()
}

#[test]
fn who_fails_too_often_is_refused_with_the_reason_and_the_time_of_the_next_attempt() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["settings", "breaker.delay=1h", "breaker.max_delay=2h"]);
    have_flaky(&sandbox);
    assert_eq!(quarantine(&sandbox, "test:flaky"), 5, "also when each call is a process of its own");
    let (ran, error) = sandbox.fails(&["call", "test:flaky", "calls"], 8);
    assert_eq!((&error["code"], &error["kind"]), (&json!("component-quarantined"), &json!("unavailable")));
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("in quarantine until ") && message.contains("after 5 failures within 60s"), "{ran:#?}");

    let shown = sandbox.json(&["show", "test:flaky"]);
    let watched = &shown["supervision"];
    assert_eq!((&watched["breaker"], &watched["restart"]), (&json!("open"), &json!("on-failure")));
    assert_eq!(
        (&watched["quarantine"]["round"], &watched["quarantine"]["cause"]),
        (&json!(1), &json!("5 failures within 60s"))
    );
    let next = watched["quarantine"]["next_probe"].as_str().unwrap();
    assert!(message.contains(next), "{message} {next}");
    assert_eq!(sandbox.json(&["status", "test:flaky"])["supervision"]["breaker"], "open");
    assert!(sandbox.ok(&["status", "test:flaky"]).contains("in quarantine: 5 failures within 60s, tried again at "));
    assert!(sandbox.ok(&["show", "test:flaky"]).contains("restart on-failure, breaker open"));
    assert!(sandbox.ok(&["list"]).contains("error (quarantine)"));
    assert!(sandbox.ok(&["health"]).contains("test:flaky is in quarantine: 5 failures"));
    assert_eq!(sandbox.json(&["health"])["quarantined"][0]["id"], "test:flaky");
    let quarantined = events(&sandbox, "quarantined");
    assert_eq!(
        (quarantined.len(), &quarantined[0]["next_probe"], &quarantined[0]["new_status"]),
        (1, &watched["quarantine"]["next_probe"], &json!("error"))
    );

    sandbox.ok(&["errors", "--clear", "test:flaky"]);
    assert_eq!(sandbox.status("test:flaky"), "registered");
    sandbox.ok(&["-q", "activate", "test:flaky"]);
    assert_eq!(sandbox.ok(&["call", "test:flaky", "calls"]), "1\n");
    assert_eq!(sandbox.json(&["show", "test:flaky"])["supervision"]["breaker"], "closed");
}

#[test]
fn what_a_caller_asks_for_too_little_of_is_not_the_components_fault() {
    let sandbox = Sandbox::new();
    have_flaky(&sandbox);
    for _ in 0..7 {
        fail_once(&sandbox, &["call", "test:flaky", "loop-forever", "--fuel", "1000"]);
        sandbox.fails(&["call", "test:flaky", "nothing"], 3);
    }
    assert_eq!(sandbox.status("test:flaky"), "active");
    assert_eq!(sandbox.json(&["errors", "test:flaky"])["errors"][0]["by_caller"], true);
    assert!(sandbox.ok(&["errors", "test:flaky"]).contains("a bound of the caller's"));
    assert_eq!(quarantine(&sandbox, "test:flaky"), 5);
}

#[test]
fn the_first_call_after_its_time_tries_it_in_whichever_process() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["settings", "breaker.failures=2", "breaker.delay=500ms"]);
    have_flaky(&sandbox);
    quarantine(&sandbox, "test:flaky");
    until("it is never tried", || match sandbox.run(&["call", "test:flaky", "calls"]).code {
        0 => true,
        code => {
            assert_eq!(code, 8, "refused until then");
            false
        }
    });
    assert_eq!(sandbox.status("test:flaky"), "active");
    let recovered = events(&sandbox, "recovered");
    assert_eq!((recovered.len(), &recovered[0]["proven"]), (1, &json!(true)));
    quarantine(&sandbox, "test:flaky");
    assert_eq!(events(&sandbox, "quarantined")[1]["round"], 2, "and longer the next time");
}

#[test]
fn dependents_go_to_inactive_and_come_back_by_themselves() {
    let sandbox = Sandbox::new();
    let nodes =
        [("graph:a", wat::node("a", &[])), ("graph:b", wat::node("b", &["a"])), ("graph:c", wat::node("c", &["b"]))];
    sandbox.register_all(&nodes);
    sandbox.ok(&["-q", "activate", "--all"]);
    sandbox.ok(&["status", "graph:a", "--set", "error", "--message", "smells"]);
    for id in ["graph:b", "graph:c"] {
        assert_eq!(sandbox.status(id), "inactive", "{id}");
    }
    assert!(sandbox.ok(&["status", "graph:b"]).contains("waits for graph:a to come back"));
    assert_eq!(sandbox.json(&["show", "graph:c"])["supervision"]["waits_for"], "graph:b");
    assert!(sandbox.ok(&["list"]).contains("inactive (waits)"));
    let log = sandbox.ok(&["log", "--event", "deactivated"]);
    let (first, second) = log.trim().split_once('\n').unwrap();
    assert!(first.contains("graph:c from active: it needs graph:b, which cannot go on: graph:a is in error"), "{log}");
    assert!(second.contains("graph:b from active: it needs graph:a, which is in error"), "{log}");
    sandbox.ok(&["-q", "activate", "graph:a"]);
    assert_eq!(sandbox.ok(&["call", "graph:c", "get"]), "3\n");
}

#[test]
fn a_gate_says_why_nobody_is_behind_it() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["settings", "activation.follow=false", "breaker.delay=1h", "breaker.max_delay=1h"]);
    let broken = wat::node("a", &[]).replace("(i32.const 1)", "unreachable");
    sandbox.register_all(&[("graph:a", broken), ("graph:b", wat::node("b", &["a"]))]);
    sandbox.ok(&["-q", "activate", "--all"]);
    for _ in 0..5 {
        assert_eq!(fail_once(&sandbox, &["call", "graph:b", "get"])["failure"]["kind"], "dependency");
    }
    assert_eq!((sandbox.status("graph:a"), sandbox.status("graph:b")), ("error".to_owned(), "active".to_owned()));
    let error = fail_once(&sandbox, &["call", "graph:b", "get"]);
    let message = error["message"].as_str().unwrap();
    assert!(message.contains("graph:a") && message.contains("is in quarantine until "), "{message}");
    assert_eq!(sandbox.status("graph:b"), "active", "it is not its fault");
}

#[test]
fn a_live_registry_makes_anew_what_failed_and_tries_what_is_in_quarantine() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["settings", "restart.delay=100ms", "breaker.failures=3", "breaker.delay=300ms"]);
    let server = Server::start(&sandbox, &[]);
    have_flaky(&sandbox);
    fail_once(&sandbox, &["call", "test:flaky", "trap"]);
    until("it is not made anew", || sandbox.json(&["status", "test:flaky"])["instance"] == "live");
    let restarted = events(&sandbox, "restarted");
    assert_eq!((&restarted[0]["restarts"], &restarted[0]["max_restarts"]), (&json!(1), &json!(5)));
    assert_eq!(sandbox.json(&["status", "test:flaky"])["supervision"]["restarts"], 1);
    quarantine(&sandbox, "test:flaky");
    until("it is never tried", || sandbox.status("test:flaky") == "active");
    assert_eq!(sandbox.json(&["show", "test:flaky"])["supervision"]["breaker"], "probation");
    fail_once(&sandbox, &["call", "test:flaky", "trap"]);
    assert_eq!(sandbox.status("test:flaky"), "error", "once is too often now");
    drop(server);
}

#[test]
fn a_quarantine_holds_when_a_server_starts_on_it() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["settings", "breaker.delay=1s", "breaker.failures=1"]);
    have_flaky(&sandbox);
    quarantine(&sandbox, "test:flaky");
    let server = Server::start(&sandbox, &[]);
    until("it is never tried", || sandbox.status("test:flaky") == "active");
    assert_eq!(events(&sandbox, "recovered")[0]["actor"], "system");
    drop(server);
}

#[test]
fn an_activation_is_tried_as_often_as_is_set() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["settings", "activation.max_retries=2", "activation.retry_delay=1ms"]);
    sandbox.register_fixture("test:refuses", "refuses.wat");
    sandbox.run_json(&["activate", "test:refuses"]).assert_failed(7);
    assert_eq!(sandbox.json(&["errors", "test:refuses"])["errors"].as_array().unwrap().len(), 3);
    sandbox.register("test:plain", &wat::answer(1));
    assert_eq!(sandbox.json(&["activate", "test:plain"])["activated"][0]["attempts"], 1);
}

#[test]
fn a_live_registry_warns_once_when_its_health_falls_and_says_when_it_is_back() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["settings", "health.interval=100ms", "health.threshold=100"]);
    sandbox.register("test:unwell", &fixture("unwell.wat"));
    let server = Server::start(&sandbox, &[]);
    sandbox.ok(&["-q", "activate", "test:unwell"]);
    until("nobody asks", || !events(&sandbox, "health-dropped").is_empty());
    let asked = events(&sandbox, "failed").len();
    until("it is asked once", || events(&sandbox, "failed").len() > asked || sandbox.status("test:unwell") == "error");
    let dropped = events(&sandbox, "health-dropped");
    assert_eq!((dropped.len(), &dropped[0]["failing"][0]["component"]), (1, &json!("test:unwell")));
    assert!(dropped[0]["failing"][0]["error"].as_str().unwrap().contains("out of ink"));
    assert_eq!(sandbox.json(&["health"])["is_low"], true);
    assert!(sandbox.ok(&["health"]).contains("below 100%, the threshold"));
    sandbox.ok(&["unregister", "test:unwell"]);
    until("nobody is glad", || !events(&sandbox, "health-restored").is_empty());
    drop(server);
}
