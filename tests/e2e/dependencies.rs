//! Edges: shown, declared, removed, checked, ordered, drawn.

use serde_json::json;

use crate::harness::sandbox::{string, strings};
use crate::harness::{Sandbox, wat};

/// top → mid → base, and a fourth on its own.
fn chain() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.register_all(&[
        ("test:top", wat::node("top", &["mid"])),
        ("test:mid", wat::node("mid", &["base"])),
        ("test:base", wat::node("base", &[])),
        ("test:alone", wat::node("alone", &[])),
    ]);
    sandbox
}

#[test]
fn deps_and_dependents_show_edges_from_dependency_to_dependent() {
    let sandbox = chain();
    let deps = sandbox.json(&["deps", "mid"]);
    assert_eq!(
        deps,
        json!({ "id": "test:mid", "edges": [{
            "from": "test:base", "to": "test:mid", "kind": "import", "interface": "graph:base/value@1.0.0",
            "status": "registered",
        }] })
    );
    let dependents = sandbox.json(&["dependents", "mid"]);
    assert_eq!(
        (&dependents["edges"][0]["from"], &dependents["edges"][0]["to"]),
        (&json!("test:mid"), &json!("test:top"))
    );
    assert_eq!(sandbox.json(&["deps", "top", "--transitive"])["edges"].as_array().unwrap().len(), 2);
    assert_eq!(sandbox.json(&["dependents", "base", "--transitive"])["edges"].as_array().unwrap().len(), 2);
    assert_eq!(sandbox.json(&["deps", "alone"])["edges"], json!([]));
    let both = sandbox.json(&["deps", "top", "mid"]);
    assert_eq!(both["components"].as_array().unwrap().len(), 2);
}

