//! The life of one component in a registry: registered, activated, called, taken out again.

use std::time::{Duration, Instant};

use embed::domain::call::{CallExpression, CallRequest};
use embed::domain::{ComponentId, ComponentManifest, ErrorKind};
use embed::{CompileIn, ManifestSource, OpenOptions, RegisterRequest, Registry, RegistryError, Target};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What every component gets: little, so that a run is quick.
const LIMITS: &str = r#"
    version = "1.0.0"
    [limits]
    fuel = 300_000
    activation_fuel = 300_000
    deadline = "500ms"
    memory = "16MiB"
"#;

/// Most functions of a component that are called.
const CALLS_MAX: usize = 6;

/// A registry in this process, on a folder that goes with it.
pub(crate) struct Life {
    registry: Registry,
    _folder: TempDir,
}

/// One operation.
pub(crate) struct Step {
    pub(crate) what: &'static str,
    pub(crate) took: Duration,
    /// Whether it succeeded.
    pub(crate) done: bool,
    /// Why it did not.
    pub(crate) refused: Option<String>,
    /// Why it was the host's fault, if it was.
    pub(crate) fault: Option<String>,
}

impl Life {
    /// Opens one that compiles in this process, or by the program that `RUNTIME_BIN` names.
    pub(crate) async fn new(compile: CompileIn) -> Self {
        let folder = tempfile::Builder::new().prefix("runtime-mutants-").tempdir().unwrap();
        std::fs::write(folder.path().join("registry.toml"), "durability = \"none\"\n").unwrap();
        let options = OpenOptions { compile, ..OpenOptions::default() };
        let registry = embed::open(folder.path(), options).await.unwrap();
        Self { registry, _folder: folder }
    }

    pub(crate) async fn end(&self) {
        self.registry.clone().close().await.unwrap();
    }

    /// Does all that can be done with one component.
    pub(crate) async fn run(&self, seed: u64, bytes: Vec<u8>) -> Vec<Step> {
        let id: ComponentId = format!("fuzz:c{seed}").parse().unwrap();
        let mut steps = Vec::new();
        let manifest = ManifestSource::Given(Box::new(ComponentManifest::parse(LIMITS).unwrap()));
        let request = RegisterRequest {
            manifest: Some(manifest),
            id: Some(id.clone()),
            ..RegisterRequest::bytes("mutant.wasm", bytes)
        };
        if timed("register", &mut steps, self.registry.register(request)).await.is_none() {
            return steps;
        }
        if let Err(error) = self.registry.wit(&Target::from(&id)).await {
            steps.last_mut().unwrap().fault = fault(&error);
        }
        let target = [Target::from(&id)];
        let activated = timed("activate", &mut steps, async {
            let mut report = self.registry.activate(&target).await;
            match report.failed.pop() {
                Some((_, error)) => Err(error),
                None => Ok(()),
            }
        });
        if activated.await.is_some() {
            self.call_all(&id, &mut steps).await;
        }
        let taken_out = timed("unregister", &mut steps, async {
            let mut outcomes = self.registry.unregister(std::slice::from_ref(&id), true).await;
            match outcomes.failed.pop() {
                Some((_, error)) => Err(error),
                None => Ok(()),
            }
        });
        if taken_out.await.is_none() {
            steps.last_mut().unwrap().fault.get_or_insert("it cannot be unregistered".to_owned());
        }
        steps
    }

    async fn call_all(&self, id: &ComponentId, steps: &mut Vec<Step>) {
        let Ok(instance) = self.registry.instance(id).await else { return };
        let functions = instance.functions().await.unwrap_or_default();
        for function in functions.iter().take(CALLS_MAX) {
            let args = arguments(&function.wit);
            let expression = CallExpression::Json { function: function.qualified(), args };
            let request = CallRequest { expression, wave: true, ..CallRequest::default() };
            timed("call", steps, self.registry.call(id, request)).await;
        }
    }
}

/// Runs one operation and takes its time.
async fn timed<T>(
    what: &'static str,
    steps: &mut Vec<Step>,
    work: impl Future<Output = Result<T, RegistryError>>,
) -> Option<T> {
    let begun = Instant::now();
    let outcome = work.await;
    let fault = outcome.as_ref().err().and_then(fault);
    steps.push(Step {
        what,
        took: begun.elapsed(),
        done: outcome.is_ok(),
        refused: outcome.as_ref().err().map(ToString::to_string),
        fault,
    });
    outcome.ok()
}

/// Says what went wrong if the host is to blame.
fn fault(error: &RegistryError) -> Option<String> {
    (error.kind() == ErrorKind::Internal).then(|| format!("an internal error: {error}"))
}

/// Returns an argument for each parameter of a function written as WIT; they need not fit.
fn arguments(wit: &str) -> Vec<Value> {
    let parameters = wit.split_once('(').and_then(|(_, rest)| rest.split_once(')')).map_or("", |(inside, _)| inside);
    let parameters = parameters.split(", ").filter_map(|parameter| parameter.split_once(": "));
    let argument = |(_, ty): (&str, &str)| match ty {
        "bool" => json!(true),
        "string" | "char" => json!("x"),
        ty if ty.starts_with("list<") => json!([]),
        ty if ty.starts_with("option<") => Value::Null,
        _ => json!(7),
    };
    parameters.map(argument).collect()
}
