//! Registering many components as if at once.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use domain::entry::Need;
use domain::resolve::{Expected, NOTHING_EXPECTED, Overlay};
use domain::{ComponentId, reduce};
use futures::{Stream, StreamExt as _};

use super::authority::warn_of_each_other;
use super::decide::resolve_again;
use super::{Draft, RegisterRequest, Registered, resolve_waiting, without_circles};
use crate::Registry;
use crate::error::RegistryError;

/// Registrations of one batch that are read, inspected and written at once.
const BATCH_WIDTH: usize = 16;
/// Registrations of one batch that wait for the same sync.
const BATCH_COMMITS: usize = 256;

/// Components of one batch that were read, not yet registered.
pub(crate) struct Drafts {
    pub(crate) drafts: Vec<Result<Draft, RegistryError>>,
    /// What they export.
    expected: Expected,
}

impl Registry {
    /// Registers many components; results stand in the order of the requests, and one that fails does not keep the others.
    ///
    /// They count as registered together: an import that two of them could provide is ambiguous, whichever comes first.
    pub async fn register_many(&self, requests: Vec<RegisterRequest>) -> Vec<Result<Registered, RegistryError>> {
        self.register_many_with(requests, |_| {}).await
    }

    /// As [`Registry::register_many`], and calls `done` after each with how many are finished.
    pub async fn register_many_with(
        &self,
        requests: Vec<RegisterRequest>,
        done: impl FnMut(usize),
    ) -> Vec<Result<Registered, RegistryError>> {
        let (mut results, unsettled) = self.register_batch(requests, done).await;
        if let Err(RegistryError::Storage(error)) = self.secure().await {
            // What was registered is there, but nobody can count on it.
            results.iter_mut().filter(|result| result.is_ok()).for_each(|result| *result = Err(error.again().into()));
        }
        for error in results.iter().filter_map(|result| result.as_ref().err()).chain(&unsettled) {
            self.record_refusal("register", None, error).await;
        }
        results
    }

    /// Registers many components without a record of those that are refused. Beside the results stands why those that waited for
    /// a choice between components of the batch could not be linked anew, if they could not.
    pub(crate) async fn register_batch(
        &self,
        requests: Vec<RegisterRequest>,
        done: impl FnMut(usize),
    ) -> (Vec<Result<Registered, RegistryError>>, Option<RegistryError>) {
        let width = BATCH_WIDTH.min(std::thread::available_parallelism().map_or(4, |n| n.get() * 4));
        let mut drafts = self.draft_all(futures::stream::iter(requests), width).await;
        self.refuse_breaking(&mut drafts.drafts).await;
        let order = providers_first(&drafts.drafts, &drafts.expected);
        self.commit_drafts(drafts, order, done).await
    }

    /// Reads, inspects and stores the bytes of `requests`, `width` at once; drafts stand in the order of the requests.
    pub(crate) async fn draft_all(&self, requests: impl Stream<Item = RegisterRequest>, width: usize) -> Drafts {
        let mut all = Drafts { drafts: Vec::new(), expected: Expected::new() };
        let mut reading = std::pin::pin!(requests.map(|request| self.draft(request)).buffered(width));
        while let Some(draft) = reading.next().await {
            if let Ok(draft) = &draft {
                for key in draft.inspection.exports.iter().filter_map(reduce::provided_key) {
                    all.expected.entry(key).or_default().insert(draft.id.clone());
                }
            }
            all.drafts.push(draft);
        }
        warn_of_each_other(&mut all.drafts);
        all
    }

