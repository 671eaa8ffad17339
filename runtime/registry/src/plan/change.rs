//! The plan of each sort of change.

use std::sync::Arc;

use domain::grant::{self, Revocation};
use domain::plan::{PlanError, plan_activation_in};
use domain::ports::StateView;
use domain::world::{Diff, Side, World, diff};
use domain::{ComponentId, Entry, Grant, Revision, Status};

use super::{Broken, Change, ChangePlan, Coming, Judge, PlannedRevision, Reason, Scope, active_dependents};
use crate::Registry;
use crate::activate::no_revision;
use crate::commit::blocking;
use crate::deactivate::Stopping;
use crate::error::RegistryError;
use crate::grants::GrantRefusal;
use crate::names::{Target, unknown};
use crate::quotas::refuse_beyond;
use crate::register::{Draft, Numbered, RegisterOutcome, RegisterRequest, numbered};
use crate::source::ComponentSource;

impl Registry {
    /// Says what a change would do, and makes none: not even a refusal is written.
    ///
    /// What would come into service is judged by the types in the binaries: each function that a dependent really imports has to be
    /// there with the same type. What would be refused is in the plan.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::VersionNotFound`], [`RegistryError::RevisionNotFound`] for what is not there;
    /// [`RegistryError::Storage`].
    pub async fn plan_change(&self, change: Change) -> Result<ChangePlan, RegistryError> {
        let registry = self.clone();
        blocking(move || {
            let view: &dyn StateView = &*registry.inner.state;
            match change {
                Change::Register(requests) => registry.plan_register(view, requests, false),
                Change::RegisterAndActivate(requests) => registry.plan_register(view, requests, true),
                Change::Activate(targets) => registry.plan_activate(view, &targets),
                Change::Use { id, revision } => registry.plan_use(view, &id, revision),
                Change::Deactivate { ids, cascade } => plan_stop(view, &ids, cascade, Stopping::Deactivate),
                Change::Unregister { ids, cascade } => plan_stop(view, &ids, cascade, Stopping::Unregister),
                Change::Revoke { id, what } => registry.plan_revoke(view, &id, &what),
            }
        })
        .await
    }

    fn plan_register(
        &self,
        view: &dyn StateView,
        requests: Vec<RegisterRequest>,
        activate: bool,
    ) -> Result<ChangePlan, RegistryError> {
        let mut plan = ChangePlan::default();
        let mut coming = Vec::new();
        let mut targets = Vec::new();
        for request in requests {
            let name = match &request.source {
                ComponentSource::Path(path) => path.display().to_string(),
                ComponentSource::Bytes { name, .. } => name.clone(),
            };
            let planned = self.prepare_draft(&request).and_then(|draft| self.plan_draft(view, &draft, &mut plan));
            match planned {
                Ok((id, one)) => {
                    targets.push(id);
                    coming.extend(one);
                }
                Err(error) => plan.refused.push((name, error)),
            }
        }
        let mut judge = Judge::new(self, view, coming)?;
        self.judge_into(&mut judge, &mut plan)?;
        if activate {
            self.plan_waves(&judge, &targets, &mut plan)?;
        }
        Ok(plan)
    }

    /// Says what registering `draft` would do, and returns what would come into service, unless it is there already.
    fn plan_draft(
        &self,
        view: &dyn StateView,
        draft: &Draft,
        plan: &mut ChangePlan,
    ) -> Result<(ComponentId, Option<Coming>), RegistryError> {
        plan.warnings.extend(draft.warnings.iter().cloned());
        let entry = view.entry(&draft.id)?;
        let newest = match &entry {
            Some(entry) => view.revision(&draft.id, entry.newest)?,
            None => None,
        };
        let numbered = numbered(view, draft, entry.as_deref())?;
        let (number, outcome) = match (numbered, &entry) {
            (Numbered::Unchanged(number), _) => (number, RegisterOutcome::Unchanged),
            (Numbered::Next(number), None) => (number, RegisterOutcome::New),
            (Numbered::Next(number), Some(entry)) if entry.status == Status::Active => {
                (number, RegisterOutcome::Waiting)
            }
            (Numbered::Next(number), Some(_)) => (number, RegisterOutcome::NewRevision),
        };
        refuse_beyond(view, &self.settings().quotas.of_namespace(draft.id.namespace()), draft, outcome)?;
        let (asks_anew, granted) = draft.grants_of(entry.as_deref(), newest.as_deref())?;
        let had = entry.iter().flat_map(|entry| entry.grants.iter().map(|granted| granted.grant.clone()));
        let has: Vec<_> = had.chain(granted).collect();
        let mut missing = draft.requests().grants();
        missing.retain(|asked| !has.iter().any(|grant| grant.is_same_place(asked)));
        let wrong = |source| RegistryError::Binary { name: draft.id.to_string(), source };
        let world = Arc::new(self.inner.engine.world(&draft.bytes).map_err(wrong)?);
        let revision = Arc::new(draft.revision(number, self.inner.clock.now()));
        let before = entry.as_ref().map(|entry| entry.revision.clone());
        let planned = PlannedRevision { asks_anew, missing, ..self.planned(&draft.id, &revision, before, &world) };
        plan.revisions.push(PlannedRevision { outcome: Some(outcome), ..planned });
        let coming = Coming { id: draft.id.clone(), revision, world: Some(world), carried: Vec::new() };
        Ok((draft.id.clone(), (outcome != RegisterOutcome::Unchanged).then_some(coming)))
    }

