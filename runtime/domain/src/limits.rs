//! Hard bounds on what one component may use.
//!
//! All limits stand in one table: how each is written, what a component gets that asks for nothing, and what no manifest can exceed
//! unless the registry's settings raise it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::EngineSettings;
use crate::units::{format_duration, format_size};

/// Largest component binary, in bytes; a larger file is refused before it is read.
pub const COMPONENT_BYTES_MAX: u64 = 64 << 20;

/// What a limit counts, and so how it is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitUnit {
    /// A whole number.
    Count,
    /// Bytes, written as a size: `64MiB`.
    Bytes,
    /// Milliseconds, written as a duration: `5s`.
    Millis,
}

impl LimitUnit {
    /// Writes a value of this unit as a manifest has it.
    pub fn format(self, value: u64) -> String {
        match self {
            Self::Count => value.to_string(),
            Self::Bytes => format_size(value),
            Self::Millis => format_duration(Duration::from_millis(value)),
        }
    }
}

macro_rules! limits {
    ($($(#[doc = $doc:literal])+ $variant:ident $field:ident $name:literal $unit:ident = $default:expr, at most $ceiling:expr;)+) => {
        /// One of the limits.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Limit {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Limit {
            /// All limits, in the order in which they are shown.
            pub const ALL: &[Self] = &[$(Self::$variant),+];
            /// Their names in manifests and settings, in the same order.
            pub(crate) const NAMES: &[&str] = &[$($name),+];

            /// Returns its name in manifests and settings, for instance `memory`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// Returns its name in JSON documents and in the journal, for instance `memory_bytes`.
            pub fn field(self) -> &'static str {
                match self { $(Self::$variant => stringify!($field)),+ }
            }

            /// Returns one sentence that says what it bounds.
            pub fn doc(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_ascii()),+ }
            }

            /// Returns what it counts.
            pub fn unit(self) -> LimitUnit {
                match self { $(Self::$variant => LimitUnit::$unit),+ }
            }
        }

        /// The limits in force for one component; every field is a bound, never a reservation.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Limits {
            $($(#[doc = $doc])+ pub $field: u64,)+
        }

        impl Limits {
            /// What a component gets that asks for nothing.
            pub const DEFAULT: Self = Self { $($field: $default),+ };
            /// What no manifest can exceed unless the registry's settings raise it.
            pub const CEILING: Self = Self { $($field: $ceiling),+ };
            /// What even the settings cannot exceed: whatever the numbers can hold.
            pub const MAX: Self = Self { $($field: u64::MAX),+ };

            /// Returns one of them.
            pub fn get(&self, limit: Limit) -> u64 {
                match limit { $(Limit::$variant => self.$field),+ }
            }

            /// Puts a value in the place of one of them.
            pub fn set(&mut self, limit: Limit, value: u64) {
                match limit { $(Limit::$variant => self.$field = value),+ }
            }
        }

        /// What a component manifest or a kind asks for; what is absent stays at the default.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct LimitRequests {
            $(
                $(#[doc = $doc])+
                #[serde(default, skip_serializing_if = "Option::is_none")]
                pub $field: Option<u64>,
            )+
        }

        impl LimitRequests {
            /// Returns what is asked for of one limit.
            pub fn get(&self, limit: Limit) -> Option<u64> {
                match limit { $(Limit::$variant => self.$field),+ }
            }

            /// Asks for a value of one limit, or for none.
            pub fn set(&mut self, limit: Limit, value: Option<u64>) {
                match limit { $(Limit::$variant => self.$field = value),+ }
            }
        }
    };
}

