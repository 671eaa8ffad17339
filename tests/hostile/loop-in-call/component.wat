(component
  (core module $m
    (func (export "go") (loop $again (br $again))))
  (core instance $i (instantiate $m))
  (func (export "go") (canon lift (core func $i "go"))))
