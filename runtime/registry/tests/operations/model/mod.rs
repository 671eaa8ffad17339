//! Random histories of a registry in a data folder, beside a plain model that must always agree with it.
//!
//! `REGISTRY_HISTORIES=10000 cargo test -p registry model` tries as many; a failure is shrunk to the fewest steps that show it.

mod doing;
mod plain;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use domain::entry::{DeclaredBy, EdgeKind, Need};
use domain::ports::{AuditWindow, SettingsStore};
use domain::{ComponentId, Status};
use proptest::prelude::*;
use registry::{ActivateReport, GrantSharing, RegisterOutcome, RegistryError, Target};
use storage::{OpenOptions, Storage};

use crate::dice::number;
use crate::fakes::{Blobs, Ticking, World, id};
use crate::races::{agree, check};
use doing::{Activation, Answer};
use plain::{Lack, Plain, Use, Why};
use steps::{End, NAMES, RANGES, Scope, Step, VERSIONS, author_text, interface, name, step};

/// A registry in a folder, and the model of it.
struct Pair {
    folder: tempfile::TempDir,
    open: Option<(Storage, World)>,
    blobs: Arc<Blobs>,
    clock: Arc<Ticking>,
    plain: Plain,
}

fn open(folder: &Path, clock: Arc<Ticking>) -> Storage {
    // Syncs are tried elsewhere, and take most of the time.
    let options = OpenOptions { lock_timeout: Duration::from_secs(1), ..OpenOptions::default() };
    let storage = Storage::open(folder, &options, clock).unwrap();
    if storage.settings.load().unwrap().0.is_none() {
        // Restarts and quarantine have times of their own; dependents that follow are tried by themselves.
        let settings = "durability = \"process\"\nactivation = { follow = false }\nbreaker = { failures = \"never\" }";
        storage.settings.save(settings).unwrap();
    }
    storage
}

fn code<T>(result: Result<T, RegistryError>, ok: impl FnOnce(T) -> String) -> Answer {
    match result {
        Ok(answer) => Ok(ok(answer)),
        Err(error) => Err(error.code().to_owned()),
    }
}

fn done(outcomes: registry::Outcomes) -> Answer {
    match outcomes.failed.into_iter().next() {
        None => Ok("done".to_owned()),
        Some((_, error)) => Err(error.code().to_owned()),
    }
}

fn place(list: &[&str], text: &str) -> u8 {
    list.iter().position(|one| *one == text).unwrap() as u8
}

fn number_of(component: &ComponentId) -> u8 {
    component.name()[1..].parse().unwrap()
}

fn names<'a>(ids: impl IntoIterator<Item = &'a ComponentId>) -> BTreeSet<u8> {
    ids.into_iter().map(number_of).collect()
}

fn activation(report: &ActivateReport) -> Activation {
    Activation {
        activated: names(report.activated.iter().map(|activated| &activated.id)),
        active: names(&report.already_active),
        failed: report.failed.iter().map(|(id, error)| (number_of(id), error.code().to_owned())).collect(),
        skipped: names(report.skipped.iter().map(|(id, _)| id)),
    }
}

