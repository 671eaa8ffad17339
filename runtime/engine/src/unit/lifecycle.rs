//! How instances begin and end: instantiation, `state`, `lifecycle` and `health`.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use domain::call::Caller;
use domain::failure::FailureKind;
use domain::ports::{Started, StateKeeper};
use domain::text::guest_message;
use domain::{Failure, Phase};

use super::shelf::{NoTurn, Turn};
use super::{ComponentUnit, Live, bounded};
use crate::clock::Stopwatch;
use crate::epoch::Deadline;
use crate::failure::{Interrupt, millis};
use crate::settings::SNAPSHOT_BYTES_MAX;

/// What the functions of `registry:component` answer, apart from `snapshot`.
type Answer = (Result<(), String>,);

/// What `state.snapshot` answers.
type Snapshot = (Result<Vec<u8>, String>,);

impl ComponentUnit {
    /// See [`domain::ports::Unit::start`].
    pub(super) async fn start_instance(&self) -> Result<Started, Failure> {
        // Without a deadline nobody is one too many or late.
        let Ok((turn, live)) = self.shelf.turn(None).await else { return Ok(Started::default()) };
        let watch = Stopwatch::start();
        let (live, started) = match live {
            Some(live) => (live, Started::default()),
            None => {
                let (live, fuel) = self.make(&Arc::default(), None).await?;
                (live, Started { fuel, duration: watch.elapsed() })
            }
        };
        self.put(live, turn).await;
        Ok(started)
    }

    /// Makes an instance and returns it with the fuel that this took; nothing of it is left if it fails.
    ///
    /// A guest that cannot take over its saved state starts without it, and the observer hears why.
    pub(super) async fn make(
        &self,
        caller: &Arc<Caller>,
        outer: Option<Deadline>,
    ) -> Result<(Box<Live>, u64), Failure> {
        let mut spent = 0;
        if let Some(state) = self.load_state(caller).await? {
            match self.attempt(caller, outer, Some(state)).await {
                Err(failure) if failure.phase == Phase::Restore => {
                    spent = failure.fuel.unwrap_or(0);
                    self.shared.observer.failed(failure);
                }
                outcome => return outcome,
            }
        }
        let (live, fuel) = self.attempt(caller, outer, None).await?;
        Ok((live, fuel.saturating_add(spent)))
    }

    pub(super) async fn load_state(&self, caller: &Caller) -> Result<Option<Arc<[u8]>>, Failure> {
        let (Some(keeper), Some(_)) = (self.keeper(), self.exports.lifecycle("state", "restore")) else {
            return Ok(None);
        };
        let keeper: Arc<dyn StateKeeper> = Arc::clone(keeper);
        let host = |reason: String| {
            let message = format!("the saved state cannot be read: {reason}");
            self.scene(caller).failure(Phase::Restore, FailureKind::Host, &message)
        };
        match tokio::task::spawn_blocking(move || keeper.load()).await {
            Ok(Ok(state)) => Ok(state),
            Ok(Err(error)) => Err(host(error.to_string())),
            Err(panicked) => Err(host(panicked.to_string())),
        }
    }

    /// Instantiates, restores if there is a state, and activates, all under the activation fuel.
    pub(super) async fn attempt(
        &self,
        caller: &Arc<Caller>,
        outer: Option<Deadline>,
        state: Option<Arc<[u8]>>,
    ) -> Result<(Box<Live>, u64), Failure> {
        let mut steps = self.instantiated(caller, outer).await?;
        steps.enter_service(state).await?;
        let used = steps.used();
        Ok((steps.live, used))
    }