    fn plan_activate(&self, view: &dyn StateView, targets: &[Target]) -> Result<ChangePlan, RegistryError> {
        let mut plan = ChangePlan::default();
        let mut coming = Vec::new();
        for target in targets {
            let entry = view.entry(&target.id)?.ok_or_else(|| unknown(&target.id))?;
            let Some(version) = &target.version else { continue };
            let revisions = view.revisions(&target.id)?;
            let known = || revisions.iter().map(|revision| revision.version.clone()).collect();
            let found = revisions.iter().rev().find(|revision| revision.version == *version);
            let revision = found.ok_or_else(|| RegistryError::VersionNotFound {
                component: target.id.clone(),
                version: version.clone(),
                known: known(),
            })?;
            if revision.number != entry.revision.number {
                coming.push(self.plan_switch(&entry, revision, &mut plan)?);
            }
        }
        let mut judge = Judge::new(self, view, coming)?;
        self.judge_into(&mut judge, &mut plan)?;
        let ids: Vec<_> = targets.iter().map(|target| target.id.clone()).collect();
        self.plan_waves(&judge, &ids, &mut plan)?;
        Ok(plan)
    }

    fn plan_use(&self, view: &dyn StateView, id: &ComponentId, number: u32) -> Result<ChangePlan, RegistryError> {
        let mut plan = ChangePlan::default();
        let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
        let revision = view.revision(id, number)?.ok_or_else(|| no_revision(&entry, number))?;
        if number == entry.revision.number {
            plan.already_active.extend((entry.status == Status::Active).then(|| id.clone()));
            return Ok(plan);
        }
        let coming = vec![self.plan_switch(&entry, &revision, &mut plan)?];
        let mut judge = Judge::new(self, view, coming)?;
        self.judge_into(&mut judge, &mut plan)?;
        if entry.status == Status::Active {
            self.plan_waves(&judge, std::slice::from_ref(id), &mut plan)?;
        }
        Ok(plan)
    }

    /// Says what `revision` would change in the place of the one that `entry` points to.
    fn plan_switch(
        &self,
        entry: &Entry,
        revision: &Arc<Revision>,
        plan: &mut ChangePlan,
    ) -> Result<Coming, RegistryError> {
        let world = self.world(&revision.digest)?;
        let (before, after) = (self.requests_of(&entry.revision.manifest), self.requests_of(&revision.manifest));
        plan.revisions.push(PlannedRevision {
            asks_anew: grant::asked_anew(&before, &after),
            missing: grant::missing(&after, &entry.grants),
            ..self.planned(&entry.id, revision, Some(entry.revision.clone()), &world)
        });
        Ok(Coming { id: entry.id.clone(), revision: revision.clone(), world: Some(world), carried: Vec::new() })
    }

    fn planned(
        &self,
        id: &ComponentId,
        revision: &Revision,
        before: Option<Arc<Revision>>,
        world: &World,
    ) -> PlannedRevision {
        // What cannot be read any more has nothing to be compared with.
        let old = before.as_ref().and_then(|before| self.world(&before.digest).ok());
        let changed = |side| old.as_ref().map_or_else(Diff::default, |old| diff(old, world, side));
        PlannedRevision {
            id: id.clone(),
            revision: revision.number,
            version: revision.version.clone(),
            outcome: None,
            replaces: before.map(|before| (before.number, before.version.clone())),
            exports: changed(Side::Exports),
            imports: changed(Side::Imports),
            asks_anew: Vec::new(),
            missing: Vec::new(),
        }
    }

    fn judge_into(&self, judge: &mut Judge<'_>, plan: &mut ChangePlan) -> Result<(), RegistryError> {
        let judgement = judge.judge(Scope::All)?;
        plan.relinked = judgement.relinked;
        plan.kept = judgement.kept;
        plan.ended = judgement.ended;
        plan.broken = judgement.broken;
        plan.refused.extend(judgement.refused.into_iter().map(|(id, error)| (id.to_string(), error)));
        plan.unread = judgement.unread;
        plan.not_looked_at = judgement.not_looked_at;
        Ok(())
    }

