//! Random WIT types, values of them, and components whose functions hand such values on.

#![expect(clippy::indexing_slicing, reason = "lists are as long as the type that they were made for")]

use std::fmt::Write as _;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

/// Numbers that depend on nothing but a seed.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }
}

/// A WIT type.
#[derive(Debug)]
pub(crate) enum Ty {
    /// By its name; integers, floats, `bool`, `char` and `string`.
    Plain(&'static str),
    List(Box<Self>),
    Option(Box<Self>),
    Result(Option<Box<Self>>, Option<Box<Self>>),
    Tuple(Vec<Self>),
    Record(Vec<Self>),
    Variant(Vec<Option<Self>>),
    Enum(usize),
    Flags(usize),
}

const PLAIN: [&str; 13] =
    ["bool", "u8", "s8", "u16", "s16", "u32", "s32", "u64", "s64", "f32", "f64", "char", "string"];

impl Ty {
    pub(crate) fn random(random: &mut Random, depth: usize) -> Self {
        if depth == 0 || random.below(4) == 0 {
            return Self::Plain(PLAIN[random.below(PLAIN.len())]);
        }
        let inner = |random: &mut Random| Self::random(random, depth - 1);
        let maybe = |random: &mut Random| (random.below(3) > 0).then(|| Self::random(random, depth - 1));
        match random.below(8) {
            0 => Self::List(Box::new(inner(random))),
            1 => Self::Option(Box::new(inner(random))),
            2 => Self::Result(maybe(random).map(Box::new), maybe(random).map(Box::new)),
            3 => Self::Tuple((0..1 + random.below(4)).map(|_| inner(random)).collect()),
            4 => Self::Record((0..1 + random.below(6)).map(|_| inner(random)).collect()),
            5 => Self::Variant((0..1 + random.below(4)).map(|_| maybe(random)).collect()),
            6 => Self::Enum(1 + random.below(300)),
            _ => Self::Flags(1 + random.below(32)),
        }
    }

    /// Writes the type as WIT; definitions that it needs go to `defined`.
    fn wit(&self, defined: &mut Vec<String>) -> String {
        let mut of = |ty: &Self| ty.wit(defined);
        let definition = match self {
            Self::Plain(name) => return (*name).to_owned(),
            Self::List(ty) => return format!("list<{}>", of(ty)),
            Self::Option(ty) => return format!("option<{}>", of(ty)),
            Self::Result(None, None) => return "result".to_owned(),
            Self::Result(Some(ok), None) => return format!("result<{}>", of(ok)),
            Self::Result(ok, Some(error)) => {
                let ok = ok.as_ref().map_or("_".to_owned(), |ok| of(ok));
                return format!("result<{ok}, {}>", of(error));
            }
            Self::Tuple(types) => return format!("tuple<{}>", types.iter().map(of).collect::<Vec<_>>().join(", ")),
            Self::Record(types) => {
                let fields = types.iter().enumerate().map(|(i, ty)| format!("f{i}: {}", of(ty))).collect::<Vec<_>>();
                format!("record NAME {{ {} }}", fields.join(", "))
            }
            Self::Variant(types) => {
                let case = |(i, ty): (usize, &Option<Self>)| match ty {
                    Some(ty) => format!("c{i}({})", of(ty)),
                    None => format!("c{i}"),
                };
                format!("variant NAME {{ {} }}", types.iter().enumerate().map(case).collect::<Vec<_>>().join(", "))
            }
            Self::Enum(count) => format!("enum NAME {{ {} }}", names(*count)),
            Self::Flags(count) => format!("flags NAME {{ {} }}", names(*count)),
        };
        let name = format!("t{}", defined.len());
        defined.push(definition.replace("NAME", &name));
        name
    }

