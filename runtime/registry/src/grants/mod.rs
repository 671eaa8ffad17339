//! Granting and revoking: what a component may do beyond the default set.

mod effective;
mod folder;
mod refusal;
mod renew;

use std::sync::Arc;

use domain::grant::{self, GRANTS_MAX, Granted, Revocation};
use domain::manifest::{ComponentManifest, GrantRequests, Kind};
use domain::{ComponentId, Entry, Event, Grant, InterfaceName, Policy, Version};

pub use effective::{EffectiveGrants, GrantedThrough};
pub(crate) use folder::located;
pub use refusal::GrantRefusal;
pub(crate) use renew::Renewal;

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::names::unknown;

/// What a component asks for, what it was granted, and how the two differ.
#[derive(Clone, Debug)]
pub struct GrantsView {
    /// The component.
    pub id: ComponentId,
    /// What the revision in service asks for, on behalf of its kind included.
    pub asked: Vec<Grant>,
    /// What is granted, oldest first.
    pub granted: Vec<Granted>,
    /// What is asked for and not granted.
    pub missing: Vec<Grant>,
    /// What is granted, but the component imports nothing through which it could use it.
    pub unused: Vec<Grant>,
    /// What the newest revision asks for beyond that, where it waits for its activation.
    pub waiting: Option<(Version, Vec<Grant>)>,
}

/// What granting or revoking changed, or would change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GrantChange {
    /// What is granted now and was not, or was otherwise; of a revocation, what is gone.
    pub changed: Vec<Grant>,
    /// What was granted already.
    pub unchanged: Vec<Grant>,
    /// What the caller should know, for instance that the component does not use what it was granted.
    pub warnings: Vec<String>,
}

impl Registry {
    /// Grants authority to a component; of what it had in the same places, the new takes the place. Folders have to exist, and are
    /// kept by their canonical paths. It takes effect on the next call: a live instance ends in order, and keeps its state if it
    /// has any. What no manifest asks for can be granted as well.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::Grant`] if something cannot be granted: then nothing is.
    pub async fn grant(&self, id: &ComponentId, grants: Vec<Grant>) -> Result<GrantChange, RegistryError> {
        match self.try_grant(id, grants).await {
            Ok(change) => Ok(change),
            Err(error) => Err(self.refused("grant", Some(id), error).await),
        }
    }

