//! Validation, and the name of the feature that a component needs but does not get.

use domain::ports::EngineError;
use wasmparser::types::Types;
use wasmparser::{Validator, WasmFeatures};

use super::precheck::damaged;
use crate::config;
use crate::settings::EngineSettings;

/// Features that are off, or can be, under the names people know; those that imply others come after them.
const KNOWN: &[(&str, WasmFeatures)] = &[
    ("memory64", WasmFeatures::MEMORY64.union(WasmFeatures::CM64)),
    ("relaxed-simd", WasmFeatures::RELAXED_SIMD),
    ("threads", WasmFeatures::THREADS),
    ("externref", WasmFeatures::GC_TYPES),
    ("exceptions", WasmFeatures::EXCEPTIONS.union(WasmFeatures::GC_TYPES)),
    ("legacy-exceptions", WasmFeatures::LEGACY_EXCEPTIONS),
    ("function-references", WasmFeatures::FUNCTION_REFERENCES),
    (
        "gc",
        WasmFeatures::GC
            .union(WasmFeatures::GC_TYPES)
            .union(WasmFeatures::FUNCTION_REFERENCES)
            .union(WasmFeatures::REFERENCE_TYPES),
    ),
    ("custom-page-sizes", WasmFeatures::CUSTOM_PAGE_SIZES),
    ("wide-arithmetic", WasmFeatures::WIDE_ARITHMETIC),
    ("stack-switching", WasmFeatures::STACK_SWITCHING.union(WasmFeatures::FUNCTION_REFERENCES)),
    ("shared-everything-threads", WasmFeatures::SHARED_EVERYTHING_THREADS.union(WasmFeatures::THREADS)),
    ("memory-control", WasmFeatures::MEMORY_CONTROL),
    ("custom-descriptors", WasmFeatures::CUSTOM_DESCRIPTORS),
    ("compact-imports", WasmFeatures::COMPACT_IMPORTS),
    ("component-model-async", WasmFeatures::CM_ASYNC),
    (
        "component-model-async",
        WasmFeatures::CM_ASYNC.union(WasmFeatures::CM_ASYNC_STACKFUL).union(WasmFeatures::CM_MORE_ASYNC_BUILTINS),
    ),
    ("component-model-error-context", WasmFeatures::CM_ERROR_CONTEXT),
    ("component-model-threading", WasmFeatures::CM_THREADING),
    ("component-model-values", WasmFeatures::CM_VALUES),
    ("component-model-nested-names", WasmFeatures::CM_NESTED_NAMES),
    ("component-model-fixed-length-lists", WasmFeatures::CM_FIXED_LENGTH_LISTS),
    ("component-model-map", WasmFeatures::CM_MAP),
    ("component-model-gc", WasmFeatures::CM_GC),
    ("component-model-implements", WasmFeatures::CM_IMPLEMENTS),
    ("component-model-canonical-names", WasmFeatures::CM_CANON_NAMES),
];

/// Longest text that stands for the name of a feature, in bytes.
const FEATURE_TEXT_MAX: usize = 200;

/// Bytes that are validated in search of a feature's name, all tries together. The names of large components are not all tried.
const TRIED_BYTES: usize = 32 << 20;

/// Validates `bytes` and returns their types.
///
/// # Errors
/// [`EngineError::Unsupported`] if they would be valid with more features on, else [`EngineError::NotAComponent`].
pub(super) fn validate(bytes: &[u8], settings: &EngineSettings) -> Result<Types, EngineError> {
    let on = config::features(settings);
    let error = match Validator::new_with_features(on).validate_all(bytes) {
        Ok(types) => return Ok(types),
        Err(error) => error,
    };
    let valid_with = |features: WasmFeatures| Validator::new_with_features(features).validate_all(bytes).is_ok();
    // Asked first: for bytes that are merely broken, and may be many, no single feature need be tried.
    if !valid_with(WasmFeatures::all()) {
        return Err(damaged(&error));
    }
    let tries = (TRIED_BYTES / bytes.len().max(1)).max(1);
    if let Some((feature, _)) = KNOWN.iter().take(tries).find(|(_, flags)| valid_with(on | *flags)) {
        return Err(EngineError::Unsupported { feature: (*feature).to_owned() });
    }
    if tries < KNOWN.len() {
        let feature = domain::text::truncate(error.message(), FEATURE_TEXT_MAX);
        return Err(EngineError::Unsupported { feature: domain::text::escape_line(&feature).into_owned() });
    }
    Err(EngineError::Unsupported { feature: needed(on, valid_with) })
}

/// Returns the names of a smallest set of features that makes the component valid.
fn needed(on: WasmFeatures, valid_with: impl Fn(WasmFeatures) -> bool) -> String {
    let mut rest = WasmFeatures::all();
    let (mut names, mut kept) = (Vec::new(), on);
    for (name, flags) in KNOWN {
        // What an earlier name stands for is no reason to give a second one.
        let own = *flags - kept;
        if valid_with(rest - own) {
            rest -= own;
        } else {
            kept |= own;
            if !names.contains(name) {
                names.push(*name);
            }
        }
    }
    names.join(" and ")
}
