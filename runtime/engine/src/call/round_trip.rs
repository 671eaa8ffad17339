//! Any value of any type survives the way to JSON and back, and to WAVE and back.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, Type, Val};

use super::json::{from_json, to_json};

/// Every kind of type, once and nested in others. Flags are named in alphabetical order, in which WAVE gives them back.
const TYPES: &str = r#"(component
    (import "types" (instance
        (type $r (record (field "flag" bool) (field "maybe" (option string)) (field "far" (option (option u8)))))
        (export "record" (type $record (eq $r)))
        (type $v (variant (case "none-at-all") (case "some-number" s64) (case "true")))
        (export "variant" (type $variant (eq $v)))
        (type $e (enum "red" "green" "blue"))
        (export "enum" (type $enum (eq $e)))
        (type $f (flags "read" "run" "write"))
        (export "flags" (type $flags (eq $f)))
        (type $tuple (tuple u8 s8 u16 s16 u32 s32 u64 s64 f32 f64 char string))
        (type $result (result (list u8) (error string)))
        (type $all (tuple (list $record) $variant $enum $flags $tuple $result (result) (option (list $tuple))
            (result $variant) (result (error $enum)) (list (list $flags)) (option $result)))
        (export "all" (type (eq $all))))))"#;

fn all_types() -> Type {
    let engine = wasmtime::Engine::new(&crate::config::config(&crate::EngineSettings::default())).unwrap();
    let component = Component::new(&engine, wat::parse_str(TYPES).unwrap()).unwrap();
    let ty = component.component_type();
    let ComponentItem::ComponentInstance(types) = ty.get_import(&engine, "types").unwrap().ty else { panic!() };
    let ComponentItem::Type(all) = types.get_export(&engine, "all").unwrap().ty else { panic!() };
    all
}

fn value(ty: &Type) -> BoxedStrategy<Val> {
    match ty {
        Type::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Type::S8 => any::<i8>().prop_map(Val::S8).boxed(),
        Type::U8 => any::<u8>().prop_map(Val::U8).boxed(),
        Type::S16 => any::<i16>().prop_map(Val::S16).boxed(),
        Type::U16 => any::<u16>().prop_map(Val::U16).boxed(),
        Type::S32 => any::<i32>().prop_map(Val::S32).boxed(),
        Type::U32 => any::<u32>().prop_map(Val::U32).boxed(),
        Type::S64 => any::<i64>().prop_map(Val::S64).boxed(),
        Type::U64 => any::<u64>().prop_map(Val::U64).boxed(),
        Type::Float32 => {
            prop_oneof![any::<f32>(), select(vec![f32::NAN, f32::INFINITY, -0.0])].prop_map(Val::Float32).boxed()
        }
        Type::Float64 => {
            prop_oneof![any::<f64>(), select(vec![f64::NAN, f64::NEG_INFINITY, -0.0])].prop_map(Val::Float64).boxed()
        }
        Type::Char => any::<char>().prop_map(Val::Char).boxed(),
        Type::String => any::<String>().prop_map(Val::String).boxed(),
        Type::List(list) => vec(value(&list.ty()), 0..4).prop_map(Val::List).boxed(),
        Type::Option(option) => {
            proptest::option::of(value(&option.ty())).prop_map(|v| Val::Option(v.map(Box::new))).boxed()
        }
        Type::Record(record) => record
            .fields()
            .map(|field| (Just(field.name.to_owned()), value(&field.ty)))
            .collect::<Vec<_>>()
            .prop_map(Val::Record)
            .boxed(),
        Type::Tuple(tuple) => tuple.types().map(|ty| value(&ty)).collect::<Vec<_>>().prop_map(Val::Tuple).boxed(),
        Type::Enum(names) => select(names.names().map(str::to_owned).collect::<Vec<_>>()).prop_map(Val::Enum).boxed(),
        Type::Flags(flags) => {
            let names: Vec<_> = flags.names().map(str::to_owned).collect();
            subsequence(names.clone(), 0..=names.len()).prop_map(Val::Flags).boxed()
        }
        Type::Variant(variant) => {
            let cases: Vec<_> = variant.cases().map(|case| (case.name.to_owned(), case.ty)).collect();
            select(cases)
                .prop_flat_map(|(name, ty)| payload(ty).prop_map(move |value| Val::Variant(name.clone(), value)))
                .boxed()
        }
        Type::Result(result) => prop_oneof![
            payload(result.ok()).prop_map(|value| Val::Result(Ok(value))),
            payload(result.err()).prop_map(|value| Val::Result(Err(value))),
        ]
        .boxed(),
        other => panic!("{other:?}"),
    }
}