    /// Says what would be activated in the state that `judge` foresees.
    fn plan_waves(
        &self,
        judge: &Judge<'_>,
        targets: &[ComponentId],
        plan: &mut ChangePlan,
    ) -> Result<(), RegistryError> {
        let activation = plan_activation_in(judge.overlay(), targets)?;
        let mut lost: Vec<ComponentId> = activation.blocked.iter().map(|(id, _)| id.clone()).collect();
        for (id, error) in activation.blocked {
            if plan.refused.iter().all(|(known, _)| known != id.as_str()) {
                plan.refused.push((id.to_string(), error.into()));
            }
        }
        plan.skipped = activation.skipped;
        for wave in activation.waves {
            let mut kept = Vec::new();
            for id in wave {
                let Some(entry) = activation.entries.get(&id) else { continue };
                if let Some(because) = entry.dependency_ids().into_iter().find(|on| lost.contains(on)) {
                    lost.push(id.clone());
                    plan.skipped.push((id, because));
                    continue;
                }
                if let Some(error) = judge.unlinkable(entry)? {
                    if plan.refused.iter().all(|(known, _)| known != id.as_str()) {
                        plan.refused.push((id.to_string(), error));
                    }
                    lost.push(id);
                    continue;
                }
                let missing = self.missing_grants(entry);
                if !missing.is_empty() {
                    plan.ungranted.push((id.clone(), missing));
                }
                kept.push(id);
            }
            plan.waves.extend((!kept.is_empty()).then_some(kept));
        }
        let replaced = |id: &ComponentId| plan.revisions.iter().any(|revision| revision.id == *id);
        plan.already_active = activation.already_active.into_iter().filter(|id| !replaced(id)).collect();
        Ok(())
    }

    fn plan_revoke(
        &self,
        view: &dyn StateView,
        id: &ComponentId,
        what: &Revocation,
    ) -> Result<ChangePlan, RegistryError> {
        let mut plan = ChangePlan::default();
        let entry = view.entry(id)?.ok_or_else(|| unknown(id))?;
        let granted = entry.grants.iter().map(|granted| granted.grant.clone());
        plan.revoked = granted.filter(|grant| what.takes(grant)).collect();
        if plan.revoked.is_empty() {
            if !matches!(what, Revocation::All) {
                let has = entry.grants.iter().map(|granted| granted.grant.to_string()).collect();
                let source = GrantRefusal::NotGranted { what: what.clone(), has };
                plan.refused.push((id.to_string(), RegistryError::Grant { component: id.clone(), source }));
            }
            return Ok(plan);
        }
        if entry.status == Status::Active {
            plan.renewed.push(id.clone());
            plan.renewed.extend(self.made_with(id));
        }
        let asked = self.requests_of(&entry.revision.manifest).grants();
        let is_asked = |gone: &&Grant| asked.iter().any(|asked| asked.is_same_place(gone));
        let reasons = plan.revoked.iter().filter(is_asked).map(|gone| Reason {
            on: id.clone(),
            import: None,
            code: "grant-revoked",
            message: domain::text::escape_line(&format!("it asks for `{gone}`")).into_owned(),
            difference: None,
        });
        let reasons: Vec<_> = reasons.collect();
        if !reasons.is_empty() {
            let affected = active_dependents(view, id)?;
            plan.broken.push(Broken { component: id.clone(), status: entry.status, reasons, affected });
        }
        Ok(plan)
    }
}

/// Says what would stop, and who would lose what.
fn plan_stop(
    view: &dyn StateView,
    ids: &[ComponentId],
    cascade: bool,
    stopping: Stopping,
) -> Result<ChangePlan, RegistryError> {
    for id in ids {
        view.entry(id)?.ok_or_else(|| unknown(id))?;
    }
    let stop = stopping.plan(view, ids, cascade)?;
    let mut plan = ChangePlan { stops: stop.waves.concat(), ..ChangePlan::default() };
    for (id, error) in stop.blocked {
        if let PlanError::Dependents { dependents, .. } = &error {
            for dependent in dependents {
                let Some(entry) = view.entry(dependent)? else { continue };
                note_lost(view, &entry, &id, &mut plan)?;
            }
        }
        plan.refused.push((id.to_string(), error.into()));
    }
    plan.broken.sort_by_key(|broken| (broken.status != Status::Active, broken.component.clone()));
    Ok(plan)
}

/// Notes that `dependent` would lose `id`.
fn note_lost(
    view: &dyn StateView,
    dependent: &Entry,
    id: &ComponentId,
    plan: &mut ChangePlan,
) -> Result<(), RegistryError> {
    let edges = dependent.dependencies.iter().filter(|edge| edge.on.is_same_entry(id));
    let reasons = edges.map(|edge| {
        let import = (!edge.is_declared()).then(|| edge.label().to_owned());
        let message = match &import {
            Some(import) => format!("it imports `{}` from `{}`", domain::text::escape_line(import), edge.on),
            None => format!("it depends on `{}`", edge.on),
        };
        Reason { on: id.clone(), import, code: "provider-gone", message, difference: None }
    });
    let reasons: Vec<_> = reasons.collect();
    match plan.broken.iter_mut().find(|broken| broken.component == dependent.id) {
        Some(broken) => broken.reasons.extend(reasons),
        None => plan.broken.push(Broken {
            component: dependent.id.clone(),
            status: dependent.status,
            reasons,
            affected: active_dependents(view, &dependent.id)?,
        }),
    }
    Ok(())
}
