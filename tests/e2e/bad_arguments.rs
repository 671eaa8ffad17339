//! What wrong names, calls and options get.

use crate::harness::sandbox::{string, text};
use crate::harness::{Sandbox, wat};

fn with_adder() -> Sandbox {
    let sandbox = Sandbox::new();
    sandbox.register_fixture("test:adder", "adder.wat");
    sandbox.ok(&["activate", "adder"]);
    sandbox
}

#[test]
fn an_unknown_name_gets_what_may_have_been_meant() {
    let sandbox = with_adder();
    for verb in ["show", "wit", "deps", "dependents", "status", "logs", "stats", "order", "graph", "errors", "health"] {
        let (_, error) = sandbox.fails(&[verb, "addre"], 3);
        assert_eq!(error["code"], "component-not-found", "{verb}");
        assert!(error["hints"].to_string().contains("did you mean test:adder?"), "{verb}: {error}");
    }
    for verb in ["activate", "deactivate", "unregister", "evict"] {
        let (_, error) = sandbox.fails(&[verb, "test:addre"], 3);
        assert!(error["hints"].to_string().contains("test:adder"), "{verb}: {error}");
    }
    let (_, error) = sandbox.fails(&["show", "zebra"], 3);
    assert!(error["hints"].to_string().contains("runtime list"), "{error}");
}

#[test]
fn a_bare_name_of_several_is_ambiguous() {
    let sandbox = Sandbox::new();
    sandbox.register("one:log", &wat::answer(1));
    sandbox.register("two:log", &wat::answer(2));
    let (ran, error) = sandbox.fails(&["show", "log"], 2);
    assert_eq!(error["code"], "ambiguous-name");
    assert!(ran.stderr.contains("one:log") && ran.stderr.contains("two:log"), "{ran:#?}");
    sandbox.ok(&["show", "two:log"]);
}

#[test]
fn what_is_no_name_at_all() {
    let sandbox = with_adder();
    for name in ["", "Adder", "a:b:c", "..", "../../etc/passwd", "test:adder@one", "tеst:adder"] {
        let (_, error) = sandbox.fails(&["show", name], 2);
        assert_eq!(error["code"], "invalid-name", "{name}");
    }
    let (ran, _) = sandbox.fails(&["show", "\u{1b}[31mred"], 2);
    assert!(!ran.stderr.contains('\u{1b}'), "{ran:#?}");
}

#[test]
fn an_unknown_function_gets_the_known_ones() {
    let sandbox = with_adder();
    let (_, error) = sandbox.fails(&["call", "adder", "ad(1, 2)"], 3);
    assert_eq!(error["code"], "function-not-found");
    assert_eq!(error["hints"], serde_json::json!(["did you mean `add`?"]));
    let (_, error) = sandbox.fails(&["call", "adder", "nothing-like-it()"], 3);
    assert!(error["hints"].to_string().contains("its functions: `test:math/ops@1.2.0#add`"), "{error}");
    for call in ["test:other/ops#add(1, 2)", "y/b#add(1, 2)", "test:math/ops#ad(1, 2)"] {
        let (_, error) = sandbox.fails(&["call", "adder", call], 3);
        assert_eq!(error["hints"], serde_json::json!(["did you mean `test:math/ops@1.2.0#add`?"]), "{call}");
    }
}

#[test]
fn wrong_arguments_are_told_with_the_type() {
    let sandbox = with_adder();
    for call in
        ["add(1)", "add(1, 2, 3)", "add()", "add(1, \"two\")", "add(1, -2)", "add(1, 4294967296)", "add(1.5, 2)"]
    {
        let (_, error) = sandbox.fails(&["call", "adder", call], 2);
        assert_eq!(error["code"], "invalid-arguments", "{call}");
        let all = format!("{} {}", error["message"], error["hints"]);
        assert!(all.contains("u32"), "{call}: {error}");
    }
    assert_eq!(sandbox.ok(&["call", "adder", "add(1, 2)"]), "3\n");
    assert_eq!(sandbox.json(&["errors"])["errors"], serde_json::json!([]));
}

#[test]
fn a_syntax_error_points_at_the_character() {
    let sandbox = with_adder();
    for (call, column) in [("add(1, ]2)", 7), ("add(1, 2", 8), ("add(1 2)", 6)] {
        let (ran, _) = sandbox.fails(&["call", "adder", call], 2);
        let lines: Vec<_> = ran.stderr.lines().collect();
        let at = lines.iter().position(|line| line.contains('^')).unwrap_or_else(|| panic!("no mark: {ran:#?}"));
        let indent = lines[at - 1].find("add(").unwrap_or_else(|| panic!("the call is not above its mark: {ran:#?}"));
        let mark = lines[at].find('^').unwrap() - indent;
        assert!(mark.abs_diff(column) <= 1, "{call}: column {mark} in {ran:#?}");
    }
}

#[test]
fn json_arguments_have_to_be_an_array_that_fits() {
    let sandbox = with_adder();
    assert_eq!(sandbox.ok(&["call", "adder", "add", "--json-args", "[1, 2]"]), "3\n");
    for (function, args) in
        [("add", "{}"), ("add", "[1,"), ("add", "[1]"), ("add", "[1, \"two\"]"), ("add(1, 2)", "[]"), ("add", "7")]
    {
        sandbox.fails(&["call", "adder", function, "--json-args", args], 2);
    }
    sandbox.fails(&["call", "adder", "no-such", "--json-args", "[]"], 3);
}

