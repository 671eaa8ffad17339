//! Whatever a component says of itself is data: no verb prints it so that it moves a terminal, turns text around or hides.

use serde_json::Value;

use crate::harness::Sandbox;
use crate::harness::sandbox::{Ran, text};

/// Colours, clears the screen, turns the text around, hides a character, ends the line, goes back to its beginning.
const EVIL: &str = "\u{1b}[31mA\u{9b}2JB\u{202e}C\u{200b}D\u{2066}E\u{7}F\u{ad}G\u{feff}";
/// A line that looks like one of the program's own.
const FORGED: &str = "x\r\nerror: all is lost";

/// Tells whether a character moves a terminal, turns text around or cannot be seen.
fn is_deceptive(c: char) -> bool {
    let hides = matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    c.is_control() || hides
}

/// The same as TOML and WAT write it.
fn escaped(text: &str, how: impl Fn(u32) -> String) -> String {
    text.chars().map(|c| if is_deceptive(c) { how(u32::from(c)) } else { c.to_string() }).collect()
}

fn manifest() -> String {
    let (evil, forged) = (escaped(EVIL, |c| format!("\\u{c:04x}")), escaped(FORGED, |c| format!("\\u{c:04x}")));
    format!(
        r#"description = "{evil}{forged}"
[metadata]
"{evil}" = "{forged}{evil}"
author = ["{evil}", "{forged}"]
[grants]
env = ["{evil}"]
folders = [{{ path = "{evil}", at = "/data" }}]
[config]
"{evil}" = "{forged}{evil}"
[build]
command = "{evil}{forged}"
"#
    )
}

/// Traps in a function with a hostile name, prints hostile lines, answers hostile text.
fn component() -> String {
    let bytes: String = format!("{EVIL}{FORGED}").bytes().map(|byte| format!("\\{byte:02x}")).collect();
    let length = EVIL.len() + FORGED.len();
    let name = escaped(EVIL, |c| format!("\\u{{{c:x}}}"));
    format!(
        r#"(component
      (import "wasi:logging/logging" (instance $log
        (type $level' (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $level')))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
      (import "no:such/thing@1.0.0" (instance (export "f" (func))))
      (core module $memory
        (memory (export "mem") 1)
        (data (i32.const 256) "{bytes}"))
      (core instance $memory (instantiate $memory))
      (alias core export $memory "mem" (core memory $mem))
      (core func $log (canon lower (func $log "log") (memory $mem)))
      (core module $m
        (import "x" "mem" (memory 1))
        (import "x" "log" (func $log (param i32 i32 i32 i32 i32)))
        (func (export "speak") (result i32)
          (call $log (i32.const 2) (i32.const 256) (i32.const {length}) (i32.const 256) (i32.const {length}))
          (i32.store (i32.const 0) (i32.const 256))
          (i32.store (i32.const 4) (i32.const {length}))
          (i32.const 0))
        (func $"{name}" (unreachable))
        (func (export "fall") (call $"{name}")))
      (core instance $i (instantiate $m (with "x" (instance (export "mem" (memory $mem)) (export "log" (func $log))))))
      (func (export "speak") (result string) (canon lift (core func $i "speak") (memory $mem)))
      (func (export "fall") (canon lift (core func $i "fall"))))"#
    )
}

/// Checks that nothing was printed that could deceive, and that what is said of the component is there.
fn check(ran: &Ran, args: &[&str]) {
    for (stream, text) in [("stdout", &ran.stdout), ("stderr", &ran.stderr)] {
        let bad = text.chars().find(|c| is_deceptive(*c) && !matches!(c, '\n' | '\t'));
        assert_eq!(bad, None, "{args:?} prints {bad:?} on {stream}: {text:?}");
        let is_json = args.contains(&"json");
        let forged = text.lines().any(|line| !is_json && line.starts_with("error: all is lost"));
        assert!(!forged, "{args:?} prints a forged line on {stream}: {text}");
    }
}