limits! {
    /// Fuel for one call.
    Fuel fuel "fuel" Count = 100_000_000, at most 100_000_000_000;
    /// Fuel for instantiation and `lifecycle.activate` together; also for `deactivate`, `snapshot` and `restore`.
    ActivationFuel activation_fuel "activation_fuel" Count = 1_000_000_000, at most 100_000_000_000;
    /// Wall-clock time for one call, and for one activation.
    Deadline deadline_ms "deadline" Millis = 5_000, at most 600_000;
    /// Bytes of all linear memories of one instance together.
    Memory memory_bytes "memory" Bytes = 64 << 20, at most 4 << 30;
    /// Linear memories of one instance.
    Memories memories "memories" Count = 64, at most 1_000;
    /// Tables of one instance.
    Tables tables "tables" Count = 256, at most 10_000;
    /// Elements of all tables of one instance together.
    TableElements table_elements "table_elements" Count = 100_000, at most 10_000_000;
    /// Core module instances in one instance of the component.
    CoreInstances core_instances "core_instances" Count = 256, at most 10_000;
    /// Handles of resources that one instance may hold at a time.
    Handles handles "handles" Count = 1_000, at most 100_000;
    /// Streams, pollables, descriptors and other resources of the host that one instance may hold at a time.
    Resources resources "resources" Count = 1_000, at most 100_000;
    /// Bytes that one call from the component to the host or to another component may carry, as the host's values need them.
    Hostcall hostcall_bytes "hostcall" Bytes = 128 << 20, at most 1 << 30;
    /// Random bytes that the host returns at once.
    Random random_bytes "random" Bytes = 64 << 10, at most 16 << 20;
    /// Components that a call may have come through when it leaves this one.
    CallDepth call_depth "call_depth" Count = 64, at most 256;
    /// Calls that may be under way in the component at once; one instance serves one at a time.
    Calls calls "calls" Count = 64, at most 10_000;
    /// Calls that may wait for others to end; the next is refused.
    Queue queue "queue" Count = 256, at most 100_000;
    /// Bytes that the component may print and log in a second; the rest is left out and counted.
    Output output_bytes "output" Bytes = 256 << 10, at most 64 << 20;
    /// Lines that the component may print and log in a second; the rest is left out and counted.
    OutputLines output_lines "output_lines" Count = 2_000, at most 1_000_000;
    /// Failures that the component's history keeps.
    Failures failures "failures" Count = 100, at most 1_000;
    /// Bytes of one failure's message that the history keeps.
    FailureText failure_text "failure_text" Bytes = 1_000, at most 4_096;
}

impl Limit {
    /// Returns the limit of that name in manifests and settings.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|limit| limit.name() == name)
    }
}

impl Limits {
    /// Returns the wall-clock bound as a duration.
    pub fn deadline(&self) -> Duration {
        Duration::from_millis(self.deadline_ms)
    }

    /// Returns these limits with what `request` names put in its place, then capped by `ceiling`.
    pub fn with(mut self, request: &LimitRequests, ceiling: Self) -> Self {
        for limit in Limit::ALL {
            let value = request.get(*limit).unwrap_or_else(|| self.get(*limit));
            self.set(*limit, value.min(ceiling.get(*limit)));
        }
        self
    }

    /// Returns all of them with their values.
    pub fn iter(&self) -> impl Iterator<Item = (Limit, u64)> + '_ {
        Limit::ALL.iter().map(|limit| (*limit, self.get(*limit)))
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl LimitRequests {
    /// Asks for all of `limits`.
    pub fn all(limits: &Limits) -> Self {
        let mut requests = Self::default();
        limits.iter().for_each(|(limit, value)| requests.set(limit, Some(value)));
        requests
    }

    /// Returns these requests with the gaps filled from `fallback`.
    pub fn or(mut self, fallback: &Self) -> Self {
        for limit in Limit::ALL {
            self.set(*limit, self.get(*limit).or(fallback.get(*limit)));
        }
        self
    }

    /// Returns those that are asked for, with what is asked.
    pub fn iter(&self) -> impl Iterator<Item = (Limit, u64)> + '_ {
        Limit::ALL.iter().filter_map(|limit| Some((*limit, self.get(*limit)?)))
    }

    /// Returns each limit of which more is asked for than `limits` give: its name, what is asked for and what is given, both
    /// as a manifest has them.
    pub fn above(&self, limits: &Limits) -> Vec<(&'static str, String, String)> {
        let above = self.iter().filter(|(limit, asked)| *asked > limits.get(*limit));
        above
            .map(|(limit, asked)| {
                let unit = limit.unit();
                (limit.name(), unit.format(asked), unit.format(limits.get(limit)))
            })
            .collect()
    }

    /// Tells whether nothing is asked for.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// Where the value of a limit in force comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitSource {
    /// Nobody asked for another.
    Default,
    /// The registry's settings.
    Settings,
    /// The component's kind, in the settings or in the program that has the registry.
    Kind,
    /// The component's manifest.
    Manifest,
    /// The registry's ceiling, below what was asked for.
    Ceiling,
}

impl LimitSource {
    /// Returns the word that people and JSON documents use.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Settings => "settings",
            Self::Kind => "kind",
            Self::Manifest => "manifest",
            Self::Ceiling => "ceiling",
        }
    }
}

/// The limits in force for one component, and where each comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LimitsInForce {
    /// The limits.
    pub limits: Limits,
    sources: [LimitSource; Limit::ALL.len()],
    /// Stack that the guest's functions may use together, in bytes: the same for all components.
    pub stack_bytes: u64,
}

