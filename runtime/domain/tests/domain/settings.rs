//! `registry.toml`: what is read, and how single settings are changed in it.

use domain::limits::LimitRequests;
use domain::manifest::{InstanceActivation, InstanceLink, InstanceMode, InstanceSettings};
use domain::settings::{Settings, SettingsError};
use domain::{ComponentManifest, ErrorKind, Limits};

const FILE: &str = r#"# Ours.
auto_discover = ["/srv/a", "/srv/b"]   # both
case_sensitive = false
durability = "process"

[limits]
fuel = 7            # little
deadline = "250ms"

[ceilings]
memory = "128MiB"

[kinds.skill]
limits = { fuel = 50 }
grants = { env = ["LANG"], folders = [{ path = "data", at = "/data" }] }
config = { level = "info", "a.b" = "c" }
instances = { mode = "pool", max = 4, idle_ttl = "5m", activation = "lazy", link = "fused" }
world = ["acme:skill/run@1.0.0"]

[quotas.component]
calls_per_second = 20
[quotas.namespace]
blobs = "1GiB"
[quotas.components."demo:log"]
fuel_per_second = 5
[quotas.namespaces.demo]
components = 3

[engine]
memory64 = true
stack = "1MiB"

[restart]
policy = "never"
delay = "2s"
[breaker]
failures = "never"
max_delay = "1s"
[health]
interval = "10s"
threshold = 90
[activation]
max_retries = 2
follow = false
parallel = 3

[instances]
max_size = 100
ttl = "1h"

[compile]
trusted = true
workers = 3
memory = "8GiB"
cpu = "90s"
wall = "60s"
size = "20MiB"

[output]
keep = "1MiB"
"#;

#[test]
fn an_absent_file_gives_the_defaults() {
    let settings = Settings::parse("").unwrap();
    assert_eq!(settings, Settings::default());
    assert!(settings.case_sensitive && !settings.allow_override && settings.auto_discover.is_empty());
    assert_eq!((settings.limits, settings.ceilings), (Limits::DEFAULT, Limits::CEILING));
    assert_eq!((settings.activation.parallel, settings.output.keep_bytes), (None, 65_536));
    assert!(settings.entries().iter().all(|entry| entry.is_default && !entry.doc.is_empty()));
}

#[test]
fn reads_every_setting() {
    let settings = Settings::parse(FILE).unwrap();
    assert_eq!(settings.auto_discover, ["/srv/a", "/srv/b"]);
    assert!(!settings.case_sensitive && settings.engine.memory64 && settings.engine.stack_bytes == 1 << 20);
    assert_eq!((settings.limits.fuel, settings.limits.deadline_ms), (7, 250));
    assert_eq!(settings.limits.memory_bytes, Limits::DEFAULT.memory_bytes);
    assert_eq!(settings.ceilings.memory_bytes, 128 << 20);
    assert_eq!((settings.activation.parallel, settings.output.keep_bytes), (Some(3), 1 << 20));
    assert_eq!((settings.instances.max_size, settings.instances.ttl_ms), (Some(100), Some(3_600_000)));
    let compile = settings.compile;
    assert!(compile.trusted && compile.workers == Some(3) && compile.memory_bytes == 8 << 30);
    assert_eq!((compile.cpu_ms, compile.wall_ms, compile.size_bytes), (90_000, 60_000, 20 << 20));
    let skill = &settings.kinds[&"skill".parse().unwrap()];
    assert_eq!((skill.limits.fuel, skill.config.len(), skill.world.len()), (Some(50), 2, 1));
    assert_eq!((skill.instances.mode, skill.instances.max), (Some(InstanceMode::Pool), Some(4)));
}

#[test]
fn a_kind_gives_defaults_that_a_manifest_overrides_and_a_ceiling_caps() {
    let settings = Settings::parse(FILE).unwrap();
    let manifest = |text: &str| ComponentManifest::parse(text).unwrap();
    let limits_for = |manifest: &ComponentManifest| settings.limits_for(manifest, &LimitRequests::default()).limits;
    assert_eq!(limits_for(&manifest("")).fuel, 7);
    assert_eq!(limits_for(&manifest("kind = 'skill'")).fuel, 50);
    let profile = LimitRequests { fuel: Some(60), ..LimitRequests::default() };
    assert_eq!(settings.limits_for(&manifest("kind = 'skill'"), &profile).limits.fuel, 60);
    let own = manifest("kind = 'skill'\n[limits]\nfuel = 9\nmemory = '1GiB'\n[config]\nlevel = 'debug'");
    let limits = limits_for(&own);
    assert_eq!((limits.fuel, limits.memory_bytes, limits.deadline_ms), (9, 128 << 20, 250));
    for manifest in [own.clone(), manifest("kind = 'skill'"), manifest("")] {
        for (limit, value, _) in settings.limits_for(&manifest, &profile).iter() {
            assert_eq!(settings.limit_for(limit, &manifest, &profile), value, "{limit:?}");
        }
    }
    let config = settings.config_for(&own);
    assert_eq!((config["level"].as_str(), config["a.b"].as_str()), ("debug", "c"));
}

