//! Archives of components: what comes out of one is what went into it.

use serde_json::{Value, json};

use crate::harness::generated::Numbers;
use crate::harness::sandbox::{string, strings, text};
use crate::harness::{Sandbox, wat};

/// Components of the random registry.
const COUNT: usize = 18;

/// Registers components with everything that can be said about them, in several versions, with several providers of the same
/// interface before and after those that need it, and declares dependencies.
fn random(sandbox: &Sandbox, seed: u64) {
    let mut numbers = Numbers::new(seed);
    let id = |n: usize| format!("test:c{n}");
    for n in 0..COUNT {
        // Ten interfaces, so that some have several providers.
        let mut needs: Vec<String> = (0..numbers.below(3)).map(|_| format!("i{}", numbers.below(10))).collect();
        let offered = format!("i{}", numbers.below(10));
        needs.sort();
        needs.dedup();
        needs.retain(|need| *need != offered);
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        let mut more = format!("kind = \"{}\"\ndescription = \"number {n}\"\n", ["skill", "tool"][n % 2]);
        if numbers.below(3) == 0 && n > 0 {
            let range = ["*", "^1", "^7"][numbers.below(3)];
            more += &format!("[dependencies]\n\"{}\" = \"{range}\"\n", id(numbers.below(n)));
        }
        if let Some(need) = needs.first().filter(|_| numbers.below(3) == 0) {
            more += &format!("[bind]\n\"graph:{need}/value\" = \"{}\"\n", id(numbers.below(COUNT)));
        }
        more +=
            &format!("[metadata]\nteam = \"t{}\"\nnested = {{ a = [1, 2.5, true], b = \"ü\" }}\n", numbers.below(4));
        more += &format!("[config]\nprecision = \"{}\"\n", numbers.below(100));
        more += &format!("[limits]\nfuel = {}\ndeadline = \"2s\"\nmemory = \"8MiB\"\n", 1_000 + numbers.below(1_000));
        more += "[grants]\nenv = [\"LANG\"]\nfolders = [{ path = \"data\", at = \"/data\", mode = \"ro\" }]\n";
        for version in 0..=numbers.below(3) {
            let folder = sandbox.component(&id(n), &format!("1.{version}.0"), &more, &wat::node(&offered, &needs));
            // What would close a cycle is refused, and is not in the registry then.
            let ran = sandbox.run(&["-q", "register", &text(&folder)]);
            assert!([0, 4].contains(&ran.code), "{ran:#?}");
        }
    }
    let ids = sandbox.ids();
    for _ in 0..COUNT / 2 {
        let (from, on) = (&ids[numbers.below(ids.len())], &ids[numbers.below(ids.len())]);
        let ran = sandbox.run(&["-q", "depend", from, "--on", on, "--range", "^1"]);
        assert!([0, 4].contains(&ran.code), "{ran:#?}");
    }
    // One that is fused, and one that is kept apart although its manifest asks for the opposite.
    sandbox.register("test:part", &wat::node("part", &[]));
    sandbox.register("test:whole", &wat::node("whole", &["part"]));
    sandbox.ok(&["fuse", "test:whole", "test:part"]);
    let asks =
        sandbox.component("test:asks", "1.0.0", "[instances]\nlink = \"fused\"\n", &wat::node("asks", &["part"]));
    sandbox.ok(&["-q", "register", &text(&asks)]);
    sandbox.ok(&["unfuse", "test:asks"]);
    for index in ["team", "nested", "nobody has it"] {
        sandbox.ok(&["index", "create", index]);
    }
    for setting in [
        "limits.fuel=123_456",
        "ceilings.deadline=9s",
        "auto_discover=[]",
        "kinds.skill.config.level=debug",
        "kinds.tool.limits.memory=4MiB",
        "case_sensitive=false",
    ] {
        sandbox.ok(&["settings", setting]);
    }
}

/// Everything that an archive promises to carry, as the documents say it.
fn carried(sandbox: &Sandbox, data: &str) -> Value {
    let ask = |args: &[&str]| sandbox.json(&[&["--data", data], args].concat());
    let mut entries = ask(&["list"])["components"].as_array().unwrap().clone();
    let mut edges = Vec::new();
    for entry in &mut entries {
        let entry = entry.as_object_mut().unwrap();
        // Said by every document, and not carried: when and from where it was registered, how often it changed and was used.
        for field in [
            "revision",
            "newest_revision",
            "waiting_revision",
            "activation",
            "lock",
            "path",
            "last_modified",
            "registered_at",
            "changed_at",
            "last_accessed",
            "access_count",
            "calls",
        ] {
            entry.remove(field).unwrap();
        }
        for reason in entry["unresolved_reasons"].as_array_mut().unwrap() {
            // Its words say whether the component that `[bind]` names was there when the import was looked at last.
            if reason["why"] == "bad-binding" {
                reason.as_object_mut().unwrap().remove("message");
            }
        }
        edges.push(ask(&["deps", &string(&entry["id"])]));
        edges.push(ask(&["dependents", &string(&entry["id"])]));
    }
    let teams: Vec<_> = (0..4)
        .map(|team| strings(&Value::from_iter(ids(&ask(&["index", "get", "team", &format!("t{team}")])["components"]))))
        .collect();
    json!({
        "entries": entries,
        "edges": edges,
        "order": ask(&["order"]),
        "graph": ask(&["graph", "--format", "json"]),
        "indexes": ask(&["index", "list"]),
        "keys": ask(&["index", "get", "nested"]),
        "teams": teams,
        "settings": ask(&["settings"]),
    })
}

