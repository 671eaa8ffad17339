(component
  (core module $m
    (memory 16)
    (func (export "go")
      (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
