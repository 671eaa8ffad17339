(component
  (type $marks' (flags "a" "b"))
  (export $marks "marks" (type $marks'))
  (core module $m
    (func (export "go") (result i32) (i32.const 0xfe)))
  (core instance $i (instantiate $m))
  (func $go (result $marks) (canon lift (core func $i "go")))
  (export "go" (func $go)))