impl Pair {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut pair =
            Self { folder, open: None, blobs: Arc::default(), clock: Arc::default(), plain: Plain::default() };
        pair.reopen().await;
        pair
    }

    async fn reopen(&mut self) {
        let storage = open(self.folder.path(), self.clock.clone());
        let (state, settings, upkeep) = (storage.state.clone(), storage.settings.clone(), storage.upkeep.clone());
        let world = World::of(state, self.blobs.clone(), settings, Some(upkeep), self.clock.clone()).await;
        self.open = Some((storage, world));
    }

    fn registry(&self) -> &registry::Registry {
        &self.open.as_ref().unwrap().1.registry
    }

    async fn restart(&mut self, end: End) {
        self.restart_and(end, true).await;
    }

    /// As [`Self::restart`], where the model was not asked.
    async fn restart_without_counts(&mut self, end: End) {
        self.restart_and(end, false).await;
    }

    async fn restart_and(&mut self, end: End, counts: bool) {
        let (storage, world) = self.open.take().unwrap();
        if end != End::Dropped {
            world.registry.close().await.unwrap();
        }
        drop(world);
        if end == End::Dropped {
            drop(storage);
        } else {
            storage.close().unwrap();
        }
        if end == End::WithoutIndex {
            std::fs::remove_dir_all(self.folder.path().join("index")).unwrap();
        }
        self.reopen().await;
        if end != End::WithoutIndex {
            assert_eq!(self.open.as_ref().unwrap().0.warnings(), []);
        }
        if counts && end != End::Closed {
            // Counters are soft: those that were not written yet are gone, but none is there that was not counted.
            for (name, found) in self.uses().await {
                let use_ = &mut self.plain.items.get_mut(&name).unwrap().use_;
                assert!(
                    found.calls <= use_.calls && found.errors <= use_.errors && found.activations <= use_.activations
                );
                *use_ = found;
            }
        }
    }

    async fn uses(&self) -> BTreeMap<u8, Use> {
        let views = self.registry().list(&Default::default()).await.unwrap();
        let counted = views.iter().map(|view| {
            let usage = &view.usage;
            assert_eq!(usage.access_count, usage.calls);
            let use_ = Use { calls: usage.calls, errors: usage.errors, activations: usage.activations };
            (number_of(&view.entry.id), use_)
        });
        counted.collect()
    }

    /// Does one step on both and compares what they answer.
    async fn take(&mut self, step: &Step) {
        if let Step::Restart(end) = *step {
            return self.restart(end).await;
        }
        let registry = self.registry().clone();
        let target = |name_: u8, version: Option<u8>| Target {
            id: id(&name(name_)),
            version: version.map(|version| VERSIONS[version as usize].parse().unwrap()),
        };
        let component = |name_: u8| id(&name(name_));
        let plain = &mut self.plain;
        let (found, expected) = match *step {
            Step::Register { ref text, override_version, activate } => {
                let mut request = text.request();
                request.override_version = override_version;
                let found = code(registry.register(request).await, |registered| match registered.outcome {
                    RegisterOutcome::New => "New".to_owned(),
                    RegisterOutcome::NewRevision => "NewRevision".to_owned(),
                    RegisterOutcome::Waiting => "Waiting".to_owned(),
                    RegisterOutcome::Unchanged => "Unchanged".to_owned(),
                });
                let expected = plain.register(text, override_version);
                if activate && found.is_ok() && expected.is_ok() {
                    let report = registry.activate(&[target(text.name, Some(text.version))]).await;
                    assert_eq!(activation(&report), plain.activate(text.name, Some(text.version)));
                }
                (found, expected)
            }
            Step::Activate { name, version } => {
                let report = registry.activate(&[target(name, version)]).await;
                assert_eq!(activation(&report), plain.activate(name, version));
                return;
            }
            Step::Unregister { name, cascade } => {
                (done(registry.unregister(&[component(name)], cascade).await), plain.unregister(name, cascade))
            }
            Step::Deactivate { name, cascade } => {
                (done(registry.deactivate(&[component(name)], cascade).await), plain.deactivate(name, cascade))
            }
            Step::Depend { name, on, range } => {
                let wanted = Some(RANGES[range as usize].parse().unwrap());
                let found = registry.add_dependency(&component(name), &component(on), wanted).await;
                (code(found, |added| added.to_string()), plain.depend(name, on, range))
            }
            Step::Undepend { name, on } => {
                let found = registry.remove_dependency(&component(name), &component(on)).await;
                (code(found, |removed| removed.to_string()), plain.undepend(name, on))
            }
            Step::Fuse { name, on } => {
                let fused = registry.fuse(&component(name), &[component(on)], GrantSharing::Equal).await;
                let fused = code(fused, |change| change.changed.to_string());
                assert_eq!(fused, plain.fuse(name, on));
                if fused.is_err() {
                    return;
                }
                let view = registry.get(&component(name)).await.unwrap();
                assert_eq!(view.fused.unwrap().with, [component(on)]);
                // Of how many others its unit is made.
                let called = registry.call(&component(name), Default::default()).await;
                assert_eq!(code(called, |outcome| outcome.json.to_string()), plain.call(name).map(|_| "1".to_owned()));
                let apart = registry.unfuse(&component(name)).await;
                (code(apart, |change| change.changed.to_string()), Ok("true".to_owned()))
            }
            Step::SetStatus { name, status } => {
                let found = registry.set_status(&component(name), status, None).await;
                let was_there = plain.items.contains_key(&name);
                let found = match code(found, |()| "done".to_owned()) {
                    Err(_) if status == Status::Active && was_there => Err("activation".to_owned()),
                    found => found,
                };
                (found, plain.set_status(name, status))
            }
            Step::Mark { name } => {
                let found = registry.mark_error(&component(name), "odd").await;
                (code(found, |()| "done".to_owned()), plain.mark(name, "odd"))
            }
            Step::Clear { name } => {
                let found = registry.clear_errors(&component(name)).await;
                (code(found, |()| "done".to_owned()), plain.clear(name))
            }
            Step::Call { name } => {
                let found = registry.call(&component(name), Default::default()).await;
                (code(found, |_| "done".to_owned()), plain.call(name))
            }
            Step::CreateIndex => {
                let found = registry.create_metadata_index("author").await;
                let made = !std::mem::replace(&mut plain.has_index, true);
                (code(found, |made| made.to_string()), Ok(made.to_string()))
            }
            Step::DropIndex => {
                let found = registry.drop_index("author").await;
                let dropped = std::mem::replace(&mut plain.has_index, false);
                (code(found, |dropped| dropped.to_string()), Ok(dropped.to_string()))
            }
            Step::AllowOverride(allow) => {
                plain.allow_override = allow;
                let found = registry.set_setting("allow_override", Some(&allow.to_string())).await;
                (code(found, |()| "done".to_owned()), Ok("done".to_owned()))
            }
            Step::WrongSetting => {
                let found = registry.set_setting("limits.fuel", Some("much")).await;
                (code(found, |()| "done".to_owned()), Err("invalid-setting".to_owned()))
            }
            Step::Prune => {
                let report = registry.prune(Duration::ZERO, false).await.unwrap();
                let found = names(report.pruned.iter().map(|unused| &unused.id));
                let failed = names(report.failed.iter().map(|(id, _)| id));
                assert_eq!((found, failed), plain.prune());
                return;
            }
            Step::Compact => {
                let keep = AuditWindow { age: Duration::ZERO, records: 0 };
                registry.compact(keep, |_, _| {}).await.unwrap();
                return;
            }
            Step::Restart(_) => return,
        };
        assert_eq!(found, expected);
    }

    /// Compares the registry with the model.
    async fn compare(&self) {
        self.plain.check();
        let registry = self.registry();
        let views = registry.list(&Default::default()).await.unwrap();
        assert_eq!(names(views.iter().map(|view| &view.entry.id)), self.plain.items.keys().copied().collect());
        for view in &views {
            let (entry, at) = (&view.entry, number_of(&view.entry.id));
            let item = &self.plain.items[&at];
            let at_revision = (entry.status, entry.revision.number as usize, entry.newest as usize);
            assert_eq!(at_revision, (item.status, item.current, item.newest()), "{}", entry.id);
            let way = (entry.waiting.map(|number| number as usize), entry.trail.iter().map(|number| *number as usize));
            let way = (way.0, way.1.collect::<Vec<_>>());
            let far = item.trail.len().saturating_sub(domain::entry::TRAIL_MAX);
            assert_eq!(way, (item.waiting, item.trail[far..].to_vec()), "{}", entry.id);
            let edges: BTreeSet<(u8, Why)> =
                entry.dependencies.iter().map(|edge| (number_of(&edge.on), why(&edge.kind))).collect();
            assert_eq!((edges, entry.dependencies.len()), (item.needs.edges.clone(), item.needs.edges.len()));
            let lacks: BTreeSet<Lack> = entry.unresolved.iter().map(|unresolved| lack(&unresolved.need)).collect();
            assert_eq!(lacks, item.needs.lacks, "{}", entry.id);
            assert_eq!(names(&view.dependents), self.plain.dependents(at), "{}", entry.id);
            assert_eq!(entry.error_count, item.error_count, "{}", entry.id);
            assert_eq!(entry.last_error.as_deref(), item.last_error, "{}", entry.id);
            let failures = registry.errors(Some(&entry.id), 1_000).await.unwrap();
            let messages: Vec<_> = failures.iter().map(|logged| logged.failure.message.as_str()).collect();
            assert_eq!(messages, item.failures, "{}", entry.id);
            let revisions = registry.revisions(&entry.id).await.unwrap();
            let versions: Vec<u8> = revisions.iter().map(|one| place(&VERSIONS, &one.version.to_string())).collect();
            assert_eq!(versions, item.revisions.iter().map(|text| text.version).collect::<Vec<_>>(), "{}", entry.id);
        }
        assert_eq!(self.uses().await, self.plain.items.iter().map(|(at, item)| (*at, item.use_)).collect());
        let waves = registry.order(&[]).await.unwrap();
        let waves: Vec<Vec<u8>> = waves.iter().map(|wave| wave.iter().map(number_of).collect()).collect();
        assert_eq!(Some(waves), self.plain.waves());
        for status in Status::ALL {
            let found = registry.by_status(status).await.unwrap();
            let expected = self.plain.items.iter().filter(|(_, item)| item.status == status);
            assert_eq!(names(found.iter().map(|view| &view.entry.id)), expected.map(|(at, _)| *at).collect());
        }
        self.compare_index().await;
    }

    async fn compare_index(&self) {
        for author in [true, false] {
            match self.registry().by_index("author", author_text(author)).await {
                Ok(found) => {
                    assert!(self.plain.has_index);
                    let found: Vec<u8> = found.iter().map(|view| number_of(&view.entry.id)).collect();
                    assert_eq!(found, self.plain.authors(author));
                }
                Err(error) => assert_eq!((error.code(), self.plain.has_index), ("index-not-found", false)),
            }
        }
    }
}

