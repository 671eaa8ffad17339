//! Who would break if other revisions came into service, found without changing anything.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use domain::entry::{Need, Unresolved};
use domain::plan::PlanError;
use domain::ports::StateView;
use domain::resolve::{NOTHING_EXPECTED, Overlay, closed_cycle, resolve};
use domain::text::escape_line;
use domain::world::{Difference, DifferenceKind, Verdict, World, fit};
use domain::{ComponentId, Edge, EdgeKind, Entry, Revision, Status};

use super::{Broken, Reason, RelinkedEdge};
use crate::Registry;
use crate::beside::dependents_of_all;
use crate::error::RegistryError;
use crate::register::{entry_after, resolve_again};
use crate::report::KeptBeside;

/// Most dependents that are not active and are looked at; those that are active all are.
const IDLE_LOOKED_AT_MAX: usize = 1_000;

/// A revision that would come into service.
pub(crate) struct Coming {
    pub(crate) id: ComponentId,
    pub(crate) revision: Arc<Revision>,
    /// Its types, where its bytes are not kept yet.
    pub(crate) world: Option<Arc<World>>,
    /// Edges that it had elsewhere.
    pub(crate) carried: Vec<Edge>,
}

/// Whose dependents are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// Those that are active: they alone can keep a revision out.
    Active,
    /// All of them.
    All,
}

/// What would come of it.
#[derive(Debug, Default)]
pub(crate) struct Judgement {
    pub(crate) relinked: Vec<RelinkedEdge>,
    /// Revisions that stay active beside what comes.
    pub(crate) kept: Vec<KeptBeside>,
    /// Revisions beside those in service that nothing active needs any more.
    pub(crate) ended: Vec<ComponentId>,
    pub(crate) broken: Vec<Broken>,
    /// Revisions that could not be activated themselves, and why.
    pub(crate) refused: Vec<(ComponentId, RegistryError)>,
    /// What could not be compared, and why.
    pub(crate) unread: Vec<(ComponentId, String)>,
    /// Dependents that are not active and were not looked at.
    pub(crate) not_looked_at: usize,
}

/// The state as it would be with all that comes in service.
pub(crate) struct Judge<'a> {
    registry: &'a Registry,
    view: &'a dyn StateView,
    overlay: Overlay<'a>,
    coming: BTreeMap<ComponentId, Coming>,
}

impl<'a> Judge<'a> {
    /// Lets all of `coming` take their places at once, so that none of them is judged by what another one leaves behind.
    pub(crate) fn new(
        registry: &'a Registry,
        view: &'a dyn StateView,
        coming: Vec<Coming>,
    ) -> Result<Self, RegistryError> {
        let mut overlay = Overlay::new(view, &NOTHING_EXPECTED);
        for one in &coming {
            let entry = view.entry(&one.id)?;
            let own = entry.iter().flat_map(|entry| entry.dependencies.iter().cloned());
            let previous: Vec<_> = own.chain(one.carried.iter().cloned()).collect();
            let resolution = resolve(&overlay, &one.id, &one.revision, &previous)?;
            overlay.put(entry_after(entry.as_deref(), &one.id, &one.revision, &resolution));
        }
        for one in &coming {
            resolve_again(&mut overlay, &one.id)?;
        }
        let coming = coming.into_iter().map(|one| (one.id.clone(), one)).collect();
        Ok(Self { registry, view, overlay, coming })
    }

