(component
  (import "wasi:config/store@0.2.0-rc.1" (instance $config
    (type $error' (variant (case "upstream" string) (case "io" string)))
    (export "error" (type $error (eq $error')))
    (export "get-all" (func (result (result (list (tuple string string)) (error $error)))))))
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
  (core func $all (canon lower (func $config "get-all") (memory $memory) (realloc $realloc)))
  (core module $m
    (import "host" "memory" (memory 1))
    (import "host" "all" (func $all (param i32)))
    (func (export "go") (result i32)
      (call $all (i32.const 64))
      (i32.load (i32.const 72))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "memory" (memory $memory))
    (export "all" (func $all))))))
  (func (export "go") (result u32) (canon lift (core func $i "go"))))
