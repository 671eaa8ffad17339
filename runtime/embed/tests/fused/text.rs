//! Components as text: one that answers what it is given, and one that passes it on to another.

use proptest::prelude::*;
use serde_json::{Value, json};

/// A type, and how it lies in memory.
pub(crate) struct Type {
    /// As WIT has it.
    pub(crate) wit: &'static str,
    /// As component text has it.
    text: &'static str,
    /// What stores each of its flat parts, and where; one alone is passed as it is.
    parts: &'static [(&'static str, u32)],
    /// Makes values of it.
    pub(crate) values: fn() -> BoxedStrategy<Value>,
    /// Whether the one that answers traps instead, for some values.
    pub(crate) traps: bool,
}

/// The types that are passed.
pub(crate) const TYPES: &[Type] = &[
    Type { wit: "u32", text: "u32", parts: &[("i32.store", 0)], values: numbers, traps: false },
    Type { wit: "s64", text: "s64", parts: &[("i64.store", 0)], values: small_numbers, traps: false },
    Type { wit: "f64", text: "f64", parts: &[("f64.store", 0)], values: fractions, traps: false },
    Type { wit: "bool", text: "bool", parts: &[("i32.store8", 0)], values: truths, traps: false },
    Type { wit: "char", text: "char", parts: &[("i32.store", 0)], values: letters, traps: false },
    Type { wit: "string", text: "string", parts: &[("i32.store", 0), ("i32.store", 4)], values: texts, traps: false },
    Type {
        wit: "list<u32>",
        text: "(list u32)",
        parts: &[("i32.store", 0), ("i32.store", 4)],
        values: || prop::collection::vec(numbers(), 0..9).prop_map(Value::Array).boxed(),
        traps: false,
    },
    Type {
        wit: "list<tuple<string, bool>>",
        text: "(list (tuple string bool))",
        parts: &[("i32.store", 0), ("i32.store", 4)],
        values: || {
            let pair = (texts(), truths()).prop_map(|(text, truth)| json!([text, truth]));
            prop::collection::vec(pair, 0..5).prop_map(Value::Array).boxed()
        },
        traps: false,
    },
    Type {
        wit: "tuple<u8, s64, string>",
        text: "(tuple u8 s64 string)",
        parts: &[("i32.store8", 0), ("i64.store", 8), ("i32.store", 16), ("i32.store", 20)],
        values: || {
            let parts = (any::<u8>(), small_numbers(), texts());
            parts.prop_map(|(byte, number, text)| json!([byte, number, text])).boxed()
        },
        traps: false,
    },
    Type {
        wit: "option<u64>",
        text: "(option u64)",
        parts: &[("i32.store8", 0), ("i64.store", 8)],
        values: || prop_oneof![Just(Value::Null), numbers()].boxed(),
        traps: false,
    },
    Type {
        wit: "result<u32, string>",
        text: "(result u32 (error string))",
        parts: &[("i32.store8", 0), ("i32.store", 4), ("i32.store", 8)],
        values: || {
            prop_oneof![numbers().prop_map(|n| json!({ "ok": n })), texts().prop_map(|t| json!({ "err": t }))].boxed()
        },
        traps: false,
    },
    Type {
        wit: "u32, which is divided by",
        text: "u32",
        parts: &[("i32.store", 0)],
        values: || (0..3u32).prop_map(|number| json!(number)).boxed(),
        traps: true,
    },
];

fn numbers() -> BoxedStrategy<Value> {
    any::<u32>().prop_map(|number| json!(number)).boxed()
}

fn small_numbers() -> BoxedStrategy<Value> {
    any::<i32>().prop_map(|number| json!(number)).boxed()
}

fn fractions() -> BoxedStrategy<Value> {
    any::<i32>().prop_map(|number| json!(f64::from(number) + 0.25)).boxed()
}

fn truths() -> BoxedStrategy<Value> {
    any::<bool>().prop_map(|truth| json!(truth)).boxed()
}

fn letters() -> BoxedStrategy<Value> {
    any::<char>().prop_map(|letter| json!(letter.to_string())).boxed()
}

fn texts() -> BoxedStrategy<Value> {
    any::<String>().prop_map(|text| json!(text)).boxed()
}

impl Type {
    /// Returns the core types of its flat parts.
    fn flat(&self) -> String {
        self.parts.iter().map(|(store, _)| format!("{} ", store.split('.').next().unwrap())).collect()
    }

    fn is_one(&self) -> bool {
        self.parts.len() == 1
    }

    /// Returns the core result: the value itself, or where it lies.
    fn answer(&self) -> String {
        if self.is_one() { self.flat() } else { "i32".to_owned() }
    }

    /// Returns the parts as the arguments of a core function.
    fn locals(&self) -> String {
        (0..self.parts.len()).map(|n| format!("(local.get {n}) ")).collect()
    }
}

/// Memory for what is passed: it begins anew with each instance, and is more than a test needs.
const LIBC: &str = r#"
  (core module $libc
    (memory (export "mem") 64)
    (global $next (mut i32) (i32.const 1024))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $len i32) (result i32)
      (local $at i32)
      (local.set $at (i32.and (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                              (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $len)))
      (if (i32.gt_u (global.get $next) (i32.const 3000000)) (then (global.set $next (i32.const 1024))))
      (local.get $at)))
  (core instance $libc (instantiate $libc))"#;

