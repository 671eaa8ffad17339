(component
  (core module $m
    (func (export "go") unreachable))
  (core instance $i (instantiate $m))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:gate-to-a-trap/work" (instance $api)))
