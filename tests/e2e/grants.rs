//! Grants: asked for, given, used, taken back.

use serde_json::{Value, json};

use crate::harness::Sandbox;
use crate::harness::sandbox::{fixture, strings, text};

const ASKS: &str = "[grants]\nenv = [\"LANG\", \"TZ\"]\nfolders = [{ path = \"data\", at = \"/data\" }]\n";

/// Returns the texts of grants in a document.
fn texts(grants: &Value) -> Vec<String> {
    grants.as_array().unwrap().iter().map(|grant| grant["text"].as_str().unwrap().to_owned()).collect()
}

/// Registers `test:environ`, which tells its variables.
fn with_environ(manifest: &str) -> Sandbox {
    let sandbox = Sandbox::new();
    let folder = sandbox.component("test:environ", "1.0.0", manifest, &fixture("environ.wat"));
    sandbox.ok(&["-q", "register", &text(&folder), "--activate"]);
    sandbox
}

fn vars(sandbox: &Sandbox) -> Value {
    sandbox.json(&["call", "environ", "vars#vars()"])["result"].clone()
}

#[test]
fn asking_gives_nothing_and_is_told() {
    let sandbox = Sandbox::new();
    let folder = sandbox.component("test:environ", "1.0.0", ASKS, &fixture("environ.wat"));
    let registered = sandbox.run(&["register", &text(&folder), "--activate"]);
    assert_eq!(registered.code, 0, "{registered:#?}");
    let said = "`test:environ` asks for `env LANG`, `env TZ`, `folder data --at /data --mode ro`, which is not granted";
    assert!(registered.stderr.contains(said), "{registered:#?}");
    assert!(registered.stderr.contains("test:environ runs without what it asks for"), "{registered:#?}");
    assert_eq!(vars(&sandbox), json!([]));
    let grants = sandbox.json(&["grants", "environ"]);
    assert_eq!(texts(&grants["missing"]), ["env LANG", "env TZ", "folder data --at /data --mode ro"]);
    assert_eq!(grants["granted"], json!([]));
    let entry = sandbox.json(&["show", "environ"]);
    assert_eq!(strings(&entry["grants"]["env"]), ["LANG", "TZ"]);
    assert_eq!(texts(&entry["grants"]["missing"]).len(), 3);
    let activated = sandbox.json(&["activate", "environ", "--dry-run"]);
    assert_eq!(activated["ungranted"], json!([]), "what is active already is not about to be");
}

#[test]
fn a_variable_that_is_granted_is_seen_from_the_next_call_on_and_no_longer_when_revoked() {
    let sandbox = with_environ("");
    assert_eq!(vars(&sandbox), json!([]));
    assert_eq!(
        sandbox.ok(&["grant", "environ", "env", "TZ=UTC", "A=b=c"]),
        "granted test:environ env TZ=…\ngranted test:environ env A=…\n"
    );
    assert_eq!(vars(&sandbox), json!([["TZ", "UTC"], ["A", "b=c"]]));
    assert_eq!(sandbox.ok(&["grant", "environ", "env", "TZ=UTC"]), "unchanged test:environ env TZ=…\n");
    sandbox.ok(&["grant", "environ", "env", "TZ=CET"]);
    assert_eq!(vars(&sandbox), json!([["A", "b=c"], ["TZ", "CET"]]));
    assert_eq!(sandbox.ok(&["revoke", "environ", "env", "A"]), "revoked test:environ env A=…\n");
    assert_eq!(vars(&sandbox), json!([["TZ", "CET"]]));
    sandbox.fails(&["revoke", "environ", "env", "A"], 3);
    let grants = sandbox.json(&["grants", "environ"]);
    assert_eq!((&grants["granted"][0]["value"], &grants["granted"][0]["capability"]), (&json!("CET"), &json!("env")));
    assert!(grants["granted"][0]["by"].as_str().unwrap().starts_with("cli:"), "{grants}");
    sandbox.ok(&["revoke", "environ", "--all"]);
    assert_eq!(sandbox.ok(&["revoke", "environ", "--all"]), "nothing was granted to test:environ\n");
    assert_eq!(vars(&sandbox), json!([]));
    let log = sandbox.run(&["log", "--component", "test:environ", "--event", "granted", "--event", "revoked"]).stdout;
    assert_eq!(log.lines().count(), 4, "{log}");
    assert!(log.contains("granted test:environ env TZ=…, env A=…") && !log.contains("UTC"), "{log}");
}

