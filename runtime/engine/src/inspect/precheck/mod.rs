//! The first look at a stranger's bytes: what they are, whole or cut off, how deeply nested, and how much there is of everything that
//! costs a compiler more than its bytes. Nothing here recurses, and nothing is allocated by a count that the bytes only claim.

mod census;
mod footprint;
mod types;

use std::ops::Range;

use domain::ports::EngineError;
use domain::settings::CompileSettings;
use wasmparser::{
    BinaryReader, BinaryReaderError, ConstExpr, Data, DataKind, Element, ElementItems, ElementKind, Encoding,
    FunctionBody, Global, Parser, Payload, SectionLimited, Table, TableInit,
};

pub(crate) use census::{Census, Counted};
use footprint::Footprint;

use crate::settings::NESTING_MAX;

/// Makes the error for bytes that are not a component.
pub(crate) fn refuse(reason: &str) -> EngineError {
    EngineError::NotAComponent { reason: reason.to_owned() }
}

/// Checks that `bytes` have the frame of a component and are safe to hand to code that recurses, allocates and compiles.
///
/// Costs one walk over the bytes, and ends at the first bound that is passed.
///
/// # Errors
/// [`EngineError::NotAComponent`] says what there is too much of, how much, and how much may be.
pub(crate) fn precheck(bytes: &[u8], settings: &CompileSettings) -> Result<Census, EngineError> {
    check_size(bytes, settings)?;
    check_header(bytes)?;
    let (mut census, mut footprint) = (Census::default(), Footprint::default());
    let mut depth = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(|error| damaged(&error))?;
        match &payload {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(refuse(&format!(
                        "components and modules are nested more than {NESTING_MAX} levels deep"
                    )));
                }
                census.add(Counted::Parts, 1)?;
            }
            // The outermost end leaves nothing to take away.
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => count(&mut census, bytes, &payload).map_err(Stop::into_error)?,
        }
        // After its sections are known to be of a bearable length.
        footprint.see(&payload).map_err(Stop::into_error)?;
    }
    Ok(census)
}

/// Checks that `bytes` are no more than the settings allow.
pub(super) fn check_size(bytes: &[u8], settings: &CompileSettings) -> Result<(), EngineError> {
    let size = bytes.len() as u64;
    let max = settings.size_bytes;
    if size <= max {
        return Ok(());
    }
    let shown = domain::units::format_size(max);
    Err(refuse(&format!("the file has {size} bytes, at most {max} ({shown}, `compile.size`) are allowed")))
}

/// Why a walk ends early.
enum Stop {
    Damaged(BinaryReaderError),
    TooMuch(EngineError),
}

impl Stop {
    fn into_error(self) -> EngineError {
        match self {
            Self::Damaged(error) => damaged(&error),
            Self::TooMuch(error) => error,
        }
    }
}

impl From<BinaryReaderError> for Stop {
    fn from(error: BinaryReaderError) -> Self {
        Self::Damaged(error)
    }
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Self {
        Self::TooMuch(error)
    }
}

/// Counts what is in one section, or one function. Counts that the bytes claim are checked before anything is read by them.
fn count(census: &mut Census, bytes: &[u8], payload: &Payload<'_>) -> Result<(), Stop> {
    let claimed = |number: u32| u64::from(number);
    match payload {
        Payload::TypeSection(section) => types::core(census, section.clone()),
        Payload::CoreTypeSection(section) => types::core_in_component(census, reader(bytes, section.range())),
        Payload::ComponentTypeSection(section) => types::component(census, reader(bytes, section.range())),
        Payload::FunctionSection(section) => Ok(census.add(Counted::Functions, claimed(section.count()))?),
        Payload::CodeSectionEntry(body) => function(census, body),
        Payload::ImportSection(section) => Ok(census.add(Counted::Imports, claimed(section.count()))?),
        Payload::ComponentImportSection(section) => Ok(census.add(Counted::Imports, claimed(section.count()))?),
        Payload::ExportSection(section) => Ok(census.add(Counted::Exports, claimed(section.count()))?),
        Payload::ComponentExportSection(section) => Ok(census.add(Counted::Exports, claimed(section.count()))?),
        Payload::TableSection(section) => tables(census, section.clone()),
        Payload::MemorySection(section) => Ok(census.add(Counted::Memories, claimed(section.count()))?),
        Payload::GlobalSection(section) => globals(census, section.clone()),
        Payload::DataCountSection { count, .. } => Ok(census.check(Counted::DataSegments, claimed(*count))?),
        Payload::DataSection(section) => data(census, section.clone()),
        Payload::ElementSection(section) => elements(census, section.clone()),
        Payload::InstanceSection(section) => Ok(census.add(Counted::Instances, claimed(section.count()))?),
        Payload::ComponentInstanceSection(section) => Ok(census.add(Counted::Instances, claimed(section.count()))?),
        Payload::ComponentAliasSection(section) => Ok(census.add(Counted::Aliases, claimed(section.count()))?),
        Payload::ComponentCanonicalSection(section) => Ok(census.add(Counted::Canonicals, claimed(section.count()))?),
        Payload::CustomSection(section) => {
            let what = if matches!(section.name(), "name" | "component-name") {
                Counted::NameBytes
            } else {
                Counted::CustomBytes
            };
            Ok(census.add(what, section.data().len() as u64)?)
        }
        // Nothing in these is counted; what is unknown is left to the validator.
        _ => Ok(()),
    }
}

