//! Whole-product tests: nothing is here, everything is in the test binaries.
//!
//! `e2e` runs the binary `runtime` as people and scripts do; `architecture` compares the crates with the table in
//! ARCHITECTURE.md; `examples` calls the built example components; `scale` registers graphs of thousands of components and is run by name;
//! `torture` uses the binary, kills it and damages its data folders, again and again, and is run by name.
