//! Registering, scanning, inspecting, unregistering what is in order.

use serde_json::json;

use crate::harness::sandbox::{fixture, string, strings, text};
use crate::harness::{Sandbox, wat};

#[test]
fn a_bare_file_is_named_after_itself_and_gets_safe_defaults() {
    let sandbox = Sandbox::new();
    let file = sandbox.write("My Greeter_2.wat", fixture("greeter.wat"));
    let ran = sandbox.run(&["register", &text(&file)]);
    assert_eq!(ran.code, 0, "{ran:#?}");
    assert_eq!(ran.stdout, "registered local:my-greeter-2 0.0.0\n");
    assert!(ran.stderr.contains("warning: ") && ran.stderr.contains("0.0.0"), "{ran:#?}");

    let entry = sandbox.json(&["show", "my-greeter-2"]);
    assert_eq!(entry["id"], "local:my-greeter-2");
    assert_eq!(entry["kind"], "component");
    assert_eq!(entry["status"], "registered");
    assert_eq!(entry["instance"], "none");
    assert_eq!(entry["imports"], json!([]));
    assert_eq!(entry["exports"], json!(["test:greeter/greeting@0.1.0"]));
    assert_eq!(entry["limits"]["fuel"], 100_000_000);
    assert_eq!(entry["path"], text(&file.canonicalize().unwrap()));
    assert!(string(&entry["digest"]).starts_with("sha256:") && string(&entry["digest"]).len() == 71);
}

#[test]
fn an_entry_has_every_promised_field() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:adder", "adder.wat");
    let manifest = "kind = \"skill\"\ndescription = \"Doubles\"\n\
        [metadata]\nauthor = \"Acme\"\n[dependencies]\n\"test:adder\" = \"^1\"\n\
        [limits]\nfuel = 7_000_000\ndeadline = \"250ms\"\n[grants]\nenv = [\"LANG\"]\n[config]\nprecision = \"12\"\n";
    let folder = sandbox.component("test:doubler", "1.2.3", manifest, &fixture("doubler.wat"));
    let document = sandbox.json(&["register", &text(&folder)]);
    assert_eq!(document["failed"], json!([]));
    let entry = &document["registered"][0];
    assert_eq!(entry["outcome"], "new");
    for field in [
        "id",
        "version",
        "revision",
        "kind",
        "status",
        "digest",
        "size",
        "description",
        "metadata",
        "imports",
        "exports",
        "dependencies",
        "dependents",
        "unresolved",
        "limits",
        "grants",
        "path",
        "last_modified",
        "instance",
        "registered_at",
        "last_accessed",
        "access_count",
        "error_count",
        "last_error",
    ] {
        assert!(entry.get(field).is_some(), "no `{field}` in {entry}");
    }
    assert_eq!(entry["version"], "1.2.3");
    assert_eq!(entry["kind"], "skill");
    assert_eq!(entry["description"], "Doubles");
    assert_eq!(entry["metadata"], json!({ "author": "Acme" }));
    assert_eq!(entry["limits"]["fuel"], 7_000_000);
    assert_eq!(entry["limits"]["deadline_ms"], 250);
    assert_eq!(entry["grants"]["env"], json!(["LANG"]));
    assert_eq!(entry["imports"], json!(["test:math/ops@1.0.0"]));
    assert_eq!(entry["unresolved"], json!([]));
    assert_eq!(entry["access_count"], 0);
    let kinds: Vec<_> = entry["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .map(|edge| (string(&edge["id"]), string(&edge["kind"])))
        .collect();
    assert_eq!(kinds.len(), 2, "{entry}");
    assert!(kinds.iter().all(|(id, _)| id == "test:adder"));
    assert!(kinds.iter().any(|(_, kind)| kind == "import") && kinds.iter().any(|(_, kind)| kind == "declared"));
    assert_eq!(sandbox.json(&["show", "test:adder"])["dependents"], json!(["test:doubler"]));
}

#[test]
fn a_folder_of_components_registers_in_any_order_and_links_itself() {
    let sandbox = Sandbox::new();
    sandbox.component("test:a-first", "1.0.0", "", &wat::node("a-first", &["z-last"]));
    sandbox.component("test:z-last", "1.0.0", "", &wat::node("z-last", &[]));
    let document = sandbox.json(&["register", "components"]);
    assert_eq!(document["registered"].as_array().unwrap().len(), 2, "{document}");
    // The answer is as things stand at the end, not as they stood when a-first was alone.
    assert_eq!(document["registered"][0]["id"], "test:a-first");
    assert_eq!(document["registered"][0]["unresolved"], json!([]), "{document}");
    let entry = sandbox.json(&["show", "test:a-first"]);
    assert_eq!(entry["unresolved"], json!([]), "{entry}");
    assert_eq!(entry["dependencies"][0]["id"], "test:z-last");
    assert_eq!(entry["dependencies"][0]["interface"], "graph:z-last/value@1.0.0");
}

