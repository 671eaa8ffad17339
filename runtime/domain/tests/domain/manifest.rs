//! `component.toml`: what is read, and what is refused with which words.

use domain::manifest::{
    FolderMode, InstanceMode, KEY_BYTES_MAX, MANIFEST_BYTES_MAX, METADATA_DEPTH_MAX, ManifestError,
};
use domain::{ComponentManifest, ErrorKind};
use serde_json::json;

#[test]
fn reads_every_key() {
    let manifest = ComponentManifest::parse(
        r#"
id = "acme:calculator"
version = "1.2.0"
kind = "skill"
description = "Evaluates arithmetic expressions"
wasm = "calculator.wasm"

[metadata]
author = "Acme"
released = 2026-01-02
score = 0.5
[metadata.links]
home = "https://acme.example"
mirrors = ["a", "b"]

[dependencies]
"acme:base-util" = "^1"

[bind]
"acme:log/sink" = "acme:logger"
"acme:log/sink@0.2.0" = "acme:other-logger"
run = "acme:runner"

[limits]
fuel = 100_000_000
activation_fuel = 0x10
deadline = "1500us"
memory = "64MiB"

[grants]
env = ["LANG"]
folders = [{ path = "data", at = "/data", mode = "rw" }, { path = "/etc/acme", at = "/etc" }]

[config]
precision = "12"
empty = ""

[instances]
mode = "per-call"

[restart]
policy = "on-failure"
delay = "2s"
max_delay = "1m"
max_restarts = 3
window = "10m"

[breaker]
failures = 2

[build]
command = "make"
output = "calculator.wasm"
"#,
    )
    .unwrap();
    let (restart, breaker) = (manifest.restart.in_force(), manifest.breaker.in_force());
    assert_eq!((restart.policy.as_str(), restart.max_restarts), ("on-failure", 3));
    assert_eq!((restart.backoff.base.as_secs(), restart.backoff.max.as_secs(), restart.window.as_secs()), (2, 60, 600));
    assert_eq!((breaker.failures, breaker.window.as_secs()), (Some(2), 60), "what it does not say is as usual");
    assert_eq!(manifest.id.unwrap().as_str(), "acme:calculator");
    assert_eq!(manifest.version.unwrap().to_string(), "1.2.0");
    assert_eq!(manifest.kind.unwrap().as_str(), "skill");
    assert_eq!(manifest.wasm.as_deref(), Some("calculator.wasm"));
    assert_eq!(manifest.metadata["released"], json!("2026-01-02"));
    assert_eq!(manifest.metadata["score"], json!(0.5));
    assert_eq!(manifest.metadata["links"], json!({"home": "https://acme.example", "mirrors": ["a", "b"]}));
    assert_eq!(manifest.dependencies.values().next().unwrap().to_string(), "^1");
    assert_eq!(manifest.bind.len(), 3);
    assert_eq!((manifest.limits.fuel, manifest.limits.activation_fuel), (Some(100_000_000), Some(16)));
    assert_eq!((manifest.limits.deadline_ms, manifest.limits.memory_bytes), (Some(2), Some(64 << 20)));
    assert_eq!(manifest.grants.env, ["LANG"]);
    let modes: Vec<_> = manifest.grants.folders.iter().map(|folder| folder.mode).collect();
    assert_eq!(modes, [FolderMode::Rw, FolderMode::Ro]);
    assert_eq!(manifest.config["empty"], "");
    assert_eq!(manifest.instances.mode, Some(InstanceMode::PerCall));
    assert_eq!(manifest.build.unwrap().command, "make");
}

#[test]
fn an_empty_file_asks_for_nothing() {
    for text in ["", "\n# only a comment\r\n", "\u{feff}"] {
        assert_eq!(ComponentManifest::parse(text).unwrap(), ComponentManifest::default(), "{text:?}");
    }
}

#[test]
fn memory_can_be_a_number_of_bytes() {
    let manifest = ComponentManifest::parse("limits = { memory = 65_536 }").unwrap();
    assert_eq!(manifest.limits.memory_bytes, Some(65_536));
}

