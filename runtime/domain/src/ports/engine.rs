use std::any::Any;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;

use super::{Barrier, BoxFuture, Drain, Drained, GateUsage, Handover, StorageError, TakeOver};
use crate::call::{CallOutcome, CallRequest};
use crate::callers::Callers;
use crate::digest::Digest;
use crate::error::ErrorKind;
use crate::failure::Failure;
use crate::grant::GrantSet;
use crate::id::ComponentId;
use crate::inspection::{FunctionSignature, Inspection};
use crate::limits::Limits;
use crate::manifest::InstanceMode;
use crate::world::World;

/// Compiles, inspects, links and runs components.
pub trait Engine: Send + Sync {
    /// Reads a binary (or the component text format) without running it. Blocks for as long as parsing takes.
    ///
    /// # Errors
    /// [`EngineError::NotAComponent`] and [`EngineError::Unsupported`].
    fn inspect(&self, bytes: &[u8]) -> Result<Inspection, EngineError>;

    /// Turns the component text format into a binary; a binary is returned as it is.
    ///
    /// # Errors
    /// [`EngineError::NotAComponent`] with the place in the text.
    fn to_binary<'a>(&self, bytes: &'a [u8]) -> Result<std::borrow::Cow<'a, [u8]>, EngineError>;

    /// Returns the component's world as WIT text. Blocks for as long as decoding takes.
    ///
    /// # Errors
    /// As [`Self::inspect`].
    fn wit(&self, bytes: &[u8]) -> Result<String, EngineError>;

    /// Reads the types of all that a component imports and exports, of bytes that [`Self::inspect`] has taken before: what stands in
    /// functions is not looked at again. Blocks for as long as reading takes.
    ///
    /// # Errors
    /// [`EngineError::NotAComponent`], also for one with more types than are looked at.
    fn world(&self, bytes: &[u8]) -> Result<World, EngineError>;

    /// Makes one component of `root` and `parts`: the imports that they say are linked are served from within, all others remain
    /// imports, and what `root` exports is exported. Runs nothing of them. Equal parts, in equal order, give equal bytes. Blocks for
    /// as long as reading and writing takes.
    ///
    /// # Errors
    /// [`EngineError::CannotCompose`]; [`EngineError::NotAComponent`] if there is too much of it.
    fn compose(&self, root: &FusePart, parts: &[FusePart]) -> Result<Vec<u8>, EngineError>;

    /// Makes a component ready to be instantiated: native code from the cache or the compiler, every import matched
    /// with a capability or a provider's export and its type checked. Runs nothing of the guest.
    ///
    /// # Errors
    /// A [`Failure`] of phase `compile` or `link`.
    fn prepare(&self, spec: UnitSpec) -> BoxFuture<'_, Result<Arc<dyn Unit>, Failure>>;

    /// Returns how many mappings of memory the code and the instances that are there take at most. Costs next to nothing.
    fn mapped(&self) -> u64;

    /// Tells `take` of the quick calls between components that ended since the last time, summed up for each pair of instances. The
    /// observer hears of all others.
    fn take_usage(&self, take: &mut dyn FnMut(&GateUsage<'_>));
}

/// A component that becomes part of another.
#[derive(Clone, Debug)]
pub struct FusePart {
    /// The component.
    pub id: ComponentId,
    /// Its bytes, digest checked.
    pub bytes: Arc<[u8]>,
    /// Those of its imports that other parts serve.
    pub links: Vec<FuseLink>,
}

/// An import of a part that another part serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FuseLink {
    /// The import's name.
    pub import: String,
    /// The export's name in the part that serves it.
    pub export: String,
    /// That part: its place in the list of parts.
    pub part: usize,
}

/// Where the engine gets the bytes of a component, should the code cache not have it.
pub trait UnitSource: Send + Sync {
    /// Returns the component's bytes. Those of a registered component have that digest, which is checked; what is made of several is
    /// made of such bytes, and its digest stands for all of them. Blocks on the disk.
    ///
    /// # Errors
    /// [`SourceError`].
    fn bytes(&self, digest: &Digest) -> Result<Arc<[u8]>, SourceError>;
}

/// Why the bytes of a unit cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// They cannot be read.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// They cannot be made of those of several components.
    #[error(transparent)]
    Composition(EngineError),
}

