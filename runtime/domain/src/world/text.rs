//! Types as WIT text.

use std::fmt::Write as _;

use super::{Function, Resource, Type, TypeId, World};

/// Longest text of a type, in bytes.
const TEXT_MAX: usize = 1 << 10;

impl World {
    /// Returns a function's type as WIT text, at most a kilobyte of it.
    pub fn function_text(&self, function: &Function) -> String {
        let mut printer = Printer { world: self, out: String::new() };
        printer.function(function);
        printer.end()
    }

    /// Returns the name of a type, or the type in full where it has none; at most a kilobyte of it.
    pub fn type_text(&self, id: TypeId) -> String {
        let mut printer = Printer { world: self, out: String::new() };
        printer.value(id);
        printer.end()
    }

    /// Returns what a type is, its own name aside; at most a kilobyte of it.
    pub fn body_text(&self, id: TypeId) -> String {
        let mut printer = Printer { world: self, out: String::new() };
        printer.body(id);
        printer.end()
    }
}

struct Printer<'a> {
    world: &'a World,
    out: String,
}

impl Printer<'_> {
    fn end(self) -> String {
        crate::text::truncate(&self.out, TEXT_MAX).into_owned()
    }

    fn text(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn function(&mut self, function: &Function) {
        self.out.push_str(if function.is_async { "async func(" } else { "func(" });
        for (i, (name, ty)) in function.params.iter().enumerate() {
            let comma = if i > 0 { ", " } else { "" };
            self.text(format_args!("{comma}{name}: "));
            self.value(*ty);
        }
        self.out.push(')');
        if let Some(ty) = function.result {
            self.out.push_str(" -> ");
            self.value(ty);
        }
    }

    fn value(&mut self, id: TypeId) {
        if self.out.len() > TEXT_MAX {
            return;
        }
        match self.world.name_of(id) {
            Some(name) => self.out.push_str(name),
            None => self.body(id),
        }
    }

    fn body(&mut self, id: TypeId) {
        let Some(ty) = self.world.ty(id) else { return };
        match ty {
            Type::Primitive(word) => self.out.push_str(word),
            Type::List(element) => self.of("list", &[Some(*element)]),
            Type::FixedLengthList(element, length) => {
                self.out.push_str("list<");
                self.value(*element);
                self.text(format_args!(", {length}>"));
            }
            Type::Map(key, value) => self.of("map", &[Some(*key), Some(*value)]),
            Type::Tuple(types) => self.of("tuple", &types.iter().copied().map(Some).collect::<Vec<_>>()),
            Type::Option(ty) => self.of("option", &[Some(*ty)]),
            Type::Result(None, None) => self.out.push_str("result"),
            Type::Result(ok, None) => self.of("result", &[*ok]),
            Type::Result(ok, err) => self.of("result", &[*ok, *err]),
            Type::Record(fields) => self.parts("record", fields.iter().map(|(name, ty)| (name, Some(*ty))), [": ", ""]),
            Type::Variant(cases) => self.parts("variant", cases.iter().map(|(name, ty)| (name, *ty)), ["(", ")"]),
            Type::Enum(names) => self.parts("enum", names.iter().map(|name| (name, None)), ["", ""]),
            Type::Flags(names) => self.parts("flags", names.iter().map(|name| (name, None)), ["", ""]),
            Type::Own(Resource { name, .. }) => self.out.push_str(name),
            Type::Borrow(Resource { name, .. }) => self.text(format_args!("borrow<{name}>")),
            Type::Future(None) => self.out.push_str("future"),
            Type::Future(ty) => self.of("future", &[*ty]),
            Type::Stream(None) => self.out.push_str("stream"),
            Type::Stream(ty) => self.of("stream", &[*ty]),
        }
    }

    fn of(&mut self, word: &str, types: &[Option<TypeId>]) {
        self.text(format_args!("{word}<"));
        for (i, ty) in types.iter().enumerate() {
            if i > 0 {
                self.out.push_str(", ");
            }
            match ty {
                Some(ty) => self.value(*ty),
                None => self.out.push('_'),
            }
        }
        self.out.push('>');
    }

    fn parts<'n>(
        &mut self,
        word: &str,
        parts: impl Iterator<Item = (&'n String, Option<TypeId>)>,
        [open, close]: [&str; 2],
    ) {
        self.text(format_args!("{word} {{ "));
        for (i, (name, ty)) in parts.enumerate() {
            if self.out.len() > TEXT_MAX {
                break;
            }
            let comma = if i > 0 { ", " } else { "" };
            self.text(format_args!("{comma}{name}"));
            if let Some(ty) = ty {
                self.out.push_str(open);
                self.value(ty);
                self.out.push_str(close);
            }
        }
        self.out.push_str(" }");
    }
}
