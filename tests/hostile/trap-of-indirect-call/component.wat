(component
  (core module $m
    (type $f (func))
    (table 4 funcref)
    (func (export "go") (call_indirect (type $f) (i32.const 3))))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
