//! What a component can do through those that it calls.

use std::collections::{BTreeMap, VecDeque};

use domain::grant::Granted;
use domain::{ComponentId, Entry};

use crate::Registry;
use crate::error::RegistryError;
use crate::names::unknown;

/// The authority that a component has, and that it reaches through its dependencies: they act with their own, never with its.
#[derive(Clone, Debug)]
pub struct EffectiveGrants {
    /// The component.
    pub id: ComponentId,
    /// What it was granted itself.
    pub own: Vec<Granted>,
    /// What those were granted that it calls, nearest first.
    pub through: Vec<GrantedThrough>,
}

/// Something that another component was granted.
#[derive(Clone, Debug)]
pub struct GrantedThrough {
    /// The components from the one that was asked about to the one that has the grant.
    pub path: Vec<ComponentId>,
    /// The grant.
    pub granted: Granted,
}

impl Registry {
    /// Returns the authority of a component and of all that it can call, directly or through others. Declared dependencies are not
    /// called, and give none.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn effective_grants(&self, id: &ComponentId) -> Result<EffectiveGrants, RegistryError> {
        let id = id.clone();
        self.read(move |view| {
            let root = view.entry(&id)?.ok_or_else(|| unknown(&id))?;
            let mut through = Vec::new();
            let mut came_from: BTreeMap<ComponentId, Option<ComponentId>> = BTreeMap::from([(id.clone(), None)]);
            let mut open = VecDeque::from([root.clone()]);
            while let Some(entry) = open.pop_front() {
                for on in called(&entry) {
                    if came_from.contains_key(&on) {
                        continue;
                    }
                    came_from.insert(on.clone(), Some(entry.id.clone()));
                    let Some(dependency) = view.entry(&on)? else { continue };
                    let path = path_to(&on, &came_from);
                    let granted = dependency.grants.iter().cloned();
                    through.extend(granted.map(|granted| GrantedThrough { path: path.clone(), granted }));
                    open.push_back(dependency);
                }
            }
            Ok(EffectiveGrants { id, own: root.grants.clone(), through })
        })
        .await
    }
}

/// Returns the components that `entry` calls.
fn called(entry: &Entry) -> impl Iterator<Item = ComponentId> {
    entry.dependencies.iter().filter(|edge| !edge.is_declared()).map(|edge| edge.on.clone())
}

fn path_to(last: &ComponentId, came_from: &BTreeMap<ComponentId, Option<ComponentId>>) -> Vec<ComponentId> {
    let mut path = vec![last.clone()];
    let mut at = last;
    while let Some(Some(before)) = came_from.get(at) {
        path.push(before.clone());
        at = before;
    }
    path.reverse();
    path
}
