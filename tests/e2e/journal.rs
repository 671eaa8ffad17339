//! The journal, from outside.

use serde_json::json;

use crate::harness::sandbox::string;
use crate::harness::{Sandbox, wat};

#[test]
fn every_change_is_a_record_with_time_and_actor() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    sandbox.ok(&["activate", "test:a"]);
    sandbox.ok(&["deactivate", "test:a"]);
    sandbox.ok(&["settings", "limits.fuel=5_000_000"]);
    sandbox.ok(&["unregister", "test:a"]);
    let records = sandbox.run_json(&["log"]).documents();
    let events: Vec<_> = records.iter().map(|record| string(&record["event"])).collect();
    assert_eq!(events, ["registered", "activated", "deactivated", "config-set", "unregistered"]);
    for (n, record) in records.iter().enumerate() {
        assert_eq!(record["seq"], n + 1);
        assert!(string(&record["at"]).ends_with('Z') && string(&record["actor"]).starts_with("cli:"), "{record}");
    }
    assert_eq!(records[1]["component"], "test:a");
    assert_eq!((&records[1]["old_status"], &records[1]["new_status"]), (&json!("registered"), &json!("active")));
    assert_eq!((&records[2]["old_status"], &records[2]["new_status"]), (&json!("active"), &json!("inactive")));
    assert_eq!(sandbox.run_json(&["log", "--since", "4"]).documents().len(), 2);
    assert_eq!(sandbox.run_json(&["log", "--since", "2", "--limit", "1"]).documents()[0]["event"], "activated");
    let text = sandbox.ok(&["log"]);
    assert_eq!(text.lines().count(), 5);
    assert!(text.contains("activated test:a from registered in "), "{text}");
}

#[test]
fn what_is_refused_is_recorded_too() {
    let sandbox = Sandbox::new();
    sandbox.register("test:base", &wat::node("base", &[]));
    sandbox.register("test:top", &wat::node("top", &["base"]));
    sandbox.run(&["unregister", "test:base"]).assert_failed(4);
    let records = sandbox.run_json(&["log"]).documents();
    let refused = records.iter().find(|record| record["event"] == "refused").unwrap_or_else(|| panic!("{records:#?}"));
    assert_eq!((&refused["operation"], &refused["component"]), (&json!("unregister"), &json!("test:base")));
    assert!(string(&refused["error"]).contains("test:top"), "{refused}");
}

#[test]
fn following_prints_new_records_and_lets_others_work() {
    use std::io::{BufRead as _, BufReader};
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    let mut follower = sandbox.spawn(&["log", "--follow", "-o", "json"]);
    let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
    let first: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(first["event"], "registered");
    sandbox.ok(&["activate", "test:a"]);
    let second: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
    assert_eq!(second["event"], "activated");
    follower.kill().unwrap();
    follower.wait().unwrap();
}

#[cfg(unix)]
#[test]
fn following_ends_with_the_signal_that_ends_it() {
    use std::io::{BufRead as _, BufReader};

    use rustix::process::{Pid, Signal, kill_process};
    let sandbox = Sandbox::new();
    sandbox.register("test:chatty", &crate::harness::sandbox::fixture("chatty.wat"));
    sandbox.ok(&["-q", "activate", "chatty"]);
    sandbox.ok(&["-q", "call", "chatty", "speak()"]);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut follower = sandbox.spawn(&["logs", "chatty", "--follow", "-o", "json"]);
        let mut lines = BufReader::new(follower.stdout.take().unwrap()).lines();
        let line: serde_json::Value = serde_json::from_str(&lines.next().unwrap().unwrap()).unwrap();
        assert_eq!((&line["id"], &line["stream"]), (&json!("test:chatty"), &json!("log")));
        kill_process(Pid::from_child(&follower), signal).unwrap();
        assert_eq!(follower.wait().unwrap().code(), Some(code));
        assert!(lines.next().is_none(), "a stream that was ended is no error");
    }
}
