//! Revisions and plans: `versions`, `use`, `rollback`, `diff`, `plan`, `why`, `impact`, and breaking revisions that `register` refuses.

use serde_json::{Value, json};

use crate::harness::Sandbox;
use crate::harness::sandbox::{strings, text};

/// Returns a component that exports `demo:log/sink@1.0.0` with `write`, which takes so many numbers and returns `answer`, and with
/// `flush` if it is asked for.
fn log(params: usize, answer: u32, flush: bool) -> String {
    let (core, lifted) = (" (param i32)".repeat(params), lifted(params));
    let flush = if flush { "(export \"flush\" (func $flush))" } else { "" };
    format!(
        "(component
          (core module $m
            (func (export \"write\"){core} (result i32) (i32.const {answer}))
            (func (export \"flush\")))
          (core instance $i (instantiate $m))
          (func $write{lifted} (result u32) (canon lift (core func $i \"write\")))
          (func $flush (canon lift (core func $i \"flush\")))
          (instance $sink (export \"write\" (func $write)) {flush})
          (export \"demo:log/sink@1.0.0\" (instance $sink)))"
    )
}

/// Returns a component that imports `write` with so many numbers and exports `demo:app/run@1.0.0` with `run`, which answers what that
/// does.
fn app(params: usize) -> String {
    let (core, lifted) = (" (param i32)".repeat(params), lifted(params));
    let zeros = " (i32.const 0)".repeat(params);
    format!(
        "(component
          (import \"demo:log/sink@1.0.0\" (instance $log (export \"write\" (func{lifted} (result u32)))))
          (core func $write (canon lower (func $log \"write\")))
          (core module $m
            (import \"log\" \"write\" (func $write{core} (result i32)))
            (func (export \"run\") (result i32) (call $write{zeros})))
          (core instance $i (instantiate $m (with \"log\" (instance (export \"write\" (func $write))))))
          (func $run (result u32) (canon lift (core func $i \"run\")))
          (instance $runs (export \"run\" (func $run)))
          (export \"demo:app/run@1.0.0\" (instance $runs)))"
    )
}

fn lifted(params: usize) -> String {
    (0..params).map(|at| format!(" (param \"p{at}\" u32)")).collect()
}

const TOP: &str = "(component (import \"demo:app/run@1.0.0\" (instance (export \"run\" (func (result u32))))))";

/// A log, an app that writes to it and a component that needs the app, all active.
fn running() -> Sandbox {
    running_in(Sandbox::new())
}

fn running_in(sandbox: Sandbox) -> Sandbox {
    sandbox.register("demo:log", &log(1, 1, false));
    sandbox.register("demo:app", &app(1));
    sandbox.register("demo:top", TOP);
    sandbox.ok(&["-q", "activate", "top"]);
    sandbox
}

fn run(sandbox: &Sandbox) -> Value {
    sandbox.json(&["call", "app", "run()"])["result"].clone()
}

/// Writes a component and returns its path.
fn file(sandbox: &Sandbox, wat: &str) -> String {
    text(&sandbox.write("next.wat", wat))
}

fn register(sandbox: &Sandbox, wat: &str, version: &str, more: &[&str]) -> Value {
    let file = file(sandbox, wat);
    let args = [&["register", &file, "--id", "demo:log", "--version", version][..], more].concat();
    sandbox.run_json(&args).document()
}

#[test]
fn a_breaking_revision_is_foreseen_refused_and_let_in_by_force() {
    let sandbox = running();
    let breaking = file(&sandbox, &log(2, 2, false));
    let change = ["register", &breaking, "--id", "demo:log", "--version", "2.0.0"];
    let records = sandbox.run(&["log"]).stdout;
    let plan: Vec<_> = ["plan"].iter().chain(&change).copied().collect();
    let (ran, error) = sandbox.fails(&plan, 4);
    assert_eq!(error["code"], "breaking");
    insta::assert_snapshot!(ran.stdout, @r"
    registers demo:log 2.0.0 (revision 2) in the place of 1.0.0 (revision 1): breaking
      ~ export demo:log/sink@1.0.0, breaking
          - write: func(p0: u32) -> u32
          + write: func(p0: u32, p1: u32) -> u32
            `write` has one more parameter, `p1: u32`
    breaks demo:app (active)
      `demo:log/sink@1.0.0`: `write` has one more parameter, `p1: u32`
      needed by demo:top
    ");
    let document = sandbox.run_json(&plan).document();
    assert_eq!((&document["breaks"], &document["operation"]), (&json!(true), &json!("register")));
    let reason = &document["broken"][0]["reasons"][0];
    assert_eq!((&reason["function"], &reason["code"]), (&json!("write"), &json!("parameter-added")));
    assert_eq!(document["broken"][0]["affected"], json!(["demo:top"]));
    // Nothing of that was written.
    assert_eq!(sandbox.run(&["log"]).stdout, records);

    let (ran, error) = sandbox.fails(&change, 4);
    assert_eq!((&error["code"], &error["broken"]), (&json!("breaking"), &document["broken"]));
    assert!(ran.stderr.contains("breaks demo:app (active)") && ran.stderr.contains("--force"), "{ran:#?}");
    assert!(sandbox.run(&["log"]).stdout.contains("refused"));
    let forced = sandbox.json(&[&change[..], &["--force"]].concat());
    assert_eq!(forced["registered"][0]["outcome"], "waiting");
    assert_eq!(run(&sandbox), json!(1));
}

#[test]
fn what_only_adds_is_let_in_and_used_and_taken_back() {
    let sandbox = running();
    register(&sandbox, &log(1, 2, true), "1.1.0", &[]);
    insta::assert_snapshot!(sandbox.ok(&["plan", "use", "log@1.1.0"]), @r"
    uses demo:log 1.1.0 (revision 2) in the place of 1.0.0 (revision 1): additive
      ~ export demo:log/sink@1.0.0, additive
          + flush: func()
    re-links demo:app for demo:log/sink@1.0.0 from demo:log
    nothing that is active would break
    ");
    assert_eq!(
        sandbox.ok(&["use", "log@1.1.0"]),
        "demo:log 1.1.0 (revision 2) is active in the place of 1.0.0 (revision 1)\n"
    );
    assert_eq!(run(&sandbox), json!(2));
    let versions = sandbox.json(&["versions", "log"]);
    assert_eq!((&versions["current"], &versions["rollback_to"]), (&json!(2), &json!(1)));
    assert_eq!(versions["revisions"][1]["active"], json!(true));
    let back = sandbox.json(&["rollback", "log"]);
    assert_eq!((&back["outcome"], &back["revision"]), (&json!("replaced"), &json!(1)));
    assert_eq!(run(&sandbox), json!(1));
    let (_, error) = sandbox.fails(&["rollback", "log"], 3);
    assert_eq!(error["code"], "no-earlier-revision");
    sandbox.fails(&["use", "log"], 2);
    sandbox.fails(&["use", "log@9.0.0"], 3);
    sandbox.fails(&["use", "log", "--revision", "9"], 3);
    assert_eq!(sandbox.json(&["use", "log", "--revision", "1"])["outcome"], "unchanged");
}

#[test]
fn a_revision_is_selected_where_nothing_is_active() {
    let sandbox = Sandbox::new();
    register(&sandbox, &log(1, 1, false), "1.0.0", &[]);
    register(&sandbox, &log(2, 2, false), "2.0.0", &[]);
    assert_eq!(
        sandbox.ok(&["use", "demo:log@1.0.0"]),
        "demo:log points to 1.0.0 (revision 1) in the place of 2.0.0 (revision 2)\n"
    );
    assert_eq!(sandbox.json(&["show", "log"])["version"], "1.0.0");
    assert_eq!(sandbox.status("log"), "registered");
    let diff = sandbox.ok(&["diff", "log", "1", "2.0.0"]);
    assert!(diff.starts_with("demo:log 1.0.0 (revision 1) → 2.0.0 (revision 2): breaking\n"), "{diff}");
    let diff = sandbox.json(&["diff", "log", "1.0.0", "2"]);
    assert_eq!((&diff["verdict"], &diff["same_binary"]), (&json!("breaking"), &json!(false)));
    assert_eq!(diff["exports"][0]["functions"][0]["differences"][0]["code"], "parameter-added");
    sandbox.fails(&["diff", "log", "1", "nine"], 2);
    sandbox.fails(&["diff", "log", "1", "9"], 3);
}

#[test]
fn the_lock_is_shown_and_kept() {
    let sandbox = running_in(Sandbox::new().unserved());
    let lock = sandbox.json(&["show", "app"])["lock"].clone();
    assert_eq!(lock[0]["id"], "demo:log");
    assert_eq!((&lock[0]["version"], &lock[0]["revision"]), (&json!("1.0.0"), &json!(1)));
    assert!(
        sandbox.ok(&["show", "app"]).contains("bound to       demo:log 1.0.0 (revision 1) for demo:log/sink@1.0.0")
    );
    assert!(sandbox.ok(&["versions", "app"]).contains("demo:log/sink@1.0.0 → demo:log 1.0.0 (revision 1)"));
    // The index is made anew from the journal with it, by whoever opens the folder next.
    std::fs::remove_dir_all(sandbox.data().join("index")).unwrap();
    assert_eq!(sandbox.json(&["show", "app"])["lock"], lock);
    assert_eq!(sandbox.json(&["verify"])["ok"], json!(true));
}

#[test]
fn says_why_and_for_whom() {
    let sandbox = running();
    let why = sandbox.json(&["why", "log"]);
    assert_eq!(why["activation"]["asked"], json!(false));
    assert_eq!(strings(&why["chains"][0]["path"]), ["demo:log", "demo:app", "demo:top"]);
    let told = sandbox.ok(&["why", "log"]);
    assert!(told.contains("demo:app needs it for demo:log/sink@1.0.0"), "{told}");
    assert!(told.contains("demo:log ← demo:app ← demo:top, which was asked for at "), "{told}");
    let impact = sandbox.json(&["impact", "log"]);
    assert_eq!((&impact["total"], &impact["active"]), (&json!(2), &json!(2)));
    assert_eq!(strings(&impact["stops"]), ["demo:app", "demo:top"]);
    insta::assert_snapshot!(sandbox.ok(&["impact", "log"]), @r"
    demo:log (active): 2 components depend on it, 2 would stop with it
    DISTANCE  COMPONENT  STATUS  NEEDS
           1  demo:app   active  demo:log/sink@1.0.0 from demo:log
           2  demo:top   active  demo:app/run@1.0.0 from demo:app
    ");
    assert_eq!(sandbox.ok(&["impact", "top"]), "demo:top (active): nobody depends on it\n");
}

#[test]
fn plans_of_stopping_and_revoking_name_who_would_lose_what() {
    let sandbox = running();
    for verb in ["unregister", "deactivate"] {
        let (ran, _) = sandbox.fails(&["plan", verb, "log"], 4);
        assert!(ran.stdout.contains("  it imports `demo:log/sink@1.0.0` from `demo:log`\n"), "{ran:#?}");
    }
    let plan = sandbox.ok(&["plan", "deactivate", "log", "--cascade"]);
    assert_eq!(plan, "stops demo:top\nstops demo:app\nstops demo:log\nnothing that is active would break\n");
    assert_eq!(sandbox.ok(&["plan", "deactivate", "log", "app", "top"]).lines().count(), 4);
    sandbox.fails(&["plan", "unregister", "nobody"], 3);
    sandbox.ok(&["grant", "app", "env", "LANG=C"]);
    let plan = sandbox.json(&["plan", "revoke", "app", "env", "LANG"]);
    assert_eq!((&plan["breaks"], &plan["renewed"]), (&json!(false), &json!(["demo:app"])));
    assert_eq!(plan["revoked"][0]["name"], "LANG");
}

#[test]
fn a_plan_of_an_activation_has_waves() {
    let sandbox = Sandbox::new();
    sandbox.register("demo:log", &log(1, 1, false));
    sandbox.register("demo:app", &app(1));
    let plan = sandbox.json(&["plan", "activate", "app"]);
    assert_eq!(plan["waves"], json!([["demo:log"], ["demo:app"]]));
    sandbox.register_version("demo:app", "2.0.0", &app(2));
    let plan = sandbox.json(&["plan", "activate", "app"]);
    assert_eq!(plan["waves"], json!([["demo:log"]]));
    assert_eq!(plan["refused"][0]["error"]["code"], "type-mismatch");
    // So it is, when it is done.
    let (_, error) = sandbox.fails(&["activate", "app"], 4);
    assert_eq!(error["failure"]["kind"], "type-mismatch");
}
