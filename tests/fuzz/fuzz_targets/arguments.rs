//! Any text at all is a call, in WAVE, of a component that takes many types.

#![no_main]

use std::sync::OnceLock;

use embed::domain::call::{CallExpression, CallRequest};
use embed::domain::{ComponentId, ErrorKind};
use embed::{CompileIn, OpenOptions, RegisterRequest, Registry, Target};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

const TAKES_MUCH: &str = include_str!("takes-much.wat");

fn registry() -> &'static (Runtime, Registry, ComponentId) {
    static REGISTRY: OnceLock<(Runtime, Registry, ComponentId)> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder").keep();
        std::fs::write(folder.join("registry.toml"), "durability = \"none\"\n").expect("settings");
        let options = OpenOptions { compile: CompileIn::ThisProcess, ..OpenOptions::default() };
        let registry = tokio.block_on(embed::open(&folder, options)).expect("a registry");
        let id = tokio.block_on(async {
            let request = RegisterRequest::bytes("takes-much.wat", TAKES_MUCH.as_bytes());
            let id = registry.register(request).await.expect("it registers").entry.entry.id.clone();
            assert!(registry.activate(&[Target::from(&id)]).await.failed.is_empty());
            id
        });
        (tokio, registry, id)
    })
}

fuzz_target!(|text: &str| {
    let (tokio, registry, id) = registry();
    let request = CallRequest { expression: CallExpression::Wave(text.to_owned()), ..CallRequest::default() };
    if let Err(error) = tokio.block_on(registry.call(id, request)) {
        assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
    }
});