    /// Makes an instance of which nothing but its core start functions has run.
    pub(super) async fn instantiated<'a>(
        &'a self,
        caller: &'a Arc<Caller>,
        outer: Option<Deadline>,
    ) -> Result<Steps<'a>, Failure> {
        let limits = &self.spec.limits;
        let own = Deadline::after(limits.deadline());
        let (deadline, time) = match outer {
            Some(outer) if outer < own => (outer, outer.left()),
            _ => (own, limits.deadline()),
        };
        let fuel = limits.activation_fuel;
        let mut steps = match self.make_store(deadline).await {
            Ok(live) => Steps { unit: self, live: Box::new(live), caller, deadline, time, fuel },
            Err(error) => {
                let denied = matches!(error.downcast_ref(), Some(Interrupt::Unprepared { .. }));
                let late = matches!(error.downcast_ref(), Some(Interrupt::Deadline));
                let kind = match (denied, late) {
                    (true, _) => FailureKind::Denied,
                    (_, true) => FailureKind::Deadline,
                    _ => FailureKind::Host,
                };
                let message = format!("no instance can be made: {error:#}");
                return Err(self.scene(caller).failure(Phase::Instantiate, kind, &message));
            }
        };
        let instantiated = match steps.begin() {
            Ok(()) => bounded(deadline, pin!(steps.live.instantiate(&self.pre))).await,
            Err(error) => Err(error),
        };
        instantiated.map_err(|error| steps.failed(Phase::Instantiate, &error))?;
        Ok(steps)
    }

    /// Makes a store with all that its capabilities keep; where that may wait for a disk, on a thread that may, until `deadline`.
    async fn make_store(&self, deadline: Deadline) -> wasmtime::Result<Live> {
        let count = self.exports.all().len();
        let grants = &self.instance_spec.grants;
        if !self.capabilities.iter().any(|capability| capability.may_block(grants)) {
            let (spec, capabilities) = (&self.instance_spec, &self.capabilities);
            let counted = (self.shelf.herd(), self.instance_mappings);
            return Live::new(&self.shared, self.pre.engine(), spec, capabilities, count, counted);
        }
        let (shared, engine, spec) = (Arc::clone(&self.shared), self.pre.engine().clone(), self.instance_spec.clone());
        let (capabilities, herd) = (self.capabilities.clone(), Arc::clone(self.shelf.herd()));
        let mappings = self.instance_mappings;
        let making = tokio::task::spawn_blocking(move || {
            Live::new(&shared, &engine, &spec, &capabilities, count, (&herd, mappings))
        });
        bounded(deadline, pin!(async { making.await.map_err(wasmtime::Error::new)? })).await
    }

    /// See [`domain::ports::Unit::check_health`].
    pub(super) async fn ask_health(&self, within: Option<Duration>) -> Result<Option<()>, Failure> {
        if self.exports.lifecycle("health", "check").is_none() {
            return Ok(None);
        }
        let checked = self.checked_health(within).await;
        if let Err(failure) = &checked {
            self.shared.observer.failed(failure.clone());
        }
        checked.map(Some)
    }

    async fn checked_health(&self, within: Option<Duration>) -> Result<(), Failure> {
        let nobody = Arc::<Caller>::default();
        let limit = self.spec.limits.deadline();
        let time = within.map_or(limit, |within| within.min(limit));
        let deadline = Deadline::after(time);
        let (turn, live) = match self.shelf.turn(Some(deadline)).await {
            Ok(turn) => turn,
            Err(reason) => {
                let (kind, message) = match reason {
                    NoTurn::Late => {
                        let waited = millis(time);
                        (FailureKind::Deadline, format!("calls kept the component busy for {waited} ms"))
                    }
                    NoTurn::Full | NoTurn::Gone | NoTurn::Retired => {
                        (FailureKind::Exhausted, "too many calls wait for the component".to_owned())
                    }
                };
                // It works, only not on this.
                return Err(Failure { by_caller: true, ..self.scene(&nobody).failure(Phase::Health, kind, &message) });
            }
        };
        let live = match live {
            Some(live) => live,
            None => self.make(&nobody, Some(deadline)).await?.0,
        };
        let fuel = self.spec.limits.fuel;
        let mut steps = Steps { unit: self, live, caller: &nobody, deadline, time, fuel };
        steps.begin().map_err(|error| steps.failed(Phase::Health, &error))?;
        match steps.ask(Phase::Health, "health", "check", ()).await {
            Err(failure) if failure.kind != FailureKind::Err => Err(failure),
            // An answer is not a trap: the instance lives on.
            answer => {
                self.put(steps.live, turn).await;
                answer
            }
        }
    }

    /// See [`domain::ports::Unit::stop`].
    pub(super) async fn stop_instances(&self) {
        // Nobody makes an instance before the state of this one is saved.
        let (_turns, lives) = self.shelf.all().await;
        for live in lives {
            self.end_instance(live).await;
        }
    }

    /// See [`domain::ports::Unit::shed`].
    pub(super) async fn shed_instances(&self, idle: Duration) -> usize {
        let idle = u64::try_from(idle.as_millis()).unwrap_or(u64::MAX);
        let Some(before) = self.shared.ticker.now().checked_sub(idle) else { return 0 };
        let mut shed = 0;
        for (turn, live) in self.shelf.take_older(before) {
            self.end(live, turn).await;
            shed += 1;
        }
        shed
    }

    /// Puts an instance back after a call, unless it was made for that one; one that others hold handles of stays for them.
    pub(super) async fn put(&self, live: Box<Live>, turn: Turn<'_>) {
        if self.is_per_call() && !live.store.data().tether().is_held() {
            return Box::pin(self.end(live, turn)).await;
        }
        turn.put(live, self.shared.ticker.now());
    }

    /// Ends an instance in order, and gives its turn to the next.
    pub(super) async fn end(&self, live: Box<Live>, turn: Turn<'_>) {
        self.end_instance(live).await;
        drop(turn);
    }

    pub(super) async fn end_instance(&self, live: Box<Live>) {
        if self.exports.lifecycle("state", "snapshot").is_none()
            && self.exports.lifecycle("lifecycle", "deactivate").is_none()
        {
            return;
        }
        let nobody = Arc::<Caller>::default();
        let deadline = Deadline::after(self.spec.limits.deadline());
        let fuel = self.spec.limits.activation_fuel;
        let mut steps = Steps { unit: self, live, caller: &nobody, deadline, time: self.spec.limits.deadline(), fuel };
        // A guest that trapped is not called again.
        let alive = match steps.save_state().await {
            Ok(()) => true,
            Err(failure) => {
                let answered = is_answer(&failure);
                self.shared.observer.failed(failure);
                answered
            }
        };
        if alive && let Err(failure) = steps.deactivate().await {
            self.shared.observer.failed(failure);
        }
    }
}

