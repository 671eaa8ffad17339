//! Units of components in service: linked revisions that hold an instance.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use domain::entry::{Edge, EdgeKind};
use domain::graph::{Graph, GraphEdge};
use domain::ports::{BlobStore, Link, Slot, SourceError, StateView, Unit, UnitSource, UnitSpec};
use domain::reduce::index;
use domain::{
    ComponentId, Digest, Entry, ErrorKind, Failure, FailureKind, GrantSet, InterfaceName, Phase, Status, capability,
    text,
};

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::fuse::{Composed, Recipe};
use crate::names::unknown;
use crate::state_keeper::Keeper;

/// Lets the engine read bytes that it does not have compiled.
struct Blobs(Arc<dyn BlobStore>);

impl UnitSource for Blobs {
    fn bytes(&self, digest: &Digest) -> Result<Arc<[u8]>, SourceError> {
        Ok(self.0.get(digest)?)
    }
}

/// A component's place in this process, and what the unit in it was linked to.
pub(crate) struct Place {
    pub(crate) slot: Arc<Slot>,
    pub(crate) needs: Vec<ComponentId>,
    /// Most instances at once.
    pub(crate) max: u32,
    /// After how long an idle instance is dropped, where the component or its kind says.
    pub(crate) idle_ttl: Option<Duration>,
    /// When the unit was put in service.
    pub(crate) since: Instant,
    /// Components whose changes may change what the unit is made of.
    watched: Vec<ComponentId>,
    /// The imports that others provide, and who.
    links: Vec<(String, ComponentId)>,
}

/// A unit that is ready to be put in service.
pub(crate) struct Prepared {
    pub(crate) unit: Arc<dyn Unit>,
    /// What it is made of, where that is more than its component's own code.
    pub(crate) recipe: Option<Recipe>,
}

impl Place {
    pub(crate) fn new(id: &ComponentId) -> Self {
        Self {
            slot: Arc::new(Slot::new(id.clone())),
            needs: Vec::new(),
            watched: Vec::new(),
            links: Vec::new(),
            max: 1,
            idle_ttl: None,
            since: Instant::now(),
        }
    }

    /// Tells whether the unit is linked to `id`.
    pub(crate) fn leads_to(&self, id: &ComponentId) -> bool {
        self.links.iter().any(|(_, on)| on == id)
    }
}

impl Registry {
    /// Returns the unit of `id` that is in service in this process, if there is one.
    pub(crate) fn unit_in_service(&self, id: &ComponentId) -> Option<Arc<dyn Unit>> {
        self.inner.places.lock().unwrap_or_else(PoisonError::into_inner).get(id)?.slot.unit()
    }

