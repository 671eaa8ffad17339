(component
  (core module $m
    (func (export "go") (unreachable)))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
