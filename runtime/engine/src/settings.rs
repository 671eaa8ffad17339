//! What an operator can choose about the engine, and the bounds that nobody can.

/// Deepest nesting of components and core modules inside one binary.
///
/// Checked before anything that recurses: a quarter of a megabyte can hold 20,000 levels, which would take gigabytes to
/// validate.
pub const NESTING_MAX: usize = 100;

/// Most functions in all core modules of a component: each costs the compiler time and memory, however empty it is. Large
/// interpreters have ten to twenty thousand.
pub const FUNCTIONS_MAX: usize = 100_000;

/// Size of a component from which on its compilation has threads of its own, in bytes: those of small ones do not queue behind it.
pub const OWN_THREADS_FROM: usize = 256 << 10;

/// Most items (imports, exports, functions) that an inspection lists.
pub const ITEMS_MAX: usize = 10_000;

/// Longest name of an import, of an export, or of a function or type in one, in bytes: the format allows 100,000.
pub const NAME_BYTES_MAX: usize = 1_000;

/// Longest text taken from a binary's metadata, in bytes.
pub const METADATA_TEXT_MAX: usize = 4 * 1024;

/// Most entries taken from a binary's metadata.
pub const METADATA_ENTRIES_MAX: usize = 64;

/// Longest state that `state.snapshot` may return, in bytes.
pub const SNAPSHOT_BYTES_MAX: usize = 64 << 20;

/// Most frames kept of a guest's stack.
pub const BACKTRACE_FRAMES_MAX: usize = 64;

/// Native stack that guest code may use unless an operator says otherwise, in bytes; one step further is a trap.
pub const WASM_STACK_BYTES: usize = 512 << 10;

/// Part of a fiber that is left to the frames of the host, in bytes. Each call runs on a fiber of its own.
pub const HOST_STACK_BYTES: usize = 3 << 19;

/// What an operator can choose about the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineSettings {
    /// Whether components may use 64-bit memories; off by default. Code compiled with and without is not exchanged.
    pub memory64: bool,
    /// Native stack that guest code may use, in bytes; [`WASM_STACK_BYTES`] by default.
    pub stack_bytes: usize,
    /// Whether calls between components make every value on the way, as a slower way to the same result; off by default.
    pub gates_by_value: bool,
}

impl Default for EngineSettings {
    fn default() -> Self {
        Self { memory64: false, stack_bytes: WASM_STACK_BYTES, gates_by_value: false }
    }
}