fn payload(ty: Option<Type>) -> BoxedStrategy<Option<Box<Val>>> {
    match ty {
        Some(ty) => value(&ty).prop_map(|value| Some(Box::new(value))).boxed(),
        None => Just(None).boxed(),
    }
}

#[test]
fn values_survive_json_and_wave() {
    let ty = all_types();
    // The same values on every machine; a failure is repeated by running the test again, so none need be kept.
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    runner
        .run(&value(&ty), |value| {
            let json = to_json(&value).to_string();
            let back = from_json(&ty, &serde_json::from_str(&json).unwrap()).unwrap();
            prop_assert_eq!(format!("{back:?}"), format!("{value:?}"), "{}", json);
            let wave = value.to_wave().unwrap();
            let back = Val::from_wave(&ty, &wave).unwrap();
            prop_assert_eq!(format!("{back:?}"), format!("{value:?}"), "{}", wave);
            Ok(())
        })
        .unwrap();
}

#[test]
fn says_where_a_json_value_does_not_fit() {
    let ty = all_types();
    let Type::Tuple(all) = &ty else { panic!() };
    let types: Vec<_> = all.types().collect();
    let wrong = |ty: &Type, json: serde_json::Value| from_json(ty, &json).unwrap_err().to_string();
    use serde_json::json;
    let told = [
        wrong(&types[0], json!([{"flag": true}, {"flag": 1}])),
        wrong(&types[0], json!([{"flag": true, "colour": 1}])),
        wrong(&types[0], json!([{}])),
        wrong(&types[0], json!([{"flag": true, "far": 3}])),
        wrong(&types[1], json!("some")),
        wrong(&types[1], json!({"some-number": "x"})),
        wrong(&types[1], json!({"none-at-all": 1})),
        wrong(&types[2], json!("pink")),
        wrong(&types[3], json!(["read", "fly"])),
        wrong(&types[4], json!([1])),
        wrong(&types[4], json!([256, 0, 0, 0, 0, 0, 0, 0, 0, 0, "c", ""])),
        wrong(&types[4], json!([0, 0, 0, 0, 0, 0, "18446744073709551616", 0, 0, 0, "c", ""])),
        wrong(&types[4], json!([0, 0, 0, 0, 0, 0, 0, 0, 0, "infinite", "c", ""])),
        wrong(&types[4], json!([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, "cc", ""])),
        wrong(&types[5], json!({"ok": [1, 2.5]})),
        wrong(&types[5], json!({"fine": []})),
    ];
    insta::assert_snapshot!(told.join("\n"), @r#"
    [1].flag: expected true or false, found 1
    [0]: there is no field `colour`, the fields are flag, maybe, far
    [0]: the field `flag` is missing
    [0].far: expected null or {"some": …}, found 3
    : there is no `some`, the names are none-at-all, some-number, true
    .some-number: expected s64, found the string "x"
    : `none-at-all` has no value
    : there is no `pink`, the names are red, green, blue
    : there is no `fly`, the names are read, run, write
    : expected an array of 12, found an array of 1
    [0]: expected u8, found 256
    [6]: expected u64, found the string "18446744073709551616"
    [9]: expected a number, "nan", "inf" or "-inf", found the string "infinite"
    [10]: expected a string of one character, found the string "cc"
    .ok[1]: expected u8, found 2.5
    : expected {"ok": …} or {"err": …}, found an object
    "#);
}
