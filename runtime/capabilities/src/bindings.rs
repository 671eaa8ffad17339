//! Generated from `wit/`: host traits for the interfaces that no crate of wasmtime provides.

/// `wasi:logging` under its name without a version.
pub(crate) mod logging {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/wasi-logging",
        world: "imports",
    });
}

/// `wasi:logging@0.1.0-draft`.
pub(crate) mod logging_draft {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/wasi-logging-draft",
        world: "imports",
    });
}

/// `wasi:config@0.2.0-rc.1`.
pub(crate) mod config {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/wasi-config",
        world: "imports",
    });
}

/// `registry:host@0.1.0`.
pub(crate) mod host {
    wasmtime::component::bindgen!({
        path: "../../wit/host",
        world: "imports",
    });
}
