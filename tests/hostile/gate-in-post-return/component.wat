(component
  (import "hostile:gate-in-post-return/work" (instance $work (export "go" (func))))
  (core func $work (canon lower (func $work "go")))
  (core module $m
    (import "host" "work" (func $work))
    (func (export "go") (result i32) (i32.const 1))
    (func (export "after") (param i32) (call $work)))
  (core instance $i (instantiate $m (with "host" (instance (export "work" (func $work))))))
  (func (export "go") (result u32) (canon lift (core func $i "go") (post-return (core func $i "after")))))
