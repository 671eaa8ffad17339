//! Types of a compiled component as WIT text, and questions about them.

use std::fmt::Write as _;

use domain::text::truncate;
use wasmtime::component::types::{ComponentFunc, ComponentInstance, ComponentItem};
use wasmtime::component::{ResourceType, Type};

/// Longest function type written out, in bytes.
pub(crate) const SIGNATURE_MAX: usize = 4 << 10;

/// Most parts of a type that are looked at; types that share parts can unfold to millions.
const TYPE_PARTS_MAX: usize = 100_000;

/// Names of the types that an interface exports.
#[derive(Clone, Default)]
pub(crate) struct TypeNames(Vec<(Type, String)>);

impl TypeNames {
    /// Collects the names of an interface's types.
    pub(crate) fn of(engine: &wasmtime::Engine, interface: &ComponentInstance) -> Self {
        let types = interface.exports(engine).filter_map(|(name, item)| match item.ty {
            ComponentItem::Type(ty) if is_nominal(&ty) && transferable(&ty).is_ok() => Some((ty, name.to_owned())),
            _ => None,
        });
        Self(types.collect())
    }

    /// Adds names that are looked at after those already there.
    pub(crate) fn extend(&mut self, others: &Self) {
        self.0.extend(others.0.iter().cloned());
    }

    fn find(&self, ty: &Type) -> Option<&str> {
        if !is_nominal(ty) || self.0.is_empty() || transferable(ty).is_err() {
            return None;
        }
        self.0.iter().find(|(known, _)| known == ty).map(|(_, name)| name.as_str())
    }
}

/// Tells whether WIT can only use such a type by name.
fn is_nominal(ty: &Type) -> bool {
    matches!(ty, Type::Record(_) | Type::Variant(_) | Type::Enum(_) | Type::Flags(_))
}

/// Writes a function's type with the names of `names`, and without names in full; at most [`SIGNATURE_MAX`] bytes.
pub(crate) fn signature(function: &ComponentFunc, names: &TypeNames) -> String {
    let mut printer = Printer { names, out: String::new() };
    printer.out.push_str(if function.async_() { "async func(" } else { "func(" });
    for (i, (name, ty)) in function.params().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        printer.text(format_args!("{comma}{name}: "));
        printer.value(&ty);
    }
    printer.out.push(')');
    for ty in function.results() {
        printer.out.push_str(" -> ");
        printer.value(&ty);
    }
    truncate(&printer.out, SIGNATURE_MAX).into_owned()
}

/// Longest type named in a message, in bytes.
const TYPE_TEXT_MAX: usize = 200;

/// Writes a type in full; at most [`TYPE_TEXT_MAX`] bytes of it.
pub(crate) fn type_text(ty: &Type) -> String {
    let mut printer = Printer { names: &TypeNames::default(), out: String::new() };
    printer.value(ty);
    truncate(&printer.out, TYPE_TEXT_MAX).into_owned()
}

/// Says why values of a function's types cannot leave the component: they hold handles of it.
pub(crate) fn function_transferable(function: &ComponentFunc) -> Result<(), &'static str> {
    function_crossable(function, &|_| false)
}

/// Says why values of a function's types cannot cross from one component to another. `known` tells of a resource type whether others
/// know it.
pub(crate) fn function_crossable(
    function: &ComponentFunc,
    known: &dyn Fn(&ResourceType) -> bool,
) -> Result<(), &'static str> {
    let mut parts = TYPE_PARTS_MAX;
    function.params().try_for_each(|(_, ty)| visit(&ty, known, &mut parts))?;
    function.results().try_for_each(|ty| visit(&ty, known, &mut parts))
}

fn transferable(ty: &Type) -> Result<(), &'static str> {
    visit(ty, &|_| false, &mut TYPE_PARTS_MAX.clone())
}

fn visit(ty: &Type, known: &dyn Fn(&ResourceType) -> bool, parts: &mut usize) -> Result<(), &'static str> {
    *parts = parts.checked_sub(1).ok_or("a type with too many parts")?;
    let mut of = |ty: &Type| visit(ty, known, parts);
    match ty {
        Type::Own(resource) | Type::Borrow(resource) if known(resource) => Ok(()),
        Type::Own(_) | Type::Borrow(_) => Err("a resource"),
        Type::Future(_) => Err("a future"),
        Type::Stream(_) => Err("a stream"),
        Type::ErrorContext => Err("an error context"),
        Type::Map(_) => Err("a map"),
        Type::FixedLengthList(_) => Err("a list of fixed length"),
        Type::List(list) => of(&list.ty()),
        Type::Record(record) => record.fields().try_for_each(|field| of(&field.ty)),
        Type::Tuple(tuple) => tuple.types().try_for_each(|ty| of(&ty)),
        Type::Variant(variant) => variant.cases().filter_map(|case| case.ty).try_for_each(|ty| of(&ty)),
        Type::Option(option) => of(&option.ty()),
        Type::Result(result) => [result.ok(), result.err()].iter().flatten().try_for_each(of),
        Type::Enum(_) | Type::Flags(_) | Type::Bool | Type::Char | Type::String => Ok(()),
        Type::S8 | Type::U8 | Type::S16 | Type::U16 | Type::S32 | Type::U32 | Type::S64 | Type::U64 => Ok(()),
        Type::Float32 | Type::Float64 => Ok(()),
    }
}

