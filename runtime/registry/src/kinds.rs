//! What a kind of component brings along: defaults, a required world, a factory.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use domain::limits::{Limit, LimitRequests, LimitsInForce};
use domain::manifest::{ComponentManifest, GrantRequests, InstanceSettings, InstancesInForce, Kind};
use domain::ports::{BoxFuture, UnitSpec};
use domain::{ComponentId, Entry};

use crate::Registry;
use crate::error::RegistryError;

/// Prepares components of one kind before they are instantiated, for instance by adding configuration.
pub trait ComponentFactory: Send + Sync {
    /// Changes `spec`, which is then linked and instantiated as it says.
    ///
    /// # Errors
    /// A reason, shown to people; the activation fails with it.
    fn prepare<'a>(&'a self, entry: &'a Entry, spec: &'a mut UnitSpec) -> BoxFuture<'a, Result<(), String>>;
}

/// Defaults and demands of one kind. What a component manifest says goes first, then this profile, then the profile of the same
/// name in the settings, then the registry's defaults.
#[derive(Clone, Default)]
pub struct KindProfile {
    /// Limits.
    pub limits: LimitRequests,
    /// Grants that components of this kind ask for.
    pub grants: GrantRequests,
    /// Configuration.
    pub config: BTreeMap<String, String>,
    /// How instances are kept, key by key.
    pub instances: InstanceSettings,
    /// Exports that a component of this kind must have, interfaces with or without version.
    pub world: Vec<String>,
    /// Runs before instantiation.
    pub factory: Option<Arc<dyn ComponentFactory>>,
}

#[derive(Default)]
pub(crate) struct Kinds {
    profiles: RwLock<HashMap<Kind, Arc<KindProfile>>>,
}

impl Kinds {
    fn get(&self, kind: &Kind) -> Option<Arc<KindProfile>> {
        self.profiles.read().unwrap_or_else(PoisonError::into_inner).get(kind).cloned()
    }
}

impl Registry {
    /// Gives `kind` a profile, in this process; a second one takes the place of the first.
    pub fn register_kind(&self, kind: Kind, profile: KindProfile) {
        let mut profiles = self.inner.kinds.profiles.write().unwrap_or_else(PoisonError::into_inner);
        profiles.insert(kind, Arc::new(profile));
    }

    /// Returns the limits in force for `entry`: its manifest's, then its kind's, then the registry's, under the ceilings.
    pub fn effective_limits(&self, entry: &Entry) -> LimitsInForce {
        self.limits_for(&entry.revision.manifest)
    }

    /// Returns the limits that would be in force for a component with this manifest.
    pub(crate) fn limits_for(&self, manifest: &ComponentManifest) -> LimitsInForce {
        let profile = self.inner.kinds.get(&manifest.kind()).map(|profile| profile.limits).unwrap_or_default();
        self.settings().limits_for(manifest, &profile)
    }

    /// Returns how instances of `entry` are kept: key by key as its manifest says, then its kind, then what is usual. Without a time of
    /// their own, idle ones are dropped after that of the registry.
    pub fn effective_instances(&self, entry: &Entry) -> InstancesInForce {
        let mut found = self.own_instances(entry);
        let settings = self.settings().instances;
        found.idle_ttl_ms = found.idle_ttl_ms.or(settings.ttl_ms);
        found.drain_ms = found.drain_ms.or(Some(settings.drain_ms));
        found
    }

    /// Returns the same without what the registry says of all components, which may change at any time.
    pub(crate) fn own_instances(&self, entry: &Entry) -> InstancesInForce {
        self.instances_for(&entry.revision.manifest)
    }

    fn instances_for(&self, manifest: &ComponentManifest) -> InstancesInForce {
        let profile = self.inner.kinds.get(&manifest.kind());
        let (limits, instances) = profile.map(|profile| (profile.limits, profile.instances)).unwrap_or_default();
        let settings = self.settings();
        settings.instances_for(manifest, &instances, settings.limit_for(Limit::Calls, manifest, &limits))
    }

    /// Checks that a component that keeps state has one instance at a time.
    ///
    /// # Errors
    /// [`RegistryError::StateNotKept`].
    pub(crate) fn check_instances(&self, entry: &Entry) -> Result<(), RegistryError> {
        let revision = &entry.revision;
        self.check_state(&entry.id, &revision.manifest, revision.has_lifecycle("state"))
    }

    /// As [`Registry::check_instances`], of a component with this manifest that exports the state interface or does not.
    pub(crate) fn check_state(
        &self,
        id: &ComponentId,
        manifest: &ComponentManifest,
        has_state: bool,
    ) -> Result<(), RegistryError> {
        let mode = self.instances_for(manifest).mode;
        if !has_state || mode.keeps_state() {
            return Ok(());
        }
        let of_kind = manifest.instances.mode.is_none().then(|| manifest.kind());
        Err(RegistryError::StateNotKept { component: id.clone(), mode, of_kind })
    }

    /// Returns a warning for each limit that `manifest` asks for and that the ceilings lower.
    pub(crate) fn lowered_limits(&self, id: &ComponentId, manifest: &ComponentManifest) -> Vec<String> {
        let lowered = manifest.limits.above(&self.limits_for(manifest).limits);
        let said = lowered.into_iter().map(|(name, asked, in_force)| {
            format!("`{id}` asks for `limits.{name} = {asked}`, more than the registry allows: {in_force} is in force")
        });
        said.collect()
    }

    /// Returns the configuration that `entry` sees: its manifest's over its kind's.
    pub(crate) fn effective_config(&self, entry: &Entry) -> BTreeMap<String, String> {
        let kind = entry.revision.kind();
        let manifest = &entry.revision.manifest;
        let Some(profile) = self.inner.kinds.get(&kind) else { return self.settings().config_for(manifest) };
        let mut config = self.settings().kinds.get(&kind).map(|kind| kind.config.clone()).unwrap_or_default();
        config.extend(profile.config.clone());
        config.extend(manifest.config.clone());
        config
    }

    /// Returns the exports that `kind` requires.
    pub(crate) fn required_world(&self, kind: &Kind) -> Vec<String> {
        let settings = self.settings();
        let required = settings.kinds.get(kind).into_iter().flat_map(|kind| &kind.world);
        let mut world: Vec<_> = required.map(ToString::to_string).collect();
        if let Some(profile) = self.inner.kinds.get(kind) {
            world.extend(profile.world.iter().cloned());
        }
        world
    }

    /// Returns what the profile of `kind` asks for on behalf of its components.
    pub(crate) fn kind_requests(&self, kind: &Kind) -> GrantRequests {
        self.inner.kinds.get(kind).map(|profile| profile.grants.clone()).unwrap_or_default()
    }

    pub(crate) fn factory(&self, kind: &Kind) -> Option<Arc<dyn ComponentFactory>> {
        self.inner.kinds.get(kind)?.factory.clone()
    }
}
