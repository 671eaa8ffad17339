//! What limits cost: a call in a registry, with fuel, epoch, limiter and statistics, beside bare wasmtime with fuel alone.

use std::time::Duration;

use domain::call::{CallExpression, CallRequest};
use embed::{InstanceHandle, OpenOptions, RegisterRequest, Target};
use engine::EngineSettings;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, Func, Linker, Val};
use wasmtime::{Engine, Store};

const RUNS: usize = 31;
const CALLS: u32 = 200;

/// Steps of one call: enough that work, not the way there, is most of it, as in calls that limits are for.
const STEPS: u32 = 20_000;

/// Hashes a number so many times.
const HASH: &str = r#"(component
    (core module $m
      (func $mix (param i32) (result i32)
        (i32.mul (i32.xor (local.get 0) (i32.shr_u (local.get 0) (i32.const 15))) (i32.const 0x2c1b3c6d)))
      (func (export "hash") (param $n i32) (param $steps i32) (result i32)
        (loop $again
          (local.set $n (call $mix (i32.add (local.get $n) (local.get $steps))))
          (br_if $again (local.tee $steps (i32.sub (local.get $steps) (i32.const 1)))))
        (local.get $n)))
    (core instance $i (instantiate $m))
    (func (export "hash") (param "n" u32) (param "steps" u32) (result u32) (canon lift (core func $i "hash"))))"#;

pub(crate) fn run(tokio: &Runtime) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = tokio.block_on(embed::open(folder.path(), OpenOptions::default()))?;
    let mut request = RegisterRequest::bytes("hash.wat", HASH.as_bytes());
    request.id = "bench:hash".parse().ok();
    let id = tokio.block_on(registry.register(request))?.entry.entry.id.clone();
    tokio.block_on(registry.activate(&[Target::from(&id)]));
    let handle = tokio.block_on(registry.instance(&id))?;
    let (mut store, function) = tokio.block_on(fuel_alone())?;
    let both = crate::medians(
        RUNS,
        || tokio.block_on(ours(&handle)) / CALLS,
        || tokio.block_on(theirs(&mut store, &function)) / CALLS,
    );
    crate::show("a scalar call under all limits", "bare wasmtime with fuel alone", 1.3, both);
    tokio.block_on(registry.close())?;
    Ok(())
}

async fn ours(handle: &InstanceHandle) -> Duration {
    let start = std::time::Instant::now();
    for number in 0..CALLS {
        let args = vec![number.into(), STEPS.into()];
        let expression = CallExpression::Json { function: "hash".to_owned(), args };
        let outcome = handle.call(CallRequest { expression, ..CallRequest::default() }).await;
        assert!(outcome.expect("it hashes").json.is_u64());
    }
    start.elapsed()
}

/// The same component on wasmtime, with nothing but fuel.
async fn fuel_alone() -> anyhow::Result<(Store<()>, Func)> {
    let mut config = engine::wasmtime_config(&EngineSettings::default());
    config.epoch_interruption(false);
    let engine = Engine::new(&config).map_err(anyhow::Error::msg)?;
    let component = Component::new(&engine, wat::parse_str(HASH)?).map_err(anyhow::Error::msg)?;
    let mut store = Store::new(&engine, ());
    store.set_fuel(u64::MAX).map_err(anyhow::Error::msg)?;
    let instance = Linker::new(&engine).instantiate_async(&mut store, &component).await.map_err(anyhow::Error::msg)?;
    let function = instance.get_func(&mut store, "hash").ok_or_else(|| anyhow::anyhow!("there is no hash"))?;
    Ok((store, function))
}

async fn theirs(store: &mut Store<()>, function: &Func) -> Duration {
    let start = std::time::Instant::now();
    for number in 0..CALLS {
        let mut results = [Val::U32(0)];
        let args = [Val::U32(number), Val::U32(STEPS)];
        function.call_async(&mut *store, &args, &mut results).await.expect("it hashes");
        assert!(matches!(results, [Val::U32(_)]));
    }
    start.elapsed()
}
