//! Backup and restore, archives of components, and what is removed.

use crate::harness::sandbox::text;
use crate::harness::{Sandbox, wat};

/// Three components, two of them in a chain, one of which failed once.
fn filled() -> Sandbox {
    filled_in(Sandbox::new())
}

fn filled_in(sandbox: Sandbox) -> Sandbox {
    sandbox.register_all(&[("test:top", wat::node("top", &["base"])), ("test:base", wat::node("base", &[]))]);
    sandbox.register_fixture("test:flaky", "flaky.wat");
    sandbox.ok(&["-q", "activate", "--all"]);
    assert_eq!(sandbox.run(&["-q", "call", "test:flaky", "trap()"]).code, 7);
    sandbox.ok(&["settings", "limits.fuel=123_456"]);
    sandbox
}

#[test]
fn a_backup_becomes_the_same_registry_elsewhere() {
    let sandbox = filled();
    let before = sandbox.json(&["list"]);
    for place in ["all.tar", "copy/"] {
        let backup = sandbox.json(&["backup", place]);
        assert_eq!(backup["copied"], backup["files"], "{backup}");
        let again = sandbox.json(&["backup", place]);
        assert_eq!(again["seq"], backup["seq"]);
        let fresh = text(&sandbox.work().join(format!("fresh-{}", place.trim_matches(['/', '.']))));
        let restored = sandbox.json(&["--data", &fresh, "restore", place]);
        assert_eq!((&restored["seq"], &restored["hash"]), (&backup["seq"], &backup["hash"]));
        let after = sandbox.json(&["--data", &fresh, "list"]);
        let ids = |list: &serde_json::Value| {
            let entries = list["components"].as_array().unwrap().iter();
            entries.map(|e| (e["id"].clone(), e["status"].clone(), e["digest"].clone())).collect::<Vec<_>>()
        };
        assert_eq!(ids(&after), ids(&before));
        assert_eq!(sandbox.json(&["--data", &fresh, "errors"])["errors"][0]["id"], "test:flaky");
        assert_eq!(sandbox.ok(&["--data", &fresh, "settings", "limits.fuel"]), "123456\n");
        assert_eq!(sandbox.ok(&["--data", &fresh, "call", "test:flaky", "calls"]), "1\n");
        // What is there is not overwritten unless that is wanted.
        let (ran, error) = sandbox.fails(&["--data", &fresh, "restore", place], 4);
        assert!(error["hints"][0].as_str().unwrap().contains("--replace"), "{ran:#?}");
        let restored = sandbox.json(&["--data", &fresh, "restore", place, "--replace"]);
        assert!(std::path::Path::new(restored["moved_aside"].as_str().unwrap()).join("journal").is_dir());
    }
    sandbox.ok(&["-q", "unregister", "test:top"]);
    let third = sandbox.json(&["backup", "copy/"]);
    assert!(third["copied"].as_u64() < third["files"].as_u64(), "{third}");
}

#[test]
fn a_damaged_backup_is_refused_and_nothing_is_touched() {
    let sandbox = filled();
    sandbox.ok(&["backup", "all.tar"]);
    let whole = std::fs::read(sandbox.work().join("all.tar")).unwrap();
    let fresh = sandbox.work().join("fresh");
    let restore = ["--data", &text(&fresh), "restore", "broken.tar"];
    for at in (100..whole.len()).step_by(whole.len() / 12) {
        let mut broken = whole.clone();
        broken[at] ^= 0x10;
        sandbox.write("broken.tar", &broken);
        let ran = sandbox.run_json(&restore);
        ran.assert_failed(2);
        assert!(!fresh.exists(), "byte {at}: {ran:#?}");
    }
    sandbox.write("broken.tar", &whole[..whole.len() / 2]);
    sandbox.fails(&restore, 2);
    sandbox.fails(&["--data", &text(&fresh), "restore", "nothing.tar"], 3);
    assert!(!fresh.exists());
}

