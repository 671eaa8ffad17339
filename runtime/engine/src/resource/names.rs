//! Which resource types of different components are one.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use domain::{ComponentId, InterfaceName};
use wasmtime::Engine;
use wasmtime::component::types::{ComponentFunc, ComponentItem, Type};
use wasmtime::component::{Component, ResourceType};

/// Numbers for resource types: one for each that a component defines, the same in all its revisions.
#[derive(Default)]
pub(crate) struct Interner(Mutex<HashMap<(ComponentId, String, String), u32>>);

impl Interner {
    fn number(&self, definer: &ComponentId, interface: &str, name: &str) -> u32 {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
        *known.entry((definer.clone(), track(interface), name.to_owned())).or_insert(next)
    }
}

/// Returns an interface's name without what differs between compatible versions.
fn track(interface: &str) -> String {
    match interface.parse::<InterfaceName>() {
        Ok(name) => format!("{:?}", name.track()),
        Err(_) => interface.to_owned(),
    }
}

/// What a component calls the resource types that it imports from other components, and that it exports.
#[derive(Default)]
pub(crate) struct ResourceNames {
    types: Vec<(ResourceType, u32)>,
    /// Interface, name and number of each that is exported.
    exported: Vec<(String, String, u32)>,
}

impl ResourceNames {
    /// Finds the names of a component's resource types. `import` tells the number of a resource that is imported from another
    /// component, by the interface's name and its own.
    pub(crate) fn of(
        engine: &Engine,
        component: &Component,
        id: &ComponentId,
        interner: &Interner,
        import: impl Fn(&str, &str) -> Option<u32>,
    ) -> Self {
        let mut names = Self::default();
        let ty = component.component_type();
        for (interface, item) in ty.imports(engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
            for (name, item) in instance.exports(engine) {
                if let ComponentItem::Resource(resource) = item.ty
                    && let Some(number) = import(interface, name)
                {
                    names.types.push((resource, number));
                }
            }
        }
        for (interface, item) in ty.exports(engine) {
            let ComponentItem::ComponentInstance(instance) = item.ty else { continue };
            for (name, item) in instance.exports(engine) {
                let ComponentItem::Resource(resource) = item.ty else { continue };
                // What is imported and exported again is still that of whoever defines it.
                let number = names.number(&resource).unwrap_or_else(|| interner.number(id, interface, name));
                names.types.push((resource, number));
                names.exported.push((interface.to_owned(), name.to_owned(), number));
            }
        }
        names
    }

    /// Returns the number of a resource type; `None` for one of the host.
    pub(crate) fn number(&self, resource: &ResourceType) -> Option<u32> {
        self.types.iter().find(|(known, _)| known == resource).map(|(_, number)| *number)
    }

    /// Returns the number of a resource that an interface exports.
    pub(crate) fn exported(&self, interface: &str, name: &str) -> Option<u32> {
        self.exported.iter().find(|known| known.0 == interface && known.1 == name).map(|known| known.2)
    }

    /// Compares a function's types with those of another component's; both must be crossable.
    pub(crate) fn same_types(&self, own: &ComponentFunc, others: &Self, other: &ComponentFunc) -> bool {
        own.async_() == other.async_()
            && own.params().len() == other.params().len()
            && own.results().len() == other.results().len()
            && own.params().zip(other.params()).all(|((_, own), (_, other))| self.same(&own, others, &other))
            && own.results().zip(other.results()).all(|(own, other)| self.same(&own, others, &other))
    }

    fn same(&self, own: &Type, others: &Self, other: &Type) -> bool {
        let both = |own: Option<Type>, other: Option<Type>| match (own, other) {
            (None, None) => true,
            (Some(own), Some(other)) => self.same(&own, others, &other),
            _ => false,
        };
        match (own, other) {
            (Type::Own(own), Type::Own(other)) | (Type::Borrow(own), Type::Borrow(other)) => {
                self.number(own).is_some_and(|number| others.number(other) == Some(number))
            }
            (Type::List(own), Type::List(other)) => self.same(&own.ty(), others, &other.ty()),
            (Type::Option(own), Type::Option(other)) => self.same(&own.ty(), others, &other.ty()),
            (Type::Result(own), Type::Result(other)) => both(own.ok(), other.ok()) && both(own.err(), other.err()),
            (Type::Tuple(own), Type::Tuple(other)) => {
                own.types().len() == other.types().len()
                    && own.types().zip(other.types()).all(|(own, other)| self.same(&own, others, &other))
            }
            (Type::Record(own), Type::Record(other)) => {
                own.fields().len() == other.fields().len()
                    && own
                        .fields()
                        .zip(other.fields())
                        .all(|(own, other)| own.name == other.name && self.same(&own.ty, others, &other.ty))
            }
            (Type::Variant(own), Type::Variant(other)) => {
                own.cases().len() == other.cases().len()
                    && own
                        .cases()
                        .zip(other.cases())
                        .all(|(own, other)| own.name == other.name && both(own.ty, other.ty))
            }
            _ => own == other,
        }
    }
}