    /// Puts the unit of `entry` in service.
    pub(crate) fn turn(&self, entry: &Entry, unit: Arc<dyn Unit>) {
        let watched = self.watched(entry);
        let mut places = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner);
        let place = places.entry(entry.id.clone()).or_insert_with(|| Place::new(&entry.id));
        let instances = self.own_instances(entry);
        place.needs = entry.dependency_ids();
        place.watched = watched;
        place.links = links_of(&entry.dependencies);
        place.max = instances.max;
        place.idle_ttl = instances.idle_ttl();
        place.since = Instant::now();
        place.slot.turn(Some(unit));
        drop(places);
        if entry.id.is_beside() {
            // One that is about to end there need not wait any more.
            self.inner.retiring.tell();
        }
        self.inner.tracker.room.expect_ttl(instances.idle_ttl());
        // Its instance was made before, but a sweep could not see it until now.
        self.inner.tracker.room.made();
    }

    /// Tells whether the unit of `id` in service is linked to those who provide its imports by `edges`, its newest, and notes them. Where
    /// other revisions of the same components provide them, and are ready, it is led there, and goes on as it is.
    pub(crate) fn is_linked_as(&self, id: &ComponentId, edges: &[Edge]) -> bool {
        let mut places = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = places.get(id) else { return false };
        let Some(unit) = place.slot.unit() else { return false };
        let links = links_of(edges);
        if place.links != links {
            // What is made of several components leads elsewhere for each of them.
            let Some(moved) = moved(&place.links, &links).filter(|_| place.watched.is_empty()) else { return false };
            let slot_of =
                |on: &ComponentId| places.get(on).map(|place| &place.slot).filter(|slot| slot.unit().is_some());
            let Some(slots) = moved.iter().map(|(_, on)| slot_of(on).cloned()).collect::<Option<Vec<_>>>() else {
                return false;
            };
            for ((import, _), slot) in moved.iter().zip(&slots) {
                unit.reroute(import, slot);
            }
        }
        let Some(place) = places.get_mut(id) else { return false };
        place.links = links;
        place.needs = edges.iter().map(|edge| edge.on.clone()).collect();
        place.needs.sort();
        place.needs.dedup();
        true
    }

    /// Tells whether the unit of `id` in service is to be led to other revisions of those that it is linked to.
    pub(crate) fn is_to_be_led(&self, id: &ComponentId, edges: &[Edge]) -> bool {
        let places = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner);
        let in_service = places.get(id).filter(|place| place.slot.unit().is_some() && place.watched.is_empty());
        in_service.is_some_and(|place| moved(&place.links, &links_of(edges)).is_some())
    }

    /// Returns the components in service whose units are, or may come to be, made with the code of `part`.
    pub(crate) fn made_with(&self, part: &ComponentId) -> Vec<ComponentId> {
        let places = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner);
        let made = places.iter().filter(|(_, place)| place.watched.contains(part) && place.slot.unit().is_some());
        made.map(|(id, _)| id.clone()).collect()
    }

    /// Returns all units in service, each before those that it depends on.
    fn units_in_service(&self) -> Vec<Arc<dyn Unit>> {
        let places = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner);
        let mut units = HashMap::new();
        let mut needs = HashMap::new();
        for (id, place) in places.iter() {
            if let Some(unit) = place.slot.unit() {
                units.insert(id.clone(), unit);
                needs.insert(id.clone(), place.needs.clone());
            }
        }
        drop(places);
        dependents_first(&needs).into_iter().filter_map(|id| units.remove(&id)).collect()
    }

    /// Returns the unit of an active component; one that another process activated is prepared again, with all that it
    /// imports, from the compiled-code cache.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`], [`RegistryError::NotActive`], [`RegistryError::Quarantined`], [`RegistryError::Activation`],
    /// [`RegistryError::NoRoom`].
    pub(crate) async fn unit(&self, id: &ComponentId) -> Result<Arc<dyn Unit>, RegistryError> {
        if let Some(unit) = self.unit_in_service(id) {
            return Ok(unit);
        }
        let root = id.clone();
        let as_of = self.last_seq();
        let entries = match self.read(move |view| unprepared_closure(view, &root)).await? {
            Closure::Active(entries) => entries,
            Closure::Quarantined(entry) => match self.recall_barrier(&entry) {
                Some(barrier) => return Err(RegistryError::Quarantined { component: id.clone(), barrier }),
                None => return Err(RegistryError::NotActive { component: id.clone(), status: entry.status }),
            },
        };
        for entry in entries {
            if entry.status == Status::Active {
                self.put_in_service(&entry, as_of).await?;
            } else {
                // Whoever needs it is told why it is not there.
                self.recall_barrier(&entry);
            }
        }
        self.unit_in_service(id).ok_or_else(|| RegistryError::Changed { component: id.clone() })
    }

    /// Prepares the unit of an active entry, read when the journal ended at `as_of`, unless that was done in the meantime. What
    /// it imports must be in service.
    pub(crate) async fn put_in_service(&self, entry: &Arc<Entry>, as_of: u64) -> Result<(), RegistryError> {
        let _preparing = self.inner.preparing.lock(&entry.id).await;
        if self.unit_in_service(&entry.id).is_some() {
            return Ok(());
        }
        self.check_instances(entry)?;
        self.room_for(&entry.id).await?;
        match self.prepare(entry).await {
            Ok(Prepared { unit, recipe }) => {
                // It may have been deactivated or linked anew while its code was being loaded.
                if self.is_unchanged(entry, recipe.as_ref(), as_of)? {
                    self.turn(entry, unit);
                    // Whoever changes it from now on finds the unit and takes it out; who did a moment ago did not.
                    if !self.is_unchanged(entry, recipe.as_ref(), as_of)? {
                        self.out_of_service(&entry.id).await;
                    }
                }
                Ok(())
            }
            Err(failure) => {
                self.record_failure(failure.clone()).await?;
                Err(RegistryError::Activation(Box::new(failure)))
            }
        }
    }

    /// Tells whether `entry`, read when the journal ended at `as_of`, and the parts of `recipe` are still what a unit has to be made of.
    pub(crate) fn is_unchanged(
        &self,
        entry: &Entry,
        recipe: Option<&Recipe>,
        as_of: u64,
    ) -> Result<bool, RegistryError> {
        Ok(self.last_seq() == as_of || self.is_as_made(entry, recipe)?)
    }

    /// Tells whether a unit that was made of `entry` and the parts of `recipe` would be made of the same now.
    pub(crate) fn is_as_made(&self, entry: &Entry, recipe: Option<&Recipe>) -> Result<bool, RegistryError> {
        let is_same = self.entry_now(&entry.id)?.is_some_and(|now| {
            now.status == Status::Active
                && now.revision.number == entry.revision.number
                && now.dependencies == entry.dependencies
                && now.grants == entry.grants
                && now.fusion == entry.fusion
        });
        Ok(is_same && recipe.map_or(Ok(true), |recipe| recipe.is_current(&*self.inner.state))?)
    }

    /// Links the revision that `entry` points to, with the code of those that it is fused with; runs nothing of it.
    pub(crate) async fn prepare(&self, entry: &Arc<Entry>) -> Result<Prepared, Failure> {
        let recipe = self.recipe_now(entry).map_err(|failure| *failure)?;
        let mut spec = self.unit_spec(entry, recipe.as_ref());
        if let Some(factory) = self.factory(&entry.revision.kind())
            && let Err(reason) = factory.prepare(entry, &mut spec).await
        {
            return Err(self.failure(entry, Phase::Link, FailureKind::Hook, &format!("its kind's factory: {reason}")));
        }
        if let Err(refused) = self.check_places(entry) {
            return Err(self.failure(entry, Phase::Link, FailureKind::Denied, &refused.to_string()));
        }
        // Known without compiling, which can take a minute.
        let mut denied = never_served(entry, &spec.links);
        for part in recipe.iter().flat_map(Recipe::parts) {
            denied.extend(never_served(part, &spec.links));
        }
        if !denied.is_empty() {
            let (kind, message) = capability::refusal(&denied);
            return Err(self.failure(entry, Phase::Link, kind, &message));
        }
        let unit = self.inner.engine.prepare(spec).await?;
        self.inner.tracker.room.made();
        Ok(Prepared { unit, recipe })
    }

    /// Makes an instance of `unit`, unless its component is one whose first instance is made when it is called. Returns the fuel that
    /// this took.
    pub(crate) async fn start(&self, entry: &Entry, unit: &dyn Unit) -> Result<u64, Failure> {
        if self.own_instances(entry).is_lazy() {
            return Ok(0);
        }
        let started = unit.start().await?;
        self.inner.tracker.room.made();
        Ok(started.fuel)
    }

    /// Returns what the unit of `entry` is made of now, or why it cannot be made.
    fn recipe_now(&self, entry: &Arc<Entry>) -> Result<Option<Recipe>, Box<Failure>> {
        let failed = |kind, message: &str| Box::new(self.failure(entry, Phase::Link, kind, message));
        let recipe = self.recipe(&*self.inner.state, entry).map_err(|error| match error {
            RegistryError::Fuse { source, .. } if source.kind() == ErrorKind::Denied => {
                failed(FailureKind::Denied, &format!("it {source}"))
            }
            RegistryError::Fuse { source, .. } => failed(FailureKind::TypeMismatch, &format!("it {source}")),
            error => failed(FailureKind::Host, &error.to_string()),
        })?;
        match recipe.as_ref().and_then(Recipe::inactive) {
            None => Ok(recipe),
            Some(part) => {
                Err(failed(FailureKind::Dependency, &format!("{part}, with which it is fused, is not active")))
            }
        }
    }

    fn unit_spec(&self, entry: &Arc<Entry>, recipe: Option<&Recipe>) -> UnitSpec {
        let own = self.own_spec(entry);
        match recipe {
            None => own,
            Some(recipe) => UnitSpec {
                digest: recipe.identity(),
                size: recipe.size(),
                source: Arc::new(Composed {
                    engine: self.inner.engine.clone(),
                    blobs: self.inner.blobs.clone(),
                    recipe: recipe.clone(),
                }),
                links: recipe.outer_links(|id| self.slot(id)),
                ..own
            },
        }
    }

    /// Returns what the unit of `entry` is made of if it is made of nothing else.
    fn own_spec(&self, entry: &Arc<Entry>) -> UnitSpec {
        let revision = &entry.revision;
        let links = entry.dependencies.iter().filter_map(|edge| match &edge.kind {
            EdgeKind::Import { import, export } => {
                Some(Link { import: import.clone(), export: export.clone(), provider: self.slot(&edge.on) })
            }
            EdgeKind::Declared { .. } => None,
        });
        UnitSpec {
            id: entry.id.clone(),
            revision: revision.number,
            digest: revision.digest,
            size: revision.size,
            source: Arc::new(Blobs(self.inner.blobs.clone())),
            limits: self.effective_limits(entry).limits,
            // What the component asks for gives it nothing.
            grants: GrantSet::of(&entry.grants),
            callers: revision.manifest.callers.clone(),
            config: self.effective_config(entry),
            links: links.collect(),
            state: revision.has_lifecycle("state").then(|| Arc::new(Keeper::new(self, &entry.id)) as _),
            progress: self.progress.clone(),
            instances: self.own_instances(entry).policy(),
        }
    }

    /// Makes a failure of `entry` that the registry itself found.
    pub(crate) fn failure(&self, entry: &Entry, phase: Phase, kind: FailureKind, message: &str) -> Failure {
        Failure {
            component: entry.id.clone(),
            revision: entry.revision.number,
            at: self.inner.clock.now(),
            phase,
            kind,
            message: text::guest_message(message),
            function: None,
            backtrace: Vec::new(),
            fuel: None,
            callers: Vec::new(),
            retry_after_ms: None,
            by_caller: false,
        }
    }

    /// Writes a failure to its component's history; the status stays, unless it is one too many.
    pub(crate) async fn record_failure(&self, failure: Failure) -> Result<(), RegistryError> {
        self.write_failures(vec![(failure, 1)]).await
    }

    /// Drops the live instances of all revisions of `id` in order; their state is kept if they have any, their status stays. Returns whether
    /// there was one.
    ///
    /// # Errors
    /// [`RegistryError::NotFound`].
    pub async fn evict_instance(&self, id: &ComponentId) -> Result<bool, RegistryError> {
        if !self.contains(id).await? {
            return Err(unknown(id));
        }
        let key = id.clone();
        let beside = self.read(move |view| Ok(view.find(index::BESIDE, key.as_str())?)).await?;
        let mut was_live = false;
        for id in std::iter::once(id).chain(&beside) {
            let Some(unit) = self.unit_in_service(id) else { continue };
            was_live |= unit.instance_state() == domain::ports::InstanceState::Live;
            unit.stop().await;
            self.inner.tracker.room.dropped();
        }
        self.flush_failures().await?;
        Ok(was_live)
    }

    /// Drops all instances in order, dependents before what they depend on, and writes everything that was only gathered so far.
    /// Statuses stay. Call it before the process ends: lifecycle exports and states of components are served here.
    ///
    /// # Errors
    /// [`RegistryError::Storage`] if something could not be written; instances are dropped all the same.
    pub async fn close(&self) -> Result<(), RegistryError> {
        self.inner.breakable.end().await;
        self.inner.supervisor.end();
        let followed = self.follow().await;
        // One that is under way ends first; the next one finds nothing.
        let _sweeping = self.inner.sweeping.lock().await;
        for unit in self.units_in_service() {
            unit.stop().await;
            // Before what it depends on, too.
            self.end_retiring(unit.id()).await;
        }
        self.end_all_retiring().await;
        self.flush_failures().await?;
        // A last failure may have been one too many.
        followed.and(self.follow().await)?;
        self.flush_refusals().await?;
        if let Err(error) = self.flush_meters().await {
            self.inner.tracker.note_lost(&error);
        }
        if let Err(error) = self.flush_usage().await {
            // Counters are not worth an error: what was asked for was done, and is in the journal.
            self.inner.tracker.note_lost(&error);
        }
        Ok(())
    }

    /// Lets the engine look at bytes on a thread that may block.
    pub(crate) async fn with_bytes<T: Send + 'static>(
        &self,
        digest: Digest,
        look: impl FnOnce(&dyn domain::ports::Engine, &[u8]) -> Result<T, RegistryError> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let inner = self.inner.clone();
        blocking(move || {
            let bytes = inner.blobs.get(&digest)?;
            look(&*inner.engine, &bytes)
        })
        .await
    }
}

