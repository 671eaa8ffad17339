//! Any bytes at all are the journal of a data folder: it opens, mended or not, or it is refused.

#![no_main]

use std::sync::OnceLock;
use std::time::Duration;

use domain::ErrorKind;
use embed::{OpenOptions, RegisterRequest};
use libfuzzer_sys::fuzz_target;

/// The first segment of a journal.
const SEGMENT: &str = "00000000000000000001.jsonl";

/// The journal of a small registry, so that not every input has to find out how one begins.
fn whole() -> &'static Vec<u8> {
    static WHOLE: OnceLock<Vec<u8>> = OnceLock::new();
    WHOLE.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        tokio.block_on(async {
            let registry = embed::open(folder.path(), OpenOptions::default()).await.expect("a registry");
            registry.register(RegisterRequest::bytes("a.wat", b"(component)".as_slice())).await.expect("it registers");
            registry.close().await.expect("it closes");
        });
        std::fs::read(folder.path().join("journal").join(SEGMENT)).expect("its journal")
    })
}

fuzz_target!(|bytes: &[u8]| {
    // The first byte says after how much of a whole journal the others stand.
    let (keep, bytes) = bytes.split_first().map_or((0, bytes), |(keep, rest)| (usize::from(*keep), rest));
    let whole = whole();
    let mut journal = whole[..whole.len() * keep / 255].to_vec();
    journal.extend_from_slice(bytes);
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("journal")).expect("a folder");
    std::fs::write(folder.path().join("journal").join(SEGMENT), journal).expect("the journal is written");
    let _ = embed::verify(folder.path(), Duration::ZERO, &storage::Stop::default());
    let tokio = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    tokio.block_on(async {
        if let Ok(registry) = embed::open(folder.path(), OpenOptions::default()).await {
            for entry in registry.list(&Default::default()).await.expect("a list") {
                assert!(!entry.entry.id.as_str().is_empty());
            }
            if let Err(error) = registry.close().await {
                assert_ne!(error.kind(), ErrorKind::Internal, "{error}");
            }
        }
    });
});