#[test]
fn instances_are_kept_key_by_key_as_manifest_profile_kind_and_registry_say() {
    let settings = Settings::parse(FILE).unwrap();
    let kept = |text: &str, profile: InstanceSettings| {
        let manifest = ComponentManifest::parse(text).unwrap();
        settings.instances_for(&manifest, &profile, Limits::DEFAULT.calls)
    };
    let nothing = InstanceSettings::default();
    let of_kind = kept("kind = 'skill'", nothing);
    assert_eq!((of_kind.mode, of_kind.max, of_kind.idle_ttl_ms), (InstanceMode::Pool, 4, Some(300_000)));
    assert_eq!((of_kind.activation, of_kind.link), (InstanceActivation::Lazy, InstanceLink::Fused));
    let plain = kept("", nothing);
    assert_eq!(
        (plain.mode, plain.max, plain.idle_ttl_ms),
        (InstanceMode::Shared, 1, None),
        "the registry's is added last"
    );
    let own = kept("kind = 'skill'\n[instances]\nmode = 'shared'\nactivation = 'eager'", nothing);
    assert_eq!((own.mode, own.max, own.is_lazy()), (InstanceMode::Shared, 1, false), "a manifest goes before its kind");
    assert_eq!(own.idle_ttl_ms, Some(300_000), "what it does not say its kind does");
    let profile = InstanceSettings { max: Some(2), ..nothing };
    assert_eq!(kept("kind = 'skill'", profile).max, 2, "a program goes before the settings");
    assert_eq!(kept("kind = 'skill'\n[instances]\nmax = 3", profile).max, 3);
}

