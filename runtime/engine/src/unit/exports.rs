//! The functions that a component exports.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use domain::InterfaceName;
use domain::inspection::FunctionSignature;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, ComponentExportIndex};

use crate::settings::ITEMS_MAX;
use crate::wit::{TypeNames, function_transferable, signature};

/// Name and type of a parameter.
pub(crate) type Param = (Box<str>, Type);

/// One exported function.
pub(crate) struct Export {
    /// The interface it is in, `None` for a function of the world itself.
    pub(crate) interface: Option<Arc<str>>,
    pub(crate) name: Box<str>,
    /// Its unambiguous name: `ns:pkg/iface@1.0.0#func`, or `func`.
    pub(crate) qualified: Arc<str>,
    pub(crate) ty: ComponentFunc,
    pub(crate) has_result: bool,
    pub(crate) index: ComponentExportIndex,
    /// Whether it belongs to an interface that the registry itself calls.
    pub(crate) lifecycle: bool,
    /// Looked at when first asked: a type can have very many parts.
    transferable: OnceLock<Result<(), &'static str>>,
    /// Names and types of its parameters, written out at the first call.
    params: OnceLock<Box<[Param]>>,
}

impl Export {
    fn new(interface: Option<&Arc<str>>, name: &str, ty: ComponentFunc, index: ComponentExportIndex) -> Self {
        let qualified = match interface {
            Some(interface) => format!("{interface}#{name}").into(),
            None => name.into(),
        };
        let lifecycle = interface
            .and_then(|interface| interface.parse::<InterfaceName>().ok())
            .is_some_and(|interface| interface.is_lifecycle());
        let has_result = ty.results().len() > 0;
        Self {
            interface: interface.cloned(),
            name: name.into(),
            qualified,
            has_result,
            ty,
            index,
            lifecycle,
            transferable: OnceLock::new(),
            params: OnceLock::new(),
        }
    }

    /// Returns names and types of its parameters.
    pub(crate) fn params(&self) -> &[Param] {
        self.params.get_or_init(|| self.ty.params().map(|(name, ty)| (name.into(), ty)).collect())
    }

    /// Says why values of its types cannot leave the component, if they cannot.
    pub(crate) fn transferable(&self) -> Result<(), &'static str> {
        *self.transferable.get_or_init(|| function_transferable(&self.ty))
    }

    /// Tells whether it can be called from outside: methods and the like need a handle.
    pub(crate) fn is_plain(&self) -> bool {
        !self.name.starts_with('[')
    }

    fn is_of_interface(&self, word: &str) -> bool {
        let name = self.interface.as_deref().and_then(|interface| interface.parse::<InterfaceName>().ok());
        name.is_some_and(|name| name.interface == word)
    }
}

/// All exported functions of a component, in the order of its binary.
pub(crate) struct Exports {
    component: Component,
    all: Vec<Export>,
    positions: BTreeMap<Arc<str>, usize>,
    /// The types of all as WIT text: written when first asked for, which most units never are.
    wit: OnceLock<Vec<String>>,
    plain: OnceLock<Vec<FunctionSignature>>,
}

