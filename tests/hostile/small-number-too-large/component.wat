(component
  (core module $m
    (func (export "go") (result i32) (i32.const 0x12345678)))
  (core instance $i (instantiate $m))
  (func (export "go") (result u8) (canon lift (core func $i "go"))))