#[test]
fn shows_every_value_as_it_would_be_written() {
    let settings = Settings::parse(FILE).unwrap();
    let shown: String = settings
        .entries()
        .iter()
        .map(|e| format!("{}{} = {}\n", if e.is_default { "  " } else { "* " }, e.key, e.value))
        .collect();
    insta::assert_snapshot!(shown, @r#"
    * auto_discover = ["/srv/a", "/srv/b"]
    * case_sensitive = false
      allow_override = false
    * durability = "process"
    * engine.memory64 = true
    * engine.stack = "1MiB"
    * activation.parallel = 3
    * activation.max_retries = 2
      activation.retry_delay = "200ms"
    * activation.follow = false
    * restart.policy = "never"
    * restart.delay = "2s"
      restart.max_delay = "30s"
      restart.max_restarts = 5
      restart.window = "60s"
    * breaker.failures = "never"
      breaker.window = "60s"
      breaker.delay = "10s"
    * breaker.max_delay = "1s"
    * health.interval = "10s"
      health.deadline = "5s"
    * health.threshold = 90
    * instances.max_size = 100
    * instances.ttl = "3600s"
      instances.drain = "30s"
    * compile.trusted = true
    * compile.workers = 3
    * compile.memory = "8GiB"
    * compile.cpu = "90s"
    * compile.wall = "60s"
    * compile.size = "20MiB"
    * output.keep = "1MiB"
    * limits.fuel = 7
      limits.activation_fuel = 1000000000
    * limits.deadline = "250ms"
      limits.memory = "64MiB"
      limits.memories = 64
      limits.tables = 256
      limits.table_elements = 100000
      limits.core_instances = 256
      limits.handles = 1000
      limits.resources = 1000
      limits.hostcall = "128MiB"
      limits.random = "64KiB"
      limits.call_depth = 64
      limits.calls = 64
      limits.queue = 256
      limits.output = "256KiB"
      limits.output_lines = 2000
      limits.failures = 100
      limits.failure_text = "1000B"
      ceilings.fuel = 100000000000
      ceilings.activation_fuel = 100000000000
      ceilings.deadline = "600s"
    * ceilings.memory = "128MiB"
      ceilings.memories = 1000
      ceilings.tables = 10000
      ceilings.table_elements = 10000000
      ceilings.core_instances = 10000
      ceilings.handles = 100000
      ceilings.resources = 100000
      ceilings.hostcall = "1GiB"
      ceilings.random = "16MiB"
      ceilings.call_depth = 256
      ceilings.calls = 10000
      ceilings.queue = 100000
      ceilings.output = "64MiB"
      ceilings.output_lines = 1000000
      ceilings.failures = 1000
      ceilings.failure_text = "4KiB"
    * quotas.component.calls_per_second = 20
    * quotas.namespace.blobs = "1GiB"
    * quotas.components.demo:log.fuel_per_second = 5
    * quotas.namespaces.demo.components = 3
    * kinds.skill.limits.fuel = 50
    * kinds.skill.grants.env = ["LANG"]
    * kinds.skill.grants.folders = [{ path = "data", at = "/data", mode = "ro" }]
    * kinds.skill.instances.mode = "pool"
    * kinds.skill.instances.max = 4
    * kinds.skill.instances.idle_ttl = "300s"
    * kinds.skill.instances.activation = "lazy"
    * kinds.skill.instances.link = "fused"
    * kinds.skill.world = ["acme:skill/run@1.0.0"]
    * kinds.skill.config.a.b = "c"
    * kinds.skill.config.level = "info"
    "#);
}

#[test]
fn everything_shown_can_be_set_in_an_empty_file_and_gives_the_same_settings() {
    let settings = Settings::parse(FILE).unwrap();
    let mut text = String::new();
    for entry in settings.entries() {
        assert_eq!(settings.get(&entry.key), Some(entry.value.clone()));
        text = Settings::set(&text, &entry.key, &entry.value).unwrap_or_else(|e| panic!("{}: {e}", entry.key));
    }
    assert_eq!(Settings::parse(&text).unwrap(), settings, "{text}");
    assert!(!text.contains("[kinds]\n"), "{text}");
}

#[test]
fn a_change_touches_nothing_else() {
    let changed = Settings::set(FILE, "limits.fuel", "1_000").unwrap();
    assert_eq!(changed, FILE.replace("fuel = 7 ", "fuel = 1_000 "));
    let changed = Settings::set(FILE, "auto_discover", "/srv/c, /srv/d").unwrap();
    assert_eq!(changed, FILE.replace(r#"["/srv/a", "/srv/b"]"#, r#"["/srv/c", "/srv/d"]"#));
    let changed = Settings::set(FILE, "kinds.skill.limits.deadline", "2s").unwrap();
    assert_eq!(changed, FILE.replace("{ fuel = 50 }", r#"{ fuel = 50 , deadline = "2s" }"#));
    assert_eq!(Settings::set("", "allow_override", "true").unwrap(), "allow_override = true\n");
    assert_eq!(Settings::set("", "engine.memory64", "true").unwrap(), "[engine]\nmemory64 = true\n");
    let skill = Settings::set("", "kinds.data-model.config.log.level", "info").unwrap();
    assert_eq!(skill, "[kinds.data-model.config]\n\"log.level\" = \"info\"\n");
}

#[test]
fn quotes_and_brackets_can_be_left_out() {
    let set = |key: &str, value: &str| Settings::parse(&Settings::set("", key, value).unwrap()).unwrap().get(key);
    assert_eq!(set("limits.deadline", "1.5s").unwrap(), "\"1500ms\"");
    assert_eq!(set("limits.deadline", "\"2s\"").unwrap(), "\"2s\"");
    assert_eq!(set("limits.memory", "1048576").unwrap(), "\"1MiB\"");
    assert_eq!(set("activation.parallel", "cores").unwrap(), "\"cores\"");
    assert_eq!(set("activation.parallel", "4").unwrap(), "4");
    assert_eq!(set("instances.max_size", "none").unwrap(), "\"none\"");
    assert_eq!(set("instances.ttl", "90s").unwrap(), "\"90s\"");
    assert_eq!(set("kinds.x.instances.max", "12").unwrap(), "12");
    assert_eq!(set("kinds.x.instances.idle_ttl", "2m").unwrap(), "\"120s\"");
    assert_eq!(set("auto_discover", "[]").unwrap(), "[]");
    assert_eq!(set("auto_discover", "/a b").unwrap(), "[\"/a b\"]");
    assert_eq!(set("kinds.x.config.level", "12").unwrap(), "\"12\"");
    assert_eq!(set("kinds.x.world", "a:b/c,a:b/d@1.0.0").unwrap(), r#"["a:b/c", "a:b/d@1.0.0"]"#);
}

#[test]
fn going_back_to_the_default_removes_the_key_alone() {
    let changed = Settings::unset(FILE, "limits.fuel").unwrap();
    assert_eq!(changed, FILE.replace("fuel = 7            # little\n", ""));
    assert_eq!(Settings::unset(FILE, "allow_override").unwrap(), FILE);
    assert_eq!(Settings::unset("", "kinds.x.limits.fuel").unwrap(), "");
    let settings = Settings::parse(&Settings::unset(FILE, "kinds.skill.limits.fuel").unwrap()).unwrap();
    assert_eq!(settings.get("kinds.skill.limits.fuel"), None);
}

#[test]
fn refuses_a_change_that_could_not_be_read_back() {
    let refusal = |key: &str, value: &str| {
        let error = Settings::set(FILE, key, value).expect_err(key);
        assert_eq!(error.kind(), ErrorKind::Invalid);
        let hints: String = error.hints().iter().map(|hint| format!(" / {hint}")).collect();
        format!("{error}{hints}")
    };
    assert_eq!(refusal("limits.fule", "1"), "there is no setting `limits.fule` / did you mean `limits.fuel`?");
    assert_eq!(refusal("zebra", "1"), "there is no setting `zebra` / `runtime settings` shows them all");
    assert_eq!(
        refusal("kinds.skill.limits.feul", "1"),
        "there is no setting `kinds.skill.limits.feul` / did you mean `kinds.skill.limits.fuel`?"
    );
    assert_eq!(refusal("limits", "1"), "there is no setting `limits` / `runtime settings` shows them all");
    assert_eq!(refusal("limits.fuel", "much"), "`limits.fuel` cannot be `much`: it must be an integer, not a string");
    assert_eq!(refusal("limits.fuel", "0"), "`limits.fuel` cannot be `0`: must be at least 1");
    assert_eq!(
        refusal("case_sensitive", "no"),
        "`case_sensitive` cannot be `no`: it must be true or false, not a string"
    );
    assert_eq!(
        refusal("activation.parallel", "some"),
        "`activation.parallel` cannot be `some`: it must be a number of activations or \"cores\", not a string"
    );
    assert_eq!(refusal("activation.parallel", "5000"), "`activation.parallel` cannot be `5000`: must be at most 1024");
    assert_eq!(refusal("engine.stack", "32KiB"), "`engine.stack` cannot be `32KiB`: must be 64KiB to 1MiB");
    assert_eq!(refusal("compile.size", "1GiB"), "`compile.size` cannot be `1GiB`: must be at most 64MiB");
    assert_eq!(refusal("compile.wall", "2d"), "`compile.wall` cannot be `2d`: must be at most 86400s");
    assert_eq!(
        refusal("compile.workers", "many"),
        "`compile.workers` cannot be `many`: it must be a number of workers or \"cores\", not a string"
    );
    assert_eq!(refusal("output.keep", "1GiB"), "`output.keep` cannot be `1GiB`: must be at most 16MiB");
    assert_eq!(
        refusal("instances.max_size", "many"),
        "`instances.max_size` cannot be `many`: it must be a number of instances or \"none\", not a string"
    );
    assert_eq!(
        refusal("instances.max_size", "2_000_000"),
        "`instances.max_size` cannot be `2_000_000`: must be 1 to 1000000"
    );
    assert_eq!(refusal("instances.ttl", "5ms"), "`instances.ttl` cannot be `5ms`: must be at least 100ms");
    assert_eq!(refusal("instances.tll", "5m"), "there is no setting `instances.tll` / did you mean `instances.ttl`?");
    assert_eq!(refusal("kinds.x.instances.max", "1025"), "`kinds.x.instances.max` cannot be `1025`: must be 1 to 1024");
    assert_eq!(
        refusal("kinds.x.instances.idle_tl", "5m"),
        "there is no setting `kinds.x.instances.idle_tl` / did you mean `kinds.x.instances.idle_ttl`?"
    );
    assert!(refusal("kinds.skill.world", "nonsense").contains("`nonsense` is not an interface name"));
    assert!(refusal("limits.deadline", "soon").contains("`soon` is not a duration"));
}

#[test]
fn refuses_a_file_that_is_wrong_before_changing_it() {
    let error = Settings::set("limits.fule = 1\n", "limits.fuel", "1").unwrap_err();
    assert!(matches!(&error, SettingsError::Document(_)), "{error}");
    assert_eq!(error.to_string(), "line 1: unknown key `limits.fule`");
    let error = Settings::parse("[kinds.skill]\nlimit = {}\n").unwrap_err();
    assert_eq!(error.to_string(), "line 2: unknown key `kinds.skill.limit`");
    assert_eq!(error.hints(), ["did you mean `limits`?"]);
    let error = Settings::parse("kinds.Skill.config.a = 'b'\n").unwrap_err();
    assert!(error.to_string().starts_with("line 1: `kinds.Skill`: `Skill` is not a kind"), "{error}");
    assert!(Settings::parse("case_sensitive = 1").is_err());
    assert!(Settings::parse("auto_discover = ''").is_err());
    assert!(Settings::unset("nonsense", "limits.fuel").is_err());
}
