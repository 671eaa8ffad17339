//! Gates: the imports of one component that another provides, as host functions that enter the other's store.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Instant;

use domain::ComponentId;
use domain::call::Caller;
use domain::callers::refusal;
use domain::failure::FailureKind;
use domain::ports::{Link, Slot, Unit};
use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Linker, LinkerInstance, Val};

use crate::engine::Shared;
use crate::failure::Interrupt;
use crate::link::{Unmet, shown};
use crate::state::StoreState;
use crate::unit::{ComponentUnit, Entrance};
use crate::wit::{TypeNames, function_transferable, same_types, signature};

/// Defines an import interface by gates into `link`'s provider, after comparing each function's types.
pub(crate) fn link_interface(
    shared: &Shared,
    caller: &ComponentId,
    link: &Link,
    interface: &ComponentInstance,
    linker: &mut Linker<StoreState>,
) -> Result<(), Unmet> {
    let provider = provider(link)?;
    let exports = component_unit(&*provider)?;
    admit(exports, caller, &link.export)?;
    let mut instance = linker.instance(&link.import).map_err(|error| (FailureKind::Host, format!("{error:#}")))?;
    for (name, item) in interface.exports(&shared.engine) {
        match item.ty {
            ComponentItem::ComponentFunc(function) => {
                check(link, Some(&link.export), name, &function, exports)?;
                let gate = Gate::new(caller, link, Some(&link.export), name, function, &provider);
                gate.define(&mut instance, name)?;
            }
            ComponentItem::Type(_) => {}
            ComponentItem::Resource(_) => return Err(not_transferable(link, name, "a resource")),
            _ => {
                let message = format!(
                    "import `{}` has `{}`, which is neither a function nor a type",
                    shown(&link.import),
                    shown(name)
                );
                return Err((FailureKind::TypeMismatch, message));
            }
        }
    }
    Ok(())
}

/// Defines an imported function of the world itself by a gate.
pub(crate) fn link_function(
    caller: &ComponentId,
    link: &Link,
    function: &ComponentFunc,
    linker: &mut Linker<StoreState>,
) -> Result<(), Unmet> {
    let provider = provider(link)?;
    let exports = component_unit(&*provider)?;
    admit(exports, caller, &link.export)?;
    check(link, None, &link.export, function, exports)?;
    let gate = Gate::new(caller, link, None, &link.export, function.clone(), &provider);
    gate.define(&mut linker.root(), &link.import)
}

fn provider(link: &Link) -> Result<Arc<dyn Unit>, Unmet> {
    let id = link.provider.id();
    link.provider.unit().ok_or_else(|| {
        (FailureKind::Dependency, format!("{id}, which provides `{}`, is not active", shown(&link.import)))
    })
}

fn component_unit(unit: &dyn Unit) -> Result<&ComponentUnit, Unmet> {
    unit.as_any()
        .downcast_ref()
        .ok_or_else(|| (FailureKind::Host, format!("{} runs in another engine and cannot be linked", unit.id())))
}

/// Checks that the provider lets `caller` call its `export`.
fn admit(provider: &ComponentUnit, caller: &ComponentId, export: &str) -> Result<(), Unmet> {
    match provider.refusing(export, caller) {
        None => Ok(()),
        Some(allowed) => Err((FailureKind::Denied, refusal(provider.id(), caller, &shown(export), allowed))),
    }
}

fn not_transferable(link: &Link, function: &str, what: &str) -> Unmet {
    let message = format!(
        "import `{}`: `{}` holds {what}, which cannot cross from one component to another yet",
        shown(&link.import),
        shown(function)
    );
    (FailureKind::TypeMismatch, message)
}

/// Compares an imported function with the provider's.
fn check(
    link: &Link,
    interface: Option<&str>,
    name: &str,
    wanted: &ComponentFunc,
    provider: &ComponentUnit,
) -> Result<(), Unmet> {
    function_transferable(wanted).map_err(|what| not_transferable(link, name, what))?;
    let (import, id) = (shown(&link.import), link.provider.id());
    let none = TypeNames::default();
    let Some(export) = provider.exports().find(interface, name) else {
        let message = format!(
            "import `{import}` needs `{}: {}`, which {id} does not have in `{}`",
            shown(name),
            shown(&signature(wanted, &none)),
            shown(&link.export)
        );
        return Err((FailureKind::TypeMismatch, message));
    };
    if export.transferable().is_ok() && same_types(wanted, &export.ty) {
        return Ok(());
    }
    let message = format!(
        "import `{import}` needs `{}: {}`, but that of {id} is `{}`",
        shown(name),
        shown(&signature(wanted, &none)),
        shown(&signature(&export.ty, &none))
    );
    Err((FailureKind::TypeMismatch, message))
}

