//! Whom a component is to be fused with, and what stands in the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::entry::Entry;
use domain::fusion::{FUSED_MAX, Fusion};
use domain::inspection::ExternItem;
use domain::manifest::{InstanceLink, InstanceMode};
use domain::ports::{StateView, StorageError};
use domain::{ComponentId, Grant};

use super::recipe::{Recipe, imports};
use super::refusal::FuseRefusal;
use super::refused;
use crate::Registry;
use crate::error::RegistryError;

/// Who said that a component is fused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FusedBy {
    /// An operator.
    Operator,
    /// Its component manifest, or the profile of its kind.
    Manifest,
}

impl FusedBy {
    /// Returns the word people read.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Operator => "operator",
            Self::Manifest => "manifest",
        }
    }
}

/// How a component is fused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FusedView {
    /// Those whose code is part of its unit, ordered.
    pub with: Vec<ComponentId>,
    /// Who said so.
    pub by: FusedBy,
    /// Whether their grants may differ from its own.
    pub shares_grants: bool,
    /// Why they cannot be fused any more, if they cannot: it fails at its next use.
    pub problem: Option<String>,
}

/// What is wanted of a component.
enum Wish<'a> {
    /// Gates to everybody.
    Apart,
    /// That it is fused with these.
    Named(&'a Fusion),
    /// That it is fused with all that it imports from and that may be.
    All,
}

