//! Activating: the plan, wave by wave, each component on its own.

mod decide;
mod replace;
mod select;
mod switch;

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};

use domain::graph::Graph;
use domain::plan::plan_activation;
use domain::ports::StateView;
use domain::reduce::index;
use domain::{Actor, ComponentId, Entry, Event, Failure, FailureKind, Grant, Phase, Record, Status};

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::fuse::Recipe;
use crate::grants::Renewal;
use crate::instances::Prepared;
use crate::names::{Target, unknown};
use crate::parallel::for_each;
use crate::report::{ActivateReport, Activated};
use decide::{Ready, Started, decide_active};
pub(crate) use decide::{decide_recovered, decide_revision};
use select::Selected;
pub(crate) use switch::no_revision;
pub use switch::{Switch, SwitchReport};

/// Fewest entries for which a thread of their own is worth its while.
const READER_MIN: usize = 1_000;

/// How one component of a plan came out.
enum Step {
    Activated(Activated),
    AlreadyActive,
    Skipped(ComponentId),
    Failed(RegistryError),
}

impl Registry {
    /// Says what [`Registry::activate`] would do, without doing it.
    ///
    /// # Errors
    /// [`RegistryError::Storage`]; what is wrong with single components is in the report.
    pub async fn plan(&self, targets: &[Target]) -> Result<ActivateReport, RegistryError> {
        let ids: Vec<_> = targets.iter().map(|target| target.id.clone()).collect();
        let mut report = self.read(move |view| Ok(ActivateReport::of_plan(plan_activation(view, &ids)?))).await?;
        report.ungranted = self.ungranted(&report);
        Ok(report)
    }

    /// Activates components and all that they need, in topological waves, each wave in parallel.
    ///
    /// A component that fails goes to status `error` and its failure to its history; what depends on it is skipped; the rest
    /// goes on. One whose first instance is made when it is called is only linked. One for which the process has no room is refused, and
    /// stays as it is. A target with a version activates the newest revision of that version; where that revision cannot be activated,
    /// the entry stays as it is. A target in status `error` is tried again.
    ///
    /// An active component is replaced while it is called: an instance of the new revision is made beside the old one, gets what that
    /// remembers where both have the state interface, and has to be well; then calls go to it. No call fails for it. Those that run go on
    /// in the old one, and so do calls on handles that it gave out, for as long as the component's drain time allows. Where the new
    /// revision fails, the old one goes on as if nothing had been. [`Activated::swapped`] says what was moved.
    ///
    /// An activation that failed is tried again as often as `activation.max_retries` says, after a while. What waited for a component to
    /// come back, because it needs it, comes back with it.
    ///
    /// # Cancel safety
    /// Dropping the future leaves each component either activated or as it was.
    pub async fn activate(&self, targets: &[Target]) -> ActivateReport {
        let report = self.asked_for(targets.iter().map(|target| target.id.clone())).activate_now(targets).await;
        self.settle_activated(&report).await;
        self.follow_now().await;
        report
    }

    /// Returns the same registry for an activation of `ids`, unless it is part of another one: what that needs nobody asked for.
    pub(crate) fn asked_for(&self, ids: impl Iterator<Item = ComponentId>) -> Self {
        let asked = self.asked.clone().unwrap_or_else(|| Arc::new(ids.collect()));
        Self { asked: Some(asked), ..self.clone() }
    }

    /// As [`Registry::activate`], of the targets and what they need alone.
    pub(crate) async fn activate_now(&self, targets: &[Target]) -> ActivateReport {
        let mut report = ActivateReport::default();
        let Selected { current, replacing, refused, failed } = self.select_all(targets).await;
        report.failed.extend(failed);
        match self.plan(&current).await {
            Ok(plan) => self.carry_out(plan, &mut report).await,
            Err(error) => report.failed.extend(current.first().map(|target| (target.id.clone(), error))),
        }
        for plan in refused {
            self.carry_out(plan, &mut report).await;
        }
        for (id, revision) in replacing {
            self.replace_active(&id, revision, &mut report).await;
        }
        for (id, error) in std::mem::take(&mut report.failed) {
            let error = self.refused("activate", Some(&id), error).await;
            report.failed.push((id, error));
        }
        report.ungranted = self.ungranted(&report);
        if let Err(error) = self.flush_failures().await {
            self.inner.tracker.note_lost(&error);
        }
        if let Err(RegistryError::Storage(error)) = self.secure().await {
            // They are active, but nobody can count on it.
            let activated = std::mem::take(&mut report.activated);
            report.failed.extend(activated.into_iter().map(|activated| (activated.id, error.again().into())));
        }
        report
    }