#[test]
fn components_go_to_another_registry_with_what_they_need() {
    let sandbox = filled();
    let exported = sandbox.json(&["export", "top.tar", "test:top"]);
    let ids: Vec<_> = exported["components"].as_array().unwrap().iter().map(|c| c["id"].clone()).collect();
    assert_eq!(ids, ["test:base", "test:top"]);
    let other = text(&sandbox.work().join("other"));
    let imported = sandbox.json(&["--data", &other, "import", "top.tar"]);
    assert_eq!(imported["registered"].as_array().unwrap().len(), 2, "{imported}");
    sandbox.ok(&["--data", &other, "-q", "activate", "test:top"]);
    let again = sandbox.json(&["--data", &other, "import", "top.tar"]);
    assert_eq!(again["registered"][0]["outcome"], "unchanged");
    sandbox.fails(&["export", "none.tar", "test:nobody"], 3);
    sandbox.write("text.tar", "no archive");
    sandbox.fails(&["--data", &other, "import", "text.tar"], 2);
}

#[test]
fn what_nobody_names_goes_and_what_nobody_uses() {
    let sandbox = filled();
    let blobs = || sandbox.json(&["stats"])["registry_size"]["blobs"].as_u64().unwrap();
    assert_eq!(blobs(), 3);
    let memory = &sandbox.json(&["stats"])["memory"];
    let bytes = |name: &str| memory[name].as_u64().unwrap();
    assert!(bytes("resident_bytes") > 0 && bytes("peak_bytes") >= bytes("resident_bytes"), "{memory}");
    sandbox.ok(&["-q", "unregister", "test:flaky"]);
    assert_eq!(sandbox.json(&["gc"])["removed"], 0, "it is too young");
    let dry = sandbox.json(&["gc", "--grace", "0s", "--dry-run"]);
    assert_eq!((&dry["removed"], &dry["kept"]), (&1.into(), &2.into()), "{dry}");
    assert_eq!(blobs(), 3);
    assert_eq!(sandbox.json(&["gc", "--grace", "0s"])["removed"], 1);
    assert_eq!(blobs(), 2);
    sandbox.ok(&["-q", "deactivate", "--all"]);
    assert_eq!(sandbox.json(&["prune", "--unused-for", "90d"])["pruned"], serde_json::json!([]));
    let pruned = sandbox.json(&["prune", "--unused-for", "0s"]);
    assert_eq!(pruned["pruned"].as_array().unwrap().len(), 2, "{pruned}");
    assert_eq!(sandbox.ids(), [""; 0]);
}

#[test]
fn the_journal_is_filtered() {
    let sandbox = filled();
    let log = |args: &[&str]| {
        let ran = sandbox.run_json(&[&["log"], args].concat());
        assert_eq!(ran.code, 0, "{ran:#?}");
        ran.documents()
    };
    let about = log(&["--component", "test:flaky", "--event", "failed", "--event", "activated"]);
    assert_eq!(about.iter().map(|record| record["event"].clone()).collect::<Vec<_>>(), ["activated", "failed"]);
    let actor = about[0]["actor"].as_str().unwrap().to_owned();
    let name = actor.split_once(':').unwrap().1.to_owned();
    assert!(!log(&["--actor", &name, "--limit", "2"]).is_empty());
    assert_eq!(log(&["--actor", "nobody"]), [0; 0]);
    let at = about[1]["at"].as_str().unwrap().to_owned();
    assert!(log(&["--after", &at]).iter().all(|record| record["seq"].as_u64() >= about[1]["seq"].as_u64()));
    assert!(log(&["--before", &at]).iter().all(|record| record["seq"].as_u64() <= about[1]["seq"].as_u64()));
    sandbox.fails(&["log", "--event", "exploded"], 2);
}

