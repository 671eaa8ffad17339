//! The registry's settings, `registry.toml` in the data folder: read strictly, edited without touching what else a person
//! wrote in the file.
//!
//! ```toml
//! auto_discover = ["/srv/components"]   # folders scanned when the registry is opened
//! case_sensitive = true                 # whether look-ups tell `Log` from `log`
//! allow_override = false                # whether `register` acts as if --override were given
//! durability = "power"                  # what an acknowledged change survives: "power", "process" or "none"
//!
//! [limits]                              # what a component gets that asks for nothing
//! fuel = 100_000_000                    # per call
//! activation_fuel = 1_000_000_000
//! deadline = "5s"
//! memory = "64MiB"
//!
//! [ceilings]                            # what no component gets more of, whatever it asks for
//! fuel = 100_000_000_000
//! activation_fuel = 100_000_000_000
//! deadline = "600s"
//! memory = "4GiB"
//!
//! [kinds.skill]                         # defaults and duties of all components of a kind
//! limits = { fuel = 50_000_000 }
//! grants = { env = ["LANG"] }
//! config = { level = "info" }
//! instances = { mode = "pool", max = 4, idle_ttl = "5m" }
//! world = ["acme:skill/run@1.0.0"]      # interfaces that every component of the kind has to export
//!
//! [quotas.component]                    # what each component may use over time
//! calls_per_second = 1_000
//! fuel_per_second = 1_000_000_000
//!
//! [quotas.namespace]                    # what all components of each namespace may use together
//! components = 1_000
//! blobs = "1GiB"                        # bytes of all their revisions
//!
//! [quotas.namespaces.demo]              # one namespace; `[quotas.components."demo:log"]` is one component
//! calls_per_second = 10
//!
//! [engine]
//! memory64 = false                      # whether memories may have 64-bit addresses
//! stack = "512KiB"                      # stack of a guest's functions, 64 KiB to 1 MiB
//!
//! [activation]
//! parallel = "cores"                    # how many activations run at once: a number, or one for each core
//!
//! [instances]                           # how many instances are kept alive in the process, all components together
//! max_size = 1_000                      # beyond it the idle ones are dropped that were not used for longest
//! ttl = "1h"                            # after which an idle one is dropped whose component does not say itself
//!
//! [compile]                             # what making native code of one component may cost
//! trusted = false                       # whether this process compiles by itself, without bounds
//! workers = "cores"                     # how many compilations run at once: a number, or one for each core
//! memory = "2GiB"
//! cpu = "240s"
//! wall = "600s"
//! size = "64MiB"                        # the largest component that is taken
//!
//! [output]
//! keep = "64KiB"                        # how much of what a component printed is kept
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use crate::document::{self, DocumentError, Item, Table};
use crate::interface::InterfaceName;
use crate::limits::{Limit, LimitRequests, Limits, LimitsInForce};
use crate::manifest::instances::read_instances;
use crate::manifest::parse::{read_bytes, read_config, read_grants, read_limits, read_word};
use crate::manifest::{
    ComponentManifest, ENTRIES_MAX, GrantRequests, InstanceSettings, InstancesInForce, Kind, PATH_BYTES_MAX,
};
use crate::ports::Durability;
use crate::quota::Quotas;
use crate::supervision::{Backoff, BreakerSettings, RestartSettings, read_breaker, read_restart};

mod compile;
mod edit;
mod instances;
mod keys;
mod quotas;
mod supervision;

pub use compile::{COMPILE_MEMORY_MAX, COMPILE_TIME_MAX_MS, CompileSettings, WORKERS_MAX};
pub use edit::SettingsError;
pub use instances::{CACHE_MAX, CacheSettings};
pub use keys::SettingEntry;
pub use supervision::{HEALTH_INTERVAL_MIN_MS, HealthSettings};

/// Largest settings file, in bytes.
pub const SETTINGS_BYTES_MAX: usize = 1024 * 1024;
/// Most activations that can be asked to run at once.
pub const PARALLEL_MAX: u64 = 1_024;
/// Most bytes of a component's output that can be asked to be kept.
pub const OUTPUT_KEEP_MAX: u64 = 16 << 20;

