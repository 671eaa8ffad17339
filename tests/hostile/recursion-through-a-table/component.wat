(component
  (core module $m
    (type $f (func))
    (table funcref (elem $go))
    (func $go (export "go") (call_indirect (type $f) (i32.const 0))))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
