//! The one place where a wasmtime `Config` is made: code compiled under one configuration is refused by any other.

use wasmparser::WasmFeatures;
use wasmtime::{Config, Enabled, OptLevel, PoolingAllocationConfig, WasmBacktraceDetails};

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

/// Component instances that exist at once in the places of [`pooled`].
pub(crate) const PLACES: u32 = 1024;

/// Bytes of a place's memory, and of a table, that are wiped rather than given back to the system: that is quicker, up to a size.
const KEPT_BYTES: usize = 64 << 10;

/// Most memories, and most tables, that one core module may have in them.
const PARTS_MAX: u32 = 16;

/// Places that stay warm for the component that had them last.
const WARM_PLACES: u32 = 32;

/// Makes a configuration whose code is the same, but whose instances are made in places that are there already: for those that serve
/// one call each. It takes much address space and next to no memory.
pub(crate) fn pooled(settings: &EngineSettings) -> Config {
    let mut places = PoolingAllocationConfig::new();
    places
        .total_component_instances(PLACES)
        .total_core_instances(PLACES * 8)
        .total_memories(PLACES * 2)
        .total_tables(PLACES * 8)
        .total_stacks(PLACES * 2)
        .table_elements(1 << 20)
        .max_memories_per_module(PARTS_MAX)
        .max_tables_per_module(PARTS_MAX)
        .linear_memory_keep_resident(KEPT_BYTES)
        .table_keep_resident(KEPT_BYTES)
        .pagemap_scan(Enabled::Auto)
        .max_unused_warm_slots(WARM_PLACES);
    let mut config = config(settings);
    config.allocation_strategy(places);
    config
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
        // Else every failure would parse the guest's debug information, in this process and without a bound: `lines` has what it says.
        .wasm_backtrace_details(WasmBacktraceDetails::Disable)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES_MAX));
    config
}