#[test]
fn a_variable_without_a_value_is_that_of_the_host() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register_fixture("test:environ", "environ.wat");
    sandbox.ok(&["-q", "activate", "environ"]);
    sandbox.ok(&["grant", "environ", "env", "GREETING", "SURELY_NOT_SET"]);
    let mut command = sandbox.command(&["-o", "json", "call", "environ", "vars#vars()"]);
    let output = command.env("GREETING", "hello").env("OTHER", "x").output().unwrap();
    let document: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["result"], json!([["GREETING", "hello"]]));
}

#[test]
fn a_folder_is_seen_where_it_is_granted_and_read_only_unless_more_is_granted() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:files", "files.wat");
    sandbox.ok(&["-q", "activate", "files"]);
    sandbox.write("shared/notes", "hello");
    let call = |expression: &str| sandbox.json(&["call", "files", expression])["wave"].clone();
    assert_eq!(call("places()"), "[]");
    sandbox.ok(&["grant", "files", "folder", "shared"]);
    assert_eq!(call("places()"), "[\"/shared\"]");
    assert_eq!(call("read(\"notes\")"), "ok(\"hello\")");
    assert_eq!(call("write(\"notes\", \"mine\")"), "err(not-permitted)");
    sandbox.ok(&["grant", "files", "folder", "shared/../shared", "--at", "/shared/", "--mode", "rw"]);
    assert_eq!(call("write(\"notes\", \"mine!\")"), "ok");
    assert_eq!(std::fs::read_to_string(sandbox.work().join("shared/notes")).unwrap(), "mine!");
    let path = std::fs::canonicalize(sandbox.work().join("shared")).unwrap();
    let granted = sandbox.json(&["grants", "files"])["granted"].clone();
    assert_eq!(granted.as_array().unwrap().len(), 1, "{granted}");
    assert_eq!((&granted[0]["path"], &granted[0]["mode"]), (&json!(text(&path)), &json!("rw")));
    std::fs::remove_dir_all(&path).unwrap();
    sandbox.ok(&["evict", "files"]);
    let (gone, error) = sandbox.fails(&["call", "files", "places()"], 5);
    assert!(gone.stderr.contains("which is granted at `/shared`, cannot be opened"), "{gone:#?}");
    assert_eq!(error["failure"]["phase"], "instantiate");
    sandbox.ok(&["revoke", "files", "folder", &text(&path)]);
    assert_eq!(call("places()"), "[]");
}