fn why(kind: &EdgeKind) -> Why {
    match kind {
        EdgeKind::Import { import, .. } => Why::Import((0..NAMES).find(|at| interface(*at) == *import).unwrap()),
        EdgeKind::Declared { range, origin: DeclaredBy::Manifest } => Why::Manifest(place(&RANGES, &range.to_string())),
        EdgeKind::Declared { range, origin: DeclaredBy::Operator } => Why::Operator(place(&RANGES, &range.to_string())),
    }
}

fn lack(need: &Need) -> Lack {
    match need {
        Need::Import(name) => Lack::Interface((0..NAMES).find(|at| interface(*at) == *name).unwrap()),
        Need::Component(on) => Lack::Component(number_of(on)),
    }
}

async fn live(steps: &[Step]) {
    let mut pair = Pair::new().await;
    for step in steps {
        pair.take(step).await;
        pair.compare().await;
    }
    pair.restart(End::Closed).await;
    pair.compare().await;
    assert_eq!(pair.registry().verify().await.unwrap().differences, []);
}

/// Does all steps, whatever comes of each, and checks what must hold after every one.
async fn live_beside(steps: &[Step]) {
    let mut pair = Pair::new().await;
    for step in steps {
        if let Step::Restart(end) = *step {
            pair.restart_without_counts(end).await;
        } else {
            act(pair.registry(), step).await;
        }
        agree(pair.registry()).await;
    }
    pair.restart_without_counts(End::Closed).await;
    check(pair.registry()).await;
}