#[test]
fn the_same_bytes_again_change_nothing() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    let before = sandbox.run(&["log", "-o", "json"]).documents().len();
    let ran = sandbox.run(&["register", "test-a.wat", "--id", "test:a", "--version", "1.0.0"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, "unchanged test:a 1.0.0\n"), "{ran:#?}");
    assert_eq!(sandbox.run(&["log", "-o", "json"]).documents().len(), before);
}

#[test]
fn the_same_version_with_other_bytes_needs_override() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    let other = sandbox.write("other.wat", wat::answer(2));
    let args = ["register", &text(&other), "--id", "test:a", "--version", "1.0.0"];
    let ran = sandbox.run_json(&args);
    ran.assert_failed(4);
    let document = ran.document();
    assert_eq!(document["failed"][0]["error"]["code"], "version-conflict");
    assert_eq!(document["error"]["kind"], "conflict");
    assert!(document["error"]["hints"].to_string().contains("--override"), "{document}");
    assert_eq!(sandbox.json(&["show", "test:a"])["revision"], 1);

    sandbox.ok(&[&args[..], &["--override"]].concat());
    assert_eq!(sandbox.json(&["show", "test:a"])["revision"], 2);
    sandbox.ok(&["activate", "test:a@1.0.0"]);
    assert_eq!(sandbox.ok(&["call", "test:a", "answer()"]), "2\n");
}

#[test]
fn a_new_version_of_an_active_component_waits_for_its_activation() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    sandbox.ok(&["activate", "test:a"]);
    let file = sandbox.write("next.wat", wat::answer(2));
    let args = ["register", &text(&file), "--id", "test:a", "--version", "2.0.0"];
    let document = sandbox.json(&args);
    assert_eq!(document["registered"][0]["outcome"], "waiting");
    assert_eq!(sandbox.ok(&["call", "test:a", "answer()"]), "1\n");
    let (_, error) = sandbox.fails(&["call", "test:a@2.0.0", "answer()"], 4);
    assert_eq!(error["code"], "version-not-active");
    sandbox.ok(&["activate", "test:a@2.0.0"]);
    assert_eq!(sandbox.ok(&["call", "test:a", "answer()"]), "2\n");
    let (_, error) = sandbox.fails(&["activate", "test:a@3.0.0"], 3);
    assert_eq!(error["code"], "version-not-found");
    assert!(error["hints"].to_string().contains("2.0.0"));
}

#[test]
fn a_version_that_is_not_in_service_is_never_taken_for_the_one_that_is() {
    let sandbox = Sandbox::new();
    for version in ["1.0.0", "2.0.0"] {
        let file = sandbox.write(&format!("a-{version}.wat"), fixture("adder.wat"));
        sandbox.ok(&["register", &text(&file), "--id", "test:a", "--version", version]);
    }
    sandbox.ok(&["activate", "test:a"]);
    for verb in ["unregister", "deactivate", "evict"] {
        let (_, error) = sandbox.fails(&[verb, "test:a@1.0.0"], 4);
        assert_eq!(error["code"], "version-not-active", "{verb}");
    }
    assert_eq!(sandbox.json(&["show", "test:a"])["status"], "active");
    let old = sandbox.json(&["show", "test:a@1.0.0"]);
    assert_eq!((&old["version"], &old["revision"], &old["status"]), (&json!("1.0.0"), &json!(1), &json!("registered")));
    sandbox.ok(&["unregister", "test:a@2.0.0"]);
}

#[test]
fn registers_and_activates_in_one_go() {
    let sandbox = Sandbox::new();
    let file = sandbox.fixture("greeter.wat");
    let document = sandbox.json(&["register", &text(&file), "--id", "test:greeter", "--activate"]);
    assert_eq!(document["registered"][0]["status"], "active");
    assert_eq!(document["activation"]["activated"][0]["id"], "test:greeter");
    assert_eq!(sandbox.ok(&["call", "greeter", "greet(\"Ada\")"]), "\"Hello, Ada!\"\n");
}

