//! The one place where a wasmtime `Config` is made: code compiled under one configuration is refused by any other.

use wasmparser::WasmFeatures;
use wasmtime::{Config, OptLevel, WasmBacktraceDetails};

use crate::settings::{BACKTRACE_FRAMES_MAX, EngineSettings, HOST_STACK_BYTES};

/// Returns the wasm features that are on.
///
/// WebAssembly 2.0 with SIMD, tail calls (compiled interpreters use them), extended constants and several memories, and the
/// synchronous component model. Multi-memory must stay on: the adapters between the parts of a composed component use it,
/// and wasmtime panics without.
pub(crate) fn features(settings: &EngineSettings) -> WasmFeatures {
    let mut features = WasmFeatures::WASM2
        | WasmFeatures::EXTENDED_CONST
        | WasmFeatures::MULTI_MEMORY
        | WasmFeatures::TAIL_CALL
        | WasmFeatures::COMPONENT_MODEL;
    features.remove(WasmFeatures::GC_TYPES);
    features.set(WasmFeatures::MEMORY64, settings.memory64);
    features
}

/// Makes the configuration.
pub fn config(settings: &EngineSettings) -> Config {
    let features = features(settings);
    let mut config = Config::new();
    config
        .wasm_features(!features, false)
        .wasm_features(features, true)
        // Three to four times faster calls; rules out the asynchronous component model, which is off anyway.
        .concurrency_support(false)
        .consume_fuel(true)
        .epoch_interruption(true)
        .memory_init_cow(true)
        .max_wasm_stack(settings.stack_bytes)
        // A guest's own, that of one more which it calls on the same stack, and the host's.
        .async_stack_size(settings.stack_bytes.saturating_mul(2).saturating_add(HOST_STACK_BYTES))
        .cranelift_opt_level(OptLevel::Speed)
        .parallel_compilation(true)
        // Only native profilers and debuggers read it; without, code loads 5 to 10 % faster.
        .native_unwind_info(false)
        // Never read the environment: it would make the same component trap with different texts.
        .wasm_backtrace_details(WasmBacktraceDetails::Enable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    config
}