/// Does one step; that it is refused is as good.
async fn act(registry: &registry::Registry, step: &Step) {
    let component = |name_: u8| id(&name(name_));
    match *step {
        Step::Register { ref text, override_version, activate } => {
            let mut request = text.request();
            request.override_version = override_version;
            let registered = registry.register(request).await;
            if activate && registered.is_ok() {
                let version = Some(VERSIONS[text.version as usize].parse().unwrap());
                registry.activate(&[Target { id: component(text.name), version }]).await;
            }
        }
        Step::Activate { name, version } => {
            let version = version.map(|version| VERSIONS[version as usize].parse().unwrap());
            registry.activate(&[Target { id: component(name), version }]).await;
        }
        Step::Unregister { name, cascade } => drop(registry.unregister(&[component(name)], cascade).await),
        Step::Deactivate { name, cascade } => {
            let outcomes = registry.deactivate(&[component(name)], cascade).await;
            let is_done = outcomes.failed.is_empty() && registry.contains(&component(name)).await.unwrap();
            if is_done {
                let view = registry.get(&component(name)).await.unwrap();
                let active = |status: Status| status == Status::Active;
                assert!(!active(view.entry.status) && !view.beside.iter().any(|one| active(one.entry.status)));
            }
        }
        Step::Depend { name, on, range } => {
            let range = Some(RANGES[range as usize].parse().unwrap());
            drop(registry.add_dependency(&component(name), &component(on), range).await);
        }
        Step::Undepend { name, on } => drop(registry.remove_dependency(&component(name), &component(on)).await),
        Step::Fuse { name, on } => {
            if registry.fuse(&component(name), &[component(on)], GrantSharing::Equal).await.is_ok() {
                registry.unfuse(&component(name)).await.unwrap();
            }
        }
        Step::SetStatus { name, status } => drop(registry.set_status(&component(name), status, None).await),
        Step::Mark { name } => drop(registry.mark_error(&component(name), "odd").await),
        Step::Clear { name } => drop(registry.clear_errors(&component(name)).await),
        Step::Call { name } => drop(registry.call(&component(name), Default::default()).await),
        Step::CreateIndex => drop(registry.create_metadata_index("author").await),
        Step::DropIndex => drop(registry.drop_index("author").await),
        Step::AllowOverride(allow) => drop(registry.set_setting("allow_override", Some(&allow.to_string())).await),
        Step::Prune => drop(registry.prune(Duration::ZERO, false).await.unwrap()),
        // What is compacted away cannot be added up any more.
        Step::Compact | Step::WrongSetting | Step::Restart(_) => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: number("REGISTRY_HISTORIES").unwrap_or(200) as u32,
        failure_persistence: None,
        max_shrink_iters: 20_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_history_leads_to_what_the_plain_model_has(steps in prop::collection::vec(step(Scope::OneInService), 1..30)) {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(live(&steps));
    }

    /// Where revisions come to be active side by side, what is in service, who needs what and what is beside it always fit together.
    #[test]
    fn in_any_history_revisions_are_beside_each_other_only_as_long_as_somebody_needs_them(
        steps in prop::collection::vec(step(Scope::Any), 1..30)
    ) {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        tokio.block_on(live_beside(&steps));
    }
}