/// Hears that a long compilation began and ended.
pub trait CompileProgress: Send + Sync {
    /// Native code of `size` bytes of wasm is being made for `component`.
    fn started(&self, component: &ComponentId, size: u64);
    /// It is done, or failed.
    fn finished(&self, component: &ComponentId);
}

/// Everything the engine needs to make one revision ready.
#[derive(Clone)]
pub struct UnitSpec {
    /// The component.
    pub id: ComponentId,
    /// The revision.
    pub revision: u32,
    /// Its bytes' identity; of what is made of several components, the identity of what it is made of.
    pub digest: Digest,
    /// Size of its bytes; of what is made of several components, of all of theirs.
    pub size: u64,
    /// Where the bytes come from.
    pub source: Arc<dyn UnitSource>,
    /// The limits in force.
    pub limits: Limits,
    /// What is granted beyond the default set.
    pub grants: GrantSet,
    /// Which components may call which export.
    pub callers: Callers,
    /// What `wasi:config/store` answers.
    pub config: BTreeMap<String, String>,
    /// Imports that other components provide.
    pub links: Vec<Link>,
    /// Loads and saves the component's state; `None` keeps none.
    pub state: Option<Arc<dyn StateKeeper>>,
    /// Hears of its compilation while whoever asked for it waits; besides what the engine tells everything.
    pub progress: Option<Weak<dyn CompileProgress>>,
    /// How many instances there are and how long they live.
    pub instances: InstancePolicy,
}

/// How a unit keeps its instances.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InstancePolicy {
    /// One for all calls, several, or one for each call.
    pub mode: InstanceMode,
    /// Most instances at once, also of those that serve one call each; 1 for [`InstanceMode::Shared`], whatever this says.
    pub max: u32,
}

impl Default for InstancePolicy {
    fn default() -> Self {
        Self { mode: InstanceMode::Shared, max: 1 }
    }
}

/// An import that another component provides.
#[derive(Clone)]
pub struct Link {
    /// The import's name in the component.
    pub import: String,
    /// The export's name in the provider.
    pub export: String,
    /// The provider, whichever of its units is in service.
    pub provider: Arc<Slot>,
}

/// The place of a component in service. Gates look here at each call, so turning the slot to another unit re-links all
/// dependents at one moment without touching them.
pub struct Slot {
    id: ComponentId,
    unit: ArcSwapOption<Arc<dyn Unit>>,
    /// Stands before an empty place whose component is in quarantine.
    barrier: ArcSwapOption<Barrier>,
    /// How often the place was turned.
    turns: AtomicU64,
}

/// The unit that is in service at one moment. Dropped soon: it is cheap for as long as a thread holds few of them.
pub struct Serving(arc_swap::Guard<Option<Arc<Arc<dyn Unit>>>>);

impl Serving {
    /// Returns the unit, if one is in service.
    pub fn unit(&self) -> Option<&Arc<dyn Unit>> {
        self.0.as_deref()
    }
}

impl Slot {
    /// Makes an empty place for `id`.
    pub fn new(id: ComponentId) -> Self {
        Self { id, unit: ArcSwapOption::empty(), barrier: ArcSwapOption::empty(), turns: AtomicU64::new(0) }
    }

    /// Returns the component whose place this is.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// Returns the unit in service.
    pub fn unit(&self) -> Option<Arc<dyn Unit>> {
        self.serving().unit().cloned()
    }

    /// Returns what stands before the place, if anything does.
    pub fn barrier(&self) -> Option<Arc<Barrier>> {
        self.barrier.load_full()
    }

    /// Puts `barrier` before the place, or takes away what stands there; returns what stood there.
    pub fn bar(&self, barrier: Option<Arc<Barrier>>) -> Option<Arc<Barrier>> {
        self.barrier.swap(barrier)
    }

    /// Tells how often the place was turned: while the number stays, so does the unit. Read before the unit.
    pub fn turns(&self) -> u64 {
        self.turns.load(Ordering::Acquire)
    }

    /// Returns the unit in service to look at for a moment, without counting a reference.
    pub fn serving(&self) -> Serving {
        Serving(self.unit.load())
    }

    /// Has everybody look anew who knows the place, as if it had been turned to the same unit.
    pub fn touch(&self) {
        self.turns.fetch_add(1, Ordering::Release);
    }