#[test]
fn a_check_finds_what_was_changed_and_a_repair_keeps_the_rest() {
    let sandbox = filled_in(Sandbox::new().unserved());
    let adder_digest = sandbox.json(&["list"])["components"][0]["digest"].as_str().unwrap().to_owned();
    let verified = sandbox.json(&["verify"]);
    assert_eq!((&verified["ok"], &verified["blobs"]), (&true.into(), &3.into()), "{verified}");
    let segment = std::fs::read_dir(sandbox.data().join("journal")).unwrap().next().unwrap().unwrap().path();
    let whole = std::fs::read(&segment).unwrap();
    let mut broken = whole.clone();
    let middle = whole.len() / 2;
    broken[middle] ^= 1;
    std::fs::write(&segment, &broken).unwrap();
    let digest = adder_digest.replace("sha256:", "");
    let blob = sandbox.data().join("blobs/sha256").join(&digest[..2]).join(&digest);
    let bytes = std::fs::read(&blob).unwrap();
    std::fs::write(&blob, &bytes[1..]).unwrap();
    let ran = sandbox.run_json(&["verify"]);
    ran.assert_failed(70);
    let document = ran.document();
    assert!(document["differences"].to_string().contains(&digest), "a blob beside a damaged journal: {document}");
    std::fs::write(&blob, &bytes).unwrap();
    let found = &document["differences"][0];
    assert!(found["offset"].as_u64().unwrap() <= middle as u64, "{found}");
    let (_, error) = sandbox.fails(&["list"], 70);
    assert!(error["hints"].to_string().contains("runtime repair"), "{error}");
    let dry = sandbox.json(&["repair", "--dry-run"]);
    assert_eq!(std::fs::read(&segment).unwrap(), broken);
    let repaired = sandbox.json(&["repair"]);
    assert_eq!(repaired["last_kept"], dry["last_kept"]);
    assert!(std::path::Path::new(repaired["set_aside"].as_str().unwrap()).is_dir());
    assert!(!sandbox.ids().is_empty());
    assert_eq!(sandbox.json(&["verify"])["ok"], true);
}

#[test]
fn a_damaged_blob_is_named_with_who_needs_it() {
    let sandbox = filled();
    let digest = sandbox.json(&["show", "test:flaky"])["digest"].as_str().unwrap().replace("sha256:", "");
    let blob = sandbox.data().join("blobs/sha256").join(&digest[..2]).join(&digest);
    let mut bytes = std::fs::read(&blob).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&blob, bytes).unwrap();
    let ran = sandbox.run_json(&["verify"]);
    ran.assert_failed(70);
    assert_eq!(ran.document()["differences"][0]["components"], serde_json::json!(["test:flaky"]), "{ran:#?}");
}

#[test]
fn a_compacted_registry_is_the_same_with_a_shorter_journal() {
    let sandbox = filled();
    let before = sandbox.json(&["list"]);
    let compacted = sandbox.json(&["compact", "--keep", "0s"]);
    assert!(compacted["records_removed"].as_u64().unwrap() > 5, "{compacted}");
    assert_eq!(sandbox.json(&["list"])["components"][0]["digest"], before["components"][0]["digest"]);
    assert_eq!(sandbox.json(&["errors"])["errors"][0]["id"], "test:flaky");
    let first = sandbox.run_json(&["log"]).documents().first().map(|record| record["seq"].clone());
    assert!(first.is_none_or(|seq| seq.as_u64() >= compacted["first_seq"].as_u64()));
    sandbox.ok(&["-q", "deactivate", "test:top"]);
    assert_eq!(sandbox.json(&["verify"])["ok"], true);
}

#[test]
fn counters_survive_and_nothing_is_rebuilt_in_ordinary_use() {
    let sandbox = filled();
    for round in 0..45 {
        let ran = sandbox.run(&["status", "test:top", "--set", if round % 2 == 0 { "inactive" } else { "active" }]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran:#?}");
    }
    sandbox.ok(&["-q", "call", "test:flaky", "calls"]);
    assert_eq!(sandbox.json(&["stats", "test:flaky"])["components"][0]["calls"], 2);
}

#[cfg(unix)]
#[test]
fn what_a_killed_backup_or_export_left_goes_with_the_next_one() {
    let sandbox = filled_in(Sandbox::new().unserved());
    for verb in ["backup", "export"] {
        let place = format!("{verb}.tar");
        let partials = || {
            let found = std::fs::read_dir(sandbox.work()).unwrap().map(|found| found.unwrap().file_name());
            found.filter(|name| name.to_string_lossy().starts_with(&place) && *name != *place).count()
        };
        let (mut left, mut killed) = (0, 0);
        for at in 1.. {
            let ran = sandbox.command(&[verb, &place]).env("RUNTIME_FAIL_AT", at.to_string()).output().unwrap();
            if ran.status.success() {
                break;
            }
            killed += 1;
            left += usize::from(partials() > 0);
            if left == 2 {
                break;
            }
        }
        // A program for use has no points to end it at.
        assert!(killed == 0 || left > 0, "killed {killed} times");
        let other = sandbox.write(&format!("{place}.notes.partial"), "mine");
        sandbox.ok(&[verb, &place]);
        assert!(other.exists());
        std::fs::remove_file(other).unwrap();
        assert_eq!(partials(), 0, "{left} were left before");
    }
}
