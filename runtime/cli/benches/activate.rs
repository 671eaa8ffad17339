//! `runtime activate` of one small component in a fresh process, beside a bare program that does the least that could
//! be called the same: opens wasmtime with the same configuration, loads the compiled code, links, instantiates, appends one
//! line with a sync, and ends.
#![expect(clippy::print_stdout, reason = "the ratio is the bench's result")]

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use engine::EngineSettings;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

const RUNS: usize = 41;
/// Tells this program to be the bare one: the compiled code and the file to append to follow.
const BARE: &str = "BENCH_BARE";

const SMALL: &str = r#"(component
    (core module $m (func (export "f") (result i32) (i32.const 7)))
    (core instance $i (instantiate $m))
    (func (export "f") (result u32) (canon lift (core func $i "f"))))"#;

fn main() -> anyhow::Result<()> {
    if let Ok(code) = std::env::var(BARE) {
        return bare(Path::new(&code));
    }
    let folder = tempfile::tempdir()?;
    std::fs::write(folder.path().join("small.wat"), SMALL)?;
    let data = folder.path().join("data");
    runtime(&data, &["register", &folder.path().join("small.wat").display().to_string(), "--id", "bench:small"])?;
    runtime(&data, &["activate", "bench:small"])?;
    let code = find_code(&data.join("cache"))?.ok_or_else(|| anyhow::anyhow!("nothing was compiled"))?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..RUNS {
        runtime(&data, &["deactivate", "bench:small"])?;
        ours.push(runtime(&data, &["activate", "bench:small"])?);
        theirs.push(timed(Command::new(std::env::current_exe()?).env(BARE, &code))?);
    }
    let median = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        times.get(RUNS / 2).copied().unwrap_or_default()
    };
    let (ours, theirs) = (median(&mut ours), median(&mut theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!(
        "`runtime activate`, cached, fresh process: {ours:.2?}, bare program: {theirs:.2?}, ratio {ratio:.2} (bound 3)"
    );
    Ok(())
}

fn runtime(data: &Path, args: &[&str]) -> anyhow::Result<Duration> {
    timed(Command::new(env!("CARGO_BIN_EXE_runtime")).arg("--data").arg(data).arg("-q").args(args))
}

fn timed(command: &mut Command) -> anyhow::Result<Duration> {
    let start = Instant::now();
    let status = command.stdout(Stdio::null()).status()?;
    let took = start.elapsed();
    anyhow::ensure!(status.success(), "{command:?} ended with {status}");
    Ok(took)
}

#[expect(unsafe_code, reason = "the baseline loads compiled code that the registry wrote a moment ago")]
fn bare(code: &Path) -> anyhow::Result<()> {
    let engine = Engine::new(&engine::wasmtime_config(&EngineSettings::default())).map_err(anyhow::Error::msg)?;
    // SAFETY: the file comes from the registry's private cache in a folder of the bench.
    let component = unsafe { Component::deserialize_file(&engine, code) }.map_err(anyhow::Error::msg)?;
    let linker: Linker<()> = Linker::new(&engine);
    let pre = linker.instantiate_pre(&component).map_err(anyhow::Error::msg)?;
    let mut store = Store::new(&engine, ());
    store.set_fuel(1_000_000).map_err(anyhow::Error::msg)?;
    store.set_epoch_deadline(1_000);
    let tokio = tokio::runtime::Builder::new_current_thread().build()?;
    tokio.block_on(pre.instantiate_async(&mut store)).map_err(anyhow::Error::msg)?;
    let log = code.with_extension("bench-log");
    let mut log = std::fs::OpenOptions::new().append(true).create(true).open(log)?;
    log.write_all(b"{\"event\":\"activated\",\"component\":\"bench:small\"}\n")?;
    log.sync_data()?;
    Ok(())
}

fn find_code(folder: &Path) -> anyhow::Result<Option<PathBuf>> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            if let Some(found) = find_code(&path)? {
                return Ok(Some(found));
            }
        } else if path.extension().is_some_and(|ending| ending == "cwasm") {
            return Ok(Some(path));
        }
    }
    Ok(None)
}
