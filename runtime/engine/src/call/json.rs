//! Values as JSON.
//!
//! | WIT | JSON |
//! |---|---|
//! | `bool` | `true`, `false` |
//! | integers | a number; beyond ±(2^53 − 1), where many programs lose digits, a string of digits (both are read) |
//! | `f32`, `f64` | a number, or `"nan"`, `"inf"`, `"-inf"` |
//! | `char` | a string of one character |
//! | `string` | a string |
//! | `list`, `tuple` | an array |
//! | `record` | an object; fields of type `option` may be absent |
//! | `flags` | an array of names |
//! | `enum` | the name |
//! | `variant` | `"case"`, or `{"case": value}` for a case with a value |
//! | `option` | `null` or the value; an option inside an option is `{"some": …}` |
//! | `result` | `{"ok": value}` or `{"err": value}`, with `null` where there is no value |

use serde_json::{Map, Number, Value};
use wasmtime::component::types::{Record, Tuple, Variant};
use wasmtime::component::{Type, Val};

use super::wrong_count;
use crate::link::shown;
use crate::unit::Param;

/// The largest integer that every JSON reader keeps exactly.
const EXACT_MAX: u64 = (1 << 53) - 1;

/// Reads the arguments of a call; trailing options may be left out.
pub(super) fn arguments(params: &[Param], args: &[Value]) -> Result<Vec<Val>, String> {
    let is_optional = |(_, ty): &Param| matches!(ty, Type::Option(_));
    if args.len() > params.len() || !params.iter().skip(args.len()).all(is_optional) {
        return Err(wrong_count(params.len(), args.len()));
    }
    let mut values = Vec::with_capacity(params.len());
    for ((name, ty), value) in params.iter().zip(args.iter().chain(std::iter::repeat(&Value::Null))) {
        values.push(from_json(ty, value).map_err(|e| format!("argument `{name}`{}", e.path()))?);
    }
    Ok(values)
}

/// Why a JSON value does not fit a type, and where in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", self.path())]
pub(crate) struct JsonError {
    /// From the inside out.
    steps: Vec<String>,
    reason: String,
}

impl JsonError {
    fn new(reason: String) -> Self {
        Self { steps: Vec::new(), reason }
    }

    fn within(mut self, step: String) -> Self {
        self.steps.push(step);
        self
    }

    fn path(&self) -> String {
        let steps: String = self.steps.iter().rev().map(String::as_str).collect();
        format!("{steps}: {}", self.reason)
    }
}

/// Reads a value of type `ty`.
///
/// # Errors
/// [`JsonError`] names the innermost place that does not fit.
pub(crate) fn from_json(ty: &Type, value: &Value) -> Result<Val, JsonError> {
    Ok(match ty {
        Type::Bool => Val::Bool(value.as_bool().ok_or_else(|| expected("true or false", value))?),
        Type::S8 => Val::S8(integer(value, "s8")?),
        Type::U8 => Val::U8(integer(value, "u8")?),
        Type::S16 => Val::S16(integer(value, "s16")?),
        Type::U16 => Val::U16(integer(value, "u16")?),
        Type::S32 => Val::S32(integer(value, "s32")?),
        Type::U32 => Val::U32(integer(value, "u32")?),
        Type::S64 => Val::S64(integer(value, "s64")?),
        Type::U64 => Val::U64(integer(value, "u64")?),
        Type::Float32 => Val::Float32(narrow(value)?),
        Type::Float64 => Val::Float64(float(value)?),
        Type::Char => Val::Char(character(value)?),
        Type::String => Val::String(text(value, "a string")?.to_owned()),
        Type::List(list) => Val::List(elements(value, &list.ty())?),
        Type::Record(record) => from_object(record, value)?,
        Type::Tuple(tuple) => from_array(tuple, value)?,
        Type::Variant(variant) => from_case(variant, value)?,
        Type::Enum(names) => {
            let name = text(value, "the name of a case")?;
            known(names.names(), name)?;
            Val::Enum(name.to_owned())
        }
        Type::Option(option) => Val::Option(optional(&option.ty(), value)?),
        Type::Result(result) => match single(value) {
            Some(("ok", inner)) => Val::Result(Ok(payload(result.ok(), inner, "ok")?)),
            Some(("err", inner)) => Val::Result(Err(payload(result.err(), inner, "err")?)),
            _ => return Err(expected("{\"ok\": …} or {\"err\": …}", value)),
        },
        Type::Flags(flags) => {
            let names = array(value, "an array of names")?.iter().map(|name| {
                let name = text(name, "a name")?;
                known(flags.names(), name)?;
                Ok(name.to_owned())
            });
            Val::Flags(names.collect::<Result<_, JsonError>>()?)
        }
        Type::Own(_)
        | Type::Borrow(_)
        | Type::Future(_)
        | Type::Stream(_)
        | Type::ErrorContext
        | Type::Map(_)
        | Type::FixedLengthList(_) => return Err(JsonError::new("such a value has no form in JSON".to_owned())),
    })
}