#[test]
fn a_mode_that_was_written_is_told_from_none_and_old_records_are_still_read() {
    let written = |text: &str| serde_json::to_value(ComponentManifest::parse(text).unwrap()).unwrap();
    assert_eq!(written(""), json!({}));
    assert_eq!(written("[instances]"), json!({}));
    assert_eq!(written("instances.mode = 'shared'"), json!({"instances": {"mode": "shared"}}));
    let read = |value| serde_json::from_value::<ComponentManifest>(value).unwrap().instances.mode;
    assert_eq!(read(json!({})), None);
    assert_eq!(read(json!({"instances": {"mode": "pool"}})), Some(InstanceMode::Pool));
    assert_eq!(read(json!({"instances": {}})), None);
    let all = "[instances]\nmode = 'pool'\nmax = 3\nidle_ttl = '2s'\nactivation = 'lazy'\nlink = 'fused'\ndrain = '9s'";
    assert_eq!(
        written(all),
        json!({"instances": {
            "mode": "pool", "max": 3, "idle_ttl_ms": 2_000, "activation": "lazy", "link": "fused", "drain_ms": 9_000
        }})
    );
}

/// What people read: the message, and the hints behind it.
fn refusal(text: &str) -> String {
    let error = ComponentManifest::parse(text).expect_err(text);
    assert_eq!(error.kind(), ErrorKind::Invalid);
    let hints: String = error.hints().iter().map(|hint| format!(" / {hint}")).collect();
    format!("{error}{hints}")
}

#[track_caller]
fn check(text: &str, expected: &str) {
    assert_eq!(refusal(text), expected);
}

#[test]
fn names_an_unknown_key_its_line_and_the_nearest_known_one() {
    check("id = 'a:b'\nverison = '1.0.0'", "line 2: unknown key `verison` / did you mean `version`?");
    check("fule = 1", "line 1: unknown key `fule` / did you mean `limits.fuel`?");
    check("mode = 'pool'", "line 1: unknown key `mode` / did you mean `instances.mode`?");
    check("id = 'a:b'\ncomand = 'make'", "line 2: unknown key `comand` / did you mean `build.command`?");
    check("[lmits]\nfuel = 1", "line 1: unknown key `lmits` / did you mean `limits`?");
    check("[limits]\n\nfule = 1", "line 3: unknown key `limits.fule` / did you mean `fuel`?");
    check(
        "[limits]\ncpu = 1",
        "line 2: unknown key `limits.cpu` / known keys here: fuel, activation_fuel, deadline, memory, memories, tables, \
         table_elements, core_instances, handles, resources, hostcall, random, call_depth, calls, queue, output, \
         output_lines, failures, failure_text",
    );
    check("[grants]\nenvs = []", "line 2: unknown key `grants.envs` / did you mean `env`?");
    check(
        "[grants]\nfolders = [\n  { path = 'a', at = '/a' },\n  { path = 'b', at = '/b', mod = 'ro' },\n]",
        "line 4: unknown key `grants.folders[1].mod` / did you mean `mode`?",
    );
    check("[[grants.folders]]\npaht = 'a'", "line 2: unknown key `grants.folders[0].paht` / did you mean `path`?");
    check("instances.moed = 'pool'", "line 1: unknown key `instances.moed` / did you mean `mode`?");
    check("instances.idle_tll = '5m'", "line 1: unknown key `instances.idle_tll` / did you mean `idle_ttl`?");
    check("idle_ttl = '5m'", "line 1: unknown key `idle_ttl` / did you mean `instances.idle_ttl`?");
    check("[build]\ncomand = 'make'", "line 2: unknown key `build.comand` / did you mean `command`?");
    check(
        "limits.fuel = 1\n\"a b\\u001b\" = 1",
        "line 2: unknown key `\"a b\\u{1b}\"` / known keys here: id, version, kind, description, wasm, metadata, dependencies, bind, callers, limits, grants, config, instances, restart, breaker, build",
    );
}

#[test]
fn names_the_first_unknown_key_of_the_file() {
    check(
        "zz = 1\naa = 2\n",
        "line 1: unknown key `zz` / known keys here: id, version, kind, description, wasm, metadata, dependencies, bind, callers, limits, grants, config, instances, restart, breaker, build",
    );
}

#[test]
fn names_expected_and_found_type() {
    check("id = 1", "line 1: `id` must be a string, not an integer / write it in quotes");
    check("version = 1.2", "line 1: `version` must be a string, not a float / write it in quotes");
    check("kind = ['a']", "line 1: `kind` must be a string, not a list");
    check("description = true", "line 1: `description` must be a string, not a boolean / write it in quotes");
    check("wasm = 2020-01-01", "line 1: `wasm` must be a string, not a date / write it in quotes");
    check("metadata = 'a'", "line 1: `metadata` must be a table, not a string");
    check("[limits]\nfuel = '5'", "line 2: `limits.fuel` must be an integer, not a string");
    check("[limits]\nfuel = 1e6", "line 2: `limits.fuel` must be an integer, not a float");
    check("[limits]\ndeadline = 5", "line 2: `limits.deadline` must be a string, not an integer / write it in quotes");
    check("[limits]\nmemory = true", "line 2: `limits.memory` must be a size such as \"64MiB\", not a boolean");
    check("[[limits]]\nfuel = 1", "line 1: `limits` must be a table, not a list");
    check("grants.env = 'LANG'", "line 1: `grants.env` must be a list, not a string");
    check("grants.env = [\n1]", "line 2: `grants.env[0]` must be a string, not an integer / write it in quotes");
    check("grants.folders = ['a']", "line 1: `grants.folders[0]` must be a table, not a string");
    check(
        "[config]\nprecision = 12",
        "line 2: `config.precision` must be a string, not an integer / write it in quotes",
    );
    check("build = 'make'", "line 1: `build` must be a table, not a string");
}