/// Reads a section by hand.
fn reader(bytes: &[u8], range: Range<usize>) -> BinaryReader<'_> {
    let start = range.start;
    BinaryReader::new(bytes.get(range).unwrap_or_default(), start)
}

fn function(census: &mut Census, body: &FunctionBody<'_>) -> Result<(), Stop> {
    census.check(Counted::FunctionBytes, body.range().len() as u64)?;
    let mut own = 0_u64;
    for group in body.get_locals_reader()? {
        let (count, _) = group?;
        own = own.saturating_add(u64::from(count));
        census.check(Counted::FunctionLocals, own)?;
    }
    Ok(census.add(Counted::Locals, own)?)
}

fn globals(census: &mut Census, section: SectionLimited<'_, Global<'_>>) -> Result<(), Stop> {
    census.add(Counted::Globals, u64::from(section.count()))?;
    for global in section {
        constant(census, &global?.init_expr)?;
    }
    Ok(())
}

fn tables(census: &mut Census, section: SectionLimited<'_, Table<'_>>) -> Result<(), Stop> {
    census.add(Counted::Tables, u64::from(section.count()))?;
    for table in section {
        if let TableInit::Expr(expression) = table?.init {
            constant(census, &expression)?;
        }
    }
    Ok(())
}

fn data(census: &mut Census, section: SectionLimited<'_, Data<'_>>) -> Result<(), Stop> {
    census.add(Counted::DataSegments, u64::from(section.count()))?;
    for segment in section {
        if let DataKind::Active { offset_expr, .. } = segment?.kind {
            constant(census, &offset_expr)?;
        }
    }
    Ok(())
}

fn elements(census: &mut Census, section: SectionLimited<'_, Element<'_>>) -> Result<(), Stop> {
    census.add(Counted::ElementSegments, u64::from(section.count()))?;
    for segment in section {
        let segment = segment?;
        if let ElementKind::Active { offset_expr, .. } = &segment.kind {
            constant(census, offset_expr)?;
        }
        match segment.items {
            ElementItems::Functions(items) => census.add(Counted::Elements, u64::from(items.count()))?,
            ElementItems::Expressions(_, items) => {
                census.add(Counted::Elements, u64::from(items.count()))?;
                for expression in items {
                    constant(census, &expression?)?;
                }
            }
        }
    }
    Ok(())
}

fn constant(census: &mut Census, expression: &ConstExpr<'_>) -> Result<(), Stop> {
    Ok(census.check(Counted::ConstantBytes, expression.get_binary_reader().range().len() as u64)?)
}

fn check_header(bytes: &[u8]) -> Result<(), EngineError> {
    if bytes.is_empty() {
        return Err(refuse("the file is empty"));
    }
    if !bytes.starts_with(b"\0asm") {
        return Err(refuse("not WebAssembly: it does not start with the bytes `\\0asm`"));
    }
    if Parser::is_core_wasm(bytes) {
        return Err(refuse(
            "this is a core module, not a component; make one with `wasm-tools component new`, or build for \
             `wasm32-wasip2`",
        ));
    }
    if bytes.len() < 8 {
        return Err(refuse("truncated: a WebAssembly file has at least 8 bytes"));
    }
    match Parser::new(0).parse_all(bytes).next() {
        Some(Ok(Payload::Version { encoding: Encoding::Component, .. })) => Ok(()),
        Some(Err(error)) => Err(damaged(&error)),
        _ => Err(refuse("not a component of a version that is known here")),
    }
}

/// Says where the bytes stop making sense.
pub(crate) fn damaged(error: &BinaryReaderError) -> EngineError {
    let offset = error.offset();
    let message = domain::text::truncate(error.message(), 500);
    let message = domain::text::escape_line(&message);
    if error.message() == "unexpected end-of-file" {
        refuse(&format!("truncated or damaged: {message} (at byte {offset})"))
    } else {
        refuse(&format!("not a valid component: {message} (at byte {offset})"))
    }
}
