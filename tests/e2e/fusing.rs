//! `fuse` and `unfuse`: a component composed with those it calls.

use serde_json::json;

use crate::harness::Sandbox;
use crate::harness::sandbox::text;
use crate::harness::wat::node;

/// Registers `test:top`, which calls `test:mid`, which calls `test:base`, and activates all.
fn chain() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.register("test:base", &node("base", &[]));
    sandbox.register("test:mid", &node("mid", &["base"]));
    sandbox.register("test:top", &node("top", &["mid"]));
    sandbox.ok(&["-q", "activate", "top"]);
    sandbox
}

fn calls(sandbox: &Sandbox, id: &str) -> u64 {
    sandbox.json(&["show", id])["calls"].as_u64().unwrap()
}

#[test]
fn a_fused_chain_answers_as_before_and_is_shown() {
    let sandbox = chain();
    assert_eq!(sandbox.json(&["call", "top", "get()"])["result"], json!(3));
    assert_eq!(
        sandbox.ok(&["fuse", "top", "mid", "base", "--dry-run"]),
        "test:top can be fused with test:base, test:mid\n"
    );
    assert!(!sandbox.ok(&["show", "top"]).contains("fused with"));
    assert_eq!(sandbox.ok(&["fuse", "top", "mid", "base"]), "fused test:top with test:base, test:mid\n");
    assert_eq!(sandbox.ok(&["fuse", "top", "mid", "base"]), "unchanged: test:top is fused with test:base, test:mid\n");
    assert_eq!(sandbox.json(&["call", "top", "get()"])["result"], json!(3));
    assert_eq!((calls(&sandbox, "top"), calls(&sandbox, "mid"), calls(&sandbox, "base")), (2, 1, 1));
    let shown = sandbox.ok(&["show", "top"]);
    assert!(shown.contains("  fused with     test:base\n                 test:mid\n"), "{shown}");
    let fused = json!({"with": ["test:base", "test:mid"], "by": "operator", "shares_grants": false});
    assert_eq!(sandbox.json(&["show", "top"])["fused"], fused);
    assert_eq!(sandbox.json(&["show", "mid"])["fused"], json!(null));
    let tree = sandbox.ok(&["graph", "top"]);
    assert!(tree.contains("test:mid@1.0.0 [active] graph:mid/value@1.0.0 (fused)"), "{tree}");
    let graph = sandbox.json(&["graph", "top"]);
    let fused = graph["edges"].as_array().unwrap().iter().filter(|edge| edge["fused"] == json!(true));
    assert_eq!(fused.map(|edge| edge["from"].clone()).collect::<Vec<_>>(), [json!("test:mid")]);
    assert!(sandbox.ok(&["deps", "top"]).contains("fused"));
    assert_eq!(sandbox.json(&["deps", "top"])["edges"][0]["fused"], json!(true));
    let log = sandbox.run(&["log", "--component", "test:top", "--event", "fused"]).stdout;
    assert!(log.contains("fused test:top with test:base, test:mid"), "{log}");
    assert_eq!(sandbox.ok(&["unfuse", "top"]), "unfused test:top\n");
    assert_eq!(sandbox.ok(&["unfuse", "top"]), "unchanged: test:top is not fused\n");
    assert_eq!(sandbox.json(&["call", "top", "get()"])["result"], json!(3));
    assert_eq!(calls(&sandbox, "base"), 2);
}

#[test]
fn what_cannot_be_fused_is_told_with_what_to_do() {
    let sandbox = chain();
    let (ran, error) = sandbox.fails(&["fuse", "top", "base"], 4);
    assert_eq!(error["code"], "not-imported");
    assert!(ran.stderr.contains("`test:top` cannot be fused with `test:base`: nothing in it would call"), "{ran:#?}");
    assert!(ran.stderr.contains("runtime deps test:top --transitive"), "{ran:#?}");
    sandbox.ok(&["grant", "mid", "env", "X=1"]);
    let (ran, error) = sandbox.fails(&["fuse", "top", "mid"], 5);
    assert_eq!(error["code"], "grants-differ");
    assert!(ran.stderr.contains("--share-grants"), "{ran:#?}");
    assert_eq!(sandbox.json(&["fuse", "top", "mid", "--share-grants"])["changed"], json!(true));
    assert!(sandbox.ok(&["show", "top"]).contains("(their code has its grants)"));
    sandbox.fails(&["fuse", "top", "nobody"], 3);
    sandbox.fails(&["fuse", "top"], 2);
    sandbox.fails(&["unregister", "mid"], 4);
    assert_eq!(sandbox.json(&["call", "top", "get()"])["result"], json!(3));
}

#[test]
fn a_part_that_changes_so_that_it_may_not_be_one_is_told_at_the_next_call() {
    let sandbox = chain();
    sandbox.ok(&["fuse", "top", "mid"]);
    sandbox.ok(&["grant", "mid", "env", "X=1"]);
    let failed = sandbox.run(&["call", "top", "get()"]);
    failed.assert_failed(5);
    assert!(failed.stderr.contains("it cannot be fused with `test:mid`: their grants differ"), "{failed:#?}");
    assert!(failed.stderr.contains("`runtime unfuse test:top` links it through gates again"), "{failed:#?}");
    assert!(sandbox.ok(&["show", "top"]).contains("but `test:top` cannot be fused with `test:mid`"));
    sandbox.ok(&["unfuse", "top"]);
    assert_eq!(sandbox.json(&["call", "top", "get()"])["result"], json!(3));
}

#[test]
fn a_manifest_can_ask_for_it() {
    let sandbox = Sandbox::new();
    sandbox.register("test:base", &node("base", &[]));
    let folder = sandbox.component("test:top", "1.0.0", "[instances]\nlink = \"fused\"\n", &node("top", &["base"]));
    sandbox.ok(&["-q", "register", &text(&folder), "--activate"]);
    assert_eq!(sandbox.json(&["call", "top", "get()"])["result"], json!(2));
    let entry = sandbox.json(&["show", "top"]);
    assert_eq!((&entry["fused"]["by"], &entry["instances"]["link"]), (&json!("manifest"), &json!("fused")));
    assert_eq!(calls(&sandbox, "base"), 0);
    sandbox.ok(&["unfuse", "top"]);
    assert_eq!(sandbox.json(&["call", "top", "get()"])["result"], json!(2));
    assert_eq!(calls(&sandbox, "base"), 1);
}
