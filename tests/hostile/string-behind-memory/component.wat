(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "go") (result i32)
      (i32.store (i32.const 0) (i32.const 70000))
      (i32.store (i32.const 4) (i32.const 4))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "go") (result string) (canon lift (core func $i "go") (memory (core memory $i "memory")))))