#[test]
fn a_call_to_what_is_not_active_says_how_to_activate() {
    let sandbox = with_adder();
    sandbox.ok(&["deactivate", "adder"]);
    let (ran, error) = sandbox.fails(&["call", "adder", "add(1, 2)"], 4);
    assert_eq!(error["code"], "component-not-active");
    assert_eq!(error["component"], "test:adder");
    assert!(ran.stderr.contains("runtime activate test:adder"), "{ran:#?}");
    assert!(ran.stderr.contains("`test:adder` is inactive, not active"), "{ran:#?}");
    sandbox.ok(&["status", "adder", "--set", "error"]);
    let (ran, _) = sandbox.fails(&["call", "adder", "add(1, 2)"], 4);
    assert!(ran.stderr.contains("`test:adder` is in error, not active"), "{ran:#?}");
}

#[test]
fn what_cannot_be_the_name_of_an_index_is_invalid() {
    let sandbox = with_adder();
    for (name, why) in
        [("", "empty"), ("  ", "empty"), ("a\u{1b}[31mb", "cannot be seen"), (&"k".repeat(129), "129 bytes")]
    {
        let (ran, error) = sandbox.fails(&["index", "create", name], 2);
        assert_eq!(error["code"], "invalid-index", "{name}");
        assert!(string(&error["message"]).contains(why), "{error}");
        assert!(!ran.stderr.contains('\u{1b}') && ran.stderr.len() < 600, "{ran:#?}");
    }
    assert_eq!(sandbox.json(&["index", "list"])["indexes"], serde_json::json!([]));
    let (_, error) = sandbox.fails(&["index", "get", "nobody-made-it"], 3);
    assert_eq!(error["code"], "index-not-found");
}

#[test]
fn wrong_options_are_told() {
    let sandbox = with_adder();
    for args in [
        &["call", "adder", "add(1, 2)", "--fuel", "lots"][..],
        &["call", "adder", "add(1, 2)", "--timeout", "soon"],
        &["call", "adder", "add(1, 2)", "--fuel", "0"],
        &["call", "adder", "add(1, 2)", "--timeout", "0s"],
        &["call", "adder"],
        &["list", "--status", "asleep"],
        &["list", "--where", "author"],
        &["list", "--kind", "Two Words"],
        &["graph", "--format", "png"],
        &["completions", "cobol"],
        &["errors", "--clear"],
        &["status"],
        &["status", "adder", "--message", "why"],
        &["depend", "adder"],
        &["log", "--since", "yesterday"],
        &["list", "--lock-timeout", "never"],
        &["list", "-q", "-v"],
    ] {
        let (_, error) = sandbox.fails(args, 2);
        assert!(!string(&error["message"]).is_empty());
    }
}

#[test]
fn a_working_folder_that_is_not_there() {
    let sandbox = Sandbox::new();
    let (ran, _) = sandbox.fails(&["-C", "nowhere", "list"], 3);
    assert!(ran.stderr.contains("nowhere"), "{ran:#?}");
}

#[test]
fn a_number_that_a_float_cannot_hold_is_refused() {
    let sandbox = Sandbox::new();
    sandbox.register("test:half", FLOATS);
    sandbox.ok(&["-q", "activate", "half"]);
    assert_eq!(sandbox.ok(&["call", "half", "same(1e3)"]), "1000\n");
    for word in ["inf", "-inf", "nan"] {
        assert_eq!(sandbox.ok(&["call", "half", &format!("same({word})")]), format!("{word}\n"));
    }
    for call in ["same(1e39)", "same(-340282356779733661637539395458142568448)"] {
        let (_, error) = sandbox.fails(&["call", "half", call], 2);
        assert_eq!(error["code"], "invalid-arguments");
        assert!(error["message"].as_str().unwrap().contains("too large"), "{error}");
    }
    let (_, error) = sandbox.fails(&["call", "half", "same", "--json-args", "[1e39]"], 2);
    assert!(error["message"].as_str().unwrap().contains("f32"), "{error}");
    assert_eq!(sandbox.ok(&["call", "half", "same", "--json-args", "[\"inf\"]"]), "inf\n");
}

/// Returns the `f32` that it is given.
const FLOATS: &str = "(component
  (core module $m (func (export \"same\") (param f32) (result f32) (local.get 0)))
  (core instance $i (instantiate $m))
  (func (export \"same\") (param \"value\" float32) (result float32) (canon lift (core func $i \"same\"))))";

#[test]
fn what_should_be_text_and_is_not_is_named() {
    let sandbox = Sandbox::new().unserved();
    sandbox.register("test:one", &wat::answer(1));
    let rubbish = b"# \xff\n";
    let folder = sandbox.component("test:two", "1.0.0", "", &wat::answer(2));
    let file = text(&sandbox.write("one.wat", wat::answer(1)));
    for name in ["components/test-two/component.toml", "statuses.json"] {
        sandbox.write(name, rubbish);
    }
    for (args, named) in [
        (&["register", &text(&folder)][..], "component.toml"),
        (&["register", &file, "--manifest", "statuses.json"], "statuses.json"),
        (&["status", "--set-from", "statuses.json"], "statuses.json"),
    ] {
        let ran = sandbox.run_json(args);
        ran.assert_failed(2);
        assert!(ran.document().to_string().contains(named), "{ran:#?}");
    }
    let piped = std::fs::File::open(sandbox.work().join("statuses.json")).unwrap();
    let args = ["-o", "json", "status", "--set-from", "-"];
    let output = sandbox.command(&args).stdin(piped).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{output:?}");
    std::fs::write(sandbox.data().join("registry.toml"), rubbish).unwrap();
    for args in [&["list"][..], &["settings"], &["settings", "limits.fuel=7"]] {
        let (_, error) = sandbox.fails(args, 2);
        assert_eq!(error["code"], "invalid-setting");
        assert!(error["message"].as_str().unwrap().contains("registry.toml"), "{error}");
    }
    assert_eq!(std::fs::read(sandbox.data().join("registry.toml")).unwrap(), rubbish);
}
