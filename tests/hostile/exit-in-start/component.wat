(component
  (import "wasi:cli/exit@0.2.0" (instance $exit
    (export "exit" (func (param "status" (result))))))
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
  (core func $exit (canon lower (func $exit "exit")))
  (core module $m
    (import "host" "memory" (memory 1))
    (import "host" "exit" (func $exit (param i32)))
    (func $start (call $exit (i32.const 0)))
    (start $start))
  (core instance $i (instantiate $m (with "host" (instance
    (export "memory" (memory $memory))
    (export "exit" (func $exit)))))))