    /// Returns the state as it would be; of those that depend on what comes, once [`Self::judge`] has looked at them.
    pub(crate) fn overlay(&self) -> &Overlay<'a> {
        &self.overlay
    }

    /// Looks at all that comes and at who depends on it.
    pub(crate) fn judge(&mut self, scope: Scope) -> Result<Judgement, RegistryError> {
        let mut judgement = Judgement::default();
        let mut active = BTreeSet::new();
        let mut idle = BTreeSet::new();
        for id in self.coming.keys() {
            for dependent in dependents_of_all(self.view, id)? {
                match self.view.entry(&dependent)? {
                    _ if dependent == *id => {}
                    Some(entry) if entry.status == Status::Active => {
                        active.insert(dependent);
                    }
                    Some(_) if scope == Scope::All && !self.coming.contains_key(&dependent) => {
                        idle.insert(dependent);
                    }
                    _ => {}
                }
            }
        }
        judgement.not_looked_at = idle.len().saturating_sub(IDLE_LOOKED_AT_MAX);
        for id in active.iter().chain(idle.iter().take(IDLE_LOOKED_AT_MAX)) {
            self.judge_dependent(id, &mut judgement)?;
        }
        judgement.ended = self.ended(&active)?;
        judgement.broken.sort_by_key(|broken| (broken.status != Status::Active, broken.component.clone()));
        for id in self.coming.keys() {
            if let Some(error) = self.obstacle(id)? {
                judgement.refused.push((id.clone(), error));
            }
        }
        Ok(judgement)
    }

    fn judge_dependent(&mut self, id: &ComponentId, judgement: &mut Judgement) -> Result<(), RegistryError> {
        let Some(before) = self.view.entry(id)? else { return Ok(()) };
        // One that comes along is in service with what comes if that fits; else as it is now.
        if self.coming.contains_key(id) {
            let after = self.overlay.entry(id)?.unwrap_or_else(|| before.clone());
            if self.compare(&before, &after, judgement)?.is_empty() {
                return Ok(());
            }
            let resolution = resolve(&self.overlay, id, &before.revision, &before.dependencies)?;
            let stays = entry_after(Some(&before), id, &before.revision, &resolution);
            let reasons = self.compare(&before, &stays, judgement)?;
            return self.note(&before, &stays, reasons, judgement);
        }
        resolve_again(&mut self.overlay, id)?;
        let after = self.overlay.entry(id)?.unwrap_or_else(|| before.clone());
        let reasons = self.compare(&before, &after, judgement)?;
        self.note(&before, &after, reasons, judgement)
    }

    fn note(
        &self,
        before: &Entry,
        after: &Entry,
        reasons: Vec<Reason>,
        judgement: &mut Judgement,
    ) -> Result<(), RegistryError> {
        if reasons.is_empty() {
            if before.status == Status::Active {
                judgement.relinked.extend(self.relinked(after));
                self.note_kept(after, judgement)?;
            }
            return Ok(());
        }
        judgement.broken.push(Broken {
            component: before.id.clone(),
            status: before.status,
            reasons,
            affected: active_dependents(self.view, &before.id)?,
        });
        Ok(())
    }

    /// Returns the active revisions beside others that what comes, and `dependents` of it, need now, and that nothing active would need.
    fn ended(&self, dependents: &BTreeSet<ComponentId>) -> Result<Vec<ComponentId>, RegistryError> {
        let mut needed_now = BTreeSet::new();
        for id in dependents.iter().chain(self.coming.keys()) {
            let entry = self.view.entry(id)?.filter(|entry| entry.status == Status::Active);
            needed_now.extend(entry.iter().flat_map(|entry| entry.dependency_ids()).filter(ComponentId::is_beside));
        }
        let mut ended = Vec::new();
        for beside in needed_now {
            let is_active = self.view.entry(&beside)?.is_some_and(|entry| entry.status == Status::Active);
            let mut is_needed = false;
            for dependent in self.view.dependents(&beside)? {
                let after = self.overlay.entry(&dependent)?.filter(|entry| entry.status == Status::Active);
                is_needed |= after.is_some_and(|entry| entry.dependencies.iter().any(|edge| edge.on == beside));
            }
            if is_active && !is_needed {
                ended.push(beside);
            }
        }
        Ok(ended)
    }

    /// Notes which revisions that are in service now `after` needs beside what comes.
    fn note_kept(&self, after: &Entry, judgement: &mut Judgement) -> Result<(), RegistryError> {
        for on in after.dependency_ids().into_iter().filter(ComponentId::is_beside) {
            let in_service = self.view.entry(&on.entry())?.map(|entry| entry.revision.version.clone());
            if in_service != on.version() || !self.coming.contains_key(&on.entry()) {
                continue;
            }
            match judgement.kept.iter_mut().find(|kept| kept.id == on) {
                Some(kept) => kept.needed_by.push(after.id.clone()),
                None => judgement.kept.push(KeptBeside { id: on, needed_by: vec![after.id.clone()] }),
            }
        }
        Ok(())
    }

    fn relinked(&self, after: &Entry) -> Vec<RelinkedEdge> {
        let imports = after.dependencies.iter().filter(|edge| self.coming.contains_key(&edge.on));
        let edges = imports.filter_map(|edge| match &edge.kind {
            EdgeKind::Import { import, export } => Some(RelinkedEdge {
                component: after.id.clone(),
                on: edge.on.clone(),
                import: import.clone(),
                export: export.clone(),
            }),
            EdgeKind::Declared { .. } => None,
        });
        edges.collect()
    }

    /// Says why `after`, an entry as it would be, could not be linked any more although it can be now.
    fn compare(&self, before: &Entry, after: &Entry, judgement: &mut Judgement) -> Result<Vec<Reason>, RegistryError> {
        let mut reasons = Vec::new();
        for unresolved in &after.unresolved {
            if before.unresolved.iter().all(|known| known.need != unresolved.need) {
                reasons.push(self.lost(before, unresolved)?);
            }
        }
        for edge in after.dependencies.iter().filter(|edge| !edge.is_declared()) {
            let is_new = !before.dependencies.contains(edge);
            if self.coming.contains_key(&edge.on) || is_new {
                self.compare_import(after, edge, &mut reasons, judgement)?;
            }
            if is_new
                && before.status == Status::Active
                && let Some(provider) = self.overlay.entry(&edge.on)?
                && provider.status != Status::Active
                && !self.coming.contains_key(&edge.on)
            {
                let (on, import) = (edge.on.clone(), edge.label().to_owned());
                let message = format!("`{}` would be served by `{on}`, which is not active", escape_line(&import));
                reasons.push(Reason { on, import: Some(import), code: "not-active", message, difference: None });
            }
        }
        Ok(reasons)
    }

    fn compare_import(
        &self,
        dependent: &Entry,
        edge: &Edge,
        reasons: &mut Vec<Reason>,
        judgement: &mut Judgement,
    ) -> Result<(), RegistryError> {
        let EdgeKind::Import { import, export } = &edge.kind else { return Ok(()) };
        let Some(provider) = self.overlay.entry(&edge.on)? else { return Ok(()) };
        let (Some(wanted), Some(offered)) = (self.world_of(dependent, judgement), self.world_of(&provider, judgement))
        else {
            return Ok(());
        };
        let fit = fit(&wanted, import, &offered, export);
        if fit.verdict == Verdict::Breaking {
            reasons.extend(fit.differences.into_iter().map(|difference| Reason::of(edge, difference)));
        }
        Ok(())
    }

    /// Returns the types of an entry's revision; what cannot be read breaks nobody, but is said.
    fn world_of(&self, entry: &Entry, judgement: &mut Judgement) -> Option<Arc<World>> {
        let coming = self.coming.get(&entry.id).filter(|one| one.revision.number == entry.revision.number);
        if let Some(world) = coming.and_then(|one| one.world.clone()) {
            return Some(world);
        }
        match self.registry.world(&entry.revision.digest) {
            Ok(world) => Some(world),
            Err(error) => {
                if judgement.unread.iter().all(|(known, _)| *known != entry.id) {
                    judgement.unread.push((entry.id.clone(), error.to_string()));
                }
                None
            }
        }
    }

    /// Says why a need that is met now would not be any more.
    fn lost(&self, before: &Entry, unresolved: &Unresolved) -> Result<Reason, RegistryError> {
        let had = before.dependencies.iter().find(|edge| match (&unresolved.need, &edge.kind) {
            (Need::Import(name), EdgeKind::Import { import, .. }) => name == import,
            (Need::Component(id), EdgeKind::Declared { .. }) => *id == edge.on,
            _ => false,
        });
        let import = match &unresolved.need {
            Need::Import(name) => Some(name.clone()),
            Need::Component(_) => None,
        };
        let on = had.map_or_else(|| before.id.clone(), |edge| edge.on.clone());
        if let (Some(name), domain::entry::UnresolvedReason::Missing) = (&import, &unresolved.reason) {
            let exports = self.overlay.entry(&on)?.map(|entry| entry.revision.exports.clone()).unwrap_or_default();
            let unversioned = |name: &str| name.split('@').next().unwrap_or(name).to_owned();
            let others = exports.iter().filter(|export| unversioned(&export.name) == unversioned(name));
            let others: Vec<_> = others.map(|export| format!("`{}`", export.name)).collect();
            let instead = if others.is_empty() { String::new() } else { format!(", only {}", others.join(", ")) };
            let message = escape_line(&format!("`{on}` does not export `{name}` any more{instead}")).into_owned();
            let difference = Difference { item: None, place: String::new(), kind: DifferenceKind::ExportMissing };
            let code = difference.kind.code();
            return Ok(Reason { on, import, code, message, difference: Some(difference) });
        }
        let error = PlanError::of_unresolved(&before.id, unresolved, &[]);
        let message = escape_line(&error.to_string()).into_owned();
        Ok(Reason { on, import, code: error.code(), message, difference: None })
    }

    /// Says why what comes could not be activated itself.
    fn obstacle(&self, id: &ComponentId) -> Result<Option<RegistryError>, RegistryError> {
        let Some(entry) = self.overlay.entry(id)? else { return Ok(None) };
        if let Some((first, rest)) = entry.unresolved.split_first() {
            return Ok(Some(PlanError::of_unresolved(id, first, rest).into()));
        }
        if let Some(cycle) = closed_cycle(&self.overlay, id, &entry.dependencies)? {
            return Ok(Some(RegistryError::Cycle { cycle }));
        }
        self.unlinkable(&entry)
    }

    /// Says why an entry could not be linked with those that provide for it: their types differ.
    pub(crate) fn unlinkable(&self, entry: &Entry) -> Result<Option<RegistryError>, RegistryError> {
        let mut aside = Judgement::default();
        for edge in entry.dependencies.iter().filter(|edge| !edge.is_declared()) {
            let mut reasons = Vec::new();
            self.compare_import(entry, edge, &mut reasons, &mut aside)?;
            if !reasons.is_empty() {
                return Ok(Some(RegistryError::TypesDiffer { component: entry.id.clone(), reasons }));
            }
        }
        Ok(None)
    }
}

impl Reason {
    fn of(edge: &Edge, difference: Difference) -> Self {
        let import = edge.label().to_owned();
        let message = escape_line(&format!("`{import}`: {difference}")).into_owned();
        let code = difference.kind.code();
        Self { on: edge.on.clone(), import: Some(import), code, message, difference: Some(difference) }
    }
}

/// Returns the active components that need `id`, directly or not, ordered.
pub(crate) fn active_dependents(view: &dyn StateView, id: &ComponentId) -> Result<Vec<ComponentId>, RegistryError> {
    let mut found = BTreeSet::new();
    let mut open = vec![id.clone()];
    while let Some(at) = open.pop() {
        for dependent in view.dependents(&at)? {
            let is_active = |entry: Arc<Entry>| entry.status == Status::Active;
            if dependent != *id && !found.contains(&dependent) && view.entry(&dependent)?.is_some_and(is_active) {
                found.insert(dependent.clone());
                open.push(dependent);
            }
        }
    }
    Ok(found.into_iter().collect())
}
