(component
  (core module $m (func (export "go")))
  (core instance $i (instantiate $m))
  (func (export "../../etc/passwd") (canon lift (core func $i "go"))))