fn ids(entries: &Value) -> Vec<Value> {
    entries.as_array().unwrap().iter().map(|entry| entry["id"].clone()).collect()
}

/// Tells where two documents differ first.
fn difference(at: &str, one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) if a.keys().eq(b.keys()) => {
            a.iter().find_map(|(key, value)| difference(&format!("{at}.{key}"), value, &b[key]))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            a.iter().zip(b).enumerate().find_map(|(n, (a, b))| difference(&format!("{at}[{n}]"), a, b))
        }
        _ => (one != other).then(|| format!("{at}: {one} and {other}")),
    }
}

#[test]
fn a_whole_registry_comes_out_as_it_went_in() {
    let mut said = String::new();
    for seed in [3, 77_777] {
        let sandbox = Sandbox::new();
        random(&sandbox, seed);
        let exported = sandbox.json(&["export", "all.tar"]);
        assert_eq!(
            (&exported["settings"], &exported["indexes"]),
            (&true.into(), &json!(["nested", "nobody has it", "team"]))
        );
        let entries = sandbox.json(&["list"]);
        let revisions =
            entries["components"].as_array().unwrap().iter().map(|e| e["newest_revision"].as_u64().unwrap() - 1);
        assert_eq!(exported["left_out"]["revisions"], revisions.sum::<u64>());
        let other = text(&sandbox.work().join("other"));
        let imported = sandbox.json(&["--data", &other, "import", "all.tar"]);
        assert_eq!((&imported["settings_taken"], &imported["relinked"]), (&true.into(), &json!([])), "seed {seed}");
        let fused = json!([{ "id": "test:asks", "with": [] }, { "id": "test:whole", "with": ["test:part"] }]);
        assert_eq!((&imported["fused"], &imported["not_fused"]), (&fused, &json!([])));
        let (there, here) = (carried(&sandbox, &text(&sandbox.data())), carried(&sandbox, &other));
        assert_eq!(difference("", &there, &here), None, "seed {seed}");
        said += &there.to_string();
        // What an archive of the new one has is the same again.
        sandbox.json(&["--data", &other, "export", "again.tar"]);
        let third = text(&sandbox.work().join("third"));
        sandbox.json(&["--data", &third, "import", "again.tar"]);
        assert_eq!(difference("", &there, &carried(&sandbox, &third)), None, "seed {seed}");
    }
    for word in ["ambiguous", "bad-binding", "missing", "out-of-range", "operator", "manifest", "import", "fused"] {
        assert!(said.contains(&format!("\"{word}\"")), "nothing in these registries is {word}");
    }
}

#[test]
fn settings_of_an_archive_do_not_replace_others_unless_that_is_wanted() {
    let sandbox = Sandbox::new();
    sandbox.register("test:one", &wat::answer(1));
    sandbox.ok(&["settings", "limits.fuel=123_456"]);
    sandbox.ok(&["export", "all.tar"]);
    let other = text(&sandbox.work().join("other"));
    let fuel = || sandbox.ok(&["--data", &other, "settings", "limits.fuel"]);
    sandbox.ok(&["--data", &other, "settings", "limits.deadline=2s"]);
    let imported = sandbox.run(&["--data", &other, "import", "all.tar"]);
    assert!(imported.stderr.contains("limits.fuel, limits.deadline") && imported.stderr.contains("--settings always"));
    assert_eq!(fuel(), "100000000\n");
    let imported = sandbox.json(&["--data", &other, "import", "all.tar", "--settings", "always"]);
    assert_eq!((imported["settings_taken"].clone(), fuel().as_str()), (true.into(), "123456\n"));
    let changes = sandbox.run_json(&["--data", &other, "log", "--event", "config-set"]).documents();
    assert_eq!(changes.len(), 3, "each is an event: {changes:?}");
    let fresh = text(&sandbox.work().join("fresh"));
    sandbox.json(&["--data", &fresh, "import", "all.tar", "--settings", "never"]);
    assert_eq!(sandbox.ok(&["--data", &fresh, "settings", "limits.fuel"]), "100000000\n");
}

#[test]
fn an_import_that_somebody_else_serves_here_is_told() {
    let sandbox = Sandbox::new();
    sandbox.register("test:first", &wat::node("base", &[]));
    sandbox.register("test:user", &wat::node("top", &["base"]));
    sandbox.register("test:second", &wat::node("base", &[]));
    sandbox.ok(&["export", "user.tar", "test:user"]);
    let other = text(&sandbox.work().join("other"));
    let here = ["--data", &other];
    let register = |id: &str, wat: &str| {
        let file = text(&sandbox.write("there.wat", wat));
        sandbox.ok(&[&here[..], &["register", &file, "--id", id, "--version", "1.0.0"]].concat());
    };
    // The same id and version with other bytes, which serve nobody.
    register("test:first", &wat::answer(1));
    register("test:second", &wat::node("base", &[]));
    let ran = sandbox.run_json(&[&here[..], &["import", "user.tar"]].concat());
    ran.assert_failed(4);
    let relinked = json!([{
        "id": "test:user",
        "import": "graph:base/value@1.0.0",
        "before": "test:first",
        "now": "test:second",
    }]);
    assert_eq!(ran.document()["relinked"], relinked, "{ran:#?}");
}