/// The registry's settings; [`Settings::default`] is what an absent file means.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Folders that are scanned when the registry is opened; none by default.
    pub auto_discover: Vec<String>,
    /// Whether look-ups tell upper from lower case; they do by default.
    pub case_sensitive: bool,
    /// Whether registering other bytes under a version that is there replaces it; off by default.
    pub allow_override: bool,
    /// What a change survives once it is acknowledged; a power cut by default.
    pub durability: Durability,
    /// What a component gets that asks for nothing; [`Limits::DEFAULT`] by default.
    pub limits: Limits,
    /// What no component gets more of; [`Limits::CEILING`] by default.
    pub ceilings: Limits,
    /// What holds for all components of a kind; nothing by default.
    pub kinds: BTreeMap<Kind, KindSettings>,
    /// What components and namespaces may use over time and in all; anything by default.
    pub quotas: Quotas,
    /// Settings of the engine.
    pub engine: EngineSettings,
    /// Settings of activation.
    pub activation: ActivationSettings,
    /// How many instances are kept alive, and for how long.
    pub instances: CacheSettings,
    /// When components are made anew after a failure whose manifests do not say.
    pub restart: RestartSettings,
    /// When components are put in quarantine whose manifests do not say.
    pub breaker: BreakerSettings,
    /// How health is watched.
    pub health: HealthSettings,
    /// Settings of compilation.
    pub compile: CompileSettings,
    /// Settings of what components print.
    pub output: OutputSettings,
}

/// What holds for all components of a kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct KindSettings {
    /// Limits for those that do not ask for others.
    pub limits: LimitRequests,
    /// Authority that is asked for on their behalf, beside their own requests.
    pub grants: GrantRequests,
    /// Configuration values for those that do not set them.
    pub config: BTreeMap<String, String>,
    /// How instances are kept of those that do not say.
    pub instances: InstanceSettings,
    /// Interfaces that each has to export.
    pub world: Vec<InterfaceName>,
}

/// Settings of the engine, the same for all components.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Whether memories may have 64-bit addresses; off by default.
    pub memory64: bool,
    /// Stack that the functions of a guest may use together, in bytes: 512 KiB by default, [`STACK_MIN`] to [`STACK_MAX`].
    pub stack_bytes: u64,
}

/// Least stack of a guest, in bytes: what ordinary programs need that do not recurse.
pub const STACK_MIN: u64 = 64 << 10;

/// Most stack of a guest, in bytes: it lies on a fiber together with the frames of the host.
pub const STACK_MAX: u64 = 1 << 20;

impl Default for EngineSettings {
    fn default() -> Self {
        Self { memory64: false, stack_bytes: 512 << 10 }
    }
}

/// Settings of activation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ActivationSettings {
    /// How many activations run at once, at most [`PARALLEL_MAX`]; `None`, the default, means one for each core.
    pub parallel: Option<u32>,
    /// How often an activation that failed is tried again before it is given up, at most [`RETRIES_MAX`]; not at all by default: what a
    /// component does depends on little else than itself, so that it mostly fails in the same way again.
    pub max_retries: u32,
    /// How long is waited before the first of these attempts, in milliseconds; twice as long before each further one, and never longer
    /// than [`RETRY_DELAY_MAX`].
    pub retry_delay_ms: u64,
    /// Whether a component that loses a dependency goes to `inactive` and comes back with it; so by default.
    pub follow: bool,
}

/// Most attempts after the first that can be asked for.
pub const RETRIES_MAX: u32 = 100;

/// The longest wait between two attempts of one activation: whoever asked for it waits as well.
pub const RETRY_DELAY_MAX: Duration = Duration::from_secs(30);

impl ActivationSettings {
    /// Returns how long is waited between the attempts of one activation.
    pub fn backoff(&self) -> Backoff {
        Backoff { base: Duration::from_millis(self.retry_delay_ms), max: RETRY_DELAY_MAX }
    }
}

impl Default for ActivationSettings {
    fn default() -> Self {
        Self { parallel: None, max_retries: 0, retry_delay_ms: 200, follow: true }
    }
}

/// Settings of what components print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutputSettings {
    /// Bytes kept for each component, 64 KiB by default, at most [`OUTPUT_KEEP_MAX`].
    pub keep_bytes: u64,
}

impl Default for OutputSettings {
    fn default() -> Self {
        Self { keep_bytes: 64 << 10 }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auto_discover: Vec::new(),
            case_sensitive: true,
            allow_override: false,
            durability: Durability::Power,
            limits: Limits::DEFAULT,
            ceilings: Limits::CEILING,
            kinds: BTreeMap::new(),
            quotas: Quotas::default(),
            engine: EngineSettings::default(),
            activation: ActivationSettings::default(),
            instances: CacheSettings::default(),
            restart: RestartSettings::DEFAULT,
            breaker: BreakerSettings::DEFAULT,
            health: HealthSettings::default(),
            compile: CompileSettings::default(),
            output: OutputSettings::default(),
        }
    }
}

