//! Opening a registry of 1,000 active components, and one of 10,000, and bringing all to life, beside bare wasmtime doing its part of it.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use embed::{OpenOptions, RegisterRequest};
use engine::EngineSettings;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

/// How many components, and how often each side is measured.
const SIZES: [(usize, usize); 2] = [(1_000, 15), (10_000, 5)];

/// Tells this program to be one side in a process of its own: `ours` or `bare`, then the data folder.
const SIDE: &str = "BENCH_RESTART";

pub(crate) fn run(tokio: &Runtime) -> anyhow::Result<()> {
    for (components, runs) in SIZES {
        let folder = tempfile::tempdir()?;
        tokio.block_on(fill(folder.path(), components))?;
        assert_eq!(compiled(&folder.path().join("cache"))?.len(), components);
        let both = crate::medians(
            runs,
            || in_own_process("ours", folder.path()).expect("it restarts"),
            || in_own_process("bare", folder.path()).expect("the code is this engine's"),
        );
        crate::show(&format!("restart with {components} active components"), "bare wasmtime for them", 1.35, both);
    }
    Ok(())
}

/// Runs one side as it is after a restart: in a fresh process, with nothing left of the other side. Returns what it measured, which
/// leaves out the start of the process.
fn in_own_process(side: &str, folder: &Path) -> anyhow::Result<Duration> {
    let output = Command::new(std::env::current_exe()?).env(SIDE, side).arg(folder).output()?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Ok(Duration::from_nanos(String::from_utf8(output.stdout)?.trim().parse()?))
}

/// Is one side, if this process was started for that, and prints nanoseconds.
pub(crate) fn be_a_side(tokio: &Runtime) -> anyhow::Result<bool> {
    let Ok(side) = std::env::var(SIDE) else { return Ok(false) };
    let folder = PathBuf::from(std::env::args().nth(1).unwrap_or_default());
    let took = match side.as_str() {
        "ours" => tokio.block_on(restart(&folder))?,
        _ => tokio.block_on(bare(&compiled(&folder.join("cache"))?))?,
    };
    println!("{}", took.as_nanos());
    Ok(true)
}

async fn fill(folder: &Path, components: usize) -> anyhow::Result<()> {
    let registry = embed::open(folder, OpenOptions::default()).await?;
    let requests = (0..components).map(|number| {
        let text = format!(
            r#"(component
                (core module $m (func (export "f") (result i32) (i32.const {number})))
                (core instance $i (instantiate $m))
                (func (export "f") (result u32) (canon lift (core func $i "f"))))"#
        );
        let mut request = RegisterRequest::bytes("small.wat", text.into_bytes());
        request.id = format!("bench:c{number}").parse().ok();
        request
    });
    for registered in registry.register_many(requests.collect()).await {
        registered?;
    }
    let report = registry.activate_all().await?;
    anyhow::ensure!(report.activated.len() == components, "{:?}", report.failed.first());
    registry.close().await?;
    Ok(())
}

/// Returns how long it takes until all are live; closing is not part of it.
async fn restart(folder: &Path) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let registry = embed::open(folder, OpenOptions::default()).await?;
    let report = registry.resume().await?;
    let took = start.elapsed();
    anyhow::ensure!(report.failed.is_empty(), "{:?}", report.failed.first());
    registry.close().await?;
    Ok(took)
}

/// Loads, links and instantiates one after the other, on the engine's own configuration.
#[expect(unsafe_code, reason = "the baseline loads compiled code that the registry wrote a moment ago")]
async fn bare(files: &[PathBuf]) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let engine = Engine::new(&engine::wasmtime_config(&EngineSettings::default())).map_err(anyhow::Error::msg)?;
    let mut kept = Vec::with_capacity(files.len());
    for file in files {
        // SAFETY: the file comes from the registry's private cache in a folder of this process.
        let component = unsafe { Component::deserialize_file(&engine, file) }.map_err(anyhow::Error::msg)?;
        let linker: Linker<()> = Linker::new(&engine);
        let pre = linker.instantiate_pre(&component).map_err(anyhow::Error::msg)?;
        let mut store = Store::new(&engine, ());
        store.set_fuel(u64::MAX).map_err(anyhow::Error::msg)?;
        store.set_epoch_deadline(1);
        let instance = pre.instantiate_async(&mut store).await.map_err(anyhow::Error::msg)?;
        kept.push((store, instance));
    }
    Ok(start.elapsed())
}

fn compiled(folder: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(compiled(&path)?);
        } else if path.extension().is_some_and(|ending| ending == "cwasm") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