impl Registry {
    fn wish<'a>(&self, entry: &'a Entry) -> Wish<'a> {
        match &entry.fusion {
            Some(fusion) if fusion.with.is_empty() => Wish::Apart,
            Some(fusion) => Wish::Named(fusion),
            None if self.asks_to_be_fused(entry) => Wish::All,
            None => Wish::Apart,
        }
    }

    /// Tells whether the manifest of `entry`, or else its kind, asks for it to be fused.
    pub(super) fn asks_to_be_fused(&self, entry: &Entry) -> bool {
        self.own_instances(entry).link == InstanceLink::Fused
    }

    /// Returns what the unit of `entry` is made of besides its own code, `None` if of nothing.
    ///
    /// # Errors
    /// [`RegistryError::Fuse`] if it cannot be fused with those that an operator named; [`RegistryError::Storage`].
    pub(crate) fn recipe(&self, view: &dyn StateView, entry: &Arc<Entry>) -> Result<Option<Recipe>, RegistryError> {
        match self.wish(entry) {
            Wish::Apart => Ok(None),
            Wish::Named(fusion) => self.recipe_of(view, entry, fusion),
            Wish::All => self.largest_recipe(view, entry),
        }
    }

    /// Returns the recipe of those of `fusion` that `entry` calls.
    pub(super) fn recipe_of(
        &self,
        view: &dyn StateView,
        entry: &Arc<Entry>,
        fusion: &Fusion,
    ) -> Result<Option<Recipe>, RegistryError> {
        let named = fusion.with.iter().cloned().collect();
        let Some(recipe) = Recipe::collect(view, entry, &named)? else { return Ok(None) };
        let mut obstacles = recipe.parts().iter().filter_map(|part| self.obstacle(entry, part, fusion.shares_grants));
        if let Some(obstacle) = obstacles.next() {
            return Err(refused(&entry.id, obstacle));
        }
        recipe.check_callers(view)?.map_err(|refusal| refused(&entry.id, refusal))?;
        recipe.check_sources().map_err(|refusal| refused(&entry.id, refusal))?;
        Ok(Some(recipe))
    }

    /// Returns the recipe of those that `entry` imports from and that may be fused with it; in the order of their ids, where some may
    /// not be together.
    fn largest_recipe(&self, view: &dyn StateView, entry: &Arc<Entry>) -> Result<Option<Recipe>, RegistryError> {
        let providers: BTreeSet<_> = imports(entry).map(|(_, _, on)| on.clone()).collect();
        let mut largest = None;
        let mut fusion = Fusion::default();
        for provider in providers {
            if fusion.with.len() == FUSED_MAX {
                break;
            }
            fusion.with.push(provider);
            match self.recipe_of(view, entry, &fusion) {
                Ok(recipe) => largest = recipe,
                Err(RegistryError::Fuse { .. }) => drop(fusion.with.pop()),
                Err(error) => return Err(error),
            }
        }
        Ok(largest)
    }

    /// Says why `part` must not become part of `root`, if it must not: where it would be without it, or with another's.
    fn obstacle(&self, root: &Entry, part: &Entry, shares_grants: bool) -> Option<FuseRefusal> {
        let id = || part.id.clone();
        let kind = part.revision.kind();
        let is_lifecycle = |export: &&ExternItem| export.interface().is_some_and(|name| name.is_lifecycle());
        if let Some(export) = part.revision.exports.iter().find(is_lifecycle) {
            return Some(FuseRefusal::Lifecycle { part: id(), export: export.name.clone() });
        }
        if self.factory(&kind).is_some() {
            return Some(FuseRefusal::Factory { part: id(), kind });
        }
        if imports_package(part, "registry", "host") {
            return Some(FuseRefusal::AsksWhoCalls { part: id() });
        }
        let config = self.effective_config(part);
        if config != self.effective_config(root) && (!config.is_empty() || imports_package(part, "wasi", "config")) {
            return Some(FuseRefusal::Config { part: id() });
        }
        if !shares_grants && !are_equal(root, part) {
            return Some(FuseRefusal::Grants { part: id() });
        }
        let mode = |entry: &Entry| self.own_instances(entry).mode;
        if mode(part) == InstanceMode::PerCall && mode(root) != InstanceMode::PerCall {
            return Some(FuseRefusal::PerCall { part: id() });
        }
        None
    }

    /// Returns the components whose changes may change what the unit of `entry` is made of.
    pub(crate) fn watched(&self, entry: &Entry) -> Vec<ComponentId> {
        match self.wish(entry) {
            Wish::Apart => Vec::new(),
            Wish::Named(fusion) => fusion.with.clone(),
            Wish::All => imports(entry).map(|(_, _, on)| on.clone()).collect(),
        }
    }

    /// Says how `entry` is fused, `None` if it is not.
    ///
    /// # Errors
    /// [`StorageError`] if the state cannot be read.
    pub(crate) fn fused_view(
        &self,
        view: &dyn StateView,
        entry: &Arc<Entry>,
    ) -> Result<Option<FusedView>, StorageError> {
        let (by, shares_grants, named) = match self.wish(entry) {
            Wish::Apart => return Ok(None),
            Wish::Named(fusion) => (FusedBy::Operator, fusion.shares_grants, fusion.with.clone()),
            Wish::All => (FusedBy::Manifest, false, Vec::new()),
        };
        let fused = |with, problem| Ok(Some(FusedView { with, by, shares_grants, problem }));
        match self.recipe(view, entry) {
            Ok(None) => Ok(None),
            Ok(Some(recipe)) => fused(recipe.parts().iter().map(|part| part.id.clone()).collect(), None),
            Err(RegistryError::Storage(error)) => Err(error),
            Err(error) => fused(named, Some(error.to_string())),
        }
    }
}

fn imports_package(entry: &Entry, namespace: &str, package: &str) -> bool {
    let mut imports = entry.revision.imports.iter().filter_map(ExternItem::interface);
    imports.any(|name| name.namespace == namespace && name.package == package)
}

/// Tells whether two components were granted the same, in whatever order.
fn are_equal(one: &Entry, other: &Entry) -> bool {
    let grants = |entry: &Entry| entry.grants.iter().map(|granted| granted.grant.clone()).collect::<Vec<Grant>>();
    let (one, other) = (grants(one), grants(other));
    one.len() == other.len() && one.iter().all(|grant| other.contains(grant))
}
