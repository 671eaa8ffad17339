(component
  (type $thing (resource (rep i32)))
  (core func $new (canon resource.new $thing))
  (core func $drop (canon resource.drop $thing))
  (core func $rep (canon resource.rep $thing))
  (core module $m
    (import "thing" "new" (func $new (param i32) (result i32)))
    (import "thing" "drop" (func $drop (param i32)))
    (import "thing" "rep" (func $rep (param i32) (result i32)))
    (func (export "go")
      (drop (call $rep (i32.const 4711)))))
  (core instance $i (instantiate $m (with "thing" (instance
    (export "new" (func $new)) (export "drop" (func $drop)) (export "rep" (func $rep))))))
  (func (export "go") (canon lift (core func $i "go"))))
