(component
  (core module $m
    (func (export "go") (result i32) (i32.const 255)))
  (core instance $i (instantiate $m))
  (func (export "go") (result bool) (canon lift (core func $i "go"))))
