(component
  (core module $m
    (memory (export "memory") 1)
    (func (export "go") (result i32)
      (i32.const 3)))
  (core instance $i (instantiate $m))
  (func (export "go") (result string) (canon lift (core func $i "go") (memory (core memory $i "memory")))))