#[test]
fn refuses_values_that_cannot_be_used() {
    let starts = |text: &str, start: &str| {
        let found = refusal(text);
        assert!(found.starts_with(start), "{text}: {found}");
    };
    for id in ["Foo", "a:b:c", "..", "а:b", &"x".repeat(300), "a:", "a:B"] {
        starts(&format!("\nid = '{id}'"), "line 2: `id`: ");
    }
    starts("version = 'one'", "line 1: `version`: `one` is not a semantic version such as `1.2.0` (");
    starts("version = '1.2'", "line 1: `version`: `1.2` is not a semantic version");
    starts("kind = 'My Kind'", "line 1: `kind`: `My Kind` is not a kind");
    starts(
        "[dependencies]\n'a:b' = 'latest'",
        "line 2: `dependencies.\"a:b\"`: `latest` is not a version range such as",
    );
    starts("[dependencies]\nab = '*'", "line 2: `dependencies.ab`: `ab` is not a component id");
    starts("[bind]\n'a:b' = 'a:c'", "line 2: `bind.\"a:b\"`: `a:b` is not an interface name");
    starts("[bind]\n'a:b/c' = 'log'", "line 2: `bind.\"a:b/c\"`: `log` is not a component id");
    check("instances.max = 0", "line 1: `instances.max`: must be at least 1");
    check("instances.max = 1025", "line 1: `instances.max`: must be 1 to 1024");
    check("instances.max = 99_999_999_999", "line 1: `instances.max`: must be 1 to 1024");
    check("instances.idle_ttl = '99ms'", "line 1: `instances.idle_ttl`: must be at least 100ms");
    check("instances.drain = '2h'", "line 1: `instances.drain`: must be at most 3600s");
    starts("instances.idle_ttl = 'never'", "line 1: `instances.idle_ttl`: `never` is not a duration");
    check(
        "instances.activation = 'lasy'",
        "line 1: `instances.activation`: `lasy` is not one of eager, lazy; did you mean `lazy`?",
    );
    check(
        "instances.link = 'fussed'",
        "line 1: `instances.link`: `fussed` is not one of isolated, fused; did you mean `fused`?",
    );
    check(
        "[instances]\nmode = 'shared'\nmax = 2",
        "line 3: `instances.max`: a shared component has one instance; leave it out, or say `mode = \"pool\"`",
    );
    check("limits.fuel = 0", "line 1: `limits.fuel`: must be at least 1");
    check("limits.fuel = -5", "line 1: `limits.fuel`: must be at least 1");
    check("limits.fuel = 99999999999999999999", "line 1: `limits.fuel`: must be at most 9223372036854775807");
    check("limits.fuel = -99999999999999999999", "line 1: `limits.fuel`: must be at least 1");
    starts("limits.deadline = '5 days'", "line 1: `limits.deadline`: `5 days` is not a duration");
    check("limits.deadline = '0s'", "line 1: `limits.deadline`: must be longer than nothing");
    starts("limits.memory = '64MB'", "line 1: `limits.memory`: `64MB` is not a size");
    check("limits.memory = '0KiB'", "line 1: `limits.memory`: must be at least 1 byte");
    check("wasm = ' '", "line 1: `wasm`: must not be empty");
    check("wasm = \"a\\u0000b\"", "line 1: `wasm`: must not contain a zero character");
    check("grants.env = ['A=1']", "line 1: `grants.env[0]`: name the variable alone; its value comes from the host");
    check("grants.env = ['A', 'A']", "line 1: `grants.env[1]`: `A` is named twice");
    check(
        "instances.mode = 'per_call'",
        "line 1: `instances.mode`: `per_call` is not one of shared, pool, per-call; did you mean `per-call`?",
    );
    check(
        "instances.link = 'fuse'",
        "line 1: `instances.link`: `fuse` is not one of isolated, fused; did you mean `fused`?",
    );
    check("metadata.size = inf", "line 1: `metadata.size`: metadata cannot hold infinity or what is not a number");
    check("metadata.size = 99999999999999999999", "line 1: `metadata.size`: the number does not fit in 64 bits");
    check("metadata.'' = 1", "line 1: `metadata.\"\"`: a key must not be empty");
}

