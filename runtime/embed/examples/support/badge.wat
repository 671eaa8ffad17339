;; Returns the value `name` of its configuration.
(component
  (import "wasi:config/store@0.2.0-rc.1" (instance $config
    (type $error' (variant (case "upstream" string) (case "io" string)))
    (export "error" (type $error (eq $error')))
    (export "get" (func (param "key" string) (result (result (option string) (error $error)))))))
  (core module $memory
    (memory (export "mem") 1)
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024)))
  (core instance $shared (instantiate $memory))
  (alias core export $shared "mem" (core memory $mem))
  (alias core export $shared "realloc" (core func $realloc))
  (core func $get (canon lower (func $config "get") (memory $mem) (realloc $realloc)))
  (core module $m
    (import "host" "get" (func $get (param i32 i32 i32)))
    (import "shared" "mem" (memory 1))
    (data (i32.const 128) "name")
    ;; The answer is at 32: whether it is an error, whether there is a value, then address and length of the value.
    (func (export "name") (result i32)
      (call $get (i32.const 128) (i32.const 4) (i32.const 32))
      (if (i32.load8_u (i32.const 32)) (then (unreachable)))
      (if (i32.eqz (i32.load8_u (i32.const 36))) (then (unreachable)))
      (i32.const 40)))
  (core instance $i (instantiate $m
    (with "host" (instance (export "get" (func $get))))
    (with "shared" (instance $shared))))
  (func (export "name") (result string)
    (canon lift (core func $i "name") (memory $mem) (realloc $realloc))))