impl Exports {
    /// Collects the functions of `component`, at most [`ITEMS_MAX`] of them.
    pub(crate) fn of(component: &Component) -> Self {
        let engine = component.engine();
        let mut all = Vec::new();
        for (name, item) in component.component_type().exports(engine) {
            let Some(index) = component.get_export_index(None, name) else { continue };
            match item.ty {
                ComponentItem::ComponentFunc(function) => all.push(Export::new(None, name, function, index)),
                ComponentItem::ComponentInstance(interface) => {
                    let name = Arc::from(name);
                    for (function, item) in interface.exports(engine) {
                        if let ComponentItem::ComponentFunc(ty) = item.ty
                            && let Some(index) = component.get_export_index(Some(&index), function)
                        {
                            all.push(Export::new(Some(&name), function, ty, index));
                        }
                    }
                }
                _ => {}
            }
        }
        all.truncate(ITEMS_MAX);
        let positions = all.iter().enumerate().map(|(i, export)| (Arc::clone(&export.qualified), i)).collect();
        let component = component.clone();
        Self { component, all, positions, wit: OnceLock::new(), plain: OnceLock::new() }
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
            Some(interface) => self.positions.get(format!("{interface}#{name}").as_str()).copied(),
            None => self.positions.get(name).copied(),
        }
    }

    /// Returns the place of function `name` in `export`, else in the newest export that serves `import` as well: another revision may
    /// have the interface in another compatible version.
    pub(crate) fn serving(&self, export: Option<&str>, import: &str, name: &str) -> Option<usize> {
        let exact = self.position(export, name);
        if exact.is_some() || export.is_none() {
            return exact;
        }
        let wanted: InterfaceName = import.parse().ok()?;
        let offered = self.all.iter().enumerate().filter(|(_, export)| &*export.name == name);
        let serving = offered.filter_map(|(position, export)| {
            let offered: InterfaceName = export.interface.as_deref()?.parse().ok()?;
            offered.satisfies(&wanted).then_some((position, offered))
        });
        serving.max_by(|(_, a), (_, b)| a.version.cmp(&b.version)).map(|(position, _)| position)
    }

    pub(crate) fn find(&self, interface: Option<&str>, name: &str) -> Option<&Export> {
        self.get(self.position(interface, name)?)
    }

    /// Returns the place of a function of `registry:component`, whichever compatible version the component has.
    pub(crate) fn lifecycle(&self, interface: &str, name: &str) -> Option<usize> {
        let is_meant = |export: &Export| export.lifecycle && &*export.name == name && export.is_of_interface(interface);
        self.all.iter().position(is_meant)
    }

    /// Returns the type of the function at `position` as WIT text.
    pub(crate) fn wit(&self, position: usize) -> Option<&str> {
        self.wit.get_or_init(|| write_types(&self.component, &self.all)).get(position).map(String::as_str)
    }

    /// Returns the signatures of all functions that can be called from outside.
    pub(crate) fn signatures(&self) -> &[FunctionSignature] {
        self.plain.get_or_init(|| {
            let plain = self.all.iter().enumerate().filter(|(_, export)| export.is_plain());
            let signature = |(i, export): (usize, &Export)| FunctionSignature {
                interface: export.interface.as_deref().map(str::to_owned),
                name: export.name.to_string(),
                wit: self.wit(i).unwrap_or_default().to_owned(),
            };
            plain.map(signature).collect()
        })
    }
}

/// Writes the types of `exports`, with the names that the component gives to its types.
fn write_types(component: &Component, exports: &[Export]) -> Vec<String> {
    let engine = component.engine();
    let ty = component.component_type();
    let mut everywhere = TypeNames::default();
    for (_, item) in ty.imports(engine).chain(ty.exports(engine)) {
        if let ComponentItem::ComponentInstance(interface) = &item.ty {
            everywhere.extend(&TypeNames::of(engine, interface));
        }
    }
    // An interface's own names go before those of the others.
    let mut of_interface: Option<(&str, TypeNames)> = None;
    let mut texts = Vec::with_capacity(exports.len());
    for export in exports {
        let Some(interface) = export.interface.as_deref() else {
            texts.push(signature(&export.ty, &everywhere));
            continue;
        };
        if of_interface.as_ref().is_none_or(|(name, _)| *name != interface) {
            let mut names = match ty.get_export(engine, interface).map(|item| item.ty) {
                Some(ComponentItem::ComponentInstance(interface)) => TypeNames::of(engine, &interface),
                _ => TypeNames::default(),
            };
            names.extend(&everywhere);
            of_interface = Some((interface, names));
        }
        if let Some((_, names)) = &of_interface {
            texts.push(signature(&export.ty, names));
        }
    }
    texts
}
