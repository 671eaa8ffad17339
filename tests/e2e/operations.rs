//! Statuses, health, statistics.

use serde_json::json;

use crate::harness::sandbox::{fixture, string, text};
use crate::harness::{Sandbox, wat};

fn three() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    sandbox.register("test:b", &wat::answer(2));
    sandbox.register("test:c", &wat::answer(3));
    sandbox
}

#[test]
fn setting_a_status_does_what_leads_there() {
    let sandbox = three();
    assert_eq!(sandbox.json(&["status", "test:a"])["status"], "registered");
    assert_eq!(sandbox.json(&["status", "test:a", "--set", "active"])["done"], json!(["test:a"]));
    assert_eq!(sandbox.ok(&["call", "test:a", "answer()"]), "1\n");
    sandbox.ok(&["status", "test:a", "--set", "inactive"]);
    sandbox.fails(&["call", "test:a", "answer()"], 4);
    sandbox.ok(&["status", "test:a", "--set", "error", "--message", "wrong \u{1b}[31manswers"]);
    let entry = sandbox.json(&["show", "test:a"]);
    assert_eq!(entry["status"], "error");
    assert!(string(&entry["last_error"]).contains("wrong"));
    assert!(!sandbox.ok(&["status", "test:a"]).contains('\u{1b}'));
    sandbox.ok(&["status", "test:a", "--set", "registered"]);
    assert_eq!(sandbox.status("test:a"), "registered");
    let (_, error) = sandbox.fails(&["status", "test:a", "--set", "inactive"], 4);
    assert_eq!(error["code"], "invalid-transition");
    sandbox.fails(&["status", "test:a", "--set", "discovered"], 4);
}

#[test]
fn an_error_is_not_shown_once_the_component_is_active_again() {
    let sandbox = three();
    sandbox.ok(&["status", "test:a", "--set", "error", "--message", "out of order"]);
    assert!(sandbox.ok(&["status", "test:a"]).contains("out of order"));
    let count = sandbox.json(&["show", "test:a"])["error_count"].clone();
    assert_eq!(count, 1);
    sandbox.ok(&["activate", "test:a"]);
    let entry = sandbox.json(&["show", "test:a"]);
    assert_eq!((&entry["status"], &entry["last_error"]), (&json!("active"), &json!(null)));
    assert_eq!(entry["error_count"], count, "the count and the history stay");
    assert_eq!(sandbox.json(&["errors", "test:a"])["errors"].as_array().unwrap().len(), 1);
    assert!(!sandbox.ok(&["status", "test:a"]).contains("out of order"));
}