    /// Writes a random value in WAVE.
    pub(crate) fn value(&self, random: &mut Random) -> String {
        match self {
            Self::Plain(name) => plain_value(name, random),
            Self::List(ty) => {
                let values = (0..random.below(5)).map(|_| ty.value(random)).collect::<Vec<_>>();
                format!("[{}]", values.join(", "))
            }
            Self::Option(ty) if random.below(2) == 0 => format!("some({})", ty.value(random)),
            Self::Option(_) => "none".to_owned(),
            Self::Result(ok, error) => {
                let (case, ty) = if random.below(2) == 0 { ("ok", ok) } else { ("err", error) };
                ty.as_ref().map_or(case.to_owned(), |ty| format!("{case}({})", ty.value(random)))
            }
            Self::Tuple(types) => {
                format!("({})", types.iter().map(|ty| ty.value(random)).collect::<Vec<_>>().join(", "))
            }
            Self::Record(types) => {
                let fields = types.iter().enumerate().map(|(i, ty)| format!("f{i}: {}", ty.value(random)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
            Self::Variant(types) => {
                let case = random.below(types.len());
                types[case].as_ref().map_or(format!("c{case}"), |ty| format!("c{case}({})", ty.value(random)))
            }
            Self::Enum(count) => format!("n{}", random.below(*count)),
            Self::Flags(count) => {
                let set = (0..*count).filter(|_| random.below(2) == 0).map(|i| format!("n{i}"));
                format!("{{{}}}", set.collect::<Vec<_>>().join(", "))
            }
        }
    }

    /// Returns the core types that a value is passed in.
    pub(crate) fn flat(&self) -> Vec<&'static str> {
        match self {
            Self::Plain(name) => match *name {
                "u64" | "s64" => vec!["i64"],
                "f32" | "f64" => vec![name],
                "string" => vec!["i32", "i32"],
                _ => vec!["i32"],
            },
            Self::List(_) => vec!["i32", "i32"],
            Self::Tuple(types) | Self::Record(types) => types.iter().flat_map(Self::flat).collect(),
            Self::Enum(_) | Self::Flags(_) => vec!["i32"],
            _ => {
                let mut joined = vec!["i32"];
                for ty in self.payloads().into_iter().flatten() {
                    for (i, have) in ty.flat().into_iter().enumerate() {
                        match joined.get_mut(i + 1) {
                            None => joined.push(have),
                            Some(known) if *known == have => {}
                            Some(known) if matches!((*known, have), ("i32" | "f32", "i32" | "f32")) => *known = "i32",
                            Some(known) => *known = "i64",
                        }
                    }
                }
                joined
            }
        }
    }

    fn payloads(&self) -> Vec<Option<&Self>> {
        match self {
            Self::Option(ty) => vec![None, Some(ty)],
            Self::Result(ok, error) => vec![ok.as_deref(), error.as_deref()],
            Self::Variant(types) => types.iter().map(Option::as_ref).collect(),
            _ => Vec::new(),
        }
    }

    /// Returns size and alignment in memory.
    fn layout(&self) -> (usize, usize) {
        match self {
            Self::Plain(name) => match *name {
                "bool" | "u8" | "s8" => (1, 1),
                "u16" | "s16" => (2, 2),
                "u64" | "s64" | "f64" => (8, 8),
                "string" => (8, 4),
                _ => (4, 4),
            },
            Self::List(_) => (8, 4),
            Self::Tuple(types) | Self::Record(types) => {
                let (mut end, mut align) = (0_usize, 1);
                for (size, own) in types.iter().map(Self::layout) {
                    end = end.next_multiple_of(own) + size;
                    align = align.max(own);
                }
                (end.next_multiple_of(align), align)
            }
            Self::Enum(count) if *count > 256 => (2, 2),
            Self::Enum(_) => (1, 1),
            Self::Flags(count) => match count {
                0..=8 => (1, 1),
                9..=16 => (2, 2),
                _ => (4, 4),
            },
            _ => {
                let layouts: Vec<_> = self.payloads().into_iter().flatten().map(Self::layout).collect();
                let align = layouts.iter().map(|(_, align)| *align).max().unwrap_or(1);
                let size = layouts.iter().map(|(size, _)| *size).max().unwrap_or(0);
                ((1_usize.next_multiple_of(align) + size).next_multiple_of(align), align)
            }
        }
    }

    /// Writes code that stores a flat value, which begins at the local `first` with the core types `have`, at `at`.
    fn store(&self, at: usize, first: usize, have: &[&str], code: &mut String) {
        match self {
            Self::Tuple(types) | Self::Record(types) => {
                let (mut offset, mut slot) = (0_usize, 0);
                for ty in types {
                    let (size, align) = ty.layout();
                    offset = offset.next_multiple_of(align);
                    ty.store(at + offset, first + slot, &have[slot..], code);
                    offset += size;
                    slot += ty.flat().len();
                }
            }
            Self::List(_) | Self::Plain("string") => {
                for (slot, have) in have.iter().take(2).enumerate() {
                    store_one("i32", 4, at + 4 * slot, first + slot, have, code);
                }
            }
            Self::Plain(_) | Self::Enum(_) | Self::Flags(_) => {
                store_one(self.flat()[0], self.layout().0, at, first, have[0], code);
            }
            _ => {
                store_one("i32", 1, at, first, have[0], code);
                let payload = at + 1_usize.next_multiple_of(self.layout().1);
                for (case, ty) in self.payloads().into_iter().enumerate() {
                    let Some(ty) = ty else { continue };
                    let _ = write!(code, "(if (i32.eq (local.get {first}) (i32.const {case})) (then ");
                    ty.store(payload, first + 1, &have[1..], code);
                    code.push_str("))\n");
                }
            }
        }
    }
}

/// Stores one core value of type `want`, which is in a local of type `have`.
fn store_one(want: &str, size: usize, at: usize, local: usize, have: &str, code: &mut String) {
    let get = format!("(local.get {local})");
    let value = match (want, have) {
        ("i32", "i64") => format!("(i32.wrap_i64 {get})"),
        ("f32", "i32") => format!("(f32.reinterpret_i32 {get})"),
        ("f32", "i64") => format!("(f32.reinterpret_i32 (i32.wrap_i64 {get}))"),
        ("f64", "i64") => format!("(f64.reinterpret_i64 {get})"),
        _ => get,
    };
    let width = match (want, size) {
        ("i32", 1) => "8",
        ("i32", 2) => "16",
        _ => "",
    };
    let _ = writeln!(code, "({want}.store{width} (i32.const {at}) {value})");
}

fn names(count: usize) -> String {
    (0..count).map(|i| format!("n{i}")).collect::<Vec<_>>().join(", ")
}

fn plain_value(name: &str, random: &mut Random) -> String {
    let bits = if random.below(2) == 0 { random.next() } else { random.next() % 3 };
    match name {
        "bool" => (bits % 2 == 0).to_string(),
        "u8" => (bits as u8).to_string(),
        "s8" => (bits as i8).to_string(),
        "u16" => (bits as u16).to_string(),
        "s16" => (bits as i16).to_string(),
        "u32" => (bits as u32).to_string(),
        "s32" => (bits as i32).to_string(),
        "u64" => bits.to_string(),
        "s64" => (bits as i64).to_string(),
        "f32" => format!("{:?}", f32::from((bits as i16) / 7)),
        "f64" => format!("{:?}", f64::from(bits as i32) / 3.0),
        "char" => format!("'\\u{{{:x}}}'", u32::from(random_char(random))),
        _ => {
            let chars = (0..random.below(12)).map(|_| format!("\\u{{{:x}}}", u32::from(random_char(random))));
            format!("\"{}\"", chars.collect::<String>())
        }
    }
}

/// Of all widths that encodings know.
fn random_char(random: &mut Random) -> char {
    let most = [0x7f, 0xff, 0x7ff, 0xffff, 0x10_ffff][random.below(5)];
    char::from_u32(random.below(most + 1) as u32).unwrap_or('a')
}

/// Most core values that parameters are passed in.
const FLAT_MAX: usize = 16;

/// Three components around one type: a provider, one that hands every call on, and a caller.
pub(crate) struct Chain<'a> {
    pub(crate) ty: &'a Ty,
}

/// The interface that is handed through the chain.
pub(crate) const TYPED: &str = "test:gates/typed@1.0.0";

impl Chain<'_> {
    /// Makes a provider that returns what it is given, or whatever it is given the bytes of.
    pub(crate) fn provider(&self, encoding: StringEncoding) -> Vec<u8> {
        let flat = self.ty.flat();
        let (params, result) = self.signature();
        let echo = if flat.len() == 1 || flat.len() > FLAT_MAX {
            "(local.get 0)".to_owned()
        } else {
            let mut code = String::new();
            self.ty.store(1024, 0, &flat, &mut code);
            code + "(i32.const 1024)"
        };
        let raw = if flat.len() == 1 { format!("({result}.load (local.get 0))") } else { "(local.get 0)".to_owned() };
        let module = format!(
            r#"(module {MEMORY}
              (func (export "{TYPED}#echo") {params} (result {result}) {echo})
              (func (export "{TYPED}#raw") (param i32 i32) (result {result}) {raw}))"#
        );
        self.encode(&module, "provider", encoding)
    }

