(component
  (import "wasi:cli/terminal-output@0.2.0" (instance $terminal (export "terminal-output" (type (sub resource)))))
  (alias export $terminal "terminal-output" (type $terminal'))
  (import "wasi:cli/terminal-stdout@0.2.0" (instance $stdout
    (alias outer 1 $terminal' (type $t))
    (export "terminal-output" (type $t' (eq $t)))
    (export "get-terminal-stdout" (func (result (option (own $t')))))))
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
  (core func $terminal (canon lower (func $stdout "get-terminal-stdout") (memory $memory)))
  (core module $m
    (import "host" "memory" (memory 1))
    (import "host" "terminal" (func $terminal (param i32)))
    (func (export "go") (result i32)
      (call $terminal (i32.const 64))
      (i32.load8_u (i32.const 64))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "memory" (memory $memory))
    (export "terminal" (func $terminal))))))
  (func (export "go") (result u32) (canon lift (core func $i "go"))))
