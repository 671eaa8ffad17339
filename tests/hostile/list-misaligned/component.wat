(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "go") (result i32)
      (i32.store (i32.const 0) (i32.const 65))
      (i32.store (i32.const 4) (i32.const 2))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "go") (result (list u64)) (canon lift (core func $i "go") (memory (core memory $i "memory")))))
