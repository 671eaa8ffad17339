(component
  (import "wasi:filesystem/types@0.2.0" (instance $types
    (export "descriptor" (type $d (sub resource)))
    (export "[method]descriptor.is-same-object" (func (param "self" (borrow $d)) (param "other" (borrow $d)) (result bool)))))
  (alias export $types "descriptor" (type $descriptor))
  (import "wasi:filesystem/preopens@0.2.0" (instance $preopens
    (alias outer 1 $descriptor (type $d))
    (export "descriptor" (type $d' (eq $d)))
    (export "get-directories" (func (result (list (tuple (own $d') string)))))))
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
  (core func $directories (canon lower (func $preopens "get-directories") (memory $memory) (realloc $realloc)))
  (core module $m
    (import "host" "memory" (memory 1))
    (import "host" "directories" (func $directories (param i32)))
    (func (export "go") (result i32)
      (call $directories (i32.const 64))
      (i32.load (i32.const 68))))
  (core instance $i (instantiate $m (with "host" (instance
    (export "memory" (memory $memory))
    (export "directories" (func $directories))))))
  (func (export "go") (result u32) (canon lift (core func $i "go"))))
