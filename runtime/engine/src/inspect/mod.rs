//! Reads a component binary without running it.

mod features;
mod metadata;
mod precheck;
mod print;
mod types;
mod world;

use std::borrow::Cow;

use domain::Digest;
use domain::inspection::Inspection;
use domain::ports::EngineError;
use domain::settings::CompileSettings;
use domain::text::{escape_block, truncate};
use domain::world::World;

pub(crate) use precheck::{precheck, refuse};

use crate::settings::EngineSettings;

/// Longest WIT text of a component, in bytes.
const WIT_TEXT_MAX: usize = 4 << 20;

/// Returns what the binary (or text) says of itself; see [`domain::ports::Engine::inspect`].
pub(crate) fn inspect(
    bytes: &[u8],
    settings: &EngineSettings,
    compile: &CompileSettings,
) -> Result<Inspection, EngineError> {
    let binary = to_binary(bytes, compile)?;
    let census = precheck(&binary, compile)?;
    let types = features::validate(&binary, settings)?;
    let world = world::read(&binary, &types)?;
    let metadata = metadata::read(&binary);
    Ok(Inspection {
        digest: Digest::of(&binary),
        size: u64::try_from(binary.len()).unwrap_or(u64::MAX),
        imports: world.imports,
        exports: world.exports,
        functions: world.functions,
        name: metadata.name,
        version: metadata.version,
        description: metadata.description,
        metadata: metadata.other,
        counts: census.counts(),
    })
}

/// Returns the binary for a component text; a binary is returned as it is.
pub(crate) fn to_binary<'a>(bytes: &'a [u8], compile: &CompileSettings) -> Result<Cow<'a, [u8]>, EngineError> {
    precheck::check_size(bytes, compile)?;
    if bytes.is_empty() {
        return Err(refuse("the file is empty"));
    }
    if bytes.starts_with(b"\0asm") || !looks_like_text(bytes) {
        return Ok(Cow::Borrowed(bytes));
    }
    match wat::parse_bytes(bytes) {
        Ok(binary) => Ok(Cow::Owned(binary.into_owned())),
        Err(error) => Err(refuse(&format!(
            "not valid component text: {}",
            escape_block(&truncate(error.to_string().trim_end(), 2_000))
        ))),
    }
}

/// Returns the component's world as WIT text.
pub(crate) fn wit(bytes: &[u8], settings: &EngineSettings, compile: &CompileSettings) -> Result<String, EngineError> {
    let binary = to_binary(bytes, compile)?;
    precheck(&binary, compile)?;
    features::validate(&binary, settings)?;
    let failed = |reason: &dyn std::fmt::Display| {
        refuse(&format!("its world cannot be written as WIT: {}", escape_block(&truncate(&reason.to_string(), 1_000))))
    };
    let decoded = wit_component::decode(&binary).map_err(|e| failed(&format_args!("{e:#}")))?;
    let (resolve, main) = (decoded.resolve(), decoded.package());
    // The component's own package says little without those that it refers to.
    let nested: Vec<_> = resolve.packages.iter().map(|(id, _)| id).filter(|id| *id != main).collect();
    let mut printer = wit_component::WitPrinter::default();
    printer.print(resolve, main, &nested).map_err(|e| failed(&format_args!("{e:#}")))?;
    Ok(truncate(&printer.output.to_string(), WIT_TEXT_MAX).into_owned())
}

/// Returns the types of what a component imports and exports; see [`domain::ports::Engine::world`].
pub(crate) fn types(bytes: &[u8], settings: &EngineSettings) -> Result<World, EngineError> {
    types::read(bytes, settings)
}

/// Text starts with white space, a comment or a parenthesis; a truncated or foreign binary hardly ever does.
fn looks_like_text(bytes: &[u8]) -> bool {
    let start = bytes.iter().find(|byte| !byte.is_ascii_whitespace());
    matches!(start, Some(b'(' | b';')) && std::str::from_utf8(bytes).is_ok()
}
