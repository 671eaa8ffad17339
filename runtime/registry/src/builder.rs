//! The registry itself and how it is put together.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use arc_swap::ArcSwap;
use domain::ports::{
    BlobStore, Clock, CompileProgress, Durability, Engine, GuestOutput, MeterStore, ProcessLimits, SettingsStore, Slot,
    StateStore, Upkeep,
};
use domain::settings::Settings;
use domain::{Actor, ComponentId, Policy, Record};
use tokio::sync::broadcast;

use crate::breakable::Breakable;
use crate::cache::spawn_housekeeper;
use crate::call::CallIds;
use crate::error::RegistryError;
use crate::hooks::Hooks;
use crate::indexes::FunctionIndexes;
use crate::instances::Place;
use crate::kinds::Kinds;
use crate::locks::KeyedLocks;
use crate::pins::Pins;
use crate::plan::Worlds;
use crate::refusal::Refusals;
use crate::retire::Retiring;
use crate::supervise::{Supervisor, spawn_supervisor};
use crate::tracker::Tracker;

/// Records that a slow subscriber may lag behind before it misses some.
pub(crate) const EVENTS_BUFFERED: usize = 1_024;

/// A registry of components: every operation is one method. Cheap to clone; clones share everything but the actor.
#[derive(Clone)]
pub struct Registry {
    pub(crate) inner: Arc<Inner>,
    pub(crate) actor: Actor,
    /// What changes through this handle survive, where it is not what the settings say.
    pub(crate) durability: Option<Durability>,
    /// Who hears of compilations for what is done through this handle.
    pub(crate) progress: Option<Weak<dyn CompileProgress>>,
    /// Whether what breaks active components is done all the same.
    pub(crate) force: bool,
    /// What somebody asked by name to be active, while what it needs is activated along with it.
    pub(crate) asked: Option<Arc<HashSet<ComponentId>>>,
}

pub(crate) struct Inner {
    pub(crate) state: Arc<dyn StateStore>,
    pub(crate) blobs: Arc<dyn BlobStore>,
    pub(crate) engine: Arc<dyn Engine>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) settings_store: Arc<dyn SettingsStore>,
    pub(crate) output: Arc<dyn GuestOutput>,
    pub(crate) upkeep: Option<Arc<dyn Upkeep>>,
    /// Blobs that are being put into use.
    pub(crate) pins: Arc<Pins>,
    pub(crate) settings: ArcSwap<Settings>,
    /// The folder that has everything of the registry, canonical; looked up when it is first needed.
    pub(crate) own_folder: OnceLock<Option<PathBuf>>,
    /// What registrations grant without an operator's word.
    pub(crate) policy: Arc<Policy>,
    /// One writer of the settings file at a time.
    pub(crate) settings_lock: tokio::sync::Mutex<()>,
    /// Places of components in service, made when first needed.
    pub(crate) places: Mutex<HashMap<ComponentId, Place>>,
    /// Held while a component's status is being changed.
    pub(crate) life: KeyedLocks,
    /// Held while a component's unit is being prepared.
    pub(crate) preparing: KeyedLocks,
    pub(crate) tracker: Arc<Tracker>,
    /// Units whose place another took.
    pub(crate) retiring: Arc<Retiring>,
    /// Held while idle instances are dropped, so that two sweeps do not both drop what one is enough for.
    pub(crate) sweeping: tokio::sync::Mutex<()>,
    pub(crate) supervisor: Arc<Supervisor>,
    pub(crate) call_ids: CallIds,
    pub(crate) refusals: Refusals,
    pub(crate) hooks: Hooks,
    pub(crate) kinds: Kinds,
    pub(crate) indexes: FunctionIndexes,
    pub(crate) breakable: Breakable,
    /// Types of components that were compared lately.
    pub(crate) worlds: Worlds,
    /// Made for the first subscriber: its buffer is large.
    pub(crate) events: OnceLock<broadcast::Sender<Arc<Record>>>,
}

impl Registry {
    /// Begins to put a registry together from adapters of [`domain::ports`].
    pub fn builder() -> RegistryBuilder {
        RegistryBuilder::default()
    }

    /// Makes a handle for `actor`, with nothing else of its own.
    pub(crate) fn over(inner: Arc<Inner>, actor: Actor) -> Self {
        Self { inner, actor, durability: None, progress: None, force: false, asked: None }
    }

    /// Returns the same registry for another actor: events and calls made through it name that actor.
    pub fn with_actor(&self, actor: Actor) -> Self {
        Self { actor, ..self.clone() }
    }

