//! Component-model scripts (`.wast`) against the configuration that our engine uses.
//!
//! The scripts in `scripts/` are our own. `CONFORMANCE_DIR` names another folder, for instance `test/` of the component model's
//! specification; docs/testing.md says how to run those. What cannot pass there, because a feature is off, stands in
//! `exceptions.txt` with its reason. A script of the asynchronous component model has to be refused.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that meets what it does not expect has to fail"
)]

mod script;
mod values;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use script::Ran;

/// Folder of the scripts that need the asynchronous component model.
const ASYNC: &str = "async/";

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance")
}

/// Returns the scripts below `folder`, ordered by name.
fn scripts(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(scripts(&path));
        } else if path.extension().is_some_and(|ending| ending == "wast") {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Reads which scripts of the specification fail, and why that is right.
fn exceptions() -> BTreeMap<String, String> {
    let text = std::fs::read_to_string(here().join("exceptions.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    let split = |line: &str| {
        let (name, reason) = line.split_once(' ').expect("a script and a reason");
        (name.to_owned(), reason.trim().to_owned())
    };
    lines.map(split).collect()
}

/// Says what is wrong with the outcome of a script.
fn judge(name: &str, ran: &Ran, exception: Option<&String>) -> Result<&'static str, String> {
    if let Some(panicked) = &ran.panicked {
        return Err(format!("it panicked: {panicked}"));
    }
    let passed = ran.failures.is_empty();
    match exception {
        Some(_) if passed => Err("it passes: take it out of exceptions.txt".to_owned()),
        Some(_) => Ok("excepted"),
        None if passed => Ok("passed"),
        None if name.starts_with(ASYNC) && ran.refused > 0 => Ok("refused"),
        None => Err(ran.failures.join("\n  ")),
    }
}

#[test]
fn scripts_end_as_the_component_model_wants() {
    let given = std::env::var_os("CONFORMANCE_DIR").map(PathBuf::from);
    let exceptions = if given.is_some() { exceptions() } else { BTreeMap::new() };
    let folder = given.unwrap_or_else(|| here().join("scripts"));
    let (mut outcomes, mut directives, mut wrong) = (BTreeMap::<_, usize>::new(), 0, Vec::new());
    for path in scripts(&folder) {
        let name = path.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
        let ran = script::run(&std::fs::read_to_string(&path).unwrap());
        directives += ran.directives;
        if let (Some(reason), Some(first)) = (exceptions.get(&name), ran.failures.first()) {
            println!(
                "conformance: {name} is excepted ({reason}): {} directives, the first at {first}",
                ran.failures.len()
            );
        }
        match judge(&name, &ran, exceptions.get(&name)) {
            Ok(outcome) => *outcomes.entry(outcome).or_default() += 1,
            Err(complaint) => wrong.push(format!("{name}: {complaint}")),
        }
    }
    println!("conformance: {directives} directives; scripts {outcomes:?}, {} wrong", wrong.len());
    assert!(directives > 0, "{} holds no scripts", folder.display());
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}
