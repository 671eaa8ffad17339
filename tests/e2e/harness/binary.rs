//! Finds the binary under test: `RUNTIME_BIN`, or else it is built once, in the profile of the tests.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Returns the path of the binary `runtime`.
pub(crate) fn path() -> &'static PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("RUNTIME_BIN") {
        Some(path) => std::path::absolute(PathBuf::from(path)).expect("RUNTIME_BIN is a path"),
        None => build(),
    })
}

fn build() -> PathBuf {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // target/<profile>/deps/e2e-<hash>
    let this = std::env::current_exe().expect("the test has a path");
    let folder = this.parent().and_then(|deps| deps.parent()).expect("tests are in a profile's folder");
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(other) => other,
    };
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "-p", "runtime", "--bin", "runtime", "--profile", profile]);
    command.arg("--message-format=json-render-diagnostics").current_dir(env!("CARGO_MANIFEST_DIR"));
    let output = command.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(output.status.success(), "the binary `runtime` does not build");
    let messages = String::from_utf8(output.stdout).expect("cargo speaks UTF-8");
    let mut executable = messages.lines().rev().filter_map(|line| {
        let message: serde_json::Value = serde_json::from_str(line).ok()?;
        (message["target"]["name"] == "runtime").then_some(())?;
        Some(PathBuf::from(message["executable"].as_str()?))
    });
    executable.next().expect("cargo names the binary")
}