/// Writes a value; what has no form in JSON, such as a handle, becomes `null`.
pub(crate) fn to_json(value: &Val) -> Value {
    match value {
        Val::Bool(value) => Value::Bool(*value),
        Val::S8(value) => Value::from(*value),
        Val::U8(value) => Value::from(*value),
        Val::S16(value) => Value::from(*value),
        Val::U16(value) => Value::from(*value),
        Val::S32(value) => Value::from(*value),
        Val::U32(value) => Value::from(*value),
        Val::S64(value) if value.unsigned_abs() > EXACT_MAX => Value::String(value.to_string()),
        Val::S64(value) => Value::from(*value),
        Val::U64(value) if *value > EXACT_MAX => Value::String(value.to_string()),
        Val::U64(value) => Value::from(*value),
        Val::Float32(value) => short(*value),
        Val::Float64(value) => from_float(*value),
        Val::Char(value) => Value::String(value.to_string()),
        Val::String(value) | Val::Enum(value) => Value::String(value.clone()),
        Val::List(values) | Val::Tuple(values) | Val::FixedLengthList(values) => {
            Value::Array(values.iter().map(to_json).collect())
        }
        Val::Record(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), to_json(value))).collect())
        }
        Val::Variant(case, None) => Value::String(case.clone()),
        Val::Variant(case, Some(value)) => object(case, to_json(value)),
        Val::Option(None) => Value::Null,
        Val::Option(Some(value)) if matches!(**value, Val::Option(_)) => object("some", to_json(value)),
        Val::Option(Some(value)) => to_json(value),
        Val::Result(Ok(value)) => object("ok", value.as_deref().map_or(Value::Null, to_json)),
        Val::Result(Err(value)) => object("err", value.as_deref().map_or(Value::Null, to_json)),
        Val::Flags(names) => Value::Array(names.iter().cloned().map(Value::String).collect()),
        Val::Map(_) | Val::Resource(_) | Val::Future(_) | Val::Stream(_) | Val::ErrorContext(_) => Value::Null,
    }
}

fn object(key: &str, value: Value) -> Value {
    Value::Object(Map::from_iter([(key.to_owned(), value)]))
}

/// Writes an `f32` with the digits that tell it apart from other `f32`s, not those of its exact binary value.
fn short(value: f32) -> Value {
    let shortest = value.to_string().parse::<f64>().unwrap_or_else(|_| f64::from(value));
    from_float(shortest)
}

fn from_float(value: f64) -> Value {
    match Number::from_f64(value) {
        Some(number) => Value::Number(number),
        None if value.is_nan() => Value::String("nan".to_owned()),
        None if value > 0.0 => Value::String("inf".to_owned()),
        None => Value::String("-inf".to_owned()),
    }
}

fn expected(what: &str, found: &Value) -> JsonError {
    let kind = match found {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Number(value) => value.to_string(),
        Value::String(value) => format!("the string \"{}\"", shown(&domain::text::truncate(value, 60))),
        Value::Array(values) => format!("an array of {}", values.len()),
        Value::Object(_) => "an object".to_owned(),
    };
    JsonError::new(format!("expected {what}, found {kind}"))
}

fn text<'a>(value: &'a Value, what: &str) -> Result<&'a str, JsonError> {
    value.as_str().ok_or_else(|| expected(what, value))
}

fn array<'a>(value: &'a Value, what: &str) -> Result<&'a [Value], JsonError> {
    value.as_array().map(Vec::as_slice).ok_or_else(|| expected(what, value))
}

fn integer<T: TryFrom<i128>>(value: &Value, ty: &str) -> Result<T, JsonError> {
    let number = match value {
        Value::Number(number) => {
            number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from)).or_else(|| whole(number))
        }
        Value::String(digits) => digits.parse::<i128>().ok(),
        _ => None,
    };
    number.and_then(|number| T::try_from(number).ok()).ok_or_else(|| expected(ty, value))
}

/// Reads `3.0` and `1e3`, which some programs write for whole numbers.
fn whole(number: &Number) -> Option<i128> {
    let float = number.as_f64()?;
    // Exact for every float in this range.
    (float.fract() == 0.0 && float.abs() <= EXACT_MAX as f64).then_some(float as i128)
}

