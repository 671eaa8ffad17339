//! The crates' arrows and owners are those of the table in ARCHITECTURE.md.
//!
//! The table has a row per crate: its name in backticks, what of ours it may use, what of others it owns. A wrong arrow fails here.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that meets what it does not expect has to fail"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Crates of others that have an owner in the table.
const HEAVY: &[&str] = &["petgraph", "sled", "tar", "wasmtime", "wasmtime-wasi", "axum", "clap", "inotify", "ignore"];

/// What the domain must not name, in its sources.
const NOT_IN_DOMAIN: &[&str] = &[
    "tokio::",
    "wasmtime::",
    "sled::",
    "axum::",
    "std::fs",
    "std::net",
    "SystemTime::now",
    "Instant::now",
    "std::thread",
    "std::env",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().unwrap()
}

/// What cargo says of the packages of the workspace.
fn packages() -> Vec<Value> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--format-version", "1"]).current_dir(root());
    let output = command.stderr(Stdio::inherit()).output().unwrap();
    assert!(output.status.success(), "cargo metadata failed");
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

fn manifest_path(package: &Value) -> &Path {
    Path::new(package["manifest_path"].as_str().unwrap())
}

/// Our crates below `runtime/`, with the names of what they depend on, development aside.
fn crates() -> BTreeMap<String, BTreeSet<String>> {
    let mut crates = BTreeMap::new();
    for package in packages() {
        let folder = manifest_path(&package).parent().unwrap();
        if folder.parent().and_then(|parent| parent.file_name()).is_none_or(|name| name != "runtime") {
            continue;
        }
        let needs = package["dependencies"].as_array().unwrap().iter().filter(|needs| needs["kind"] != "dev");
        let names = needs.map(|needs| needs["name"].as_str().unwrap().to_owned());
        crates.insert(package["name"].as_str().unwrap().to_owned(), names.collect());
    }
    assert!(crates.contains_key("domain") && crates.contains_key("runtime"), "the crates were not found: {crates:?}");
    crates
}

/// A row of the table.
struct Row {
    /// What of ours the crate may use.
    uses: BTreeSet<String>,
    /// What of others belongs to it.
    owns: BTreeSet<String>,
}

/// The rows of the table by crate.
fn table() -> BTreeMap<String, Row> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut rows = text
        .lines()
        .skip_while(|line| !(line.starts_with("| crate |") && line.contains("may use")))
        .take_while(|line| line.starts_with('|'));
    let head = rows.next().expect("the table of crates is in ARCHITECTURE.md");
    let head: Vec<_> = head.split('|').map(str::trim).collect();
    let column = |name: &str| head.iter().position(|title| *title == name).expect("a column");
    let (uses, owns) = (column("may use"), column("owns"));
    rows.skip(1)
        .map(|row| {
            let cells: Vec<_> = row.split('|').map(str::trim).collect();
            let name = words(cells[1]).pop_first().expect("a crate in backticks");
            (name, Row { uses: words(cells[uses]), owns: words(cells[owns]) })
        })
        .collect()
}

/// The words between backticks.
fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[test]
fn each_crate_uses_those_of_ours_that_the_table_allows() {
    let table = table();
    let crates = crates();
    let ours: BTreeSet<_> = crates.keys().cloned().collect();
    assert_eq!(table.keys().cloned().collect::<BTreeSet<_>>(), ours, "the table and the folders below runtime/ differ");
    for (name, needs) in &crates {
        let used: BTreeSet<_> = needs.intersection(&ours).cloned().collect();
        let allowed = &table[name].uses;
        assert!(used.is_subset(allowed), "{name} uses {used:?}, the table allows {allowed:?}");
    }
}

#[test]
fn the_allowed_arrows_have_no_cycle() {
    let mut left: BTreeMap<_, _> = table().into_iter().map(|(name, row)| (name, row.uses)).collect();
    while !left.is_empty() {
        let ready: Vec<_> = left
            .iter()
            .filter(|(_, uses)| uses.iter().all(|used| !left.contains_key(used)))
            .map(|(n, _)| n.clone())
            .collect();
        assert!(!ready.is_empty(), "a cycle among {:?}", left.keys());
        for name in ready {
            left.remove(&name);
        }
    }
}

#[test]
fn heavy_crates_have_the_owners_that_the_table_names() {
    let table = table();
    let crates = crates();
    for heavy in HEAVY {
        let owners: BTreeSet<_> =
            table.iter().filter(|(_, row)| row.owns.contains(*heavy)).map(|(name, _)| name).collect();
        let users: BTreeSet<_> =
            crates.iter().filter(|(_, needs)| needs.contains(*heavy)).map(|(name, _)| name).collect();
        assert!(!owners.is_empty(), "the table names no owner of {heavy}");
        assert_eq!(users, owners, "who names {heavy}, and who owns it by the table");
    }
    for forbidden in ["tokio", "futures", "wasmtime", "sled"] {
        assert!(!crates["domain"].contains(forbidden), "the domain names {forbidden}");
    }
}

#[test]
fn the_domain_does_no_input_and_output_and_asks_no_clock() {
    let mut files = vec![root().join("runtime/domain/src")];
    let mut seen = 0;
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        seen += 1;
        let text = std::fs::read_to_string(&path).unwrap();
        // Tests may do what the code must not.
        let code = text.split("#[cfg(test)]").next().unwrap();
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for word in NOT_IN_DOMAIN {
                assert!(!line.contains(word), "{} names {word}: {line}", path.display());
            }
        }
    }
    assert!(seen > 20, "the sources of the domain were not found");
}

#[test]
fn versions_stand_in_one_table() {
    for package in packages() {
        let path = manifest_path(&package);
        let manifest = std::fs::read_to_string(path).unwrap();
        for line in dependency_lines(&manifest) {
            assert!(line.contains("workspace = true"), "{}: `{line}` names its own version", path.display());
        }
    }
}

/// The lines of a manifest that name dependencies.
fn dependency_lines(manifest: &str) -> Vec<String> {
    let mut lines = Vec::new();
    let mut inside = false;
    for line in manifest.lines().map(str::trim) {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]") && !line.contains("workspace");
        } else if inside && !line.is_empty() && !line.starts_with('#') {
            lines.push(line.to_owned());
        }
    }
    lines
}