    /// Returns what the components of a report ask for and were not granted; those that are planned, where nothing was done.
    fn ungranted(&self, report: &ActivateReport) -> Vec<(ComponentId, Vec<Grant>)> {
        let activated = report.activated.iter().map(|activated| &activated.id);
        let planned = report.order.iter().filter(|_| report.activated.is_empty());
        // One that cannot be read now says so when it is used.
        let entries = activated.chain(planned).filter_map(|id| self.entry_now(id).ok().flatten());
        let missing = entries.map(|entry| (entry.id.clone(), self.missing_grants(&entry)));
        missing.filter(|(_, missing)| !missing.is_empty()).collect()
    }

    /// Activates every component of the registry.
    ///
    /// # Errors
    /// [`RegistryError::Storage`] if the ids cannot be read.
    pub async fn activate_all(&self) -> Result<ActivateReport, RegistryError> {
        let targets: Vec<_> = self.all_ids().await?.into_iter().map(Target::from).collect();
        Ok(self.activate(&targets).await)
    }

    /// Makes instances of all components that are active, in topological order, as after a restart; those whose first instance is made
    /// when they are called are linked.
    ///
    /// What fails is recorded and goes to status `error`.
    ///
    /// # Errors
    /// [`RegistryError::Storage`] if the state cannot be read.
    pub async fn resume(&self) -> Result<ActivateReport, RegistryError> {
        self.settle_left_beside().await?;
        let as_of = self.last_seq();
        let mut active = self.active_entries().await?;
        self.find_lost(&active);
        self.follow().await?;
        if self.last_seq() != as_of {
            active = self.active_entries().await?;
        }
        let as_of = self.last_seq();
        let count = active.len();
        self.inner.places.lock().unwrap_or_else(PoisonError::into_inner).reserve(count);
        let waves = active_waves(active)?;
        let mut report = ActivateReport { activated: Vec::with_capacity(count), ..ActivateReport::default() };
        for wave in waves {
            report.waves.push(wave.iter().map(|entry| entry.id.clone()).collect());
            let registry = self.clone();
            let resume = move |entry: Arc<Entry>| {
                let registry = registry.clone();
                async move { (entry.id.clone(), registry.resume_one(&entry, as_of).await) }
            };
            for resumed in for_each(wave, self.parallel(), resume).await {
                match resumed {
                    Ok((_, Ok(activated))) => report.activated.push(activated),
                    Ok((id, Err(error))) => report.failed.push((id, error)),
                    Err(died) => return Err(died),
                }
            }
        }
        report.order = report.waves.concat();
        self.flush_failures().await?;
        self.follow().await?;
        Ok(report)
    }

    /// Reads all active entries, on several threads: they are parsed.
    async fn active_entries(&self) -> Result<Vec<Arc<Entry>>, RegistryError> {
        let ids = self.read(|view| {
            let mut ids = view.find(index::STATUS, Status::Active.as_str())?;
            for (entry, _) in view.index_keys(index::BESIDE)? {
                ids.extend(view.find(index::BESIDE, &entry)?);
            }
            Ok(ids)
        });
        let ids = ids.await?;
        let share = ids.len().div_ceil(self.parallel()).max(READER_MIN);
        let shares: Vec<Vec<ComponentId>> = ids.chunks(share).map(<[_]>::to_vec).collect();
        let reading = shares.into_iter().map(|ids| {
            let state = self.inner.state.clone();
            blocking(move || {
                let entries = ids.iter().filter_map(|id| state.entry(id).transpose());
                let mut entries = entries.collect::<Result<Vec<_>, _>>()?;
                entries.retain(|entry| entry.status == Status::Active);
                Ok(entries)
            })
        });
        Ok(futures::future::try_join_all(reading).await?.concat())
    }

    async fn resume_one(&self, entry: &Arc<Entry>, as_of: u64) -> Result<Activated, RegistryError> {
        let _life = self.inner.life.lock(&entry.id).await;
        let begun = self.inner.clock.now();
        // The waves are topological: what it imports is in service already.
        self.put_in_service(entry, as_of).await?;
        let unit = self.unit(&entry.id).await?;
        self.room_for(&entry.id).await?;
        match self.start(entry, &*unit).await {
            Ok(fuel) => Ok(Activated {
                id: entry.id.clone(),
                version: entry.revision.version.clone(),
                duration: self.inner.clock.now().since(begun),
                fuel,
                swapped: None,
                attempts: 1,
            }),
            Err(failure) => {
                self.slot(&entry.id).turn(None);
                // Nobody asked for it just now: it is the registry that makes it anew.
                Err(self.with_actor(Actor::System).fail_activation(failure).await)
            }
        }
    }

    pub(crate) fn parallel(&self) -> usize {
        let cores = || std::thread::available_parallelism().map_or(1, |cores| cores.get());
        self.settings().activation.parallel.map_or_else(cores, |n| n as usize).max(1)
    }

