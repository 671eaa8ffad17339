//! What can be known without running anything.

use domain::inspection::ExternKind;
use domain::ports::{Engine, EngineError};
use engine::EngineSettings;

use crate::support::World;

const ADDER: &str = include_str!("../fixtures/adder.wat");
const ECHO: &str = include_str!("../fixtures/echo.wat");
const ECHO_CALLER: &str = include_str!("../fixtures/echo-caller.wat");

fn refusal(bytes: &[u8]) -> String {
    World::new().engine.inspect(bytes).unwrap_err().to_string()
}

fn binary(wat: &str) -> Vec<u8> {
    World::new().engine.to_binary(wat.as_bytes()).unwrap().into_owned()
}

#[test]
fn lists_imports_exports_and_functions() {
    let found = World::new().engine.inspect(ECHO_CALLER.as_bytes()).unwrap();
    let listed = |items: &[domain::inspection::ExternItem]| {
        items.iter().map(|item| format!("{} {:?}", item.name, item.kind)).collect::<Vec<_>>()
    };
    assert_eq!(listed(&found.imports), ["demo:shop/till@0.1.0 Interface"]);
    assert_eq!(listed(&found.exports), ["sum Function", "relay Function"]);
    let functions: Vec<_> = found.functions.iter().map(|f| format!("{}: {}", f.qualified(), f.wit)).collect();
    insta::assert_snapshot!(functions.join("\n"), @r"
    sum: func(items: list<item>) -> u32
    relay: func(text: string) -> string
    ");
    assert_eq!(found.size, binary(ECHO_CALLER).len() as u64);
    assert_eq!(found.digest, domain::Digest::of(&binary(ECHO_CALLER)));
}

#[tokio::test]
async fn a_unit_lists_the_same_functions_as_the_inspection() {
    let world = World::new();
    for wat in [ADDER, ECHO] {
        let inspected = world.engine.inspect(wat.as_bytes()).unwrap().functions;
        assert_eq!(world.unit("demo:x", wat).await.functions(), inspected);
    }
}

#[test]
fn tells_interfaces_of_types_from_those_that_need_a_provider() {
    let wat = r#"(component
        (import "a:b/types" (instance (type $t u32) (export "t" (type (eq $t)))))
        (import "a:b/things" (instance (export "t" (type (sub resource)))))
        (import "f" (func))
        (type $u u8)
        (import "t" (type (eq $u))))"#;
    let kinds: Vec<_> = World::new().engine.inspect(wat.as_bytes()).unwrap().imports.iter().map(|i| i.kind).collect();
    assert_eq!(kinds, [ExternKind::TypesOnly, ExternKind::Interface, ExternKind::Function, ExternKind::TypesOnly]);
}

