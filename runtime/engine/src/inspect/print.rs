//! Types of a validated binary as WIT text.

use std::collections::HashMap;
use std::fmt::Write as _;

use wasmparser::PrimitiveValType;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentEntityType, ComponentFuncType, ComponentInstanceTypeId,
    ComponentValType,
};
use wasmparser::types::Types;

use crate::wit::SIGNATURE_MAX;

/// The names under which types are imported and exported.
#[derive(Clone, Default)]
pub(super) struct Names(HashMap<ComponentAnyTypeId, String>);

impl Names {
    /// Collects the names of the component's own types and of those in its imports and exports; the first name stays.
    pub(super) fn collect(types: &Types, imports: &[String], exports: &[String]) -> Self {
        let mut names = Self::default();
        let imports = imports.iter().map(|name| (name, types.as_ref().component_item_for_import(name)));
        let exports = exports.iter().map(|name| (name, types.as_ref().component_item_for_export(name)));
        for (name, item) in imports.chain(exports) {
            match item.map(|item| item.ty) {
                Some(ComponentEntityType::Instance(id)) => {
                    for (ids, name) in named(types, id) {
                        names.add(ids, name.as_str());
                    }
                }
                Some(ComponentEntityType::Type { referenced, created }) => names.add([referenced, created], name),
                _ => {}
            }
        }
        names
    }

    /// Returns these names with those of one interface in front.
    pub(super) fn within(&self, types: &Types, id: ComponentInstanceTypeId) -> Self {
        let mut names = self.clone();
        for (ids, name) in named(types, id) {
            for id in ids {
                names.0.insert(id, name.clone());
            }
        }
        names
    }

    fn add(&mut self, ids: [ComponentAnyTypeId; 2], name: &str) {
        for id in ids {
            self.0.entry(id).or_insert_with(|| name.to_owned());
        }
    }
}

fn named(types: &Types, id: ComponentInstanceTypeId) -> Vec<([ComponentAnyTypeId; 2], String)> {
    types[id]
        .exports
        .iter()
        .filter_map(|(name, item)| match item.ty {
            ComponentEntityType::Type { referenced, created } => Some(([referenced, created], name.clone())),
            _ => None,
        })
        .collect()
}

/// Writes a function's type, at most [`SIGNATURE_MAX`] bytes of it.
pub(super) fn signature(types: &Types, function: &ComponentFuncType, names: &Names) -> String {
    let mut printer = Printer { types, names, out: String::new() };
    printer.out.push_str(if function.async_ { "async func(" } else { "func(" });
    for (i, (name, ty)) in function.params.iter().enumerate() {
        let comma = if i > 0 { ", " } else { "" };
        printer.text(format_args!("{comma}{name}: "));
        printer.value(ty);
    }
    printer.out.push(')');
    if let Some(ty) = &function.result {
        printer.out.push_str(" -> ");
        printer.value(ty);
    }
    domain::text::truncate(&printer.out, SIGNATURE_MAX).into_owned()
}

struct Printer<'a> {
    types: &'a Types,
    names: &'a Names,
    out: String,
}

impl Printer<'_> {
    fn text(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a String cannot fail.
        let _ = self.out.write_fmt(text);
    }

    fn value(&mut self, ty: &ComponentValType) {
        if self.out.len() > SIGNATURE_MAX {
            return;
        }
        match ty {
            ComponentValType::Primitive(primitive) => self.out.push_str(primitive_name(*primitive)),
            ComponentValType::Type(id) => match self.names.0.get(&ComponentAnyTypeId::Defined(*id)) {
                Some(name) => self.out.push_str(name),
                None => self.defined(&self.types[*id]),
            },
        }
    }

    fn defined(&mut self, ty: &ComponentDefinedType) {
        match ty {
            ComponentDefinedType::Primitive(primitive) => self.out.push_str(primitive_name(*primitive)),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter().map(|(name, ty)| (name.to_string(), Some(ty)));
                self.body("record", ": ", "", fields.collect());
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter().map(|(name, case)| (name.to_string(), case.ty.as_ref()));
                self.body("variant", "(", ")", cases.collect());
            }
            ComponentDefinedType::Enum(names) => {
                self.body("enum", "", "", names.iter().map(|name| (name.to_string(), None)).collect());
            }
            ComponentDefinedType::Flags(names) => {
                self.body("flags", "", "", names.iter().map(|name| (name.to_string(), None)).collect());
            }
            ComponentDefinedType::List { element, .. } => self.of("list", &[Some(element)]),
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                self.out.push_str("list<");
                self.value(element);
                self.text(format_args!(", {length}>"));
            }
            ComponentDefinedType::Map { key, value, .. } => self.of("map", &[Some(key), Some(value)]),
            ComponentDefinedType::Tuple(tuple) => {
                let types: Vec<_> = tuple.types.iter().map(Some).collect();
                self.of("tuple", &types);
            }
            ComponentDefinedType::Option { ty, .. } => self.of("option", &[Some(ty)]),
            ComponentDefinedType::Result { ok: None, err: None, .. } => self.out.push_str("result"),
            ComponentDefinedType::Result { ok, err: None, .. } => self.of("result", &[ok.as_ref()]),
            ComponentDefinedType::Result { ok, err, .. } => self.of("result", &[ok.as_ref(), err.as_ref()]),
            ComponentDefinedType::Own(id) => self.resource(ComponentAnyTypeId::Resource(*id)),
            ComponentDefinedType::Borrow(id) => {
                self.out.push_str("borrow<");
                self.resource(ComponentAnyTypeId::Resource(*id));
                self.out.push('>');
            }
            ComponentDefinedType::Future { ty: None, .. } => self.out.push_str("future"),
            ComponentDefinedType::Future { ty, .. } => self.of("future", &[ty.as_ref()]),
            ComponentDefinedType::Stream { ty: None, .. } => self.out.push_str("stream"),
            ComponentDefinedType::Stream { ty, .. } => self.of("stream", &[ty.as_ref()]),
        }
    }

    fn resource(&mut self, id: ComponentAnyTypeId) {
        let name = self.names.0.get(&id).map_or("resource", String::as_str);
        self.out.push_str(name);
    }

    fn of(&mut self, word: &str, types: &[Option<&ComponentValType>]) {
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

    fn body(&mut self, word: &str, open: &str, close: &str, items: Vec<(String, Option<&ComponentValType>)>) {
        self.text(format_args!("{word} {{ "));
        for (i, (name, ty)) in items.into_iter().enumerate() {
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

pub(super) fn primitive_name(primitive: PrimitiveValType) -> &'static str {
    match primitive {
        PrimitiveValType::Bool => "bool",
        PrimitiveValType::S8 => "s8",
        PrimitiveValType::U8 => "u8",
        PrimitiveValType::S16 => "s16",
        PrimitiveValType::U16 => "u16",
        PrimitiveValType::S32 => "s32",
        PrimitiveValType::U32 => "u32",
        PrimitiveValType::S64 => "s64",
        PrimitiveValType::U64 => "u64",
        PrimitiveValType::F32 => "f32",
        PrimitiveValType::F64 => "f64",
        PrimitiveValType::Char => "char",
        PrimitiveValType::String => "string",
        PrimitiveValType::ErrorContext => "error-context",
    }
}
