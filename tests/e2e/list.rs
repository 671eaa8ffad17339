//! Listing, filtering, indexes.

use serde_json::json;

use crate::harness::sandbox::{string, text};
use crate::harness::{Sandbox, wat};

fn shelf() -> Sandbox {
    let sandbox = Sandbox::new();
    let skill =
        "kind = \"skill\"\ndescription = \"Adds\"\n[metadata]\nauthor = \"Acme\"\ntags = [\"math\", \"fast\"]\n";
    sandbox.component("test:a", "1.2.0", skill, &wat::answer(1));
    sandbox.component("test:b", "2.0.0", "kind = \"skill\"\n[metadata]\nauthor = \"Bolt\"\n", &wat::answer(2));
    sandbox.component("test:c", "1.2.0", "[metadata]\nauthor = \"Acme\"\n", &wat::answer(3));
    sandbox.ok(&["-q", "register", "components"]);
    sandbox.ok(&["-q", "activate", "test:a"]);
    sandbox
}

fn found(sandbox: &Sandbox, args: &[&str]) -> Vec<String> {
    let document = sandbox.json(&[&["list"], args].concat());
    document["components"].as_array().unwrap().iter().map(|entry| string(&entry["id"])).collect()
}

#[test]
fn filters_by_kind_status_metadata_version_digest_and_path() {
    let sandbox = shelf();
    assert_eq!(found(&sandbox, &[]), ["test:a", "test:b", "test:c"]);
    assert_eq!(found(&sandbox, &["--kind", "skill"]), ["test:a", "test:b"]);
    assert_eq!(found(&sandbox, &["--type", "skill", "--status", "active"]), ["test:a"]);
    assert_eq!(found(&sandbox, &["--where", "author=Acme"]), ["test:a", "test:c"]);
    assert_eq!(
        found(&sandbox, &["--where", "author=Acme", "--where", "version=1.2.0", "--kind", "component"]),
        ["test:c"]
    );
    assert_eq!(found(&sandbox, &["--where", "tags=fast"]), ["test:a"]);
    assert_eq!(found(&sandbox, &["--where", "version=2.0.0"]), ["test:b"]);
    let digest = string(&sandbox.json(&["show", "test:b"])["digest"]);
    assert_eq!(found(&sandbox, &["--where", &format!("digest={digest}")]), ["test:b"]);
    let short = &digest["sha256:".len()..][..12];
    assert_eq!(found(&sandbox, &["--where", &format!("digest={short}")]), ["test:b"]);
    let file = sandbox.work().join("components/test-c/component.wat");
    assert_eq!(found(&sandbox, &["--path", &text(&file)]), ["test:c"]);
    assert_eq!(found(&sandbox, &["--path", "components/test-c/component.wat"]), ["test:c"]);
    assert!(found(&sandbox, &["--path", "elsewhere.wat"]).is_empty());
    sandbox.ok(&["status", "test:c", "--set", "error", "--message", "dusty"]);
    assert_eq!(found(&sandbox, &["--healthy"]), ["test:a", "test:b"]);
    assert_eq!(found(&sandbox, &["--status", "error"]), ["test:c"]);
}

#[test]
fn the_table_is_for_people() {
    let sandbox = shelf();
    insta::assert_snapshot!(sandbox.ok(&["list"]), @r"
    ID      VERSION  KIND       STATUS      NEEDS  CALLS  DESCRIPTION
    test:a  1.2.0    skill      active          0      0  Adds
    test:b  2.0.0    skill      registered      0      0
    test:c  1.2.0    component  registered      0      0
    3 components
    ");
    assert_eq!(Sandbox::new().ok(&["list"]), "no components\n");
}

#[test]
fn show_has_everything_for_people() {
    let sandbox = shelf();
    let text = sandbox.ok(&["show", "test:a"]);
    for word in
        ["test:a 1.2.0", "Adds", "active", "skill", "sha256:", "fuel 100,000,000", "author", "Acme", "5s", "64MiB"]
    {
        assert!(text.contains(word), "no `{word}` in {text}");
    }
    let both = sandbox.json(&["show", "test:a", "test:b"]);
    assert_eq!(both["components"].as_array().unwrap().len(), 2);
}

#[test]
fn every_limit_says_where_it_comes_from() {
    let sandbox = shelf();
    sandbox.ok(&["settings", "limits.queue=3", "ceilings.memory=32MiB", "kinds.skill.limits.handles=9"]);
    let entry = sandbox.json(&["show", "test:a"]);
    let limit = |name: &str| (entry["limits"][name].as_u64().unwrap(), entry["limit_sources"][name].as_str().unwrap());
    assert_eq!(limit("queue"), (3, "settings"));
    assert_eq!(limit("memory_bytes"), (32 << 20, "ceiling"));
    assert_eq!(limit("handles"), (9, "kind"));
    assert_eq!(limit("fuel"), (100_000_000, "default"));
    let text = sandbox.ok(&["show", "test:a"]);
    for line in ["queue 3 (settings)", "memory 32MiB (ceiling)", "handles 9 (kind)", "default limits"] {
        assert!(text.contains(line), "no `{line}` in {text}");
    }
}

#[test]
fn indexes_find_components_by_metadata() {
    let sandbox = shelf();
    let (_, error) = sandbox.fails(&["index", "get", "author", "Acme"], 3);
    assert_eq!(error["code"], "index-not-found");
    assert_eq!(sandbox.json(&["index", "create", "author"])["changed"], true);
    assert_eq!(sandbox.json(&["index", "create", "author"])["changed"], false);
    assert_eq!(sandbox.json(&["index", "list"])["indexes"], json!(["author"]));
    let document = sandbox.json(&["index", "get", "author", "Acme"]);
    let ids: Vec<_> = document["components"].as_array().unwrap().iter().map(|entry| string(&entry["id"])).collect();
    assert_eq!(ids, ["test:a", "test:c"]);
    let keys = sandbox.json(&["index", "get", "author"]);
    assert_eq!(keys["keys"], json!([{ "key": "Acme", "count": 2 }, { "key": "Bolt", "count": 1 }]));

    // It follows what changes.
    sandbox.component("test:d", "1.0.0", "[metadata]\nauthor = \"Bolt\"\n", &wat::answer(4));
    sandbox.ok(&["-q", "register", "components/test-d"]);
    sandbox.ok(&["unregister", "test:b"]);
    let document = sandbox.json(&["index", "get", "author", "Bolt"]);
    assert_eq!(document["components"].as_array().unwrap().len(), 1);
    assert_eq!(document["components"][0]["id"], "test:d");

    sandbox.ok(&["index", "drop", "author"]);
    sandbox.fails(&["index", "drop", "author"], 3);
    sandbox.fails(&["index", "create", ""], 2);
}
