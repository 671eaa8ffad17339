//! Whether an export serves an import: the same question that the engine asks when it links, and in the same way.

use std::collections::{BTreeSet, HashMap};

use super::difference::{DIFFERENCES_MAX, Difference, DifferenceKind, Part};
use super::{Function, Interface, Item, Resource, Type, TypeId, World};

/// What a change means to those who link with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// All is as it was.
    Same,
    /// There is more; whoever linked with it before still does.
    Additive,
    /// Something that was there is gone or has another type.
    Breaking,
}

impl Verdict {
    /// Returns the word used on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Additive => "additive",
            Self::Breaking => "breaking",
        }
    }
}

/// Whether an export serves an import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fit {
    /// [`Verdict::Additive`] if the export has more than is imported.
    pub verdict: Verdict,
    /// Why not: empty unless the verdict is [`Verdict::Breaking`]; at most [`DIFFERENCES_MAX`] of each function.
    pub differences: Vec<Difference>,
}

/// Says whether `export` of `offered` serves `import` of `wanted`: each function that is imported has to be there with the same type,
/// names of parameters aside, and each resource by its name. The engine accepts nothing less when it links, and nothing more.
///
/// A component that does not have `import` wants nothing of it. Cost: each pair of types that meet is looked at once.
pub fn fit(wanted: &World, import: &str, offered: &World, export: &str) -> Fit {
    let breaking = |kind| {
        let difference = Difference { item: None, place: String::new(), kind };
        Fit { verdict: Verdict::Breaking, differences: vec![difference] }
    };
    match (wanted.imports.get(import), offered.exports.get(export)) {
        (None | Some(Item::Type(_)), _) => Fit { verdict: Verdict::Same, differences: Vec::new() },
        (Some(_), None) => breaking(DifferenceKind::ExportMissing),
        (Some(Item::Interface(own)), Some(Item::Interface(other))) => {
            let aliases = Aliases { wanted: import, offered: Some(other) };
            let mut comparison = Comparison::new(wanted, offered, aliases);
            fit_interface(&mut comparison, own, other)
        }
        (Some(Item::Function(own)), Some(Item::Function(other))) => {
            let mut comparison = Comparison::new(wanted, offered, Aliases { wanted: import, offered: None });
            let differences = comparison.function(import, own, other);
            let differences: Vec<_> = differences.into_iter().filter(Difference::separates).collect();
            let verdict = if differences.is_empty() { Verdict::Same } else { Verdict::Breaking };
            Fit { verdict, differences }
        }
        (Some(_), Some(_)) => breaking(DifferenceKind::OtherSort),
    }
}

fn fit_interface(comparison: &mut Comparison<'_>, own: &Interface, other: &Interface) -> Fit {
    let mut differences = Vec::new();
    for name in own.resources.keys().filter(|name| !other.resources.contains_key(*name)) {
        let kind = DifferenceKind::ResourceMissing;
        differences.push(Difference { item: Some(name.clone()), place: String::new(), kind });
    }
    for (name, function) in &own.functions {
        match other.functions.get(name) {
            None => {
                let kind = DifferenceKind::FunctionMissing { wanted: comparison.wanted.function_text(function) };
                differences.push(Difference { item: Some(name.clone()), place: String::new(), kind });
            }
            Some(there) => {
                let found = comparison.function(name, function, there);
                differences.extend(found.into_iter().filter(Difference::separates));
            }
        }
    }
    let verdict = if !differences.is_empty() {
        Verdict::Breaking
    } else if other.functions.len() > own.functions.len() {
        Verdict::Additive
    } else {
        Verdict::Same
    };
    Fit { verdict, differences }
}

impl Difference {
    /// Tells whether it makes two types different: names of parameters do not.
    pub fn separates(&self) -> bool {
        !matches!(self.kind, DifferenceKind::ParameterRenamed { .. })
    }
}

/// What an imported interface calls resources that come from elsewhere.
#[derive(Clone, Copy)]
pub(super) struct Aliases<'a> {
    /// The name under which the interface is imported.
    pub(super) wanted: &'a str,
    /// The interface that serves it.
    pub(super) offered: Option<&'a Interface>,
}

impl Aliases<'_> {
    fn is_same(&self, own: &Resource, other: &Resource) -> bool {
        let passed_on = || {
            own.interface.as_deref() == Some(self.wanted)
                && self.offered.is_some_and(|interface| interface.resources.get(&own.name) == Some(other))
        };
        own.is_same(other) || passed_on()
    }
}

