(component
  (import "wasi:io/error@0.2.0" (instance $error (export "error" (type (sub resource)))))
  (alias export $error "error" (type $error'))
  (import "wasi:io/streams@0.2.0" (instance $streams
    (export "output-stream" (type $out (sub resource)))
    (export "input-stream" (type $in (sub resource)))
    (alias outer 1 $error' (type $e))
    (export "error" (type $err (eq $e)))
    (type $stream-error' (variant (case "last-operation-failed" (own $err)) (case "closed")))
    (export "stream-error" (type $stream-error (eq $stream-error')))
    (export "[method]input-stream.blocking-read"
      (func (param "self" (borrow $in)) (param "len" u64) (result (result (list u8) (error $stream-error)))))))
  (alias export $streams "input-stream" (type $stream))
  (import "wasi:cli/stdin@0.2.0" (instance $cli
    (alias outer 1 $stream (type $s))
    (export "input-stream" (type $stream' (eq $s)))
    (export "get-stdin" (func (result (own $stream'))))))
  (core module $libc
    (memory (export "memory") 4)
    (global $next (mut i32) (i32.const 4096))
    (func (export "realloc") (param i32 i32) (param $align i32) (param $len i32) (result i32)
      (local $at i32)
      (local.set $at
        (i32.and
          (i32.add (global.get $next) (i32.sub (local.get $align) (i32.const 1)))
          (i32.sub (i32.const 0) (local.get $align))))
      (global.set $next (i32.add (local.get $at) (local.get $len)))
      (local.get $at)))
  (core instance $libc (instantiate $libc))
  (alias core export $libc "memory" (core memory $memory))
  (alias core export $libc "realloc" (core func $realloc))
  (core func $get (canon lower (func $cli "get-stdin")))
  (core func $read (canon lower (func $streams "[method]input-stream.blocking-read") (memory $memory) (realloc $realloc)))
  (core module $m
    (import "host" "memory" (memory 1))
    (import "host" "get" (func $get (result i32)))
    (import "host" "read" (func $read (param i32 i64 i32)))
    ;; The case of the result, then that of the stream's error: 1 and 1 are `err(closed)`.
    (func (export "go") (result i32)
      (call $read (call $get) (i64.const 1048576) (i32.const 64))
      (i32.add
        (i32.mul (i32.load8_u (i32.const 64)) (i32.const 10))
        (i32.load8_u (i32.const 68)))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "memory" (memory $memory))
    (export "get" (func $get))
    (export "read" (func $read))))))
  (func (export "go") (result u32) (canon lift (core func $i "go"))))