    /// Registers drafts in `order`, which has the place of each; results stand in the order of the drafts. As
    /// [`Registry::register_batch`].
    pub(crate) async fn commit_drafts(
        &self,
        drafts: Drafts,
        order: Vec<usize>,
        mut done: impl FnMut(usize),
    ) -> (Vec<Result<Registered, RegistryError>>, Option<RegistryError>) {
        let Drafts { drafts, mut expected } = drafts;
        // Only keys with rivals matter from here on.
        expected.retain(|_, ids| ids.len() > 1);
        let expected = Arc::new(expected);
        let mut drafts: Vec<_> = drafts.into_iter().map(Some).collect();
        let mut results: Vec<_> = drafts.iter().map(|_| None).collect();
        let ordered: Vec<_> = order.into_iter().filter_map(|at| Some((at, drafts.get_mut(at)?.take()?))).collect();
        let mut commits = futures::stream::iter(ordered)
            .map(|(at, draft)| {
                let committing = draft.map(|draft| self.commit_draft(draft, expected.clone()));
                async move {
                    match committing {
                        Ok(committing) => (at, committing.await),
                        Err(error) => (at, Err(error)),
                    }
                }
            })
            .buffered(BATCH_COMMITS);
        let mut count = 0;
        while let Some((at, result)) = commits.next().await {
            if let Some(slot) = results.get_mut(at) {
                *slot = Some(result);
            }
            count += 1;
            done(count);
        }
        let results: Vec<_> = results.into_iter().flatten().collect();
        drop(commits);
        let unsettled = match !expected.is_empty() && results.iter().any(Result::is_err) {
            true => self.settle_expected(expected).await.err(),
            false => None,
        };
        (results, unsettled)
    }

    /// Resolves again what is not resolved of `ids`: what a batch brought later may give another reason.
    pub(crate) async fn settle_unresolved(&self, ids: Vec<ComponentId>) -> Result<(), RegistryError> {
        self.commit(move |view| {
            let resolved = without_circles(Overlay::new(view, &NOTHING_EXPECTED), &|mut overlay| {
                let mut events = Vec::new();
                for id in &ids {
                    if view.entry(id)?.is_some_and(|entry| !entry.unresolved.is_empty()) {
                        events.extend(resolve_again(&mut overlay, id)?);
                    }
                }
                Ok((events, overlay))
            });
            Ok((resolved?.0, ()))
        })
        .await
    }

    /// Resolves again what waited for a choice between components of a batch, some of which were not registered after all.
    async fn settle_expected(&self, expected: Arc<Expected>) -> Result<(), RegistryError> {
        let keys: Vec<_> = expected.keys().cloned().collect();
        self.commit(move |view| {
            let resolved = without_circles(Overlay::new(view, &NOTHING_EXPECTED), &|mut overlay| {
                let events = resolve_waiting(view, &mut overlay, &keys)?;
                Ok((events, overlay))
            });
            Ok((resolved?.0, ()))
        })
        .await
    }
}

/// Returns the places of `drafts` so that those that provide what others import come first, otherwise as given.
///
/// An importer then finds its providers there, and nothing has to be resolved a second time. Drafts in a circle keep their order.
fn providers_first(drafts: &[Result<Draft, RegistryError>], provided: &Expected) -> Vec<usize> {
    let places: HashMap<&ComponentId, usize> =
        drafts.iter().enumerate().filter_map(|(at, draft)| Some((&draft.as_ref().ok()?.id, at))).collect();
    let providers = |draft: &Draft| -> BTreeSet<usize> {
        let keys = draft.inspection.imports.iter().map(|import| reduce::wanted_key(&Need::Import(import.name.clone())));
        let ids = keys.filter_map(|key| provided.get(&key)).flatten().chain(draft.manifest.dependencies.keys());
        ids.filter_map(|id| places.get(id).copied()).collect()
    };
    let mut users: Vec<Vec<usize>> = vec![Vec::new(); drafts.len()];
    let mut missing = vec![0_usize; drafts.len()];
    for (at, draft) in drafts.iter().enumerate() {
        let Ok(draft) = draft else { continue };
        for provider in providers(draft).into_iter().filter(|provider| *provider != at) {
            if let (Some(users), Some(missing)) = (users.get_mut(provider), missing.get_mut(at)) {
                users.push(at);
                *missing += 1;
            }
        }
    }
    let mut ready: BinaryHeap<_> =
        missing.iter().enumerate().filter(|(_, missing)| **missing == 0).map(|(at, _)| Reverse(at)).collect();
    let mut order = Vec::with_capacity(drafts.len());
    let mut placed = vec![false; drafts.len()];
    while let Some(Reverse(at)) = ready.pop() {
        order.push(at);
        placed.get_mut(at).into_iter().for_each(|placed| *placed = true);
        for user in users.get(at).into_iter().flatten() {
            if let Some(missing) = missing.get_mut(*user) {
                *missing -= 1;
                if *missing == 0 {
                    ready.push(Reverse(*user));
                }
            }
        }
    }
    order.extend(placed.iter().enumerate().filter(|(_, placed)| !**placed).map(|(at, _)| at));
    order
}
