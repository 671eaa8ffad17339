//! What graphs that cannot be gets: missing and several providers, ranges, cycles.

use serde_json::json;

use crate::harness::sandbox::{fixture, string, strings, text};
use crate::harness::{Sandbox, wat};

#[test]
fn an_import_that_nobody_provides_is_registered_and_not_activated() {
    let sandbox = Sandbox::new();
    let file = text(&sandbox.fixture("doubler.wat"));
    let ran = sandbox.run(&["register", &file, "--id", "test:doubler", "--version", "1.0.0"]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert!(ran.stderr.contains("nothing provides `test:math/ops@1.0.0`"), "{ran:#?}");
    assert_eq!(strings(&sandbox.json(&["show", "doubler"])["unresolved"]), ["test:math/ops@1.0.0"]);

    let ran = sandbox.run_json(&["activate", "doubler"]);
    ran.assert_failed(3);
    let error = ran.document()["error"].clone();
    assert!(string(&error["message"]).contains("test:math/ops@1.0.0"), "{error}");
    assert!(!error["hints"].as_array().unwrap().is_empty(), "{error}");

    // Once somebody provides it, it works.
    sandbox.register_fixture("test:adder", "adder.wat");
    sandbox.ok(&["activate", "doubler"]);
    assert_eq!(sandbox.ok(&["call", "doubler", "double(21)"]), "42\n");
}

#[test]
fn two_providers_need_a_choice_and_bind_makes_it() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("one:adder", "adder.wat");
    sandbox.register_fixture("two:adder", "adder.wat");
    sandbox.register_fixture("test:doubler", "doubler.wat");
    let ran = sandbox.run_json(&["activate", "doubler"]);
    ran.assert_failed(4);
    let error = ran.document()["error"].clone();
    let all = format!("{} {}", error["message"], error["hints"]);
    assert!(all.contains("one:adder") && all.contains("two:adder") && all.contains("bind"), "{error}");

    let bind = "[bind]\n\"test:math/ops\" = \"two:adder\"\n";
    let folder = sandbox.component("test:doubler", "1.0.1", bind, &fixture("doubler.wat"));
    sandbox.ok(&["register", &text(&folder)]);
    sandbox.ok(&["activate", "doubler"]);
    assert_eq!(sandbox.json(&["deps", "doubler"])["edges"][0]["from"], "two:adder");
}

#[test]
fn a_second_provider_does_not_take_over_a_working_dependent() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("one:adder", "adder.wat");
    sandbox.register_fixture("test:doubler", "doubler.wat");
    sandbox.register_fixture("two:adder", "adder.wat");
    sandbox.ok(&["activate", "doubler"]);
    assert_eq!(sandbox.json(&["deps", "doubler"])["edges"][0]["from"], "one:adder");
}

#[test]
fn a_declared_dependency_that_is_missing_or_out_of_range() {
    let sandbox = Sandbox::new();
    let missing = sandbox.component("test:a", "1.0.0", "[dependencies]\n\"test:ghost\" = \"^1\"\n", &wat::answer(1));
    sandbox.ok(&["register", &text(&missing)]);
    let ran = sandbox.run_json(&["activate", "test:a"]);
    ran.assert_failed(3);
    assert!(string(&ran.document()["error"]["message"]).contains("test:ghost"));

    sandbox.register_version("test:base", "1.4.0", &wat::answer(1));
    let range = sandbox.component("test:b", "1.0.0", "[dependencies]\n\"test:base\" = \"^2\"\n", &wat::answer(2));
    sandbox.ok(&["register", &text(&range)]);
    let ran = sandbox.run_json(&["activate", "test:b"]);
    ran.assert_failed(2);
    let message = string(&ran.document()["error"]["message"]);
    assert!(message.contains("^2") && message.contains("1.4.0"), "{message}");

    let (ran, _) = sandbox.fails(&["depend", "test:b", "--on", "test:base", "--range", "^3"], 2);
    assert!(ran.stderr.contains("^3") && ran.stderr.contains("1.4.0"), "{ran:#?}");
    sandbox.fails(&["depend", "test:b", "--on", "test:base", "--range", "three"], 2);
    sandbox.fails(&["depend", "test:b", "--on", "test:ghost"], 3);
}

#[test]
fn a_cycle_by_imports_is_refused_with_the_cycle() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::node("a", &["b"]));
    sandbox.register("test:b", &wat::node("b", &["c"]));
    let file = text(&sandbox.write("c.wat", wat::node("c", &["a"])));
    let (ran, error) = sandbox.fails(&["register", &file, "--id", "test:c", "--version", "1.0.0"], 4);
    assert_eq!(error["code"], "circular-dependency");
    for id in ["test:a", "test:b", "test:c"] {
        assert!(ran.stderr.contains(id), "{ran:#?}");
    }
    assert_eq!(sandbox.ids(), ["test:a", "test:b"]);
    // What was there is as good as before.
    assert_eq!(strings(&sandbox.json(&["show", "test:b"])["unresolved"]), ["graph:c/value@1.0.0"]);
}

#[test]
fn a_component_that_imports_what_it_exports_does_not_provide_for_itself() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::node("a", &["a"]));
    assert_eq!(strings(&sandbox.json(&["show", "test:a"])["unresolved"]), ["graph:a/value@1.0.0"]);
    sandbox.run(&["activate", "test:a"]).assert_failed(3);
}

#[test]
fn a_cycle_by_declared_edges_is_refused_with_the_cycle() {
    let sandbox = Sandbox::new();
    for (id, number) in [("test:a", 1), ("test:b", 2), ("test:c", 3)] {
        sandbox.register(id, &wat::answer(number));
    }
    sandbox.ok(&["depend", "test:a", "--on", "test:b"]);
    sandbox.ok(&["depend", "test:b", "--on", "test:c"]);
    let (ran, error) = sandbox.fails(&["depend", "test:c", "--on", "test:a"], 4);
    assert_eq!(error["code"], "circular-dependency");
    assert!(ran.stderr.contains("test:b"), "{ran:#?}");
    sandbox.fails(&["depend", "test:a", "--on", "test:a"], 4);
    let (_, error) = sandbox.fails(&["depend", "test:c", "--on", "test:a", "--dry-run"], 4);
    assert_eq!(error["code"], "circular-dependency");
    let manifest = sandbox.component("test:c", "1.1.0", "[dependencies]\n\"test:a\" = \"*\"\n", &wat::answer(4));
    sandbox.run(&["register", &text(&manifest)]).assert_failed(4);
    assert_eq!(sandbox.json(&["deps", "test:c"])["edges"], json!([]));
    assert_eq!(sandbox.json(&["cycles"])["cycles"], json!([]));
}

#[test]
fn a_cycle_by_an_import_and_a_declared_edge_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.register("test:base", &wat::node("base", &[]));
    sandbox.register("test:top", &wat::node("top", &["base"]));
    let (ran, _) = sandbox.fails(&["depend", "test:base", "--on", "test:top"], 4);
    assert!(ran.stderr.contains("test:base") && ran.stderr.contains("test:top"), "{ran:#?}");
    sandbox.ok(&["activate", "test:top"]);
}

#[test]
fn an_edge_from_an_import_cannot_be_taken_away() {
    let sandbox = Sandbox::new();
    sandbox.register("test:base", &wat::node("base", &[]));
    sandbox.register("test:top", &wat::node("top", &["base"]));
    let (_, error) = sandbox.fails(&["undepend", "test:top", "--on", "test:base"], 4);
    assert_eq!(error["code"], "edge-not-declared");
}
