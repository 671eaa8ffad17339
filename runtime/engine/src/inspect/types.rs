//! The types of a component's imports and exports, apart from the parser that read them.

use std::collections::HashMap;

use domain::ports::EngineError;
use domain::world::{DEPTH_MAX, Function, Interface, Item, Resource, Type, TypeId, World, WorldError};
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentDefinedType, ComponentDefinedTypeId, ComponentEntityType, ComponentFuncType,
    ComponentInstanceTypeId, ComponentValType, ResourceId,
};
use wasmparser::types::Types;
use wasmparser::{Parser, ValidPayload, Validator};

use super::precheck::{damaged, refuse};
use super::print::primitive_name;
use super::world::names;
use crate::config;
use crate::settings::EngineSettings;

/// Reads the types of bytes that were inspected before: bodies of functions are skipped, which is most of the work and most of the bytes.
pub(super) fn read(bytes: &[u8], settings: &EngineSettings) -> Result<World, EngineError> {
    let types = validate_types(bytes, settings)?;
    let (imports, exports) = names(bytes)?;
    let mut reader = Reader::new(&types);
    let types_of = types.as_ref();
    for name in &imports {
        if let Some(item) = types_of.component_item_for_import(name) {
            reader.meet_resources(name, item.ty);
        }
    }
    for name in &exports {
        if let Some(item) = types_of.component_item_for_export(name) {
            reader.meet_resources(name, item.ty);
        }
    }
    for name in imports {
        let ty = types_of.component_item_for_import(&name).map(|item| item.ty);
        let item = reader.item(&name, ty).map_err(too_much)?;
        reader.world.imports.insert(name, item);
    }
    for name in exports {
        let ty = types_of.component_item_for_export(&name).map(|item| item.ty);
        let item = reader.item(&name, ty).map_err(too_much)?;
        reader.world.exports.insert(name, item);
    }
    Ok(reader.world)
}

fn too_much(error: WorldError) -> EngineError {
    refuse(&error.to_string())
}

fn validate_types(bytes: &[u8], settings: &EngineSettings) -> Result<Types, EngineError> {
    let mut validator = Validator::new_with_features(config::features(settings));
    let mut outermost = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| damaged(&error))?;
        if let ValidPayload::End(types) = validator.payload(&payload).map_err(|error| damaged(&error))? {
            outermost = Some(types);
        }
    }
    outermost.ok_or_else(|| refuse("the file is empty"))
}

struct Reader<'a> {
    types: &'a Types,
    world: World,
    /// Types that are in the world already.
    defined: HashMap<ComponentDefinedTypeId, TypeId>,
    primitives: HashMap<&'static str, TypeId>,
    /// What resources are called where they are first met; imports come first.
    resources: HashMap<ResourceId, Resource>,
}

impl<'a> Reader<'a> {
    fn new(types: &'a Types) -> Self {
        Self {
            types,
            world: World::default(),
            defined: HashMap::new(),
            primitives: HashMap::new(),
            resources: HashMap::new(),
        }
    }

    fn meet_resources(&mut self, name: &str, ty: ComponentEntityType) {
        match ty {
            ComponentEntityType::Instance(id) => {
                for (inner, item) in &self.types[id].exports {
                    if let Some(resource) = resource_of(item.ty) {
                        let met = Resource { interface: Some(name.to_owned()), name: inner.clone() };
                        self.resources.entry(resource).or_insert(met);
                    }
                }
            }
            other => {
                if let Some(resource) = resource_of(other) {
                    let met = Resource { interface: None, name: name.to_owned() };
                    self.resources.entry(resource).or_insert(met);
                }
            }
        }
    }

    fn item(&mut self, name: &str, ty: Option<ComponentEntityType>) -> Result<Item, WorldError> {
        Ok(match ty {
            Some(ComponentEntityType::Func(id)) => Item::Function(self.function(&self.types[id])?),
            Some(ComponentEntityType::Instance(id)) => Item::Interface(self.interface(id)?),
            Some(ComponentEntityType::Type { referenced: ComponentAnyTypeId::Defined(id), created }) => {
                Item::Type(self.named(name, id, created)?)
            }
            _ => Item::Other,
        })
    }

    fn interface(&mut self, id: ComponentInstanceTypeId) -> Result<Interface, WorldError> {
        let mut interface = Interface::default();
        let types = self.types;
        // Names first, so that functions are written with them.
        for (name, item) in &types[id].exports {
            match item.ty {
                ComponentEntityType::Type { referenced: ComponentAnyTypeId::Defined(id), created } => {
                    interface.types.insert(name.clone(), self.named(name, id, created)?);
                }
                other => {
                    if let Some(resource) = resource_of(other) {
                        interface.resources.insert(name.clone(), self.resource(resource));
                    }
                }
            }
        }
        for (name, item) in &types[id].exports {
            if let ComponentEntityType::Func(id) = item.ty {
                interface.functions.insert(name.clone(), self.function(&types[id])?);
            }
        }
        Ok(interface)
    }

