//! The imports, exports and functions of a validated component.

use domain::inspection::{ExternItem, ExternKind, FunctionSignature};
use domain::ports::EngineError;
use domain::text::{escape_line, truncate};
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId};
use wasmparser::types::Types;
use wasmparser::{Parser, Payload};

use super::precheck::{damaged, refuse};
use super::print::{Names, signature};
use crate::settings::{ITEMS_MAX, NAME_BYTES_MAX};

/// Longest name in a message, in bytes.
const NAME_SHOWN_MAX: usize = 200;

pub(super) struct World {
    pub(super) imports: Vec<ExternItem>,
    pub(super) exports: Vec<ExternItem>,
    pub(super) functions: Vec<FunctionSignature>,
}

/// Reads the outermost import and export sections.
pub(super) fn read(bytes: &[u8], types: &Types) -> Result<World, EngineError> {
    let (imports, exports) = names(bytes)?;
    check(types, &imports, &exports)?;
    let known = Names::collect(types, &imports, &exports);
    let mut functions = Vec::new();
    for name in &exports {
        match types.as_ref().component_item_for_export(name).map(|item| item.ty) {
            Some(ComponentEntityType::Func(id)) => functions.push(FunctionSignature {
                interface: None,
                name: name.clone(),
                wit: signature(types, &types[id], &known),
            }),
            Some(ComponentEntityType::Instance(id)) => {
                let local = known.within(types, id);
                for (function, item) in &types[id].exports {
                    if let ComponentEntityType::Func(id) = item.ty {
                        functions.push(FunctionSignature {
                            interface: Some(name.clone()),
                            name: function.clone(),
                            wit: signature(types, &types[id], &local),
                        });
                    }
                }
            }
            _ => {}
        }
        if functions.len() > ITEMS_MAX {
            return Err(refuse(&format!("it exports more than {ITEMS_MAX} functions")));
        }
    }
    let item = |name: &String, ty: Option<ComponentEntityType>| ExternItem {
        name: name.clone(),
        kind: ty.map_or(ExternKind::Other, |ty| kind(types, ty)),
    };
    Ok(World {
        imports: imports.iter().map(|n| item(n, types.as_ref().component_item_for_import(n).map(|i| i.ty))).collect(),
        exports: exports.iter().map(|n| item(n, types.as_ref().component_item_for_export(n).map(|i| i.ty))).collect(),
        functions,
    })
}

/// Refuses names that no message, table or index should have to carry.
fn check_lengths(types: &Types, imports: &[String], exports: &[String]) -> Result<(), EngineError> {
    let import = imports.iter().map(|name| (name, types.as_ref().component_item_for_import(name)));
    let export = exports.iter().map(|name| (name, types.as_ref().component_item_for_export(name)));
    for (name, item) in import.chain(export) {
        let inside = match item.map(|item| item.ty) {
            Some(ComponentEntityType::Instance(id)) => types[id].exports.keys().map(String::len).max().unwrap_or(0),
            _ => 0,
        };
        let longest = name.len().max(inside);
        if longest > NAME_BYTES_MAX {
            return Err(refuse(&format!(
                "the name of an import or export has {longest} bytes, at most {NAME_BYTES_MAX} are allowed"
            )));
        }
    }
    Ok(())
}

fn kind(types: &Types, ty: ComponentEntityType) -> ExternKind {
    match ty {
        ComponentEntityType::Func(_) => ExternKind::Function,
        ComponentEntityType::Instance(id) if only_types(types, id) => ExternKind::TypesOnly,
        ComponentEntityType::Instance(_) => ExternKind::Interface,
        ComponentEntityType::Type { referenced, .. } if !matches!(referenced, ComponentAnyTypeId::Resource(_)) => {
            ExternKind::TypesOnly
        }
        ComponentEntityType::Module(_)
        | ComponentEntityType::Value(_)
        | ComponentEntityType::Type { .. }
        | ComponentEntityType::Component(_) => ExternKind::Other,
    }
}

/// Says of imports and exports what keeps a component from ever being linked.
fn check(types: &Types, imports: &[String], exports: &[String]) -> Result<(), EngineError> {
    check_lengths(types, imports, exports)?;
    let import = |name: &String| types.as_ref().component_item_for_import(name).map(|item| item.ty);
    let export = |name: &String| types.as_ref().component_item_for_export(name).map(|item| item.ty);
    let whole = |ty| match ty {
        Some(ComponentEntityType::Module(_)) => Some("core module"),
        Some(ComponentEntityType::Component(_)) => Some("component"),
        _ => None,
    };
    let imported = imports.iter().filter_map(|name| Some(("imports", name, whole(import(name))?)));
    let exported = exports.iter().filter_map(|name| Some(("exports", name, whole(export(name))?)));
    if let Some((verb, name, what)) = imported.chain(exported).next() {
        let name = escape_line(&truncate(name, NAME_SHOWN_MAX)).into_owned();
        return Err(refuse(&format!("it {verb} the {what} `{name}`: only interfaces and functions are linked here")));
    }
    let is_package = |name: &String| {
        let Some(ComponentEntityType::Type { referenced, .. }) = export(name) else { return false };
        matches!(referenced, ComponentAnyTypeId::Component(_) | ComponentAnyTypeId::Instance(_))
    };
    if !exports.is_empty() && exports.iter().all(is_package) {
        return Err(refuse("it is a WIT package, which has types and no code: build a component that implements it"));
    }
    Ok(())
}

fn only_types(types: &Types, id: ComponentInstanceTypeId) -> bool {
    types[id].exports.values().all(|item| match item.ty {
        ComponentEntityType::Type { referenced, .. } => !matches!(referenced, ComponentAnyTypeId::Resource(_)),
        _ => false,
    })
}

/// Returns the names of the outermost imports and exports.
pub(super) fn names(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), EngineError> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| damaged(&error))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    imports.push(import.map_err(|error| damaged(&error))?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    exports.push(export.map_err(|error| damaged(&error))?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    if imports.len() > ITEMS_MAX || exports.len() > ITEMS_MAX {
        return Err(refuse(&format!("it has more than {ITEMS_MAX} imports or exports")));
    }
    Ok((imports, exports))
}
