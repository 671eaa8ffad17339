(component
  (type $colour' (enum "red" "green" "blue"))
  (export $colour "colour" (type $colour'))
  (core module $m
    (func (export "go") (result i32) (i32.const 99)))
  (core instance $i (instantiate $m))
  (func $go (result $colour) (canon lift (core func $i "go")))
  (export "go" (func $go)))