/// Returns the imports that `edges` say others provide, and who, in the order of the imports.
fn links_of(edges: &[Edge]) -> Vec<(String, ComponentId)> {
    let mut links: Vec<_> = edges
        .iter()
        .filter_map(|edge| match &edge.kind {
            EdgeKind::Import { import, .. } => Some((import.clone(), edge.on.clone())),
            EdgeKind::Declared { .. } => None,
        })
        .collect();
    links.sort();
    links
}

/// Returns those of `links` that lead to another revision than in `before`; `None` if the same components do not provide the same imports.
fn moved(before: &[(String, ComponentId)], links: &[(String, ComponentId)]) -> Option<Vec<(String, ComponentId)>> {
    let is_same = |((one, had), (other, has)): (&(String, ComponentId), &(String, ComponentId))| {
        one == other && had.is_same_entry(has)
    };
    if before.len() != links.len() || !before.iter().zip(links).all(is_same) {
        return None;
    }
    Some(before.iter().zip(links).filter(|(had, has)| had != has).map(|(_, has)| has.clone()).collect())
}

/// Returns the host interfaces that `entry` needs and that the host has not.
fn never_served(entry: &Entry, links: &[Link]) -> Vec<InterfaceName> {
    let is_linked = |import: &str| Recipe::is_linked(entry, import) || links.iter().any(|link| link.import == import);
    capability::never_served(&entry.revision.imports, is_linked)
}

