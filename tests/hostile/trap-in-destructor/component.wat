(component
  (core module $inner
    (func (export "end") (param i32) (unreachable)))
  (core instance $inner (instantiate $inner))
  (type $thing (resource (rep i32) (dtor (core func $inner "end"))))
  (core func $new (canon resource.new $thing))
  (core func $drop (canon resource.drop $thing))
  (core module $m
    (import "thing" "new" (func $new (param i32) (result i32)))
    (import "thing" "drop" (func $drop (param i32)))
    (func (export "go") (call $drop (call $new (i32.const 1)))))
  (core instance $i (instantiate $m (with "thing" (instance (export "new" (func $new)) (export "drop" (func $drop))))))
  (func (export "go") (canon lift (core func $i "go"))))
