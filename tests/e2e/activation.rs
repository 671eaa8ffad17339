//! Activating and deactivating.

use serde_json::json;

use crate::harness::sandbox::{fixture, string, strings, text};
use crate::harness::{Sandbox, wat};

/// A diamond with a tail: top needs left and right, both need base.
fn diamond() -> Sandbox {
    diamond_in(Sandbox::new())
}

fn diamond_in(sandbox: Sandbox) -> Sandbox {
    sandbox.register_all(&[
        ("test:top", wat::node("top", &["left", "right"])),
        ("test:left", wat::node("left", &["base"])),
        ("test:right", wat::node("right", &["base"])),
        ("test:base", wat::node("base", &[])),
    ]);
    sandbox
}

#[test]
fn activates_what_a_component_needs_in_waves() {
    let sandbox = diamond();
    let document = sandbox.json(&["activate", "top"]);
    let waves = json!([["test:base"], ["test:left", "test:right"], ["test:top"]]);
    assert_eq!(document["waves"], waves);
    assert_eq!(strings(&document["order"]), ["test:base", "test:left", "test:right", "test:top"]);
    let activated = document["activated"].as_array().unwrap();
    assert_eq!(activated.len(), 4);
    for one in activated {
        assert!(one["duration_us"].as_u64() > Some(0) && one["fuel"].is_u64(), "{one}");
        assert_eq!(one["version"], "1.0.0");
    }
    for empty in ["already_active", "failed", "skipped"] {
        assert_eq!(document[empty], json!([]), "{empty}");
    }
    // base answers 1, left and right 2 each, top 5: the diamond's base is asked twice.
    assert_eq!(sandbox.ok(&["call", "top", "get()"]), "5\n");
}

#[test]
fn activating_again_says_what_is_active() {
    let sandbox = diamond();
    sandbox.ok(&["activate", "left"]);
    let document = sandbox.json(&["activate", "top"]);
    assert_eq!(strings(&document["already_active"]), ["test:base", "test:left"]);
    assert_eq!(strings(&document["order"]), ["test:right", "test:top"]);
    let ran = sandbox.run(&["activate", "top"]);
    assert_eq!((ran.code, ran.stdout.contains("already active test:top")), (0, true), "{ran:#?}");
}

#[test]
fn deactivating_what_is_not_active_says_so() {
    let sandbox = diamond();
    sandbox.ok(&["activate", "left"]);
    let document = sandbox.json(&["deactivate", "left", "right"]);
    assert_eq!(
        (strings(&document["done"]), strings(&document["unchanged"])),
        (vec!["test:left".to_owned()], vec!["test:right".to_owned()])
    );
    assert_eq!(sandbox.ok(&["deactivate", "left"]), "test:left is not active\n");
    assert_eq!(sandbox.status("right"), "registered");
}

#[test]
fn a_call_that_needs_what_is_in_error_says_how_to_see_why() {
    let sandbox = diamond();
    sandbox.ok(&["activate", "top"]);
    sandbox.ok(&["status", "base", "--set", "error"]);
    let (ran, error) = sandbox.fails(&["call", "left", "get()"], 4);
    assert!(ran.stderr.contains("`test:left` is inactive: it waits for `test:base`"), "{ran:#?}");
    assert!(error["hints"].to_string().contains("runtime deps test:left --check"), "{error}");
}

#[test]
fn a_dry_run_prints_the_plan_alone() {
    let sandbox = diamond();
    let document = sandbox.json(&["activate", "top", "--dry-run"]);
    assert_eq!(document["waves"].as_array().unwrap().len(), 3);
    assert_eq!(document["activated"], json!([]));
    assert_eq!(sandbox.status("top"), "registered");
    let plan = sandbox.ok(&["activate", "--all", "--dry-run"]);
    assert_eq!(plan, "wave 1  test:base\nwave 2  test:left test:right\nwave 3  test:top\n");
}

#[test]
fn a_failing_component_is_recorded_its_dependents_are_skipped_the_rest_goes_on() {
    let sandbox = diamond();
    sandbox.component("test:refuses", "1.0.0", "", &fixture("refuses.wat"));
    sandbox.component("test:waits", "1.0.0", "[dependencies]\n\"test:refuses\" = \"*\"\n", &wat::answer(1));
    sandbox.ok(&["-q", "register", "components"]);
    let ran = sandbox.run_json(&["activate", "--all"]);
    ran.assert_failed(7);
    let document = ran.document();
    assert_eq!(document["failed"][0]["id"], "test:refuses");
    assert_eq!(document["failed"][0]["error"]["code"], "component-activation");
    assert_eq!(document["failed"][0]["error"]["failure"]["phase"], "activate");
    assert_eq!(document["skipped"], json!([{ "id": "test:waits", "because": "test:refuses" }]));
    assert_eq!(document["activated"].as_array().unwrap().len(), 4);
    let entry = sandbox.json(&["show", "refuses"]);
    assert_eq!((&entry["status"], &entry["error_count"]), (&json!("error"), &json!(1)));
    assert!(string(&entry["last_error"]).contains("not today"), "{entry}");
    assert_eq!(sandbox.status("waits"), "registered");

    let errors = sandbox.json(&["errors", "refuses"]);
    let error = &errors["errors"][0];
    assert_eq!(
        (&error["id"], &error["phase"], &error["kind"]),
        (&json!("test:refuses"), &json!("activate"), &json!("err"))
    );
    assert!(string(&error["message"]).contains("not today") && error["seq"].as_u64() > Some(0));

    // Asked for again, it is tried again.
    sandbox.run(&["activate", "refuses"]).assert_failed(7);
    assert_eq!(sandbox.json(&["show", "refuses"])["error_count"], 2);
}

