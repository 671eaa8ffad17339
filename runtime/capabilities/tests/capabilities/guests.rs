//! Guests in text that use the host.

use domain::Limits;
use domain::failure::FailureKind;
use serde_json::json;

use crate::support::{World, call, failure, wave};

const LIBC: &str = r#"
    (core module $libc
      (memory (export "mem") 2)
      (global $next (mut i32) (i32.const 1024))
      (func (export "realloc") (param i32 i32) (param $align i32) (param $len i32) (result i32)
        (local $at i32)
        (local.set $at (i32.and (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
                                (i32.sub (i32.const 0) (local.get $align))))
        (global.set $next (i32.add (local.get $at) (local.get $len)))
        (local.get $at)))
    (core instance $libc (instantiate $libc))
    (alias core export $libc "mem" (core memory $mem))
    (alias core export $libc "realloc" (core func $realloc))"#;

/// A guest that writes to a standard stream; `version` is that of its WASI imports.
fn printer(stream: &str, version: &str) -> String {
    format!(
        r#"(component
      (import "wasi:io/error@{version}" (instance $error (export "error" (type (sub resource)))))
      (alias export $error "error" (type $error'))
      (import "wasi:io/streams@{version}" (instance $streams
        (export "output-stream" (type $out (sub resource)))
        (alias outer 1 $error' (type $e))
        (export "error" (type $err (eq $e)))
        (type $stream-error' (variant (case "last-operation-failed" (own $err)) (case "closed")))
        (export "stream-error" (type $stream-error (eq $stream-error')))
        (export "[method]output-stream.blocking-write-and-flush"
          (func (param "self" (borrow $out)) (param "contents" (list u8)) (result (result (error $stream-error)))))))
      (alias export $streams "output-stream" (type $out))
      (import "wasi:cli/{stream}@{version}" (instance $cli
        (alias outer 1 $out (type $o))
        (export "output-stream" (type $output (eq $o)))
        (export "get-{stream}" (func (result (own $output))))))
      {LIBC}
      (core func $get (canon lower (func $cli "get-{stream}")))
      (core func $write (canon lower (func $streams "[method]output-stream.blocking-write-and-flush") (memory $mem)))
      (core module $m
        (import "x" "mem" (memory 2))
        (import "x" "get" (func $get (result i32)))
        (import "x" "write" (func $write (param i32 i32 i32 i32)))
        (func (export "print") (param i32 i32)
          (call $write (call $get) (local.get 0) (local.get 1) (i32.const 0)))
        (func (export "flood") (param i32 i32) (param $times i32)
          (local $out i32)
          (local.set $out (call $get))
          (loop $more
            (call $write (local.get $out) (local.get 0) (local.get 1) (i32.const 0))
            (br_if $more (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))
      (core instance $i (instantiate $m
        (with "x" (instance (export "mem" (memory $mem)) (export "get" (func $get)) (export "write" (func $write))))))
      (func (export "print") (param "text" string)
        (canon lift (core func $i "print") (memory $mem) (realloc $realloc)))
      (func (export "flood") (param "text" string) (param "times" u32)
        (canon lift (core func $i "flood") (memory $mem) (realloc $realloc))))"#
    )
}

#[tokio::test]
async fn what_is_printed_becomes_escaped_lines() {
    let world = World::new();
    let unit = world.unit(&printer("stdout", "0.2.0")).await;
    call(&unit, r#"print("one\ntwo\r\n\nthree \u{1b}[31m")"#).await;
    assert_eq!(world.lines(), ["stdout | one", "stdout | two", "stdout | ", "stdout | three \\u{1b}[31m"]);
    let unit = world.unit(&printer("stderr", "0.2.0")).await;
    call(&unit, r#"print("oh\n")"#).await;
    assert_eq!(world.lines(), ["stderr | oh"]);
}

#[tokio::test]
async fn wasi_of_any_0_2_is_served() {
    let world = World::new();
    for version in ["0.2.0", "0.2.3", "0.2.6", "0.2.12", "0.2.99"] {
        let unit = world.unit(&printer("stdout", version)).await;
        call(&unit, "print(\"hello\")").await;
        assert_eq!(world.lines(), ["stdout | hello"]);
    }
    let refused = world.refusal(&printer("stdout", "0.3.0")).await;
    assert_eq!(refused.kind, FailureKind::Denied);
}

#[tokio::test]
async fn a_flood_is_cut_and_counted() {
    let world = World::new();
    let limits = Limits { output_lines: 100, ..Limits::DEFAULT };
    let unit = world.limited(&printer("stdout", "0.2.0"), limits).await;
    call(&unit, r#"flood("x\n", 5000)"#).await;
    call(&unit, r#"flood("x\n", 5000)"#).await;
    drop(unit);
    assert_cut(&world.lines(), 10_000, "x");

    let limits = Limits { output_bytes: 30_000, ..Limits::DEFAULT };
    let unit = world.limited(&printer("stdout", "0.2.0"), limits).await;
    let long = "y".repeat(3_000);
    call(&unit, &format!("flood({:?}, 200)", format!("{long}\n"))).await;
    drop(unit);
    assert_cut(&world.lines(), 200, &long);
}

/// Looks whether some of the lines came through, and all others were counted, however many seconds it took.
fn assert_cut(lines: &[String], printed: usize, text: &str) {
    let came = lines.iter().filter(|line| line.strip_prefix("stdout | ") == Some(text)).count();
    let counted: usize = lines
        .iter()
        .filter_map(|line| line.strip_prefix("stderr | … ")?.split(' ').next()?.parse::<usize>().ok())
        .sum();
    assert_eq!(came + counted, printed, "{came} came through");
    assert!(0 < came && came < printed / 2, "{came} of {printed}");
}

#[tokio::test]
async fn output_of_a_call_that_traps_is_kept() {
    let world = World::new();
    let unit = world.unit(&printer("stdout", "0.2.0")).await;
    // Fuel ends the flood in the middle of a line.
    let request = domain::call::CallRequest { fuel: Some(2_000), ..wave("flood(\"ab\", 100000)") };
    unit.call(request).await.unwrap_err();
    assert!(world.lines().first().unwrap().starts_with("stdout | abab"));
}

fn logger(name: &str) -> String {
    format!(
        r#"(component
      (import "{name}" (instance $log
        (type $level' (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $level')))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
      {LIBC}
      (core func $log (canon lower (func $log "log") (memory $mem)))
      (core module $m
        (import "x" "log" (func $log (param i32 i32 i32 i32 i32)))
        (func (export "log") (param i32 i32 i32 i32 i32)
          (call $log (local.get 0) (local.get 1) (local.get 2) (local.get 3) (local.get 4))))
      (core instance $i (instantiate $m (with "x" (instance (export "log" (func $log))))))
      (alias export $log "level" (type $level))
      (func $f (param "level" $level) (param "context" string) (param "message" string)
        (canon lift (core func $i "log") (memory $mem) (realloc $realloc)))
      (export "log" (func $f)))"#
    )
}

#[tokio::test]
async fn logging_is_served_under_both_names() {
    let world = World::new();
    for name in ["wasi:logging/logging", "wasi:logging/logging@0.1.0-draft"] {
        let unit = world.unit(&logger(name)).await;
        call(&unit, r#"log(warn, "net", "slow\nand \u{202e}odd")"#).await;
        call(&unit, r#"log(critical, "", "over")"#).await;
        assert_eq!(world.lines(), ["warn net | slow\\nand \\u{202e}odd", "critical  | over"]);
    }
}

fn config(name: &str) -> String {
    format!(
        r#"(component
      (import "{name}" (instance $store
        (type $error' (variant (case "upstream" string) (case "io" string)))
        (export "error" (type $error (eq $error')))
        (export "get" (func (param "key" string) (result (result (option string) (error $error)))))
        (export "get-all" (func (result (result (list (tuple string string)) (error $error)))))))
      {LIBC}
      (alias export $store "error" (type $error))
      (core func $get (canon lower (func $store "get") (memory $mem) (realloc $realloc)))
      (core func $all (canon lower (func $store "get-all") (memory $mem) (realloc $realloc)))
      (core module $m
        (import "x" "get" (func $get (param i32 i32 i32)))
        (import "x" "all" (func $all (param i32)))
        (func (export "get") (param i32 i32) (result i32)
          (call $get (local.get 0) (local.get 1) (i32.const 64)) (i32.const 64))
        (func (export "all") (result i32) (call $all (i32.const 64)) (i32.const 64)))
      (core instance $i (instantiate $m (with "x" (instance (export "get" (func $get)) (export "all" (func $all))))))
      (func $get (param "key" string) (result (result (option string) (error $error)))
        (canon lift (core func $i "get") (memory $mem) (realloc $realloc)))
      (func $all (result (result (list (tuple string string)) (error $error)))
        (canon lift (core func $i "all") (memory $mem) (realloc $realloc)))
      (export "get" (func $get))
      (export "all" (func $all)))"#
    )
}

#[tokio::test]
async fn config_answers_the_components_own() {
    let world = World::new();
    for name in ["wasi:config/store", "wasi:config/store@0.2.0-draft", "wasi:config/store@0.2.0-rc.1"] {
        let unit = world.unit(&config(name)).await;
        assert_eq!(call(&unit, "get(\"colour\")").await.json, json!({"ok": "blue"}));
        assert_eq!(call(&unit, "get(\"size\")").await.json, json!({"ok": null}));
        assert_eq!(call(&unit, "all()").await.json, json!({"ok": [["colour", "blue"]]}));
    }
}

#[tokio::test]
async fn the_environment_tells_of_the_call() {
    let wat = format!(
        r#"(component
      (import "registry:host/environment@0.1.0" (instance $env
        (export "call-id" (func (result string)))
        (export "caller" (func (result (option string))))
        (export "principal" (func (result (option string))))
        (export "deadline-left-ns" (func (result (option u64))))
        (export "context" (func (param "key" string) (result (option string))))))
      {LIBC}
      (core func $id (canon lower (func $env "call-id") (memory $mem) (realloc $realloc)))
      (core func $caller (canon lower (func $env "caller") (memory $mem) (realloc $realloc)))
      (core func $principal (canon lower (func $env "principal") (memory $mem) (realloc $realloc)))
      (core func $left (canon lower (func $env "deadline-left-ns") (memory $mem)))
      (core func $context (canon lower (func $env "context") (memory $mem) (realloc $realloc)))
      (core module $m
        (import "x" "id" (func $id (param i32)))
        (import "x" "caller" (func $caller (param i32)))
        (import "x" "principal" (func $principal (param i32)))
        (import "x" "left" (func $left (param i32)))
        (import "x" "context" (func $context (param i32 i32 i32)))
        (func (export "id") (result i32) (call $id (i32.const 64)) (i32.const 64))
        (func (export "caller") (result i32) (call $caller (i32.const 64)) (i32.const 64))
        (func (export "principal") (result i32) (call $principal (i32.const 64)) (i32.const 64))
        (func (export "left") (result i32) (call $left (i32.const 64)) (i32.const 64))
        (func (export "context") (param i32 i32) (result i32)
          (call $context (local.get 0) (local.get 1) (i32.const 64)) (i32.const 64)))
      (core instance $i (instantiate $m (with "x" (instance
        (export "id" (func $id)) (export "caller" (func $caller)) (export "principal" (func $principal))
        (export "left" (func $left)) (export "context" (func $context))))))
      (func (export "id") (result string) (canon lift (core func $i "id") (memory $mem)))
      (func (export "caller") (result (option string)) (canon lift (core func $i "caller") (memory $mem)))
      (func (export "principal") (result (option string)) (canon lift (core func $i "principal") (memory $mem)))
      (func (export "left") (result (option u64)) (canon lift (core func $i "left") (memory $mem)))
      (func (export "context") (param "key" string) (result (option string))
        (canon lift (core func $i "context") (memory $mem) (realloc $realloc))))"#
    );
    let world = World::new();
    let unit = world.unit(&wat).await;
    assert_eq!(call(&unit, "id()").await.json, json!("0000000000000007"));
    assert_eq!(call(&unit, "caller()").await.json, json!(null));
    assert_eq!(call(&unit, "principal()").await.json, json!("ada"));
    assert_eq!(call(&unit, "context(\"trace\")").await.json, json!("t1"));
    assert_eq!(call(&unit, "context(\"none\")").await.json, json!(null));
    let left = call(&unit, "left()").await.json.as_u64().unwrap();
    assert!((1..=5_000_000_000).contains(&left), "{left}");
}

/// A guest that waits on the monotonic clock inside the host, where neither fuel nor epoch reaches it.
const SLEEPER: &str = r#"(component
      (import "wasi:io/poll@0.2.0" (instance $poll
        (export "pollable" (type $p (sub resource)))
        (export "[method]pollable.block" (func (param "self" (borrow $p))))))
      (alias export $poll "pollable" (type $pollable'))
      (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
        (alias outer 1 $pollable' (type $p))
        (export "pollable" (type $pollable (eq $p)))
        (export "subscribe-duration" (func (param "when" u64) (result (own $pollable))))))
      (core func $subscribe (canon lower (func $clock "subscribe-duration")))
      (core func $block (canon lower (func $poll "[method]pollable.block")))
      (core module $m
        (import "x" "subscribe" (func $subscribe (param i64) (result i32)))
        (import "x" "block" (func $block (param i32)))
        (func (export "sleep") (param i64) (call $block (call $subscribe (local.get 0)))))
      (core instance $i (instantiate $m
        (with "x" (instance (export "subscribe" (func $subscribe)) (export "block" (func $block))))))
      (func (export "sleep") (param "ns" u64) (canon lift (core func $i "sleep"))))"#;

#[tokio::test]
async fn a_guest_that_sleeps_in_the_host_meets_its_deadline() {
    let world = World::new();
    let unit = world.unit(SLEEPER).await;
    call(&unit, "sleep(1000000)").await;
    let request = domain::call::CallRequest {
        timeout: Some(std::time::Duration::from_millis(50)),
        ..wave("sleep(3600000000000)")
    };
    match unit.call(request).await {
        Err(domain::ports::EngineError::Failed(failure)) => assert_eq!(failure.kind, FailureKind::Deadline),
        other => panic!("{other:?}"),
    }
    call(&unit, "sleep(1000000)").await;
}

#[tokio::test]
async fn random_bytes_are_bounded() {
    let wat = format!(
        r#"(component
      (import "wasi:random/random@0.2.0" (instance $random
        (export "get-random-bytes" (func (param "len" u64) (result (list u8))))))
      {LIBC}
      (core func $get (canon lower (func $random "get-random-bytes") (memory $mem) (realloc $realloc)))
      (core module $m
        (import "x" "mem" (memory 2))
        (import "x" "get" (func $get (param i64 i32)))
        (func (export "count") (param i64) (result i32)
          (call $get (local.get 0) (i32.const 64)) (i32.load (i32.const 68))))
      (core instance $i (instantiate $m (with "x" (instance (export "mem" (memory $mem)) (export "get" (func $get))))))
      (func (export "count") (param "len" u64) (result u32) (canon lift (core func $i "count"))))"#
    );
    let world = World::new();
    let unit = world.unit(&wat).await;
    assert_eq!(call(&unit, "count(65536)").await.json, json!(65_536));
    let refused = failure(&unit, "count(65537)").await;
    insta::assert_snapshot!(refused.message, @"the guest wanted too many random bytes at once: requested len 65537 exceeds limit 65536 (`limits.random`)");
}

#[tokio::test]
async fn a_guest_that_exits_ends_only_its_instance() {
    let wat = r#"(component
      (import "wasi:cli/exit@0.2.0" (instance $exit (export "exit" (func (param "status" (result))))))
      (core func $exit (canon lower (func $exit "exit")))
      (core module $m
        (import "x" "exit" (func $exit (param i32)))
        (func (export "leave") (param i32) (call $exit (local.get 0))))
      (core instance $i (instantiate $m (with "x" (instance (export "exit" (func $exit))))))
      (func (export "leave") (param "status" u32) (canon lift (core func $i "leave"))))"#;
    let world = World::new();
    let unit = world.unit(wat).await;
    let left = failure(&unit, "leave(1)").await;
    assert_eq!(left.kind, FailureKind::Exit);
    insta::assert_snapshot!(left.message, @"the guest ended its own program with status 1");
    assert_eq!(failure(&unit, "leave(0)").await.kind, FailureKind::Exit);
}

#[tokio::test]
async fn what_every_library_imports_is_there_but_empty() {
    let wat = format!(
        r#"(component
      (import "wasi:filesystem/types@0.2.6" (instance $types (export "descriptor" (type (sub resource)))))
      (alias export $types "descriptor" (type $descriptor'))
      (import "wasi:filesystem/preopens@0.2.6" (instance $preopens
        (alias outer 1 $descriptor' (type $d))
        (export "descriptor" (type $descriptor (eq $d)))
        (export "get-directories" (func (result (list (tuple (own $descriptor) string)))))))
      (import "wasi:cli/environment@0.2.6" (instance $env
        (export "get-environment" (func (result (list (tuple string string)))))
        (export "get-arguments" (func (result (list string))))))
      (import "wasi:cli/terminal-output@0.2.6" (instance $terminal (export "terminal-output" (type (sub resource)))))
      (alias export $terminal "terminal-output" (type $terminal'))
      (import "wasi:cli/terminal-stdout@0.2.6" (instance $stdout
        (alias outer 1 $terminal' (type $t))
        (export "terminal-output" (type $out (eq $t)))
        (export "get-terminal-stdout" (func (result (option (own $out)))))))
      {LIBC}
      (core func $dirs (canon lower (func $preopens "get-directories") (memory $mem) (realloc $realloc)))
      (core func $vars (canon lower (func $env "get-environment") (memory $mem) (realloc $realloc)))
      (core func $args (canon lower (func $env "get-arguments") (memory $mem) (realloc $realloc)))
      (core func $tty (canon lower (func $stdout "get-terminal-stdout") (memory $mem)))
      (core module $m
        (import "x" "mem" (memory 2))
        (import "x" "dirs" (func $dirs (param i32)))
        (import "x" "vars" (func $vars (param i32)))
        (import "x" "args" (func $args (param i32)))
        (import "x" "tty" (func $tty (param i32)))
        (func (export "count") (result i32)
          (call $dirs (i32.const 64)) (call $vars (i32.const 72)) (call $args (i32.const 80)) (call $tty (i32.const 88))
          (i32.add (i32.add (i32.load (i32.const 68)) (i32.load (i32.const 76)))
                   (i32.add (i32.load (i32.const 84)) (i32.load8_u (i32.const 88))))))
      (core instance $i (instantiate $m (with "x" (instance (export "mem" (memory $mem))
        (export "dirs" (func $dirs)) (export "vars" (func $vars)) (export "args" (func $args)) (export "tty" (func $tty))))))
      (func (export "count") (result u32) (canon lift (core func $i "count"))))"#
    );
    let world = World::new();
    let unit = world.unit(&wat).await;
    assert_eq!(call(&unit, "count()").await.json, json!(0));
}

#[tokio::test]
async fn an_interface_newer_than_the_hosts_is_denied_by_name() {
    let wat = r#"(component (import "wasi:clocks/wall-clock@0.2.99" (instance (export "leap-seconds" (func (result u32))))))"#;
    let refused = World::new().refusal(wat).await;
    assert_eq!(refused.kind, FailureKind::Denied);
    insta::assert_snapshot!(refused.message, @"component imports instance `wasi:clocks/wall-clock@0.2.99`, but a matching implementation was not found in the linker: instance export `leap-seconds` has the wrong type: function implementation is missing");
}
