//! Runs the examples: each checks what it shows, and ends in an error if it is not so.
#![expect(clippy::duplicate_mod, reason = "each example is a program of its own with the support module in it")]

#[path = "../examples/access_tracking.rs"]
mod access_tracking;
#[path = "../examples/advanced_dependencies.rs"]
mod advanced_dependencies;
#[path = "../examples/dependencies.rs"]
mod dependencies;
#[path = "../examples/error_handling.rs"]
mod error_handling;
#[path = "../examples/filtering.rs"]
mod filtering;
#[path = "../examples/lifecycle.rs"]
mod lifecycle;
#[path = "../examples/performance.rs"]
mod performance;
#[path = "../examples/registration.rs"]
mod registration;

#[test]
fn access_tracking_shows_what_it_says() {
    access_tracking::main().unwrap();
}

#[test]
fn advanced_dependencies_shows_what_it_says() {
    advanced_dependencies::main().unwrap();
}

#[test]
fn dependencies_shows_what_it_says() {
    dependencies::main().unwrap();
}

#[test]
fn error_handling_shows_what_it_says() {
    error_handling::main().unwrap();
}

#[test]
fn filtering_shows_what_it_says() {
    filtering::main().unwrap();
}

#[test]
fn lifecycle_shows_what_it_says() {
    lifecycle::main().unwrap();
}

#[test]
fn performance_shows_what_it_says() {
    performance::main().unwrap();
}

#[test]
fn registration_shows_what_it_says() {
    registration::main().unwrap();
}

/// An example that is added without a test here would never be run.
#[test]
fn no_example_is_forgotten() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/examples");
    let this = include_str!("examples.rs");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "rs") {
            let name = path.file_stem().unwrap().to_str().unwrap();
            assert!(this.contains(&format!("{name}::main()")), "{name} has no test");
        }
    }
}