    async fn carry_out(&self, plan: ActivateReport, report: &mut ActivateReport) {
        let mut lost: HashMap<ComponentId, ()> = plan.failed.iter().map(|(id, _)| (id.clone(), ())).collect();
        lost.extend(plan.skipped.iter().map(|(id, _)| (id.clone(), ())));
        report.already_active.extend(plan.already_active);
        report.failed.extend(plan.failed);
        report.skipped.extend(plan.skipped);
        for wave in &plan.waves {
            let lost_before = Arc::new(lost.clone());
            let registry = self.clone();
            let step = move |id: ComponentId| {
                let (registry, lost) = (registry.clone(), lost_before.clone());
                async move {
                    let step = registry.step(&id, &lost).await;
                    (id, step)
                }
            };
            let mut done = for_each(wave.clone(), self.parallel(), step).await;
            // The report has the order of the plan, whoever was quicker.
            done.sort_by(|a, b| a.as_ref().map(|(id, _)| id).ok().cmp(&b.as_ref().map(|(id, _)| id).ok()));
            for done in done {
                let (id, step) = match done {
                    Ok(done) => done,
                    Err(died) => {
                        report.failed.extend(wave.first().map(|id| (id.clone(), died)));
                        continue;
                    }
                };
                match step {
                    Step::Activated(activated) => report.activated.push(activated),
                    Step::AlreadyActive => report.already_active.push(id),
                    Step::Skipped(because) => {
                        lost.insert(id.clone(), ());
                        report.skipped.push((id, because));
                    }
                    Step::Failed(error) => {
                        lost.insert(id.clone(), ());
                        report.failed.push((id, error));
                    }
                }
            }
        }
        report.order.extend(plan.order);
        report.waves.extend(plan.waves);
    }

    async fn step(&self, id: &ComponentId, lost: &HashMap<ComponentId, ()>) -> Step {
        let entry = match self.entry_now(id) {
            Ok(Some(entry)) => entry,
            Ok(None) => return Step::Failed(unknown(id)),
            Err(error) => return Step::Failed(error),
        };
        if let Some(because) = entry.dependency_ids().into_iter().find(|on| lost.contains_key(on)) {
            return Step::Skipped(because);
        }
        match self.activate_one(id).await {
            Ok(Some(activated)) => Step::Activated(activated),
            Ok(None) => Step::AlreadyActive,
            Err(error) => Step::Failed(error),
        }
    }

    /// Activates one component whose dependencies are active; `None` if it was active already.
    async fn activate_one(&self, id: &ComponentId) -> Result<Option<Activated>, RegistryError> {
        let _life = self.inner.life.lock(id).await;
        let entry = self.entry_now(id)?.ok_or_else(|| unknown(id))?;
        if entry.status == Status::Active {
            return Ok(None);
        }
        self.check_instances(&entry)?;
        self.room_for(id).await?;
        let begun = self.inner.clock.now();
        for hook in self.inner.hooks.before() {
            if let Err(reason) = hook(entry.clone()).await {
                let message = format!("a pre-activation hook refused: {reason}");
                let failure = self.failure(&entry, Phase::Activate, FailureKind::Hook, &message);
                return Err(self.fail_activation(failure).await);
            }
        }
        self.prepare_imports(&entry).await?;
        let (prepared, fuel, attempts) = match self.attempt(&entry).await? {
            Ok(started) => started,
            Err(failure) => return Err(self.fail_activation(*failure).await),
        };
        let duration = self.inner.clock.now().since(begun);
        self.put_active(&entry, prepared, Started { duration, fuel, attempts }).await.map(Some)
    }

    /// Puts the units that `entry` imports from in service, where another process activated them.
    pub(crate) async fn prepare_imports(&self, entry: &Entry) -> Result<(), RegistryError> {
        for edge in entry.dependencies.iter().filter(|edge| !edge.is_declared()) {
            self.unit(&edge.on).await?;
        }
        Ok(())
    }

    /// Prepares and starts an instance, again and again if need be, and returns it with its fuel and the number of attempts. Each that is
    /// followed by another one is in the history.
    async fn attempt(&self, entry: &Arc<Entry>) -> Result<Result<(Prepared, u64, u32), Box<Failure>>, RegistryError> {
        let activation = self.settings().activation;
        let mut retries = 0;
        loop {
            let failure = match self.prepare_and_start(entry).await {
                Ok((prepared, fuel)) => return Ok(Ok((prepared, fuel, retries + 1))),
                Err(failure) => failure,
            };
            if retries >= activation.max_retries || !failure.kind.may_pass() {
                return Ok(Err(Box::new(failure)));
            }
            self.record_failure(failure).await?;
            let delay = activation.backoff().delay(retries, self.inner.supervisor.draw());
            retries += 1;
            tokio::time::sleep(delay).await;
        }
    }