/// Tells whether a guest lives on after a failure of its last step: it answered, and did not trap.
pub(super) fn is_answer(failure: &Failure) -> bool {
    matches!(failure.kind, FailureKind::Err | FailureKind::Limit | FailureKind::Host) && failure.backtrace.is_empty()
}

/// The steps of one instance's beginning or end, which share fuel and deadline.
pub(super) struct Steps<'a> {
    unit: &'a ComponentUnit,
    live: Box<Live>,
    caller: &'a Arc<Caller>,
    deadline: Deadline,
    time: Duration,
    fuel: u64,
}

impl<'a> Steps<'a> {
    /// Begins steps of an instance that is there, under limits of their own.
    pub(super) fn new(unit: &'a ComponentUnit, live: Box<Live>, caller: &'a Arc<Caller>, fuel: u64) -> Self {
        let time = unit.spec.limits.deadline();
        Self { unit, live, caller, deadline: Deadline::after(time), time, fuel }
    }

    /// Returns the instance.
    pub(super) fn into_live(self) -> Box<Live> {
        self.live
    }

    /// Gives what is left of the fuel, and the time anew.
    pub(super) fn go_on(&mut self) -> Result<(), Box<Failure>> {
        self.time = self.unit.spec.limits.deadline();
        self.deadline = Deadline::after(self.time);
        let (left, bound) = (self.live.fuel_left(), (self.deadline, self.time));
        let begun = self.live.begin(left, self.caller, bound, false);
        begun.map_err(|error| Box::new(self.failed(Phase::Activate, &error)))
    }

    /// Restores if there is a state, and activates.
    pub(super) async fn enter_service(&mut self, state: Option<Arc<[u8]>>) -> Result<(), Failure> {
        if let Some(state) = state {
            self.ask(Phase::Restore, "state", "restore", (state.to_vec(),)).await?;
        }
        self.ask(Phase::Activate, "lifecycle", "activate", ()).await
    }

    /// Asks `health.check`, if the component has it.
    pub(super) async fn check_health(&mut self) -> Result<(), Failure> {
        if self.unit.exports.lifecycle("health", "check").is_none() {
            return Ok(());
        }
        self.begin().map_err(|error| self.failed(Phase::Health, &error))?;
        self.ask(Phase::Health, "health", "check", ()).await
    }
}

