//! A call from outside: which function is meant, its arguments, and its result in the forms people and programs read.

mod json;
mod resolve;
#[cfg(test)]
mod round_trip;
mod wave;

use std::sync::Arc;
use std::time::Duration;

use domain::ComponentId;
use domain::call::{CallExpression, CallOutcome};
use domain::ports::EngineError;
use domain::text::truncate;
use wasmtime::component::Val;

use json::to_json;

use crate::link::shown;
use crate::unit::{Export, Exports, Returned};

/// A call whose function is known and whose arguments fit it.
#[derive(Debug)]
pub(crate) struct PreparedCall {
    pub(crate) position: usize,
    pub(crate) args: Vec<Val>,
}

/// Finds the function and makes its arguments; nothing of the guest runs.
pub(crate) fn prepare(
    id: &ComponentId,
    exports: &Exports,
    expression: &CallExpression,
) -> Result<PreparedCall, EngineError> {
    let (position, args) = match expression {
        CallExpression::Wave(text) => {
            let call = wave::split(text).map_err(|reason| EngineError::BadArguments { reason, signature: None })?;
            let (position, export) = callable(id, exports, call.name)?;
            (position, call.args(export.params()))
        }
        CallExpression::Json { function, args } => {
            let (position, export) = callable(id, exports, function)?;
            (position, json::arguments(export.params(), args))
        }
    };
    let args = args.map_err(|reason| bad(exports, position, reason))?;
    Ok(PreparedCall { position, args })
}

fn callable<'a>(id: &ComponentId, exports: &'a Exports, name: &str) -> Result<(usize, &'a Export), EngineError> {
    let (position, export) = resolve::resolve(id, exports, name)?;
    export.transferable().map_err(|what| {
        let name = shown(&export.qualified);
        let reason = format!("`{name}` takes or returns {what}, which only another component's code can hold");
        bad(exports, position, reason)
    })?;
    Ok((position, export))
}

/// Longest type of a function in an error, in bytes.
const SIGNATURE_SHOWN: usize = 1_000;

fn bad(exports: &Exports, position: usize, reason: String) -> EngineError {
    EngineError::BadArguments {
        reason,
        signature: exports.wit(position).map(|text| truncate(text, SIGNATURE_SHOWN).into_owned()),
    }
}

/// Writes what a call of the function at `position` returned.
pub(crate) fn outcome(
    exports: &Exports,
    position: usize,
    returned: &Returned<Option<Val>>,
    with_wave: bool,
) -> Result<CallOutcome, EngineError> {
    let json = returned.value.as_ref().map_or(serde_json::Value::Null, to_json);
    let wave = match &returned.value {
        // Guest-controlled: its type has been checked to be one that can be written.
        Some(value) if with_wave => wave::write(value)
            .map_err(|reason| bad(exports, position, format!("the result cannot be written: {reason}")))?,
        _ => String::new(),
    };
    let function = exports.get(position).map(|export| Arc::clone(&export.qualified)).unwrap_or_default();
    Ok(CallOutcome {
        function,
        json,
        wave,
        fuel: returned.fuel,
        duration: Duration::from_nanos(returned.duration.unwrap_or(0)),
    })
}

/// Says how many arguments there should have been.
fn wrong_count(wanted: usize, given: usize) -> String {
    let noun = if wanted == 1 { "argument" } else { "arguments" };
    let were = if given == 1 { "was" } else { "were" };
    format!("the function takes {wanted} {noun}, {given} {were} given")
}
