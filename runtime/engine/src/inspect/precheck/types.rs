//! Counts types without recursion: a type of a component can hold another one, and the parser of such types calls itself for each
//! level, so that 300 KB of them would end this process.

use wasmparser::{
    BinaryReader, ComponentAlias, ComponentDefinedType, ComponentExternName, ComponentFuncType, ComponentImport,
    ComponentType, ComponentTypeRef, CompositeInnerType, CoreType, ModuleTypeDeclaration, RecGroup, SectionLimited,
};

use super::{Census, Counted, Stop};

/// Leading bytes of types that hold declarations.
const COMPONENT: u8 = 0x41;
const INSTANCE: u8 = 0x42;
const MODULE: u8 = 0x50;

/// Leading bytes of declarations.
const IMPORT: u8 = 0x03;
const CORE_TYPE: u8 = 0x00;
const TYPE: u8 = 0x01;
const ALIAS: u8 = 0x02;
const EXPORT: u8 = 0x04;

/// Counts the types of a core module.
pub(super) fn core(census: &mut Census, section: SectionLimited<'_, RecGroup>) -> Result<(), Stop> {
    // Each group has at least one type.
    census.check(Counted::Types, u64::from(section.count()))?;
    for group in section {
        group_of(census, &group?)?;
    }
    Ok(())
}

fn group_of(census: &mut Census, group: &RecGroup) -> Result<(), Stop> {
    for ty in group.types() {
        census.add(Counted::Types, 1)?;
        let parts = match &ty.composite_type.inner {
            CompositeInnerType::Func(function) => function.params().len() + function.results().len(),
            CompositeInnerType::Struct(structure) => structure.fields.len(),
            CompositeInnerType::Array(_) | CompositeInnerType::Cont(_) => 1,
        };
        census.add(Counted::TypeParts, parts as u64)?;
    }
    Ok(())
}

/// What is being read, and how much of it is left.
struct Open {
    what: What,
    left: u32,
}

#[derive(Clone, Copy)]
enum What {
    /// Types in a section of core types.
    CoreTypes,
    /// Types in a section of types.
    Types,
    /// Declarations in the type of a component.
    OfComponent,
    /// Declarations in the type of an instance.
    OfInstance,
    /// Declarations in the type of a module.
    OfModule,
}

/// Counts the core types of a component; the section begins with how many there are.
pub(super) fn core_in_component(census: &mut Census, section: BinaryReader<'_>) -> Result<(), Stop> {
    walk(census, section, What::CoreTypes)
}

/// Counts the types of a component; the section begins with how many there are.
pub(super) fn component(census: &mut Census, section: BinaryReader<'_>) -> Result<(), Stop> {
    walk(census, section, What::Types)
}

fn walk(census: &mut Census, mut reader: BinaryReader<'_>, what: What) -> Result<(), Stop> {
    let left = reader.read_var_u32()?;
    census.check(Counted::Types, u64::from(left))?;
    let mut open = vec![Open { what, left }];
    while let Some(top) = open.last_mut() {
        let Some(left) = top.left.checked_sub(1) else {
            open.pop();
            continue;
        };
        top.left = left;
        let what = top.what;
        census.add(Counted::Types, 1)?;
        if let Some(inner) = one(census, &mut reader, what)? {
            // Invariant: what was claimed fits into what may be counted, before any of it is read.
            census.check(Counted::Types, u64::from(inner.left))?;
            open.push(inner);
            census.check(Counted::TypeDepth, open.len() as u64 - 1)?;
        }
    }
    Ok(())
}

/// Reads one type or declaration up to its end, or, if it holds declarations, up to the first of them.
fn one(census: &mut Census, reader: &mut BinaryReader<'_>, what: What) -> Result<Option<Open>, Stop> {
    match what {
        What::CoreTypes => core_type(census, reader),
        What::Types => component_type(census, reader),
        What::OfModule => {
            reader.read::<ModuleTypeDeclaration<'_>>()?;
            Ok(None)
        }
        What::OfComponent | What::OfInstance => {
            let start = reader.clone().read_u8()?;
            match start {
                IMPORT if matches!(what, What::OfComponent) => {
                    reader.read_u8()?;
                    reader.read::<ComponentImport<'_>>()?;
                    Ok(None)
                }
                CORE_TYPE => {
                    reader.read_u8()?;
                    core_type(census, reader)
                }
                TYPE => {
                    reader.read_u8()?;
                    component_type(census, reader)
                }
                ALIAS => {
                    reader.read_u8()?;
                    reader.read::<ComponentAlias<'_>>()?;
                    Ok(None)
                }
                EXPORT => {
                    reader.read_u8()?;
                    reader.read::<ComponentExternName<'_>>()?;
                    reader.read::<ComponentTypeRef>()?;
                    Ok(None)
                }
                // No declaration begins so: the parser's own error says it, and does not recurse for it.
                _ => {
                    reader.read::<wasmparser::InstanceTypeDeclaration<'_>>()?;
                    Ok(None)
                }
            }
        }
    }
}

fn core_type(census: &mut Census, reader: &mut BinaryReader<'_>) -> Result<Option<Open>, Stop> {
    if reader.clone().read_u8()? == MODULE {
        reader.read_u8()?;
        return Ok(Some(Open { what: What::OfModule, left: reader.read_var_u32()? }));
    }
    if let CoreType::Rec(group) = reader.read::<CoreType<'_>>()? {
        group_of(census, &group)?;
    }
    Ok(None)
}

fn component_type(census: &mut Census, reader: &mut BinaryReader<'_>) -> Result<Option<Open>, Stop> {
    let what = match reader.clone().read_u8()? {
        COMPONENT => What::OfComponent,
        INSTANCE => What::OfInstance,
        _ => {
            // Every other type names the types it is made of by number.
            census.add(Counted::TypeParts, parts(&reader.read::<ComponentType<'_>>()?))?;
            return Ok(None);
        }
    };
    reader.read_u8()?;
    Ok(Some(Open { what, left: reader.read_var_u32()? }))
}

fn parts(ty: &ComponentType<'_>) -> u64 {
    let count = match ty {
        ComponentType::Func(ComponentFuncType { params, result, .. }) => params.len() + usize::from(result.is_some()),
        ComponentType::Defined(ComponentDefinedType::Record(fields)) => fields.len(),
        ComponentType::Defined(ComponentDefinedType::Variant(cases)) => cases.len(),
        ComponentType::Defined(ComponentDefinedType::Tuple(types)) => types.len(),
        ComponentType::Defined(ComponentDefinedType::Flags(names) | ComponentDefinedType::Enum(names)) => names.len(),
        ComponentType::Defined(_) | ComponentType::Resource { .. } => 1,
        // Read declaration by declaration, above.
        ComponentType::Component(_) | ComponentType::Instance(_) => 0,
    };
    count as u64
}
