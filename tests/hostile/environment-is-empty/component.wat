(component
  (import "wasi:cli/environment@0.2.0" (instance $environment
    (export "get-environment" (func (result (list (tuple string string)))))
    (export "get-arguments" (func (result (list string))))
    (export "initial-cwd" (func (result (option string))))))
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
  (core func $environment (canon lower (func $environment "get-environment") (memory $memory) (realloc $realloc)))
  (core func $arguments (canon lower (func $environment "get-arguments") (memory $memory) (realloc $realloc)))
  (core func $cwd (canon lower (func $environment "initial-cwd") (memory $memory) (realloc $realloc)))
  (core module $m
    (import "host" "memory" (memory 1))
    (import "host" "environment" (func $environment (param i32)))
    (import "host" "arguments" (func $arguments (param i32)))
    (import "host" "cwd" (func $cwd (param i32)))
    ;; How much of the host can be seen: variables, arguments and whether there is a working folder.
    (func (export "go") (result i32)
      (call $environment (i32.const 64))
      (call $arguments (i32.const 80))
      (call $cwd (i32.const 96))
      (i32.add
        (i32.add (i32.load (i32.const 68)) (i32.load (i32.const 84)))
        (i32.load8_u (i32.const 96)))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "memory" (memory $memory))
    (export "environment" (func $environment))
    (export "arguments" (func $arguments))
    (export "cwd" (func $cwd))))))
  (func (export "go") (result u32) (canon lift (core func $i "go"))))