impl Settings {
    /// Reads the text of a settings file, at most [`SETTINGS_BYTES_MAX`] bytes; the empty text gives the defaults.
    ///
    /// # Errors
    /// [`SettingsError::Document`] names key and line.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        Ok(document::read(text, SETTINGS_BYTES_MAX, |root| read_settings(&root))?)
    }

    /// Returns the limits in force for a component: what its manifest asks for, else its kind's, else the registry's, and
    /// never above the ceilings. `profile` is what a program says of the kind, which goes before what the settings say.
    pub fn limits_for(&self, manifest: &ComponentManifest, profile: &LimitRequests) -> LimitsInForce {
        let kind = self.kinds.get(&manifest.kind()).map(|kind| kind.limits).unwrap_or_default();
        let mut found = LimitsInForce::find(&manifest.limits, &profile.or(&kind), &self.limits, &self.ceilings);
        found.stack_bytes = self.engine.stack_bytes;
        found
    }

    /// Returns one of the limits in force for a component with this manifest.
    pub fn limit_for(&self, limit: Limit, manifest: &ComponentManifest, profile: &LimitRequests) -> u64 {
        let of_kind = || profile.get(limit).or_else(|| self.kinds.get(&manifest.kind())?.limits.get(limit));
        let value = manifest.limits.get(limit).or_else(of_kind).unwrap_or_else(|| self.limits.get(limit));
        value.min(self.ceilings.get(limit))
    }

    /// Returns what `wasi:config/store` answers a component: its manifest's values over those of its kind.
    pub fn config_for(&self, manifest: &ComponentManifest) -> BTreeMap<String, String> {
        let mut config = self.kinds.get(&manifest.kind()).map(|kind| kind.config.clone()).unwrap_or_default();
        config.extend(manifest.config.clone());
        config
    }

    /// Returns how a component's instances are kept: key by key as its manifest says, else as its kind does, else as is usual.
    /// `profile` is what a program says of the kind, which goes before what the settings say; `calls` is how many may be under way.
    ///
    /// What the registry says of all instances, [`CacheSettings::ttl_ms`], is not in it: that may change at any time.
    pub fn instances_for(
        &self,
        manifest: &ComponentManifest,
        profile: &InstanceSettings,
        calls: u64,
    ) -> InstancesInForce {
        let kind = self.kinds.get(&manifest.kind()).map(|kind| kind.instances).unwrap_or_default();
        manifest.instances.or(profile).or(&kind).in_force(calls)
    }
}

fn read_settings(root: &Table<'_>) -> Result<Settings, DocumentError> {
    root.allow(keys::TABLES)?;
    let mut settings = Settings::default();
    for item in root.items() {
        match item.name {
            "auto_discover" => settings.auto_discover = read_folders(&item)?,
            "case_sensitive" => settings.case_sensitive = item.boolean()?,
            "allow_override" => settings.allow_override = item.boolean()?,
            "durability" => settings.durability = read_word(&item, &Durability::ALL, Durability::as_str)?,
            "limits" => settings.limits = Limits::DEFAULT.with(&read_limits(&item.table()?)?, Limits::MAX),
            "ceilings" => settings.ceilings = Limits::CEILING.with(&read_limits(&item.table()?)?, Limits::MAX),
            "kinds" => settings.kinds = read_kinds(&item.table()?)?,
            "quotas" => settings.quotas = quotas::read_quotas(&item.table()?)?,
            "engine" => settings.engine = read_engine(&item.table()?)?,
            "activation" => settings.activation = read_activation(&item.table()?)?,
            "instances" => settings.instances = instances::read_cache(&item.table()?)?,
            "restart" => settings.restart = read_restart(&item.table()?)?.or(&RestartSettings::DEFAULT),
            "breaker" => settings.breaker = read_breaker(&item.table()?)?.or(&BreakerSettings::DEFAULT),
            "health" => settings.health = supervision::read_health(&item.table()?)?,
            "compile" => settings.compile = compile::read_compile(&item.table()?)?,
            "output" => settings.output = read_output(&item.table()?)?,
            // `allow` has refused every other name.
            _ => {}
        }
    }
    Ok(settings)
}

