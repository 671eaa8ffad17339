//! Calls: results, failures of guests, what they leave behind.

use serde_json::json;

use crate::harness::Sandbox;
use crate::harness::sandbox::{fixture, string, text};

fn with_flaky(manifest: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let folder = sandbox.component("test:flaky", "1.0.0", manifest, &fixture("flaky.wat"));
    sandbox.ok(&["register", &text(&folder), "--activate"]);
    sandbox
}

/// Runs a call that fails in the guest and returns the error document and the newest failure of the history.
fn guest_fails(sandbox: &Sandbox, args: &[&str]) -> (serde_json::Value, serde_json::Value) {
    let ran = sandbox.run_json(args);
    ran.assert_failed(7);
    let error = ran.document()["error"].clone();
    assert_eq!(error["kind"], "guest");
    let failure = sandbox.json(&["errors", "--limit", "1"])["errors"][0].clone();
    (error, failure)
}

#[test]
fn a_call_tells_function_result_fuel_and_time() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:adder", "adder.wat");
    sandbox.register_fixture("test:doubler", "doubler.wat");
    sandbox.ok(&["activate", "--all"]);
    let document = sandbox.json(&["call", "adder", "ops#add(2, 3)"]);
    assert_eq!(document["id"], "test:adder");
    assert_eq!(document["function"], "test:math/ops@1.2.0#add");
    assert_eq!((&document["result"], &document["wave"]), (&json!(5), &json!("5")));
    assert!(document["fuel"].as_u64() > Some(0) && document["duration_us"].is_u64());
    assert_eq!(sandbox.ok(&["call", "test:adder", "test:math/ops@1.2.0#add(2, 3)"]), "5\n");
    assert_eq!(sandbox.ok(&["call", "doubler", "double(21)"]), "42\n");

    let entry = sandbox.json(&["show", "adder"]);
    assert!(entry["access_count"].as_u64() >= Some(2), "{entry}");
    assert!(entry["last_accessed"].is_string());
    let stats = sandbox.json(&["stats", "doubler"]);
    assert_eq!(stats["components"][0]["calls"], 1, "{stats}");
}

#[test]
fn strings_go_in_and_out() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:greeter", "greeter.wat");
    sandbox.ok(&["activate", "greeter"]);
    assert_eq!(sandbox.ok(&["call", "greeter", "greet(\"Ada\")"]), "\"Hello, Ada!\"\n");
    assert_eq!(sandbox.json(&["call", "greeter", "greet(\"世界\")"])["result"], "Hello, 世界!");
    let ran = sandbox.run(&["call", "greeter", "greet", "--json-args", "[\"\\u001b[2J\"]"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(!ran.stdout.contains('\u{1b}'), "a guest's text reached the terminal raw: {ran:#?}");
}

#[test]
fn a_trap_is_recorded_with_its_stack_and_the_component_goes_on() {
    let sandbox = with_flaky("");
    let (error, failure) = guest_fails(&sandbox, &["call", "flaky", "trap()"]);
    assert_eq!((&error["failure"]["kind"], &error["failure"]["phase"]), (&json!("trap"), &json!("call")));
    assert_eq!(
        (&failure["kind"], &failure["phase"], &failure["function"]),
        (&json!("trap"), &json!("call"), &json!("trap"))
    );
    let frames = failure["backtrace"].to_string();
    assert!(frames.contains("deepest") && frames.contains("deeper"), "{failure}");
    for field in ["id", "seq", "at", "message", "revision"] {
        assert!(failure.get(field).is_some(), "no `{field}` in {failure}");
    }
    assert_eq!(sandbox.status("flaky"), "active");
    assert_eq!(sandbox.ok(&["call", "flaky", "calls()"]), "1\n");
    assert_eq!(sandbox.json(&["show", "flaky"])["error_count"], 1);
}

#[test]
fn fuel_runs_out() {
    let sandbox = with_flaky("[limits]\nfuel = 100_000\n");
    let (error, failure) = guest_fails(&sandbox, &["call", "flaky", "loop-forever()"]);
    assert_eq!((&error["failure"]["kind"], &failure["kind"]), (&json!("fuel"), &json!("fuel")));
    assert!(failure["fuel"].as_u64() >= Some(100_000), "{failure}");
    assert!(error["hints"].to_string().contains("[limits] fuel"), "{error}");
    // An operator can lower the limit, not raise it.
    guest_fails(&sandbox, &["call", "flaky", "loop-forever()", "--fuel", "1_000_000_000_000"]);
    let (error, _) = guest_fails(&sandbox, &["call", "flaky", "calls()", "--fuel", "1"]);
    assert!(error["hints"].to_string().contains("raise `--fuel`"), "{error}");
}

#[test]
fn time_runs_out() {
    let sandbox = with_flaky("[limits]\nfuel = 100_000_000_000\n");
    let begun = std::time::Instant::now();
    let (error, failure) = guest_fails(&sandbox, &["call", "flaky", "loop-forever()", "--timeout", "100ms"]);
    assert_eq!((&error["failure"]["kind"], &failure["kind"]), (&json!("deadline"), &json!("deadline")));
    assert!(error["hints"].to_string().contains("raise `--timeout`"), "{error}");
    assert!(begun.elapsed() < std::time::Duration::from_secs(60));
}

#[test]
fn memory_is_refused() {
    let sandbox = with_flaky("[limits]\nmemory = \"1MiB\"\n");
    let (error, failure) = guest_fails(&sandbox, &["call", "flaky", "eat-memory(1000)"]);
    assert_eq!((&error["failure"]["kind"], &failure["kind"]), (&json!("memory"), &json!("memory")));
    assert_eq!(sandbox.ok(&["call", "flaky", "eat-memory(3)"]), "4\n");
}

#[test]
fn the_stack_overflows() {
    let sandbox = with_flaky("");
    let (error, _) = guest_fails(&sandbox, &["call", "flaky", "recurse()"]);
    assert_eq!(error["failure"]["kind"], "stack");
}

#[test]
fn a_failure_below_is_of_the_one_who_failed() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:adder", "adder.wat");
    sandbox.register_fixture("test:doubler", "doubler.wat");
    sandbox.ok(&["activate", "--all"]);
    assert_eq!(sandbox.ok(&["call", "doubler", "share(12, 4)"]), "3\n");
    sandbox.run(&["call", "doubler", "share(12, 0)"]).assert_failed(7);
    let errors = sandbox.json(&["errors", "adder"]);
    assert_eq!(errors["errors"][0]["kind"], "trap", "{errors}");
    assert_eq!(errors["errors"][0]["callers"], json!(["test:doubler"]), "{errors}");
    assert_eq!(sandbox.ok(&["call", "doubler", "share(12, 4)"]), "3\n");
    assert_eq!((sandbox.status("adder"), sandbox.status("doubler")), ("active".to_owned(), "active".to_owned()));
}

