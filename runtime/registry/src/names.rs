//! From what people type to a component.

use domain::reduce::index;
use domain::suggest;
use domain::{ComponentId, ComponentRef, Status, Version};

use crate::Registry;
use crate::error::RegistryError;

/// Most ids that are looked at for «did you mean».
const SUGGEST_FROM_MAX: usize = 1_000;

/// A component that exists, and the version that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The component.
    pub id: ComponentId,
    /// The version, where one was named; it exists.
    pub version: Option<Version>,
}

impl From<ComponentId> for Target {
    fn from(id: ComponentId) -> Self {
        Self { id, version: None }
    }
}

impl From<&ComponentId> for Target {
    fn from(id: &ComponentId) -> Self {
        Self::from(id.clone())
    }
}

impl Registry {
    /// Finds the component that `name` means: `namespace:name`, bare `name` where that is unique, each with or without
    /// `@version`. Letters are folded to lower case when the setting `case_sensitive` is off.
    ///
    /// # Errors
    /// [`RegistryError::Name`], [`RegistryError::NotFound`] with what may have been meant,
    /// [`RegistryError::AmbiguousName`] and [`RegistryError::VersionNotFound`].
    pub async fn resolve(&self, name: &str) -> Result<Target, RegistryError> {
        let parsed = if self.settings().case_sensitive { name.parse() } else { ComponentRef::parse_folded(name) };
        let reference: ComponentRef = parsed?;
        self.read(move |view| {
            let id = match reference.id() {
                Some(id) if view.entry(&id)?.is_some() => id,
                Some(_) => return Err(not_found(view, &reference)?),
                None => match view.find(index::NAME, &reference.name)?.as_slice() {
                    [] => return Err(not_found(view, &reference)?),
                    [only] => only.clone(),
                    several => {
                        return Err(RegistryError::AmbiguousName {
                            name: reference.name.clone(),
                            candidates: several.to_vec(),
                        });
                    }
                },
            };
            if let Some(version) = &reference.version {
                let revisions = view.revisions(&id)?;
                if !revisions.iter().any(|revision| revision.version == *version) {
                    let known = revisions.iter().map(|revision| revision.version.clone()).collect();
                    return Err(RegistryError::VersionNotFound { component: id, version: version.clone(), known });
                }
            }
            Ok(Target { id, version: reference.version })
        })
        .await
    }
}

impl Registry {
    /// As [`Registry::resolve`], for operations on the component as a whole: a version that is named must be the one to which the
    /// entry points.
    ///
    /// # Errors
    /// Those of [`Registry::resolve`], and [`RegistryError::NotInService`].
    pub async fn resolve_current(&self, name: &str) -> Result<Target, RegistryError> {
        let target = self.resolve(name).await?;
        if let Some(version) = &target.version {
            let in_service = self.get(&target.id).await?.entry.revision.version.clone();
            if in_service != *version {
                let (component, version) = (target.id, version.clone());
                return Err(RegistryError::NotInService { component, version, in_service });
            }
        }
        Ok(target)
    }
}

impl Registry {
    /// As [`Registry::resolve`], for a call: where a version is named, the revision of that version that is active, in service or beside
    /// it, by the id under which it is called.
    ///
    /// # Errors
    /// Those of [`Registry::resolve`], and [`RegistryError::NotInService`].
    pub async fn resolve_called(&self, name: &str) -> Result<ComponentId, RegistryError> {
        let target = self.resolve(name).await?;
        let Some(version) = target.version else { return Ok(target.id) };
        self.read(move |view| {
            let entry = view.entry(&target.id)?.ok_or_else(|| unknown(&target.id))?;
            if entry.revision.version == version {
                return Ok(target.id);
            }
            let beside = target.id.beside(&version);
            // One in quarantine is called as well: it says so itself.
            let is_there = |beside: &domain::Entry| beside.status == Status::Active || beside.quarantine().is_some();
            if view.entry(&beside)?.is_some_and(|beside| is_there(&beside)) {
                return Ok(beside);
            }
            let in_service = entry.revision.version.clone();
            Err(RegistryError::NotInService { component: target.id, version, in_service })
        })
        .await
    }
}

fn not_found(
    view: &dyn domain::ports::StateView,
    reference: &ComponentRef,
) -> Result<RegistryError, domain::ports::StorageError> {
    let mut similar = view.find(index::NAME, &reference.name)?;
    if similar.is_empty() {
        let ids = view.ids(None, SUGGEST_FROM_MAX)?;
        let wanted = reference.id().map_or_else(|| reference.name.clone(), |id| id.to_string());
        let key = |id: &ComponentId| {
            if reference.namespace.is_some() { id.to_string() } else { id.name().to_owned() }
        };
        let keys: Vec<_> = ids.iter().map(key).collect();
        if let Some(near) = suggest::nearest(&wanted, keys.iter().map(String::as_str)) {
            similar = ids.iter().zip(&keys).filter(|(_, key)| *key == near).map(|(id, _)| id.clone()).collect();
        }
    }
    similar.truncate(5);
    Ok(RegistryError::NotFound { name: reference.to_string(), similar })
}

/// The error for an id that is not registered, without looking for similar ones.
pub(crate) fn unknown(id: &ComponentId) -> RegistryError {
    RegistryError::NotFound { name: id.to_string(), similar: Vec::new() }
}