    /// Returns the same registry with another level of durability for what is done through it; `None` is that of the settings.
    ///
    /// Meant for one operation on many components: [`Registry::register_many`], [`Registry::activate`],
    /// [`Registry::activate_all`], [`Registry::import`] and [`Registry::prune`] acknowledge each change at this level, and return when
    /// all that they did survives what the settings say. Every other operation returns at this level.
    pub fn with_durability(&self, durability: Option<Durability>) -> Self {
        Self { durability, ..self.clone() }
    }

    /// Returns the same registry for somebody who wants to hear of the compilations that are done for what is asked through it,
    /// for as long as `progress` is kept. What the engine was given hears of all.
    pub fn with_compile_progress(&self, progress: &Arc<dyn CompileProgress>) -> Self {
        Self { progress: Some(Arc::downgrade(progress)), ..self.clone() }
    }

    /// Returns the same registry for somebody who accepts that active components break: [`Registry::register`], [`Registry::import`],
    /// [`Registry::use_revision`] and [`Registry::rollback`] then do what they refuse otherwise.
    pub fn with_force(&self, force: bool) -> Self {
        Self { force, ..self.clone() }
    }

    /// Returns a handle of the registry itself.
    pub(crate) fn of_system(inner: Arc<Inner>) -> Self {
        Self::over(inner, Actor::System)
    }

    /// Returns who acts through this handle.
    pub fn actor(&self) -> &Actor {
        &self.actor
    }

    /// Returns the settings in force.
    pub fn settings(&self) -> Arc<Settings> {
        self.inner.settings.load_full()
    }

    /// Returns the place of a component in service, making it if there is none.
    pub(crate) fn slot(&self, id: &ComponentId) -> Arc<Slot> {
        let mut places = self.inner.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.entry(id.clone()).or_insert_with(|| Place::new(id)).slot.clone()
    }
}

/// Hears one warning, a sentence.
pub type OnWarning = dyn Fn(&str) + Send + Sync;

/// Takes the adapters a registry is made of; all are required but upkeep, meters, the process's limits, the tracker, the actor and
/// who hears warnings.
#[derive(Default)]
pub struct RegistryBuilder {
    state: Option<Arc<dyn StateStore>>,
    blobs: Option<Arc<dyn BlobStore>>,
    engine: Option<Arc<dyn Engine>>,
    clock: Option<Arc<dyn Clock>>,
    settings: Option<Arc<dyn SettingsStore>>,
    output: Option<Arc<dyn GuestOutput>>,
    upkeep: Option<Arc<dyn Upkeep>>,
    tracker: Option<Arc<Tracker>>,
    actor: Option<Actor>,
    on_warning: Option<Arc<OnWarning>>,
    meters: Option<Arc<dyn MeterStore>>,
    process_limits: Option<Arc<dyn ProcessLimits>>,
    is_unsupervised: bool,
}

impl RegistryBuilder {
    /// Sets where state is kept.
    #[must_use]
    pub fn state(mut self, state: Arc<dyn StateStore>) -> Self {
        self.state = Some(state);
        self
    }

    /// Sets where bytes are kept.
    #[must_use]
    pub fn blobs(mut self, blobs: Arc<dyn BlobStore>) -> Self {
        self.blobs = Some(blobs);
        self
    }

    /// Sets what runs components. Its observer should be the [`Tracker`] that [`Self::tracker`] is given.
    #[must_use]
    pub fn engine(mut self, engine: Arc<dyn Engine>) -> Self {
        self.engine = Some(engine);
        self
    }

    /// Sets what tells the time.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Sets where the settings file is.
    #[must_use]
    pub fn settings(mut self, settings: Arc<dyn SettingsStore>) -> Self {
        self.settings = Some(settings);
        self
    }

    /// Sets where guests' output is kept.
    #[must_use]
    pub fn output(mut self, output: Arc<dyn GuestOutput>) -> Self {
        self.output = Some(output);
        self
    }

    /// Sets what looks after the data folder; without it, what sweeps, checks and copies blobs is refused.
    #[must_use]
    pub fn upkeep(mut self, upkeep: Arc<dyn Upkeep>) -> Self {
        self.upkeep = Some(upkeep);
        self
    }

    /// Sets what hears of failures and calls; the engine must have been given the same one.
    #[must_use]
    pub fn tracker(mut self, tracker: Arc<Tracker>) -> Self {
        self.tracker = Some(tracker);
        self
    }

