//! Quotas: which call may begin, and what of a namespace's room is left.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use arc_swap::ArcSwap;
use domain::ports::{Clock, Exhausted, MeterStore, StateView, StorageError};
use domain::quota::{Meter, Quota, Quotas};
use domain::reduce::index;
use domain::units::format_size;
use domain::{ComponentId, Timestamp};

use crate::Registry;
use crate::commit::blocking;
use crate::error::RegistryError;
use crate::register::{Draft, RegisterOutcome};

/// Most meters kept in memory before those that are full again are let go.
const METERS_MAX: usize = 65_536;

/// Meters of components and namespaces for which quotas are set.
#[derive(Default)]
pub(crate) struct Meters {
    /// Whether any quota is set: most registries have none, and pay nothing.
    is_needed: AtomicBool,
    quotas: ArcSwap<Quotas>,
    store: OnceLock<Arc<dyn MeterStore>>,
    running: Mutex<Running>,
}

#[derive(Default)]
struct Running {
    /// By id of the component or name of the namespace, which has no colon.
    meters: HashMap<String, Meter>,
    is_loaded: bool,
    is_changed: bool,
}

impl Meters {
    /// Takes the quotas in force from now on.
    pub(crate) fn set(&self, quotas: &Quotas) {
        self.quotas.store(Arc::new(quotas.clone()));
        self.is_needed.store(!quotas.is_empty(), Ordering::Release);
    }

    /// Tells whether any quota is set.
    pub(crate) fn is_needed(&self) -> bool {
        self.is_needed.load(Ordering::Relaxed)
    }

    /// Says where meters are kept between processes.
    pub(crate) fn keep_in(&self, store: Arc<dyn MeterStore>) {
        // A registry is opened once.
        let _ = self.store.set(store);
    }

    /// Counts a call that begins, of the component and of its namespace, or refuses it.
    pub(crate) fn begin(&self, id: &ComponentId, clock: &dyn Clock) -> Result<(), Exhausted> {
        if !self.is_needed.load(Ordering::Acquire) {
            return Ok(());
        }
        let quotas = self.quotas.load();
        let now = clock.now();
        let mut running = self.running();
        let mut counted = Vec::new();
        for (name, key, quota) in [
            (id.entry_str(), "quotas.component", quotas.of_component(&id.entry())),
            (id.namespace(), "quotas.namespace", quotas.of_namespace(id.namespace())),
        ] {
            let mut meter = running.meters.get(name).copied().unwrap_or_default();
            meter.begin(&quota, now).map_err(|used_up| Exhausted {
                reason: format!(
                    "`{name}` has used up its quota of {} {} a second (`{key}.{}_per_second`)",
                    used_up.per_second, used_up.what, used_up.what
                ),
                retry_after: used_up.retry_after,
            })?;
            counted.push((name, meter));
        }
        for (name, meter) in counted {
            running.put(name, meter, now);
        }
        Ok(())
    }

    /// Counts the fuel of a call that ended.
    pub(crate) fn used(&self, id: &ComponentId, fuel: u64, clock: &dyn Clock) {
        if !self.is_needed.load(Ordering::Acquire) {
            return;
        }
        let quotas = self.quotas.load();
        let now = clock.now();
        let mut running = self.running();
        for (name, quota) in
            [(id.entry_str(), quotas.of_component(&id.entry())), (id.namespace(), quotas.of_namespace(id.namespace()))]
        {
            let mut meter = running.meters.get(name).copied().unwrap_or_default();
            meter.used(&quota, fuel, now);
            running.put(name, meter, now);
        }
    }

    /// Returns the meters that are not full if they changed since the last time, and where they go.
    fn to_save(&self, now: Timestamp) -> Option<(BTreeMap<String, Meter>, Arc<dyn MeterStore>)> {
        let store = self.store.get()?.clone();
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::mem::take(&mut running.is_changed) {
            return None;
        }
        running.meters.retain(|_, meter| !meter.is_full(now));
        Some((running.meters.iter().map(|(name, meter)| (name.clone(), *meter)).collect(), store))
    }

    /// Returns the meters, with what an earlier process saved.
    fn running(&self) -> std::sync::MutexGuard<'_, Running> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if !running.is_loaded {
            running.is_loaded = true;
            for (name, saved) in self.store.get().map(|store| store.load()).unwrap_or_default() {
                running.meters.entry(name).or_default().merge(&saved);
            }
        }
        running
    }
}

impl Running {
    fn put(&mut self, name: &str, meter: Meter, now: Timestamp) {
        if meter == Meter::default() {
            return;
        }
        self.is_changed = true;
        if let Some(known) = self.meters.get_mut(name) {
            *known = meter;
            return;
        }
        if self.meters.len() >= METERS_MAX {
            self.meters.retain(|_, meter| !meter.is_full(now));
        }
        self.meters.insert(name.to_owned(), meter);
    }
}

impl Registry {
    /// Saves how far quotas are used up, if that changed.
    pub(crate) async fn flush_meters(&self) -> Result<(), RegistryError> {
        let Some((meters, store)) = self.inner.tracker.meters.to_save(self.inner.clock.now()) else { return Ok(()) };
        blocking(move || Ok(store.save(&meters)?)).await
    }
}

/// Refuses a registration for which its namespace has no room.
pub(crate) fn refuse_beyond(
    view: &dyn StateView,
    quota: &Quota,
    draft: &Draft,
    outcome: RegisterOutcome,
) -> Result<(), RegistryError> {
    let namespace = draft.id.namespace();
    let left = |index: &str, more: u64, most: u64| -> Result<bool, StorageError> {
        Ok(view.count(index, namespace)?.saturating_add(more) <= most)
    };
    let beyond = |what: String, key: &'static str| RegistryError::Quota {
        component: draft.id.clone(),
        namespace: namespace.to_owned(),
        what,
        key,
    };
    if let Some(most) = quota.components.filter(|_| outcome == RegisterOutcome::New)
        && !left(index::NAMESPACE, 1, most)?
    {
        let noun = if most == 1 { "component" } else { "components" };
        return Err(beyond(format!("{most} {noun}"), "components"));
    }
    if let Some(most) = quota.blob_bytes.filter(|_| outcome != RegisterOutcome::Unchanged)
        && !left(index::NAMESPACE_BYTES, draft.inspection.size, most)?
    {
        return Err(beyond(format!("{} of components", format_size(most)), "blobs"));
    }
    Ok(())
}
