//! Instances: one for each call, two threads at once, and ten thousand in one process.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow, ensure};
use domain::call::{CallExpression, CallRequest};
use domain::manifest::ComponentManifest;
use embed::{CompileIn, InstanceHandle, ManifestSource, OpenOptions, RegisterRequest, Registry, Target};
use engine::EngineSettings;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, InstanceAllocationStrategy, Store};

const RUNS: usize = 31;

/// Components that are active at once.
const MANY: usize = 10_000;

/// Tells this program to be the process that has them, and in which folder they are.
const CROWD: &str = "BENCH_CROWD";

/// A component with a memory, and as many calls in a loop as it is asked for.
fn component(number: usize) -> String {
    format!(
        r#"(component
        (core module $m
          (memory (export "memory") 1)
          (data (i32.const 64) "component {number}")
          (func (export "work") (param $n i32) (result i32) (local $sum i32)
            (loop $next
              (local.set $sum (i32.add (local.get $sum) (i32.load8_u (i32.and (local.get $n) (i32.const 127)))))
              (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            (local.get $sum)))
        (core instance $i (instantiate $m))
        (func $work (param "n" u32) (result u32) (canon lift (core func $i "work")))
        (export "work" (func $work))
        (instance $api (export "work" (func $work)))
        (export "bench:crowd/c{number}@1.0.0" (instance $api)))"#
    )
}

/// The same, with a call of the component before it: every second of the crowd is like that.
fn dependent(number: usize) -> String {
    let before = number - 1;
    component(number)
        .replacen(
            "(component\n",
            &format!(
                "(component\n        (import \"bench:crowd/c{before}@1.0.0\" (instance $before \
                 (export \"work\" (func (param \"n\" u32) (result u32)))))\n        \
                 (core func $lowered (canon lower (func $before \"work\")))\n"
            ),
            1,
        )
        .replacen(
            "(core module $m",
            "(core module $m\n          (import \"before\" \"work\" (func (param i32) (result i32)))",
            1,
        )
        .replacen(
            "(instantiate $m)",
            "(instantiate $m (with \"before\" (instance (export \"work\" (func $lowered)))))",
            1,
        )
}

fn request(id: &str, wat: String, manifest: &str) -> Result<RegisterRequest> {
    let mut request = RegisterRequest::bytes(format!("{id}.wat"), wat.into_bytes());
    request.id = Some(id.parse()?);
    if !manifest.is_empty() {
        request.manifest = Some(ManifestSource::Given(Box::new(ComponentManifest::parse(manifest)?)));
    }
    Ok(request)
}

async fn handle(registry: &Registry, id: &str) -> Result<InstanceHandle> {
    let id = id.parse()?;
    let report = registry.activate(&[Target::from(&id)]).await;
    ensure!(report.failed.is_empty(), "{:?}", report.failed.first());
    Ok(registry.instance(&id).await?)
}

fn work(handle: &InstanceHandle, tokio: &tokio::runtime::Handle, n: u32, calls: u32) -> Duration {
    let start = Instant::now();
    tokio.block_on(async {
        for _ in 0..calls {
            let expression = CallExpression::Json { function: "work".to_owned(), args: vec![n.into()] };
            handle.call(CallRequest { expression, ..CallRequest::default() }).await.expect("it works");
        }
    });
    start.elapsed() / calls
}

pub(crate) fn run(tokio: &Runtime) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let registry = tokio.block_on(embed::open(folder.path(), OpenOptions::default()))?;
    let requests = vec![
        request("bench:fresh", component(0), "[instances]\nmode = \"per-call\"\n")?,
        request("bench:left", component(1), "")?,
        request("bench:right", component(2), "")?,
    ];
    for registered in tokio.block_on(registry.register_many(requests)) {
        registered?;
    }
    per_call(tokio, &registry)?;
    two_threads(tokio, &registry)?;
    tokio.block_on(registry.close())?;
    crowd(tokio)
}