#[test]
fn one_bad_item_of_many_does_not_stop_the_others() {
    let sandbox = Sandbox::new();
    sandbox.component("test:good", "1.0.0", "", &wat::answer(1));
    sandbox.write("components/bad/component.wat", "(component");
    sandbox.write("components/bad/component.toml", "id = \"test:bad\"\n");
    let ran = sandbox.run_json(&["register", "components", "missing.wasm"]);
    ran.assert_failed(2);
    let document = ran.document();
    assert_eq!(document["registered"][0]["id"], "test:good");
    assert_eq!(document["failed"].as_array().unwrap().len(), 2, "{document}");
    assert_eq!(document["failed"][1]["path"], "missing.wasm");
    assert_eq!(document["failed"][1]["error"]["kind"], "not-found");
    assert_eq!(sandbox.ids(), ["test:good"]);
}

#[test]
fn scan_lists_candidates_and_registers_them_when_asked() {
    let sandbox = Sandbox::new();
    sandbox.component("test:a", "1.2.0", "kind = \"skill\"\n", &wat::answer(1));
    sandbox.write("components/loose.wat", wat::answer(2));
    sandbox.write("components/broken.wasm", b"\0asm\x0d\0\x01\0junk");
    let document = sandbox.json(&["scan", "components"]);
    let candidates = document["candidates"].as_array().unwrap();
    assert_eq!(candidates.len(), 3, "{document}");
    let find = |part: &str| candidates.iter().find(|c| string(&c["path"]).contains(part)).unwrap();
    assert_eq!((&find("test-a")["id"], &find("test-a")["version"]), (&json!("test:a"), &json!("1.2.0")));
    assert_eq!((&find("test-a")["kind"], &find("test-a")["status"]), (&json!("skill"), &json!("discovered")));
    assert_eq!(find("loose")["id"], "local:loose");
    assert_eq!(find("broken")["error"]["kind"], "invalid");
    assert!(find("loose").get("error").is_none());
    assert!(sandbox.ids().is_empty());

    let ran = sandbox.run_json(&["scan", "components", "--register", "--activate"]);
    ran.assert_failed(2);
    assert_eq!(sandbox.ids(), ["local:loose", "test:a"]);
    assert_eq!(sandbox.status("loose"), "active");
}

#[test]
fn inspect_tells_what_a_file_is_without_registering_it() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:adder", "adder.wat");
    let file = sandbox.fixture("doubler.wat");
    let document = sandbox.json(&["inspect", &text(&file)]);
    assert_eq!(document["id"], "local:doubler");
    assert_eq!(document["imports"], json!(["test:math/ops@1.0.0"]));
    assert_eq!(strings(&document["exports"]), ["double", "share"]);
    assert_eq!(document["dependencies"][0]["id"], "test:adder");
    assert_eq!(document["unresolved"], json!([]));
    assert!(string(&document["digest"]).starts_with("sha256:") && document["size"].as_u64() > Some(100));
    assert_eq!(sandbox.ids(), ["test:adder"]);
    let text_form = sandbox.ok(&["inspect", &text(&file)]);
    assert!(text_form.contains("test:adder") && text_form.contains("double"), "{text_form}");

    let network = sandbox.fixture("network.wat");
    let document = sandbox.json(&["inspect", &text(&network)]);
    assert_eq!(document["providers"][0]["provider"], "denied");
    assert_eq!(document["unresolved"], json!(["wasi:sockets/instance-network@0.2.0"]));
}

#[test]
fn wit_is_the_world_of_the_component() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:doubler", "doubler.wat");
    let document = sandbox.json(&["wit", "doubler"]);
    assert_eq!(document["id"], "test:doubler");
    let wit = string(&document["wit"]);
    assert!(wit.contains("import test:math/ops@1.0.0") && wit.contains("export double: func(n: u32) -> u32"), "{wit}");
    assert_eq!(sandbox.ok(&["wit", "doubler"]).trim(), wit.trim());
}

#[test]
fn unregister_removes_and_leaves_the_history() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    sandbox.ok(&["activate", "test:a"]);
    let document = sandbox.json(&["unregister", "test:a"]);
    assert_eq!(document["done"], json!(["test:a"]));
    assert_eq!(document["failed"], json!([]));
    assert!(sandbox.ids().is_empty());
    let log = sandbox.ok(&["log"]);
    assert!(log.contains("unregistered test:a"), "{log}");
    sandbox.fails(&["show", "test:a"], 3);
}
