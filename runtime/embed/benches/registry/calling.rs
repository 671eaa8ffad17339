//! A call of scalars into a live component, beside the same call on bare wasmtime.

use std::time::Duration;

use domain::call::{CallExpression, CallRequest};
use embed::{InstanceHandle, OpenOptions, RegisterRequest, Target};
use engine::EngineSettings;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, Func, Linker, Val};
use wasmtime::{Engine, Store};

const RUNS: usize = 31;
const CALLS: u32 = 2_000;

const ADDER: &str = r#"(component
    (core module $m (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))
    (core instance $i (instantiate $m))
    (func (export "add") (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add"))))"#;

pub(crate) fn run(tokio: &Runtime) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = tokio.block_on(embed::open(folder.path(), OpenOptions::default()))?;
    let mut request = RegisterRequest::bytes("adder.wat", ADDER.as_bytes());
    request.id = "bench:adder".parse().ok();
    let id = tokio.block_on(registry.register(request))?.entry.entry.id.clone();
    tokio.block_on(registry.activate(&[Target::from(&id)]));
    let handle = tokio.block_on(registry.instance(&id))?;
    let (mut store, function) = tokio.block_on(bare())?;
    let both = crate::medians(
        RUNS,
        || tokio.block_on(ours(&handle)) / CALLS,
        || tokio.block_on(theirs(&mut store, &function)) / CALLS,
    );
    crate::show("a call with scalars into a live component", "bare `Func::call_async`", 3.0, both);
    tokio.block_on(registry.close())?;
    Ok(())
}

async fn ours(handle: &InstanceHandle) -> Duration {
    let start = std::time::Instant::now();
    for number in 0..CALLS {
        let args = vec![number.into(), 1.into()];
        let expression = CallExpression::Json { function: "add".to_owned(), args };
        let outcome = handle.call(CallRequest { expression, ..CallRequest::default() }).await;
        assert_eq!(outcome.expect("it adds").json, number + 1);
    }
    start.elapsed()
}

async fn bare() -> anyhow::Result<(Store<()>, Func)> {
    let engine = Engine::new(&engine::wasmtime_config(&EngineSettings::default())).map_err(anyhow::Error::msg)?;
    let component = Component::new(&engine, wat::parse_str(ADDER)?).map_err(anyhow::Error::msg)?;
    let mut store = Store::new(&engine, ());
    store.set_fuel(u64::MAX).map_err(anyhow::Error::msg)?;
    store.set_epoch_deadline(1 << 40);
    let linker = Linker::new(&engine);
    let instance = linker.instantiate_async(&mut store, &component).await.map_err(anyhow::Error::msg)?;
    let function = instance.get_func(&mut store, "add").ok_or_else(|| anyhow::anyhow!("there is no add"))?;
    Ok((store, function))
}

async fn theirs(store: &mut Store<()>, function: &Func) -> Duration {
    let start = std::time::Instant::now();
    for number in 0..CALLS {
        let mut results = [Val::U32(0)];
        function.call_async(&mut *store, &[Val::U32(number), Val::U32(1)], &mut results).await.expect("it adds");
        assert_eq!(results, [Val::U32(number + 1)]);
    }
    start.elapsed()
}
