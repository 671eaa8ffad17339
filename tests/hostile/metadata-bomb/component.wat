(component
  (@custom "description" "%x*500000%")
  (core module $m (func (export "go") (result i32) (i32.const 1)))
  (core instance $i (instantiate $m))
  (func (export "go") (result u32) (canon lift (core func $i "go"))))