    async fn prepare_and_start(&self, entry: &Arc<Entry>) -> Result<(Prepared, u64), Failure> {
        let prepared = self.prepare(entry).await?;
        let fuel = self.start(entry, &*prepared.unit).await?;
        Ok((prepared, fuel))
    }

    /// Writes that `entry` is active and puts its unit in service.
    async fn put_active(
        &self,
        entry: &Arc<Entry>,
        Prepared { unit, recipe }: Prepared,
        started: Started,
    ) -> Result<Activated, RegistryError> {
        let turn = |registry: &Self, _: &[Arc<Record>]| registry.turn(entry, Arc::clone(&unit));
        if let Err(error) = self.commit_active(entry, recipe.as_ref(), started, turn).await {
            unit.stop().await;
            return Err(error);
        }
        self.activated(entry, recipe.as_ref(), started).await
    }

    /// Writes that `entry` is active and calls `turn` once that is durable.
    async fn commit_active(
        &self,
        entry: &Arc<Entry>,
        recipe: Option<&Recipe>,
        started: Started,
        turn: impl FnOnce(&Self, &[Arc<Record>]) + Send,
    ) -> Result<(), RegistryError> {
        let asked = self.asked.as_ref().is_some_and(|asked| asked.contains(&entry.id));
        let ready = Ready { entry: entry.clone(), recipe: recipe.cloned(), started, asked };
        let decide = move |view: &dyn StateView| Ok((decide_active(view, &ready)?, ()));
        self.commit_and_turn(decide, turn).await
    }

    /// Ends an activation whose unit is in service: sees to it that it is made of what it should be, counts it and calls the hooks.
    async fn activated(
        &self,
        entry: &Arc<Entry>,
        recipe: Option<&Recipe>,
        started: Started,
    ) -> Result<Activated, RegistryError> {
        // Whoever changed it, or what it is made of, since that was decided did not find this unit.
        if !self.is_as_made(entry, recipe)? {
            self.renew(&entry.id, Renewal::Code).await;
        }
        self.inner.tracker.count(&entry.id, |usage| {
            usage.activations += 1;
            usage.activation_us += u64::try_from(started.duration.as_micros()).unwrap_or(u64::MAX);
        });
        for hook in self.inner.hooks.after() {
            if let Err(reason) = hook(entry.clone()).await {
                let message = format!("a post-activation hook failed: {reason}");
                self.record_failure(self.failure(entry, Phase::Activate, FailureKind::Hook, &message)).await?;
            }
        }
        Ok(Activated {
            id: entry.id.clone(),
            version: entry.revision.version.clone(),
            duration: started.duration,
            fuel: started.fuel,
            swapped: None,
            attempts: started.attempts,
        })
    }

    /// Writes a failed activation: the failure to the history, the entry to status `error`.
    async fn fail_activation(&self, failure: Failure) -> RegistryError {
        let (component, error) = (failure.component.clone(), failure.message.clone());
        let failed = self.failed(failure.clone(), 1);
        let written = self.commit(move |view| {
            let Some(entry) = view.entry(&component)? else { return Ok((Vec::new(), ())) };
            let errored = Event::Errored { component, old_status: entry.status, error };
            Ok((vec![failed, errored], ()))
        });
        match written.await {
            Ok(()) => {
                self.plan_activation_again(&failure);
                RegistryError::Activation(Box::new(failure))
            }
            Err(error) => error,
        }
    }
}

/// Orders active entries into topological waves.
fn active_waves(mut entries: Vec<Arc<Entry>>) -> Result<Vec<Vec<Arc<Entry>>>, RegistryError> {
    entries.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    entries.dedup_by(|a, b| a.id == b.id);
    let numbers: HashMap<&ComponentId, u32> = entries.iter().map(|entry| &entry.id).zip(0..).collect();
    let needs = entries.iter().zip(0..).flat_map(|(entry, number)| {
        let numbers = &numbers;
        // Whatever is not active was lost, and is followed elsewhere.
        entry.dependencies.iter().filter_map(move |edge| Some((number, *numbers.get(&edge.on)?)))
    });
    let graph = Graph::of_numbered(entries.iter().map(|entry| entry.id.clone()).collect(), needs);
    let Some(waves) = graph.numbered_waves() else {
        let named = Graph::of_entries(entries.iter().map(|entry| &**entry)).order();
        return Err(named.map_or_else(
            |cycle| RegistryError::Cycle { cycle: cycle.path },
            |_| RegistryError::Internal("active components need each other in a circle".to_owned()),
        ));
    };
    let entry = |place: usize| entries.get(place).cloned();
    Ok(waves.into_iter().map(|wave| wave.into_iter().filter_map(entry).collect()).collect())
}
