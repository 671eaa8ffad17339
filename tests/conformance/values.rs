//! Values as scripts write them and as wasmtime has them.

use wasmtime::component::Val;
use wast::component::WastVal;
use wast::core::{NanPattern, WastArgCore, WastRetCore};

/// Turns a written value into one that a function takes.
pub(crate) fn value(written: &WastVal<'_>) -> Result<Val, String> {
    let all = |values: &[WastVal<'_>]| values.iter().map(value).collect::<Result<Vec<_>, _>>();
    let inner = |value_: &Option<Box<WastVal<'_>>>| value_.as_deref().map(value).transpose().map(|v| v.map(Box::new));
    Ok(match written {
        WastVal::Bool(value) => Val::Bool(*value),
        WastVal::U8(value) => Val::U8(*value),
        WastVal::S8(value) => Val::S8(*value),
        WastVal::U16(value) => Val::U16(*value),
        WastVal::S16(value) => Val::S16(*value),
        WastVal::U32(value) => Val::U32(*value),
        WastVal::S32(value) => Val::S32(*value),
        WastVal::U64(value) => Val::U64(*value),
        WastVal::S64(value) => Val::S64(*value),
        WastVal::F32(value) => Val::Float32(f32::from_bits(value.bits)),
        WastVal::F64(value) => Val::Float64(f64::from_bits(value.bits)),
        WastVal::Char(value) => Val::Char(*value),
        WastVal::String(value) => Val::String((*value).to_owned()),
        WastVal::List(values) => Val::List(all(values)?),
        WastVal::Tuple(values) => Val::Tuple(all(values)?),
        WastVal::Record(fields) => {
            let field = |(name, written): &(&str, WastVal<'_>)| Ok::<_, String>(((*name).to_owned(), value(written)?));
            Val::Record(fields.iter().map(field).collect::<Result<_, _>>()?)
        }
        WastVal::Variant(case, payload) => Val::Variant((*case).to_owned(), inner(payload)?),
        WastVal::Enum(case) => Val::Enum((*case).to_owned()),
        WastVal::Option(payload) => Val::Option(inner(payload)?),
        WastVal::Result(Ok(payload)) => Val::Result(Ok(inner(payload)?)),
        WastVal::Result(Err(payload)) => Val::Result(Err(inner(payload)?)),
        WastVal::Flags(names) => Val::Flags(names.iter().map(|name| (*name).to_owned()).collect()),
        WastVal::Map(_) => return Err("maps are off".to_owned()),
    })
}

/// Compares two values; numbers that are none are the same to each other, and flags have no order.
pub(crate) fn same(left: &Val, right: &Val) -> bool {
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    match (left, right) {
        (Val::Float32(left), Val::Float32(right)) => {
            left.to_bits() == right.to_bits() || left.is_nan() && right.is_nan()
        }
        (Val::Float64(left), Val::Float64(right)) => {
            left.to_bits() == right.to_bits() || left.is_nan() && right.is_nan()
        }
        (Val::Flags(left), Val::Flags(right)) => sorted(left) == sorted(right),
        (Val::List(left), Val::List(right)) | (Val::Tuple(left), Val::Tuple(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        _ => left == right,
    }
}

/// Turns a number with a fraction, which is written as in scripts of core wasm, into a value.
pub(crate) fn float(written: &WastArgCore<'_>) -> Result<Val, String> {
    match written {
        WastArgCore::F32(value) => Ok(Val::Float32(f32::from_bits(value.bits))),
        WastArgCore::F64(value) => Ok(Val::Float64(f64::from_bits(value.bits))),
        other => Err(format!("not a value of the component model: {other:?}")),
    }
}

/// Tells whether a value is the number with a fraction that is wanted.
pub(crate) fn is_float(value: &Val, wanted: &WastRetCore<'_>) -> bool {
    match (value, wanted) {
        (Val::Float32(value), WastRetCore::F32(NanPattern::Value(wanted))) => {
            same(&Val::Float32(*value), &Val::Float32(f32::from_bits(wanted.bits)))
        }
        (Val::Float64(value), WastRetCore::F64(NanPattern::Value(wanted))) => {
            same(&Val::Float64(*value), &Val::Float64(f64::from_bits(wanted.bits)))
        }
        (Val::Float32(value), WastRetCore::F32(_)) => value.is_nan(),
        (Val::Float64(value), WastRetCore::F64(_)) => value.is_nan(),
        _ => false,
    }
}
