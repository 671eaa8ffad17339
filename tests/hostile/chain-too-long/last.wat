(component
  (core module $m
    (func (export "go")))
  (core instance $i (instantiate $m))
  (func $go (canon lift (core func $i "go")))
  (instance $api (export "go" (func $go)))
  (export "hostile:chain/go%n%" (instance $api)))