/// One imported function and whoever provides it at the moment.
struct Gate {
    caller: ComponentId,
    slot: Arc<Slot>,
    interface: Option<String>,
    name: String,
    ty: ComponentFunc,
    target: Mutex<Target>,
}

/// The unit that was in service last, and where its function is.
#[derive(Clone)]
struct Target {
    unit: Weak<dyn Unit>,
    export: usize,
}

impl Gate {
    fn new(
        caller: &ComponentId,
        link: &Link,
        interface: Option<&str>,
        name: &str,
        ty: ComponentFunc,
        unit: &Arc<dyn Unit>,
    ) -> Arc<Self> {
        // `check` has found it; a gate that finds another unit in service looks again.
        let export = component_unit(&**unit).ok().and_then(|unit| unit.exports().position(interface, name));
        Arc::new(Self {
            caller: caller.clone(),
            slot: Arc::clone(&link.provider),
            interface: interface.map(str::to_owned),
            name: name.to_owned(),
            ty,
            target: Mutex::new(Target { unit: Arc::downgrade(unit), export: export.unwrap_or(usize::MAX) }),
        })
    }

    fn define(self: Arc<Self>, instance: &mut LinkerInstance<'_, StoreState>, name: &str) -> Result<(), Unmet> {
        instance
            .func_new_async(name, move |store, _, params, results| {
                let gate = Arc::clone(&self);
                Box::new(async move { gate.pass(store, params, results).await })
            })
            .map_err(|error| (FailureKind::Host, format!("{error:#}")))
    }

    /// Carries one call over to the provider and its result back.
    async fn pass(
        &self,
        store: StoreContextMut<'_, StoreState>,
        params: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let entrance = self.entrance(store.data())?;
        let absent = || Interrupt::Absent { id: self.slot.id().clone() };
        let unit = self.slot.unit().ok_or_else(absent)?;
        let export = self.resolve(&unit)?;
        let callee = unit.as_any().downcast_ref::<ComponentUnit>().ok_or_else(absent)?;
        let returned = callee.enter(export, params, &entrance).await.map_err(|failure| match failure.kind {
            // Its message names the one that failed: told through many components, it must not become longer with each.
            FailureKind::Dependency => Interrupt::Further { message: failure.message.clone() },
            _ => Interrupt::Dependency { id: failure.component.clone(), message: failure.message.clone() },
        })?;
        for (slot, value) in results.iter_mut().zip(returned.value) {
            *slot = value;
        }
        Ok(())
    }

    /// Says on whose behalf the provider is entered, or why it must not be.
    fn entrance(&self, state: &StoreState) -> Result<Entrance, Interrupt> {
        let served = state.call();
        let mut path = served.caller.chain.clone();
        path.push(state.component().clone());
        if path.contains(self.slot.id()) {
            path.push(self.slot.id().clone());
            return Err(Interrupt::Reentrance { path });
        }
        let most = state.limits().call_depth;
        if u64::try_from(path.len()).unwrap_or(u64::MAX) >= most {
            return Err(Interrupt::Depth { most });
        }
        let caller = Arc::new(Caller { chain: path, ..Caller::clone(&served.caller) });
        let began = Instant::now();
        let time = served.deadline.left_at(began);
        Ok(Entrance { fuel: None, began, deadline: served.deadline, time, caller })
    }

    /// Returns the place of the function in `unit`, looking it up again only when another unit came into service.
    fn resolve(&self, unit: &Arc<dyn Unit>) -> Result<usize, Interrupt> {
        let mut target = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        if std::ptr::addr_eq(target.unit.as_ptr(), Arc::as_ptr(unit)) {
            return Ok(target.export);
        }
        let changed = |what: &str| Interrupt::Dependency {
            id: self.slot.id().clone(),
            message: format!("`{}` {what} in its revision {}", shown(&self.name), unit.revision()),
        };
        let callee = component_unit(&**unit)
            .map_err(|(_, message)| Interrupt::Dependency { id: self.slot.id().clone(), message })?;
        // Another revision may let others call than the one that was linked.
        let asked = self.interface.as_deref().unwrap_or(&self.name);
        if let Some(allowed) = callee.refusing(asked, &self.caller) {
            return Err(Interrupt::Refused { message: refusal(callee.id(), &self.caller, &shown(asked), allowed) });
        }
        let position = callee.exports().position(self.interface.as_deref(), &self.name);
        let position = position.ok_or_else(|| changed("is missing"))?;
        let export = callee.exports().get(position).ok_or_else(|| changed("is missing"))?;
        if export.transferable().is_err() || !same_types(&self.ty, &export.ty) {
            return Err(changed("has another type"));
        }
        *target = Target { unit: Arc::downgrade(unit), export: position };
        Ok(position)
    }
}