#[test]
fn deactivation_is_refused_while_dependents_are_active() {
    let sandbox = diamond();
    sandbox.ok(&["activate", "--all"]);
    let (text, error) = sandbox.fails(&["deactivate", "base"], 4);
    assert_eq!(error["code"], "dependency");
    assert!(text.stderr.contains("test:left") && text.stderr.contains("--cascade"), "{text:#?}");
    assert_eq!(sandbox.status("base"), "active");

    let document = sandbox.json(&["deactivate", "base", "--cascade"]);
    let done = strings(&document["done"]);
    assert_eq!(
        (done.first().map(String::as_str), done.last().map(String::as_str)),
        (Some("test:top"), Some("test:base"))
    );
    assert_eq!(done.len(), 4);
    assert_eq!(sandbox.status("top"), "inactive");
    sandbox.ok(&["activate", "base"]);
    assert_eq!(sandbox.status("base"), "active");
}

#[test]
fn unregistration_is_refused_while_dependents_exist() {
    let sandbox = diamond();
    let (text, error) = sandbox.fails(&["unregister", "base"], 4);
    assert_eq!(error["code"], "dependency");
    assert!(text.stderr.contains("test:left") && text.stderr.contains("test:right"), "{text:#?}");
    assert_eq!(sandbox.ids().len(), 4);
    let done = strings(&sandbox.json(&["unregister", "base", "--cascade"])["done"]);
    assert_eq!(done.last().map(String::as_str), Some("test:base"));
    assert!(sandbox.ids().is_empty());
}

#[test]
fn chooses_components_by_filter_or_all() {
    let sandbox = diamond();
    let skill = sandbox.component("test:skill", "1.0.0", "kind = \"skill\"\n", &wat::answer(1));
    sandbox.ok(&["-q", "register", &text(&skill)]);
    let document = sandbox.json(&["activate", "--kind", "skill"]);
    assert_eq!(document["activated"][0]["id"], "test:skill");
    let (_, error) = sandbox.fails(&["activate"], 2);
    assert_eq!(error["code"], "usage");
    sandbox.fails(&["activate", "top", "--kind", "skill"], 2);
    sandbox.ok(&["activate", "--all"]);
    assert_eq!(strings(&sandbox.json(&["deactivate", "--all"])["done"]).len(), 5);
    assert_eq!(sandbox.json(&["health"])["by_status"]["inactive"], 5);
}

#[test]
fn an_unknown_name_among_several_does_not_stop_the_others() {
    let sandbox = diamond();
    let ran = sandbox.run_json(&["activate", "tpo", "base"]);
    ran.assert_failed(3);
    let document = ran.document();
    assert_eq!(document["failed"][0]["id"], "tpo");
    assert!(document["error"]["hints"].to_string().contains("did you mean test:top"), "{document}");
    assert_eq!(document["activated"][0]["id"], "test:base");
}

#[test]
fn what_the_host_does_not_grant_is_refused_by_name() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:network", "network.wat");
    let ran = sandbox.run_json(&["activate", "network"]);
    ran.assert_failed(5);
    let error = ran.document()["error"].clone();
    assert!(string(&error["message"]).contains("wasi:sockets/instance-network"), "{error}");
    assert_eq!(error["failure"]["phase"], "link");
}

#[test]
fn state_outlives_the_process_and_fresh_ones_start_fresh() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register_fixture("test:counter", "counter.wat");
    sandbox.register_fixture("test:flaky", "flaky.wat");
    sandbox.ok(&["activate", "--all"]);
    let counts: Vec<_> = (0..3).map(|_| sandbox.ok(&["call", "counter", "next"])).collect();
    assert_eq!(counts, ["1\n", "2\n", "3\n"]);
    let counts: Vec<_> = (0..2).map(|_| sandbox.ok(&["call", "flaky", "calls"])).collect();
    assert_eq!(counts, ["1\n", "1\n"]);
    sandbox.ok(&["deactivate", "counter"]);
    sandbox.ok(&["activate", "counter"]);
    assert_eq!(sandbox.ok(&["call", "counter", "next"]), "4\n");
}

