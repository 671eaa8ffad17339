//! The types of what a component imports and exports, and how two components' types differ.
//!
//! A [`World`] is made by whoever can read binaries; everything that follows from it, who fits whom and what changed, is decided
//! here. Types are kept once each and refer to each other by [`TypeId`], so a world is as small as its binary, whatever its types would unfold to.

mod compare;
mod diff;
mod difference;
mod text;

use std::collections::BTreeMap;

pub use compare::{Fit, Verdict, fit};
pub use diff::{ChangedItem, Diff, ItemDiff, Side, diff};
pub use difference::{DIFFERENCES_MAX, Difference, DifferenceKind, Part};

use crate::interface::InterfaceName;

/// Most types of one world.
pub const TYPES_MAX: usize = 100_000;

/// Deepest nesting of a type.
pub const DEPTH_MAX: u32 = 200;

/// What a component imports and exports, with all types.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct World {
    /// What it needs, by the names in its binary.
    pub imports: BTreeMap<String, Item>,
    /// What it offers, by the names in its binary.
    pub exports: BTreeMap<String, Item>,
    nodes: Vec<Node>,
}

/// One import or export.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// An interface, perhaps one of nothing but types.
    Interface(Interface),
    /// A function outside any interface.
    Function(Function),
    /// A type outside any interface.
    Type(TypeId),
    /// What cannot be linked here: a resource outside any interface, a value, a module.
    Other,
}

/// The functions, types and resources of an interface, as far as the binary has them: a component imports no more of an interface
/// than it uses.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Interface {
    /// By name; methods are called as in the binary, for instance `[method]conn.query`.
    pub functions: BTreeMap<String, Function>,
    /// Types with names, resources aside.
    pub types: BTreeMap<String, TypeId>,
    /// Resources, and what they are called where they come from: another interface for one that is only passed on.
    pub resources: BTreeMap<String, Resource>,
}

/// The type of a function.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Whether it is an `async func`.
    pub is_async: bool,
    /// Names and types of its parameters.
    pub params: Vec<(String, TypeId)>,
    /// What it returns, if anything.
    pub result: Option<TypeId>,
}

/// A type of one [`World`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TypeId(u32);

/// A resource type, by the interface where the component first meets it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Resource {
    /// The interface, `None` outside any.
    pub interface: Option<String>,
    /// Its name there.
    pub name: String,
}

impl Resource {
    /// Tells whether two components mean the same by it, as far as names say: the same name in compatible versions of an interface.
    pub fn is_same(&self, other: &Self) -> bool {
        let track = |interface: &Option<String>| {
            interface.as_ref().map(|name| match name.parse::<InterfaceName>() {
                Ok(name) => name.track(),
                Err(_) => name.clone(),
            })
        };
        self.name == other.name && track(&self.interface) == track(&other.interface)
    }
}

