use std::time::Duration;

use domain::ComponentId;
use domain::call::{CallExpression, CallRequest, Caller};
use domain::failure::FailureKind;
use domain::text::escape_block;
use registry::{Registry, RegistryError};
use serde::Serialize;

use crate::args::{call_time, fuel, key_value};
use crate::error::{CliError, Done};
use crate::output::{human_count, human_duration};
use crate::select::ID_HELP;
use crate::session::Session;

/// Call a function; arguments and result in WAVE
///
/// The component has to be active; with a version, the revision of that version, in service or beside the one that is. A result that is an `err` in WIT is a result like any other: the exit code is 0.
/// Where several interfaces have a function of that name, write `iface#func(…)` or `ns:pkg/iface@1.0.0#func(…)`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  runtime call demo:greeter 'greet(\"Ada\")'
  runtime call demo:calculator 'calc#evaluate(\"2 km + 30 m\")' -o json
  runtime call demo:text words --json-args '[\"one two\"]'
  runtime call demo:log@1.0.0 'write(\"hello\")'
  runtime call demo:flaky 'spin(10000)' --timeout 500ms --fuel 1_000_000")]
pub(crate) struct Args {
    #[arg(value_name = "ID", help = ID_HELP)]
    pub(crate) id: String,

    /// Function and arguments, for instance `add(1, 2)`; the function alone with `--json-args`
    #[arg(value_name = "CALL")]
    pub(crate) expression: String,

    /// Arguments as a JSON array
    #[arg(long, value_name = "JSON")]
    pub(crate) json_args: Option<String>,

    /// Fuel for this call, at most what the component's limits allow
    #[arg(long, value_name = "FUEL", value_parser = fuel)]
    pub(crate) fuel: Option<u64>,

    /// Time for this call, at most what the component's limits allow
    #[arg(long, value_name = "TIME", value_parser = call_time)]
    pub(crate) timeout: Option<Duration>,

    /// Word that travels with the call, for components that ask for it
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub(crate) context: Vec<(String, String)>,
}

#[derive(Debug, Serialize)]
struct CallDoc {
    id: ComponentId,
    function: String,
    result: serde_json::Value,
    wave: String,
    fuel: u64,
    duration_us: u64,
}

pub(crate) async fn run(session: &Session, args: Args) -> Result<Done, CliError> {
    let expression = expression(&args)?;
    let registry = session.registry().await?;
    let id = registry.resolve_called(&args.id).await?;
    let request = CallRequest {
        expression,
        fuel: args.fuel,
        timeout: args.timeout,
        caller: Caller { context: args.context.into_iter().collect(), ..Caller::default() },
        wave: true,
    };
    let bounds = (args.fuel, args.timeout);
    let outcome = match registry.call(&id, request).await {
        Ok(outcome) => outcome,
        Err(error) => return Err(with_own_bounds(registry, &id, bounds, error).await),
    };
    session.terminal.detail(&format!(
        "{}: {} fuel, {}",
        outcome.function,
        human_count(outcome.fuel),
        human_duration(outcome.duration)
    ));
    let document = CallDoc {
        id,
        function: outcome.function.to_string(),
        result: outcome.json,
        wave: outcome.wave,
        fuel: outcome.fuel,
        duration_us: u64::try_from(outcome.duration.as_micros()).unwrap_or(u64::MAX),
    };
    session.out.result(&document, |document, _| match document.wave.as_str() {
        "" => String::new(),
        // Guest-controlled: a string in the result may hold anything.
        wave => format!("{}\n", escape_block(wave)),
    })?;
    Ok(Done::All)
}

/// Where the call ran into a bound of its own, the hint names that and not the component's limits.
async fn with_own_bounds(
    registry: &Registry,
    id: &ComponentId,
    (fuel, timeout): (Option<u64>, Option<Duration>),
    error: RegistryError,
) -> CliError {
    let mut report = CliError::from(&error);
    let kind = error.failure().filter(|failure| failure.component == *id).map(|failure| failure.kind);
    // Whatever keeps the limits from being read now, the call's failure is what to report.
    let Ok(view) = registry.get(id).await else { return report };
    let option = match kind {
        Some(FailureKind::Fuel) if fuel.is_some_and(|fuel| fuel < view.limits.limits.fuel) => "--fuel",
        Some(FailureKind::Deadline) if timeout.is_some_and(|time| time < view.limits.limits.deadline()) => "--timeout",
        _ => return report,
    };
    if let Some(first) = report.hints.first_mut() {
        *first = format!("raise `{option}` if the work is legitimate");
    }
    report
}

/// Reads function and arguments, as WAVE or as a name with JSON.
fn expression(args: &Args) -> Result<CallExpression, CliError> {
    let is_name =
        |text: &str| !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "()\"'[]{}".contains(c));
    let Some(json) = &args.json_args else {
        // `runtime call demo:flaky ok` means `ok()`.
        return Ok(if is_name(&args.expression) {
            CallExpression::Wave(format!("{}()", args.expression))
        } else {
            CallExpression::Wave(args.expression.clone())
        });
    };
    if !is_name(&args.expression) {
        return Err(CliError::usage("with `--json-args` the call is the function's name alone")
            .hint("for instance `runtime call demo:text words --json-args '[\"one two\"]'`"));
    }
    match serde_json::from_str(json) {
        Ok(serde_json::Value::Array(values)) => {
            Ok(CallExpression::Json { function: args.expression.clone(), args: values })
        }
        Ok(_) => Err(CliError::usage("`--json-args` is not a JSON array")
            .hint("write the arguments in brackets, for instance `--json-args '[1, \"two\"]'`")),
        Err(error) => Err(CliError::usage(format!("`--json-args` is not JSON: {error}"))),
    }
}
