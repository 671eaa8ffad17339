//! Any bytes at all are registered, activated and taken out again, in one registry.

#![no_main]

use std::sync::OnceLock;

use embed::domain::ErrorKind;
use embed::{CompileIn, OpenOptions, RegisterRequest, Registry, Target};
use libfuzzer_sys::fuzz_target;
use tokio::runtime::Runtime;

fn registry() -> &'static (Runtime, Registry) {
    static REGISTRY: OnceLock<(Runtime, Registry)> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let folder = tempfile::tempdir().expect("a folder").keep();
        std::fs::write(folder.join("registry.toml"), "durability = \"none\"\n").expect("settings");
        let options = OpenOptions { compile: CompileIn::ThisProcess, ..OpenOptions::default() };
        let registry = tokio.block_on(embed::open(&folder, options)).expect("a registry");
        (tokio, registry)
    })
}

fuzz_target!(|bytes: &[u8]| {
    let (tokio, registry) = registry();
    tokio.block_on(async {
        let request = RegisterRequest {
            id: "fuzz:bytes".parse().ok(),
            override_version: true,
            ..RegisterRequest::bytes("fuzz.wasm", bytes)
        };
        let id = match registry.register(request).await {
            Ok(registered) => registered.entry.entry.id.clone(),
            Err(error) => return assert_ne!(error.kind(), ErrorKind::Internal, "{error}"),
        };
        let report = registry.activate(&[Target::from(&id)]).await;
        for (_, error) in report.failed {
            assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
        }
        assert!(registry.unregister(&[id], true).await.failed.is_empty());
    });
});