impl Steps<'_> {
    fn begin(&mut self) -> wasmtime::Result<()> {
        self.live.begin(self.fuel, self.caller, (self.deadline, self.time), false)
    }

    pub(super) fn used(&self) -> u64 {
        self.fuel.saturating_sub(self.live.fuel_left())
    }

    fn failed(&self, phase: Phase, error: &wasmtime::Error) -> Failure {
        let allowed = self.unit.allowed(self.fuel, self.time, &self.live);
        self.unit.scene(self.caller).trap(phase, error, &allowed, Some(self.used()))
    }

    /// Calls a function of `registry:component` that answers `result<_, string>`, if the component has it.
    async fn ask<P>(&mut self, phase: Phase, interface: &str, name: &str, args: P) -> Result<(), Failure>
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower + Send + Sync + 'static,
    {
        let (answer,): Answer = match self.call(phase, interface, name, args).await? {
            Some(answer) => answer,
            None => return Ok(()),
        };
        answer.map_err(|text| self.refused(phase, interface, name, &text))
    }

    /// Calls a function of `registry:component`; `None` if the component does not have it.
    async fn call<P, R>(&mut self, phase: Phase, interface: &str, name: &str, args: P) -> Result<Option<R>, Failure>
    where
        P: wasmtime::component::ComponentNamedList + wasmtime::component::Lower + Send + Sync + 'static,
        R: wasmtime::component::ComponentNamedList + wasmtime::component::Lift + Send + Sync + 'static,
    {
        let exports = &self.unit.exports;
        let Some(position) = exports.lifecycle(interface, name) else { return Ok(None) };
        let Some(export) = exports.get(position) else { return Ok(None) };
        let called = bounded(self.deadline, pin!(self.live.call_typed::<P, R>(position, &export.index, args))).await;
        self.live.end_output();
        let function = export.qualified.to_string();
        called.map(Some).map_err(|error| Failure { function: Some(function), ..self.failed(phase, &error) })
    }

    fn refused(&self, phase: Phase, interface: &str, name: &str, text: &str) -> Failure {
        let message = format!("`{interface}.{name}` answered: {}", guest_message(text));
        let failure = self.unit.scene(self.caller).failure(phase, FailureKind::Err, &message);
        Failure { fuel: Some(self.used()), function: Some(format!("{interface}#{name}")), ..failure }
    }

    /// Asks for a snapshot and has it kept, if the component has state, anybody keeps it, and it is this unit's.
    async fn save_state(&mut self) -> Result<(), Failure> {
        let Some(keeper) = self.unit.keeper().cloned() else { return Ok(()) };
        if !self.unit.owns_state.load(Ordering::Acquire) {
            return Ok(());
        }
        let Some(state) = self.snapshot().await? else { return Ok(()) };
        let scene = self.unit.scene(self.caller);
        keeper.save(state).await.map_err(|error| {
            scene.failure(Phase::Snapshot, FailureKind::Host, &format!("the state cannot be saved: {error}"))
        })
    }

    /// Asks what the instance remembers; `None` if the component has nothing to say.
    pub(super) async fn snapshot(&mut self) -> Result<Option<Vec<u8>>, Failure> {
        if self.unit.exports.lifecycle("state", "snapshot").is_none() {
            return Ok(None);
        }
        self.begin().map_err(|error| self.failed(Phase::Snapshot, &error))?;
        let Some((answer,)) = self.call::<(), Snapshot>(Phase::Snapshot, "state", "snapshot", ()).await? else {
            return Ok(None);
        };
        let scene = self.unit.scene(self.caller);
        let state = answer.map_err(|text| self.refused(Phase::Snapshot, "state", "snapshot", &text))?;
        if state.len() > SNAPSHOT_BYTES_MAX {
            let message = format!("the state has {} bytes, at most {SNAPSHOT_BYTES_MAX} are kept", state.len());
            return Err(scene.failure(Phase::Snapshot, FailureKind::Limit, &message));
        }
        Ok(Some(state))
    }

    async fn deactivate(&mut self) -> Result<(), Failure> {
        if self.unit.exports.lifecycle("lifecycle", "deactivate").is_none() {
            return Ok(());
        }
        // Its own time: a slow snapshot must not keep the component from closing what it opened.
        self.deadline = Deadline::after(self.unit.spec.limits.deadline());
        self.time = self.unit.spec.limits.deadline();
        self.begin().map_err(|error| self.failed(Phase::Deactivate, &error))?;
        self.ask(Phase::Deactivate, "lifecycle", "deactivate", ()).await
    }
}
