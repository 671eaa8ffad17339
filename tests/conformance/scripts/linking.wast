;; Two components inside a third one: each has its own memory, and a string crosses between them.
(component
  (component $inner
    (core module $m
      (memory (export "memory") 1)
      (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
      (func (export "length") (param i32 i32) (result i32) (local.get 1)))
    (core instance $i (instantiate $m))
    (func (export "length") (param "text" string) (result u32)
      (canon lift (core func $i "length") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
  (component $outer
    (import "length" (func $length (param "text" string) (result u32)))
    (core module $libc (memory (export "memory") 1) (data (i32.const 16) "fifteen letters"))
    (core instance $libc (instantiate $libc))
    (core func $length (canon lower (func $length) (memory (core memory $libc "memory"))))
    (core module $m
      (import "x" "length" (func $length (param i32 i32) (result i32)))
      (func (export "ask") (result i32) (call $length (i32.const 16) (i32.const 15))))
    (core instance $i (instantiate $m (with "x" (instance (export "length" (func $length))))))
    (func (export "ask") (result u32) (canon lift (core func $i "ask"))))
  (instance $inner (instantiate $inner))
  (instance $outer (instantiate $outer (with "length" (func $inner "length"))))
  (export "ask" (func $outer "ask")))
(assert_return (invoke "ask") (u32.const 15))
;; Nothing is there that was not given.
(assert_unlinkable (component (import "nobody" (func))) "")
(assert_unlinkable (component (import "wasi:cli/exit@0.2.0" (instance (export "exit" (func))))) "")