    /// Puts `unit` in service and returns the one that was.
    pub fn turn(&self, unit: Option<Arc<dyn Unit>>) -> Option<Arc<dyn Unit>> {
        let before = self.unit.swap(unit.map(Arc::new)).map(|unit| Arc::clone(&*unit));
        self.turns.fetch_add(1, Ordering::Release);
        before
    }
}

impl std::fmt::Debug for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Slot").field("id", &self.id).finish_non_exhaustive()
    }
}

/// One revision, linked and ready; it keeps its instance and makes a new one when that was discarded.
///
/// Every new instance gets `state.restore` (if there is state) and `lifecycle.activate` before its first call. A trap, a
/// passed deadline or a dropped call discards the instance. Failures are also reported to the engine's observer, except
/// those that [`Self::start`] returns.
pub trait Unit: Send + Sync {
    /// Returns the component; of a unit that was left beside another one, the revision's own id from then on.
    fn id(&self) -> &ComponentId;

    /// Returns the revision's number.
    fn revision(&self) -> u32;

    /// Returns the functions that can be called.
    fn functions(&self) -> &[FunctionSignature];

    /// Makes an instance now, to prove that it can be made. Does nothing if there is one.
    ///
    /// # Errors
    /// A [`Failure`] of phase `instantiate`, `restore` or `activate`.
    fn start(&self) -> BoxFuture<'_, Result<Started, Failure>>;

    /// Calls an export.
    ///
    /// # Errors
    /// [`EngineError`]; the instance survives those that happen before the guest runs. [`EngineError::Replaced`] gives the request back:
    /// it has to be asked of the unit that is in service now.
    ///
    /// # Cancel safety
    /// Dropping the future discards the instance.
    fn call(&self, request: CallRequest) -> BoxFuture<'_, Result<CallOutcome, EngineError>>;

    /// Asks the component's `health.check`; `None` if it has none. It has the time that a call has, and no more than `within`.
    ///
    /// # Errors
    /// A [`Failure`] of phase `health`, also when the component answers `err`.
    fn check_health(&self, within: Option<Duration>) -> BoxFuture<'_, Result<Option<()>, Failure>>;

    /// Makes an instance that is to take the place of those of `old`, which stays in service: instantiates it and calls
    /// `state.restore`, `lifecycle.activate` and `health.check`, as far as it has them. Where both units have the state interface, what is
    /// restored is what `old` remembers at that moment, by its `state.snapshot`: no call changes it until the answer is settled or
    /// dropped. Else it is what was saved last.
    ///
    /// # Errors
    /// A [`Failure`] of this unit, of phase `instantiate`, `snapshot`, `restore`, `activate` or `health`; `old` goes on as it was, unless
    /// its own instance trapped.
    ///
    /// # Cancel safety
    /// Dropping the future drops the new instance; `old` goes on.
    fn take_over<'a>(
        &'a self,
        old: Option<&'a dyn Unit>,
        how: TakeOver,
    ) -> BoxFuture<'a, Result<Box<dyn Handover + 'a>, Failure>>;

    /// Lets an import lead to another place from the next call on, where another revision of its provider is to serve it. The unit goes on as
    /// it is, with its instances. Does nothing for an import that no other component provides.
    fn reroute(&self, import: &str, to: &Arc<Slot>);

    /// Lets all imports that lead to the place `from` lead to another one, as [`Self::reroute`] does.
    fn lead(&self, from: &Arc<Slot>, to: &Arc<Slot>);

    /// Tells whether an import leads to a place.
    fn leads_to(&self, place: &Arc<Slot>) -> bool;

    /// Takes no more calls but of those who hold handles: whoever waits for it, or asks from now on, is given the request back. What is
    /// left ends with [`Self::drain`].
    fn retire(&self);

    /// Ends what is left of a unit of which a [`Handover`] was settled: each instance is deactivated as soon as its call has ended and
    /// nobody holds handles of it, at the latest when the time is up. A second time of asking, the shorter time holds.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the rest to the next who asks; an instance that was just being ended is dropped.
    fn drain(&self, time: Drain) -> BoxFuture<'_, Drained>;

    /// Drops the instances in order: waits for the running calls, then `state.snapshot`, then `lifecycle.deactivate`.
    /// A failure in between is reported to the observer and does not stop the rest.
    fn stop(&self) -> BoxFuture<'_, ()>;

    /// Drops, in order as [`Self::stop`] does, the instances that served nobody for `idle`, and returns how many those were.
    fn shed(&self, idle: Duration) -> BoxFuture<'_, usize>;

    /// Counts the instances that exist now.
    fn instances(&self) -> InstanceCount;

    /// Tells whether there is a live instance.
    fn instance_state(&self) -> InstanceState;

    /// For the engine alone, to get at its own type.
    fn as_any(&self) -> &dyn Any;

    /// As [`Self::as_any`], for whoever keeps it.
    fn into_any(self: Arc<Self>) -> Arc<dyn Any + Send + Sync>;
}

