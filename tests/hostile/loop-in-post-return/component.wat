(component
  (core module $m
    (func (export "go") (result i32) (i32.const 7))
    (func (export "after") (param i32) (loop $again (br $again))))
  (core instance $i (instantiate $m))
  (func (export "go") (result u32) (canon lift (core func $i "go") (post-return (core func $i "after")))))