    /// A type that is imported or exported has two ids: functions refer to either.
    fn named(
        &mut self,
        name: &str,
        id: ComponentDefinedTypeId,
        created: ComponentAnyTypeId,
    ) -> Result<TypeId, WorldError> {
        let ty = self.defined(id, 0)?;
        self.world.name(ty, name);
        if let ComponentAnyTypeId::Defined(created) = created {
            let created = self.defined(created, 0)?;
            self.world.name(created, name);
        }
        Ok(ty)
    }

    fn function(&mut self, function: &ComponentFuncType) -> Result<Function, WorldError> {
        let mut params = Vec::with_capacity(function.params.len());
        for (name, ty) in &function.params {
            params.push((name.to_string(), self.value(ty, 0)?));
        }
        Ok(Function { is_async: function.async_, params, result: self.optional(function.result.as_ref(), 0)? })
    }

    fn optional(&mut self, ty: Option<&ComponentValType>, depth: u32) -> Result<Option<TypeId>, WorldError> {
        ty.map(|ty| self.value(ty, depth)).transpose()
    }

    fn value(&mut self, ty: &ComponentValType, depth: u32) -> Result<TypeId, WorldError> {
        match ty {
            ComponentValType::Primitive(primitive) => self.primitive(primitive_name(*primitive)),
            ComponentValType::Type(id) => self.defined(*id, depth),
        }
    }

    fn primitive(&mut self, word: &'static str) -> Result<TypeId, WorldError> {
        if let Some(known) = self.primitives.get(word) {
            return Ok(*known);
        }
        let id = self.world.add(Type::Primitive(word))?;
        self.primitives.insert(word, id);
        Ok(id)
    }

    fn defined(&mut self, id: ComponentDefinedTypeId, depth: u32) -> Result<TypeId, WorldError> {
        if let Some(known) = self.defined.get(&id) {
            return Ok(*known);
        }
        // Guest-controlled: this recurses.
        if depth > DEPTH_MAX {
            return Err(WorldError::TooDeep);
        }
        let types = self.types;
        let ty = self.convert(&types[id], depth + 1)?;
        let ty = match ty {
            Type::Primitive(word) => self.primitive(word)?,
            ty => self.world.add(ty)?,
        };
        self.defined.insert(id, ty);
        Ok(ty)
    }

    fn convert(&mut self, ty: &ComponentDefinedType, depth: u32) -> Result<Type, WorldError> {
        Ok(match ty {
            ComponentDefinedType::Primitive(primitive) => Type::Primitive(primitive_name(*primitive)),
            ComponentDefinedType::Record(record) => {
                let fields = record.fields.iter().map(|(name, ty)| Ok((name.to_string(), self.value(ty, depth)?)));
                Type::Record(fields.collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Variant(variant) => {
                let cases = variant.cases.iter();
                let cases = cases.map(|(name, case)| Ok((name.to_string(), self.optional(case.ty.as_ref(), depth)?)));
                Type::Variant(cases.collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Enum(names) => Type::Enum(names.iter().map(ToString::to_string).collect()),
            ComponentDefinedType::Flags(names) => Type::Flags(names.iter().map(ToString::to_string).collect()),
            ComponentDefinedType::List { element, .. } => Type::List(self.value(element, depth)?),
            ComponentDefinedType::FixedLengthList { element, length, .. } => {
                Type::FixedLengthList(self.value(element, depth)?, *length)
            }
            ComponentDefinedType::Map { key, value, .. } => {
                Type::Map(self.value(key, depth)?, self.value(value, depth)?)
            }
            ComponentDefinedType::Tuple(tuple) => {
                Type::Tuple(tuple.types.iter().map(|ty| self.value(ty, depth)).collect::<Result<_, _>>()?)
            }
            ComponentDefinedType::Option { ty, .. } => Type::Option(self.value(ty, depth)?),
            ComponentDefinedType::Result { ok, err, .. } => {
                Type::Result(self.optional(ok.as_ref(), depth)?, self.optional(err.as_ref(), depth)?)
            }
            ComponentDefinedType::Own(id) => Type::Own(self.resource(id.resource())),
            ComponentDefinedType::Borrow(id) => Type::Borrow(self.resource(id.resource())),
            ComponentDefinedType::Future { ty, .. } => Type::Future(self.optional(ty.as_ref(), depth)?),
            ComponentDefinedType::Stream { ty, .. } => Type::Stream(self.optional(ty.as_ref(), depth)?),
        })
    }

    fn resource(&self, id: ResourceId) -> Resource {
        let nameless = || Resource { interface: None, name: "resource".to_owned() };
        self.resources.get(&id).cloned().unwrap_or_else(nameless)
    }
}

fn resource_of(ty: ComponentEntityType) -> Option<ResourceId> {
    match ty {
        ComponentEntityType::Type { referenced: ComponentAnyTypeId::Resource(id), .. } => Some(id.resource()),
        _ => None,
    }
}