/// What values are made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// A number, `bool`, `char`, `string` or `error-context`, by its word in WIT.
    Primitive(&'static str),
    /// Any number of values.
    List(TypeId),
    /// So many values.
    FixedLengthList(TypeId, u32),
    /// Keys and values.
    Map(TypeId, TypeId),
    /// Several values without names.
    Tuple(Vec<TypeId>),
    /// A value or none.
    Option(TypeId),
    /// Success or failure.
    Result(Option<TypeId>, Option<TypeId>),
    /// Several values with names.
    Record(Vec<(String, TypeId)>),
    /// One of several cases, some with a value.
    Variant(Vec<(String, Option<TypeId>)>),
    /// One of several names.
    Enum(Vec<String>),
    /// Some of several names.
    Flags(Vec<String>),
    /// A handle that is given away.
    Own(Resource),
    /// A handle that is lent.
    Borrow(Resource),
    /// A value that comes later.
    Future(Option<TypeId>),
    /// Values that come one by one.
    Stream(Option<TypeId>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Node {
    ty: Type,
    name: Option<String>,
    depth: u32,
}

/// A world has more types, or deeper ones, than are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorldError {
    /// It has more than [`TYPES_MAX`].
    #[error("it has more than {TYPES_MAX} types")]
    TooMany,
    /// One is nested more deeply than [`DEPTH_MAX`].
    #[error("its types are nested more than {DEPTH_MAX} levels deep")]
    TooDeep,
}

impl World {
    /// Adds a type whose parts were added before.
    ///
    /// # Errors
    /// [`WorldError`].
    pub fn add(&mut self, ty: Type) -> Result<TypeId, WorldError> {
        let depth = ty.parts().filter_map(|part| self.node(part)).map(|node| node.depth + 1).max().unwrap_or(0);
        if depth > DEPTH_MAX {
            return Err(WorldError::TooDeep);
        }
        let number = u32::try_from(self.nodes.len()).ok().filter(|_| self.nodes.len() < TYPES_MAX);
        let id = TypeId(number.ok_or(WorldError::TooMany)?);
        self.nodes.push(Node { ty, name: None, depth });
        Ok(id)
    }

    /// Gives a type the name by which people know it; the first name stays.
    pub fn name(&mut self, id: TypeId, name: &str) {
        if let Some(node) = self.nodes.get_mut(id.0 as usize) {
            node.name.get_or_insert_with(|| name.to_owned());
        }
    }

    /// Returns what a type is.
    pub fn ty(&self, id: TypeId) -> Option<&Type> {
        self.node(id).map(|node| &node.ty)
    }

    /// Returns the name of a type, if it has one.
    pub fn name_of(&self, id: TypeId) -> Option<&str> {
        self.node(id)?.name.as_deref()
    }

    /// Returns the number of types.
    pub fn type_count(&self) -> usize {
        self.nodes.len()
    }

    /// Returns about how many bytes of memory it takes.
    pub fn bytes(&self) -> usize {
        let of_name = |name: &String| name.len() + size_of::<String>();
        let of_type = |ty: &Type| match ty {
            Type::Record(fields) => fields.iter().map(|(name, _)| of_name(name)).sum(),
            Type::Variant(cases) => cases.iter().map(|(name, _)| of_name(name)).sum(),
            Type::Enum(names) | Type::Flags(names) => names.iter().map(of_name).sum(),
            other => other.parts().count() * size_of::<TypeId>(),
        };
        let of_item = |item: &Item| match item {
            Item::Interface(interface) => {
                let names = interface.functions.keys().chain(interface.types.keys()).chain(interface.resources.keys());
                let params = interface.functions.values().flat_map(|function| &function.params);
                names.map(of_name).sum::<usize>() + params.map(|(name, _)| of_name(name)).sum::<usize>()
            }
            Item::Function(function) => function.params.iter().map(|(name, _)| of_name(name)).sum(),
            Item::Type(_) | Item::Other => 0,
        };
        let items = self.imports.iter().chain(&self.exports).map(|(name, item)| of_name(name) + of_item(item));
        let nodes = self.nodes.iter().map(|node| of_type(&node.ty) + size_of::<Node>());
        items.sum::<usize>() + nodes.sum::<usize>()
    }

    /// Returns an import or export.
    pub fn item(&self, side: Side, name: &str) -> Option<&Item> {
        match side {
            Side::Imports => self.imports.get(name),
            Side::Exports => self.exports.get(name),
        }
    }

    fn node(&self, id: TypeId) -> Option<&Node> {
        self.nodes.get(id.0 as usize)
    }
}

impl Type {
    /// Returns the types that it is made of.
    fn parts(&self) -> impl Iterator<Item = TypeId> + '_ {
        let (fixed, many): (Vec<TypeId>, &[TypeId]) = match self {
            Self::List(ty) | Self::FixedLengthList(ty, _) | Self::Option(ty) => (vec![*ty], &[]),
            Self::Map(key, value) => (vec![*key, *value], &[]),
            Self::Result(ok, err) => (ok.iter().chain(err).copied().collect(), &[]),
            Self::Future(ty) | Self::Stream(ty) => (ty.iter().copied().collect(), &[]),
            Self::Record(fields) => (fields.iter().map(|(_, ty)| *ty).collect(), &[]),
            Self::Variant(cases) => (cases.iter().filter_map(|(_, ty)| *ty).collect(), &[]),
            Self::Tuple(types) => (Vec::new(), types),
            Self::Primitive(_) | Self::Enum(_) | Self::Flags(_) | Self::Own(_) | Self::Borrow(_) => (Vec::new(), &[]),
        };
        fixed.into_iter().chain(many.iter().copied())
    }
}