const WITH_MEMORY: &str = r#"(memory (core memory $libc "mem")) (realloc (core func $libc "realloc"))"#;

/// Lifts all functions of the core instance `$i` and exports them as `interface`.
fn lifted(interface: &str, type_of: impl Fn(usize) -> usize) -> String {
    let mut text = String::new();
    let mut exports = String::new();
    for place in 0..TYPES.len() {
        let kind = TYPES[type_of(place)].text;
        text += &format!(
            "(func $l{place} (param \"x\" {kind}) (result {kind}) (canon lift (core func $i \"f{place}\") {WITH_MEMORY}))\n"
        );
        exports += &format!("(export \"f{place}\" (func $l{place}))\n");
    }
    format!("{text}(instance $api {exports})\n(export \"{interface}\" (instance $api))")
}

/// Returns a component whose functions `f0`, `f1` … answer what they are given.
pub(crate) fn echo(interface: &str) -> String {
    let mut functions = String::new();
    for (place, kind) in TYPES.iter().enumerate() {
        let params = kind.flat();
        let body = if kind.traps {
            // Two by one is one by two, and by nothing it traps.
            "(i32.add (local.get 0) (i32.mul (i32.const 0) (i32.div_u (i32.const 2) (local.get 0))))".to_owned()
        } else if kind.is_one() {
            "(local.get 0)".to_owned()
        } else {
            let stores = kind.parts.iter().enumerate();
            let stores: String = stores
                .map(|(n, (store, at))| format!("({store} offset={at} (i32.const 16) (local.get {n}))\n"))
                .collect();
            format!("{stores} (i32.const 16)")
        };
        functions += &format!("(func (export \"f{place}\") (param {params}) (result {}) {body})\n", kind.answer());
    }
    format!(
        "(component {LIBC}
           (core module $m (import \"libc\" \"mem\" (memory 1)) {functions})
           (core instance $i (instantiate $m (with \"libc\" (instance $libc))))
           {})",
        lifted(interface, |place| place)
    )
}

/// Returns a component that passes each call of `interface` on to `import`, which has the same functions.
pub(crate) fn relay(interface: &str, import: &str) -> String {
    relay_of(interface, import, |place| place)
}

/// As [`relay`]; `type_of` says which type a function has.
pub(crate) fn relay_of(interface: &str, import: &str, type_of: impl Fn(usize) -> usize + Copy) -> String {
    let (mut wanted, mut lowered, mut given, mut taken, mut functions) =
        (String::new(), String::new(), String::new(), String::new(), String::new());
    for place in 0..TYPES.len() {
        let kind = &TYPES[type_of(place)];
        wanted += &format!("(export \"f{place}\" (func (param \"x\" {0}) (result {0})))\n", kind.text);
        lowered += &format!("(core func $c{place} (canon lower (func $to \"f{place}\") {WITH_MEMORY}))\n");
        given += &format!("(export \"f{place}\" (func $c{place}))\n");
        let (params, locals) = (kind.flat(), kind.locals());
        if kind.is_one() {
            taken += &format!("(import \"to\" \"f{place}\" (func $c{place} (param {params}) (result {params})))\n");
            functions +=
                &format!("(func (export \"f{place}\") (param {params}) (result {params}) (call $c{place} {locals}))\n");
        } else {
            taken += &format!("(import \"to\" \"f{place}\" (func $c{place} (param {params} i32)))\n");
            functions += &format!(
                "(func (export \"f{place}\") (param {params}) (result i32)
                   (call $c{place} {locals} (i32.const 16)) (i32.const 16))\n"
            );
        }
    }
    format!(
        "(component
           (import \"{import}\" (instance $to {wanted}))
           {LIBC}
           {lowered}
           (core module $m {taken} {functions})
           (core instance $i (instantiate $m (with \"to\" (instance {given}))))
           {})",
        lifted(interface, type_of)
    )
}

/// Returns a component with `interface`, whose function `get` answers `number`.
pub(crate) fn answering(interface: &str, number: u32) -> String {
    format!(
        "(component
           (core module $m (func (export \"get\") (result i32) (i32.const {number})))
           (core instance $i (instantiate $m))
           (func $get (result u32) (canon lift (core func $i \"get\")))
           (instance $api (export \"get\" (func $get)))
           (export \"{interface}\" (instance $api)))"
    )
}

/// Returns a component with `interface`, whose function `get` answers what that of `import` does.
pub(crate) fn asking(interface: &str, import: &str) -> String {
    format!(
        "(component
           (import \"{import}\" (instance $to (export \"get\" (func (result u32)))))
           (core func $c (canon lower (func $to \"get\")))
           (core module $m
             (import \"to\" \"get\" (func $c (result i32)))
             (func (export \"get\") (result i32) (call $c)))
           (core instance $i (instantiate $m (with \"to\" (instance (export \"get\" (func $c))))))
           (func $get (result u32) (canon lift (core func $i \"get\")))
           (instance $api (export \"get\" (func $get)))
           (export \"{interface}\" (instance $api)))"
    )
}
