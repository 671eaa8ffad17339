//! The imports, exports and functions of a validated component.

use domain::inspection::{ExternItem, ExternKind, FunctionSignature};
use domain::ports::EngineError;
use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentInstanceTypeId};
use wasmparser::types::Types;
use wasmparser::{Parser, Payload};

use super::precheck::{damaged, refuse};
use super::print::{Names, signature};
use crate::settings::ITEMS_MAX;

pub(super) struct World {
    pub(super) imports: Vec<ExternItem>,
    pub(super) exports: Vec<ExternItem>,
    pub(super) functions: Vec<FunctionSignature>,
}

/// Reads the outermost import and export sections.
pub(super) fn read(bytes: &[u8], types: &Types) -> Result<World, EngineError> {
    let (imports, exports) = names(bytes)?;
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

fn kind(types: &Types, ty: ComponentEntityType) -> ExternKind {
    match ty {
        ComponentEntityType::Func(_) => ExternKind::Function,
        ComponentEntityType::Instance(id) if only_types(types, id) => ExternKind::TypesOnly,
        ComponentEntityType::Instance(_) => ExternKind::Interface,
        ComponentEntityType::Module(_)
        | ComponentEntityType::Value(_)
        | ComponentEntityType::Type { .. }
        | ComponentEntityType::Component(_) => ExternKind::Other,
    }
}

fn only_types(types: &Types, id: ComponentInstanceTypeId) -> bool {
    types[id].exports.values().all(|item| match item.ty {
        ComponentEntityType::Type { referenced, .. } => !matches!(referenced, ComponentAnyTypeId::Resource(_)),
        _ => false,
    })
}

fn names(bytes: &[u8]) -> Result<(Vec<String>, Vec<String>), EngineError> {
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