#[test]
fn evict_keeps_the_status() {
    let sandbox = diamond_in(Sandbox::new().unserved());
    sandbox.ok(&["activate", "base"]);
    // No process holds an instance between two commands.
    assert_eq!(sandbox.json(&["evict", "base"]), json!({ "id": "test:base", "evicted": false }));
    assert_eq!(sandbox.status("base"), "active");
    sandbox.fails(&["evict", "nobody"], 3);
}

#[test]
fn a_resource_of_one_component_is_used_by_another() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:shop", "shop.wat");
    let file = text(&sandbox.fixture("shopper.wat"));
    let inspected = sandbox.json(&["inspect", &file]);
    let expected = json!({
        "import": "test:gadgets/shop@1.0.0",
        "provider": "component",
        "satisfied": true,
        "components": ["test:shop"],
    });
    assert_eq!(inspected["providers"], json!([expected]), "{inspected}");
    assert_eq!((&inspected["dependencies"][0]["id"], &inspected["unresolved"]), (&json!("test:shop"), &json!([])));
    let registered = sandbox.run(&["register", &file, "--id", "test:shopper", "--version", "1.0.0"]);
    assert_eq!((registered.code, registered.stderr.contains("warning")), (0, false), "{registered:#?}");
    sandbox.ok(&["activate", "shopper"]);
    assert_eq!(sandbox.ok(&["call", "shopper", "visit()"]), "1\n");
    assert_eq!((sandbox.status("shop"), sandbox.status("shopper")), ("active".to_owned(), "active".to_owned()));
    assert_eq!(sandbox.json(&["errors"])["errors"], json!([]));
}

#[test]
fn a_version_that_would_leave_active_dependents_behind_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:adder", "adder.wat");
    sandbox.register_fixture("test:doubler", "doubler.wat");
    sandbox.ok(&["-q", "activate", "--all"]);
    let greeter = text(&sandbox.fixture("greeter.wat"));
    let register = ["register", &greeter, "--id", "test:adder", "--version", "2.0.0"];
    sandbox.ok(&[&register[..], &["-q"]].concat());
    // One with whose code another is fused has no other to go on with.
    sandbox.ok(&["-q", "fuse", "test:doubler", "test:adder"]);
    let (ran, error) = sandbox.fails(&["activate", "test:adder@2.0.0"], 4);
    assert!(error["message"].as_str().unwrap().contains("test:doubler"), "{ran:#?}");
    assert_eq!(sandbox.json(&["show", "test:adder"])["version"], "1.0.0");
    let shown = sandbox.json(&["show", "test:doubler"]);
    assert_eq!((&shown["status"], &shown["unresolved"]), (&"active".into(), &json!([])));
    sandbox.ok(&["-q", "unfuse", "test:doubler"]);
    sandbox.ok(&["-q", "activate", "test:adder@2.0.0"]);
    assert_eq!(sandbox.json(&["show", "test:adder"])["version"], "2.0.0");
    assert_eq!(sandbox.json(&["call", "test:doubler", "double(21)"])["result"], 42);
}

#[test]
fn an_older_version_that_cannot_be_activated_is_not_selected_either() {
    let sandbox = Sandbox::new();
    sandbox.register_version("test:x", "1.0.0", &wat::node("x", &["nobody"]));
    sandbox.register_version("test:x", "2.0.0", &wat::node("x", &[]));
    sandbox.register("test:user", &wat::node("user", &["x"]));
    let before = (sandbox.json(&["show", "test:x"]), sandbox.json(&["show", "test:user"]));
    let changes = || {
        let records = sandbox.run_json(&["log"]).documents();
        records.into_iter().filter(|record| record["event"] != "refused").count()
    };
    let count = changes();
    for args in [&["activate", "test:x@1.0.0"][..], &["activate", "test:user", "test:x@1.0.0"]] {
        let ran = sandbox.run_json(args);
        ran.assert_failed(3);
        assert_eq!(ran.document()["failed"][0]["id"], "test:x", "{ran:#?}");
        if args.len() == 2 {
            assert_eq!((sandbox.json(&["show", "test:x"]), sandbox.json(&["show", "test:user"])), before);
            assert_eq!(changes(), count);
        }
    }
    // The other target was activated, with the version that it had, and what it needs.
    assert_eq!((sandbox.status("test:user").as_str(), sandbox.status("test:x").as_str()), ("active", "active"));
    assert_eq!(sandbox.json(&["show", "test:x"])["version"], "2.0.0");
    // Versions that need each other are selected together, whichever is named first.
    sandbox.ok(&["-q", "deactivate", "--all"]);
    sandbox.register_version("test:top", "1.0.0", &wat::node("top", &["old"]));
    sandbox.register_version("test:top", "2.0.0", &wat::node("top", &[]));
    sandbox.register_version("test:base", "1.0.0", &wat::node("old", &[]));
    sandbox.register_version("test:base", "2.0.0", &wat::node("new", &[]));
    sandbox.ok(&["-q", "activate", "test:top@1.0.0", "test:base@1.0.0"]);
    assert_eq!(sandbox.ok(&["call", "test:top", "get()"]), "2\n");
}