fn read_folders(item: &Item<'_>) -> Result<Vec<String>, DocumentError> {
    let elements = item.list(ENTRIES_MAX)?;
    elements.iter().map(|element| Ok(element.text_bounded(PATH_BYTES_MAX)?.to_owned())).collect()
}

fn read_kinds(table: &Table<'_>) -> Result<BTreeMap<Kind, KindSettings>, DocumentError> {
    let mut kinds = BTreeMap::new();
    for item in table.items_bounded(ENTRIES_MAX)? {
        let kind = item.name.parse().map_err(|error: crate::manifest::KindError| item.invalid(error))?;
        kinds.insert(kind, read_kind(&item.table()?)?);
    }
    Ok(kinds)
}

fn read_kind(table: &Table<'_>) -> Result<KindSettings, DocumentError> {
    table.allow(&["limits", "grants", "config", "instances", "world"])?;
    let mut kind = KindSettings::default();
    for item in table.items() {
        match item.name {
            "limits" => kind.limits = read_limits(&item.table()?)?,
            "grants" => kind.grants = read_grants(&item.table()?)?,
            "config" => kind.config = read_config(&item.table()?)?,
            "instances" => kind.instances = read_instances(&item.table()?)?,
            "world" => {
                let elements = item.list(ENTRIES_MAX)?;
                kind.world = elements.iter().map(Item::parse).collect::<Result<_, _>>()?;
            }
            _ => {}
        }
    }
    Ok(kind)
}

fn read_engine(table: &Table<'_>) -> Result<EngineSettings, DocumentError> {
    table.allow(&["memory64", "stack"])?;
    let mut settings = EngineSettings::default();
    if let Some(item) = table.get("memory64") {
        settings.memory64 = item.boolean()?;
    }
    if let Some(item) = table.get("stack") {
        settings.stack_bytes = read_bytes(&item)?;
        if !(STACK_MIN..=STACK_MAX).contains(&settings.stack_bytes) {
            let (min, max) = (crate::units::format_size(STACK_MIN), crate::units::format_size(STACK_MAX));
            return Err(item.invalid(format_args!("must be {min} to {max}")));
        }
    }
    Ok(settings)
}

fn read_activation(table: &Table<'_>) -> Result<ActivationSettings, DocumentError> {
    table.allow(&["parallel", "max_retries", "retry_delay", "follow"])?;
    let mut settings = ActivationSettings::default();
    for item in table.items() {
        match item.name {
            "parallel" => settings.parallel = read_parallel(&item)?,
            "max_retries" => settings.max_retries = read_retries(&item)?,
            "retry_delay" => settings.retry_delay_ms = supervision::read_bounded(&item)?,
            "follow" => settings.follow = item.boolean()?,
            // `allow` has refused every other name.
            _ => {}
        }
    }
    Ok(settings)
}

fn read_retries(item: &Item<'_>) -> Result<u32, DocumentError> {
    let retries = match item.value() {
        toml::de::DeValue::Integer(number) if number.as_str() == "0" => 0,
        _ => item.positive()?,
    };
    match u32::try_from(retries) {
        Ok(retries) if retries <= RETRIES_MAX => Ok(retries),
        _ => Err(item.invalid(format_args!("must be at most {RETRIES_MAX}"))),
    }
}

fn read_parallel(item: &Item<'_>) -> Result<Option<u32>, DocumentError> {
    if item.text().is_ok_and(|text| text == keys::CORES) {
        return Ok(None);
    }
    let expected = "a number of activations or \"cores\"";
    let number = if item.text().is_ok() { Err(item.wrong(expected)) } else { item.positive() }?;
    match u32::try_from(number) {
        Ok(parallel) if number <= PARALLEL_MAX => Ok(Some(parallel)),
        _ => Err(item.invalid(format_args!("must be at most {PARALLEL_MAX}"))),
    }
}

fn read_output(table: &Table<'_>) -> Result<OutputSettings, DocumentError> {
    table.allow(&["keep"])?;
    let Some(item) = table.get("keep") else { return Ok(OutputSettings::default()) };
    let keep_bytes = read_bytes(&item)?;
    if keep_bytes > OUTPUT_KEEP_MAX {
        let max = crate::units::format_size(OUTPUT_KEEP_MAX);
        return Err(item.invalid(format_args!("must be at most {max}")));
    }
    Ok(OutputSettings { keep_bytes })
}
