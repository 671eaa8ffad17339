(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "take") (param i32 i32))
    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (unreachable)))
  (core instance $i (instantiate $m))
  (func (export "take") (param "text" string)
    (canon lift (core func $i "take") (memory (core memory $i "memory")) (realloc (core func $i "realloc")))))
