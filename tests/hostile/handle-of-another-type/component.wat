(component
  (type $thing (resource (rep i32)))
  (type $other (resource (rep i32)))
  (core func $new (canon resource.new $thing))
  (core func $rep (canon resource.rep $other))
  (core module $m
    (import "thing" "new" (func $new (param i32) (result i32)))
    (import "thing" "rep" (func $rep (param i32) (result i32)))
    (func (export "go") (drop (call $rep (call $new (i32.const 1))))))
  (core instance $i (instantiate $m (with "thing" (instance (export "new" (func $new)) (export "rep" (func $rep))))))
  (func (export "go") (canon lift (core func $i "go"))))