    /// Sets where it is kept how far quotas are used up; without it, each process begins anew.
    #[must_use]
    pub fn meters(mut self, meters: Arc<dyn MeterStore>) -> Self {
        self.meters = Some(meters);
        self
    }

    /// Sets what says how much the system lets this process have; without it, there is always room for one more instance.
    #[must_use]
    pub fn process_limits(mut self, process_limits: Arc<dyn ProcessLimits>) -> Self {
        self.process_limits = Some(process_limits);
        self
    }

    /// Sets who acts through the first handle; [`Actor::System`] by default.
    #[must_use]
    pub fn actor(mut self, actor: Actor) -> Self {
        self.actor = Some(actor);
        self
    }

    /// Starts no task that makes components anew, tries those in quarantine, and asks how they are: for a process that ends at once, or one
    /// that calls [`Registry::supervise`] itself.
    #[must_use]
    pub fn unsupervised(mut self) -> Self {
        self.is_unsupervised = true;
        self
    }

    /// Sets who hears what [`Self::open`] could not do although the settings ask for it, and when the health of the registry crosses its
    /// threshold; one sentence at a time.
    #[must_use]
    pub fn on_warning(mut self, on_warning: Arc<OnWarning>) -> Self {
        self.on_warning = Some(on_warning);
        self
    }

    /// Reads the settings and returns the registry. Folders under `auto_discover` are scanned and what is found there is
    /// registered, never activated; what cannot be is a warning.
    ///
    /// # Errors
    /// [`RegistryError::Internal`] names an adapter that was not given; [`RegistryError::Settings`],
    /// [`RegistryError::Policy`] and [`RegistryError::Storage`].
    pub async fn open(self) -> Result<Registry, RegistryError> {
        fn required<T>(what: &str, adapter: Option<T>) -> Result<T, RegistryError> {
            adapter.ok_or_else(|| RegistryError::Internal(format!("the registry was built without {what}")))
        }
        let clock = required("a clock", self.clock)?;
        let settings_store = required("a settings store", self.settings)?;
        let settings = crate::settings::load(&*settings_store)?;
        let policy = crate::settings::load_policy(&*settings_store)?;
        let registry = Registry::over(
            Arc::new(Inner {
                state: required("a state store", self.state)?,
                blobs: required("a blob store", self.blobs)?,
                engine: required("an engine", self.engine)?,
                output: required("an output store", self.output)?,
                upkeep: self.upkeep,
                pins: Arc::default(),
                tracker: self.tracker.unwrap_or_else(|| Arc::new(Tracker::new(clock.clone()))),
                settings: ArcSwap::from_pointee(settings),
                own_folder: OnceLock::new(),
                policy: Arc::new(policy),
                settings_store,
                settings_lock: tokio::sync::Mutex::new(()),
                places: Mutex::default(),
                sweeping: tokio::sync::Mutex::new(()),
                supervisor: Arc::new(Supervisor::new(self.on_warning.clone())),
                call_ids: CallIds::default(),
                life: KeyedLocks::default(),
                preparing: KeyedLocks::default(),
                retiring: Arc::default(),
                refusals: Refusals::new(clock.clone()),
                hooks: Hooks::default(),
                kinds: Kinds::default(),
                indexes: FunctionIndexes::default(),
                breakable: Breakable::default(),
                events: OnceLock::new(),
                worlds: Worlds::default(),
                clock,
            }),
            self.actor.unwrap_or(Actor::System),
        );
        registry.inner.tracker.meters.set(&registry.settings().quotas);
        if let Some(store) = self.meters {
            registry.inner.tracker.meters.keep_in(store);
        }
        let room = &registry.inner.tracker.room;
        if let Some(system) = self.process_limits {
            let engine = Arc::clone(&registry.inner.engine);
            room.ask(system, Box::new(move || engine.mapped()));
        }
        room.expect_ttl(registry.settings().instances.ttl());
        room.expect_size(0, 0, registry.settings().instances.max_size);
        registry.inner.tracker.hear_for(&registry);
        registry.inner.tracker.spawn_writer(&registry);
        spawn_housekeeper(&registry);
        if !self.is_unsupervised {
            spawn_supervisor(&registry);
        }
        // What cannot be written now is settled by whoever opens it next.
        if let Err(error) = registry.with_actor(Actor::System).settle_left_beside().await {
            registry.inner.tracker.note_lost(&error);
        }
        let on_warning = self.on_warning;
        let warn = move |text: &str| on_warning.iter().for_each(|hear| hear(text));
        registry.auto_discover(&warn).await;
        Ok(registry)
    }
}
