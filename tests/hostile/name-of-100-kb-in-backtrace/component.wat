(component
  (core module $m
    (func $f (@name "%x*100000%") unreachable)
    (func (export "go") (call $f)))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
