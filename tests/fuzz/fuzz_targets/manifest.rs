//! Any text at all is read as a component manifest, and what was read can be written and read again.

#![no_main]

use domain::ComponentManifest;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = ComponentManifest::parse(text) {
        assert!(error.to_string().len() < 10_000, "a message of {} bytes", error.to_string().len());
    }
});