#[test]
fn many_statuses_are_set_from_a_document() {
    let sandbox = three();
    sandbox.ok(&["activate", "test:b"]);
    let wanted = r#"{ "test:a": "active", "b": "inactive", "test:c": "error", "nobody": "active" }"#;
    let ran = sandbox.run_with_input(&["-o", "json", "status", "--set-from", "-"], wanted);
    ran.assert_failed(3);
    let document = ran.document();
    assert_eq!(document["done"].as_array().unwrap().len(), 3, "{document}");
    assert_eq!(document["failed"][0]["id"], "nobody");
    assert_eq!(sandbox.status("test:a"), "active");
    assert_eq!(sandbox.status("test:b"), "inactive");
    assert_eq!(sandbox.status("test:c"), "error");
    let file = sandbox.write("wanted.json", r#"{ "test:a": "asleep" }"#);
    sandbox.fails(&["status", "--set-from", &text(&file)], 2);
    sandbox.fails(&["status", "--set-from", "nowhere.json"], 3);
}

#[test]
fn health_counts_what_is_in_order() {
    let empty = Sandbox::new().json(&["health"]);
    assert_eq!((&empty["total"], &empty["health_percentage"]), (&json!(0), &json!(100.0)));
    let sandbox = three();
    sandbox.register("test:d", &wat::answer(4));
    sandbox.ok(&["activate", "test:a"]);
    sandbox.ok(&["status", "test:b", "--set", "error", "--message", "no"]);
    let mut health = sandbox.json(&["health"]);
    if cfg!(target_os = "linux") {
        let figures = health.as_object_mut().unwrap();
        let [count, limit, percentage] = ["mappings", "mappings_limit", "mappings_percentage"]
            .map(|key| figures.remove(key).unwrap().as_f64().unwrap());
        assert!(
            count > 10.0 && count < limit && (percentage - count / limit * 100.0).abs() < 0.01,
            "{count} of {limit}"
        );
        assert!(sandbox.ok(&["health"]).contains("that the system allows"));
    }
    assert_eq!(
        health,
        json!({
            "total": 4, "healthy_count": 3, "error_count": 1, "health_percentage": 75.0,
            "threshold": 80, "is_low": true,
            "by_status": { "discovered": 0, "registered": 2, "active": 1, "inactive": 0, "error": 1 },
        })
    );
    assert!(sandbox.ok(&["health"]).starts_with("75.0% healthy: 3 of 4\n"));
}

#[test]
fn components_are_asked_how_they_are() {
    let sandbox = three();
    sandbox.register("test:unwell", &fixture("unwell.wat"));
    sandbox.ok(&["activate", "--all"]);
    let well = sandbox.json(&["health", "test:a"]);
    assert_eq!(well["probes"], json!([{ "id": "test:a", "healthy": true, "message": null, "has_export": false }]));
    let ran = sandbox.run_json(&["health", "--check"]);
    ran.assert_failed(7);
    let document = ran.document();
    let sick = document["probes"].as_array().unwrap().iter().find(|probe| probe["id"] == "test:unwell").unwrap();
    assert_eq!((&sick["healthy"], &sick["has_export"]), (&json!(false), &json!(true)));
    assert!(string(&sick["message"]).contains("out of ink"));
    assert_eq!((&document["healthy_count"], &document["error_count"]), (&json!(3), &json!(0)));
    assert_eq!(sandbox.status("unwell"), "active");
    assert_eq!(sandbox.json(&["show", "unwell"])["healthy"], false);
}

#[test]
fn statistics_add_up_over_processes() {
    let sandbox = three();
    sandbox.ok(&["activate", "--all"]);
    for _ in 0..3 {
        sandbox.ok(&["call", "test:b", "answer()"]);
    }
    sandbox.ok(&["call", "test:a", "answer()"]);
    let stats = sandbox.json(&["stats"]);
    for field in [
        "total_components",
        "active_components",
        "total_accesses",
        "avg_accesses",
        "most_accessed",
        "avg_activation_us",
        "avg_lookup_us",
        "cache_hit_rate",
        "live_instances",
        "components",
    ] {
        assert!(stats.get(field).is_some(), "no `{field}` in {stats}");
    }
    assert_eq!((&stats["total_components"], &stats["active_components"]), (&json!(3), &json!(3)));
    assert_eq!(stats["most_accessed"], "test:b");
    assert!(stats["total_accesses"].as_u64() >= Some(4), "{stats}");
    assert!(stats["avg_activation_us"].as_u64() > Some(0), "{stats}");
    let rate = stats["cache_hit_rate"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&rate));
    let of_b = stats["components"].as_array().unwrap().iter().find(|one| one["id"] == "test:b").unwrap().clone();
    assert_eq!((&of_b["calls"], &of_b["errors"]), (&json!(3), &json!(0)));
    for field in ["fuel", "mean_us", "p50_us", "p99_us"] {
        assert!(of_b[field].as_u64() > Some(0), "{of_b}");
    }
    assert!(sandbox.ok(&["stats"]).contains("most of test:b"));
}

#[test]
fn clearing_leads_from_error_to_registered() {
    let sandbox = three();
    sandbox.register("test:refuses", &fixture("refuses.wat"));
    sandbox.run(&["activate", "test:refuses"]).assert_failed(7);
    sandbox.ok(&["status", "test:a", "--set", "error", "--message", "no"]);
    assert_eq!(sandbox.json(&["errors"])["errors"].as_array().unwrap().len(), 2);
    let cleared = sandbox.json(&["errors", "--clear", "--all"]);
    assert_eq!(cleared["done"], json!(["test:a", "test:refuses"]));
    assert_eq!(
        (sandbox.status("test:a"), sandbox.status("refuses")),
        ("registered".to_owned(), "registered".to_owned())
    );
    let entry = sandbox.json(&["show", "refuses"]);
    assert_eq!((&entry["error_count"], &entry["last_error"]), (&json!(0), &json!(null)));
    assert_eq!(sandbox.json(&["errors"])["errors"], json!([]));
    let events: Vec<_> = sandbox.run_json(&["log"]).documents().iter().map(|record| string(&record["event"])).collect();
    assert!(events.contains(&"failed".to_owned()) && events.contains(&"errors-cleared".to_owned()), "{events:?}");
}