#[test]
fn what_cannot_be_granted_is_refused_and_nothing_changes() {
    let sandbox = with_environ("");
    sandbox.write("file", "");
    std::fs::create_dir(sandbox.work().join("folder")).unwrap();
    for (args, code) in [
        (&["env"][..], 2),
        (&["env", "="], 2),
        (&["enf", "A"], 2),
        (&["clocks", "exact"], 2),
        (&["env", "A", "--at", "/x"], 2),
        (&["folder", "nowhere"], 3),
        (&["folder", "file"], 2),
        (&["folder", "folder", "--at", "relative"], 2),
        (&["folder", "folder", "--mode", "x"], 2),
        (&["folder", &text(&sandbox.data())], 5),
        (&["folder", &text(&sandbox.data().join("journal"))], 5),
        (&["folder", "/", "--at", "/all"], 5),
        (&["folder", "/proc/self"], 5),
        (&["folder", "/dev"], 5),
    ] {
        let all: Vec<_> = ["grant", "environ"].iter().chain(args).copied().collect();
        sandbox.fails(&all, code);
    }
    sandbox.fails(&["grant", "nobody", "env", "A"], 3);
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(sandbox.data(), sandbox.work().join("link")).unwrap();
        sandbox.fails(&["grant", "environ", "folder", "link"], 5);
    }
    assert_eq!(sandbox.json(&["grants", "environ"])["granted"], json!([]));
    let dry = sandbox.json(&["grant", "environ", "folder", "folder", "--dry-run"]);
    assert_eq!(dry["changed"][0]["at"], "/folder");
    assert!(dry["warnings"][0].as_str().unwrap().contains("does not import `wasi:filesystem/preopens`"), "{dry}");
    assert_eq!(sandbox.json(&["grants", "environ"])["granted"], json!([]));
}

#[test]
fn all_that_is_asked_for_is_granted_with_paths_where_the_manifest_lies() {
    let sandbox = with_environ(ASKS);
    sandbox.fails(&["grant", "environ", "--requested"], 3);
    assert_eq!(sandbox.json(&["grants", "environ"])["granted"], json!([]));
    sandbox.write("components/test-environ/data/x", "");
    sandbox.ok(&["grant", "environ", "--requested"]);
    let grants = sandbox.json(&["grants", "environ"]);
    let path = std::fs::canonicalize(sandbox.work().join("components/test-environ/data")).unwrap();
    assert_eq!(
        texts(&grants["granted"]),
        ["env LANG", "env TZ", &format!("folder {} --at /data --mode ro", path.display())]
    );
    assert_eq!((&grants["missing"], texts(&grants["unused"]).len()), (&json!([]), 1));
}

#[test]
fn a_registration_can_grant() {
    let sandbox = Sandbox::new();
    sandbox.write("components/test-environ/data/x", "");
    let folder = sandbox.component("test:environ", "1.0.0", ASKS, &fixture("environ.wat"));
    let document =
        sandbox.json(&["register", &text(&folder), "--grant", "env LANG=de", "--grant", "folder components --at /c"]);
    let registered = &document["registered"][0];
    assert_eq!(texts(&registered["granted"])[0], "env LANG=…");
    assert_eq!(texts(&registered["ungranted"]), ["env TZ", "folder data --at /data --mode ro"]);
    let document = sandbox.json(&["register", &text(&folder), "--grant-requested"]);
    assert_eq!(document["registered"][0]["outcome"], "unchanged");
    assert_eq!(document["registered"][0]["ungranted"], json!([]));
    // What the manifest asks for takes the value of the host.
    assert_eq!(texts(&sandbox.json(&["grants", "environ"])["granted"]).len(), 4);
    // A registration whose grant cannot be given does not happen.
    let other = sandbox.component("test:other", "1.0.0", "", &fixture("environ.wat"));
    sandbox.fails(&["register", &text(&other), "--grant", "folder nowhere"], 3);
    sandbox.fails(&["show", "test:other"], 3);
}

#[test]
fn a_new_revision_that_asks_for_more_runs_with_what_was_granted_until_more_is() {
    let sandbox = with_environ("[grants]\nenv = [\"LANG\"]\n");
    sandbox.ok(&["grant", "environ", "env", "LANG=de"]);
    let folder =
        sandbox.component("test:environ", "1.1.0", "[grants]\nenv = [\"LANG\", \"TOKEN\"]\n", &fixture("environ.wat"));
    let registered = sandbox.run(&["register", &text(&folder)]);
    assert!(registered.stdout.contains("  asks anew: env TOKEN\n"), "{registered:#?}");
    let grants = sandbox.json(&["grants", "environ"]);
    assert_eq!((&grants["missing"], &grants["waiting"]["version"]), (&json!([]), &json!("1.1.0")));
    assert_eq!(texts(&grants["waiting"]["asks_anew"]), ["env TOKEN"]);
    let activated = sandbox.json(&["activate", "environ@1.1.0"]);
    assert_eq!(texts(&activated["ungranted"][0]["missing"]), ["env TOKEN"]);
    assert_eq!(vars(&sandbox), json!([["LANG", "de"]]));
    sandbox.ok(&["grant", "environ", "env", "TOKEN=t"]);
    assert_eq!(vars(&sandbox), json!([["LANG", "de"], ["TOKEN", "t"]]));
}