#[test]
fn every_verb_prints_what_a_component_says_as_data() {
    let sandbox = Sandbox::new();
    let folder = sandbox.component(
        "evil:words",
        "1.0.0",
        &manifest(),
        &component().replace("(import \"no:such/thing@1.0.0\" (instance (export \"f\" (func))))", ""),
    );
    let waiting = sandbox.component("evil:waiting", "1.0.0", &manifest(), &component());
    let file = sandbox.write(&format!("{EVIL}.wat"), crate::harness::wat::answer(1));
    let run = |args: &[&str]| {
        let json: Vec<_> = ["-o", "json"].iter().chain(args).copied().collect();
        for args in [args, &json] {
            let ran = sandbox.run(args);
            assert!(!ran.stderr.contains("panicked"), "{ran:#?}");
            check(&ran, args);
        }
    };
    let (folder, waiting, file) = (text(&folder), text(&waiting), text(&file));
    for args in [
        &["scan", "."][..],
        &["inspect", &folder],
        &["inspect", &file],
        &["register", &folder, &waiting, &file],
        &["register", &waiting, "--grant-requested"],
        &["list"],
        &["list", "--where", &format!("{EVIL}={EVIL}")],
        &["show", "evil:words"],
        &["show", EVIL],
        &["wit", "evil:words"],
        &["activate", "evil:words", "evil:waiting"],
        &["call", "evil:words", "speak()"],
        &["call", "evil:words", "fall()"],
        &["call", "evil:words", EVIL],
        &["logs", "evil:words"],
        &["errors"],
        &["-v", "errors", "evil:words"],
        &["log"],
        &["status", "evil:words", "--set", "error", "--message", &format!("{EVIL}{FORGED}")],
        &["status", "evil:words"],
        &["health"],
        &["stats"],
        &["deps", "evil:waiting", "--check"],
        &["deps", "evil:words", "--tree"],
        &["dependents", "evil:words"],
        &["order"],
        &["cycles"],
        &["graph"],
        &["graph", "--format", "dot"],
        &["graph", "--format", "mermaid"],
        &["graph", "--format", "svg"],
        &["graph", "--format", "json"],
        &["grants"],
        &["grants", "evil:words", "--effective"],
        &["grant", "evil:words", "--requested", "--dry-run"],
        &["grant", "evil:words", "env", EVIL],
        &["grant", "evil:words", "env", &format!("NAME={EVIL}{FORGED}")],
        &["grants", "evil:words"],
        &["revoke", "evil:words", "env", EVIL],
        &["revoke", "evil:words", "folder", EVIL],
        &["policy", "check", "evil:words"],
        &["index", "create", "author"],
        &["index", "create", EVIL],
        &["index", "list"],
        &["index", "get", "author"],
        &["index", "get", EVIL],
        &["index", "get", "author", EVIL],
        &["settings", EVIL],
        &["plan", "register", &folder, &waiting, &file],
        &["plan", "activate", "evil:words", "evil:waiting"],
        &["plan", "revoke", "evil:words"],
        &["plan", "revoke", "evil:words", "env", EVIL],
        &["plan", "unregister", "evil:words"],
        &["register", &folder, "--version", "2.0.0"],
        &["versions", "evil:words"],
        &["diff", "evil:words", "1", "2"],
        &["diff", "evil:words", EVIL, FORGED],
        &["use", EVIL],
        &["use", "evil:words@2.0.0"],
        &["rollback", "evil:words"],
        &["why", "evil:words", "evil:waiting"],
        &["impact", "evil:words"],
        &["verify"],
        &["export", &format!("{EVIL}.tar")],
        &["prune", "--unused-for", "1d"],
        &["evict", "evil:words"],
        &["deactivate", "evil:words"],
        &["unregister", "evil:words"],
    ] {
        run(args);
    }
}

#[test]
fn json_has_the_texts_as_they_are() {
    let sandbox = Sandbox::new();
    let folder = sandbox.component("evil:words", "1.0.0", &manifest(), &component());
    sandbox.run(&["-q", "register", &text(&folder)]);
    let entry = sandbox.json(&["show", "evil:words"]);
    let value: &Value = &entry["metadata"]["author"];
    assert_eq!(value, &serde_json::json!([EVIL, FORGED]));
}
