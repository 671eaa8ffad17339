//! What a registration grants: what its request says, and what the policy allows of what the manifest asks for.

use domain::grant::asked_anew;
use domain::lookalike::{skeleton, variants};
use domain::manifest::GrantRequests;
use domain::{ComponentId, Entry, Event, Grant, Revision};

use super::decide::Decided;
use super::draft::Draft;
use super::{RegisterOutcome, RegisterRequest};
use crate::Registry;
use crate::error::RegistryError;
use crate::grants::{Ruled, changed_by, located};

/// What is granted along with a registration, found before it is decided.
#[derive(Clone, Default)]
pub(crate) struct Authority {
    /// What the component asks for, on behalf of its kind included.
    pub(super) requests: GrantRequests,
    /// What of it its kind asks for.
    of_kind: GrantRequests,
    /// What whoever registers it grants.
    given: Vec<Grant>,
    /// What the policy allows.
    ruled: Vec<Ruled>,
}

impl Registry {
    /// Finds out what the registration of `draft` grants. Blocks on folders.
    pub(super) fn authority_for(&self, draft: &Draft, request: &RegisterRequest) -> Result<Authority, RegistryError> {
        let requests = self.requests_of(&draft.manifest);
        let refused = |source| RegistryError::Grant { component: draft.id.clone(), source };
        let mut given = Vec::new();
        if request.grant_requested {
            for asked in requests.grants() {
                given.push(self.usable(located(asked, draft.base()).map_err(refused)?).map_err(refused)?);
            }
        }
        for grant in &request.grants {
            given.push(self.usable(grant.clone()).map_err(refused)?);
        }
        let asked = requests.grants().into_iter();
        let ruled = asked.filter_map(|asked| self.ruled(&draft.id, &draft.manifest, asked, draft.base()));
        Ok(Authority {
            ruled: ruled.collect(),
            of_kind: self.requests_of_kind(&draft.manifest.kind()),
            requests,
            given,
        })
    }

    /// Warns of a component that is there already and that people can mistake for `id`, which is new.
    pub(super) fn look_alike(&self, id: &ComponentId) -> Result<Option<String>, RegistryError> {
        if self.entry_now(id)?.is_some() {
            return Ok(None);
        }
        for variant in variants(id) {
            if self.entry_now(&variant)?.is_some() {
                return Ok(Some(resembles(id, &variant)));
            }
        }
        Ok(None)
    }
}

/// Says that two ids look alike.
fn resembles(id: &ComponentId, other: &ComponentId) -> String {
    format!("`{id}` looks like `{other}`, which is another component")
}

/// Warns each of `drafts` of one before it in the same batch that people can mistake it for.
pub(super) fn warn_of_each_other(drafts: &mut [Result<Draft, RegistryError>]) {
    let mut seen = std::collections::HashMap::new();
    for draft in drafts.iter_mut().flatten() {
        match seen.get(&skeleton(&draft.id)) {
            Some(other) if *other != draft.id => draft.warnings.push(resembles(&draft.id, other)),
            Some(_) => {}
            None => {
                seen.insert(skeleton(&draft.id), draft.id.clone());
            }
        }
    }
}

impl Authority {
    /// Decides what is granted to the component as it is now: `entry` and its newest revision, `None` for a new one.
    ///
    /// The policy grants what is asked for anew, and never what an earlier revision asked for already: that was granted then, or an
    /// operator took it back.
    pub(super) fn decide(
        &self,
        draft: &Draft,
        entry: Option<&Entry>,
        newest: Option<&Revision>,
    ) -> Result<(Vec<Event>, Decided), RegistryError> {
        let before = newest.map(|revision| revision.manifest.grants.clone().with(&self.of_kind));
        let anew = asked_anew(&before.clone().unwrap_or_default(), &self.requests);
        let mut decided = Decided {
            outcome: RegisterOutcome::Unchanged,
            number: 0,
            asks_anew: before.map(|_| anew.clone()).unwrap_or_default(),
            granted: Vec::new(),
            warnings: Vec::new(),
        };
        let mut events = Vec::new();
        let had: Vec<_> =
            entry.iter().flat_map(|entry| entry.grants.iter().map(|granted| granted.grant.clone())).collect();
        let has = |grant: &Grant| had.iter().chain(&self.given).any(|known| known.covers(grant));
        let mut grant = |grants: Vec<Grant>, rule: Option<String>| {
            if !grants.is_empty() {
                decided.granted.extend(grants.iter().cloned());
                events.push(Event::Granted { component: draft.id.clone(), grants, rule });
            }
        };
        let given = match entry {
            Some(entry) => changed_by(entry, self.given.clone())?.changed,
            None => self.given.clone(),
        };
        grant(given, None);
        for ruled in &self.ruled {
            if anew.contains(&ruled.asked) && !has(&ruled.grant) {
                grant(vec![ruled.grant.clone()], Some(ruled.rule.clone()));
            }
        }
        Ok((events, decided))
    }
}