struct Printer<'a> {
    names: &'a TypeNames,
    out: String,
}

impl Printer<'_> {
    fn text(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn value(&mut self, ty: &Type) {
        if self.out.len() > SIGNATURE_MAX {
            return;
        }
        if let Some(name) = self.names.find(ty) {
            self.out.push_str(name);
            return;
        }
        match ty {
            Type::Bool => self.out.push_str("bool"),
            Type::S8 => self.out.push_str("s8"),
            Type::U8 => self.out.push_str("u8"),
            Type::S16 => self.out.push_str("s16"),
            Type::U16 => self.out.push_str("u16"),
            Type::S32 => self.out.push_str("s32"),
            Type::U32 => self.out.push_str("u32"),
            Type::S64 => self.out.push_str("s64"),
            Type::U64 => self.out.push_str("u64"),
            Type::Float32 => self.out.push_str("f32"),
            Type::Float64 => self.out.push_str("f64"),
            Type::Char => self.out.push_str("char"),
            Type::String => self.out.push_str("string"),
            Type::ErrorContext => self.out.push_str("error-context"),
            Type::Own(_) => self.out.push_str("resource"),
            Type::Borrow(_) => self.out.push_str("borrow<resource>"),
            Type::Future(_) => self.out.push_str("future"),
            Type::Stream(_) => self.out.push_str("stream"),
            Type::List(_)
            | Type::Map(_)
            | Type::FixedLengthList(_)
            | Type::Tuple(_)
            | Type::Option(_)
            | Type::Result(_) => self.generic(ty),
            Type::Record(_) | Type::Variant(_) | Type::Enum(_) | Type::Flags(_) => self.nominal(ty),
        }
    }

    fn generic(&mut self, ty: &Type) {
        match ty {
            Type::List(list) => self.of("list", &[Some(list.ty())]),
            Type::Map(map) => self.of("map", &[Some(map.key()), Some(map.value())]),
            Type::FixedLengthList(list) => {
                self.out.push_str("list<");
                self.value(&list.ty());
                self.text(format_args!(", {}>", list.len()));
            }
            Type::Tuple(tuple) => self.of("tuple", &tuple.types().map(Some).collect::<Vec<_>>()),
            Type::Option(option) => self.of("option", &[Some(option.ty())]),
            Type::Result(result) => match (result.ok(), result.err()) {
                (None, None) => self.out.push_str("result"),
                (ok, None) => self.of("result", &[ok]),
                (ok, err) => self.of("result", &[ok, err]),
            },
            _ => {}
        }
    }

    fn nominal(&mut self, ty: &Type) {
        match ty {
            Type::Record(record) => {
                self.body("record", ": ", "", record.fields().map(|f| (f.name.to_owned(), Some(f.ty))).collect());
            }
            Type::Variant(variant) => {
                self.body("variant", "(", ")", variant.cases().map(|c| (c.name.to_owned(), c.ty)).collect());
            }
            Type::Enum(names) => self.body("enum", "", "", names.names().map(|n| (n.to_owned(), None)).collect()),
            Type::Flags(names) => self.body("flags", "", "", names.names().map(|n| (n.to_owned(), None)).collect()),
            _ => {}
        }
    }

    fn of(&mut self, word: &str, types: &[Option<Type>]) {
        self.text(format_args!("{word}<"));
        for (i, ty) in types.iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            match ty {
                Some(ty) => self.value(ty),
                None => self.out.push('_'),
            }
        }
        self.out.push('>');
    }

    fn body(&mut self, word: &str, open: &str, close: &str, items: Vec<(String, Option<Type>)>) {
        self.text(format_args!("{word} {{ "));
        for (i, (name, ty)) in items.into_iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            self.text(format_args!("{comma}{name}"));
            if let Some(ty) = ty {
                self.out.push_str(open);
                self.value(&ty);
                self.out.push_str(close);
            }
        }
        self.out.push_str(" }");
    }
}
