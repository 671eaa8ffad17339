//! Calls from one component to another, each in a store of its own, beside what can be written by hand for their types.
//!
//! Times are taken inside the calling guest, which loops: what the host needs to get there is not in them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Error, Result, anyhow};
use domain::call::{CallExpression, CallRequest};
use embed::{InstanceHandle, OpenOptions, RegisterRequest, Registry, Target};
use engine::EngineSettings;
use tokio::runtime::Runtime;
use wasmtime::component::{Component, ComponentType, Instance, Lift, Linker, Lower, TypedFunc, WasmList, WasmStr};
use wasmtime::{Engine, Store};

const RUNS: usize = 31;
const MIB: usize = 1 << 20;

/// What the provider exports and the caller imports.
const OPS: &str = r#"
    (type $line (record (field "sku" string) (field "quantity" u32) (field "price" f64)))
    (export "line" (type $line-e (eq $line)))
    (type $lines (list $line-e))
    (type $order (record (field "id" u64) (field "customer" string) (field "lines" $lines)))
    (export "order" (type $order-e (eq $order)))
    (export "add" (func (param "a" u32) (param "b" u32) (result u32)))
    (export "echo" (func (param "text" string) (result string)))
    (export "total" (func (param "order" $order-e) (result f64)))
    (export "blob" (func (param "bytes" (list u8)) (result u32)))"#;

/// Memory that begins anew with each call.
const MEMORY: &str = r#"
    (memory (export "memory") 64)
    (global $top (mut i32) (i32.const 2097152))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32)
      (global.set $top (i32.and (i32.add (global.get $top) (i32.sub (local.get 2) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get 2))))
      (global.get $top)
      (global.set $top (i32.add (global.get $top) (local.get 3))))
    (func $begin (global.set $top (i32.const 2097152)))"#;

/// Makes the provider; `import` is what else it imports.
fn provider(import: &str) -> String {
    format!(
        r#"(component {import}
    (core module $m {MEMORY}
      (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
      (func (export "echo") (param i32 i32) (result i32)
        (call $begin)
        (i32.store (i32.const 16) (local.get 0)) (i32.store (i32.const 20) (local.get 1)) (i32.const 16))
      (func (export "total") (param i64 i32 i32 i32 i32) (result f64) (local $sum f64) (local $end i32)
        (call $begin)
        (local.set $end (i32.add (local.get 3) (i32.mul (local.get 4) (i32.const 24))))
        (loop $next
          (local.set $sum (f64.add (local.get $sum) (f64.mul (f64.load offset=16 (local.get 3))
            (f64.convert_i32_u (i32.load offset=8 (local.get 3))))))
          (local.set 3 (i32.add (local.get 3) (i32.const 24)))
          (br_if $next (i32.lt_u (local.get 3) (local.get $end))))
        (local.get $sum))
      (func (export "blob") (param i32 i32) (result i32)
        (call $begin)
        (i32.add (local.get 1) (i32.load8_u (local.get 0)))))
    (core instance $i (instantiate $m))
    (type $line (record (field "sku" string) (field "quantity" u32) (field "price" f64)))
    (type $lines (list $line))
    (type $order (record (field "id" u64) (field "customer" string) (field "lines" $lines)))
    (alias core export $i "memory" (core memory $memory))
    (alias core export $i "realloc" (core func $realloc))
    (func $add (param "a" u32) (param "b" u32) (result u32) (canon lift (core func $i "add")))
    (func $echo (param "text" string) (result string)
      (canon lift (core func $i "echo") (memory $memory) (realloc $realloc)))
    (func $total (param "order" $order) (result f64)
      (canon lift (core func $i "total") (memory $memory) (realloc $realloc)))
    (func $blob (param "bytes" (list u8)) (result u32)
      (canon lift (core func $i "blob") (memory $memory) (realloc $realloc)))
    (component $shim
      (type $line (record (field "sku" string) (field "quantity" u32) (field "price" f64)))
      (import "line" (type $line-i (eq $line)))
      (type $lines (list $line-i))
      (type $order (record (field "id" u64) (field "customer" string) (field "lines" $lines)))
      (import "order" (type $order-i (eq $order)))
      (import "add" (func $add (param "a" u32) (param "b" u32) (result u32)))
      (import "echo" (func $echo (param "text" string) (result string)))
      (import "total" (func $total (param "order" $order-i) (result f64)))
      (import "blob" (func $blob (param "bytes" (list u8)) (result u32)))
      (export $line-e "line" (type $line))
      (type $lines-e (list $line-e))
      (type $order-r (record (field "id" u64) (field "customer" string) (field "lines" $lines-e)))
      (export $order-e "order" (type $order-r))
      (export "add" (func $add))
      (export "echo" (func $echo))
      (export "total" (func $total) (func (param "order" $order-e) (result f64)))
      (export "blob" (func $blob)))
    (instance $ops (instantiate $shim (with "line" (type $line)) (with "order" (type $order))
      (with "add" (func $add)) (with "echo" (func $echo)) (with "total" (func $total)) (with "blob" (func $blob))))
    (export "bench:gates/ops@1.0.0" (instance $ops)))"#
    )
}

