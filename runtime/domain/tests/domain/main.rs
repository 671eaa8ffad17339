//! What the domain promises, checked from outside: one binary, one module for each topic.
#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test that cannot go on is a test that fails")]

mod activation;
mod beside;
mod fake;
mod filter;
mod graph_cases;
mod limits;
mod losing;
mod manifest;
mod properties;
mod reducing;
mod settings;
mod stopping;
mod worlds;

#[test]
fn no_file_of_this_folder_is_forgotten() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/domain");
    let source = std::fs::read_to_string(folder.join("main.rs")).unwrap();
    for file in std::fs::read_dir(folder).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let module = name.trim_end_matches(".rs");
        assert!(module == "main" || source.contains(&format!("mod {module};")), "{name} is not compiled");
    }
}
