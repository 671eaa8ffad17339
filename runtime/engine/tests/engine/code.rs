//! Compiled code and its cache.

use std::sync::Arc;

use engine::EngineSettings;

use crate::support::{Folder, World, call};

const ADDER: &str = include_str!("../fixtures/adder.wat");

fn files(folder: &Folder) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(folder.path.path()).unwrap().map(|entry| entry.unwrap().path()).collect()
}

#[tokio::test]
async fn code_is_compiled_once_and_then_loaded() {
    let world = World::new();
    world.unit("demo:adder", ADDER).await;
    assert_eq!(*world.heard.compiled.lock().unwrap(), ["demo:adder started", "demo:adder finished"]);
    let next = World::on(Arc::clone(&world.code), Vec::new(), EngineSettings::default());
    let unit = next.unit("demo:adder", ADDER).await;
    assert_eq!(call(&unit, "add(1, 2)").await.wave, "3");
    assert!(next.heard.compiled.lock().unwrap().is_empty());
    let other =
        World::on(Arc::clone(&world.code), Vec::new(), EngineSettings { memory64: true, ..EngineSettings::default() });
    other.unit("demo:adder", ADDER).await;
    assert_eq!(other.heard.compiled.lock().unwrap().len(), 2, "other settings need other code");
    assert_eq!(files(&world.code).len(), 2);
}

#[tokio::test]
async fn damaged_code_is_replaced() {
    let world = World::new();
    world.unit("demo:adder", ADDER).await;
    let file = files(&world.code).remove(0);
    for damage in [b"nonsense".as_slice(), b""] {
        std::fs::write(&file, damage).unwrap();
        let next = World::on(Arc::clone(&world.code), Vec::new(), EngineSettings::default());
        let unit = next.unit("demo:adder", ADDER).await;
        assert_eq!(call(&unit, "add(1, 2)").await.wave, "3");
        assert_eq!(next.heard.compiled.lock().unwrap().len(), 2);
    }
}

#[tokio::test]
async fn a_full_disk_only_costs_the_cache() {
    let folder = Folder { full: true, ..Folder::new() };
    let world = World::on(Arc::new(folder), Vec::new(), EngineSettings::default());
    let unit = world.unit("demo:adder", ADDER).await;
    assert_eq!(call(&unit, "add(1, 2)").await.wave, "3");
    assert!(files(&world.code).is_empty());
}

/// With multi-memory off, wasmtime panics on the adapter between the two inner components.
#[tokio::test]
async fn a_composed_component_passes_strings_inside() {
    let composed = r#"(component
      (component $a
        (core module $m
          (memory (export "mem") 1)
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
          (func (export "size") (param i32 i32) (result i32) (local.get 1)))
        (core instance $i (instantiate $m))
        (func (export "size") (param "text" string) (result u32)
          (canon lift (core func $i "size") (memory (core memory $i "mem")) (realloc (core func $i "realloc")))))
      (component $b
        (import "size" (func $size (param "text" string) (result u32)))
        (core module $libc
          (memory (export "mem") 1)
          (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2048)))
        (core instance $libc (instantiate $libc))
        (core func $size (canon lower (func $size) (memory (core memory $libc "mem"))))
        (core module $m
          (import "a" "size" (func $size (param i32 i32) (result i32)))
          (func (export "size") (param i32 i32) (result i32) (call $size (local.get 0) (local.get 1))))
        (core instance $i (instantiate $m (with "a" (instance (export "size" (func $size))))))
        (func (export "size") (param "text" string) (result u32)
          (canon lift (core func $i "size") (memory (core memory $libc "mem")) (realloc (core func $libc "realloc")))))
      (instance $a (instantiate $a))
      (instance $b (instantiate $b (with "size" (func $a "size"))))
      (export "size" (func $b "size")))"#;
    let world = World::new();
    let unit = world.unit("demo:composed", composed).await;
    assert_eq!(call(&unit, "size(\"four\")").await.wave, "4");
}
