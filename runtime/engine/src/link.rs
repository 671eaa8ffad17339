//! Matches every import of a component with a capability or with a provider's export.

use std::collections::BTreeSet;
use std::sync::Arc;

use domain::call::Caller;
use domain::capability::{HostAccess, host_access, refusal};
use domain::failure::FailureKind;
use domain::ports::{Link, UnitSpec};
use domain::text::{escape_line, truncate};
use domain::{Failure, InterfaceName, Phase};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Linker};

use crate::capability::Capability;
use crate::code::Loaded;
use crate::engine::Shared;
use crate::failure::Scene;
use crate::gate::{self, Route};
use crate::resource::ResourceNames;
use crate::state::StoreState;
use crate::unit::{self, ComponentUnit};

/// Most unmet imports that one message names.
const NAMED_MAX: usize = 8;

/// Makes a unit of a compiled component, or says why its imports cannot be met.
pub(crate) fn prepare(
    shared: &Arc<Shared>,
    spec: UnitSpec,
    Loaded { component, lines }: Loaded,
) -> Result<ComponentUnit, Box<Failure>> {
    let nobody = Caller::default();
    let scene = Scene { shared, component: &spec.id, revision: spec.revision, caller: &nobody, lines: None };
    let failed = |(kind, message): Unmet| Box::new(scene.failure(Phase::Link, kind, &message));
    check_grants(shared, &spec).map_err(failed)?;
    let linked = link(shared, &spec, &component).map_err(failed)?;
    let pre = linked.linker.instantiate_pre(&component).map_err(|error| failed(refused_by_linker(&error)))?;
    let exports = unit::Exports::of(&component);
    Ok(ComponentUnit::new(Arc::clone(shared), spec, (pre, lines), exports, linked))
}

/// Why an import cannot be met.
pub(crate) type Unmet = (FailureKind, String);

fn check_grants(shared: &Shared, spec: &UnitSpec) -> Result<(), Unmet> {
    shared.capabilities.iter().try_for_each(|capability| {
        capability
            .check(&spec.grants)
            .map_err(|reason| (FailureKind::Denied, format!("`{}` cannot be granted: {reason}", capability.name())))
    })
}

/// All imports of a component, met.
pub(crate) struct Linked {
    linker: Linker<StoreState>,
    /// Those that serve at least one import.
    pub(crate) capabilities: Vec<Arc<dyn Capability>>,
    /// What the component calls the resource types that others know.
    pub(crate) resources: Arc<ResourceNames>,
    /// Whether any import may have to wait.
    pub(crate) may_wait: bool,
    /// Where imports lead that other components provide.
    pub(crate) routes: Vec<Arc<Route>>,
}

fn link(shared: &Arc<Shared>, spec: &UnitSpec, component: &Component) -> Result<Linked, Unmet> {
    let mut linker = Linker::new(component.engine());
    let mut served = Served::default();
    let resources = gate::resource_names(shared, spec, component);
    let resources = Arc::new(resources);
    let mut gates = gate::Maker {
        shared,
        engine: component.engine(),
        caller: &spec.id,
        resources: &resources,
        gates: 0,
        routes: Vec::new(),
    };
    let mut unmet: Vec<Unmet> = Vec::new();
    for (name, item) in component.component_type().imports(component.engine()) {
        let met = match spec.links.iter().find(|link| link.import == name) {
            Some(link) => link_provider(&mut gates, link, &item.ty, &mut linker),
            None if needs_nobody(component.engine(), &item.ty) => Ok(()),
            None => link_host(shared, name, &mut served, &mut linker),
        };
        if let Err(reason) = met {
            unmet.push(reason);
        }
    }
    match worst(unmet) {
        Some(reason) => Err(reason),
        None => {
            let used = shared.capabilities.iter().enumerate().filter(|(i, _)| served.capabilities.contains(i));
            let may_wait = gates.gates > 0 || served.may_wait;
            let capabilities = used.map(|(_, capability)| Arc::clone(capability)).collect();
            let routes = gates.routes;
            Ok(Linked { linker, capabilities, resources, may_wait, routes })
        }
    }
}

/// What the host serves to one component.
#[derive(Default)]
struct Served {
    interfaces: BTreeSet<&'static str>,
    /// Places in the engine's list.
    capabilities: BTreeSet<usize>,
    may_wait: bool,
}

/// Types have no implementation: an interface of nothing but types need not be provided.
fn needs_nobody(engine: &wasmtime::Engine, item: &ComponentItem) -> bool {
    match item {
        ComponentItem::Type(_) => true,
        ComponentItem::ComponentInstance(instance) => {
            instance.exports(engine).all(|(_, item)| matches!(item.ty, ComponentItem::Type(_)))
        }
        _ => false,
    }
}

fn link_provider(
    gates: &mut gate::Maker<'_>,
    link: &Link,
    item: &ComponentItem,
    linker: &mut Linker<StoreState>,
) -> Result<(), Unmet> {
    match item {
        ComponentItem::ComponentInstance(interface) => gate::link_interface(gates, link, interface, linker),
        ComponentItem::ComponentFunc(function) => gate::link_function(gates, link, function, linker),
        _ => Err((
            FailureKind::MissingImport,
            format!(
                "import `{}` is neither an interface nor a function: no component can provide it",
                shown(&link.import)
            ),
        )),
    }
}

fn link_host(shared: &Shared, name: &str, served: &mut Served, linker: &mut Linker<StoreState>) -> Result<(), Unmet> {
    let Ok(interface) = name.parse::<InterfaceName>() else {
        return Err((FailureKind::MissingImport, format!("nobody provides the import `{}`", shown(name))));
    };
    if host_access(&interface) == HostAccess::Absent {
        return Err(refusal(&[interface]));
    }
    let track = interface.track();
    for (place, capability) in shared.capabilities.iter().enumerate() {
        for known in capability.interfaces() {
            if known.parse::<InterfaceName>().is_ok_and(|known| known.track() == track) {
                served.capabilities.insert(place);
                served.may_wait |= capability.may_wait(known);
                if !served.interfaces.insert(known) {
                    return Ok(());
                }
                return capability
                    .link(known, linker)
                    .map_err(|error| (FailureKind::Host, format!("`{interface}` cannot be linked: {error:#}")));
            }
        }
    }
    Err((FailureKind::Host, format!("the host should serve `{interface}`, but this engine was made without it")))
}

/// Puts several reasons into one: a denial weighs more than an import that is merely missing.
fn worst(mut unmet: Vec<Unmet>) -> Option<Unmet> {
    unmet.sort_by_key(|(kind, _)| match kind {
        FailureKind::Denied => 0,
        FailureKind::TypeMismatch => 1,
        _ => 2,
    });
    let kind = unmet.first()?.0;
    let more = unmet.len().saturating_sub(NAMED_MAX);
    let mut messages: Vec<_> = unmet.into_iter().take(NAMED_MAX).map(|(_, message)| message).collect();
    if more > 0 {
        messages.push(format!("{more} more"));
    }
    Some((kind, messages.join("; ")))
}

/// What is left for wasmtime's own check is a host interface that is newer in the component than in the host.
fn refused_by_linker(error: &wasmtime::Error) -> Unmet {
    let text = format!("{error:#}");
    let is_missing = text.contains("`wasi:") && !text.contains("type mismatch");
    let kind = if is_missing { FailureKind::Denied } else { FailureKind::TypeMismatch };
    (kind, shown(&text))
}

/// Makes a name or text from a binary fit for a message.
pub(crate) fn shown(text: &str) -> String {
    escape_line(&truncate(text, 1_000)).into_owned()
}
