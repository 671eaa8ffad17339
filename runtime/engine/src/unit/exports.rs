//! The functions that a component exports.

use std::collections::HashMap;

use domain::InterfaceName;
use domain::inspection::FunctionSignature;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{Component, ComponentExportIndex};

use crate::settings::ITEMS_MAX;
use crate::wit::{TypeNames, signature};

/// One exported function.
pub(crate) struct Export {
    pub(crate) signature: FunctionSignature,
    pub(crate) ty: ComponentFunc,
    pub(crate) index: ComponentExportIndex,
    /// Whether it belongs to an interface that the registry itself calls.
    pub(crate) lifecycle: bool,
}

/// All exported functions of a component, in the order of its binary.
pub(crate) struct Exports {
    all: Vec<Export>,
    positions: HashMap<String, usize>,
}

impl Exports {
    /// Collects the functions of `component`, at most [`ITEMS_MAX`] of them.
    pub(crate) fn of(engine: &wasmtime::Engine, component: &Component) -> Self {
        let ty = component.component_type();
        let mut names = TypeNames::default();
        for (_, item) in ty.imports(engine).chain(ty.exports(engine)) {
            if let ComponentItem::ComponentInstance(interface) = &item.ty {
                names.extend(&TypeNames::of(engine, interface));
            }
        }
        let mut all = Vec::new();
        for (name, item) in ty.exports(engine) {
            let Some(index) = component.get_export_index(None, name) else { continue };
            match item.ty {
                ComponentItem::ComponentFunc(function) => {
                    let signature =
                        FunctionSignature { interface: None, name: name.to_owned(), wit: signature(&function, &names) };
                    all.push(Export { signature, ty: function, index, lifecycle: false });
                }
                ComponentItem::ComponentInstance(interface) => {
                    all.extend(functions(engine, component, name, &interface, &index, &names));
                }
                _ => {}
            }
        }
        all.truncate(ITEMS_MAX);
        let positions = all.iter().enumerate().map(|(i, export)| (export.signature.qualified(), i)).collect();
        Self { all, positions }
    }

    pub(crate) fn all(&self) -> &[Export] {
        &self.all
    }

    pub(crate) fn get(&self, position: usize) -> Option<&Export> {
        self.all.get(position)
    }

    /// Returns the place of a function, by the names in the binary.
    pub(crate) fn position(&self, interface: Option<&str>, name: &str) -> Option<usize> {
        match interface {
            Some(interface) => self.positions.get(&format!("{interface}#{name}")).copied(),
            None => self.positions.get(name).copied(),
        }
    }

    pub(crate) fn find(&self, interface: Option<&str>, name: &str) -> Option<&Export> {
        self.get(self.position(interface, name)?)
    }

    /// Returns the place of a function of `registry:component`, whichever compatible version the component has.
    pub(crate) fn lifecycle(&self, interface: &str, name: &str) -> Option<usize> {
        self.all.iter().position(|export| {
            export.lifecycle
                && export.signature.name == name
                && interface_of(export).is_some_and(|known| known.interface == interface)
        })
    }
}

fn interface_of(export: &Export) -> Option<InterfaceName> {
    export.signature.interface.as_deref()?.parse().ok()
}

fn functions(
    engine: &wasmtime::Engine,
    component: &Component,
    name: &str,
    interface: &ComponentInstance,
    index: &ComponentExportIndex,
    names: &TypeNames,
) -> Vec<Export> {
    let mut local = TypeNames::of(engine, interface);
    local.extend(names);
    let lifecycle = name.parse::<InterfaceName>().is_ok_and(|name| name.is_lifecycle());
    let mut found = Vec::new();
    for (function, item) in interface.exports(engine) {
        let ComponentItem::ComponentFunc(ty) = item.ty else { continue };
        let Some(index) = component.get_export_index(Some(index), function) else { continue };
        let signature = FunctionSignature {
            interface: Some(name.to_owned()),
            name: function.to_owned(),
            wit: signature(&ty, &local),
        };
        found.push(Export { signature, ty, index, lifecycle });
    }
    found
}