/// Compares types of two worlds; remembers what it has seen, so that types that share parts cost no more than their parts.
pub(super) struct Comparison<'a> {
    wanted: &'a World,
    offered: &'a World,
    aliases: Aliases<'a>,
    known: HashMap<(TypeId, TypeId), bool>,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(wanted: &'a World, offered: &'a World, aliases: Aliases<'a>) -> Self {
        Self { wanted, offered, aliases, known: HashMap::new() }
    }

    /// Says how two functions differ; with nothing but names of parameters, they are the same to whoever calls.
    pub(super) fn function(&mut self, name: &str, own: &Function, other: &Function) -> Vec<Difference> {
        let mut found = Found { item: name, differences: Vec::new(), explained: BTreeSet::new() };
        if own.is_async != other.is_async {
            found.add("", DifferenceKind::Asynchrony { wanted: own.is_async });
        }
        if own.params.len() == other.params.len() {
            for ((name, a), (new_name, b)) in own.params.iter().zip(&other.params) {
                if name != new_name {
                    let (wanted, offered) = (name.clone(), new_name.clone());
                    found.add("", DifferenceKind::ParameterRenamed { wanted, offered });
                }
                self.explain(&format!("parameter `{name}`"), *a, *b, &mut found);
            }
        } else {
            self.explain_params(own, other, &mut found);
        }
        match (own.result, other.result) {
            (None, None) => {}
            (Some(a), Some(b)) => self.explain("result", a, b, &mut found),
            (None, Some(b)) => {
                found.add("", DifferenceKind::ResultAdded { offered: self.offered.type_text(b) });
            }
            (Some(a), None) => {
                found.add("", DifferenceKind::ResultRemoved { wanted: self.wanted.type_text(a) });
            }
        }
        found.differences
    }

    /// Says how two types differ.
    pub(super) fn types(&mut self, name: &str, own: TypeId, other: TypeId) -> Vec<Difference> {
        let mut found = Found { item: name, differences: Vec::new(), explained: BTreeSet::new() };
        self.explain("", own, other, &mut found);
        found.differences
    }

    /// Names the parameters that came and went where there are more or fewer; those that stayed are compared by name.
    fn explain_params(&mut self, own: &Function, other: &Function, found: &mut Found<'_>) {
        for (name, ty) in other.params.iter().filter(|(name, _)| !own.params.iter().any(|(known, _)| known == name)) {
            let (name, offered) = (name.clone(), self.offered.type_text(*ty));
            found.add("", DifferenceKind::ParameterAdded { name, offered });
        }
        for (name, ty) in &own.params {
            match other.params.iter().find(|(known, _)| known == name) {
                Some((_, there)) => self.explain(&format!("parameter `{name}`"), *ty, *there, found),
                None => {
                    let (name, wanted) = (name.clone(), self.wanted.type_text(*ty));
                    found.add("", DifferenceKind::ParameterRemoved { name, wanted });
                }
            }
        }
    }

    /// Tells whether two types are the same.
    pub(super) fn same(&mut self, own: TypeId, other: TypeId) -> bool {
        if let Some(known) = self.known.get(&(own, other)) {
            return *known;
        }
        let (wanted, offered) = (self.wanted, self.offered);
        let (Some(a), Some(b)) = (wanted.ty(own), offered.ty(other)) else { return false };
        let same = self.same_types(a, b);
        self.known.insert((own, other), same);
        same
    }

    fn same_types(&mut self, a: &Type, b: &Type) -> bool {
        match (a, b) {
            (Type::Primitive(a), Type::Primitive(b)) => a == b,
            (Type::List(a), Type::List(b)) | (Type::Option(a), Type::Option(b)) => self.same(*a, *b),
            (Type::FixedLengthList(a, n), Type::FixedLengthList(b, m)) => n == m && self.same(*a, *b),
            (Type::Map(key, value), Type::Map(other_key, other_value)) => {
                self.same(*key, *other_key) && self.same(*value, *other_value)
            }
            (Type::Tuple(a), Type::Tuple(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.same(*a, *b)),
            (Type::Result(ok, err), Type::Result(other_ok, other_err)) => {
                self.both(*ok, *other_ok) && self.both(*err, *other_err)
            }
            (Type::Record(a), Type::Record(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((name, a), (other, b))| name == other && self.same(*a, *b))
            }
            (Type::Variant(a), Type::Variant(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|((name, a), (other, b))| name == other && self.both(*a, *b))
            }
            (Type::Enum(a), Type::Enum(b)) | (Type::Flags(a), Type::Flags(b)) => a == b,
            (Type::Own(a), Type::Own(b)) | (Type::Borrow(a), Type::Borrow(b)) => self.aliases.is_same(a, b),
            (Type::Future(a), Type::Future(b)) | (Type::Stream(a), Type::Stream(b)) => self.both(*a, *b),
            _ => false,
        }
    }

    fn both(&mut self, a: Option<TypeId>, b: Option<TypeId>) -> bool {
        match (a, b) {
            (None, None) => true,
            (Some(a), Some(b)) => self.same(a, b),
            _ => false,
        }
    }

    /// Finds the innermost parts in which two types differ.
    fn explain(&mut self, place: &str, own: TypeId, other: TypeId, found: &mut Found<'_>) {
        if found.is_full() || self.same(own, other) || !found.explained.insert((own, other)) {
            return;
        }
        let (wanted, offered) = (self.wanted, self.offered);
        match (wanted.ty(own), offered.ty(other)) {
            (Some(Type::Record(a)), Some(Type::Record(b))) => {
                let types = |parts: &[(String, TypeId)]| parts.iter().map(|(n, ty)| (n.clone(), Some(*ty))).collect();
                self.explain_parts(place, Part::Field, [types(a), types(b)], found);
            }
            (Some(Type::Variant(a)), Some(Type::Variant(b))) => {
                self.explain_parts(place, Part::Case, [a.clone(), b.clone()], found);
            }
            (Some(Type::Enum(a)), Some(Type::Enum(b))) => {
                self.explain_parts(place, Part::Case, [bare(a), bare(b)], found);
            }
            (Some(Type::Flags(a)), Some(Type::Flags(b))) => {
                self.explain_parts(place, Part::Flag, [bare(a), bare(b)], found);
            }
            (Some(Type::List(a)), Some(Type::List(b))) => self.explain_inner(place, "element", [*a, *b], found),
            (Some(Type::Option(a)), Some(Type::Option(b))) => self.explain_inner(place, "value", [*a, *b], found),
            _ => {
                let (wanted, offered) = self.texts(own, other);
                found.add(place, DifferenceKind::TypeChanged { wanted, offered });
            }
        }
    }

    /// Goes into a type where that says more than its name: only types with names have parts with names.
    fn explain_inner(&mut self, place: &str, word: &str, [own, other]: [TypeId; 2], found: &mut Found<'_>) {
        let has_parts =
            |ty: Option<&Type>| matches!(ty, Some(Type::Record(_) | Type::Variant(_) | Type::Enum(_) | Type::Flags(_)));
        if has_parts(self.wanted.ty(own)) && has_parts(self.offered.ty(other)) {
            return self.explain(&joined(place, word), own, other, found);
        }
        let (wanted, offered) = self.texts(own, other);
        found.add(&joined(place, word), DifferenceKind::TypeChanged { wanted, offered });
    }

    fn explain_parts(&mut self, place: &str, part: Part, [own, other]: [Parts; 2], found: &mut Found<'_>) {
        let has = |parts: &Parts, name: &String| parts.iter().any(|(known, _)| known == name);
        let before = found.differences.len();
        for (name, _) in own.iter().filter(|(name, _)| !has(&other, name)) {
            found.add(place, DifferenceKind::PartRemoved { part, name: name.clone() });
        }
        for (name, _) in other.iter().filter(|(name, _)| !has(&own, name)) {
            found.add(place, DifferenceKind::PartAdded { part, name: name.clone() });
        }
        for (name, ty) in &own {
            let Some((_, there)) = other.iter().find(|(known, _)| known == name) else { continue };
            let within = joined(place, &format!("{} `{name}`", part.as_str()));
            match (ty, there) {
                (Some(a), Some(b)) => self.explain(&within, *a, *b, found),
                (None, None) => {}
                (a, b) => {
                    let text = |world: &World, ty: &Option<TypeId>| ty.map_or("_".to_owned(), |ty| world.type_text(ty));
                    let (wanted, offered) = (text(self.wanted, a), text(self.offered, b));
                    found.add(&within, DifferenceKind::TypeChanged { wanted, offered });
                }
            }
        }
        if found.differences.len() == before && !found.is_full() {
            found.add(place, DifferenceKind::PartsReordered { part });
        }
    }

    /// Writes two different types; in full where their names do not tell them apart.
    fn texts(&self, own: TypeId, other: TypeId) -> (String, String) {
        let (wanted, offered) = (self.wanted.type_text(own), self.offered.type_text(other));
        if wanted == offered { (self.wanted.body_text(own), self.offered.body_text(other)) } else { (wanted, offered) }
    }
}

/// Names of a type's parts, with their types.
type Parts = Vec<(String, Option<TypeId>)>;

fn bare(names: &[String]) -> Parts {
    names.iter().map(|name| (name.clone(), None)).collect()
}

fn joined(place: &str, inner: &str) -> String {
    if place.is_empty() { inner.to_owned() } else { format!("{place}, {inner}") }
}

/// Differences of one function or type.
struct Found<'a> {
    item: &'a str,
    differences: Vec<Difference>,
    /// Pairs that were gone into: types that share parts would be explained over and over.
    explained: BTreeSet<(TypeId, TypeId)>,
}

impl Found<'_> {
    fn is_full(&self) -> bool {
        self.differences.len() >= DIFFERENCES_MAX
    }

    fn add(&mut self, place: &str, kind: DifferenceKind) {
        if !self.is_full() {
            self.differences.push(Difference { item: Some(self.item.to_owned()), place: place.to_owned(), kind });
        }
    }
}
