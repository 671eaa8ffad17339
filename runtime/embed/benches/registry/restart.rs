//! Opening a registry whose components are active and bringing all to life, beside bare wasmtime doing its part of it: for components as
//! they are, and for such as have nothing in them, where nothing hides what the registry adds.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use embed::{CompileIn, OpenOptions, RegisterRequest};
use engine::EngineSettings;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

/// Makes the text of a component of that number.
type Make = fn(usize) -> String;

/// What they are like, how many there are, how often each side is measured, and the bound, if there is one.
const SETS: [(&str, Make, usize, usize, f64); 3] = [
    ("empty", empty, 1_000, 15, f64::INFINITY),
    ("ordinary", ordinary, 1_000, 15, 1.35),
    ("ordinary", ordinary, 10_000, 5, 1.35),
];
/// Functions of an ordinary component: they make it some 8 KB, as a tool written in Rust or C without a runtime of its language.
const FUNCTIONS: usize = 48;

/// Tells this program to be one side in a process of its own: `ours` or `bare`, then the data folder.
const SIDE: &str = "BENCH_RESTART";

pub(crate) fn run(tokio: &Runtime) -> anyhow::Result<()> {
    for (kind, make, components, runs, bound) in SETS {
        let folder = tempfile::tempdir()?;
        tokio.block_on(fill(folder.path(), make, components))?;
        assert_eq!(compiled(&folder.path().join("cache"))?.len(), components);
        // What the disk still has to do for that is no part of a restart.
        rustix::fs::syncfs(std::fs::File::open(folder.path())?)?;
        let both = crate::medians(
            runs,
            || in_own_process("ours", folder.path()).expect("it restarts"),
            || in_own_process("bare", folder.path()).expect("the code is this engine's"),
        );
        let what = format!("restart with {components} {kind} active components");
        crate::show(&what, "bare wasmtime for them", bound, both);
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

/// A component of one function.
fn empty(number: usize) -> String {
    format!(
        r#"(component
            (core module $m (func (export "f") (result i32) (i32.const {number})))
            (core instance $i (instantiate $m))
            (func (export "f") (result u32) (canon lift (core func $i "f"))))"#
    )
}

/// A component with a memory, data and functions, which calls up to three others.
fn ordinary(number: usize) -> String {
    let mut functions = String::new();
    for function in 0..FUNCTIONS {
        let mut steps = String::new();
        for step in 0..6 {
            let factor = number * FUNCTIONS + function * 6 + step;
            steps += &format!(
                "(local.set 1 (i32.add (local.get 1) (i32.xor (i32.mul (local.get 0) (i32.const {factor}))
                   (i32.load (i32.and (local.get 1) (i32.const 4092))))))\n"
            );
        }
        functions += &format!(
            "(func $w{function} (param i32) (result i32) (local i32)
               (loop $next {steps}
                 (br_if $next (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
               (local.get 1))\n"
        );
    }
    let needs: BTreeSet<usize> =
        [2, 3, 5].iter().take(number % 4).map(|part| number / part).filter(|need| *need < number).collect();
    let (mut imports, mut taken, mut given) = (String::new(), String::new(), String::new());
    for need in needs {
        imports += &format!(
            "(import \"bench:many/c{need}@1.0.0\" (instance $c{need} (export \"work\" (func (param \"n\" u32) (result u32)))))
             (core func $l{need} (canon lower (func $c{need} \"work\")))\n"
        );
        taken += &format!("(import \"needs\" \"c{need}\" (func (param i32) (result i32)))\n");
        given += &format!("(export \"c{need}\" (func $l{need}))");
    }
    format!(
        r#"(component {imports}
            (core module $m {taken}
              (memory (export "memory") 1)
              (data (i32.const 64) "what component {number} says, and more of it")
              {functions}
              (func (export "work") (param i32) (result i32) (call $w0 (local.get 0))))
            (core instance $i (instantiate $m (with "needs" (instance {given}))))
            (func $work (param "n" u32) (result u32) (canon lift (core func $i "work")))
            (instance $api (export "work" (func $work)))
            (export "bench:many/c{number}@1.0.0" (instance $api)))"#
    )
}

async fn fill(folder: &Path, make: Make, components: usize) -> anyhow::Result<()> {
    let options = OpenOptions { compile: CompileIn::ThisProcess, ..OpenOptions::default() };
    let registry = embed::open(folder, options).await?;
    let requests = (0..components).map(|number| {
        let mut request = RegisterRequest::bytes("one.wat", make(number).into_bytes());
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
        let mut linker: Linker<()> = Linker::new(&engine);
        linker.define_unknown_imports_as_traps(&component).map_err(anyhow::Error::msg)?;
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