#[test]
fn trees_grow_from_the_component_asked_for() {
    let sandbox = chain();
    insta::assert_snapshot!(sandbox.ok(&["deps", "top", "--tree"]), @r"
    test:top@1.0.0 [registered]
    └── test:mid@1.0.0 [registered] graph:mid/value@1.0.0
        └── test:base@1.0.0 [registered] graph:base/value@1.0.0
    ");
    insta::assert_snapshot!(sandbox.ok(&["dependents", "base", "--tree"]), @r"
    test:base@1.0.0 [registered]
    └── test:mid@1.0.0 [registered] graph:base/value@1.0.0
        └── test:top@1.0.0 [registered] graph:mid/value@1.0.0
    ");
}

#[test]
fn declared_edges_come_and_go() {
    let sandbox = chain();
    let document = sandbox.json(&["depend", "alone", "--on", "base", "top", "--range", "^1"]);
    assert_eq!((&document["id"], &document["done"]), (&json!("test:alone"), &json!(["test:base", "test:top"])));
    let again = sandbox.json(&["depend", "alone", "--on", "base", "--range", "^1"]);
    assert_eq!((&again["done"], &again["unchanged"]), (&json!([]), &json!(["test:base"])));
    let edges = sandbox.json(&["deps", "alone"])["edges"].clone();
    assert_eq!((&edges[0]["kind"], &edges[0]["range"]), (&json!("declared"), &json!("^1")));
    assert_eq!(sandbox.json(&["order", "alone"])["order"], json!(["test:base", "test:mid", "test:top", "test:alone"]));
    // alone needs top, which needs mid.
    sandbox.fails(&["depend", "mid", "--on", "alone"], 4);
    sandbox.ok(&["undepend", "alone", "--on", "top"]);
    assert_eq!(sandbox.json(&["undepend", "alone", "--on", "top"])["unchanged"], json!(["test:top"]));
    assert_eq!(sandbox.json(&["deps", "alone"])["edges"].as_array().unwrap().len(), 1);
}

#[test]
fn a_dry_run_tells_of_a_cycle_and_changes_nothing() {
    let sandbox = chain();
    let free = sandbox.json(&["depend", "alone", "--on", "top", "--dry-run"]);
    assert_eq!(free["dry_run"], json!([{ "on": "test:top", "would_cycle": false }]));
    let ran = sandbox.run_json(&["depend", "base", "--on", "top", "--dry-run"]);
    ran.assert_failed(4);
    let cycle = strings(&ran.document()["dry_run"][0]["cycle"]);
    assert_eq!(cycle.first(), cycle.last());
    assert_eq!(cycle.len(), 4, "{cycle:?}");
    assert_eq!(sandbox.json(&["deps", "alone"])["edges"], json!([]));
}

#[test]
fn check_finds_what_is_missing_in_error_or_not_active() {
    let sandbox = chain();
    let ran = sandbox.run_json(&["deps", "top", "--check"]);
    ran.assert_failed(4);
    assert_eq!(ran.document()["problems"][0]["problem"], "not-active");
    assert_eq!(sandbox.status("top"), "error");

    sandbox.ok(&["activate", "top"]);
    assert_eq!(sandbox.json(&["deps", "top", "--check"])["problems"], json!([]));
    sandbox.ok(&["status", "mid", "--set", "error", "--message", "wrong answers"]);
    let ran = sandbox.run_json(&["deps", "top", "--check"]);
    ran.assert_failed(4);
    assert_eq!(ran.document()["problems"][0]["problem"], "error");

    sandbox.register("test:lost", &wat::node("lost", &["ghost"]));
    let ran = sandbox.run_json(&["deps", "lost", "--check"]);
    ran.assert_failed(3);
    assert_eq!(ran.document()["problems"][0]["problem"], "missing");
}

#[test]
fn order_is_topological_stable_and_in_waves() {
    let sandbox = chain();
    let document = sandbox.json(&["order"]);
    assert_eq!(document["waves"], json!([["test:alone", "test:base"], ["test:mid"], ["test:top"]]));
    assert_eq!(strings(&document["order"]), ["test:alone", "test:base", "test:mid", "test:top"]);
    assert_eq!(sandbox.json(&["order", "mid"])["waves"], json!([["test:base"], ["test:mid"]]));
    insta::assert_snapshot!(sandbox.ok(&["order"]), @r"
    wave 1  test:alone  test:base
    wave 2  test:mid
    wave 3  test:top
    ");
    assert_eq!(Sandbox::new().json(&["order"]), json!({ "order": [], "waves": [] }));
}

#[test]
fn graphs_are_drawn_in_five_forms() {
    let sandbox = chain();
    let graph = sandbox.json(&["graph", "--format", "json"]);
    let ids: Vec<_> = graph["nodes"].as_array().unwrap().iter().map(|node| string(&node["id"])).collect();
    assert_eq!(ids, ["test:alone", "test:base", "test:mid", "test:top"]);
    for field in ["id", "label", "kind", "status"] {
        assert!(graph["nodes"][0][field].is_string(), "{graph}");
    }
    let edges = graph["edges"].as_array().unwrap();
    let edge = edges.iter().find(|edge| edge["to"] == "test:mid").unwrap_or_else(|| panic!("{graph}"));
    assert_eq!((&edge["from"], &edge["label"]), (&json!("test:base"), &json!("graph:base/value@1.0.0")));
    assert_eq!(sandbox.json(&["graph"]), graph);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&sandbox.ok(&["graph", "--format", "json"])).unwrap(), graph);

    assert!(sandbox.ok(&["graph", "--format", "dot"]).starts_with("digraph"));
    assert!(sandbox.ok(&["graph", "--format", "mermaid"]).contains("flowchart"));
    assert!(sandbox.ok(&["graph", "--format", "svg"]).contains("<svg"));
    assert!(sandbox.ok(&["graph"]).contains("test:base"));
    let document = sandbox.json(&["graph", "--format", "dot"]);
    assert_eq!(document["format"], "dot");
    assert!(string(&document["picture"]).starts_with("digraph"));
    assert_eq!(sandbox.json(&["graph", "mid"])["nodes"].as_array().unwrap().len(), 2);

    assert_eq!(sandbox.ok(&["graph", "--format", "svg", "--file", "graph.svg"]), "graph.svg\n");
    assert!(std::fs::read_to_string(sandbox.work().join("graph.svg")).unwrap().contains("</svg>"));
    sandbox.fails(&["graph", "--file", "nowhere/graph.svg"], 3);
}
