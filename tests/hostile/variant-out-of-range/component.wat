(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "go") (result i32)
      (i32.store8 (i32.const 0) (i32.const 77))
      (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "go") (result (result u32 (error u32))) (canon lift (core func $i "go") (memory (core memory $i "memory")))))
