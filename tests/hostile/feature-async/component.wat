(component
  (core module $m (func (export "go") (result i32) (i32.const 0)) (func (export "back") (param i32 i32 i32) (result i32) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func (export "go") async (canon lift (core func $i "go") async (callback (core func $i "back")))))
