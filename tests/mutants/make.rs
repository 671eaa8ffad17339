//! Makes one component from a seed: generated, or one of ours, and then damaged or not.

use std::path::Path;
use std::sync::OnceLock;

use arbitrary::Unstructured;
use wasm_mutate::WasmMutate;
use wasm_smith::Config;

use crate::binary::{SECTION_MODULE, section, sections};
use crate::numbers::Numbers;

/// Random bytes that one component is generated from.
const ENTROPY: usize = 4 << 10;
/// Most bits that are flipped in one component.
const FLIPS_MAX: u64 = 4;
/// Work that one mutation of a core module may take.
const MUTATION_FUEL: u64 = 300;

/// What a generated core module exports and a component around it lifts.
const SHAPE: &str = r#"(module
  (func (export "run"))
  (func (export "step") (param i32) (result i32) (i32.const 0))
  (func (export "mix") (param i64 f64 f32) (result i64) (i64.const 0))
  (func (export "text") (param i32 i32) (result i32) (i32.const 0))
  (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
  (memory (export "memory") 1))"#;

/// The component around such a module; its own module is put in place of this one.
const AROUND: &str = r#"(component
  (core module $m
    (func (export "run"))
    (func (export "step") (param i32) (result i32) (i32.const 0))
    (func (export "mix") (param i64 f64 f32) (result i64) (i64.const 0))
    (func (export "text") (param i32 i32) (result i32) (i32.const 0))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
    (memory (export "memory") 1))
  (core instance $i (instantiate $m))
  (alias core export $i "memory" (core memory $memory))
  (alias core export $i "realloc" (core func $realloc))
  (func (export "run") (canon lift (core func $i "run")))
  (func (export "step") (param "n" u32) (result char) (canon lift (core func $i "step")))
  (func (export "mix") (param "a" s64) (param "b" f64) (param "c" f32) (result u64) (canon lift (core func $i "mix")))
  (func (export "text") (param "in" string) (result (result string (error (list string))))
    (canon lift (core func $i "text") (memory $memory) (realloc $realloc))))"#;

/// Returns the bytes that follow from `seed`: a component, or what is left of one.
pub(crate) fn component(seed: u64) -> Vec<u8> {
    let mut numbers = Numbers::new(seed);
    let whole = match numbers.below(10) {
        0..2 => generated_component(&mut numbers),
        2..6 => around(&generated_module(&mut numbers)),
        6..8 => mutated_module(&mut numbers),
        _ => numbers.pick(ours()).unwrap().clone(),
    };
    damaged(whole, &mut numbers)
}

/// Flips bits, cuts, repeats or moves a piece, or leaves all as it is.
fn damaged(mut bytes: Vec<u8>, numbers: &mut Numbers) -> Vec<u8> {
    match numbers.below(8) {
        0..3 => {}
        3..6 => {
            for _ in 0..=numbers.below(FLIPS_MAX) {
                // The first eight bytes say what it is: without them nothing else is read.
                let at = 8 + numbers.index(bytes.len().saturating_sub(8).max(1));
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
        }
        6 => bytes.truncate(numbers.index(bytes.len().max(1))),
        _ => {
            let (from, to) = (numbers.index(bytes.len()), numbers.index(bytes.len()));
            let piece = bytes[from..bytes.len().min(from + 1 + numbers.index(64))].to_vec();
            bytes.splice(to..to, piece);
        }
    }
    bytes
}

fn entropy(numbers: &mut Numbers) -> Vec<u8> {
    std::iter::repeat_with(|| numbers.next().to_le_bytes()).flatten().take(ENTROPY).collect()
}

/// Small, and mostly of the features that are on.
fn config(numbers: &mut Numbers) -> Config {
    let odd = numbers.percent(10);
    Config {
        threads_enabled: odd,
        memory64_enabled: odd,
        gc_enabled: odd,
        exceptions_enabled: odd,
        relaxed_simd_enabled: odd,
        // With it come external references, which are off.
        reference_types_enabled: odd,
        generate_custom_sections: true,
        max_memories: 2,
        max_tables: 1,
        max_memory32_bytes: 8 << 20,
        max_table_elements: 2_000,
        max_funcs: 20,
        max_instructions: 60,
        max_types: 20,
        max_imports: 4,
        ..Config::default()
    }
}

fn generated_component(numbers: &mut Numbers) -> Vec<u8> {
    let (config, entropy) = (config(numbers), entropy(numbers));
    let made = wasm_smith::Component::new(config, &mut Unstructured::new(&entropy));
    made.map_or_else(|_| ours()[0].clone(), |component| component.to_bytes())
}

fn generated_module(numbers: &mut Numbers) -> Vec<u8> {
    let shape = wat::parse_str(SHAPE).unwrap();
    let config = Config { exports: Some(shape.clone()), max_imports: 0, ..config(numbers) };
    let entropy = entropy(numbers);
    let made = wasm_smith::Module::new(config, &mut Unstructured::new(&entropy));
    made.map_or(shape, |module| module.to_bytes())
}

/// A module that wasm-mutate has changed a few times.
fn mutated_module(numbers: &mut Numbers) -> Vec<u8> {
    let mut module = generated_module(numbers);
    for _ in 0..=numbers.below(3) {
        let mut mutate = WasmMutate::default();
        mutate.seed(numbers.next()).fuel(MUTATION_FUEL).preserve_semantics(false);
        let changed = mutate.run(&module).ok().and_then(|mut changed| changed.next()).and_then(Result::ok);
        let Some(changed) = changed else { break };
        module = changed;
    }
    around(&module)
}

/// Puts a core module into a component.
fn around(module: &[u8]) -> Vec<u8> {
    let frame = wat::parse_str(AROUND).unwrap();
    let mut made = frame[..8].to_vec();
    for (id, content) in sections(&frame[8..]) {
        section(&mut made, id, if id == SECTION_MODULE { module } else { content });
    }
    made
}

/// Small components of the other tests.
fn ours() -> &'static Vec<Vec<u8>> {
    static OURS: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    OURS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures");
        let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let texts = files.iter().map(|file| std::fs::read_to_string(file).unwrap());
        texts.filter_map(|text| wat::parse_str(text).ok()).collect()
    })
}
