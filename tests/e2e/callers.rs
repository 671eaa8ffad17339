//! `[callers]`: who may call which export.

use serde_json::json;

use crate::harness::Sandbox;
use crate::harness::sandbox::{fixture, text};

fn provider(sandbox: &Sandbox, version: &str, callers: &str) -> String {
    let manifest = format!("[callers]\n\"test:environ/vars\" = {callers}\n");
    text(&sandbox.component("test:environ", version, &manifest, &fixture("environ.wat")))
}

#[test]
fn who_is_not_named_is_refused_when_it_is_registered_and_when_it_is_activated() {
    let sandbox = Sandbox::new();
    let folder = provider(&sandbox, "1.0.0", "[\"demo:report\", \"acme:*\"]");
    sandbox.ok(&["-q", "register", &folder, "--activate"]);
    sandbox.register_fixture("test:borrower", "borrower.wat");
    let entry = sandbox.json(&["show", "borrower"]);
    assert_eq!(entry["unresolved_reasons"][0]["why"], "refused");
    let (failed, error) = sandbox.fails(&["activate", "borrower"], 5);
    let rule = "`test:environ` does not let `test:borrower` call `test:environ/vars@1.0.0`: its `[callers]` allows demo:report, acme:*";
    assert!(failed.stderr.contains(rule), "{failed:#?}");
    assert_eq!(error["code"], "caller-refused");
    // Operators call as before, and those who are named are linked.
    sandbox.ok(&["call", "environ", "vars#vars()"]);
    sandbox.register_fixture("acme:borrower", "borrower.wat");
    sandbox.ok(&["-q", "activate", "acme:borrower"]);
    assert_eq!(sandbox.json(&["call", "acme:borrower", "theirs()"])["result"], json!([]));
}

#[test]
fn a_new_revision_that_lets_others_call_counts_at_the_gate() {
    let sandbox = Sandbox::new();
    let folder = provider(&sandbox, "1.0.0", "[\"*\"]");
    sandbox.ok(&["-q", "register", &folder, "--activate"]);
    sandbox.register_fixture("test:borrower", "borrower.wat");
    sandbox.ok(&["-q", "activate", "borrower"]);
    sandbox.ok(&["call", "borrower", "theirs()"]);
    let folder = provider(&sandbox, "1.1.0", "[]");
    // An active component would lose its import.
    let (_, error) = sandbox.fails(&["register", &folder], 4);
    assert_eq!(error["broken"][0]["reasons"][0]["code"], "caller-refused");
    sandbox.ok(&["-q", "register", &folder, "--force"]);
    let refused = sandbox.run(&["activate", "environ@1.1.0"]);
    refused.assert_failed(4);
    sandbox.ok(&["call", "borrower", "theirs()"]);
    sandbox.ok(&["-q", "deactivate", "borrower"]);
    sandbox.ok(&["-q", "activate", "environ@1.1.0"]);
    let refused = sandbox.run(&["activate", "borrower"]);
    refused.assert_failed(5);
    assert!(refused.stderr.contains("its `[callers]` allows nobody"), "{refused:#?}");
}

#[test]
fn a_rule_for_what_is_not_exported_is_a_warning() {
    let sandbox = Sandbox::new();
    let manifest = "[callers]\n\"test:environ/var\" = [\"acme:*\"]\n";
    let folder = sandbox.component("test:environ", "1.0.0", manifest, &fixture("environ.wat"));
    let registered = sandbox.run(&["register", &text(&folder)]);
    let said =
        "`[callers]` names `test:environ/var`, which the component does not export: did you mean `test:environ/vars`?";
    assert!(registered.stderr.contains(said), "{registered:#?}");
}

#[test]
fn ids_that_look_alike_are_told() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("demo:foo", "adder.wat");
    let file = sandbox.fixture("adder.wat");
    let registered = sandbox.run(&["register", &text(&file), "--id", "demo:f00", "--version", "1.0.0"]);
    assert!(
        registered.stderr.contains("`demo:f00` looks like `demo:foo`, which is another component"),
        "{registered:#?}"
    );
    let again = sandbox.run(&["register", &text(&file), "--id", "demo:f00", "--version", "1.0.0"]);
    assert!(!again.stderr.contains("looks like"), "{again:#?}");
    sandbox.component("demo:base-util", "1.0.0", "", &fixture("doubler.wat"));
    sandbox.component("demo:baseutil", "1.0.0", "", &fixture("doubler.wat"));
    let both = sandbox.run(&["register", "components"]);
    assert!(both.stderr.contains("looks like"), "{both:#?}");
}