    async fn try_grant(&self, id: &ComponentId, grants: Vec<Grant>) -> Result<GrantChange, RegistryError> {
        let grants = self.all_usable(id, grants).await?;
        let id = id.clone();
        self.commit(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let change = changed_by(&entry, grants)?;
            let grants = change.changed.clone();
            let event = Event::Granted { component: id, grants, rule: None };
            Ok((if change.changed.is_empty() { vec![] } else { vec![event] }, change))
        })
        .await
    }

    /// Says what [`Registry::grant`] would do, without doing it.
    ///
    /// # Errors
    /// As [`Registry::grant`].
    pub async fn plan_grant(&self, id: &ComponentId, grants: Vec<Grant>) -> Result<GrantChange, RegistryError> {
        let grants = self.all_usable(id, grants).await?;
        let id = id.clone();
        self.read(move |view| changed_by(&*view.entry(&id)?.ok_or_else(|| unknown(&id))?, grants)).await
    }

    async fn all_usable(&self, id: &ComponentId, grants: Vec<Grant>) -> Result<Vec<Grant>, RegistryError> {
        let registry = self.clone();
        let component = id.clone();
        blocking(move || {
            let usable = grants.into_iter().map(|grant| registry.usable(grant));
            usable.collect::<Result<_, _>>().map_err(|source| RegistryError::Grant { component, source })
        })
        .await
    }

    /// Returns what a component asks for, as it could be granted: by the revision in service and by the newest one.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::Grant`] if a folder is meant that is not known.
    pub async fn requested_grants(&self, id: &ComponentId) -> Result<Vec<Grant>, RegistryError> {
        let (registry, id) = (self.clone(), id.clone());
        self.read(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let newest = view.revision(&id, entry.newest)?;
            let mut requested: Vec<Grant> = Vec::new();
            for revision in newest.iter().chain([&entry.revision]) {
                for asked in registry.requests_of(&revision.manifest).grants() {
                    let asked = folder::absolute(asked, revision)
                        .map_err(|source| RegistryError::Grant { component: id.clone(), source })?;
                    if !requested.iter().any(|known| known.is_same_place(&asked)) {
                        requested.push(asked);
                    }
                }
            }
            Ok(requested)
        })
        .await
    }

    /// Takes authority back. It takes effect on the next call; a call that is under way ends with what it began with.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`]; [`RegistryError::Grant`] if there is nothing of the sort, unless all is revoked.
    pub async fn revoke(&self, id: &ComponentId, what: Revocation) -> Result<GrantChange, RegistryError> {
        let key = id.clone();
        let revoked = self.commit(move |view| {
            let entry = view.entry(&key)?.ok_or_else(|| unknown(&key))?;
            let granted = entry.grants.iter().map(|granted| granted.grant.clone());
            let changed: Vec<_> = granted.filter(|grant| what.takes(grant)).collect();
            if changed.is_empty() {
                let has = entry.grants.iter().map(|granted| granted.grant.to_string()).collect();
                let source = GrantRefusal::NotGranted { what: what.clone(), has };
                let all = matches!(what, Revocation::All);
                let nothing = || (Vec::new(), GrantChange::default());
                return if all { Ok(nothing()) } else { Err(RegistryError::Grant { component: key, source }) };
            }
            let event = Event::Revoked { component: key, grants: changed.clone() };
            Ok((vec![event], GrantChange { changed, ..GrantChange::default() }))
        });
        match revoked.await {
            Ok(change) => Ok(change),
            Err(error) => Err(self.refused("revoke", Some(id), error).await),
        }
    }

    /// Returns what a component asks for and what it was granted.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn grants(&self, id: &ComponentId) -> Result<GrantsView, RegistryError> {
        let (registry, id) = (self.clone(), id.clone());
        self.read(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let requests = registry.requests_of(&entry.revision.manifest);
            let waiting = match entry.waiting {
                Some(number) => view.revision(&id, number)?,
                None => None,
            };
            let waiting = waiting.and_then(|waiting| {
                let anew = grant::asked_anew(&requests, &registry.requests_of(&waiting.manifest));
                (!anew.is_empty()).then(|| (waiting.version.clone(), anew))
            });
            let granted = entry.grants.iter().map(|granted| granted.grant.clone());
            Ok(GrantsView {
                asked: requests.grants(),
                missing: grant::missing(&requests, &entry.grants),
                unused: granted.filter(|grant| !is_used(&entry, grant)).collect(),
                granted: entry.grants.clone(),
                waiting,
                id,
            })
        })
        .await
    }

    /// Returns what a component with this manifest asks for: by itself, and what its kind asks for on its behalf.
    pub(crate) fn requests_of(&self, manifest: &ComponentManifest) -> GrantRequests {
        manifest.grants.clone().with(&self.requests_of_kind(&manifest.kind()))
    }

    /// Returns what a kind asks for on behalf of all its components.
    pub(crate) fn requests_of_kind(&self, kind: &Kind) -> GrantRequests {
        let of_settings = self.settings().kinds.get(kind).map(|kind| kind.grants.clone()).unwrap_or_default();
        self.kind_requests(kind).with(&of_settings)
    }

    /// Returns what `entry` asks for and was not granted.
    pub(crate) fn missing_grants(&self, entry: &Entry) -> Vec<Grant> {
        grant::missing(&self.requests_of(&entry.revision.manifest), &entry.grants)
    }

    /// Returns the policy as it was read when the registry was opened.
    pub fn policy(&self) -> Arc<Policy> {
        self.inner.policy.clone()
    }

    /// Says for each thing that a component asks for which rule of the policy would grant it at a registration, `None` if none would.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn check_policy(&self, id: &ComponentId) -> Result<Vec<(Grant, Option<String>)>, RegistryError> {
        let (registry, id) = (self.clone(), id.clone());
        self.read(move |view| {
            let entry = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let revision = &entry.revision;
            let asked = registry.requests_of(&revision.manifest).grants();
            let base = revision.folder.as_deref().map(std::path::Path::new);
            let check = |asked: Grant| {
                let rule = registry.ruled(&id, &revision.manifest, asked.clone(), base).map(|ruled| ruled.rule);
                (asked, rule)
            };
            Ok(asked.into_iter().map(check).collect())
        })
        .await
    }

    /// Returns what the policy grants of `asked`, in its usable form; what cannot be used is not granted. Blocks on folders.
    pub(crate) fn ruled(
        &self,
        id: &ComponentId,
        manifest: &ComponentManifest,
        asked: Grant,
        base: Option<&std::path::Path>,
    ) -> Option<Ruled> {
        let policy = &self.inner.policy;
        if policy.rules().is_empty() {
            return None;
        }
        let grant = self.usable(located(asked.clone(), base).ok()?).ok()?;
        let rule = policy.allows(id, &manifest.kind(), &grant)?.name.clone();
        Some(Ruled { asked, grant, rule })
    }
}

/// What a rule of the policy grants.
#[derive(Clone)]
pub(crate) struct Ruled {
    /// As it was asked for.
    pub(crate) asked: Grant,
    /// As it is granted.
    pub(crate) grant: Grant,
    /// The rule's name.
    pub(crate) rule: String,
}

/// Says what granting `grants` to `entry` changes.
pub(crate) fn changed_by(entry: &Entry, grants: Vec<Grant>) -> Result<GrantChange, RegistryError> {
    let mut change = GrantChange::default();
    let mut places: Vec<Grant> = entry.grants.iter().map(|granted| granted.grant.clone()).collect();
    for grant in grants {
        if places.contains(&grant) {
            change.unchanged.push(grant);
            continue;
        }
        places.retain(|old| !old.is_same_place(&grant));
        change.changed.retain(|old| !old.is_same_place(&grant));
        places.push(grant.clone());
        change.changed.push(grant);
    }
    if places.len() > GRANTS_MAX {
        return Err(RegistryError::Grant { component: entry.id.clone(), source: GrantRefusal::TooMany });
    }
    for grant in change.changed.iter().filter(|grant| !is_used(entry, grant)) {
        let interfaces: Vec<_> = grant.interfaces().iter().map(|name| format!("`{name}`")).collect();
        change.warnings.push(format!(
            "`{}` does not import {}: `{grant}` gives it nothing",
            entry.id,
            interfaces.join(" or ")
        ));
    }
    Ok(change)
}

/// Tells whether a component imports something through which it can use `grant`.
fn is_used(entry: &Entry, grant: &Grant) -> bool {
    let imports = entry.revision.imports.iter().filter_map(|import| import.interface());
    let mut names = imports.map(|name: InterfaceName| name.unversioned());
    names.any(|name| grant.interfaces().contains(&name.as_str()))
}
