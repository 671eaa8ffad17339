//! How instances are kept: modes, bounds, idle ones that go, lazy ones that come.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::sandbox::{fixture, text};
use crate::harness::{Sandbox, wat};
use crate::serving::Server;

/// Registers a component whose manifest says how its instances are kept, and activates it.
fn active(sandbox: &Sandbox, id: &str, instances: &str) {
    let folder = sandbox.component(id, "1.0.0", &format!("[instances]\n{instances}\n"), &wat::answer(7));
    sandbox.ok(&["-q", "register", "--activate", &text(&folder)]);
}

fn instances(sandbox: &Sandbox, id: &str) -> Value {
    sandbox.json(&["status", id])["instances"].clone()
}

/// Waits, for as long as nothing takes, until `id` has no instance.
fn until_cold(sandbox: &Sandbox, id: &str) {
    let begun = Instant::now();
    while sandbox.json(&["status", id])["instance"] != "cold" {
        assert!(begun.elapsed() < Duration::from_secs(60), "{id} keeps its instance");
    }
}

#[test]
fn a_manifest_says_how_instances_are_kept_and_it_is_shown() {
    let sandbox = Sandbox::new();
    active(&sandbox, "test:pool", "mode = \"pool\"\nmax = 3\nidle_ttl = \"5m\"");
    active(&sandbox, "test:each", "mode = \"per-call\"");
    active(&sandbox, "test:plain", "");
    let mut pool = sandbox.json(&["show", "test:pool"])["instances"].clone();
    for key in ["live", "busy"] {
        assert!(pool.as_object_mut().unwrap().remove(key).unwrap().is_u64(), "{key}");
    }
    assert_eq!(
        pool,
        json!({
            "mode": "pool", "max": 3, "idle_ttl_ms": 300_000, "activation": "eager", "link": "isolated",
            "drain_ms": 30_000
        })
    );
    let each = instances(&sandbox, "test:each");
    assert_eq!((&each["mode"], &each["max"]), (&json!("per-call"), &json!(64)), "as many as calls may be under way");
    let plain = instances(&sandbox, "test:plain");
    assert_eq!((&plain["mode"], &plain["max"], &plain["idle_ttl_ms"]), (&json!("shared"), &json!(1), &json!(null)));
    let shown = sandbox.ok(&["show", "test:pool"]);
    assert!(shown.contains("pool, at most 3; ") && shown.contains("dropped after 300s without a call"), "{shown}");
    assert!(sandbox.ok(&["status", "test:each"]).contains("active (per-call, at most 64; "));
    for id in ["test:pool", "test:each", "test:plain"] {
        assert_eq!(sandbox.ok(&["call", id, "answer()"]), "7\n");
    }
}

#[test]
fn a_kind_says_it_for_its_components_key_by_key() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["settings", "kinds.skill.instances.mode=pool", "kinds.skill.instances.max=5"]);
    let more = "kind = \"skill\"\n[instances]\nidle_ttl = \"2s\"\n";
    let folder = sandbox.component("test:a", "1.0.0", more, &wat::answer(1));
    sandbox.ok(&["-q", "register", &text(&folder)]);
    let kept = instances(&sandbox, "test:a");
    assert_eq!(
        (&kept["mode"], &kept["max"], &kept["idle_ttl_ms"], &kept["live"]),
        (&json!("pool"), &json!(5), &json!(2_000), &json!(0))
    );
    assert_eq!(sandbox.ok(&["settings", "kinds.skill.instances.max"]).trim(), "5");
    sandbox.fails(&["settings", "kinds.skill.instances.max=5000"], 2);
    let (_, error) = sandbox.fails(&["settings", "kinds.skill.instances.mod=pool"], 2);
    assert!(error["hints"][0].as_str().unwrap().contains("kinds.skill.instances.mode"), "{error}");
}

