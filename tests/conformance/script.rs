//! Runs one script: makes components, calls them, compares.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use engine::EngineSettings;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, Instance, Linker, Val};
use wasmtime::{Engine, Store};
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::{QuoteWat, Wast, WastArg, WastDirective, WastExecute, WastInvoke, WastRet};

use crate::values;

/// Fuel for each instance and all its calls.
const FUEL: u64 = 1_000_000_000;

/// What came of a script.
#[derive(Default)]
pub(crate) struct Ran {
    pub(crate) directives: usize,
    /// Components that were not accepted and should have been.
    pub(crate) refused: usize,
    /// What did not end as the script says, with its line.
    pub(crate) failures: Vec<String>,
    /// What the host said when it panicked.
    pub(crate) panicked: Option<String>,
}

/// Runs a script to its end, whatever fails in it.
pub(crate) fn run(text: &str) -> Ran {
    let mut ran = Ran::default();
    let panicked = catch_unwind(AssertUnwindSafe(|| Script::new().run(text, &mut ran))).err();
    ran.panicked = panicked.map(|panic| match panic.downcast::<String>() {
        Ok(text) => *text,
        Err(panic) => panic.downcast_ref::<&str>().map_or_else(|| "no text".to_owned(), |text| (*text).to_owned()),
    });
    ran
}

/// An instance in a store of its own, as in the registry.
struct Live {
    store: Store<()>,
    instance: Instance,
}

struct Script {
    engine: Engine,
    tokio: Runtime,
    definitions: HashMap<String, Component>,
    instances: HashMap<String, Live>,
    /// The definition and the instance that a directive means which names none.
    last: Option<Component>,
    current: Option<String>,
}

/// Why something did not work: a component was refused, or anything else.
enum Failed {
    Refused(String),
    Otherwise(String),
}

impl Failed {
    fn text(&self) -> &str {
        match self {
            Self::Refused(text) | Self::Otherwise(text) => text,
        }
    }
}

impl Script {
    fn new() -> Self {
        Self {
            engine: Engine::new(&engine::wasmtime_config(&EngineSettings::default())).unwrap(),
            tokio: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            definitions: HashMap::new(),
            instances: HashMap::new(),
            last: None,
            current: None,
        }
    }

