//! The first look at a stranger's bytes: what they are, whole or cut off, how deeply nested. Nothing here recurses.

use domain::limits::COMPONENT_BYTES_MAX;
use domain::ports::EngineError;
use wasmparser::{Encoding, Parser, Payload};

use crate::settings::{FUNCTIONS_MAX, NESTING_MAX};

/// Makes the error for bytes that are not a component.
pub(crate) fn refuse(reason: &str) -> EngineError {
    EngineError::NotAComponent { reason: reason.to_owned() }
}

/// Checks that `bytes` have the frame of a component and are safe to hand to code that recurses.
pub(crate) fn precheck(bytes: &[u8]) -> Result<(), EngineError> {
    if u64::try_from(bytes.len()).unwrap_or(u64::MAX) > COMPONENT_BYTES_MAX {
        return Err(refuse(&format!("it has more than {} MiB", COMPONENT_BYTES_MAX >> 20)));
    }
    check_header(bytes)?;
    let mut depth = 0_usize;
    let mut functions = 0_usize;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| damaged(&error))? {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                if depth > NESTING_MAX {
                    return Err(refuse(&format!(
                        "components and modules are nested more than {NESTING_MAX} levels deep"
                    )));
                }
            }
            Payload::FunctionSection(section) => {
                functions = functions.saturating_add(section.count() as usize);
                if functions > FUNCTIONS_MAX {
                    return Err(refuse(&format!("it has more than {FUNCTIONS_MAX} functions")));
                }
            }
            // The outermost end leaves nothing to take away.
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    Ok(())
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
pub(crate) fn damaged(error: &wasmparser::BinaryReaderError) -> EngineError {
    let offset = error.offset();
    let message = domain::text::truncate(error.message(), 500);
    let message = domain::text::escape_line(&message);
    if error.message() == "unexpected end-of-file" {
        refuse(&format!("truncated or damaged: {message} (at byte {offset})"))
    } else {
        refuse(&format!("not a valid component: {message} (at byte {offset})"))
    }
}