#[test]
fn grants_go_with_the_component_and_into_backups_but_not_into_archives() {
    let sandbox = with_environ("");
    sandbox.ok(&["grant", "environ", "env", "A=1"]);
    sandbox.ok(&["-q", "backup", "all.backup"]);
    let exported = sandbox.run(&["export", "some.tar", "environ"]);
    assert!(exported.stderr.contains("not in the archive: 1 grant"), "{exported:#?}");
    sandbox.ok(&["-q", "unregister", "environ"]);
    sandbox.register_fixture("test:environ", "environ.wat");
    assert_eq!(sandbox.json(&["grants", "environ"])["granted"], json!([]));

    let other = text(&sandbox.work().join("other"));
    sandbox.ok(&["-q", "--data", &other, "import", "some.tar"]);
    assert_eq!(sandbox.json(&["--data", &other, "grants", "environ"])["granted"], json!([]));
    let restored = text(&sandbox.work().join("restored"));
    sandbox.ok(&["-q", "--data", &restored, "restore", "all.backup"]);
    assert_eq!(texts(&sandbox.json(&["--data", &restored, "grants", "environ"])["granted"]), ["env A=1"]);
    sandbox.ok(&["-q", "--data", &restored, "verify"]);
}

#[test]
fn a_dependency_acts_with_its_own_grants_and_never_with_its_callers() {
    let sandbox = with_environ("");
    sandbox.register_fixture("test:borrower", "borrower.wat");
    sandbox.ok(&["-q", "activate", "borrower"]);
    let call = |function: &str| sandbox.json(&["call", "borrower", function])["result"].clone();
    sandbox.ok(&["grant", "borrower", "env", "MINE=caller", "BOTH=caller"]);
    assert_eq!((call("own()"), call("theirs()")), (json!([["MINE", "caller"], ["BOTH", "caller"]]), json!([])));
    sandbox.ok(&["grant", "environ", "env", "THEIRS=callee", "BOTH=callee"]);
    assert_eq!(call("own()"), json!([["MINE", "caller"], ["BOTH", "caller"]]));
    assert_eq!(call("theirs()"), json!([["THEIRS", "callee"], ["BOTH", "callee"]]));
    sandbox.ok(&["revoke", "environ", "env", "BOTH"]);
    assert_eq!(call("theirs()"), json!([["THEIRS", "callee"]]));
    let effective = sandbox.json(&["grants", "borrower", "--effective"]);
    assert_eq!(texts(&effective["granted"]), ["env MINE=caller", "env BOTH=caller"]);
    assert_eq!(texts(&effective["through"]), ["env THEIRS=…"]);
    assert_eq!(strings(&effective["through"][0]["path"]), ["test:borrower", "test:environ"]);
    assert_eq!(sandbox.json(&["grants", "environ", "--effective"])["through"], json!([]));
    assert!(sandbox.ok(&["grants", "borrower", "--effective"]).contains("env THEIRS=…, through test:environ"));
    assert_eq!(sandbox.json(&["grants"])["components"].as_array().unwrap().len(), 2);
}

