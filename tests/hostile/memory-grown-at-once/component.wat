(component
  (core module $m
    (memory 1)
    (func (export "go")
      (if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then unreachable))))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