#[test]
fn a_folder_needs_a_path_and_a_place_of_its_own() {
    let at = |rest: &str| format!("[grants]\nfolders = [{{ path = 'a'{rest} }}]");
    check(&at(""), "line 2: `grants.folders[0].at` is missing");
    check("[grants]\nfolders = [{ at = '/a' }]", "line 2: `grants.folders[0].path` is missing");
    let absolute =
        "line 2: `grants.folders[0].at`: must be an absolute path without `.` and `..`, for instance `/data`";
    check(&at(", at = 'data'"), absolute);
    check(&at(", at = '/data/../etc'"), absolute);
    check(&at(", at = '/a', mode = 'RW'"), "line 2: `grants.folders[0].mode`: `RW` is not one of ro, rw");
    check(
        "grants.folders = [{ path = 'a', at = '/a' }, { path = 'b', at = '/a/' }]",
        "line 1: `grants.folders[1].at`: `/a/` is taken by another folder",
    );
}

#[test]
fn a_build_needs_a_command() {
    check("id = 'a:b'\n[build]\noutput = 'a.wasm'", "line 2: `build.command` is missing");
}

#[test]
fn says_where_the_file_stops_being_toml() {
    let at = |text: &str| match ComponentManifest::parse(text).unwrap_err() {
        ManifestError::Syntax { line, column, .. } => (line, column),
        other => panic!("{other}"),
    };
    assert_eq!(at("id = 'a:b'\nversion = \n"), (2, 11));
    assert_eq!(at("id = 'a:b'\nid = 'a:c'\n"), (2, 1));
    assert_eq!(at("[limits"), (1, 8));
    assert_eq!(at(&format!("metadata.x = {}", "[".repeat(10_000))).0, 1);
}

#[test]
fn everything_has_a_bound() {
    let largest = format!("#{}", "x".repeat(MANIFEST_BYTES_MAX - 1));
    assert!(ComponentManifest::parse(&largest).is_ok());
    check(&format!("{largest}x"), "the file has 65537 bytes, at most 65536 are allowed");

    let nested = |levels: usize| format!("metadata.x = {}1{}", "[".repeat(levels), "]".repeat(levels));
    assert!(ComponentManifest::parse(&nested(METADATA_DEPTH_MAX - 1)).is_ok());
    let too_deep = refusal(&nested(METADATA_DEPTH_MAX));
    assert!(too_deep.ends_with(" has 9 levels, at most 8 are allowed"), "{too_deep}");

    let values = |count: usize| (0..count).map(|n| format!("k{n} = ''\n")).collect::<String>();
    assert!(ComponentManifest::parse(&format!("[config]\n{}", values(256))).is_ok());
    check(
        &format!("id = 'a:b'\n[config]\n{}", values(257)),
        "line 2: `config` has 257 entries, at most 256 are allowed",
    );
    check(
        &format!("metadata.x = [{}]", "1,".repeat(257)),
        "line 1: `metadata.x` has 257 entries, at most 256 are allowed",
    );
    let key = "k".repeat(KEY_BYTES_MAX + 1);
    assert!(refusal(&format!("[config]\n{key} = ''")).ends_with(" has 129 bytes, at most 128 are allowed"));
    check(
        &format!("description = '{}'", "x".repeat(2_049)),
        "line 1: `description` has 2049 bytes, at most 2048 are allowed",
    );
    check(
        &format!("config.x = '{}'", "x".repeat(16_385)),
        "line 1: `config.x` has 16385 bytes, at most 16384 are allowed",
    );
}

#[test]
fn a_manifest_survives_the_journal() {
    let text = "version = '1.0.0'\n[metadata]\nx = [1, -2, 0.25, { y = true }]\n[limits]\nfuel = 9_000_000_000_000\n";
    let manifest = ComponentManifest::parse(text).unwrap();
    let stored = serde_json::to_string(&manifest).unwrap();
    assert_eq!(serde_json::from_str::<ComponentManifest>(&stored).unwrap(), manifest);
}

proptest::proptest! {
    /// Whatever the text, the answer is a manifest or an error with words, never a panic.
    #[test]
    fn any_text_is_read_or_refused(text in "([a-z.\\[\\]{}=\"', \\n0-9:]|id|limits|fuel|grants|folders|metadata){0,60}") {
        if let Err(error) = ComponentManifest::parse(&text) {
            proptest::prop_assert!(!error.to_string().is_empty());
        }
    }
}