    fn run(&mut self, text: &str, ran: &mut Ran) {
        let mut lexer = Lexer::new(text);
        lexer.allow_confusing_unicode(true);
        let buffer = match ParseBuffer::new_with_lexer(lexer) {
            Ok(buffer) => buffer,
            Err(error) => return ran.failures.push(format!("not a script: {error}")),
        };
        let script = match parser::parse::<Wast<'_>>(&buffer) {
            Ok(script) => script,
            Err(error) => return ran.failures.push(format!("not a script: {error}")),
        };
        for directive in script.directives {
            ran.directives += 1;
            let line = directive.span().linecol_in(text).0 + 1;
            if let Err(failed) = self.directive(directive) {
                ran.refused += usize::from(matches!(failed, Failed::Refused(_)));
                ran.failures.push(format!("line {line}: {}", failed.text()));
            }
        }
    }

    fn directive(&mut self, directive: WastDirective<'_>) -> Result<(), Failed> {
        match directive {
            WastDirective::Module(mut source) => {
                let name = source.name().map(|id| id.name().to_owned());
                let component = self.compile(&mut source).map_err(Failed::Refused)?;
                self.define(name.as_deref(), component.clone());
                self.instantiate(name, &component).map_err(Failed::Otherwise)
            }
            WastDirective::ModuleDefinition(mut source) => {
                let name = source.name().map(|id| id.name().to_owned());
                let component = self.compile(&mut source).map_err(Failed::Refused)?;
                self.define(name.as_deref(), component);
                Ok(())
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let component = match module {
                    Some(id) => self.definitions.get(id.name()).cloned(),
                    None => self.last.clone(),
                };
                let component = component.ok_or_else(|| Failed::Otherwise("there is no such component".to_owned()))?;
                self.instantiate(instance.map(|id| id.name().to_owned()), &component).map_err(Failed::Otherwise)
            }
            WastDirective::AssertMalformed { mut module, .. } | WastDirective::AssertInvalid { mut module, .. } => {
                match self.compile(&mut module) {
                    Ok(_) => Err(Failed::Otherwise("it is accepted".to_owned())),
                    Err(_) => Ok(()),
                }
            }
            WastDirective::AssertUnlinkable { module, .. } => {
                let component = self.compile(&mut QuoteWat::Wat(module)).map_err(Failed::Refused)?;
                match self.instantiate(None, &component) {
                    Ok(()) => Err(Failed::Otherwise("it can be linked".to_owned())),
                    Err(_) => Ok(()),
                }
            }
            WastDirective::Invoke(call) => self.call(&call).map(|_| ()).map_err(Failed::Otherwise),
            WastDirective::AssertReturn { exec: WastExecute::Invoke(call), results, .. } => {
                let value = self.call(&call).map_err(Failed::Otherwise)?;
                compare(value.as_ref(), &results).map_err(Failed::Otherwise)
            }
            WastDirective::AssertTrap { exec, message, .. } => self.trap(exec, message),
            WastDirective::AssertExhaustion { call, message, .. } => self.trap(WastExecute::Invoke(call), message),
            other => Err(Failed::Otherwise(format!("not understood: {other:?}").chars().take(200).collect())),
        }
    }

    fn trap(&mut self, exec: WastExecute<'_>, message: &str) -> Result<(), Failed> {
        let outcome = match exec {
            WastExecute::Invoke(call) => self.call(&call).map(|value| format!("{value:?}")),
            WastExecute::Wat(source) => {
                let component = self.compile(&mut QuoteWat::Wat(source)).map_err(Failed::Refused)?;
                self.instantiate(None, &component).map(|()| "an instance".to_owned())
            }
            WastExecute::Get { .. } => Ok("a global".to_owned()),
        };
        match outcome {
            Ok(value) => Err(Failed::Otherwise(format!("it gives {value} and should trap: {message}"))),
            Err(error) if error.contains(message) => Ok(()),
            Err(error) => Err(Failed::Otherwise(format!("it traps with another message than {message:?}: {error}"))),
        }
    }

    fn compile(&self, source: &mut QuoteWat<'_>) -> Result<Component, String> {
        let bytes = source.encode().map_err(|error| error.to_string())?;
        Component::new(&self.engine, bytes).map_err(|error| format!("{error:#}"))
    }

    fn define(&mut self, name: Option<&str>, component: Component) {
        if let Some(name) = name {
            self.definitions.insert(name.to_owned(), component.clone());
        }
        self.last = Some(component);
    }

    fn instantiate(&mut self, name: Option<String>, component: &Component) -> Result<(), String> {
        let mut store = Store::new(&self.engine, ());
        store.set_fuel(FUEL).unwrap();
        store.set_epoch_deadline(1 << 40);
        let linker = Linker::new(&self.engine);
        let made = self.tokio.block_on(linker.instantiate_async(&mut store, component));
        let instance = made.map_err(|error| format!("{error:#}"))?;
        let live = Live { store, instance };
        // One without a name makes room for the next one.
        let name = name.unwrap_or_default();
        self.instances.insert(name.clone(), live);
        self.current = Some(name);
        Ok(())
    }

    fn call(&mut self, call: &WastInvoke<'_>) -> Result<Option<Val>, String> {
        let name = call.module.map(|id| id.name()).or(self.current.as_deref()).unwrap_or_default();
        let live = self.instances.get_mut(name).ok_or("there is no such instance")?;
        let function = live.instance.get_func(&mut live.store, call.name).ok_or("there is no such function")?;
        let args = call.args.iter().map(|arg| match arg {
            WastArg::Component(value) => values::value(value),
            WastArg::Core(value) => values::float(value),
            _ => Err("an argument that is not known".to_owned()),
        });
        let args = args.collect::<Result<Vec<_>, _>>()?;
        let mut results = vec![Val::Bool(false); function.ty(&live.store).results().len()];
        let called = self.tokio.block_on(function.call_async(&mut live.store, &args, &mut results));
        called.map_err(|error| format!("{error:#}"))?;
        Ok(results.pop())
    }
}

fn compare(value: Option<&Val>, wanted: &[WastRet<'_>]) -> Result<(), String> {
    match (value, wanted) {
        (None, []) => Ok(()),
        (Some(value), [WastRet::Component(wanted)]) => {
            let wanted = values::value(wanted)?;
            match values::same(value, &wanted) {
                true => Ok(()),
                false => Err(format!("it gives {value:?} and should give {wanted:?}")),
            }
        }
        (Some(value), [WastRet::Core(wanted)]) if values::is_float(value, wanted) => Ok(()),
        _ => Err(format!("it gives {value:?} and should give {wanted:?}")),
    }
}