#[test]
fn clearing_errors_empties_the_history_and_keeps_the_journal() {
    let sandbox = with_flaky("");
    sandbox.run(&["call", "flaky", "trap()"]).assert_failed(7);
    assert_eq!(sandbox.json(&["errors", "--clear", "flaky"])["done"], json!(["test:flaky"]));
    assert_eq!(sandbox.json(&["errors"])["errors"], json!([]));
    assert_eq!(sandbox.json(&["show", "flaky"])["error_count"], 0);
    assert_eq!(sandbox.status("flaky"), "active");
    let log = sandbox.run(&["log", "-o", "json"]).documents();
    assert!(log.iter().any(|record| record["event"] == "failed"), "{log:#?}");
}

#[test]
fn what_components_print_goes_to_stderr_escaped_and_is_kept() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:chatty", "chatty.wat");
    sandbox.ok(&["activate", "chatty"]);
    let ran = sandbox.run(&["call", "chatty", "speak()"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:#?}");
    let line = ran.stderr.lines().find(|line| line.starts_with("test:chatty | ")).unwrap_or_else(|| panic!("{ran:#?}"));
    assert!(line.contains("warn beak: red \\u{1b}[31malert"), "{line}");
    let quiet = sandbox.run(&["-q", "call", "chatty", "speak()"]);
    assert_eq!(quiet.stderr, "", "{quiet:#?}");

    let logs = sandbox.json(&["logs", "chatty"]);
    assert_eq!(logs["id"], "test:chatty");
    let lines = logs["lines"].as_array().unwrap();
    assert_eq!(lines.len(), 2, "{logs}");
    assert_eq!(
        (&lines[0]["stream"], &lines[0]["level"], &lines[0]["context"]),
        (&json!("log"), &json!("warn"), &json!("beak"))
    );
    assert!(string(&lines[0]["text"]).contains("alert"));
    assert_eq!(sandbox.ok(&["logs", "chatty", "-n", "1"]).lines().count(), 1);
    let journal = sandbox.ok(&["log"]);
    assert!(!journal.contains("alert"), "{journal}");
}

#[test]
fn standard_output_and_error_of_components_are_lines_of_theirs() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:speaker", "speaker.wat");
    sandbox.ok(&["activate", "speaker"]);
    let ran = sandbox.run(&["call", "speaker", "speak"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""), "{ran:#?}");
    assert_eq!(ran.stderr, "test:speaker | to the audience\ntest:speaker | to the prompter\n");
    let logs = sandbox.json(&["logs", "speaker"]);
    let streams: Vec<_> = logs["lines"].as_array().unwrap().iter().map(|line| string(&line["stream"])).collect();
    assert_eq!(streams, ["stdout", "stderr"]);
}