impl LimitsInForce {
    /// Finds what is in force: what the manifest asks for, else the kind, else the registry, and never above the ceilings.
    pub fn find(manifest: &LimitRequests, kind: &LimitRequests, registry: &Limits, ceilings: &Limits) -> Self {
        let mut limits = *registry;
        let mut sources = [LimitSource::Default; Limit::ALL.len()];
        for (limit, source) in Limit::ALL.iter().copied().zip(&mut sources) {
            let (value, from) = if let Some(value) = manifest.get(limit) {
                (value, LimitSource::Manifest)
            } else if let Some(value) = kind.get(limit) {
                (value, LimitSource::Kind)
            } else {
                let is_default = registry.get(limit) == Limits::DEFAULT.get(limit);
                (registry.get(limit), if is_default { LimitSource::Default } else { LimitSource::Settings })
            };
            let ceiling = ceilings.get(limit);
            limits.set(limit, value.min(ceiling));
            *source = if value > ceiling { LimitSource::Ceiling } else { from };
        }
        Self { limits, sources, stack_bytes: EngineSettings::default().stack_bytes }
    }

    /// Tells whether the stack is the default one, or of the registry's settings.
    pub fn stack_source(&self) -> LimitSource {
        let is_default = self.stack_bytes == EngineSettings::default().stack_bytes;
        if is_default { LimitSource::Default } else { LimitSource::Settings }
    }

    /// Returns all limits with their values and where these come from.
    pub fn iter(&self) -> impl Iterator<Item = (Limit, u64, LimitSource)> + '_ {
        self.limits.iter().zip(self.sources).map(|((limit, value), source)| (limit, value, source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_can_raise_a_default_but_not_pass_the_ceiling() {
        let request = LimitRequests { fuel: Some(7), memory_bytes: Some(u64::MAX), ..LimitRequests::default() };
        let limits = Limits::DEFAULT.with(&request, Limits::CEILING);
        assert_eq!((limits.fuel, limits.memory_bytes), (7, Limits::CEILING.memory_bytes));
        assert_eq!(limits.deadline_ms, Limits::DEFAULT.deadline_ms);
    }

    #[test]
    fn what_is_asked_for_above_the_limits_is_named_with_both_values() {
        let request = LimitRequests {
            fuel: Some(Limits::CEILING.fuel),
            deadline_ms: Some(3_600_000),
            memory_bytes: Some(8 << 30),
            ..LimitRequests::default()
        };
        let in_force = Limits::DEFAULT.with(&request, Limits::CEILING);
        let above = request.above(&in_force);
        let shown: Vec<_> = above.iter().map(|(name, asked, given)| format!("{name} {asked} {given}")).collect();
        assert_eq!(shown, ["deadline 3600s 600s", "memory 8GiB 4GiB"]);
        assert!(LimitRequests::default().above(&Limits::DEFAULT).is_empty());
    }

    #[test]
    fn every_default_is_within_its_ceiling_and_every_name_is_its_own() {
        for (limit, default) in Limits::DEFAULT.iter() {
            assert!(0 < default && default <= Limits::CEILING.get(limit), "{limit:?}");
            assert!(limit.doc().ends_with('.') && !limit.doc().contains('\n'), "{limit:?}");
        }
        let names: std::collections::BTreeSet<_> = Limit::NAMES.iter().collect();
        assert_eq!(names.len(), Limit::ALL.len());
    }

    #[test]
    fn a_limit_says_where_it_comes_from() {
        let manifest = LimitRequests { fuel: Some(5), memory_bytes: Some(8 << 30), ..LimitRequests::default() };
        let kind = LimitRequests { fuel: Some(6), handles: Some(9), ..LimitRequests::default() };
        let registry = Limits { queue: 3, ..Limits::DEFAULT };
        let in_force = LimitsInForce::find(&manifest, &kind, &registry, &Limits::CEILING);
        let find = |wanted| {
            let found = in_force.iter().find(|(limit, ..)| *limit == wanted).unwrap();
            (found.1, found.2.as_str())
        };
        assert_eq!(find(Limit::Fuel), (5, "manifest"));
        assert_eq!(find(Limit::Handles), (9, "kind"));
        assert_eq!(find(Limit::Queue), (3, "settings"));
        assert_eq!(find(Limit::Memory), (4 << 30, "ceiling"));
        assert_eq!(find(Limit::Deadline), (5_000, "default"));
    }
}