#[test]
fn writes_the_world_as_wit() {
    insta::assert_snapshot!(World::new().engine.wit(ECHO_CALLER.replace(", ", ",").as_bytes()).unwrap(), @r"
package root:component;

world root {
  import demo:shop/till@0.1.0;

  export sum: func(items: list<item>) -> u32;
  export relay: func(text: string) -> string;
}
package demo:shop@0.1.0 {
  interface till {
    record item {
      label: string,
      price: u32,
    }

    echo: func(text: string) -> string;

    total: func(items: list<item>) -> u32;
  }
}
");
}

#[test]
fn says_what_other_bytes_are() {
    let module = binary("(module (func (export \"f\")))");
    let whole = binary(ADDER);
    let mut flipped = whole.clone();
    flipped[20] ^= 0x80;
    let told = [
        refusal(b""),
        refusal(b"GIF89a"),
        refusal(&module),
        refusal(&whole[..6]),
        refusal(&whole[..whole.len() - 9]),
        refusal(&flipped),
        refusal(b"(component (import \"x\" (func))"),
        refusal(b"(component (export \"x\" (func 7)))"),
        refusal(&vec![0; (64 << 20) + 1]),
        refusal(b"\0asm\x0e\0\x01\0"),
    ];
    insta::assert_snapshot!(told.join("\n---\n"), @r#"
    the file is empty
    ---
    not WebAssembly: it does not start with the bytes `\0asm`
    ---
    this is a core module, not a component; make one with `wasm-tools component new`, or build for `wasm32-wasip2`
    ---
    truncated: a WebAssembly file has at least 8 bytes
    ---
    truncated or damaged: unexpected end-of-file (at byte 152)
    ---
    not a valid component: invalid leading byte (0x2) for type (at byte 22)
    ---
    not valid component text: expected `)`
         --> <anon>:1:31
          |
        1 | (component (import "x" (func))
          |                               ^
    ---
    not a valid component: unknown function 7: function index out of bounds (at byte 11)
    ---
    the file has 67108865 bytes, at most 67108864 (64MiB, `compile.size`) are allowed
    ---
    not a valid component: unknown binary version:    0x1000e (at byte 4)
    "#);
}

/// What a flipped bit leaves valid must compile, or be refused with a reason; nothing may panic.
#[tokio::test]
async fn survives_flipped_bits_and_missing_ends() {
    let world = World::new();
    let whole = binary(ECHO);
    let (mut refused, mut ready) = (0, 0);
    for i in 0..150 {
        let mut bytes = whole.clone();
        let at = 8 + i * 7919 % (bytes.len() - 8);
        bytes[at] ^= 1 << (i % 8);
        if i % 10 == 0 {
            bytes.truncate(at);
        }
        if let Err(error) = world.engine.inspect(&bytes) {
            assert!(!error.to_string().is_empty());
            refused += 1;
            continue;
        }
        match world.engine.prepare(world.spec_of("demo:mutant", bytes)).await {
            Ok(_) => ready += 1,
            Err(failure) => assert_ne!(failure.kind, domain::FailureKind::Host, "{}", failure.message),
        }
    }
    assert!(refused > 50 && ready > 5, "{refused} refused, {ready} ready");
}

#[test]
fn refuses_a_tower_of_components_before_anything_recurses() {
    // Each level is a component section around the one before.
    let mut tower = b"\0asm\x0d\0\x01\0".to_vec();
    for _ in 0..20_000 {
        let mut outer = b"\0asm\x0d\0\x01\0\x04".to_vec();
        let mut size = tower.len();
        while size >= 0x80 {
            outer.push((size as u8 & 0x7f) | 0x80);
            size >>= 7;
        }
        outer.push(size as u8);
        outer.append(&mut tower);
        tower = outer;
    }
    insta::assert_snapshot!(refusal(&tower), @"components and modules are nested more than 100 levels deep");
}

#[test]
fn refuses_what_can_never_be_linked() {
    let refusals = [
        r#"(component (import "c" (component)))"#,
        r#"(component (import "m" (core module)))"#,
        r#"(component (component $c) (export "c" (component $c)))"#,
        // What `wkg` and `wasm-tools` make of WIT text alone.
        r#"(component (type $p (component (type (component)) (export "a:b/c" (component (type 0))))) (export "c" (type $p)))"#,
    ];
    let told: Vec<_> = refusals.iter().map(|wat| refusal(wat.as_bytes())).collect();
    insta::assert_snapshot!(told.join("\n"), @r"
    it imports the component `c`: only interfaces and functions are linked here
    it imports the core module `m`: only interfaces and functions are linked here
    it exports the component `c`: only interfaces and functions are linked here
    it is a WIT package, which has types and no code: build a component that implements it
    ");
    let functions = format!("(component (core module {}))", "(func)".repeat(100_001));
    insta::assert_snapshot!(refusal(&binary(&functions)), @"it has 100001 functions, at most 100000 are allowed");
}

#[test]
fn names_the_feature_that_is_off() {
    let feature = |wat: &str| match World::new().engine.inspect(wat.as_bytes()) {
        Err(EngineError::Unsupported { feature }) => feature,
        other => panic!("{wat}: {other:?}"),
    };
    let core = |body: &str| feature(&format!("(component (core module {body}))"));
    assert_eq!(core("(memory i64 1)"), "memory64");
    assert_eq!(core("(memory 1 1 shared)"), "threads");
    assert_eq!(core("(type (struct (field i32)))"), "gc");
    assert_eq!(core("(func (param externref))"), "externref");
    assert_eq!(core("(tag)"), "exceptions");
    assert_eq!(core("(type $t (func)) (func (param (ref $t)))"), "function-references");
    assert_eq!(core("(func (result v128) (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0)))"), "relaxed-simd");
    assert_eq!(core("(memory i64 1) (func (param externref))"), "memory64 and externref");
    // Of a large component only the likely names are tried; else the validator's words stand for the name.
    let large = format!(r#"(memory 1) (data (i32.const 0) "{}")"#, "x".repeat(2 << 20));
    assert_eq!(core(&format!("{large} (memory i64 1)")), "memory64");
    let named = core(&format!("(func (result v128) (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 0 0 0 0))) {large}"));
    assert_eq!(named, "relaxed-simd");
    let unnamed = core(&format!("{large} (memory i64 1) (tag)"));
    assert!(unnamed.contains("memory64") && unnamed.len() <= 220, "{unnamed}");
    assert_eq!(feature(r#"(component (import "f" (func async)))"#), "component-model-async");
    assert_eq!(feature(r#"(component (import "f" (func (result (stream u8)))))"#), "component-model-async");
    assert_eq!(
        feature(r#"(component (import "f" (func (result (list u8 4)))))"#),
        "component-model-fixed-length-lists"
    );
    let world = World::with(Vec::new(), EngineSettings { memory64: true, ..EngineSettings::default() });
    world.engine.inspect(b"(component (core module (memory i64 1)))").unwrap();
}

#[test]
fn simd_tail_calls_and_several_memories_are_on() {
    let wat = "(component (core module (memory 1) (memory 1) (func $tail (return_call $tail))
        (func (result v128) (i32x4.add (v128.const i32x4 0 0 0 0) (v128.const i32x4 0 0 0 0)))))";
    World::new().engine.inspect(wat.as_bytes()).unwrap();
}

#[test]
fn reads_metadata_with_a_bound() {
    let long = "x".repeat(10_000);
    let wat = format!(
        r#"(component $named
            (core module (@producers (language "Rust" "1.95.0") (processed-by "rustc" "1.95.0")))
            (@custom "description" "Adds numbers.")
            (@custom "version" "1.2.3")
            (@custom "authors" "{long}")
            (@custom "licenses" "\ff\fe")
            (@producers (processed-by "wit-component" "0.254.0") (language "Rust" "1.95.0")))"#
    );
    let found = World::new().engine.inspect(wat.as_bytes()).unwrap();
    assert_eq!(found.name.as_deref(), Some("named"));
    assert_eq!(found.version, Some("1.2.3".parse().unwrap()));
    assert_eq!(found.description.as_deref(), Some("Adds numbers."));
    assert_eq!(found.metadata["language"], "Rust 1.95.0");
    assert_eq!(found.metadata["processed-by"], "rustc 1.95.0, wit-component 0.254.0");
    assert!(found.metadata["authors"].len() < 5_000);
    assert!(!found.metadata.contains_key("licenses"), "what is not text is left out");
}

#[test]
fn names_of_a_thousand_bytes_are_taken_and_longer_ones_refused() {
    let named = |length: usize| format!(r#"(component (import "{}" (func)))"#, "n".repeat(length));
    let inside =
        |length: usize| format!(r#"(component (import "a:b/c" (instance (export "{}" (func)))))"#, "n".repeat(length));
    for made in [&named as &dyn Fn(usize) -> String, &inside] {
        World::new().engine.inspect(made(1_000).as_bytes()).unwrap();
        let refused = refusal(made(1_001).as_bytes());
        assert!(refused.contains("has 1001 bytes, at most 1000 are allowed"), "{refused}");
    }
}

#[test]
fn many_instances_of_a_large_module_are_refused_also_inside_each_other() {
    let globals = "(global i32 (i32.const 0))".repeat(40_000);
    let made = |outer: usize, inner: usize| {
        let (inner, outer) =
            ("(core instance (instantiate $m))".repeat(inner), "(instance (instantiate $c))".repeat(outer));
        format!("(component (component $c (core module $m {globals}) {inner}) {outer})")
    };
    // 640,000 bytes each: 209 of them fit.
    World::new().engine.inspect(made(1, 209).as_bytes()).unwrap();
    World::new().engine.inspect(made(19, 11).as_bytes()).unwrap();
    for (outer, inner) in [(1, 210), (21, 10)] {
        let refused = refusal(made(outer, inner).as_bytes());
        assert!(refused.contains("its instances may take 134400000 bytes"), "{refused}");
    }
}
