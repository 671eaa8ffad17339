//! Settings of the registry.

use serde_json::json;

use crate::harness::sandbox::{fixture, string, text};
use crate::harness::{Sandbox, wat};

#[test]
fn settings_are_shown_set_and_taken_back() {
    let sandbox = Sandbox::new();
    let all = sandbox.json(&["settings"]);
    let settings = all["settings"].as_array().unwrap();
    let fuel = settings.iter().find(|setting| setting["key"] == "limits.fuel").unwrap_or_else(|| panic!("{all}"));
    assert_eq!((&fuel["value"], &fuel["default"]), (&json!(100_000_000), &json!(true)));
    assert!(settings.iter().all(|setting| !string(&setting["doc"]).is_empty()), "{all}");

    let document = sandbox.json(&["settings", "limits.fuel=5_000_000"]);
    assert_eq!(
        (&document["key"], &document["value"], &document["default"]),
        (&json!("limits.fuel"), &json!(5_000_000), &json!(false))
    );
    assert!(std::fs::read_to_string(sandbox.data().join("registry.toml")).unwrap().contains("fuel"));
    assert_eq!(sandbox.json(&["settings", "limits.fuel"])["value"], 5_000_000);
    sandbox.register("test:a", &wat::answer(1));
    assert_eq!(sandbox.json(&["show", "test:a"])["limits"]["fuel"], 5_000_000);
    sandbox.ok(&["settings", "--reset", "limits.fuel"]);
    assert_eq!(sandbox.json(&["show", "test:a"])["limits"]["fuel"], 100_000_000);
}

#[test]
fn wrong_settings_are_refused_with_what_was_meant() {
    let sandbox = Sandbox::new();
    let (_, error) = sandbox.fails(&["settings", "limits.fual=5"], 2);
    assert!(format!("{} {}", error["message"], error["hints"]).contains("limits.fuel"), "{error}");
    sandbox.fails(&["settings", "limits.fuel=lots"], 2);
    sandbox.fails(&["settings", "limits.fuel=-1"], 2);
    sandbox.fails(&["settings", "nonsense"], 2);
    sandbox.fails(&["settings", "--reset", "nonsense"], 2);
}

#[test]
fn a_broken_settings_file_is_named() {
    let sandbox = Sandbox::new().unserved();
    sandbox.ok(&["list"]);
    std::fs::write(sandbox.data().join("registry.toml"), "case_sensitive = \"perhaps\"\n").unwrap();
    let (ran, _) = sandbox.fails(&["list"], 2);
    assert!(ran.stderr.contains("registry.toml") && ran.stderr.contains("case_sensitive"), "{ran:#?}");
}

#[test]
fn look_ups_fold_case_when_told_to() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    sandbox.fails(&["show", "TEST:A"], 2);
    sandbox.ok(&["settings", "case_sensitive=false"]);
    assert_eq!(sandbox.json(&["show", "TEST:A"])["id"], "test:a");
}

#[test]
fn versions_can_be_replaced_when_the_registry_allows_it() {
    let sandbox = Sandbox::new();
    sandbox.register("test:a", &wat::answer(1));
    sandbox.ok(&["settings", "allow_override=true"]);
    sandbox.register("test:a", &wat::answer(2));
    assert_eq!(sandbox.json(&["show", "test:a"])["revision"], 2);
}

#[test]
fn folders_are_scanned_at_open_when_told_to() {
    let sandbox = Sandbox::new().unserved();
    let folder = sandbox.component("test:found", "1.0.0", "", &fixture("adder.wat"));
    let folder = text(folder.parent().unwrap());
    sandbox.ok(&["settings", &format!("auto_discover=[{folder:?}]")]);
    assert_eq!(sandbox.ids(), ["test:found"]);
    assert_eq!(sandbox.status("test:found"), "registered");
}

#[test]
fn what_cannot_be_discovered_is_a_warning_and_no_record() {
    let sandbox = Sandbox::new().unserved();
    sandbox.component("test:found", "1.0.0", "", &fixture("adder.wat"));
    sandbox.component("test:broken", "1.0.0", "", "no component at all");
    let folder = text(&sandbox.work().join("components"));
    sandbox.ok(&["settings", &format!("auto_discover=[\"/nowhere/at-all\", {folder:?}]")]);
    let ran = sandbox.run(&["list"]);
    assert!(ran.code == 0 && ran.stdout.contains("test:found"), "{ran:#?}");
    let records = sandbox.run_json(&["log"]).documents();
    assert!(records.iter().all(|record| record["event"] != "refused"), "{records:?}");
    let commands: [&[&str]; 3] = [&["list"], &["show", "test:found"], &["log"]];
    for args in commands {
        let ran = sandbox.run(args);
        assert_eq!(ran.code, 0, "{ran:#?}");
        let warnings = ran.stderr.lines().filter(|line| line.starts_with("warning: auto_discover: ")).count();
        assert_eq!(warnings, 2, "{ran:#?}");
        assert!(ran.stderr.contains("/nowhere/at-all does not exist"), "{ran:#?}");
        assert!(ran.stderr.contains("broken"), "{ran:#?}");
    }
    assert_eq!(sandbox.run_json(&["log"]).documents().len(), records.len(), "commands make the journal grow");
    // What somebody asked for is a record as before.
    sandbox.run(&["register", "components"]).assert_failed(2);
    assert_eq!(sandbox.run_json(&["log"]).documents().len(), records.len() + 1);
}

#[test]
fn limits_above_the_ceilings_are_lowered_with_a_warning() {
    let sandbox = Sandbox::new();
    sandbox.ok(&["settings", "ceilings.fuel=1000"]);
    let more = "[limits]\nfuel = 200_000\nmemory = \"1MiB\"\ndeadline = \"1h\"\n";
    let folder = text(&sandbox.component("test:a", "1.0.0", more, &wat::answer(1)));
    let document = sandbox.json(&["register", &folder]);
    let expected = json!([
        "`test:a` asks for `limits.fuel = 200000`, more than the registry allows: 1000 is in force",
        "`test:a` asks for `limits.deadline = 3600s`, more than the registry allows: 600s is in force",
    ]);
    assert_eq!(document["registered"][0]["warnings"], expected);
    assert_eq!(document["registered"][0]["limits"]["fuel"], 1000);
    assert_eq!(sandbox.json(&["inspect", &folder])["warnings"], expected);
    let ran = sandbox.run(&["register", &folder]);
    assert!(ran.code == 0 && ran.stderr.contains("warning: `test:a` asks for `limits.fuel = 200000`"), "{ran:#?}");
    sandbox.ok(&["settings", "--reset", "ceilings.fuel"]);
    let document = sandbox.json(&["register", &folder]);
    assert_eq!(document["registered"][0]["warnings"].as_array().unwrap().len(), 1, "{document}");
}