fn float(value: &Value) -> Result<f64, JsonError> {
    match value {
        Value::Number(number) => number.as_f64().ok_or_else(|| expected("a number", value)),
        Value::String(word) => match word.as_str() {
            "nan" => Ok(f64::NAN),
            "inf" => Ok(f64::INFINITY),
            "-inf" => Ok(f64::NEG_INFINITY),
            _ => Err(expected("a number, \"nan\", \"inf\" or \"-inf\"", value)),
        },
        _ => Err(expected("a number, \"nan\", \"inf\" or \"-inf\"", value)),
    }
}

/// Rounds to the nearest `f32`, as every language's own conversion does; a number that has none near it is refused.
fn narrow(value: &Value) -> Result<f32, JsonError> {
    let wide = float(value)?;
    match wide as f32 {
        narrow if narrow.is_infinite() && wide.is_finite() => Err(expected("a number that an f32 can hold", value)),
        narrow => Ok(narrow),
    }
}

fn character(value: &Value) -> Result<char, JsonError> {
    let mut chars = text(value, "a string of one character")?.chars();
    match (chars.next(), chars.next()) {
        (Some(only), None) => Ok(only),
        _ => Err(expected("a string of one character", value)),
    }
}

fn elements(value: &Value, ty: &Type) -> Result<Vec<Val>, JsonError> {
    let values = array(value, "an array")?.iter().enumerate();
    values.map(|(i, value)| from_json(ty, value).map_err(|e| e.within(format!("[{i}]")))).collect()
}

fn from_object(record: &Record, value: &Value) -> Result<Val, JsonError> {
    let object = value.as_object().ok_or_else(|| expected("an object", value))?;
    if let Some(unknown) = object.keys().find(|key| record.fields().all(|field| field.name != key.as_str())) {
        let names: Vec<_> = record.fields().map(|field| field.name.to_owned()).collect();
        return Err(JsonError::new(format!(
            "there is no field `{}`, the fields are {}",
            shown(unknown),
            names.join(", ")
        )));
    }
    let fields = record.fields().map(|field| {
        let value = match object.get(field.name) {
            Some(value) => from_json(&field.ty, value).map_err(|e| e.within(format!(".{}", field.name)))?,
            None if matches!(field.ty, Type::Option(_)) => Val::Option(None),
            None => return Err(JsonError::new(format!("the field `{}` is missing", field.name))),
        };
        Ok((field.name.to_owned(), value))
    });
    Ok(Val::Record(fields.collect::<Result<_, _>>()?))
}

fn from_array(tuple: &Tuple, value: &Value) -> Result<Val, JsonError> {
    let values = array(value, "an array")?;
    let count = tuple.types().len();
    if values.len() != count {
        return Err(expected(&format!("an array of {count}"), value));
    }
    let values = tuple.types().zip(values).enumerate();
    let values = values.map(|(i, (ty, value))| from_json(&ty, value).map_err(|e| e.within(format!("[{i}]"))));
    Ok(Val::Tuple(values.collect::<Result<_, _>>()?))
}

fn from_case(variant: &Variant, value: &Value) -> Result<Val, JsonError> {
    let (name, inner) = match value {
        Value::String(name) => (name.as_str(), &Value::Null),
        _ => single(value).ok_or_else(|| expected("\"case\" or {\"case\": value}", value))?,
    };
    known(variant.cases().map(|case| case.name), name)?;
    let ty = variant.cases().find(|case| case.name == name).and_then(|case| case.ty);
    Ok(Val::Variant(name.to_owned(), payload(ty, inner, name)?))
}

fn optional(ty: &Type, value: &Value) -> Result<Option<Box<Val>>, JsonError> {
    match value {
        Value::Null => Ok(None),
        _ if matches!(ty, Type::Option(_)) => match single(value) {
            Some(("some", inner)) => Ok(Some(Box::new(from_json(ty, inner)?))),
            _ => Err(expected("null or {\"some\": …}", value)),
        },
        _ => Ok(Some(Box::new(from_json(ty, value)?))),
    }
}

fn payload(ty: Option<Type>, value: &Value, case: &str) -> Result<Option<Box<Val>>, JsonError> {
    match ty {
        Some(ty) => from_json(&ty, value).map(|value| Some(Box::new(value))).map_err(|e| e.within(format!(".{case}"))),
        None if value.is_null() => Ok(None),
        None => Err(JsonError::new(format!("`{case}` has no value"))),
    }
}

/// Returns key and value of an object with one key.
fn single(value: &Value) -> Option<(&str, &Value)> {
    let object = value.as_object().filter(|object| object.len() == 1)?;
    object.iter().next().map(|(key, value)| (key.as_str(), value))
}

fn known<'a>(names: impl Iterator<Item = &'a str>, name: &str) -> Result<(), JsonError> {
    let names: Vec<_> = names.collect();
    if names.contains(&name) {
        return Ok(());
    }
    Err(JsonError::new(format!("there is no `{}`, the names are {}", shown(name), names.join(", "))))
}