/// What has to be prepared for a call of a component.
enum Closure {
    /// It and all that it imports, dependencies first.
    Active(Vec<Arc<Entry>>),
    /// Nothing: it is in quarantine.
    Quarantined(Arc<Entry>),
}

/// Returns `id` and all that it imports, dependencies first. Fails if `id` itself is neither active nor in quarantine.
fn unprepared_closure(view: &dyn StateView, id: &ComponentId) -> Result<Closure, RegistryError> {
    let root = view.entry(id)?.ok_or_else(|| unknown(id))?;
    if root.status == Status::Error && root.quarantine().is_some() {
        return Ok(Closure::Quarantined(root));
    }
    if let Some(on) = root.lost().filter(|_| root.status == Status::Inactive) {
        return Err(RegistryError::Waiting { component: id.clone(), on: on.clone() });
    }
    if root.status != Status::Active {
        return Err(RegistryError::NotActive { component: id.clone(), status: root.status });
    }
    let mut done = Vec::new();
    let mut seen = BTreeSet::from([id.clone()]);
    // Depth first without recursion: an entry is done when everything behind it is.
    let mut open = vec![(root, 0)];
    while let Some((entry, next)) = open.pop() {
        let mut imports = entry.dependencies.iter().filter(|edge| !edge.is_declared()).skip(next);
        match imports.next() {
            None => done.push(entry),
            Some(edge) => {
                let on = edge.on.clone();
                open.push((entry, next + 1));
                if seen.insert(on.clone())
                    && let Some(dependency) = view.entry(&on)?
                {
                    open.push((dependency, 0));
                }
            }
        }
    }
    Ok(Closure::Active(done))
}

/// Orders components so that each stands before everything it depends on.
pub(crate) fn dependents_first(needs: &HashMap<ComponentId, Vec<ComponentId>>) -> Vec<ComponentId> {
    let label: Arc<str> = Arc::default();
    let edges = needs.iter().flat_map(|(id, needs)| {
        needs.iter().map(|on| GraphEdge {
            dependent: id.clone(),
            dependency: on.clone(),
            label: label.clone(),
            declared: false,
        })
    });
    let ids = || needs.keys().cloned();
    let order = Graph::new(ids(), edges.filter(|edge| needs.contains_key(&edge.dependency))).order();
    // The registry refuses cycles, so only damaged data can have one; any order will do then.
    let mut order = order.unwrap_or_else(|_cycle| ids().collect());
    order.reverse();
    order
}