#[test]
fn a_component_with_state_is_no_pool() {
    let sandbox = Sandbox::new();
    for mode in ["pool", "per-call"] {
        let more = format!("[instances]\nmode = \"{mode}\"\n");
        let folder = sandbox.component("test:counter", "1.0.0", &more, &fixture("counter.wat"));
        let (_, error) = sandbox.fails(&["register", &text(&folder)], 2);
        assert_eq!((&error["code"], &error["component"]), (&json!("state-not-shared"), &json!("test:counter")));
        assert!(error["hints"][0].as_str().unwrap().contains("shared"), "{error}");
    }
    assert!(sandbox.ids().is_empty());
    let wrong = sandbox.component("test:wrong", "1.0.0", "[instances]\nmax = 2000\n", &wat::answer(1));
    let (_, error) = sandbox.fails(&["register", &text(&wrong)], 2);
    assert!(error["message"].as_str().unwrap().ends_with("`instances.max`: must be 1 to 1024"), "{error}");
}

#[test]
fn a_lazy_component_is_made_when_it_is_called() {
    let sandbox = Sandbox::new().unserved();
    let provider = sandbox.component("graph:a", "1.0.0", "[instances]\nactivation = \"lazy\"\n", &wat::node("a", &[]));
    let user = sandbox.component("graph:b", "1.0.0", "", &wat::node("b", &["a"]));
    let server = Server::start(&sandbox, &[]);
    sandbox.ok(&["-q", "register", &text(&provider), &text(&user)]);
    let report = sandbox.json(&["activate", "graph:b"]);
    assert_eq!(report["order"], json!(["graph:a", "graph:b"]));
    assert_eq!(report["activated"][0]["fuel"], 0, "nothing of it ran");
    let lazy = sandbox.json(&["status", "graph:a"]);
    assert_eq!((&lazy["status"], &lazy["instance"]), (&json!("active"), &json!("cold")));
    assert!(sandbox.ok(&["status", "graph:a"]).contains("; made when called"));
    assert_eq!(sandbox.ok(&["call", "graph:b", "get"]), "2\n");
    assert_eq!(sandbox.json(&["status", "graph:a"])["instance"], "live");
    drop(server);
}

#[test]
fn idle_instances_go_and_come_back_with_what_they_kept() {
    let sandbox = Sandbox::new().unserved();
    let more = "[instances]\nidle_ttl = \"100ms\"\n";
    let counter = sandbox.component("test:counter", "1.0.0", more, &fixture("counter.wat"));
    sandbox.ok(&["-q", "register", &text(&counter)]);
    active(&sandbox, "test:kept", "");
    let server = Server::start(&sandbox, &[]);
    sandbox.ok(&["-q", "activate", "test:counter"]);
    for count in 1..4 {
        assert_eq!(sandbox.ok(&["call", "test:counter", "next"]), format!("{count}\n"));
        until_cold(&sandbox, "test:counter");
    }
    assert_eq!(sandbox.json(&["status", "test:kept"])["instance"], "live");
    let stats = sandbox.json(&["stats"]);
    assert_eq!(stats["live_instances"], 1, "{stats}");
    assert!(stats["cache_hit_rate"].as_f64().unwrap() < 0.5, "{stats}");
    sandbox.ok(&["settings", "instances.ttl=100ms"]);
    until_cold(&sandbox, "test:kept");
    drop(server);
}

#[test]
fn no_more_instances_are_kept_than_the_settings_say() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["settings", "instances.max_size=2"]);
    let server = Server::start(&sandbox, &[]);
    let ids = ["test:a", "test:b", "test:c"];
    for id in ids {
        active(&sandbox, id, "");
    }
    for id in ids.iter().chain(&ids) {
        assert_eq!(sandbox.ok(&["call", id, "answer()"]), "7\n");
    }
    let begun = Instant::now();
    while sandbox.json(&["stats"])["live_instances"] != 2 {
        assert!(begun.elapsed() < Duration::from_secs(60), "three are kept");
    }
    assert_eq!(sandbox.json(&["status", "test:c"])["instance"], "live", "it was used last");
    assert_eq!(sandbox.json(&["health"])["by_status"]["active"], 3);
    sandbox.fails(&["settings", "instances.max_size=0"], 2);
    drop(server);
}