#[test]
fn a_rule_of_the_policy_grants_what_is_asked_for_anew() {
    let sandbox = Sandbox::new();
    std::fs::create_dir_all(sandbox.data()).unwrap();
    let shared = sandbox.write("shared/inner/x", "");
    let shared = std::fs::canonicalize(shared.parent().unwrap().parent().unwrap()).unwrap();
    let policy = format!(
        "[[allow]]\nname = \"tests\"\nids = [\"test:*\"]\nenv = [\"LANG\", \"LC_*\"]\nfolders = [{{ path = \"{}\" }}]\n",
        shared.display()
    );
    std::fs::write(sandbox.data().join("policy.toml"), policy).unwrap();
    let asks = |folder: &str| {
        format!("[grants]\nenv = [\"LANG\", \"TOKEN\"]\nfolders = [{{ path = \"{folder}\", at = \"/d\" }}]\n")
    };
    let inner = text(&shared.join("inner"));
    let folder = sandbox.component("test:environ", "1.0.0", &asks(&inner), &fixture("environ.wat"));
    let registered = &sandbox.json(&["register", &text(&folder)])["registered"][0];
    assert_eq!(texts(&registered["granted"]), ["env LANG", &format!("folder {inner} --at /d --mode ro")]);
    assert_eq!(texts(&registered["ungranted"]), ["env TOKEN"]);
    let granted = sandbox.json(&["grants", "environ"])["granted"].clone();
    assert_eq!((&granted[0]["rule"], &granted[1]["rule"]), (&json!("tests"), &json!("tests")));
    let check = sandbox.ok(&["policy", "check", "environ"]);
    assert!(
        check.contains("test:environ env LANG: allowed by rule tests\ntest:environ env TOKEN: no rule allows it\n"),
        "{check}"
    );
    assert!(sandbox.ok(&["policy"]).contains("env LANG, env LC_*"));

    // What an operator took back, a later registration does not give again; what is asked for anew, it does.
    sandbox.ok(&["revoke", "environ", "env", "LANG"]);
    let manifest =
        format!("[grants]\nenv = [\"LANG\", \"LC_ALL\"]\nfolders = [{{ path = \"{inner}\", at = \"/d\" }}]\n");
    let folder = sandbox.component("test:environ", "1.1.0", &manifest, &fixture("environ.wat"));
    let registered = &sandbox.json(&["register", &text(&folder)])["registered"][0];
    assert_eq!(texts(&registered["granted"]), ["env LC_ALL"]);
    assert_eq!(texts(&registered["ungranted"]), ["env LANG"]);
    let folder = sandbox.component("other:environ", "1.0.0", &asks(&inner), &fixture("environ.wat"));
    assert_eq!(sandbox.json(&["register", &text(&folder)])["registered"][0]["granted"], json!([]));
}

#[test]
fn a_wrong_policy_is_named_with_key_and_line() {
    let sandbox = Sandbox::new().unserved();
    std::fs::create_dir_all(sandbox.data()).unwrap();
    std::fs::write(sandbox.data().join("policy.toml"), "[[allow]]\nenvs = [\"A\"]\n").unwrap();
    let (failed, error) = sandbox.fails(&["list"], 2);
    assert!(failed.stderr.contains("policy.toml: line 2: unknown key `allow[0].envs`"), "{failed:#?}");
    assert_eq!((&error["code"], &error["hints"][0]), (&json!("invalid-policy"), &json!("did you mean `env`?")));
}

#[cfg(unix)]
#[test]
fn a_file_that_never_answers_ends_at_the_deadline_of_the_call() {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:files", "files.wat");
    std::fs::create_dir(sandbox.work().join("shared")).unwrap();
    let pipe = sandbox.work().join("shared/pipe");
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    sandbox.ok(&["-q", "activate", "files"]);
    sandbox.ok(&["grant", "files", "folder", "shared"]);
    let (late, error) = sandbox.fails(&["call", "files", "read(\"pipe\")", "--timeout", "200ms"], 7);
    assert_eq!(error["failure"]["kind"], "deadline", "{late:#?}");
    assert_eq!(sandbox.json(&["call", "files", "places()"])["result"], json!(["/shared"]));
}