/// Makes the caller: each of its functions calls the provider `n` times.
fn caller() -> String {
    format!(
        r#"(component
    (import "bench:gates/ops@1.0.0" (instance $ops {OPS}))
    (core module $libc
      (memory (export "memory") 64)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 2097152))
      (data (i32.const 1024) "sku-0001sku-0002sku-0003sku-0004sku-0005sku-0006sku-0007sku-0008")
      (func $start (local $i i32)
        (loop $next
          (i32.store (i32.add (i32.const 4096) (i32.mul (local.get $i) (i32.const 24)))
            (i32.add (i32.const 1024) (i32.mul (i32.and (local.get $i) (i32.const 7)) (i32.const 8))))
          (i32.store offset=4 (i32.add (i32.const 4096) (i32.mul (local.get $i) (i32.const 24))) (i32.const 8))
          (i32.store offset=8 (i32.add (i32.const 4096) (i32.mul (local.get $i) (i32.const 24))) (local.get $i))
          (f64.store offset=16 (i32.add (i32.const 4096) (i32.mul (local.get $i) (i32.const 24))) (f64.const 2.5))
          (local.set $i (i32.add (local.get $i) (i32.const 1)))
          (br_if $next (i32.lt_u (local.get $i) (i32.const 32)))))
      (start $start))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "memory" (core memory $memory))
    (alias core export $libc "realloc" (core func $realloc))
    (core func $add (canon lower (func $ops "add")))
    (core func $echo (canon lower (func $ops "echo") (memory $memory) (realloc $realloc)))
    (core func $total (canon lower (func $ops "total") (memory $memory)))
    (core func $blob (canon lower (func $ops "blob") (memory $memory)))
    (core module $m
      (import "o" "add" (func $add (param i32 i32) (result i32)))
      (import "o" "echo" (func $echo (param i32 i32 i32)))
      (import "o" "total" (func $total (param i64 i32 i32 i32 i32) (result f64)))
      (import "o" "blob" (func $blob (param i32 i32) (result i32)))
      (func (export "run-add") (param $n i32) (result i32) (local $sum i32)
        (loop $next
          (local.set $sum (call $add (local.get $sum) (local.get $n)))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum))
      (func (export "run-echo") (param $n i32) (result i32)
        (loop $next
          (call $echo (i32.const 1024) (i32.const 64) (i32.const 16))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i32.const 0))
      (func (export "run-total") (param $n i32) (result i32) (local $sum f64)
        (loop $next
          (local.set $sum (call $total (i64.const 7) (i32.const 1024) (i32.const 8) (i32.const 4096) (i32.const 32)))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (i32.trunc_f64_s (local.get $sum)))
      (func (export "run-blob") (param $n i32) (result i32) (local $sum i32)
        (loop $next
          (local.set $sum (call $blob (i32.const 65536) (i32.const 1048576)))
          (br_if $next (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
        (local.get $sum)))
    (core instance $i (instantiate $m (with "o" (instance
      (export "add" (func $add)) (export "echo" (func $echo)) (export "total" (func $total))
      (export "blob" (func $blob))))))
    (func (export "run-add") (param "n" u32) (result u32) (canon lift (core func $i "run-add")))
    (func (export "run-echo") (param "n" u32) (result u32) (canon lift (core func $i "run-echo")))
    (func (export "run-total") (param "n" u32) (result u32) (canon lift (core func $i "run-total")))
    (func (export "run-blob") (param "n" u32) (result u32) (canon lift (core func $i "run-blob"))))"#
    )
}

/// Makes one component of both, as `wac plug` would.
fn composed() -> String {
    let nested = |name: &str, wat: &str| wat.replacen("(component", &format!("(component ${name}"), 1);
    let exports = ["run-add", "run-echo", "run-total", "run-blob"];
    let exports: String = exports.iter().map(|name| format!(r#"(export "{name}" (func $a "{name}"))"#)).collect();
    format!(
        r#"(component {} {}
        (instance $b (instantiate $provider))
        (instance $a (instantiate $caller (with "bench:gates/ops@1.0.0" (instance $b "bench:gates/ops@1.0.0"))))
        {exports})"#,
        nested("provider", &provider("")),
        nested("caller", &caller()),
    )
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Line {
    sku: String,
    quantity: u32,
    price: f64,
}

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Order {
    id: u64,
    customer: String,
    lines: Vec<Line>,
}

/// A provider on bare wasmtime.
struct Bare {
    store: Store<()>,
    instance: Instance,
}

impl Bare {
    fn new(engine: &Engine, component: &str, linker: &Linker<()>) -> Result<Self> {
        let component = Component::new(engine, wat::parse_str(component)?).map_err(Error::msg)?;
        let mut store = Store::new(engine, ());
        store.set_fuel(u64::MAX).map_err(Error::msg)?;
        store.set_epoch_deadline(1 << 40);
        let instance = linker.instantiate(&mut store, &component).map_err(Error::msg)?;
        Ok(Self { store, instance })
    }

    fn op<P, R>(&mut self, name: &str) -> Result<TypedFunc<P, R>>
    where
        P: wasmtime::component::ComponentNamedList + Lower,
        R: wasmtime::component::ComponentNamedList + Lift,
    {
        let ops = self.instance.get_export_index(&mut self.store, None, "bench:gates/ops@1.0.0");
        let function = self.instance.get_export_index(&mut self.store, ops.as_ref(), name);
        let function = function.ok_or_else(|| anyhow!("there is no {name}"))?;
        self.instance.get_typed_func(&mut self.store, function).map_err(Error::msg)
    }

    /// Returns how long one of `calls` calls takes that `function` of this caller makes.
    fn run(&mut self, function: &str, calls: u32) -> Duration {
        let run = self.instance.get_typed_func::<(u32,), (u32,)>(&mut self.store, function).expect("it is exported");
        let start = Instant::now();
        run.call(&mut self.store, (calls,)).expect("it returns");
        start.elapsed() / calls
    }
}

/// Makes a caller whose imports are forwarders, each written for its types.
fn by_hand(engine: &Engine) -> Result<Bare> {
    let mut bare = Bare::new(engine, &provider(""), &Linker::new(engine))?;
    let add: TypedFunc<(u32, u32), (u32,)> = bare.op("add")?;
    let echo: TypedFunc<(&str,), (String,)> = bare.op("echo")?;
    let echo = *echo.func();
    let total: TypedFunc<(Order,), (f64,)> = bare.op("total")?;
    let blob: TypedFunc<(&[u8],), (u32,)> = bare.op("blob")?;
    let blob = *blob.func();
    let provider = Arc::new(Mutex::new(bare.store));
    let mut linker = Linker::<()>::new(engine);
    let mut ops = linker.instance("bench:gates/ops@1.0.0").map_err(Error::msg)?;
    let store = Arc::clone(&provider);
    ops.func_wrap("add", move |_, (a, b): (u32, u32)| {
        add.call(&mut *store.lock().unwrap_or_else(PoisonError::into_inner), (a, b))
    })
    .map_err(Error::msg)?;
    let store = Arc::clone(&provider);
    ops.func_wrap("echo", move |cx, (text,): (WasmStr,)| {
        let text = text.to_str(&cx)?;
        let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
        let echo = echo.typed::<(&str,), (String,)>(&*store)?;
        echo.call(&mut *store, (&text,))
    })
    .map_err(Error::msg)?;
    let store = Arc::clone(&provider);
    ops.func_wrap("total", move |_, (order,): (Order,)| {
        total.call(&mut *store.lock().unwrap_or_else(PoisonError::into_inner), (order,))
    })
    .map_err(Error::msg)?;
    ops.func_wrap("blob", move |cx, (bytes,): (WasmList<u8>,)| {
        let bytes = bytes.as_le_slice(&cx);
        let mut store = provider.lock().unwrap_or_else(PoisonError::into_inner);
        let blob = blob.typed::<(&[u8],), (u32,)>(&*store)?;
        blob.call(&mut *store, (bytes,))
    })
    .map_err(Error::msg)?;
    Bare::new(engine, &caller(), &linker)
}

/// Opens a registry in which a caller calls a provider; `import` is what else that imports.
fn registered(tokio: &Runtime, folder: &std::path::Path, import: &str) -> Result<(Registry, InstanceHandle)> {
    let registry = tokio.block_on(embed::open(folder, OpenOptions::default()))?;
    for (id, wat) in [("bench:provider", provider(import)), ("bench:caller", caller())] {
        let mut request = RegisterRequest::bytes(format!("{id}.wat"), wat.into_bytes());
        request.id = id.parse().ok();
        tokio.block_on(registry.register(request))?;
    }
    let id = "bench:caller".parse()?;
    let report = tokio.block_on(registry.activate(&[Target::from(&id)]));
    anyhow::ensure!(report.failed.is_empty(), "the components cannot be activated");
    let handle = tokio.block_on(registry.instance(&id))?;
    Ok((registry, handle))
}

/// Returns how long one of `calls` calls takes that `function` of the registered caller makes.
fn ours(tokio: &Runtime, handle: &InstanceHandle, function: &str, calls: u32) -> Duration {
    let expression = CallExpression::Json { function: function.to_owned(), args: vec![calls.into()] };
    let request = CallRequest { expression, ..CallRequest::default() };
    let start = Instant::now();
    tokio.block_on(handle.call(request)).expect("it returns");
    start.elapsed() / calls
}

/// Makes a caller whose imports are forwarders that make every value.
fn by_value(engine: &Engine) -> Result<Bare> {
    let mut bare = Bare::new(engine, &provider(""), &Linker::new(engine))?;
    let ops = bare.instance.get_export_index(&mut bare.store, None, "bench:gates/ops@1.0.0");
    let mut functions = Vec::new();
    for name in ["add", "echo", "total", "blob"] {
        let index = bare.instance.get_export_index(&mut bare.store, ops.as_ref(), name);
        let index = index.ok_or_else(|| anyhow!("there is no {name}"))?;
        let function = bare.instance.get_func(&mut bare.store, index).ok_or_else(|| anyhow!("there is no {name}"))?;
        functions.push((name, function));
    }
    let provider = Arc::new(Mutex::new(bare.store));
    let mut linker = Linker::<()>::new(engine);
    let mut ops = linker.instance("bench:gates/ops@1.0.0").map_err(Error::msg)?;
    for (name, function) in functions {
        let store = Arc::clone(&provider);
        ops.func_new(name, move |_, _, params, results| {
            function.call(&mut *store.lock().unwrap_or_else(PoisonError::into_inner), params, results)
        })
        .map_err(Error::msg)?;
    }
    Bare::new(engine, &caller(), &linker)
}

pub(crate) fn run(tokio: &Runtime) -> Result<()> {
    let engine = Engine::new(&engine::wasmtime_config(&EngineSettings::default())).map_err(Error::msg)?;
    let (folders, linker) = ([tempfile::tempdir()?, tempfile::tempdir()?], Linker::new(&engine));
    let (plain, near) = registered(tokio, folders[0].path(), "")?;
    let waits = r#"(import "wasi:io/poll@0.2.0" (instance (export "pollable" (type (sub resource)))))"#;
    let (waiting, far) = registered(tokio, folders[1].path(), waits)?;
    let mut direct = Bare::new(&engine, &provider(""), &linker)?;
    let add: TypedFunc<(u32, u32), (u32,)> = direct.op("add")?;
    let mut add = |calls: u32| {
        let start = Instant::now();
        for number in 0..calls {
            add.call(&mut direct.store, (number, 1)).expect("it adds");
        }
        start.elapsed() / calls
    };
    let (mut hand, mut values) = (by_hand(&engine)?, by_value(&engine)?);
    let mut whole = Bare::new(&engine, &composed(), &linker)?;
    let show = crate::show;

    let both = crate::medians(RUNS, || ours(tokio, &near, "run-add", 5_000), || add(5_000));
    show("two numbers to a component that never waits", "a typed call from the host", 1.8, both);
    let both = crate::medians(RUNS, || ours(tokio, &far, "run-add", 5_000), || add(5_000));
    show("two numbers to a component that may wait", "a typed call from the host", 4.5, both);
    let both = crate::medians(RUNS, || ours(tokio, &near, "run-add", 5_000), || hand.run("run-add", 5_000));
    show("two numbers", "a forwarder written by hand", 1.2, both);
    let both = crate::medians(RUNS, || ours(tokio, &near, "run-echo", 5_000), || hand.run("run-echo", 5_000));
    show("a string of 64 bytes there and back", "a forwarder written by hand", 1.2, both);
    let both = crate::medians(RUNS, || ours(tokio, &near, "run-total", 1_000), || hand.run("run-total", 1_000));
    show("a record with 32 records", "a forwarder written by hand", 1.5, both);
    let both = crate::medians(RUNS, || ours(tokio, &near, "run-total", 1_000), || values.run("run-total", 1_000));
    show("a record with 32 records", "a forwarder of `Val`s", 1.0 / 3.0, both);
    let (from, mut to) = (vec![7_u8; MIB], vec![0_u8; MIB]);
    let mut copy = |calls: u32| {
        let start = Instant::now();
        for _ in 0..calls {
            to.copy_from_slice(std::hint::black_box(&from));
            std::hint::black_box(&mut to);
        }
        start.elapsed() / calls
    };
    let both = crate::medians(RUNS, || ours(tokio, &near, "run-blob", 10), || copy(10));
    show("1 MiB of bytes", "one copy of them", 1.5, both);
    let both = crate::medians(RUNS, || ours(tokio, &near, "run-blob", 10), || whole.run("run-blob", 1));
    show("1 MiB of bytes", "the composed component", 0.05, both);
    let both = crate::medians(RUNS, || ours(tokio, &near, "run-add", 5_000), || whole.run("run-add", 5_000));
    show("two numbers", "the composed component", f64::INFINITY, both);
    tokio.block_on(plain.close())?;
    tokio.block_on(waiting.close())?;
    Ok(())
}