    /// Makes a component that imports and exports the same.
    pub(crate) fn middle(&self, encoding: StringEncoding) -> Vec<u8> {
        let (params, result) = self.signature();
        let module = format!(
            r#"(module {} {MEMORY}
              (func (export "{TYPED}#echo") {params} (result {result}) {})
              (func (export "{TYPED}#raw") (param i32 i32) (result {result}) {}))"#,
            self.imports(),
            self.call("$echo", &self.arguments()),
            self.call("$raw", "(local.get 0) (local.get 1)"),
        );
        self.encode(&module, "middle", encoding)
    }

    /// Makes a component that calls the interface with values, and with bytes that need not be values.
    pub(crate) fn caller(&self, encoding: StringEncoding) -> Vec<u8> {
        let (params, result) = self.signature();
        let flat = self.ty.flat();
        let words = if flat.len() > FLAT_MAX {
            "(local.get 0)".to_owned()
        } else {
            let word = |(i, ty): (usize, &&str)| format!("({ty}.load offset={} (local.get 0))", 8 * i);
            flat.iter().enumerate().map(word).collect::<Vec<_>>().join(" ")
        };
        let module = format!(
            r#"(module {} {MEMORY}
              (func (export "echo") {params} (result {result}) {})
              (func (export "raw-params") (param i32 i32) (result {result}) {})
              (func (export "raw-result") (param i32 i32) (result {result}) {}))"#,
            self.imports(),
            self.call("$echo", &self.arguments()),
            self.call("$echo", &words),
            self.call("$raw", "(local.get 0) (local.get 1)"),
        );
        self.encode(&module, "caller", encoding)
    }

    /// Returns parameters and result of a core function that is exported with the type.
    fn signature(&self) -> (String, &'static str) {
        let flat = self.ty.flat();
        let params = if flat.len() > FLAT_MAX { "i32".to_owned() } else { flat.join(" ") };
        (format!("(param {params})"), if flat.len() == 1 { flat[0] } else { "i32" })
    }

    fn imports(&self) -> String {
        let (params, result) = self.signature();
        let (place, result) =
            if self.ty.flat().len() > 1 { ("(param i32)", String::new()) } else { ("", format!("(result {result})")) };
        format!(
            r#"(import "{TYPED}" "echo" (func $echo {params} {place} {result}))
               (import "{TYPED}" "raw" (func $raw (param i32 i32) {place} {result}))"#
        )
    }

    fn arguments(&self) -> String {
        let count = if self.ty.flat().len() > FLAT_MAX { 1 } else { self.ty.flat().len() };
        (0..count).map(|i| format!("(local.get {i})")).collect::<Vec<_>>().join(" ")
    }

    /// Calls an import and returns what it returns.
    fn call(&self, function: &str, arguments: &str) -> String {
        if self.ty.flat().len() > 1 {
            format!("(call {function} {arguments} (i32.const 1024)) (i32.const 1024)")
        } else {
            format!("(call {function} {arguments})")
        }
    }

    fn encode(&self, module: &str, world: &str, encoding: StringEncoding) -> Vec<u8> {
        let mut defined = Vec::new();
        let ty = self.ty.wit(&mut defined);
        let used = (0..defined.len()).map(|i| format!("t{i}")).collect::<Vec<_>>().join(", ");
        let used = if used.is_empty() { String::new() } else { format!("use typed.{{{used}}};") };
        let wit = format!(
            "package test:gates@1.0.0;
             interface typed {{ {} echo: func(x: {ty}) -> {ty}; raw: func(bytes: list<u8>) -> {ty}; }}
             world provider {{ export typed; }}
             world middle {{ import typed; export typed; }}
             world caller {{ import typed; {used} export echo: func(x: {ty}) -> {ty};
               export raw-params: func(bytes: list<u8>) -> {ty}; export raw-result: func(bytes: list<u8>) -> {ty}; }}",
            defined.join("\n")
        );
        let mut resolve = wit_parser::Resolve::default();
        let package = resolve.push_str("test.wit", &wit).unwrap_or_else(|error| panic!("{error:#}\n{wit}"));
        let world = resolve.select_world(&[package], Some(world)).unwrap();
        let mut module = wat::parse_str(module).unwrap_or_else(|error| panic!("{error}\n{module}"));
        embed_component_metadata(&mut module, &resolve, world, encoding).unwrap();
        let encoder = ComponentEncoder::default().validate(true).module(&module);
        encoder.and_then(|mut encoder| encoder.encode()).unwrap_or_else(|error| panic!("{error:#}\n{wit}"))
    }
}

/// Memory with room for a few values at a time, taken from the beginning again when the end is near.
const MEMORY: &str = r#"
  (memory (export "memory") 4)
  (global $top (mut i32) (i32.const 4096))
  (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) (local $at i32)
    (if (i32.gt_u (global.get $top) (i32.const 131072)) (then (global.set $top (i32.const 4096))))
    (local.set $at (i32.and (i32.add (global.get $top) (i32.const 7)) (i32.const -8)))
    (global.set $top (i32.add (local.get $at) (local.get 3)))
    (local.get $at))"#;
