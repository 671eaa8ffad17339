//! The example components, built, answer as `components/calls.toml` says: run by name, `cargo test -p tests --test examples`.
//!
//! Needs them built (`just build-components`), which takes the toolchains of eight languages; `just test` sees to that.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    unused_imports,
    reason = "a test that meets what it does not expect has to fail; it uses part of the harness"
)]

#[path = "e2e/harness/mod.rs"]
mod harness;

use std::path::Path;

use harness::Sandbox;
use harness::sandbox::{string, strings, text};

/// Languages that the examples are written in.
const LANGUAGES: &[&str] = &["c", "cpp", "go", "javascript", "python", "rust", "typescript", "zig"];

#[test]
fn the_examples_register_activate_and_answer() {
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("../components");
    let sandbox = Sandbox::new();
    let ran = sandbox.run_json(&["register", &text(&components)]);
    assert_eq!(ran.code, 0, "are the components built? `just build-components`\n{ran:#?}");
    let registered = ran.document()["registered"].clone();
    let registered = registered.as_array().unwrap();
    let mut languages: Vec<_> = registered.iter().map(|entry| string(&entry["metadata"]["language"])).collect();
    languages.sort();
    languages.dedup();
    assert_eq!(languages, LANGUAGES);
    assert!(registered.iter().all(|entry| entry["unresolved"] == serde_json::json!([])), "{registered:#?}");

    let activation = sandbox.json(&["activate", "--all"]);
    assert_eq!(activation["activated"].as_array().unwrap().len(), registered.len(), "{activation}");
    assert!(activation["waves"].as_array().unwrap().len() >= 4, "{activation}");
    assert_eq!(strings(&activation["order"]).last().map(String::as_str), Some("demo:report"));

    let calls = std::fs::read_to_string(components.join("calls.toml")).unwrap();
    let calls: toml::Table = calls.parse().unwrap();
    let calls = calls["call"].as_array().unwrap();
    assert!(calls.len() > 10);
    for call in calls {
        answers(&sandbox, call);
    }
    assert_eq!(sandbox.json(&["errors"])["errors"], serde_json::json!([]));
}

/// What is refused before it is compiled is far from what real components have: twice as much would be taken.
#[test]
fn the_examples_stay_below_half_of_every_bound() {
    let components = Path::new(env!("CARGO_MANIFEST_DIR")).join("../components");
    let sandbox = Sandbox::new();
    let ran = sandbox.run_json(&["register", &text(&components)]);
    assert_eq!(ran.code, 0, "are the components built? `just build-components`\n{ran:#?}");
    for entry in ran.document()["registered"].as_array().unwrap() {
        let inspected = sandbox.json(&["inspect", &string(&entry["path"])]);
        let counts = inspected["counts"].as_array().unwrap();
        assert!(counts.len() > 20, "{inspected}");
        for count in counts {
            let (has, max) = (count["count"].as_u64().unwrap(), count["max"].as_u64().unwrap());
            println!("{:24} {:34} {has:>10} of {max:>10}", string(&entry["id"]), string(&count["what"]));
            assert!(has * 2 <= max, "{}: {count}", entry["id"]);
        }
    }
}

/// A program that indexes past the end, in a function that is inlined.
const OUT_OF_BOUNDS: &str = "\
#[inline(always)]
fn innermost(table: &[u32], position: usize) -> u32 {
    table[position]
}

#[inline(never)]
fn deeper(position: usize) -> u32 {
    innermost(&[1, 2, 3], position)
}

fn main() {
    deeper(std::env::args().count() + 7);
}
";

/// What compilers really write is found again: the lines of an optimised Rust program with debug information.
#[test]
fn a_failure_of_a_guest_with_debug_information_has_its_files_and_lines() {
    let sandbox = Sandbox::new();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let manifest = "[package]\nname = \"program\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[workspace]\n[profile.release]\ndebug = true\n";
    let manifest = sandbox.write("program/Cargo.toml", manifest);
    sandbox.write("program/src/main.rs", OUT_OF_BOUNDS);
    let target = sandbox.work().join("target");
    let script = "eval \"$(scripts/guest-env)\" && exec cargo build --quiet --release --target wasm32-wasip2 --manifest-path \"$0\"";
    let built = std::process::Command::new("sh")
        .args(["-c", script, &text(&manifest)])
        .current_dir(root)
        .env("CARGO_TARGET_DIR", &target)
        .status()
        .unwrap();
    assert!(built.success(), "are the tools there? `just setup`");
    let wasm = target.join("wasm32-wasip2/release/program.wasm");
    sandbox.ok(&["register", &text(&wasm), "--id", "test:program"]);
    sandbox.ok(&["activate", "program"]);
    assert_eq!(sandbox.run(&["call", "program", "run()"]).code, 7);
    let failures = sandbox.json(&["errors", "program"]);
    let frames = strings(&failures["errors"][0]["backtrace"]);
    for (function, place) in [("innermost", "main.rs:3:5"), ("deeper", "main.rs:8:5"), ("main", "main.rs:12:5")] {
        let is_it = |frame: &&String| frame.contains(&format!("!program::{function} at ")) && frame.ends_with(place);
        assert_eq!(frames.iter().filter(is_it).count(), 1, "{function} {place}: {frames:#?}");
    }
    let shown = sandbox.ok(&["errors", "program"]);
    assert!(shown.contains("main.rs:3:5"), "{shown}");
}

/// Makes one call and compares its answer.
fn answers(sandbox: &Sandbox, call: &toml::Value) {
    let (component, expression) = (call["component"].as_str().unwrap(), call["call"].as_str().unwrap());
    let ran = sandbox.run_json(&["call", component, expression]);
    assert_eq!(ran.code, 0, "{component} {expression}: {ran:#?}");
    let wave = string(&ran.document()["wave"]);
    if let Some(gives) = call.get("gives") {
        assert_eq!(wave, gives.as_str().unwrap(), "{component} {expression}");
    }
    for part in call.get("holds").and_then(toml::Value::as_array).into_iter().flatten() {
        let part = part.as_str().unwrap();
        assert!(wave.contains(part), "{component} {expression}: no `{part}` in {wave}");
    }
    assert!(call.get("gives").is_some() || call.get("holds").is_some(), "{component} {expression}: nothing to compare");
}
