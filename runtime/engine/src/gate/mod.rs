//! Gates: the imports of one component that another provides, as host functions that enter the other's store.

mod abi;
mod edge;
mod pass;
mod route;
mod shape;
mod transfer;

use std::sync::Arc;

use domain::ComponentId;
use domain::callers::refusal;
use domain::failure::FailureKind;
use domain::ports::{Link, Unit, UnitSpec};
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, Linker, ResourceType};

pub(crate) use edge::{Counted, EdgeUse, Edges};
use pass::Gate;
pub(crate) use route::Route;

use crate::engine::Shared;
use crate::link::{Unmet, shown};
use crate::resource::ResourceNames;
use crate::state::StoreState;
use crate::unit::ComponentUnit;
use crate::wit::{TypeNames, function_crossable, signature};

/// Where the gates of one component are made.
pub(crate) struct Maker<'a> {
    pub(crate) shared: &'a Arc<Shared>,
    /// The engine of the caller.
    pub(crate) engine: &'a wasmtime::Engine,
    /// The component whose imports they are.
    pub(crate) caller: &'a ComponentId,
    /// What it calls the resource types that others know.
    pub(crate) resources: &'a Arc<ResourceNames>,
    /// How many there are.
    pub(crate) gates: usize,
    /// Where they lead, by import.
    pub(crate) routes: Vec<Arc<Route>>,
}

impl Maker<'_> {
    /// Returns the number of the next gate.
    fn next(&mut self) -> usize {
        self.gates += 1;
        self.gates - 1
    }

    /// Returns where the gates of an import lead.
    fn route(&mut self, link: &Link) -> Arc<Route> {
        if let Some(known) = self.routes.iter().find(|route| route.import == link.import) {
            return Arc::clone(known);
        }
        let route = Route::new(&link.import, Arc::clone(&link.provider));
        self.routes.push(Arc::clone(&route));
        route
    }
}

/// Defines an import interface by gates into `link`'s provider, after comparing each function's types.
pub(crate) fn link_interface(
    maker: &mut Maker<'_>,
    link: &Link,
    interface: &ComponentInstance,
    linker: &mut Linker<StoreState>,
) -> Result<(), Unmet> {
    let exports = &*provider(link)?;
    admit(exports, maker.caller, &link.export)?;
    let mut instance = linker.instance(&link.import).map_err(|error| (FailureKind::Host, format!("{error:#}")))?;
    for (name, item) in interface.exports(maker.engine) {
        match item.ty {
            ComponentItem::ComponentFunc(function) => {
                check(maker, link, Some(&link.export), name, &function, exports)?;
                let gate = Gate::new(maker, link, Some(&link.export), name, function);
                gate.define(&mut instance, name)?;
            }
            ComponentItem::Type(_) => {}
            ComponentItem::Resource(resource) => {
                let Some(number) = maker.resources.number(&resource) else {
                    let missing = format!(
                        "import `{}` has the resource `{}`, which {} does not have in `{}`",
                        shown(&link.import),
                        shown(name),
                        link.provider.id(),
                        shown(&link.export)
                    );
                    return Err((FailureKind::TypeMismatch, missing));
                };
                pass::define_resource(&mut instance, name, number)?;
            }
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
    maker: &mut Maker<'_>,
    link: &Link,
    function: &ComponentFunc,
    linker: &mut Linker<StoreState>,
) -> Result<(), Unmet> {
    let exports = &*provider(link)?;
    admit(exports, maker.caller, &link.export)?;
    check(maker, link, None, &link.export, function, exports)?;
    let gate = Gate::new(maker, link, None, &link.export, function.clone());
    gate.define(&mut linker.root(), &link.import)
}

fn provider(link: &Link) -> Result<Arc<ComponentUnit>, Unmet> {
    let id = link.provider.id();
    let unit = link.provider.unit().ok_or_else(|| {
        let barrier = link.provider.barrier();
        let standing = barrier.as_ref().map_or("not active", |barrier| barrier.reason());
        (FailureKind::Dependency, format!("{id}, which provides `{}`, is {standing}", shown(&link.import)))
    })?;
    component_unit(unit).map_err(|message| (FailureKind::Host, message))
}

/// Returns a unit as what this engine made of it, or why it is another's.
fn component_unit(unit: Arc<dyn Unit>) -> Result<Arc<ComponentUnit>, String> {
    let id = unit.id().clone();
    unit.into_any().downcast().map_err(|_| format!("{id} runs in another engine and cannot be linked"))
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
    maker: &Maker<'_>,
    link: &Link,
    interface: Option<&str>,
    name: &str,
    wanted: &ComponentFunc,
    provider: &ComponentUnit,
) -> Result<(), Unmet> {
    let known = |resource: &ResourceType| maker.resources.number(resource).is_some();
    function_crossable(wanted, &known).map_err(|what| not_transferable(link, name, what))?;
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
    if maker.resources.same_types(wanted, provider.resources(), &export.ty) {
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

/// Finds out what a component calls the resource types that others know.
pub(crate) fn resource_names(shared: &Shared, spec: &UnitSpec, component: &Component) -> ResourceNames {
    ResourceNames::of(component.engine(), component, &spec.id, &shared.resources, |import, name| {
        let link = spec.links.iter().find(|link| link.import == import)?;
        let unit = link.provider.unit()?;
        component_unit(unit).ok()?.resources().exported(&link.export, name)
    })
}
