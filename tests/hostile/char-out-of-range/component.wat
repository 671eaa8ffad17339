(component
  (core module $m
    (func (export "go") (result i32) (i32.const 0xd800)))
  (core instance $i (instantiate $m))
  (func (export "go") (result char) (canon lift (core func $i "go"))))
