//! A call from outside: which function is meant, its arguments, and its result in the forms people and programs read.

mod json;
mod resolve;
#[cfg(test)]
mod round_trip;
mod wave;

use std::time::Duration;

use domain::ComponentId;
use domain::call::{CallExpression, CallOutcome};
use domain::ports::EngineError;
use wasmtime::component::{Type, Val};

use json::to_json;

use crate::link::shown;
use crate::unit::{Export, Exports};
use crate::wit::function_transferable;

/// A call whose function is known and whose arguments fit it.
#[derive(Debug)]
pub(crate) struct PreparedCall {
    pub(crate) position: usize,
    pub(crate) args: Vec<Val>,
    function: String,
    signature: String,
}

/// Finds the function and makes its arguments; nothing of the guest runs.
pub(crate) fn prepare(
    id: &ComponentId,
    exports: &Exports,
    expression: &CallExpression,
) -> Result<PreparedCall, EngineError> {
    match expression {
        CallExpression::Wave(text) => {
            let call = wave::split(text).map_err(|reason| EngineError::BadArguments { reason, signature: None })?;
            let (position, export) = resolve::resolve(id, exports, call.name)?;
            let args = call.args(&callable(export)?).map_err(|reason| bad(export, reason))?;
            Ok(prepared(position, export, args))
        }
        CallExpression::Json { function, args } => {
            let (position, export) = resolve::resolve(id, exports, function)?;
            let params = callable(export)?;
            let args = json::arguments(&params, args).map_err(|reason| bad(export, reason))?;
            Ok(prepared(position, export, args))
        }
    }
}

/// A parameter's name and type.
type Params = Vec<(String, Type)>;

fn callable(export: &Export) -> Result<Params, EngineError> {
    function_transferable(&export.ty).map_err(|what| {
        let name = shown(&export.signature.qualified());
        bad(export, format!("`{name}` takes or returns {what}, which only another component's code can hold"))
    })?;
    Ok(export.ty.params().map(|(name, ty)| (name.to_owned(), ty)).collect())
}

fn bad(export: &Export, reason: String) -> EngineError {
    EngineError::BadArguments { reason, signature: Some(export.signature.wit.clone()) }
}

fn prepared(position: usize, export: &Export, args: Vec<Val>) -> PreparedCall {
    let signature = export.signature.wit.clone();
    PreparedCall { position, args, function: export.signature.qualified(), signature }
}

/// Writes what a call returned.
pub(crate) fn outcome(
    call: &PreparedCall,
    values: &[Val],
    fuel: u64,
    duration: Duration,
) -> Result<CallOutcome, EngineError> {
    let (json, wave) = match values.first() {
        None => (serde_json::Value::Null, String::new()),
        Some(value) => {
            // Guest-controlled: its type has been checked to be one that can be written.
            let wave = value.to_wave().map_err(|error| EngineError::BadArguments {
                reason: format!("the result cannot be written: {error:#}"),
                signature: Some(call.signature.clone()),
            })?;
            (to_json(value), wave)
        }
    };
    Ok(CallOutcome { function: call.function.clone(), json, wave, fuel, duration })
}

/// Says how many arguments there should have been.
fn wrong_count(params: &[(String, Type)], given: usize) -> String {
    let wanted = params.len();
    let noun = if wanted == 1 { "argument" } else { "arguments" };
    let were = if given == 1 { "was" } else { "were" };
    format!("the function takes {wanted} {noun}, {given} {were} given")
}