/// What making an instance took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Started {
    /// Fuel for instantiation, `restore` and `activate` together.
    pub fuel: u64,
    /// Wall-clock time.
    pub duration: Duration,
}

/// How many instances a unit has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InstanceCount {
    /// All that exist.
    pub live: usize,
    /// Those of them that serve a call.
    pub busy: usize,
    /// When one of them last began or ended a call; `None` if none exists.
    pub last_used: Option<Instant>,
}

/// Whether a unit has an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InstanceState {
    /// There is one.
    Live,
    /// It will be made at the next call.
    Cold,
}

/// Keeps the state of one component between its instances. Calls block on the disk.
pub trait StateKeeper: Send + Sync {
    /// Returns the state that was saved last, if any.
    ///
    /// # Errors
    /// [`StorageError`].
    fn load(&self) -> Result<Option<Arc<[u8]>>, StorageError>;

    /// Saves `state` in place of what was saved before, and returns once it is durable.
    fn save(&self, state: Vec<u8>) -> BoxFuture<'_, Result<(), StorageError>>;
}

/// Why the engine could not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EngineError {
    /// The bytes are not a component.
    #[error("{reason}")]
    NotAComponent {
        /// What they are instead, or what is wrong and where.
        reason: String,
    },
    /// The component needs a wasm feature that is off.
    #[error("the component needs the wasm feature `{feature}`, which is off")]
    Unsupported {
        /// The feature's name, for instance `gc`.
        feature: String,
    },
    /// The component does not export such a function.
    #[error("`{component}` has no function `{function}`")]
    UnknownFunction {
        /// The component.
        component: ComponentId,
        /// What was asked for, escaped and bounded.
        function: String,
        /// The functions it has, qualified.
        known: Vec<String>,
    },
    /// Several interfaces have a function of that name.
    #[error("`{function}` of `{component}` is ambiguous")]
    AmbiguousFunction {
        /// The component.
        component: ComponentId,
        /// What was asked for, escaped and bounded.
        function: String,
        /// The functions that it could be, qualified.
        candidates: Vec<String>,
    },
    /// The arguments do not fit the function, or the expression is not WAVE.
    #[error("{reason}")]
    BadArguments {
        /// What is wrong; for a syntax error with the line and a mark under the character.
        reason: String,
        /// The function's type as WIT text, where the function is known.
        signature: Option<String>,
    },
    /// The engine cannot be started on this machine.
    #[error("the engine cannot start: {reason}")]
    Unusable {
        /// What it said.
        reason: String,
    },
    /// Components cannot be made into one.
    #[error("{reason}")]
    CannotCompose {
        /// What does not fit, escaped and bounded.
        reason: String,
    },
    /// The component failed in the call.
    #[error("{}", .0.message)]
    Failed(Box<Failure>),
    /// Another unit came into service before the call began. Whoever asked asks that one, with the time that is left.
    #[error("another revision came into service")]
    Replaced(Box<CallRequest>),
}

impl EngineError {
    /// Says whose turn it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAComponent { .. } | Self::Unsupported { .. } | Self::BadArguments { .. } => ErrorKind::Invalid,
            Self::UnknownFunction { .. } => ErrorKind::NotFound,
            Self::AmbiguousFunction { .. } => ErrorKind::Invalid,
            Self::CannotCompose { .. } => ErrorKind::Conflict,
            Self::Unusable { .. } => ErrorKind::Internal,
            Self::Failed(failure) => failure.kind.error_kind(),
            Self::Replaced(_) => ErrorKind::Unavailable,
        }
    }
}