/// An instance for each call, beside a store, an instance from wasmtime's pool and a call.
fn per_call(tokio: &Runtime, registry: &Registry) -> Result<()> {
    let fresh = tokio.block_on(handle(registry, "bench:fresh"))?;
    let mut config = engine::wasmtime_config(&EngineSettings::default());
    config.allocation_strategy(InstanceAllocationStrategy::pooling());
    let engine = Engine::new(&config).map_err(Error::msg)?;
    let bare = Component::new(&engine, wat::parse_str(component(0))?).map_err(Error::msg)?;
    let pre = Linker::<()>::new(&engine).instantiate_pre(&bare).map_err(Error::msg)?;
    let index = bare.get_export_index(None, "work").ok_or_else(|| anyhow!("there is no `work`"))?;
    let bare = |calls: u32| {
        let start = Instant::now();
        tokio.block_on(async {
            for _ in 0..calls {
                let mut store = Store::new(&engine, ());
                store.set_fuel(u64::MAX).expect("fuel is on");
                store.set_epoch_deadline(1 << 40);
                let instance = pre.instantiate_async(&mut store).await.expect("it instantiates");
                let work = instance.get_typed_func::<(u32,), (u32,)>(&mut store, index).expect("it is exported");
                work.call_async(&mut store, (100,)).await.expect("it works");
            }
        });
        start.elapsed() / calls
    };
    let both = crate::medians(RUNS, || work(&fresh, tokio.handle(), 100, 500), || bare(500));
    crate::show("a call in an instance of its own", "a pooled instance and a call in bare wasmtime", 2.0, both);
    Ok(())
}

/// Calls of a thread at a time: some 40 ms, so that a system that starts two threads on one processor has time to see it.
const TURN: u32 = 40_000;

/// Two threads, each with a component of its own, beside one.
fn two_threads(tokio: &Runtime, registry: &Registry) -> Result<()> {
    let left = tokio.block_on(handle(registry, "bench:left"))?;
    let right = tokio.block_on(handle(registry, "bench:right"))?;
    let one = || work(&left, tokio.handle(), 100, TURN);
    let two = || {
        std::thread::scope(|scope| {
            let other = scope.spawn(|| work(&right, tokio.handle(), 100, TURN));
            let this = work(&left, tokio.handle(), 100, TURN);
            this.max(other.join().expect("it does not panic"))
        })
    };
    // Each does as much as the one alone: 1.7 times the calls in the time of one.
    let both = crate::medians(RUNS, two, one);
    crate::show("a call while another thread calls another component", "a call alone", 2.0 / 1.7, both);
    Ok(())
}

/// Ten thousand active components in one process, and what the next one hears once there is no room.
fn crowd(tokio: &Runtime) -> Result<()> {
    let folder = tempfile::tempdir()?;
    tokio.block_on(fill(folder.path()))?;
    let output = Command::new(std::env::current_exe()?).env(CROWD, folder.path()).output()?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    println!("{}", String::from_utf8_lossy(&output.stdout).trim_end());
    Ok(())
}

async fn fill(folder: &Path) -> Result<()> {
    let options = OpenOptions { compile: CompileIn::ThisProcess, ..OpenOptions::default() };
    let registry = embed::open(folder, options).await?;
    let requests = (0..MANY).map(|number| {
        let wat = if number % 2 == 1 { dependent(number) } else { component(number) };
        request(&format!("bench:c{number}"), wat, "")
    });
    for registered in registry.register_many(requests.collect::<Result<_>>()?).await {
        registered?;
    }
    let report = registry.activate_all().await?;
    ensure!(report.activated.len() == MANY, "{:?}", report.failed.first());
    registry.close().await?;
    Ok(())
}

/// Is the process of [`crowd`], if this one was started for that.
pub(crate) fn be_the_crowd(tokio: &Runtime) -> Result<bool> {
    let Some(folder) = std::env::var_os(CROWD).map(PathBuf::from) else { return Ok(false) };
    let registry = tokio.block_on(embed::open(&folder, OpenOptions::default()))?;
    let (bytes, mappings) = (resident()?, mapped()?);
    let report = tokio.block_on(registry.resume())?;
    ensure!(report.activated.len() == MANY, "{:?}", report.failed.first());
    let each = (resident()? - bytes) / MANY;
    println!("{MANY} active components: {} KB resident each (bound 100), {} mappings in all", each / 1_000, mapped()?);
    let handle = tokio.block_on(handle(&registry, "bench:c1"))?;
    let took = work(&handle, tokio.handle(), 10, 1_000);
    println!("a call of one of them: {took:.2?}; mappings of each: {:.1}", (mapped()? - mappings) as f64 / MANY as f64);
    tokio.block_on(registry.close())?;
    Ok(true)
}

fn resident() -> Result<usize> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: usize = text.split_whitespace().nth(1).ok_or_else(|| anyhow!("no resident pages"))?.parse()?;
    Ok(pages * 4096)
}

fn mapped() -> Result<usize> {
    Ok(std::fs::read_to_string("/proc/self/maps")?.lines().count())
}
